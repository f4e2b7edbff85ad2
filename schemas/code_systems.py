"""Contract of ``code_systems``: code sets, their owners, and the formats of their codes."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import (
    LICENSE_IDS,
    STEWARDS,
    TableFacts,
    curated,
    curated_confidence,
    curated_source,
)

CARE = ("direct", "non-direct", "both")


class CodeSystems(pa.DataFrameModel):
    """One row per code system or category: HCPCS Levels I to III, the categories of CPT, modifiers, and CDT."""

    code_system_id: str = curated("Name of the code system in this data set.")
    parent_id: str = curated("The code system that this one is part of.", nullable=True)
    system: str = curated("HCPCS, CPT or CDT.", isin=("HCPCS", "CPT", "CDT"))
    level: str = curated(
        "Level of HCPCS that the code system belongs to.",
        isin=("I", "II", "III"),
    )
    category: str = curated("Category within CPT, or the sort of modifier.", nullable=True)
    name: str = curated("Name of the code system, spelled out.")
    kind: str = curated(
        "Whether its codes are procedure codes or modifiers; null for a row that only gathers others.",
        nullable=True,
        isin=("procedure", "modifier"),
    )
    steward: str = curated(
        "Who maintains the code system: CMS, AMA, ADA, or `local` (states, contractors and insurers).", isin=STEWARDS
    )
    maintained_by: str = curated("The body that decides on its codes.")
    describes: str = curated("What its codes describe.")
    care: str = curated(
        "Whether it describes what is done to a patient (direct) or items and services around that (non-direct).",
        isin=CARE,
    )
    applies_to: str = curated("Who bills with its codes.")
    legal_protection: str = curated("The regulation that names it, and the copyright holder.")
    code_shape: str = curated("The format of a code, in words.")
    code_pattern: str = curated(
        "Regular expression that its codes match and no other system's do; null for a row that only gathers others.",
        nullable=True,
        str_matches=r"^\^.+\$$",
    )
    valid_from: pl.Date = curated(
        "First day on which its codes were valid, if known; an earlier day is `not_yet_valid`.", nullable=True
    )
    valid_to: pl.Date = curated(
        "Last day on which its codes were valid; null if they are. A later day is `system_ended`.", nullable=True
    )
    cadence: str = curated("How often it changes.")
    fhir_uri: str = curated(
        "Name of the code system in FHIR, the preferred one of `code_system_identifiers`; null if it has none.",
        nullable=True,
        str_matches=r"^https?://\S+$",
    )
    oid: str = curated(
        "Object identifier of the code system; null if it has none.",
        nullable=True,
        str_matches=r"^[0-9]+(\.[0-9]+)+$",
    )
    license_id: str = curated(
        "License of its codes and descriptors, see `licenses`: open if it is CMS's, else withheld; this row: CC0.",
        isin=LICENSE_IDS,
    )
    source: str = curated_source()
    date_checked: pl.Date = curated("Day on which it was checked.")
    confidence: str = curated_confidence()

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["code_system_id"]
        metadata = TableFacts("reference", derived_from="curated_code_systems")
