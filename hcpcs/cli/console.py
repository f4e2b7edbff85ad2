"""How commands speak: shared options, tables, JSON, progress, and what counts as a refusal and not as a fault."""

from __future__ import annotations

import csv
import json
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any
from unicodedata import combining, east_asian_width

import click

from hcpcs.cli.process import CLEAR_LINE
from hcpcs.errors import HcpcsError
from hcpcs.manifest import OPEN, RESTRICTED
from hcpcs.paths import Outputs, default_outputs, is_clone

_WIDEST_VALUE = 300
#: No column is wrapped to less than this.
_NARROWEST = 8
_WIDTH_WITHOUT_TERMINAL = 80


def outputs_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option that all have: the folder of outputs."""

    def to_layout(context: click.Context, _: click.Parameter, value: Path | None) -> Outputs:
        if value is None:
            value = default_outputs()
            if not is_clone(value.parent) and not context.resilient_parsing:
                click.echo(f"outputs are in {value}; --outputs or HCPCS_OUTPUTS names another folder", err=True)
        return Outputs(value.resolve())

    return click.option(
        "--outputs",
        type=click.Path(path_type=Path, file_okay=False),
        envvar="HCPCS_OUTPUTS",
        callback=to_layout,
        help="Folder of outputs; also HCPCS_OUTPUTS. By default outputs/ in a clone, else your folder for data.",
    )(command)


wait_option = click.option(
    "--wait",
    type=click.FloatRange(min=0),
    default=600,
    show_default=True,
    metavar="SECONDS",
    help="How long another process that writes to the same outputs may take to end.",
)
version_option = click.option(
    "--version",
    "version",
    help="A version's id, 'latest', its folder, a folder of outputs, a published target, or the URL of one;"
    " by default the latest.",
)
tier_option = click.option(
    "--tier",
    type=click.Choice([OPEN, RESTRICTED]),
    default=OPEN,
    show_default=True,
    help=f"Tier of the version; `{RESTRICTED}` says that you read the AMA's content under a license of your own.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")
list_argument = click.argument(
    "list_file", metavar="LIST", type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True)
)


def question_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of every question about a version: which version, in which outputs, as JSON or not."""
    return version_option(json_option(outputs_option(command)))


def version_of(outputs: Outputs, named: str | None, tier: str | None = OPEN) -> Path:
    """The folder of the version that a command is given; what is fetched for it goes when the command ends.

    Raises ``TierRefused`` for a version of another tier than the one wanted; None takes either.
    """
    from hcpcs.version import found_version

    return click.get_current_context().with_resource(found_version(outputs, named, tier))


class Progress:
    """Tell progress on one line of the terminal's stderr; say nothing where no person looks."""

    def __init__(self, *, quiet: bool) -> None:
        self._shown = sys.stderr.isatty() and not quiet

    def __enter__(self) -> Callable[[str], None]:
        return self._report

    def _report(self, text: str) -> None:
        if self._shown:
            click.echo(f"{CLEAR_LINE}{text}", nl=False, err=True)

    def __exit__(self, *_: object) -> None:
        if self._shown:
            click.echo(CLEAR_LINE, nl=False, err=True)


def warn(text: str) -> None:
    """Print one lasting line on stderr; progress under way on a terminal gives way to it."""
    click.echo(f"{CLEAR_LINE if sys.stderr.isatty() else ''}hcpcs: warning: {text}", err=True)


def utf_8(text: str) -> str:
    """A text from the command line, with a question mark for each byte that is not UTF-8."""
    return text.encode("utf-8", "replace").decode()


def shown(path: Path) -> str:
    """A path as a person would type it from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def print_json(value: Any) -> None:
    """Print a value as JSON; days as YYYY-MM-DD."""
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, default=lambda v: v.isoformat()))


def print_rows(rows: Sequence[dict[str, Any]], as_json: bool, headings: Sequence[str], names: Sequence[str]) -> None:
    """Print rows as JSON, or the values of ``names`` as a table."""
    if as_json:
        print_json(rows)
    else:
        print_table(headings, [[row[name] for name in names] for row in rows])


def print_csv(rows: Sequence[dict[str, Any]]) -> None:
    """Print rows as CSV with a header; lists joined by blanks."""
    if rows:
        writer = csv.writer(sys.stdout, lineterminator="\n")
        writer.writerow(rows[0])
        writer.writerows([" ".join(v) if isinstance(v, list) else v for v in row.values()] for row in rows)


def print_table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    """Print a table that fits the terminal, or 80 columns: the widest columns are wrapped, the longest values cut."""
    cells = [[_cell(value) for value in row] for row in rows]
    # A heading is not wrapped, and has two blanks more.
    least = [max(_NARROWEST, len(heading) + 2) for heading in headings]
    widths = [max(len(heading) + 2, *(len(row[i]) for row in cells), 0) for i, heading in enumerate(headings)]
    room = shutil.get_terminal_size((_WIDTH_WITHOUT_TERMINAL, 24)).columns - 2 * (len(headings) - 1)
    cap = max(widths)
    while cap > _NARROWEST and sum(min(w, max(cap, n)) for w, n in zip(widths, least, strict=True)) > room:
        cap -= 1
    caps = [max(cap, n) for n in least]
    wrapped = [[_lines(cell, width) for cell, width in zip(row, caps, strict=True)] for row in cells]
    columns = list(zip(*wrapped, strict=True)) or [()] * len(headings)
    widths = [
        max(len(heading) + 2, *(_columns_of(line) for lines in column for line in lines), 0)
        for heading, column in zip(headings, columns, strict=True)
    ]
    lines = [headings, ["-" * width for width in widths]]
    lines += [line for row in wrapped for line in zip_longest(*row, fillvalue="")]
    padded = ([text + " " * (w - _columns_of(text)) for text, w in zip(line, widths, strict=True)] for line in lines)
    click.echo("\n".join("  ".join(line).rstrip() for line in padded))


def _lines(cell: str, width: int) -> list[str]:
    """A cell in lines that are no wider, if its words and letters allow it."""
    lines = cell.splitlines() or [""]
    return lines if len(cell) <= width else [part for line in lines for part in _Wrapper(width).wrap(line) or [""]]


class _Wrapper(textwrap.TextWrapper):
    """Breaks a word that is too wide, such as the name of a file or column, behind ``_``, ``.`` or ``/``."""

    def _split(self, text: str) -> list[str]:
        chunks = super()._split(text)
        return [p for c in chunks for p in (re.findall(r"[^_./]*[_./]+|[^_./]+", c) if len(c) > self.width else [c])]


def _columns_of(text: str) -> int:
    """How many columns of a terminal a text takes: an ideograph two, a combining mark none."""
    if text.isascii():
        return len(text)
    return sum(0 if combining(c) else 1 + (east_asian_width(c) in "FW") for c in text)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _WIDEST_VALUE else text[: _WIDEST_VALUE - 1] + "…"


def is_refusal(error: Exception) -> bool:
    """Whether an error states a problem with data, files or services, and not a fault in this program."""
    return isinstance(error, HcpcsError | OSError)
