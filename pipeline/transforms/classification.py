"""What a code is by its shape: code system, level, category, section, steward and license.

Everything here follows from the published tables ``code_systems`` (shapes) and ``code_sections`` (dated intervals),
so that the SQL in docs/classify.md says the same. Whether a code exists, and what it means, is not decided here.
"""

from __future__ import annotations

import datetime as dt
from functools import cache
from typing import TypeVar

import polars as pl

from sources.curated.tables import load_code_sections, load_code_systems

#: The code system of what has the shape of none, null and the empty string included.
UNKNOWN_SHAPE = "unknown_shape"

#: Columns that ``classify`` adds, in order.
CLASS_COLUMNS = ("code_system", "system", "level", "category", "section", "steward", "license_id")

Frame = TypeVar("Frame", pl.DataFrame, pl.LazyFrame)


def classify(frame: Frame, code: str, *, date: str | dt.date | None = None, prefix: str = "") -> Frame:
    """Add what the column ``code`` is by its shape: ``CLASS_COLUMNS``, each behind ``prefix``; rows keep their order.

    ``code_system`` is an id of ``code_systems`` or ``unknown_shape`` (then the others are null); ``section`` is an id
    of ``code_sections``, or null where a code system has none there. Shape alone decides the code system; ``date``
    (YYYY-MM-DD) chooses among sections only, and without one the newest section that ever held the number is taken.
    Codes are compared as they stand: trim and upper-case them first if your source needs it. Raises ``ValueError``
    for a date that is none or a column that is there already, ``TypeError`` for a column that is no text.
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
    systems = load_code_systems()
    system = code_system(code)
    facts = [
        system.replace_strict(systems["code_system_id"], systems[fact], default=None, return_dtype=pl.String).alias(
            prefix + fact
        )
        for fact in ("system", "level", "category", "steward", "license_id")
    ]
    section = code_section(code, date=date).alias(prefix + "section")
    return [system.alias(prefix + "code_system"), *facts[:3], section, *facts[3:]]


def code_system(code: pl.Expr) -> pl.Expr:
    """The id of the one code system that has the code's shape, else ``unknown_shape``; never null."""
    found = [pl.when(code.str.contains(pattern)).then(pl.lit(name)) for name, pattern in _patterns()]
    return pl.coalesce(*found, pl.lit(UNKNOWN_SHAPE))


def code_section(code: pl.Expr, *, date: str | dt.date | None = None) -> pl.Expr:
    """The id of the deepest section whose interval holds the code, on ``date`` if one is given; null if none does."""
    day = _day(date)
    sections = load_code_sections().sort("depth", "valid_from", descending=True, nulls_last=True)
    if day is not None:
        sections = sections.filter(
            (pl.col("valid_from") <= day).fill_null(True) & (pl.col("valid_to") >= day).fill_null(True)
        )
    patterns = dict(_patterns())
    found = []
    for row in sections.iter_rows(named=True):
        inside = code >= row["first_code"]
        if row["last_code"] is not None:
            inside = inside & (code <= row["last_code"])
        # Within one shape, the order of text is the order of numbers.
        inside = inside & code.str.contains(patterns[row["code_system_id"]])
        found.append(pl.when(inside).then(pl.lit(row["section_id"])))
    return pl.coalesce(*found, pl.lit(None, dtype=pl.String))


def _day(date: str | dt.date | None) -> dt.date | None:
    if not isinstance(date, str):
        return date
    try:
        return dt.datetime.strptime(date, "%Y-%m-%d").date()
    except ValueError:
        raise ValueError(f"{date!r} is no date (YYYY-MM-DD)") from None


@cache
def _patterns() -> tuple[tuple[str, str], ...]:
    """Code systems that have a shape of their own, with its pattern; no string matches two of them."""
    shaped = load_code_systems().filter(pl.col("code_pattern").is_not_null())
    return tuple(shaped.select("code_system_id", "code_pattern").iter_rows())
