"""A plain page for every code and modifier, at a URL of its own, and a list of them for each section.

They are for links, for search engines and for browsers without JavaScript; the page Codes has the whole history.
"""

from __future__ import annotations

from collections import defaultdict
from functools import cache
from typing import Any

import polars as pl

from pipeline.catalog.codes import MODIFIERS, days_of_codes, latest_states, sections
from pipeline.catalog.site import Pattern, Site, escaped
from pipeline.catalog.version_reader import PublishedVersion, PublishedVersions
from schemas.hcpcs_validity import FIRST_DAY, LAST_DAY

_DESCRIPTIONS = ("short_description", "long_description")
_SHOWN = (
    *(f"hcpcs_{t}.{c}" for t in ("codes", "modifiers", "history") for c in ("code", *_DESCRIPTIONS)),
    "hcpcs_codes.replaced_by",
    "hcpcs_modifiers.replaced_by",
)
#: Statuses of ``hcpcs_validity`` in words; also in static/history.js.
STATUS_WORDS = {
    "valid": "in effect",
    "not_yet_valid": "not yet in effect",
    "expired": "ended",
    "purged_unknown": "left CMS’s file without a stated end",
}


def write(site: Site, published: PublishedVersions) -> None:
    """Write ``codes/<code>.html`` for every code and modifier, and ``codes/section-<letter>.html``."""
    version = published.latest
    current = {
        (row["kind"], row["code"]): row
        for row in latest_states(version).filter("is_current_episode").iter_rows(named=True)
    }
    names = dict(version.frame("code_sections").select("section_id", "name").iter_rows())
    rows = day_rows(version)
    pages = _CodePages(site)
    for (kind, code), state in current.items():
        html = pages.page(kind, code, state, names.get(state["section_id"]), rows[kind, code])
        site.html(f"codes/{code}.html", html, shows=_SHOWN)
    for section in sections(version):
        of_section = [
            row
            for (kind, code), row in current.items()
            if (kind == "modifier" if section.prefix == MODIFIERS else kind != "modifier" and code[0] == section.prefix)
        ]
        site.page(
            f"codes/section-{section.prefix}.html",
            "section.html",
            section.name,
            codes=of_section,
            shows=_SHOWN,
        )


class _CodePages:
    """The page of a code, made of patterns: rendering a template for each takes four times as long."""

    def __init__(self, site: Site) -> None:
        texts = ("title", "code", "name", "summary", "lead")
        self._page = site.page_pattern(
            "codes/code.html", "code.html", texts, markup=("facts", "rows"), scripts=("static/day.js",)
        )
        parts = site.macros("code_parts.html")
        self._license, self._successor = cache(parts.license), cache(parts.successor)
        self._fact = Pattern(parts.fact(**Pattern.holes("name", "value")), markup=("value",))
        of_row = ("look", "first", "last", "words", "episode", "text")
        self._row = Pattern(parts.row(**Pattern.holes(*of_row)), markup=("look",))

    def page(self, kind: str, code: str, state: dict[str, Any], section: str | None, rows: list[dict[str, Any]]) -> str:
        text = state["long_description"] or state["short_description"]
        is_withheld = state["redistribution"] == "withheld"
        owner = f"it belongs to the {state['steward']}"
        facts = {
            "Modifier" if kind == "modifier" else "Code": {"terminated": "ended"}.get(state["status"], state["status"]),
            "Section": escaped(section or ""),
            "License": self._license(state["license_id"]),
            "Replaced by": ", ".join(map(self._successor, state["replaced_by"] or ())),
            "In releases": f"{state['first_release']} to {state['last_release']}",
        }
        return self._page.filled(
            title=f"{code} {state['short_description'] or ''}".strip(),
            code=code,
            name=state["short_description"],
            summary=text or f"text withheld: {owner}",
            lead=f"The text is withheld: {owner}." if is_withheld else text or "No description",
            facts="\n".join(self._fact.filled(name=name, value=value) for name, value in facts.items() if value),
            rows="\n".join(map(self._day_row, rows)),
        )

    def _day_row(self, row: dict[str, Any]) -> str:
        is_valid = row["status"] == "valid"
        return self._row.filled(
            look="" if is_valid else ' class="quiet"',
            first=str(row["first"] or "–"),
            last=str(row["last"] or "–"),
            words=row["words"],
            episode=str(row["episode"] or "–"),
            text=(row["text"] or "withheld") if is_valid else "–",
        )


def day_rows(version: PublishedVersion) -> dict[tuple[str, str], list[dict[str, Any]]]:
    """For each kind and code the spans of days, in order: first, last (None: none known), status, episode, text.

    A span in effect is one of ``hcpcs_history``; the others are what ``hcpcs_validity`` says of the days around them.
    """
    spans = version.frame("hcpcs_history").select(
        "kind",
        "code",
        "episode",
        pl.col("valid_from").alias("from_day"),
        pl.col("valid_to").fill_null(LAST_DAY).alias("to_day"),
        pl.lit("valid").alias("status"),
        pl.coalesce("long_description", "short_description").alias("text"),
    )
    around = days_of_codes(version).filter(pl.col("status") != "valid").with_columns(text=pl.lit(None, pl.String))
    found: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for row in pl.concat([spans, around.select(spans.columns)]).sort("kind", "code", "from_day").iter_rows(named=True):
        found[row["kind"], row["code"]].append(
            row
            | {
                "first": None if row["from_day"] == FIRST_DAY else row["from_day"],
                "last": None if row["to_day"] == LAST_DAY else row["to_day"],
                "words": STATUS_WORDS.get(row["status"], row["status"].replace("_", " ")),
            }
        )
    return found
