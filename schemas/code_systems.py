"""Contract of ``code_systems``: which code sets there are, whose they are, and what their codes look like."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import LICENSE_IDS, LICENSE_OURS, MADE_BY_US, STEWARDS, column, table_facts

CARE = ("direct", "non-direct", "both")
CONFIDENCE = ("high", "medium", "low")


class CodeSystems(pa.DataFrameModel):
    """One row per code system or category: HCPCS Levels I to III, the categories of CPT, modifiers, and CDT."""

    code_system_id: str = column(
        "Name of the code system in this data set.", source=MADE_BY_US, license_id=LICENSE_OURS
    )
    parent_id: str = column(
        "The code system that this one is part of.", source=MADE_BY_US, license_id=LICENSE_OURS, nullable=True
    )
    system: str = column("HCPCS, CPT or CDT.", source=MADE_BY_US, license_id=LICENSE_OURS, isin=("HCPCS", "CPT", "CDT"))
    level: str = column(
        "Level of HCPCS that the code system belongs to.",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
        isin=("I", "II", "III"),
    )
    category: str = column(
        "Category within CPT, or the sort of modifier.", source=MADE_BY_US, license_id=LICENSE_OURS, nullable=True
    )
    name: str = column("Name of the code system, spelled out.", source=MADE_BY_US, license_id=LICENSE_OURS)
    kind: str = column(
        "Whether its codes are procedure codes or modifiers; null for a row that only gathers others.",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
        nullable=True,
        isin=("procedure", "modifier"),
    )
    steward: str = column(
        "Who maintains the code system: CMS, AMA or ADA.", source=MADE_BY_US, license_id=LICENSE_OURS, isin=STEWARDS
    )
    maintained_by: str = column("The body that decides on its codes.", source=MADE_BY_US, license_id=LICENSE_OURS)
    describes: str = column("What its codes describe.", source=MADE_BY_US, license_id=LICENSE_OURS)
    care: str = column(
        "Whether it describes what is done to a patient (direct) or items and services around that (non-direct).",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
        isin=CARE,
    )
    applies_to: str = column("Who bills with its codes.", source=MADE_BY_US, license_id=LICENSE_OURS)
    legal_protection: str = column(
        "The regulation that names it, and who holds a copyright.", source=MADE_BY_US, license_id=LICENSE_OURS
    )
    code_shape: str = column("What a code looks like, in words.", source=MADE_BY_US, license_id=LICENSE_OURS)
    code_pattern: str = column(
        "Regular expression that its codes match and no other system's do; null for a row that only gathers others.",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
        nullable=True,
        str_matches=r"^\^.+\$$",
    )
    valid_from: pl.Date = column(
        "First day on which its codes held, if known.", source=MADE_BY_US, license_id=LICENSE_OURS, nullable=True
    )
    valid_to: pl.Date = column(
        "Last day on which its codes held; null if they do.", source=MADE_BY_US, license_id=LICENSE_OURS, nullable=True
    )
    cadence: str = column("How often it changes.", source=MADE_BY_US, license_id=LICENSE_OURS)
    fhir_uri: str = column(
        "Name of the code system in FHIR.", source=MADE_BY_US, license_id=LICENSE_OURS, str_matches=r"^https?://\S+$"
    )
    oid: str = column(
        "Object identifier of the code system.",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
        str_matches=r"^[0-9]+(\.[0-9]+)+$",
    )
    license_id: str = column(
        "License under which its codes and descriptors stand, see `licenses`; this row is CC0-1.0.",
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

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["code_system_id"]
        metadata = table_facts("reference", made_from="curated_code_systems")
