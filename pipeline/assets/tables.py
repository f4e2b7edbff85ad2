"""The published tables, whole: the license policy masks them when a version is written, not before."""

from typing import Any

import dagster as dg
import polars as pl

from pipeline import tables
from pipeline.across_releases import findings_across_releases
from pipeline.changes import changes_between_releases, with_standing_episodes
from pipeline.corrections import corrections_in_records
from pipeline.crosswalk import crosswalk_from_records
from pipeline.episodes import episodes_of_records
from pipeline.history import history_from_records, latest_states
from schemas.registry import contract, enforce
from sources.curated_files import load_code_sections, load_code_systems, load_codebook, load_licenses
from sources.episode_overrides import load_episode_overrides
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


def _unpublished(table: str, description: str) -> dict[str, Any]:
    return {
        "name": table,
        "group_name": "history",
        "description": f"{description} Unpublished.",
        "io_manager_key": "tables",
        "kinds": {"polars", "parquet"},
    }


def _side_table(table: str, staged: pl.DataFrame) -> pl.DataFrame:
    return enforce(table, tables.side_table(table, staged, load_license_policy()))


@dg.asset(**_about("hcpcs_release_records", "records"))
def hcpcs_release_records(staged_records: pl.DataFrame) -> pl.DataFrame:
    return enforce("hcpcs_release_records", tables.release_records(staged_records, load_license_policy()))


@dg.asset(**_unpublished("staged_episodes", "Standing records of all releases, with the meaning each states."))
def staged_episodes(staged_records: pl.DataFrame) -> pl.DataFrame:
    return episodes_of_records(tables.standing(staged_records), load_episode_overrides())


@dg.asset(**_about("hcpcs_history", "history"))
def hcpcs_history(staged_episodes: pl.DataFrame) -> pl.DataFrame:
    spans = history_from_records(staged_episodes)
    return enforce("hcpcs_history", tables.flagged_history(spans, load_license_policy()))


@dg.asset(**_unpublished("staged_states", "What became of every meaning of every code, as last stated."))
def staged_states(staged_episodes: pl.DataFrame, hcpcs_history: pl.DataFrame) -> pl.DataFrame:
    return latest_states(staged_episodes, hcpcs_history)


@dg.asset(**_about("hcpcs_changes", "history"))
def hcpcs_changes(staged_records: pl.DataFrame, staged_episodes: pl.DataFrame) -> pl.DataFrame:
    changes = changes_between_releases(with_standing_episodes(staged_records, staged_episodes))
    return enforce("hcpcs_changes", tables.flagged_changes(changes, load_license_policy()))


@dg.asset(**_about("hcpcs_crosswalk", "history"))
def hcpcs_crosswalk(staged_episodes: pl.DataFrame, staged_states: pl.DataFrame) -> pl.DataFrame:
    crosswalk = crosswalk_from_records(staged_episodes, staged_states)
    return enforce("hcpcs_crosswalk", tables.flagged_crosswalk(crosswalk, load_license_policy()))


@dg.asset(**_about("hcpcs_codes", "codes"))
def hcpcs_codes(
    staged_states: pl.DataFrame, hcpcs_crosswalk: pl.DataFrame, hcpcs_unlisted_codes: pl.DataFrame
) -> pl.DataFrame:
    codes = tables.code_states("procedure", staged_states, hcpcs_crosswalk, hcpcs_unlisted_codes, load_license_policy())
    return enforce("hcpcs_codes", codes)


@dg.asset(**_about("hcpcs_modifiers", "codes"))
def hcpcs_modifiers(
    staged_states: pl.DataFrame, hcpcs_crosswalk: pl.DataFrame, hcpcs_unlisted_codes: pl.DataFrame
) -> pl.DataFrame:
    modifiers = tables.code_states(
        "modifier", staged_states, hcpcs_crosswalk, hcpcs_unlisted_codes, load_license_policy()
    )
    return enforce("hcpcs_modifiers", modifiers)


@dg.asset(**_about("hcpcs_releases", "records"))
def hcpcs_releases(staged_releases: pl.DataFrame) -> pl.DataFrame:
    return enforce("hcpcs_releases", staged_releases.sort("release_id", "revision"))


@dg.asset(**_about("hcpcs_findings", "records"))
def hcpcs_findings(
    staged_findings: pl.DataFrame,
    staged_episodes: pl.DataFrame,
    hcpcs_crosswalk: pl.DataFrame,
    hcpcs_transactions: pl.DataFrame,
) -> pl.DataFrame:
    across = findings_across_releases(staged_episodes, hcpcs_crosswalk, hcpcs_transactions, load_episode_overrides())
    return enforce(
        "hcpcs_findings", tables.numbered_findings(pl.concat([staged_findings, across]), load_license_policy())
    )


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
