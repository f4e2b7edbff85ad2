"""Annotating on Apache Spark: what ``hcpcs.annotate.engine`` does, as broadcast joins and expressions of Spark's own.

Needs the extra ``spark``. ``hcpcs_validity`` is read on the driver and sent to every executor; codes take one broadcast
join, and each column of modifiers another. The claims are neither shuffled nor sorted, and no Python runs for a line.
Files, summary and date forms are not done here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc

from hcpcs.annotate.annotator import known_modifiers
from hcpcs.annotate.engine import open_version
from hcpcs.annotate.lookup import DEFAULT_COLUMNS, LAST_DAY, NO_SHAPE, OF_SHAPE, Lookup
from hcpcs.annotate.redaction import PUBLISHED, judges_of
from hcpcs.annotate.request import several
from hcpcs.annotate.sql import code_stages
from hcpcs.annotate.values import UnusableColumn

if TYPE_CHECKING:
    from pyspark.sql import Column, DataFrame


def annotate(
    df: DataFrame,
    *,
    version: str | Path,
    code: str,
    date: str,
    date_else: str | None = None,
    modifiers: str | Sequence[str] = (),
    columns: str | Sequence[str] = DEFAULT_COLUMNS,
    redact: str | Sequence[str] = (),
) -> DataFrame:
    """Add ``columns`` to the claims ``df``, and ``<name>_status`` for each of ``modifiers``; a lazy frame, like ``df``.

    ``version``: folder or URL of a published version, or a published target; read on the driver. Dates must be dates
    or time stamps, codes text or whole numbers. Raises ``UnusableColumn`` for others.
    """
    from pyspark.sql import functions as F  # noqa: N812

    modifiers, columns, redact = several(modifiers), several(columns), several(redact)
    tables = open_version(version, columns)
    kinds = dict(df.dtypes)
    for name in (code, date, *filter(None, [date_else]), *modifiers):
        if name not in kinds:
            raise UnusableColumn(f"the claims have no column {name!r}; they have: {', '.join(df.columns)}")
    for name in filter(None, (date, date_else)):
        if kinds[name] not in ("date", "timestamp", "timestamp_ntz"):
            raise UnusableColumn(f"column {name!r} is {kinds[name]}: cast it to a date first")
    taken = [c for c in (*columns, *(f"{m}_status" for m in modifiers)) if c in df.columns]
    if taken:
        raise UnusableColumn(f"the claims have {', '.join(taken)} already; rename, or name other columns to add")

    days = [F.col(f"`{name}`").cast("date") for name in (date, date_else) if name]
    lines = df.withColumn("_hcpcs_day", F.coalesce(*days))
    judges = judges_of(redact, [code], modifiers, [code, date, *modifiers], _schema(df))
    requested = list(dict.fromkeys([*columns, "redistribution", "code_status_on_date", "modifier_kind"]))
    lines = lines.withColumn("_hcpcs_kind", F.lit("procedure"))
    known = known_modifiers(tables)
    lines = _answered(lines, [Lookup(tables)], code, kinds[code], requested, "_hcpcs", known)
    added = [F.col(f"_hcpcs_{c}").alias(c) for c in columns]
    if modifiers:
        lookups = [Lookup(tables, kind) for kind in ("modifier", "ambulance_modifier")]
        lines = lines.withColumn("_hcpcs_kind", F.coalesce(F.col("_hcpcs_modifier_kind"), F.lit("modifier")))
        of_modifier = ["redistribution", "code_status_on_date"]
        for i, name in enumerate(modifiers):
            lines = _answered(lines, lookups, name, kinds[name], of_modifier, f"_hcpcs_{i}", known)
            given = F.col(f"_hcpcs_{i}_key").isNotNull()
            added.append(F.when(given, F.col(f"_hcpcs_{i}_code_status_on_date")).alias(f"{name}_status"))
    for name, (judge,) in judges.items():
        prefix = "_hcpcs" if judge == code else f"_hcpcs_{modifiers.index(judge)}"
        published = (F.col(f"{prefix}_redistribution") == "open") & F.col(f"{prefix}_code_status_on_date").isin(
            *PUBLISHED
        )
        lines = lines.withColumn(name, F.when(published, F.col(f"`{name}`")))
    return lines.select(*(F.col(f"`{c}`") for c in df.columns), *added)


def _schema(df: DataFrame) -> pa.Schema:
    """The columns of ``df``, with texts as such and all others as nothing."""
    return pa.schema([(name, pa.string() if kind == "string" else pa.null()) for name, kind in df.dtypes])


def _answered(
    lines: DataFrame,
    lookups: Sequence[Lookup],
    column: str,
    kind: str,
    requested: Sequence[str],
    prefix: str,
    modifiers: Sequence[str],
) -> DataFrame:
    """``lines`` with the values of ``requested`` for the codes in ``column``, each behind ``prefix``.

    A code that has rows of its own joins by itself, any other by its shape, of which the rows are intervals.
    """
    from pyspark.sql import functions as F  # noqa: N812

    width, key_name, by_name = lookups[0].width, f"{prefix}_key", f"{prefix}_by"
    if kind in ("tinyint", "smallint", "int", "bigint"):
        text = F.col(f"`{column}`").cast("string")
        lines = lines.withColumn(key_name, F.when(F.length(text) <= width, F.lpad(text, width, "0")))
    elif kind == "string":
        stages = code_stages(column, "spark", width, modifiers)
        for name, expression in stages:
            lines = lines.withColumn(name, F.expr(expression))
        lines = lines.withColumnRenamed(stages[-1][0], key_name).drop(*(name for name, _ in stages[:-1]))
    else:
        raise UnusableColumn(f"column {column!r} is {kind}: neither text nor a whole number, so it has no codes")
    spans = pa.concat_tables([lookup.spans(requested) for lookup in lookups])
    joined_by = pc.if_else(spans["is_interval"], spans["code_shape"], spans["first_code"])
    table = spans.append_column("joined_by", joined_by).drop_columns(["is_interval", "code_shape"])
    frame = lines.sparkSession.createDataFrame(table)
    right = F.broadcast(frame.select(*(F.col(c).alias(f"{prefix}_{c}_of") for c in frame.columns)))

    def of(name: str) -> Column:
        return F.col(f"{prefix}_{name}_of")

    own = spans.filter(pc.invert(spans["is_interval"]))
    with_rows = pc.unique(pc.binary_join_element_wise(own["kind"], own["first_code"], " ")).to_pylist()
    shape = F.regexp_replace(F.regexp_replace(F.col(key_name), "[0-9]", "#"), "^[A-Z]", "A")
    # One expression as text: a literal for each code would be ten thousand calls to Java's process.
    listed = ", ".join(f"'{kind_and_code}'" for kind_and_code in with_rows)
    has_own = F.expr(f"concat_ws(' ', _hcpcs_kind, {key_name}) in ({listed})")
    lines = lines.withColumn(by_name, F.when(has_own, F.col(key_name)).otherwise(shape))
    day = F.coalesce(F.col("_hcpcs_day"), F.lit(LAST_DAY))
    is_one = (
        (F.col("_hcpcs_kind") == of("kind"))
        & (F.col(by_name) == of("joined_by"))
        & F.col(key_name).between(of("first_code"), of("last_code"))
        & day.between(of("from_day"), of("to_day"))
    )
    lines = lines.join(right, is_one, "left")
    is_dated = F.col("_hcpcs_day").isNotNull()
    for name in requested:
        value = of(name)
        if name == "section_id":
            value = F.when(is_dated, value).otherwise(of("undated_section_id"))
        elif name == "code_status_on_date":
            value = F.when(is_dated, F.coalesce(value, F.lit("unknown_shape"))).otherwise("no_date")
        elif name in NO_SHAPE:
            value = F.coalesce(value, F.lit(NO_SHAPE[name]))
        elif name not in OF_SHAPE:
            value = F.when(is_dated, value)
        lines = lines.withColumn(f"{prefix}_{name}", value)
    return lines.drop(*(c for c in lines.columns if c.endswith("_of")))
