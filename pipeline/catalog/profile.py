"""What a column holds, in numbers: how much of it is filled, how many values differ, which they are or where they lie.

Reads frames of the open tier, where what is withheld is null already. Values with a number in them that is shaped like
another owner's code are left out of examples all the same: an example is no place for a citation.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import polars as pl

#: Columns with no more values than this show all of them.
_FEW = 8
#: Of short values that come again and again the most frequent are shown.
_SHORT, _MANY, _MOST_FREQUENT = 12, 200, 5
_SHOWN_EXAMPLES = 3
_LONGEST = 90
_BINS = 24
_SHAPED = r"(?i)(?:^|[^0-9a-z])(?:cpt|cdt)?(?:[0-9]{5}|[0-9]{4}[ftmau]|0[0-9]{3}u|d[0-9]{4})(?:[^0-9a-z]|$)"


@dataclass(frozen=True, slots=True)
class Profile:
    """A column in numbers.

    ``filled`` counts cells that are not null (of lists: not empty); ``values`` counts values (of lists: elements), and
    ``distinct`` those that differ. ``shares`` has a few values, or the most frequent short ones, with their numbers; of
    other texts, ``examples`` has some; of numbers and days, ``lowest``, ``highest`` and ``bins``, counts over equal
    parts of the way between.
    """

    rows: int
    filled: int
    distinct: int
    is_list: bool
    values: int = 0
    shares: tuple[tuple[str, int], ...] = ()
    examples: tuple[str, ...] = ()
    lowest: str = ""
    highest: str = ""
    bins: tuple[int, ...] = field(default=())

    @property
    def hidden_values(self) -> int:
        """How many values are not in ``shares``, of a column that has shares."""
        return self.distinct - len(self.shares) if self.shares else 0

    @property
    def filled_share(self) -> float:
        """The filled part, from 0 to 1; 1 of an empty table."""
        return self.filled / self.rows if self.rows else 1.0


def profiles(frame: pl.DataFrame) -> dict[str, Profile]:
    """The profile of every column of ``frame``."""
    return {series.name: _profile(series) for series in frame.get_columns()}


def _profile(series: pl.Series) -> Profile:
    is_list = isinstance(series.dtype, pl.List)
    filled = series.len() - series.null_count()
    values = series.drop_nulls()
    if is_list:
        filled = int((series.list.len() > 0).sum())
        values = series.filter(series.list.len() > 0).explode().drop_nulls()
    counted = values.value_counts(sort=True, name="rows")
    common: dict[str, Any] = {"rows": series.len(), "filled": filled, "distinct": counted.height, "is_list": is_list}
    common["values"] = values.len()
    if values.dtype.is_numeric() or values.dtype == pl.Date:
        if counted.height > _FEW:
            return Profile(**common, **_range(values))
        counted = counted.sort(values.name)
    if counted.height <= _FEW:
        return Profile(**common, shares=_shares(counted))
    if values.dtype == pl.String and _is_coded(values, counted):
        return Profile(**common, shares=_shares(counted.head(_MOST_FREQUENT)))
    return Profile(**common, examples=_examples(counted))


def _is_coded(values: pl.Series, counted: pl.DataFrame) -> bool:
    """Whether texts are short values of a list, which come again and again."""
    if counted.height > _MANY or counted.height * 4 >= values.len():
        return False
    return all(len(text) <= _SHORT for text in counted.to_series(0))


def _shares(counted: pl.DataFrame) -> tuple[tuple[str, int], ...]:
    shown = ((_words(value), rows) for value, rows in counted.iter_rows())
    return tuple((text, rows) for text, rows in shown if not re.search(_SHAPED, text))


def _examples(counted: pl.DataFrame) -> tuple[str, ...]:
    """Some texts, spread over the alphabet, so that the same table always has the same ones."""
    texts = counted.to_series(0).cast(pl.String)
    texts = texts.filter(~texts.str.contains(_SHAPED) & (texts != "")).sort()
    places = [(2 * n + 1) * texts.len() // (2 * _SHOWN_EXAMPLES) for n in range(_SHOWN_EXAMPLES)]
    return tuple(dict.fromkeys(_words(texts[place]) for place in places)) if texts.len() else ()


def _range(values: pl.Series) -> dict[str, Any]:
    numbers = values.to_physical().cast(pl.Float64)
    lowest, highest = values.min(), values.max()
    first = float(numbers.min())  # type: ignore[arg-type]
    width = max(float(numbers.max()) - first, 1.0)  # type: ignore[arg-type]
    places = ((numbers - first) * _BINS / width).floor().cast(pl.Int64).clip(0, _BINS - 1)
    counts = dict(places.value_counts().iter_rows())
    return {
        "lowest": _words(lowest),
        "highest": _words(highest),
        "bins": tuple(counts.get(n, 0) for n in range(_BINS)),
    }


def _words(value: Any) -> str:
    """A value as text, a long one cut at a word."""
    if isinstance(value, str) and len(value) > _LONGEST:
        return re.sub(r"\s+\S*$", "", value[:_LONGEST]) + "…"
    if isinstance(value, int | float) and not isinstance(value, bool):
        return f"{value:,}"
    return str(value).lower() if isinstance(value, bool) else str(value)


def bars(bins: Sequence[int], width: float, height: float) -> list[tuple[float, float, float, float]]:
    """Rectangles (x, y, width, height) of a histogram; what is not empty is at least a line."""
    most = max(bins, default=0) or 1
    each = width / max(len(bins), 1)
    found = []
    for number, count in enumerate(bins):
        if count:
            tall = max(1.0, count / most * height)
            found.append((number * each, height - tall, each - 0.6, tall))
    return found
