"""Charts of bars and lines: where each mark and label is. The macro `chart` draws them and adds their numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any, NamedTuple

#: Colors of the page, ``--series-1`` and so on.
MOST_SERIES = 8

WIDTH = 720
LEFT, RIGHT, _TOP, _BOTTOM = 56, WIDTH - 16, 12, 28
_LABEL_HEIGHT, _CHARACTER = 15, 8
_MOST_STEPS, _MOST_LABELS = 6, 10
_BAR_SHARE = 0.7


class Label(NamedTuple):
    """A text and where it is; ``series`` is the number of its color, 0 for the color of labels."""

    x: float
    y: float
    text: str
    series: int = 0


class Bar(NamedTuple):
    """A rectangle; ``series`` is the number of its color, 0 for a gray band."""

    x: float
    y: float
    width: float
    height: float
    series: int


@dataclass(frozen=True, slots=True)
class Drawing:
    """Marks and labels: ``steps`` of the grid, ``places`` below it, ``legend`` and ``ends`` (of curves) within it.

    A curve is the points (x, y) of the series of its number.
    """

    height: int
    steps: Sequence[Label]
    places: Sequence[Label]
    bars: Sequence[Bar]
    curves: Sequence[Sequence[tuple[float, float]]] = ()
    ends: Sequence[Label] = ()
    legend: Sequence[Label] = ()


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing and the numbers in it: ``headings`` and ``rows`` are for those who cannot see it."""

    title: str
    description: str
    headings: Sequence[str]
    rows: Sequence[Sequence[Any]]
    drawing: Drawing


class _Scale:
    """Values from 0 to ``most`` on the height of a chart, in steps of 1, 2 or 5 times a power of ten."""

    def __init__(self, most: int, height: int) -> None:
        sizes = (digit * 10**power for power in range(12) for digit in (1, 2, 5))
        step = next(size for size in sizes if size * _MOST_STEPS >= most)
        values = [n * step for n in range(max(-(-most // step), 1) + 1)]
        self._bottom = height - _BOTTOM
        self.pixels = (self._bottom - _TOP) / values[-1]
        self.steps = [Label(LEFT - 8, self.y(value), f"{value:,}") for value in values]
        self.below = self._bottom + 18

    def y(self, value: int) -> float:
        return self._bottom - value * self.pixels


def bar_chart(places: Sequence[str], series: Mapping[str, Sequence[int]], *, height: int) -> Drawing:
    """A bar for each of ``places``, the values of the series stacked; a legend where there are several series."""
    stacks = list(zip(*series.values(), strict=True))
    scale = _Scale(max(map(sum, stacks), default=0), height)
    slot = (RIGHT - LEFT) / max(len(places), 1)
    found = []
    for n, stack in enumerate(stacks):
        top = 0
        for color, value in enumerate(stack, 1):
            top += value
            x = LEFT + slot * (n + (1 - _BAR_SHARE) / 2)
            found.append(Bar(x, scale.y(top), slot * _BAR_SHARE, value * scale.pixels, color))
    every = -(-len(places) // _MOST_LABELS)
    below = [Label(LEFT + slot * (n + 0.5), scale.below, place) for n, place in enumerate(places) if n % every == 0]
    legend = [Label(RIGHT, _TOP + _LABEL_HEIGHT * n, name, n) for n, name in enumerate(series, 1)]
    return Drawing(height, scale.steps, below, found, legend=legend if len(series) > 1 else [])


def line_chart(
    days: Sequence[date],
    series: Mapping[str, Sequence[int]],
    *,
    bands: Sequence[tuple[date, date]],
    height: int,
) -> Drawing:
    """A line for each of the series through its values on ``days``, named at its end; ``bands`` of days are gray."""
    scale = _Scale(max(max(values) for values in series.values()), height)
    room = RIGHT - LEFT - _CHARACTER * (1 + max(map(len, series)))
    pixels = room / max((days[-1] - days[0]).days, 1)

    def x(day: date) -> float:
        return LEFT + (day - days[0]).days * pixels

    lines = [[(x(day), scale.y(n)) for day, n in zip(days, values, strict=True)] for values in series.values()]
    heights = _apart([points[-1][1] for points in lines])
    names = enumerate(zip(series, heights, strict=True), 1)
    ends = [Label(x(days[-1]) + _CHARACTER, y, name, n) for n, (name, y) in names]
    years = [date(year, 1, 1) for year in range(days[0].year, days[-1].year + 1) if date(year, 1, 1) >= days[0]]
    below = [Label(x(day), scale.below, str(day.year)) for day in years[:: -(-len(years) // _MOST_LABELS) or 1]]
    gray = [Bar(x(a), _TOP, x(b) - x(a), height - _TOP - _BOTTOM, 0) for a, b in bands]
    return Drawing(height, scale.steps, below, gray, lines, ends)


def _apart(heights: list[float]) -> list[float]:
    """The heights of labels, moved up where two would be closer than a label is high."""
    moved = list(heights)
    order = sorted(range(len(heights)), key=heights.__getitem__, reverse=True)
    for below, above in pairwise(order):
        moved[above] = min(moved[above], moved[below] - _LABEL_HEIGHT)
    return moved
