"""Writing the catalog's files: pages from templates, data as scripts, assets. What they say is the pages' business.

Everything opens from disk: links are relative, and data come by ``<script>``, which a browser lets a file load.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

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
#: A hole of a pattern.
_HOLE = re.compile("\0([a-z_]+)\0")
_SPECIAL = re.compile("[&<>'\"]")


class Pattern:
    """HTML that a template rendered once with holes, to be filled many times: a page a code is made by thousands.

    The holes of the names in ``markup`` take HTML, the others text, which is escaped.
    """

    def __init__(self, html: str, markup: Sequence[str] = ()) -> None:
        self._first, *rest = _HOLE.split(html)
        self._rest = [(name, name in markup, fixed) for name, fixed in zip(rest[::2], rest[1::2], strict=True)]

    @staticmethod
    def holes(*names: str) -> dict[str, Markup]:
        """Values for a template that leave holes of these names."""
        return {name: Markup(f"\0{name}\0") for name in names}

    def filled(self, **texts: str | None) -> str:
        """The HTML with a text in each hole; nothing for None."""
        parts = [self._first]
        for name, is_markup, fixed in self._rest:
            text = texts[name] or ""
            parts += (text if is_markup else escaped(text), fixed)
        return "".join(parts)


def escaped(text: str) -> str:
    """A text as HTML; as ``markupsafe`` escapes it, at a tenth of the time for one that has nothing to escape."""
    return str(escape(text)) if _SPECIAL.search(text) else text


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
        self._written: set[str] = set()
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
        return tuple(sorted(self._written))

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
        self.html(path, self._rendered(path, template, title=title, scripts=scripts, **values), shows=shows)

    def html(self, path: str, html: str, *, shows: Sequence[str] = ()) -> None:
        """Write a page that is rendered already, as by a ``Pattern``."""
        self._write(path, html.encode(), shows)

    def page_pattern(
        self, path: str, template: str, holes: Sequence[str], *, markup: Sequence[str] = (), **values: Any
    ) -> Pattern:
        """A page as for ``page``, with ``holes`` to be filled, for every path in the folder of ``path``."""
        return Pattern(self._rendered(path, template, **Pattern.holes(*holes, *markup), **values), markup)

    def macros(self, template: str) -> Any:
        """The macros of a template, as methods."""
        return self._environment.get_template(template).module

    def _rendered(self, path: str, template: str, **values: Any) -> str:
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
        self._write(path, script.encode(), shows)

    def asset(self, path: str, content: bytes | str | Path, *, shows: Sequence[str] = ()) -> None:
        """Write a file as it is; a ``Path`` is copied."""
        if isinstance(content, Path):
            content = content.read_bytes()
        self._write(path, content.encode() if isinstance(content, str) else content, shows)

    def _write(self, path: str, content: bytes, shows: Sequence[str]) -> None:
        if path in self._written:
            raise ValueError(f"the catalog has two files of the name {path}")
        for column in shows:
            if not _SHOWN.fullmatch(column):
                raise ValueError(f"{path} shows {column!r}, which is not of the form table.column")
        target = self.folder / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(content)
        self._written.add(path)
        self.shown[path] = tuple(shows)


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
