"""``changes.json`` (JSON Feed 1.1) and ``changes.atom.xml`` (Atom): releases, and what became of codes in the newest.

A version carries both: the license gate reads them, and `hcpcs verify` checks them. A copy lies beside ``latest``.
A watched list has the same two, of its own codes alone. Pure functions of the tables: they hold no clock, path or
version number. Old and new values are in ``hcpcs_changes``.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from xml.etree import ElementTree

import polars as pl

from hcpcs.manifest import Content, VersionFile, json_bytes, write_files
from pipeline.versions.descriptors import CMS_PAGE, version_description, version_title
from pipeline.versions.parquet import read_table
from pipeline.versions.store import FEEDS
from schemas.columns import LICENSE_CMS

JSON_FEED, ATOM = FEEDS
#: Of so many of the newest releases every code that changed has an entry of its own.
_RELEASES_WITH_CODES = 2
#: What CMS's action code claims and no record shows is no change.
_NO_CHANGE = "claimed_not_seen"
_FORMAT_ONLY = "text_format_only"
#: In place of a field, where the whole record came or went.
_WHOLE_RECORD = "record"
_CODES = {"procedure": "hcpcs_codes", "modifier": "hcpcs_modifiers"}
_AUTHOR = "hcpcs"
_ATOM = "http://www.w3.org/2005/Atom"


@dataclass(frozen=True, slots=True)
class _Entry:
    """A release, or a code in a release: what names it forever, and what is said of it."""

    name: str
    title: str
    text: str
    day: date
    tags: tuple[str, ...]

    @property
    def id(self) -> str:
        """A URN that follows from the name alone."""
        return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'hcpcs:{self.name}')}"

    @property
    def time(self) -> str:
        """The day on which the release takes effect: CMS states no hour."""
        return f"{self.day:%Y-%m-%d}T00:00:00Z"


def write_feeds(folder: Path, content: Content) -> dict[str, VersionFile]:
    """Write both feeds of the version in ``folder``; returns their entries for the manifest's list of files."""
    return write_files(folder, _both(folder / content.tier, content, version_title(content), "feed"))


def feeds_of_list(folder: Path, content: Content, name: str, codes: Collection[str]) -> dict[str, bytes]:
    """Both feeds of a watched list by the version in ``folder``: what became of these codes in every release."""
    sample = "Made-up sample of " if content.is_sample else ""
    title = f"{sample}HCPCS Level II, watched list {name}"
    return _both(folder / content.tier, content, title, f"feed:{name}", codes)


def _both(
    tables: Path, content: Content, title: str, name: str, codes: Collection[str] | None = None
) -> dict[str, bytes]:
    releases = read_table(tables / "hcpcs_releases.parquet").sort("release_id", "revision", descending=True)
    entries = list(_entries(tables, releases, codes))
    licenses = read_table(tables / "licenses.parquet").filter(license_id=LICENSE_CMS)
    # A list without an entry has the day of the first release, so that its feed changes with its entries alone.
    feed = _Entry(name, title, version_description(content), releases["effective_date"][-1], ())
    notice = str(licenses["notice"][0])
    return {JSON_FEED: _json_feed(feed, entries, notice), ATOM: _atom(feed, entries, notice)}


def reported_changes(changes: pl.DataFrame, codes: Collection[str] | None = None) -> pl.DataFrame:
    """The rows of ``hcpcs_changes`` that are reported: CMS's own, and seen in its records.

    Of the ``codes`` of a list those alone, and no text that changed in case or spacing only.
    """
    reported = changes.filter(
        pl.col("change") != _NO_CHANGE, pl.col("redistribution") == "open", pl.col("license_id") == LICENSE_CMS
    )
    if codes is None:
        return reported
    return reported.filter(pl.col("code").is_in(list(codes)), pl.col("change") != _FORMAT_ONLY)


