"""Writing the catalog's files: pages from templates, data as scripts, assets. What they say is the pages' business.

Everything opens from disk: links are relative, and data come by ``<script>``, which a browser lets a file load.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache
from itertools import chain, pairwise
from pathlib import Path, PurePosixPath
from typing import Any

import polars as pl
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup, escape

_HERE = Path(__file__).resolve().parent
TEMPLATES = _HERE / "templates"
STATIC = _HERE / "static"
#: Only the catalog's own files are loaded. A page from disk has no origin, so `file:` says the same there.
CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self' file:; style-src 'self' file:; style-src-attr 'unsafe-inline';"
    " img-src data:; base-uri 'none'; form-action 'none'"
)
#: A column as ``table.column``, whose values a file shows.
_SHOWN = re.compile(r"[a-z0-9_]+\.[a-z0-9_]+")
#: A hole that a template leaves.
_HOLE = re.compile("\0([a-z_]+)\0")


def holes(*names: str) -> dict[str, Markup]:
    """Values for a template that leave holes of these names."""
    return {name: Markup(f"\0{name}\0") for name in names}


def filled(html: str, **markup: pl.Expr) -> pl.Expr:
    """HTML that a template rendered once with ``holes``, filled for each row, for pages that are made by thousands.

    A hole takes the text of the column of its name, escaped, or HTML where ``markup`` has its name; null is nothing.
    """
    first, *rest = _HOLE.split(html)
    values = [(markup[name] if name in markup else escaped(pl.col(name))).fill_null("") for name in rest[::2]]
    return pl.concat_str(pl.lit(first), *chain.from_iterable(zip(values, map(pl.lit, rest[1::2]), strict=True)))


def escaped(text: pl.Expr) -> pl.Expr:
    """A text as HTML, as ``markupsafe`` escapes it."""
    return text.str.replace_many({"&": "&amp;", "<": "&lt;", ">": "&gt;", "'": "&#39;", '"': "&#34;"})


@dataclass(frozen=True, slots=True)
class Entry:
    """A place in the navigation: its label and its page."""

    label: str
    path: str


NAVIGATION = (
    Entry("Start", "index.html"),
    Entry("Tables", "tables/index.html"),
    Entry("Lineage", "lineage.html"),
    Entry("Releases", "releases.html"),
    Entry("Codes", "codes.html"),
    Entry("Replacements", "replacements.html"),
    Entry("Licenses", "licenses.html"),
    Entry("Findings", "findings.html"),
)


class Site:
    """A folder that the pages are written to, and what all of them share.

    ``values`` are given to every template. ``shows`` in ``page`` and ``data`` names the columns (``table.column``)
    whose values a file quotes: what the license policy lets those columns keep, it lets that file keep, and no more.
    """

    def __init__(self, folder: Path, **values: Any) -> None:
        self.folder = folder
        self.shown: dict[str, tuple[str, ...]] = {}
        self.bytes = 0
        self._folders: set[str] = set()
        self._environment = Environment(
            loader=FileSystemLoader(TEMPLATES),
            autoescape=select_autoescape(default=True, default_for_string=True),
            undefined=StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
        )
        self._environment.filters |= {
            "count": count,
            "code": code,
            "prose": prose,
            "day": day,
            "size": size,
            "pairs": pairs,
        }
        self._environment.globals |= {
            "navigation": NAVIGATION,
            "content_security_policy": CONTENT_SECURITY_POLICY,
            **values,
        }

    @property
    def files(self) -> tuple[str, ...]:
        """What has been written so far, sorted."""
        return tuple(sorted(self.shown))

    def page(
        self,
        path: str,
        template: str,
        title: str,
        *,
        scripts: Sequence[str] = (),
        shows: Sequence[str] = (),
        **values: Any,
    ) -> None:
        """Write a page at ``path`` from a template that extends ``base.html``; it gets ``values`` and ``title``.

        ``scripts`` are loaded in their order, as paths from the site's top. In the template ``link(path)`` leads to
        another file of the site.
        """
        self.asset(path, self.rendered(path, template, title=title, scripts=scripts, **values), shows=shows)

    def macros(self, template: str) -> Any:
        """The macros of a template, as methods."""
        return self._environment.get_template(template).module

    def rendered(self, path: str, template: str, **values: Any) -> str:
        """The page as ``page`` writes it; with ``holes`` among its values, to be ``filled``."""
        root = "../" * (len(PurePosixPath(path).parts) - 1)
        section = next((e.path for e in NAVIGATION if e.path == path), None) or next(
            (e.path for e in NAVIGATION if e.path.startswith(path.split("/")[0] + "/")), None
        )
        return self._environment.get_template(template).render(
            path=path, section=section, link=lambda to: root + to, **values
        )

    def data(self, path: str, name: str, value: Any, *, shows: Sequence[str] = ()) -> None:
        """Write a script at ``path`` that sets ``window.hcpcs[name]``; days become YYYY-MM-DD."""
        text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_json_value, allow_nan=False)
        script = f"(window.hcpcs=window.hcpcs||{{}})[{json.dumps(name)}]={text};\n"
        self.asset(path, script, shows=shows)

    def asset(self, path: str, content: bytes | str | Path, *, shows: Sequence[str] = ()) -> None:
        """Write a file as it is; a ``Path`` is copied."""
        if path in self.shown:
            raise ValueError(f"the catalog has two files of the name {path}")
        self.shown[path] = _columns(tuple(shows))
        if isinstance(content, Path):
            content = content.read_bytes()
        elif isinstance(content, str):
            content = content.encode()
        folder = path.rpartition("/")[0]
        if folder not in self._folders:  # asked of the system once, not for each of thousands of files
            (self.folder / folder).mkdir(parents=True, exist_ok=True)
            self._folders.add(folder)
        (self.folder / path).write_bytes(content)
        self.bytes += len(content)


@cache
def _columns(shows: tuple[str, ...]) -> tuple[str, ...]:
    for column in shows:
        if not _SHOWN.fullmatch(column):
            raise ValueError(f"{column!r}, whose values a file shows, is not of the form table.column")
    return shows


def count(number: int | None) -> str:
    """A number with commas: 70,704; a dash where there is none."""
    return "–" if number is None else f"{number:,}"


def size(number: int) -> str:
    """A size in bytes, as people say it."""
    if number < 1000:
        return f"{number} B"
    if number < 1_000_000:
        return f"{number / 1000:,.0f} KB"
    return f"{number / 1_000_000:,.1f} MB"


def day(value: date | str | None) -> str:
    """A day as YYYY-MM-DD; a dash where there is none."""
    return "–" if value is None else str(value)[:10]


def code(text: str) -> Markup:
    """Text in the type of code, which may be broken after an underscore or a dot."""
    broken = Markup("<wbr>").join(escape(part) for part in re.split(r"(?<=[_.,/])", text))
    return Markup("<code>") + broken + Markup("</code>")


def prose(text: str) -> Markup:
    """A sentence of ours, in which ``backticks`` mark code."""
    parts = re.split(r"`([^`]+)`", text)
    return Markup("").join(code(p) if n % 2 else escape(p) for n, p in enumerate(parts))


def pairs(items: Iterable[Any]) -> list[tuple[Any, Any]]:
    """Each item with the next one."""
    return list(pairwise(items))


def _json_value(value: Any) -> Any:
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError(f"{type(value).__name__} has no form in the catalog's data")
