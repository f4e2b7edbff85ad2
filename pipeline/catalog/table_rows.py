"""The rows of tables as data for their pages: by column, values that come again kept once, and not more than a page
can filter at once. Nothing here knows a table.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain, pairwise, repeat
from typing import Any

import numpy as np
import polars as pl

#: More rows than this are left to a query: a browser filters these while one types.
MOST_ROWS = 10_000


@dataclass(frozen=True, slots=True)
class DisplayedRows:
    """The rows that a table's page displays, as data, and which of all they are, in words."""

    data: dict[str, Any]
    rows: int
    words: str


def displayed_rows(frame: pl.DataFrame) -> DisplayedRows:
    """All rows of a table, or of a larger one those of its newest releases, or else the first by its key."""
    some, words = _chosen(frame)
    return DisplayedRows(by_column(some), some.height, words)


def by_column(frame: pl.DataFrame) -> dict[str, Any]:
    """A table as data, as ``rowsOf`` of static/catalog.js reads it; days as text."""
    return next(parts_by_column(frame, [frame.height]))


def parts_by_column(frame: pl.DataFrame, heights: Sequence[int]) -> Iterator[dict[str, Any]]:
    """The same of each of several tables that lie one below the other in ``frame``, by their heights."""
    ends = np.cumsum(heights, dtype=np.int64)
    columns = frame.cast({pl.Date: pl.String}).get_columns()
    runs = frame.select(pl.all().rle_id()).get_columns()
    parts = [_parts_of_column(column, of.to_numpy(), ends) for column, of in zip(columns, runs, strict=True)]
    for rows, *part in zip(heights, *parts, strict=True):
        yield {"rows": rows, "columns": part}


def _chosen(frame: pl.DataFrame) -> tuple[pl.DataFrame, str]:
    if frame.height <= MOST_ROWS:
        return frame, "All rows."
    if "release_id" in frame.columns:
        counts = frame["release_id"].drop_nulls().value_counts().sort("release_id", descending=True)
        newest = counts.filter(pl.col("count").cum_sum() <= MOST_ROWS)["release_id"]
        if len(newest):
            which = newest[0] if len(newest) == 1 else f"{newest[-1]} to {newest[0]}"
            return frame.filter(pl.col("release_id").is_in(newest.implode())), f"The rows of {which}."
    return frame.head(MOST_ROWS), f"The first {MOST_ROWS:,} rows by the table's key."


def _parts_of_column(column: pl.Series, runs: np.ndarray, ends: np.ndarray) -> Iterator[dict[str, Any]]:
    """A column of each part, by its runs: most rows repeat the one before, and only what differs is looked at."""
    is_first = np.ones(len(runs), dtype=bool)
    is_first[1:] = runs[1:] != runs[:-1]
    is_first[ends[:-1]] = True
    values = column.filter(pl.Series(is_first)).to_list()
    if isinstance(column.dtype, pl.List):
        values = [None if v is None else tuple(v) for v in values]
    firsts = np.flatnonzero(is_first)
    lengths = np.diff(firsts, append=len(runs)).tolist()
    name = column.name
    for start, end in pairwise([0, *np.searchsorted(firsts, ends).tolist()]):
        yield _column(name, values[start:end], lengths[start:end])


def _column(name: str, values: list[Any], runs: list[int]) -> dict[str, Any]:
    """A column of the values of runs; where many are the same, those that differ and ``at``, the place of each row's.

    Where that seldom changes from row to row, ``at`` has a place for each run of rows, and ``runs`` their lengths.
    """
    rows = sum(runs)
    places = {value: place for place, value in enumerate(dict.fromkeys(values))}
    if len(places) * 2 > rows:
        return {"name": name, "values": _repeated(values, runs)}
    at = [places[value] for value in values]
    column = {"name": name, "values": list(places)}
    if len(runs) * 2 > rows:
        return column | {"at": _repeated(at, runs)}
    return column | {"at": at, "runs": runs}


def _repeated(values: list[Any], times: list[int]) -> list[Any]:
    return list(chain.from_iterable(map(repeat, values, times)))
