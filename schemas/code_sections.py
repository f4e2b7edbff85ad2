"""Contract of ``code_sections``: how code systems are divided. Structure only: no code list, no descriptor."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import LICENSE_IDS, LICENSE_OURS, MADE_BY_US, column, table_facts

CONFIDENCE = ("high", "medium", "low")
_CODE = r"^([A-Z][0-9]{4}|[0-9]{4}[0-9A-Z])$"


class CodeSections(pa.DataFrameModel):
    """One row per section and interval of codes: HCPCS letters, the sections and groups of CPT, with their days."""

    section_id: str = column("Name of the section in this data set.", source=MADE_BY_US, license_id=LICENSE_OURS)
    interval_number: pl.Int32 = column(
        "Counts the section's intervals: it may be in several pieces, or have moved.",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
        ge=1,
    )
    code_system_id: str = column(
        "The code system that the section divides.", source=MADE_BY_US, license_id=LICENSE_OURS
    )
    parent_section_id: str = column(
        "The section that this one is part of.", source=MADE_BY_US, license_id=LICENSE_OURS, nullable=True
    )
    depth: pl.Int32 = column(
        "1 for a section, 2 for a section within one; those of one depth never overlap on a day.",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
        ge=1,
    )
    name: str = column("Name of the section, in short.", source=MADE_BY_US, license_id=LICENSE_OURS)
    first_code: str = column(
        "First code of the interval.", source=MADE_BY_US, license_id=LICENSE_OURS, str_matches=_CODE
    )
    last_code: str = column(
        "Last code of the interval; null where it has no upper bound.",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
        nullable=True,
        str_matches=_CODE,
    )
    valid_from: pl.Date = column(
        "First day of the interval, if known.", source=MADE_BY_US, license_id=LICENSE_OURS, nullable=True
    )
    valid_to: pl.Date = column(
        "Last day of the interval; null if it holds.", source=MADE_BY_US, license_id=LICENSE_OURS, nullable=True
    )
    is_temporary: bool = column(
        "Whether CMS counts the letter among its temporary codes.", source=MADE_BY_US, license_id=LICENSE_OURS
    )
    requested_by: str = column(
        "Who asked for the codes of the section.", source=MADE_BY_US, license_id=LICENSE_OURS, nullable=True
    )
    children_cover: str = column(
        "Whether the sections within this one fill it (whole) or not (part); null where there are none.",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
        nullable=True,
        isin=("whole", "part"),
    )
    guide_first_code: str = column(
        "First code as a guide states it, where that differs; see `note`.",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
        nullable=True,
        str_matches=_CODE,
    )
    guide_last_code: str = column(
        "Last code as a guide states it, where that differs; see `note`.",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
        nullable=True,
        str_matches=_CODE,
    )
    license_id: str = column(
        "License under which the section's codes and descriptors stand, see `licenses`; this row is CC0-1.0.",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
        isin=LICENSE_IDS,
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
    note: str = column(
        "What else there is to know of the interval.", source=MADE_BY_US, license_id=LICENSE_OURS, nullable=True
    )

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["section_id", "interval_number"]
        metadata = table_facts("reference", made_from="curated_code_sections")
