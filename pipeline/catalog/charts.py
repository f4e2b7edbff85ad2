"""Charts: drawn by matplotlib as SVG that stands in the page, takes its colors and fonts, and comes with its numbers.

How a chart looks is decided here; what it shows, by the page that draws it on the axes of ``new_figure``.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import matplotlib
from cycler import cycler
from markupsafe import Markup, escape
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

#: Colors to draw with. Each stands for a CSS variable, so that a chart follows the page into the dark.
TEXT, MUTED, GRID = "#010203", "#010204", "#010205"
SERIES = ("#010211", "#010212", "#010213", "#010214", "#010215", "#010216", "#010217", "#010218")
_VARIABLES = {TEXT: "currentColor", MUTED: "var(--muted)", GRID: "var(--line)"}
_VARIABLES |= {color: f"var(--series-{n})" for n, color in enumerate(SERIES, 1)}

_POINTS_PER_PIXEL = 0.75
_STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: it can be searched, read aloud, and takes the page's font
    "font.size": 9,
    "text.color": TEXT,
    "axes.labelcolor": MUTED,
    "axes.edgecolor": GRID,
    "axes.prop_cycle": cycler(color=SERIES),
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "axes.grid": True,
    "axes.grid.axis": "y",
    "grid.color": GRID,
    "grid.linewidth": 0.8,
    "xtick.color": GRID,
    "ytick.color": GRID,
    "xtick.labelcolor": MUTED,
    "ytick.labelcolor": MUTED,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "lines.markersize": 4,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing and the numbers in it: ``headings`` and ``rows`` are for those who cannot see it."""

    title: str
    description: str
    svg: Markup
    headings: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]


def new_figure(width: int = 720, height: int = 280) -> tuple[Figure, Axes]:
    """A figure of that many pixels and its axes, in the catalog's style; numbers on the left get commas."""
    with matplotlib.rc_context(_STYLE):
        figure = Figure(figsize=(width * _POINTS_PER_PIXEL / 72, height * _POINTS_PER_PIXEL / 72), layout="constrained")
        axes = figure.add_subplot()
    axes.yaxis.set_major_formatter(with_commas())
    axes.tick_params(length=0)
    return figure, axes


def with_commas() -> FuncFormatter:
    """A formatter of ticks: whole numbers with commas."""
    return FuncFormatter(lambda value, _: f"{value:,.0f}")


def chart(
    figure: Figure,
    title: str,
    description: str,
    headings: Sequence[str],
    rows: Sequence[Sequence[Any]],
) -> Chart:
    """The finished figure as a chart; ``description`` says in a sentence what one sees."""
    buffer = io.StringIO()
    # Ids depend on the chart, so that two of them can stand on one page, and on nothing else.
    salt = hashlib.sha256(title.encode()).hexdigest()[:8]
    with matplotlib.rc_context(_STYLE | {"svg.hashsalt": salt}):
        figure.savefig(buffer, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    svg = _for_the_page(buffer.getvalue(), f"c{salt}", title, description)
    return Chart(title, description, Markup(svg), tuple(headings), tuple(tuple(row) for row in rows))


def _for_the_page(svg: str, name: str, title: str, description: str) -> str:
    body = svg[svg.index("<svg") :]
    width, height = (float(n) for n in re.search(r'viewBox="0 0 ([\d.]+) ([\d.]+)"', body).groups())  # type: ignore[union-attr]
    # The style element would need a weaker content security policy; its one rule is in catalog.css.
    body = re.sub(r"<(metadata|style)\b.*?</\1>\s*", "", body[body.index(">") + 1 :], flags=re.DOTALL)
    used = set(re.findall(r"#([\w-]+)", body))
    body = re.sub(r' id="([^"]+)"', lambda m: m[0] if m[1] in used else "", body)
    body = re.sub(r"font: ([\d.]+)px[^;\"]*", r"font-size: \1px", body)
    body = re.sub("|".join(_VARIABLES), lambda m: _VARIABLES[m[0]], body)
    # Coordinates to a tenth of a point are as fine as any screen.
    body = re.sub(r"(?<=[\s\"(,MLQC-])(\d+\.\d{2,})", lambda m: f"{float(m[1]):.1f}", body)
    return (
        f'<svg viewBox="0 0 {width:g} {height:g}" role="img" aria-labelledby="{name}-t {name}-d"'
        f' xmlns:xlink="http://www.w3.org/1999/xlink">'
        f'<title id="{name}-t">{escape(title)}</title><desc id="{name}-d">{escape(description)}</desc>{body}'
    )
