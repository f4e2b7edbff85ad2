"""The rows of tables as data for their pages: by column, values that come again kept once, and not more than a page
can filter at once. Nothing here knows a table.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import groupby
from typing import Any

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
    columns = frame.cast({pl.Date: pl.String}).get_columns()
    return {"rows": frame.height, "columns": [_column(series) for series in columns]}


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


def _column(series: pl.Series) -> dict[str, Any]:
    """A column's values; where many are the same, those that differ and ``at``, for each row the place of its own.

    Where that seldom changes from row to row, ``at`` has a place for each run of rows, and ``runs`` their lengths.
    """
    values = series.to_list()
    if isinstance(series.dtype, pl.List):
        values = [None if v is None else tuple(v) for v in values]
    places: dict[Any, int] = {}
    at = [places.setdefault(v, len(places)) for v in values]
    if len(places) * 2 > len(values):
        return {"name": series.name, "values": values}
    runs = [(place, len(list(run))) for place, run in groupby(at)]
    column = {"name": series.name, "values": list(places)}
    if len(runs) * 2 > len(at):
        return column | {"at": at}
    return column | {"at": [place for place, _ in runs], "runs": [length for _, length in runs]}
