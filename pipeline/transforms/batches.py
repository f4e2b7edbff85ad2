"""Work on all records a portion at a time: what concerns each code by itself needs no more memory than a portion does.

Nothing here knows what the work is.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

_CODE = ["kind", "code"]
#: Records of a portion: few enough to bound memory, enough that ten releases are one portion.
_MOST_RECORDS = 100_000


def by_portions_of_codes(
    work: Callable[[pl.DataFrame], pl.DataFrame], records: pl.DataFrame, most_records: int = _MOST_RECORDS
) -> pl.DataFrame:
    """What ``work`` makes of ``records``, done for some codes after the others and put together in order of kind, code.

    ``work`` must treat each code by itself; every record of a code is in one portion, a portion has at most about
    ``most_records`` rows.
    """
    if records.height <= most_records:
        return work(records)
    codes = (
        records.group_by(_CODE).len().sort(_CODE).select(*_CODE, portion=(pl.col("len").cum_sum() - 1) // most_records)
    )
    portion = records.select(_CODE).join(codes, on=_CODE, how="left", maintain_order="left").get_column("portion")
    return pl.concat([work(records.filter(portion == number)) for number in codes["portion"].unique().sort()])
