"""What a code is by its format, for frames of the pipeline: ``hcpcs.classify`` on the curated tables."""

from __future__ import annotations

import datetime as dt
from functools import cache

import polars as pl
import pyarrow as pa

from hcpcs.classify import CLASS_COLUMNS, UNKNOWN_SHAPE, Classifier
from sources.curated.tables import load_code_families, load_code_lookalikes, load_code_sections, load_code_systems

__all__ = ["CLASS_COLUMNS", "UNKNOWN_SHAPE", "classify", "code_section"]


def classify(frame: pl.DataFrame, code: str, *, date: str | dt.date | None = None, prefix: str = "") -> pl.DataFrame:
    """Add what the column ``code`` is by its format: ``CLASS_COLUMNS``, each behind ``prefix``; rows keep their order.

    ``date`` (YYYY-MM-DD) as for ``hcpcs.classify``. Codes are compared as they are: trim and upper-case them first if
    your source needs it. Raises ``ValueError`` for a date that is none or a column that is there already,
    ``TypeError`` for a column that is no text.
    """
    taken = [prefix + name for name in CLASS_COLUMNS if prefix + name in frame.schema]
    if taken:
        raise ValueError(f"the frame has {', '.join(taken)} already; give a prefix")
    if frame.schema[code] not in (pl.String, pl.Null):
        raise TypeError(f"{code} is {frame.schema[code]}, not text: leading zeros and letters are part of a code")
    # A column repeats its codes; each is looked at once.
    codes = _texts(frame[code]).dictionary_encode(null_encoding="encode")
    classes = pl.DataFrame(_curated().classes(codes.dictionary, _day(date)).take(codes.indices))
    return frame.with_columns(classes.rename(lambda name: prefix + name).get_columns())


def code_section(code: pl.Expr) -> pl.Expr:
    """The id of the deepest and newest section whose interval contains the code; null if none does."""
    return code.map_batches(lambda codes: pl.Series(_curated().sections(_texts(codes))), return_dtype=pl.String)


def _texts(codes: pl.Series) -> pa.Array:
    return codes.cast(pl.String).to_arrow().cast(pa.string())


def _day(date: str | dt.date | None) -> dt.date | None:
    if not isinstance(date, str):
        return date
    try:
        return dt.datetime.strptime(date, "%Y-%m-%d").date()
    except ValueError:
        raise ValueError(f"{date!r} is no date (YYYY-MM-DD)") from None


@cache
def _curated() -> Classifier:
    loaded = (load_code_systems(), load_code_sections(), load_code_families(), load_code_lookalikes())
    return Classifier(*(_plain(frame.to_arrow()) for frame in loaded))


def _plain(table: pa.Table) -> pa.Table:
    fields = [f.with_type(pa.string()) if pa.types.is_large_string(f.type) else f for f in table.schema]
    return table.cast(pa.schema(fields))
