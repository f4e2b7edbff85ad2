"""Contract of ``hcpcs_transactions``: CMS's own word on what it did to each record. Nothing here reads or writes."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import (
    DERIVED,
    LicenseColumns,
    SideFileLine,
    TableFacts,
    column,
    hcpcs_code,
    record_kind,
    release_id,
)


class TransactionLine(pa.DataFrameModel):
    """A line of a transaction report."""

    code: str = hcpcs_code(source="CMS transaction report, code")
    kind: str = record_kind(source="CMS transaction report, code (its length)")
    release_id: str = release_id()
    number: pl.Int32 = column(
        "Counts the lines that the release's reports have for the code; 1 but where they contradict each other.",
        source=DERIVED,
        ge=1,
    )
    action_code: str = column(
        "Action code for the report's words, see `hcpcs_codebook`; null for unknown words.",
        source="CMS transaction report, type of change",
        nullable=True,
        str_matches=r"^[A-Z]$",
    )
    action_text: str = column(
        "The report's words for the action, unchanged.",
        source="CMS transaction report, type of change",
        nullable=True,
    )
    short_description: str = column(
        "Short description, where the report gives one (from 2019).",
        source="CMS transaction report, short description",
        nullable=True,
    )
    long_description: str = column(
        "Long description, where the report gives one (from 2019).",
        source="CMS transaction report, long description",
        nullable=True,
    )


class HcpcsTransactions(LicenseColumns, SideFileLine, TransactionLine):
    """One row per line of a release's transaction report: the action that CMS reports for each record, in words."""

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["code", "kind", "release_id", "number"]
        metadata = TableFacts(
            "side_files",
            derived_from="staged_transactions",
            texts=("action_text", "short_description", "long_description"),
        )