def _entries(tables: Path, releases: pl.DataFrame, listed: Collection[str] | None) -> Iterator[_Entry]:
    """Newest release first; of a release the release itself, then its codes in their order; of a list its codes."""
    changes = reported_changes(read_table(tables / "hcpcs_changes.parquet"), listed)
    with_codes = releases["release_id"].unique().sort(descending=True).to_list()
    if listed is None:
        with_codes = with_codes[:_RELEASES_WITH_CODES]
    descriptions = _short_descriptions(tables)
    for release in releases.iter_rows(named=True):
        release_id, revision, day = release["release_id"], release["revision"], release["effective_date"]
        mine = changes.filter(pl.col("release_id") == release_id, pl.col("revision") == revision)
        codes = mine.group_by("kind", "code", maintain_order=True).agg("change", "field")
        posting = f", posting {revision}" if revision > 1 else ""
        if listed is None:
            yield _Entry(
                f"release:{release_id}:{revision}",
                f"HCPCS Level II {release_id}{posting}: {codes.height:,} codes and modifiers changed",
                f"In effect from {day:%Y-%m-%d}. {_counted(mine)}",
                day,
                ("release",),
            )
        if release_id not in with_codes:
            continue
        for code in codes.sort("kind", "code").iter_rows(named=True):
            kinds = tuple(dict.fromkeys(code["change"]))
            fields = zip(code["change"], code["field"], strict=True)
            what = [change if field == _WHOLE_RECORD else f"{change}: {field}" for change, field in fields]
            short = descriptions.get((code["kind"], code["code"]))
            yield _Entry(
                f"code:{release_id}:{revision}:{code['kind']}:{code['code']}",
                f"{code['code']}: {', '.join(kinds)} ({release_id})",
                f"{code['kind']} {code['code']}{f', {short}' if short else ''}. {'; '.join(dict.fromkeys(what))}.",
                day,
                (code["kind"], *kinds),
            )


def _short_descriptions(tables: Path) -> dict[tuple[str, str], str]:
    """Each code's short description now, where it may be passed on and cites no code of another owner."""
    found: dict[tuple[str, str], str] = {}
    for kind, table in _CODES.items():
        rows = read_table(tables / f"{table}.parquet").filter(
            pl.col("is_current_episode"), pl.col("redistribution") == "open", ~pl.col("cites_cpt")
        )
        texts = rows.select("code", "short_description").drop_nulls().iter_rows()
        found |= {(kind, code): " ".join(text.split()) for code, text in texts}
    return found


def _counted(changes: pl.DataFrame) -> str:
    codes = changes.unique(["kind", "code", "change"])["change"].to_list()
    counts = [f"{change} {count:,}" for change, count in sorted(Counter(codes).items())]
    return f"Codes by change: {', '.join(counts)}." if counts else "No earlier release is loaded, or nothing changed."


def _json_feed(feed: _Entry, entries: list[_Entry], notice: str) -> bytes:
    return json_bytes(
        {
            "version": "https://jsonfeed.org/version/1.1",
            "title": feed.title,
            "description": f"{feed.text} {notice}",
            "home_page_url": CMS_PAGE,
            "language": "en-US",
            "authors": [{"name": _AUTHOR}],
            "items": [
                {
                    "id": entry.id,
                    "title": entry.title,
                    "content_text": entry.text,
                    "date_published": entry.time,
                    "tags": list(entry.tags),
                }
                for entry in entries
            ],
        }
    )


def _atom(feed: _Entry, entries: list[_Entry], notice: str) -> bytes:
    root = ElementTree.Element("feed", {"xmlns": _ATOM, "xml:lang": "en-US"})
    _add(root, "id", feed.id)
    _add(root, "title", feed.title)
    _add(root, "subtitle", feed.text)
    _add(root, "rights", notice)
    _add(root, "updated", max((entry.time for entry in entries), default=feed.time))
    _add(root, "link", rel="alternate", href=CMS_PAGE)
    _add(_add(root, "author"), "name", _AUTHOR)
    for entry in entries:
        item = _add(root, "entry")
        _add(item, "id", entry.id)
        _add(item, "title", entry.title)
        _add(item, "updated", entry.time)
        _add(item, "published", entry.time)
        for tag in entry.tags:
            _add(item, "category", term=tag)
        _add(item, "content", entry.text, type="text")
    ElementTree.indent(root, " ")
    return ElementTree.tostring(root, encoding="utf-8", xml_declaration=True) + b"\n"


def _add(parent: ElementTree.Element, name: str, text: str | None = None, **attributes: str) -> ElementTree.Element:
    element = ElementTree.SubElement(parent, name, attributes)
    element.text = text
    return element
