"""The published tables that need no history: pure functions, each named after its result."""

from __future__ import annotations

import polars as pl

from pipeline.transforms.batches import collected, gathered
from pipeline.transforms.classification import code_section
from pipeline.transforms.crosswalk import replaced_by_lists
from pipeline.transforms.license_flags import with_license_flags
from pipeline.transforms.validity import curated_intervals, validity
from schemas.registry import contract
from sources.curated.tables import load_ambulance_locations


def current(records: pl.LazyFrame) -> pl.LazyFrame:
    """The records of each release's newest revision."""
    newest = records.group_by("release_id").agg(pl.col("revision").max())
    return records.join(newest, on=["release_id", "revision"], how="semi", maintain_order="left")


def release_records(records: pl.LazyFrame, policy: pl.DataFrame) -> pl.DataFrame:
    """``hcpcs_release_records``: the records of each release's newest revision, sorted by code, then release."""
    whole = collected(current(records))
    order = whole.select(pl.arg_sort_by("code", "kind", "release_id")).to_series()
    return _flagged("hcpcs_release_records", gathered(whole, order), policy)


def code_states(
    kind: str, states: pl.DataFrame, crosswalk: pl.DataFrame, unlisted: pl.DataFrame | None, policy: pl.DataFrame
) -> pl.DataFrame:
    """``hcpcs_codes`` or ``hcpcs_modifiers``: every code and meaning that any release had, as last stated.

    ``states`` comes from ``latest_states``, ``crosswalk`` is unmasked, ``unlisted`` has a row per code and release;
    it is given for procedure codes alone.
    """
    table = "hcpcs_codes" if kind == "procedure" else "hcpcs_modifiers"
    key = ["kind", "code", "episode"]
    rows = (
        states.filter(pl.col("kind") == kind)
        .join(replaced_by_lists(crosswalk), on=key, how="left")
        .with_columns(pl.col("replaced_by").fill_null([]))
    )
    if unlisted is not None:
        listed = (
            rows.join(unlisted.select("kind", "code", listed_in="release_id"), on=["kind", "code"])
            .filter(pl.col("listed_in").is_between("first_release", "last_release"))
            .select(key)
            .unique()
            .with_columns(is_unlisted=pl.lit(True))
        )
        rows = rows.join(listed, on=key, how="left").with_columns(
            pl.col("is_unlisted").fill_null(False), section_id=code_section(pl.col("code"))
        )
    flagged = _flagged(table, rows, policy)
    return flagged.select(list(contract(table).polars_schema)).sort("code", "episode")


def flagged_history(spans: pl.DataFrame, policy: pl.DataFrame) -> pl.DataFrame:
    """``hcpcs_history``: spans with their license columns, sorted by key."""
    return _flagged("hcpcs_history", spans, policy).sort(*contract("hcpcs_history").key)


def code_validity(
    history: pl.DataFrame, codes: pl.DataFrame, modifiers: pl.DataFrame, policy: pl.DataFrame
) -> pl.DataFrame:
    """``hcpcs_validity``: what every code of every system means on every day, sorted by key."""
    rows = validity(history, codes, modifiers, curated_intervals(), load_ambulance_locations())
    flagged = _flagged("hcpcs_validity", rows, policy)
    table = contract("hcpcs_validity")
    return flagged.select(list(table.polars_schema)).sort(*table.key)


def flagged_changes(changes: pl.DataFrame, policy: pl.DataFrame) -> pl.DataFrame:
    """``hcpcs_changes`` with its license columns, sorted by release, then key."""
    return _flagged("hcpcs_changes", changes, policy).sort(*contract("hcpcs_changes").key)


def flagged_crosswalk(crosswalk: pl.DataFrame, policy: pl.DataFrame) -> pl.DataFrame:
    """``hcpcs_crosswalk`` with its license columns, sorted by key."""
    return _flagged("hcpcs_crosswalk", crosswalk, policy).sort(*contract("hcpcs_crosswalk").key)


def numbered_findings(findings: pl.DataFrame, policy: pl.DataFrame) -> pl.DataFrame:
    """``hcpcs_findings``: in order of release, revision and place, numbered within the revision."""
    ordered = findings.sort(
        "release_id", "revision", "member", "line", "finding", "field", "code", "raw_value", "message", nulls_last=True
    ).with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("release_id", "revision").alias("finding_number"))
    return _flagged("hcpcs_findings", ordered, policy)


def side_table(table: str, rows: pl.DataFrame, policy: pl.DataFrame) -> pl.DataFrame:
    """A table of one kind of CMS's side files, all releases together, sorted by its key."""
    return _flagged(table, rows, policy).sort(*contract(table).key)


def _flagged(table: str, frame: pl.DataFrame, policy: pl.DataFrame) -> pl.DataFrame:
    """``frame`` with its license columns, from the code and the texts that the table's contract names."""
    stated = contract(table)
    code = pl.lit(None, pl.String) if stated.facts.code is None else pl.col(stated.facts.code)
    return with_license_flags(table, frame, policy, code=code, texts=stated.facts.texts)
