"""What a code is by its format: code system, section, family, steward, license, days, and what else it may be.

Everything here follows from the published tables: ``code_systems`` (formats and days), ``code_sections`` and
``code_families`` (dated intervals), ``code_lookalikes`` (formats of other code sets), so that the SQL in
docs/classify.md answers the same. Whether a code exists, and what it means, is not decided here.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import TypeVar

import polars as pl

from schemas.columns import LICENSE_UNKNOWN
from sources.curated.tables import load_code_families, load_code_lookalikes, load_code_sections, load_code_systems

#: The code system of what has the format of none, null and the empty string included.
UNKNOWN_SHAPE = "unknown_shape"

#: Columns that ``classify`` adds, in order.
CLASS_COLUMNS = (
    "code_system",
    "system",
    "level",
    "category",
    "section",
    "family",
    "steward",
    "license_id",
    "system_status",
    "system_valid_from",
    "system_valid_to",
    "may_also_be",
)
#: The order of a system's days and a day: ``system_status``.
SYSTEM_STATUSES = ("in_effect", "not_yet_valid", "system_ended")

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def classify(frame: Frame, code: str, *, date: str | dt.date | None = None, prefix: str = "") -> Frame:
    """Add what the column ``code`` is by its format: ``CLASS_COLUMNS``, each behind ``prefix``; rows keep their order.

    ``code_system`` is an id of ``code_systems`` or ``unknown_shape``; ``section`` and ``family`` are ids of
    ``code_sections`` and ``code_families``, or null. The format alone decides the code system, which need not be the
    owner: ``may_also_be`` lists the other code sets that have codes of this format. ``date`` (YYYY-MM-DD) decides
    ``system_status`` (``SYSTEM_STATUSES``) and chooses among sections, families and other code sets; without one a
    system that has an end is ``system_ended``, and the newest section that ever held the number is taken. Codes are
    compared as they are: trim and upper-case them first if your source needs it. Raises ``ValueError`` for a date
    that is none or a column that is there already, ``TypeError`` for a column that is no text.
    """
    schema = frame.lazy().collect_schema()
    taken = [prefix + name for name in CLASS_COLUMNS if prefix + name in schema]
    if taken:
        raise ValueError(f"the frame has {', '.join(taken)} already; give a prefix")
    if schema[code] not in (pl.String, pl.Null):
        raise TypeError(f"{code} is {schema[code]}, not text: leading zeros and letters are part of a code")
    # A column repeats its codes; each is looked at once.
    rows = frame.lazy().with_columns(pl.col(code).cast(pl.String))
    classes = rows.select(code).unique().with_columns(*classification(pl.col(code), date=date, prefix=prefix))
    joined = rows.join(classes, on=code, how="left", nulls_equal=True, maintain_order="left")
    return joined.collect() if isinstance(frame, pl.DataFrame) else joined


def classification(code: pl.Expr, *, date: str | dt.date | None = None, prefix: str = "") -> list[pl.Expr]:
    """The columns of ``classify`` as expressions over a text expression; they are total, and look at every row."""
    day = _day(date)
    systems = load_code_systems()
    system = code_system(code)

    def fact(name: str) -> pl.Expr:
        return system.replace_strict(
            systems["code_system_id"], systems[name], default=None, return_dtype=systems.schema[name]
        )

    columns = {
        "code_system": system,
        "system": fact("system"),
        "level": fact("level"),
        "category": fact("category"),
        "section": code_section(code, date=day),
        "family": _interval(load_code_families().sort("valid_from", descending=True, nulls_last=True), code, day),
        "steward": fact("steward"),
        # What nobody knows is nobody's to redistribute; what is not there has no license.
        "license_id": fact("license_id").fill_null(pl.when(code != "").then(pl.lit(LICENSE_UNKNOWN))),
        "system_status": _system_status(fact("valid_from"), fact("valid_to"), system, day),
        "system_valid_from": fact("valid_from"),
        "system_valid_to": fact("valid_to"),
        "may_also_be": lookalikes(code, date=day),
    }
    return [columns[name].alias(prefix + name) for name in CLASS_COLUMNS]


def code_system(code: pl.Expr) -> pl.Expr:
    """The id of the one code system that has the code's format, else ``unknown_shape``; never null."""
    found = [pl.when(code.str.contains(pattern)).then(pl.lit(name)) for name, pattern in _patterns()]
    return pl.coalesce(*found, pl.lit(UNKNOWN_SHAPE))


def code_section(code: pl.Expr, *, date: str | dt.date | None = None) -> pl.Expr:
    """The id of the deepest section whose interval holds the code, on ``date`` if one is given; null if none does."""
    sections = load_code_sections().sort("depth", "valid_from", descending=True, nulls_last=True)
    return _interval(sections, code, _day(date))


def lookalikes(code: pl.Expr, *, date: str | dt.date | None = None) -> pl.Expr:
    """The other code sets that have codes of this format on ``date``, sorted; a list, empty if there are none."""
    table = _on(load_code_lookalikes(), _day(date))
    found = [
        pl.when(code.str.contains(pattern)).then(pl.lit(name))
        for name, pattern in table.select("code_set", "code_pattern").iter_rows()
    ]
    return pl.concat_list(found).list.drop_nulls().list.unique().list.sort()


def _system_status(start: pl.Expr, end: pl.Expr, system: pl.Expr, day: dt.date | None) -> pl.Expr:
    ended = end.is_not_null() if day is None else end < day
    early = pl.lit(False) if day is None else start > day
    return (
        pl.when(system == UNKNOWN_SHAPE)
        .then(None)
        .when(ended)
        .then(pl.lit("system_ended"))
        .when(early)
        .then(pl.lit("not_yet_valid"))
        .otherwise(pl.lit("in_effect"))
    )


def _interval(table: pl.DataFrame, code: pl.Expr, day: dt.date | None) -> pl.Expr:
    """The id (first column) of the first interval of ``table`` that holds the code on ``day``; null if none does."""
    patterns = dict(_patterns())
    found = []
    for row in _on(table, day).iter_rows(named=True):
        inside = code >= row["first_code"]
        if row["last_code"] is not None:
            inside = inside & (code <= row["last_code"])
        # Within one format, the order of text is the order of numbers.
        inside = inside & code.str.contains(patterns[row["code_system_id"]])
        found.append(pl.when(inside).then(pl.lit(row[table.columns[0]])))
    return pl.coalesce(*found, pl.lit(None, dtype=pl.String))


def _on(table: pl.DataFrame, day: dt.date | None) -> pl.DataFrame:
    """The rows of ``table`` that are valid on ``day``; all without one."""
    if day is None:
        return table
    return table.filter((pl.col("valid_from") <= day).fill_null(True) & (pl.col("valid_to") >= day).fill_null(True))


def _day(date: str | dt.date | None) -> dt.date | None:
    if not isinstance(date, str):
        return date
    try:
        return dt.datetime.strptime(date, "%Y-%m-%d").date()
    except ValueError:
        raise ValueError(f"{date!r} is no date (YYYY-MM-DD)") from None


@cache
def _patterns() -> tuple[tuple[str, str], ...]:
    """Code systems that have a format of their own, with its pattern; no string matches two of them."""
    shaped = load_code_systems().filter(pl.col("code_pattern").is_not_null())
    return tuple(shaped.select("code_system_id", "code_pattern").iter_rows())
