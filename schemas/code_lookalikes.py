"""Contract of ``code_lookalikes``: other code sets whose codes look like procedure codes or modifiers."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import RECORD_KINDS, TableFacts, curated, curated_confidence, curated_source


class CodeLookalikes(pa.DataFrameModel):
    """One row per format of another code set found in claims: its format, and how to distinguish it."""

    lookalike_id: str = curated("Name of the format in this data set.")
    code_set: str = curated("The code set that it belongs to.")
    kind: str = curated("What it is mistaken for.", isin=RECORD_KINDS)
    code_shape: str = curated("The format of a code, in words.")
    code_pattern: str = curated(
        "Regular expression that its codes match; those of procedure codes may match as well.", str_matches=r"^\^.+\$$"
    )
    valid_from: pl.Date = curated("First day on which the format was used, if known.", nullable=True)
    valid_to: pl.Date = curated("Last day on which the format was used; null if it is in use.", nullable=True)
    found_in: str = curated("Field of a form or segment of a transaction where it belongs, with its qualifier.")
    how_to_tell: str = curated("How to distinguish it from a procedure code or modifier.")
    source: str = curated_source()
    date_checked: pl.Date = curated("Day on which it was checked.")
    confidence: str = curated_confidence()

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["lookalike_id"]
        metadata = TableFacts("reference", derived_from="curated_code_lookalikes")
