"""The published tables, whole: the license policy masks them when a version is written, not before."""

from typing import Any

import dagster as dg
import polars as pl

from pipeline import tables
from pipeline.corrections import corrections_in_records
from schemas.registry import contract, enforce
from sources.curated_files import load_code_sections, load_code_systems, load_codebook, load_licenses
from sources.license_policy import load_license_policy


def _about(table: str, group: str) -> dict[str, Any]:
    """What the catalog shows of a table, from its contract."""
    stated = contract(table)
    columns = [
        dg.TableColumn(
            name=c.name,
            type=c.type,
            description=c.description,
            constraints=dg.TableColumnConstraints(nullable=c.nullable, unique=stated.key == (c.name,)),
        )
        for c in stated.columns
    ]
    return {
        "name": table,
        "group_name": group,
        "description": stated.description,
        "io_manager_key": "tables",
        "kinds": {"polars", "parquet"},
        "tags": {"tier": "open"},
        "metadata": {"dagster/column_schema": dg.TableSchema(columns=columns)},
    }


def _side_table(table: str, staged: pl.DataFrame) -> pl.DataFrame:
    return enforce(table, tables.side_table(table, staged, load_license_policy()))


@dg.asset(**_about("hcpcs_release_records", "records"))
def hcpcs_release_records(staged_records: pl.DataFrame) -> pl.DataFrame:
    return enforce("hcpcs_release_records", tables.release_records(staged_records, load_license_policy()))


@dg.asset(**_about("hcpcs_codes", "codes"))
def hcpcs_codes(staged_records: pl.DataFrame) -> pl.DataFrame:
    return enforce("hcpcs_codes", tables.latest_records(staged_records, "procedure", load_license_policy()))


@dg.asset(**_about("hcpcs_modifiers", "codes"))
def hcpcs_modifiers(staged_records: pl.DataFrame) -> pl.DataFrame:
    return enforce("hcpcs_modifiers", tables.latest_records(staged_records, "modifier", load_license_policy()))


@dg.asset(**_about("hcpcs_releases", "records"))
def hcpcs_releases(staged_releases: pl.DataFrame) -> pl.DataFrame:
    return enforce("hcpcs_releases", staged_releases.sort("release_id", "revision"))


@dg.asset(**_about("hcpcs_findings", "records"))
def hcpcs_findings(staged_findings: pl.DataFrame) -> pl.DataFrame:
    return enforce("hcpcs_findings", tables.numbered_findings(staged_findings, load_license_policy()))


@dg.asset(**_about("hcpcs_codebook", "reference"))
def hcpcs_codebook() -> pl.DataFrame:
    return enforce("hcpcs_codebook", load_codebook())


@dg.asset(**_about("data_dictionary", "reference"))
def data_dictionary() -> pl.DataFrame:
    return enforce("data_dictionary", tables.dictionary())


@dg.asset(**_about("hcpcs_transactions", "side_files"))
def hcpcs_transactions(staged_transactions: pl.DataFrame) -> pl.DataFrame:
    return _side_table("hcpcs_transactions", staged_transactions)


@dg.asset(**_about("hcpcs_corrections", "side_files"))
def hcpcs_corrections(staged_corrections: pl.DataFrame, staged_records: pl.DataFrame) -> pl.DataFrame:
    stated = corrections_in_records(staged_corrections, tables.standing(staged_records))
    return _side_table("hcpcs_corrections", stated)


@dg.asset(**_about("hcpcs_unlisted_codes", "side_files"))
def hcpcs_unlisted_codes(staged_unlisted_codes: pl.DataFrame) -> pl.DataFrame:
    return _side_table("hcpcs_unlisted_codes", staged_unlisted_codes)


@dg.asset(**_about("hcpcs_notes", "side_files"))
def hcpcs_notes(staged_notes: pl.DataFrame) -> pl.DataFrame:
    return _side_table("hcpcs_notes", staged_notes)


@dg.asset(**_about("code_systems", "reference"))
def code_systems() -> pl.DataFrame:
    return enforce("code_systems", load_code_systems())


@dg.asset(**_about("code_sections", "reference"))
def code_sections() -> pl.DataFrame:
    return enforce("code_sections", load_code_sections())


@dg.asset(**_about("licenses", "reference"))
def licenses() -> pl.DataFrame:
    return enforce("licenses", load_licenses())
