"""Annotating on Apache Spark: what ``hcpcs.annotate.engine`` does, as broadcast joins and expressions of Spark's own.

Needs the extra ``spark``. The lookup is compiled on the driver and sent to every executor, some 50,000 small rows; the
claims are neither shuffled nor sorted, and no Python runs for a line. Files, summary and date forms are not done here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from hcpcs.annotate.engine import known_modifiers, open_version
from hcpcs.annotate.lookup import DEFAULT_COLUMNS, Lookup
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
    modifiers: Sequence[str] = (),
    columns: Sequence[str] = DEFAULT_COLUMNS,
    redact: Sequence[str] = (),
) -> DataFrame:
    """Add ``columns`` to the claims ``df``, and ``<name>_status`` for each of ``modifiers``; a lazy frame, like ``df``.

    ``version``: folder or address of a published version, read on the driver. Dates must be dates or time stamps,
    codes text or whole numbers. Raises ``UnusableColumn`` for others.
    """
    from pyspark.sql import functions as F  # noqa: N812

    tables = open_version(version, columns)
    kinds = dict(df.dtypes)
    for name in (code, date, *filter(None, [date_else]), *modifiers, *redact):
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
    asked = list(dict.fromkeys([*columns, "redistribution"]))
    lookup = Lookup(tables)
    known = known_modifiers(tables)
    lines = _answered(lines, lookup, code, kinds[code], asked, "_hcpcs", known)
    for name in redact:
        lines = lines.withColumn(name, F.when(F.col("_hcpcs_redistribution") == "open", F.col(f"`{name}`")))
    added = [F.col(f"_hcpcs_{c}").alias(c) for c in columns]
    if modifiers:
        modifier_lookup = Lookup(tables, "modifier")
        for i, name in enumerate(modifiers):
            lines = _answered(lines, modifier_lookup, name, kinds[name], ["code_status_on_date"], f"_hcpcs_{i}", known)
            given = F.col(f"_hcpcs_{i}_key").isNotNull()
            added.append(F.when(given, F.col(f"_hcpcs_{i}_code_status_on_date")).alias(f"{name}_status"))
    return lines.select(*(F.col(f"`{c}`") for c in df.columns), *added)


def _answered(
    lines: DataFrame,
    lookup: Lookup,
    column: str,
    kind: str,
    asked: Sequence[str],
    prefix: str,
    modifiers: Sequence[str],
) -> DataFrame:
    """``lines`` with the values of ``asked`` for the codes in ``column``, each behind ``prefix``."""
    from pyspark.sql import functions as F  # noqa: N812

    def small(table: pa.Table) -> DataFrame:
        frame: DataFrame = lines.sparkSession.createDataFrame(table)
        return F.broadcast(frame.select(*(F.col(c).alias(f"{prefix}_{c}_of") for c in frame.columns)))

    def of(name: str) -> Column:
        return F.col(f"{prefix}_{name}_of")

    def holds() -> Column:
        day = F.col("_hcpcs_day")
        within = (of("from_day").isNull() | (of("from_day") <= day)) & (
            of("next_day").isNull() | (day < of("next_day"))
        )
        return F.when(day.isNull(), of("is_undated")).otherwise(~of("is_undated") & within)

    known, shaped = lookup.runs()
    key_name, system_name, answer_name = f"{prefix}_key", f"{prefix}_system", f"{prefix}_answer"
    if kind in ("tinyint", "smallint", "int", "bigint"):
        text = F.col(f"`{column}`").cast("string")
        lines = lines.withColumn(key_name, F.when(F.length(text) <= lookup.width, F.lpad(text, lookup.width, "0")))
    elif kind == "string":
        stages = code_stages(column, "spark", lookup.width, modifiers)
        for name, expression in stages:
            lines = lines.withColumn(name, F.expr(expression))
        lines = lines.withColumnRenamed(stages[-1][0], key_name).drop(*(name for name, _ in stages[:-1]))
    else:
        raise UnusableColumn(f"column {column!r} is {kind}: neither text nor a whole number, so it holds no codes")
    system: Any = F.lit(None).cast("string")
    for name, pattern in reversed(lookup.patterns):
        system = F.when(F.col(key_name).rlike(pattern), name).otherwise(system)
    lines = lines.withColumn(system_name, system)
    lines = lines.join(small(known), (F.col(key_name) == of("code")) & holds(), "left")
    lines = lines.withColumn(answer_name, of("answer")).drop(*(c for c in lines.columns if c.endswith("_of")))
    in_interval = (of("first_code") <= F.col(key_name)) & (F.col(key_name) <= of("last_code"))
    same_system = F.when(F.col(answer_name).isNull(), F.col(system_name)) == of("code_system")
    lines = lines.join(small(shaped), same_system & in_interval & holds(), "left")
    with_day, without = lookup.shapeless_answers
    shapeless = F.when(F.col("_hcpcs_day").isNull(), without).otherwise(with_day)
    lines = lines.withColumn(answer_name, F.coalesce(F.col(answer_name), of("answer"), shapeless))
    lines = lines.drop(*(c for c in lines.columns if c.endswith("_of")))
    values = {name: _plain(lookup.column(name)) for name in asked}
    answers = pa.table({"answer": pa.array(range(lookup.answer_count), pa.int32()), **values})
    lines = lines.join(small(answers), F.col(answer_name) == of("answer"), "left")
    for name in asked:
        lines = lines.withColumn(f"{prefix}_{name}", of(name))
    return lines.drop(*(c for c in lines.columns if c.endswith("_of")))


def _plain(column: pa.Array) -> pa.Array:
    return column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
