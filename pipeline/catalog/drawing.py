"""Graphs of tables as SVG: where boxes and lines go. What a box says and leads to is the template's business.

Boxes stand in layers from left to right, the way of the data. A line that passes a layer has a place of its own in it,
which the lines from one box share, so that none runs behind a box. Within a layer all are ordered by the mean place of
what they are joined to, swept a few times, which keeps most lines from crossing.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from pipeline.lineage.columns import SOURCES, Table

_CHARACTER = 7.0
_PADDING = 10
_BOX_HEIGHT, _PASSAGE_HEIGHT, _GAP = 26, 4, 9
_BETWEEN_LAYERS = 44
_SWEEPS = 12

#: What stands in a layer: a table, or the passage of the lines from the table of that name.
_Place = tuple[str, int]


@dataclass(frozen=True, slots=True)
class Box:
    """A table or source in a drawing; ``x`` and ``y`` are its upper left corner."""

    name: str
    label: str
    kind: str
    x: float
    y: float
    width: float
    height: float = _BOX_HEIGHT


@dataclass(frozen=True, slots=True)
class Line:
    """A line from one box to another; ``path`` is SVG's."""

    start: str
    end: str
    path: str


@dataclass(frozen=True, slots=True)
class Drawing:
    """Boxes, lines, and the size of all."""

    width: float
    height: float
    boxes: tuple[Box, ...]
    lines: tuple[Line, ...]


def label_of(table: Table) -> str:
    """What a box says: a source by its title, a table by its name."""
    return SOURCES[table.name].title.removeprefix("sources/") if table.name in SOURCES else table.name


def kind_of(table: Table) -> str:
    """What kind of box it is: published, staged, cms, curated or version."""
    if table.name in SOURCES:
        return "curated" if SOURCES[table.name].is_derived else "cms"
    return "published" if table.is_published else "version" if table.group == "version" else "staged"


def layers_of(inputs: Mapping[str, Iterable[str]]) -> dict[str, int]:
    """The layer of each table: one further than the furthest of what it is made from, which ``inputs`` tells."""
    layers: dict[str, int] = {}

    def layer(name: str) -> int:
        if name not in layers:
            layers[name] = 1 + max((layer(n) for n in inputs.get(name, ())), default=-1)
        return layers[name]

    for name in inputs:
        layer(name)
    return layers


def draw_graph(tables: Sequence[Table], edges: Sequence[tuple[str, str]], layers: Mapping[str, int]) -> Drawing:
    """``tables`` in their ``layers``, joined by ``edges``, each from a layer to a later one."""
    by_name = {t.name: t for t in tables}
    chains = {(start, end): _chain(start, end, layers) for start, end in edges}
    places = [(t.name, layers[t.name]) for t in tables]
    places += dict.fromkeys(place for chain in chains.values() for place in chain if place not in set(places))
    columns = [[p for p in places if p[1] == n] for n in range(max(layers.values()) + 1)]
    joined: dict[_Place, list[_Place]] = {}
    for chain in chains.values():
        for a, b in pairwise(chain):
            joined.setdefault(a, []).append(b)
            joined.setdefault(b, []).append(a)
    return _placed(_ordered(columns, joined, layers), by_name, chains, layers)


def draw_neighbors(table: Table, inputs: Sequence[Table], outputs: Sequence[Table]) -> Drawing:
    """A table between what it is made from and what is made from it."""
    edges = [(i.name, table.name) for i in inputs] + [(table.name, o.name) for o in outputs]
    middle = 1 if inputs else 0
    layers = {i.name: 0 for i in inputs} | {table.name: middle} | {o.name: middle + 1 for o in outputs}
    return draw_graph([*inputs, table, *outputs], edges, layers)


def _chain(start: str, end: str, layers: Mapping[str, int]) -> list[_Place]:
    """The places that a line goes through: its ends, and a passage in every layer between."""
    return [(start, n) for n in range(layers[start], layers[end])] + [(end, layers[end])]


def _ordered(
    columns: list[list[_Place]], joined: Mapping[_Place, Sequence[_Place]], layers: Mapping[str, int]
) -> list[list[_Place]]:
    for sweep in range(_SWEEPS):
        there = range(len(columns)) if sweep % 2 == 0 else range(len(columns) - 1, -1, -1)
        for number in there:
            heights = {p: y for column in columns for p, (y, _) in _stacked(column, layers).items()}

            def mean(place: _Place, heights: Mapping[_Place, float] = heights) -> float:
                others = [heights[p] for p in joined.get(place, ())]
                return sum(others) / len(others) if others else heights[place]

            columns[number].sort(key=mean)
    return columns


def _stacked(column: Sequence[_Place], layers: Mapping[str, int]) -> dict[_Place, tuple[float, float]]:
    """The middle and the height of each place of a layer, measured from the layer's middle."""
    heights = [_BOX_HEIGHT if layers[name] == n else _PASSAGE_HEIGHT for name, n in column]
    top = -(sum(heights) + _GAP * (len(heights) - 1)) / 2
    found: dict[_Place, tuple[float, float]] = {}
    for place, height in zip(column, heights, strict=True):
        found[place] = (top + height / 2, height)
        top += height + _GAP
    return found


def _placed(
    columns: Sequence[Sequence[_Place]],
    tables: Mapping[str, Table],
    chains: Mapping[tuple[str, str], Sequence[_Place]],
    layers: Mapping[str, int],
) -> Drawing:
    stacks = [_stacked(column, layers) for column in columns]
    middle = max(-(y - height / 2) for stack in stacks for y, height in stack.values()) + 1
    boxes: list[Box] = []
    reach: dict[_Place, tuple[float, float, float]] = {}
    left = 1.0
    for stack in stacks:
        names = [name for name, n in stack if layers[name] == n]
        width = max((len(label_of(tables[n])) for n in names), default=0) * _CHARACTER + 2 * _PADDING
        for place, (y, height) in stack.items():
            reach[place] = (left, left + width, middle + y)
            if layers[place[0]] == place[1]:
                table = tables[place[0]]
                boxes.append(Box(table.name, label_of(table), kind_of(table), left, middle + y - height / 2, width))
        left += width + _BETWEEN_LAYERS
    lines = tuple(Line(start, end, _path([reach[p] for p in chain])) for (start, end), chain in chains.items())
    return Drawing(left - _BETWEEN_LAYERS + 1, 2 * middle, tuple(boxes), lines)


def _path(reaches: Sequence[tuple[float, float, float]]) -> str:
    """From the right edge of the first place to the left edge of the last, level through those between."""
    x, y = reaches[0][1], reaches[0][2]
    parts = [f"M{x:.1f} {y:.1f}"]
    for left, right, middle in reaches[1:]:
        bend = (left - x) * 0.55
        parts.append(f"C{x + bend:.1f} {y:.1f} {left - bend:.1f} {middle:.1f} {left:.1f} {middle:.1f}")
        x, y = (right, middle) if (left, right, middle) != reaches[-1] else (left, middle)
        if x == right:
            parts.append(f"H{x:.1f}")
    return "".join(parts)
