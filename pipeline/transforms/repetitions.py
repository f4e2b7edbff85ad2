"""Leave out records that say nothing new: releases state most of what they state again.

What spans, states, changes and episodes are made from shows where a code's records begin, end or differ.
"""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

#: Records whose action code claims that CMS did something: each claim counts, also one that is repeated.
CLAIMS = pl.col("action_code").ne_missing("N")

#: Rows that are looked at together.
_PART_ROWS = 100_000


def without_repetitions(
    records: pl.LazyFrame, keep: pl.Expr, *, place: tuple[str, ...] = ("revision",)
) -> pl.DataFrame:
    """``records`` without those that state what the loaded releases just before and just after state, all of it.

    ``records`` are sorted by kind, code and release, one record each. What ``keep`` selects stays in any case, and
    what differs in the columns of ``place`` alone is the same. Adds ``repeats``: whether the release just before
    states the same, be that record left out or not.
    """
    releases = records.select(pl.col("release_id").unique().sort()).collect()["release_id"].to_list()
    before = dict(zip(releases[1:], releases, strict=False))
    return pl.concat(list(_parts(records, before, keep, place)))


def _parts(
    records: pl.LazyFrame, before: dict[str, str], keep: pl.Expr, place: tuple[str, ...]
) -> Iterator[pl.DataFrame]:
    rows = records.select(pl.len()).collect().item()
    for start in range(0, max(rows, 1), _PART_ROWS):
        # With a row of either neighbor, in which a code may have begun or go on.
        first = max(start - 1, 0)
        part = records.slice(first, start - first + _PART_ROWS + 1).collect()
        stated, release = part.select(pl.exclude("release_id", *place)).hash_rows(), part["release_id"]
        is_next = release.shift(1) == release.replace_strict(before, default=None, return_dtype=pl.String)
        repeats = ((stated == stated.shift(1)) & is_next).fill_null(False).alias("repeats")
        part = part.with_columns(repeats)
        is_new = ~repeats | ~repeats.shift(-1, fill_value=False)
        yield (
            part.with_columns(is_new=is_new)
            .slice(start - first, _PART_ROWS)
            .filter(pl.col("is_new") | keep)
            .drop("is_new")
        )
