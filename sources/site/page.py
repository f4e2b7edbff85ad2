"""What CMS's page offers: the links to zips on it, each a release's code file, a side file, other or unclear.

Links are read from the page, never built from a pattern. Nothing here opens a socket.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import parse_qsl, unquote, urljoin, urlsplit

from selectolax.lexbor import LexborHTMLParser

from sources.errors import ReleaseUnclear, SourceError
from sources.release.file_names import file_kind, mentions_hcpcs
from sources.release.names import release_in_name, resolve_release

QUARTERLY_UPDATE = "https://www.cms.gov/medicare/coding-billing/healthcare-common-procedure-system/quarterly-update"

LinkKind = Literal["release", "side", "other", "unclear"]

_DAY = re.compile(r"\b\d{1,2}[/.-]\d{1,2}[/.-]\d{2,4}\b|\b[a-z]{3,9}\.? \d{1,2},? (?:19|20)\d\d\b")
_MONTH_AND_YEAR = re.compile(r"\b([a-z]{3,9})\.?,? +((?:19|20)\d\d)\b")
_BARE_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?!\d)")

#: Since 2020-04 releases take effect on the first day of a quarter.
_QUARTERS = ("01", "04", "07", "10")


class PageUnclear(SourceError):
    """The page is not what it was: no link to a release is on it."""


@dataclass(frozen=True, slots=True)
class SiteLink:
    """A link to a zip: ``release_id`` where name and text say it, ``why`` where they do not or it is not taken."""

    address: str
    name: str
    text: str
    kind: LinkKind
    release_id: str | None = None
    why: str | None = None


def read_links(page: str, address: str) -> list[SiteLink]:
    """The links to zips on a page that was fetched from ``address``, in the page's order, each address once.

    Raises ``PageUnclear`` with the page's title where none leads to a release.
    """
    tree = LexborHTMLParser(page)
    base_node = tree.css_first("base[href]")
    base = urljoin(address, (base_node.attributes.get("href") or "").strip()) if base_node else address
    texts: dict[str, str] = {}
    for node in tree.css("a[href]"):
        href = (node.attributes.get("href") or "").strip()
        try:
            target = urljoin(base, href).split("#", 1)[0]
            is_zip = urlsplit(target).scheme in ("http", "https") and _zip_name(target) is not None
        except ValueError:  # an href that is no address, such as an open bracket for a host
            continue
        if is_zip:
            text = " ".join(node.text(deep=True, separator=" ").split())
            texts[target] = max(texts.get(target, ""), text, key=len)
    links = [classify_link(target, text) for target, text in texts.items()]
    if not any(link.kind == "release" for link in links):
        title = tree.css_first("title")
        named = f" titled {' '.join(title.text().split())[:80]!r}" if title else ""
        raise PageUnclear(
            f"the page{named} at {address} has {_counted(links)} and none to a release; if CMS moved it, give the new"
            " address with --site"
        )
    return links


def classify_link(address: str, text: str) -> SiteLink:
    """What a link to a zip is, by the file's name and the link's text; where both leave it open, ``unclear``."""
    name = _zip_name(address) or ""
    low_name, low_text = unquote(name).lower(), text.lower()
    if not urlsplit(address).path.lower().endswith(".zip"):
        return SiteLink(address, name, text, "other", None, "behind a page that asks for a license")
    kind = file_kind(low_name) or file_kind(low_text)
    if kind is None:
        if mentions_hcpcs(low_name) or mentions_hcpcs(low_text):
            return SiteLink(address, name, text, "unclear", None, "neither name nor text says what it is")
        return SiteLink(address, name, text, "other", None, "not a HCPCS file")
    if kind == "other":
        return SiteLink(address, name, text, "other", None, "not a file that becomes a table")
    try:
        return SiteLink(address, name, text, kind, _release(name, text))
    except ReleaseUnclear as error:
        return SiteLink(address, name, text, "unclear", None, str(error))


def _release(name: str, text: str) -> str:
    """The release that name and text say together; raises ``ReleaseUnclear``."""
    undated = _DAY.sub("", name.lower())
    said = _said_in_text(text)
    if release_in_name(undated) is None and not said:
        raise ReleaseUnclear("neither name nor text says which release it is")
    try:
        release_id = resolve_release([undated, *said])
    except ReleaseUnclear as error:
        # The advice at the end of the sentence is for a file that one can rename, and a link is none.
        raise ReleaseUnclear(re.split(r"; put|: put", str(error))[0]) from None
    if release_id[5:] not in _QUARTERS:
        raise ReleaseUnclear(f"{release_id} is no quarter's first month")
    return release_id


def _said_in_text(text: str) -> list[str]:
    """What a link's text says of its release, as names that ``resolve_release`` reads; days of posting do not count."""
    words = _DAY.sub(" ", text.lower())
    named = [release_in_name(f"{word} {year}") for word, year in _MONTH_AND_YEAR.findall(words)]
    pairs = {f"its text of {r.year}-{r.month:02d}" for r in named if r is not None and r.month is not None}
    if pairs:
        return sorted(pairs)
    years = set(_BARE_YEAR.findall(words))
    return [f"{years.pop()} text"] if len(years) == 1 else []


def _zip_name(address: str) -> str | None:
    """The name of the zip that an address leads to, by its path or, behind a license page, by its query."""
    parts = urlsplit(address)
    for path in (parts.path, *(value for _, value in parse_qsl(parts.query))):
        if path.lower().endswith(".zip"):
            return unquote(path).rsplit("/", 1)[-1]
    return None


def _counted(links: Iterable[SiteLink]) -> str:
    count = len(list(links))
    return "no link to a zip" if count == 0 else "one link to a zip" if count == 1 else f"{count} links to zips"
