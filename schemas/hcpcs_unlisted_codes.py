"""Contract of ``hcpcs_unlisted_codes``: codes listed by CMS as not otherwise classified. No reading or writing here."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import LicenseColumns, SideFileLine, TableFacts, column, hcpcs_code, record_kind, release_id


class UnlistedCode(pa.DataFrameModel):
    """A code of a list of unlisted codes."""

    code: str = hcpcs_code(source="CMS NOC list, code")
    kind: str = record_kind(source="CMS NOC list, code (its length)")
    release_id: str = release_id("Release that the list is posted with (YYYY-MM).")
    short_description: str = column(
        "Short description, where the list gives one.", source="CMS NOC list, short description", nullable=True
    )
    long_description: str = column(
        "Long description; a text over two lines is joined.", source="CMS NOC list, long description", nullable=True
    )
    added_date: pl.Date = column("Day on which the code was added.", source="CMS NOC list, add date", nullable=True)
    termination_date: pl.Date = column(
        "Last day on which the code may be used.", source="CMS NOC list, term date", nullable=True
    )


class HcpcsUnlistedCodes(LicenseColumns, SideFileLine, UnlistedCode):
    """One row per code and release in whose list of unlisted (not otherwise classified, NOC) codes it is."""

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["code", "kind", "release_id"]
        metadata = TableFacts(
            "side_files", derived_from="staged_unlisted_codes", texts=("short_description", "long_description")
        )
