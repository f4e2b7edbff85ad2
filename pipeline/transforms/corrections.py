"""Corrections held against the records: did CMS's file say so already, later, or never? Corrections alter nothing."""

from __future__ import annotations

import polars as pl

from pipeline.transforms.comparison import prose_forms

_KEY = ["kind", "code"]


def corrections_in_records(corrections: pl.DataFrame, records: pl.LazyFrame) -> pl.DataFrame:
    """Add ``state_in_records`` and ``in_records_since`` to corrections.

    ``corrections`` has the columns of ``staged_corrections``, ``records`` one row per kind, code and release of all
    loaded releases. A record states a correction if the field says the new value (letters and digits compared), or if
    the code is there, ended or gone as the action says; what the prose did not tell is ``unclear``.
    """
    numbered = corrections.with_row_index("row")
    releases = records.select(loaded=pl.col("release_id").unique().sort()).collect()
    later = numbered.join_where(releases, pl.col("loaded") >= pl.col("release_id")).select("row", *_KEY, "loaded")
    fields = _fields(corrections)
    used = {*_KEY, "release_id", "revision", "termination_date", *fields}
    concerned = records.select(sorted(used)).filter(pl.col("code").is_in(corrections["code"].implode())).collect()
    stated = later.join(concerned, left_on=[*_KEY, "loaded"], right_on=[*_KEY, "release_id"], how="left").select(
        "row",
        "loaded",
        *(_as_text(concerned.schema, f).alias(f"said_{f}") for f in fields),
        is_there=pl.col("revision").is_not_null(),
        is_ended=pl.col("termination_date").is_not_null(),
    )
    said = [pl.when(pl.col("field") == f).then(pl.col(f"said_{f}")) for f in fields]
    joined = stated.join(numbered.select("row", "action", "field", "new_value", "old_value"), on="row").with_columns(
        value=pl.coalesce(said) if said else pl.lit(None, pl.String)
    )
    there, ended = pl.col("is_there"), pl.col("is_ended")
    new, old, value = (prose_forms(joined[c]).fill_null("") for c in ("new_value", "old_value", "value"))
    states = (
        pl.when(pl.col("action") == "revise").then(there & (value == new))
        .when(pl.col("action") == "clear").then(there & ((value == "") | ((old != "") & (value != old))))
        .when(pl.col("action") == "add").then(there)
        .when(pl.col("action") == "terminate").then(there & ended)
        .when(pl.col("action").is_in(["do_not_terminate", "restore"])).then(there & ~ended)
        .when(pl.col("action") == "delete").then(~there | ended)
    )  # fmt: skip
    first = joined.filter(states).group_by("row").agg(in_records_since=pl.col("loaded").min())
    is_unclear = (pl.col("action") == "other") | ((pl.col("action") == "revise") & pl.col("new_value").is_null())
    since = pl.when(~is_unclear).then(pl.col("in_records_since"))
    return (
        numbered.join(first, on="row", how="left", maintain_order="left")
        .with_columns(
            in_records_since=since,
            state_in_records=pl.when(is_unclear)
            .then(pl.lit("unclear"))
            .when(since.is_null())
            .then(pl.lit("never"))
            .when(since == pl.col("release_id"))
            .then(pl.lit("already"))
            .otherwise(pl.lit("later")),
        )
        .drop("row")
    )


def _fields(corrections: pl.DataFrame) -> list[str]:
    return sorted(corrections["field"].drop_nulls().unique())


def _as_text(schema: pl.Schema, field: str) -> pl.Expr:
    return pl.col(field).list.join(",") if isinstance(schema[field], pl.List) else pl.col(field).cast(pl.String)
