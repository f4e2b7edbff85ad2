"""Contract of ``hcpcs_codebook``: what the values of CMS's coded fields mean."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import TableFacts, column, derived

_LAYOUT = "CMS record layout"


class HcpcsCodebook(pa.DataFrameModel):
    """One row per field and value that CMS's record layouts state, in this project's words."""

    field: str = derived("Column of the tables of records, or `record_id` of CMS's text.")
    value: str = column("The value as CMS writes it.", source=_LAYOUT)
    label: str = derived("Meaning of the value, in this project's words.")
    valid_from: pl.Date = column(
        "First day on which the value means this, where CMS states one.", source=_LAYOUT, nullable=True
    )
    valid_to: pl.Date = column(
        "Last day on which the value means this, where CMS states one.", source=_LAYOUT, nullable=True
    )
    source: str = derived("Record layout, item and positions that state the value.")

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["field", "value"]
        metadata = TableFacts("reference", derived_from="curated_codebook")
