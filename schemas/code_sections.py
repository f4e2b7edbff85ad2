"""Contract of ``code_sections``: how code systems are divided. Structure only: no code list, no descriptor."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import LICENSE_IDS, TableFacts, curated, curated_confidence, curated_source

_CODE = r"^([A-Z][0-9]{4}|[0-9]{4}[0-9A-Z])$"


class CodeSections(pa.DataFrameModel):
    """One row per section and interval of codes: HCPCS letters, the sections and groups of CPT, with their days."""

    section_id: str = curated("Name of the section in this data set.")
    interval_number: pl.Int32 = curated(
        "Counts the section's intervals: it may be in several pieces, or have moved.",
        ge=1,
    )
    code_system_id: str = curated("The code system that the section divides.")
    parent_section_id: str = curated("The section that this one is part of.", nullable=True)
    depth: pl.Int32 = curated(
        "1 for a section, 2 for a section within one; those of one depth never overlap on a day.",
        ge=1,
    )
    name: str = curated("Name of the section, in short.")
    first_code: str = curated("First code of the interval.", str_matches=_CODE)
    last_code: str = curated(
        "Last code of the interval; null where it has no upper bound.",
        nullable=True,
        str_matches=_CODE,
    )
    valid_from: pl.Date = curated("First day of the interval, if known.", nullable=True)
    valid_to: pl.Date = curated("Last day of the interval; null if still in effect.", nullable=True)
    is_temporary: bool = curated("Whether CMS counts the letter among its temporary codes.")
    requested_by: str = curated("The organization that requested the codes of the section.", nullable=True)
    children_cover: str = curated(
        "Whether the sections within this one fill it (whole) or not (part); null where there are none.",
        nullable=True,
        isin=("whole", "part"),
    )
    guide_first_code: str = curated(
        "First code as a guide states it, where that differs; see `note`.",
        nullable=True,
        str_matches=_CODE,
    )
    guide_last_code: str = curated(
        "Last code as a guide states it, where that differs; see `note`.",
        nullable=True,
        str_matches=_CODE,
    )
    license_id: str = curated(
        "License of the section's codes and descriptors, see `licenses`; this row is CC0-1.0.",
        isin=LICENSE_IDS,
    )
    source: str = curated_source()
    date_checked: pl.Date = curated("Day on which it was checked.")
    confidence: str = curated_confidence()
    note: str = curated("What else there is to know of the interval.", nullable=True)

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["section_id", "interval_number"]
        metadata = TableFacts("reference", derived_from="curated_code_sections")
