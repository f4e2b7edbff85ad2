"""Contract of ``code_families``: blocks of codes and modifiers that coders know, finer than sections."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import (
    CODE_OR_MODIFIER,
    LICENSE_IDS,
    RECORD_KINDS,
    TableFacts,
    curated,
    curated_confidence,
    curated_source,
)


class CodeFamilies(pa.DataFrameModel):
    """One row per family and interval: evaluation and management, dental categories, blocks of Level II, modifiers."""

    family_id: str = curated("Name of the family in this data set.")
    interval_number: pl.Int32 = curated("Counts the family's intervals.", ge=1)
    name: str = curated("Name of the family, in this project's words.")
    code_system_id: str = curated("The code system of the interval, see `code_systems`.")
    section_id: str = curated(
        "The section that the interval lies in, see `code_sections`; null for modifiers.", nullable=True
    )
    kind: str = curated("Whether the interval has procedure codes or modifiers.", isin=RECORD_KINDS)
    first_code: str = curated("First code of the interval.", str_matches=CODE_OR_MODIFIER)
    last_code: str = curated("Last code of the interval.", str_matches=CODE_OR_MODIFIER)
    valid_from: pl.Date = curated("First day of the interval, if known.", nullable=True)
    valid_to: pl.Date = curated("Last day of the interval; null if it is in use.", nullable=True)
    note: str = curated("What else there is to know of the interval.", nullable=True)
    license_id: str = curated(
        "License of the family's codes and descriptors, see `licenses`; this row is CC0-1.0.",
        isin=LICENSE_IDS,
    )
    source: str = curated_source()
    date_checked: pl.Date = curated("Day on which it was checked.")
    confidence: str = curated_confidence()

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["family_id", "interval_number"]
        metadata = TableFacts("reference", derived_from="curated_code_families")
