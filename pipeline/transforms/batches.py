"""Read all records, and work on them in batches of codes, so that a batch bounds the memory and not the releases.

Nothing here knows what the work is.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

_CODE = ["kind", "code"]
#: Records of a batch: few enough to bound memory, enough that ten releases are one batch.
_MOST_RECORDS = 100_000


def collected(scan: pl.LazyFrame) -> pl.DataFrame:
    """The rows of a lazy frame, each column in one piece: filtering a frame in chunks would keep a second one."""
    frame = scan.collect()
    return pl.DataFrame([frame.drop_in_place(name).rechunk() for name in frame.columns])


def gathered(frame: pl.DataFrame, rows: pl.Series) -> pl.DataFrame:
    """``rows`` of ``frame``, taken out of it a column at a time, so that records are never in memory twice."""
    return pl.DataFrame([frame.drop_in_place(name).gather(rows) for name in frame.columns])


def in_batches_of_codes(
    work: Callable[[pl.DataFrame], pl.DataFrame], records: pl.DataFrame, most_records: int = _MOST_RECORDS
) -> pl.DataFrame:
    """What ``work`` makes of ``records``, done for some codes after the others and put together in order of kind, code.

    ``work`` must treat each code by itself; every record of a code is in one batch, and a batch has at most about
    ``most_records`` rows.
    """
    if records.height <= most_records:
        return work(records)
    codes = (
        records.group_by(_CODE).len().sort(_CODE).select(*_CODE, batch=(pl.col("len").cum_sum() - 1) // most_records)
    )
    batch = records.select(_CODE).join(codes, on=_CODE, how="left", maintain_order="left").get_column("batch")
    return pl.concat([work(records.filter(batch == number)) for number in codes["batch"].unique().sort()])
