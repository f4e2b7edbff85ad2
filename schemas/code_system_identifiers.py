"""Contract of ``code_system_identifiers``: names that other standards have for the code systems."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import TableFacts, curated, curated_confidence, curated_source

IDENTIFIER_TYPES = ("fhir_uri", "oid", "x12_qualifier", "hl7_v2_table_0396", "umls_source", "omop_vocabulary")


class CodeSystemIdentifiers(pa.DataFrameModel):
    """One row per code system and identifier: FHIR, OID, X12, HL7 v2, UMLS and OMOP."""

    code_system_id: str = curated("The code system, see `code_systems`; parts without a row share their parent's.")
    identifier_type: str = curated("The standard that has the identifier.", isin=IDENTIFIER_TYPES)
    identifier: str = curated("The identifier, as that standard writes it.")
    is_preferred: bool = curated("Whether to use this one of the standard's for the code system.")
    is_retired: bool = curated("Whether the standard has withdrawn it; data may still use it.")
    note: str = curated("What else there is to know of the identifier.", nullable=True)
    source: str = curated_source()
    date_checked: pl.Date = curated("Day on which it was checked.")
    confidence: str = curated_confidence()

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["code_system_id", "identifier_type", "identifier"]
        metadata = TableFacts("reference", derived_from="curated_code_system_identifiers")
