"""The published tables that need no history: pure functions, each named after its result."""

from __future__ import annotations

import polars as pl

from pipeline.licenses import with_license_flags
from schemas.columns import CONTENT_COLUMNS
from schemas.registry import contract, contracts

_TEXTS = ("short_description", "long_description")
_DATES = ("added_date", "action_effective_date", "termination_date", "action_code")


def standing(records: pl.DataFrame) -> pl.DataFrame:
    """The records of each release's newest revision."""
    return records.filter(pl.col("revision") == pl.col("revision").max().over("release_id"))


def release_records(records: pl.DataFrame, policy: pl.DataFrame) -> pl.DataFrame:
    """``hcpcs_release_records``: sorted by code, then release."""
    return with_license_flags("hcpcs_release_records", standing(records), policy, texts=_TEXTS).sort(
        "code", "kind", "release_id"
    )


def latest_records(records: pl.DataFrame, kind: str, policy: pl.DataFrame) -> pl.DataFrame:
    """``hcpcs_codes`` or ``hcpcs_modifiers``: every code any release had, as its latest record states it."""
    table = "hcpcs_codes" if kind == "procedure" else "hcpcs_modifiers"
    latest = (
        standing(records)
        .filter(pl.col("kind") == kind)
        .sort("code", "release_id")
        .group_by("code", maintain_order=True)
        .agg(
            *(pl.col(c).last() for c in (*CONTENT_COLUMNS, *_DATES)),
            first_release=pl.col("release_id").first(),
            last_release=pl.col("release_id").last(),
        )
    )
    return with_license_flags(table, latest, policy, texts=_TEXTS)


def numbered_findings(findings: pl.DataFrame, policy: pl.DataFrame) -> pl.DataFrame:
    """``hcpcs_findings``: in order of release, revision and place, numbered within the revision."""
    ordered = findings.sort(
        "release_id", "revision", "member", "line", "finding", "field", "code", "raw_value", "message", nulls_last=True
    ).with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over("release_id", "revision").alias("finding_number"))
    return with_license_flags("hcpcs_findings", ordered, policy, texts=("raw_value",))


def side_table(table: str, rows: pl.DataFrame, policy: pl.DataFrame) -> pl.DataFrame:
    """A table of one kind of CMS's side files, all releases together, sorted by its key."""
    stated = contract(table)
    texts = tuple(
        c.name for c in stated.columns if c.name.endswith(("description", "_text")) and c.name in rows.columns
    )
    code = pl.col("code") if "code" in rows.columns else pl.lit(None, pl.String)
    return with_license_flags(table, rows, policy, code=code, texts=texts).sort(*stated.key)


def dictionary() -> pl.DataFrame:
    """``data_dictionary``: one row per published table and column, from the contracts."""
    rows = [
        {
            "table_name": name,
            "position": position,
            "column_name": c.name,
            "type": c.type,
            "is_key": c.is_key,
            "nullable": c.nullable,
            "description": c.description,
            "source": c.source,
            "license": c.license_id,
            "lineage": list(c.lineage),
        }
        for name, table in contracts().items()
        for position, c in enumerate(table.columns, 1)
    ]
    return pl.DataFrame(rows, schema=contract("data_dictionary").polars_schema)
