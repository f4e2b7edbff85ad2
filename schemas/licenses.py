"""Contract of ``licenses``: whose what is, and what may be done with it."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import LICENSE_OURS, MADE_BY_US, column, table_facts

CONFIDENCE = ("high", "medium", "low")


class Licenses(pa.DataFrameModel):
    """One row per license: who holds the rights, what may be done, and the notice to pass on."""

    license_id: str = column(
        "SPDX identifier of the license, or a `LicenseRef-` of this project.",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
        str_matches=r"^[A-Za-z0-9.-]+$",
    )
    name: str = column("Name of the license.", source=MADE_BY_US, license_id=LICENSE_OURS)
    holder: str = column("Who holds the rights.", source=MADE_BY_US, license_id=LICENSE_OURS)
    covers: str = column("What stands under it.", source=MADE_BY_US, license_id=LICENSE_OURS)
    codes: str = column("What may be done with codes.", source=MADE_BY_US, license_id=LICENSE_OURS)
    ranges: str = column("What may be done with ranges of codes.", source=MADE_BY_US, license_id=LICENSE_OURS)
    descriptors: str = column("What may be done with descriptions.", source=MADE_BY_US, license_id=LICENSE_OURS)
    notice: str = column("What to tell whoever gets the data.", source=MADE_BY_US, license_id=LICENSE_OURS)
    text_file: str = column(
        "File of the version that holds the text.",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
        str_matches=r"^LICENSES/[A-Za-z0-9.-]+\.txt$",
    )
    source: str = column(
        "Address where the row can be checked.",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
        str_matches=r"^https?://\S+$",
    )
    date_checked: pl.Date = column("Day on which it was checked.", source=MADE_BY_US, license_id=LICENSE_OURS)
    confidence: str = column(
        "How sure the row is: high, medium or low.", source=MADE_BY_US, license_id=LICENSE_OURS, isin=CONFIDENCE
    )

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["license_id"]
        metadata = table_facts("reference", made_from="curated_licenses")
