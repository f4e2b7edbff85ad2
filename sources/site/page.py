"""What CMS's page offers: the links to zips on it, each a release's code file, a side file, other or unclear.

Links are read from the page, never built from a pattern. Nothing here opens a socket.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
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

_TAG = re.compile(r"<(/?)([a-zA-Z][a-zA-Z0-9-]{0,40})")
#: Elements that have no closing tag.
_VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}

#: CMS's names also end in ``.zip-0`` where a file was posted again.
_ZIP_NAME = re.compile(r"\.zip(?:[-_.]\d+)?$", re.IGNORECASE)
_YEAR_OR_MONTH = re.compile(r"(?<!\d)(?:19|20)\d\d(?!\d)|[a-z]{3}")
_BEHIND_LICENSE = (
    "behind a page that asks for the AMA's license: accept it in a browser, then load the file with"
    " `hcpcs refresh --from FILE`"
)

#: Since 2020-04 releases take effect on the first day of a quarter.
_QUARTERS = ("01", "04", "07", "10")


class PageUnclear(SourceError):
    """The page is not what it was: no link to a release is on it."""


@dataclass(frozen=True, slots=True)
class SiteLink:
    """A link to a zip: ``release_id`` where name and text say it, ``why`` where they do not or it is not taken."""

    url: str
    name: str
    text: str
    kind: LinkKind
    release_id: str | None = None
    why: str | None = None


@dataclass(frozen=True, slots=True)
class PageRead:
    """What a page has: its links, the further pages that its pager leads to, its title."""

    links: tuple[SiteLink, ...]
    further: tuple[str, ...]
    title: str | None


def read_page(page: str, url: str, open_tags: int = 5000) -> PageRead:
    """The links to zips on a page that was fetched from ``url``, in the page's order, each URL once.

    A link that is not named ``.zip`` counts where its text names a release's file: what comes decides what it is.
    Raises ``PageUnclear`` where more than ``open_tags`` tags are open at once.
    """
    if (most := _open_at_once(page)) > open_tags:
        raise PageUnclear(f"the page at {url} is nested {most:,} tags deep, past the bound of {open_tags:,}")
    tree = LexborHTMLParser(page)
    base_node = tree.css_first("base[href]")
    base = urljoin(url, (base_node.attributes.get("href") or "").strip()) if base_node else url
    texts: dict[str, str] = {}
    further: dict[str, None] = {}
    for node in tree.css("a[href]"):
        href = (node.attributes.get("href") or "").strip()
        text = " ".join(node.text(deep=True, separator=" ").split())
        try:
            target = urljoin(base, href).split("#", 1)[0]
            is_web = urlsplit(target).scheme in ("http", "https")
            is_file = is_web and (_zip_name(target) is not None or _is_file_by_text(target, text))
            is_page = is_web and not is_file and _is_further_page(target, url)
        except ValueError:  # an href that is no URL, such as an open bracket for a host
            continue
        if is_file:
            texts[target] = max(texts.get(target, ""), text, key=len)
        elif is_page:
            further[target] = None
    title = tree.css_first("title")
    return PageRead(
        tuple(classify_link(target, text) for target, text in texts.items()),
        tuple(further),
        " ".join(title.text().split())[:80] if title else None,
    )


def _open_at_once(page: str) -> int:
    """How many tags are open where most are, at most: a closing tag only ends one of its name."""
    open_now: Counter[str] = Counter()
    depth = most = 0
    for tag in _TAG.finditer(page):
        closes, name = tag[1], tag[2].lower()
        if not closes and name not in _VOID:
            open_now[name] += 1
            depth += 1
            most = max(most, depth)
        elif closes and open_now[name]:
            open_now[name] -= 1
            depth -= 1
    return most


def check_for_releases(links: Sequence[SiteLink], url: str, title: str | None) -> None:
    """Raise ``PageUnclear``, naming page and title, where none of the links leads to a release."""
    if not any(link.kind == "release" for link in links):
        named = f" titled {title!r}" if title else ""
        raise PageUnclear(
            f"the page{named} at {url} has {_counted(links)} and none to a release; if CMS moved it, give the new"
            " URL with --site; if a browser displays another page, save that and give it with --page SAVED.html"
        )


def classify_link(url: str, text: str) -> SiteLink:
    """What a link to a zip is, by the file's name and the link's text; where both leave it open, ``unclear``."""
    name = _zip_name(url) or _name_by_text(url, text)
    low_name, low_text = unquote(name).lower(), text.lower()
    kind = file_kind(low_name) or file_kind(low_text)
    if _asks_for_license(url):
        if kind in ("release", "side") or (kind is None and (mentions_hcpcs(low_name) or mentions_hcpcs(low_text))):
            return SiteLink(url, name, text, "unclear", None, _BEHIND_LICENSE)
        return SiteLink(url, name, text, "other", None, "behind a page that asks for a license")
    if kind is None:
        if mentions_hcpcs(low_name) or mentions_hcpcs(low_text) or not is_named_zip(url):
            return SiteLink(url, name, text, "unclear", None, "neither name nor text says what it is")
        return SiteLink(url, name, text, "other", None, "not a HCPCS file")
    if kind == "other":
        return SiteLink(url, name, text, "other", None, "not a file that becomes a table")
    try:
        return SiteLink(url, name, text, kind, _release(name, text))
    except ReleaseUnclear as error:
        return SiteLink(url, name, text, "unclear", None, str(error))


def _release(name: str, text: str) -> str:
    """The release that name and text say together; raises ``ReleaseUnclear``."""
    undated = _DAY.sub("", name.lower())
    stated = _dates_in_text(text)
    if release_in_name(undated) is None and not stated:
        raise ReleaseUnclear("neither name nor text says which release it is")
    try:
        release_id = resolve_release([undated, *stated])
    except ReleaseUnclear as error:
        # The advice at the end of the sentence is for a file that one can rename, and a link is none.
        raise ReleaseUnclear(re.split(r"; put|: put", str(error))[0]) from None
    if release_id[5:] not in _QUARTERS:
        raise ReleaseUnclear(f"{release_id} is no quarter's first month")
    return release_id


def _dates_in_text(text: str) -> list[str]:
    """What a link's text says of its release, as names that ``resolve_release`` reads; days of posting do not count."""
    words = _DAY.sub(" ", text.lower())
    named = [release_in_name(f"{word} {year}") for word, year in _MONTH_AND_YEAR.findall(words)]
    pairs = {f"its text of {r.year}-{r.month:02d}" for r in named if r is not None and r.month is not None}
    if pairs:
        return sorted(pairs)
    years = set(_BARE_YEAR.findall(words))
    return [f"{years.pop()} text"] if len(years) == 1 else []


def is_named_zip(url: str) -> bool:
    """Whether a URL itself says that a zip comes; else what comes has to tell."""
    return _ZIP_NAME.search(urlsplit(url).path) is not None


def _zip_name(url: str) -> str | None:
    """The name of the zip that a URL leads to, by its path or, behind a license page, by its query."""
    parts = urlsplit(url)
    for path in (parts.path, *(value for _, value in parse_qsl(parts.query))):
        if (found := _ZIP_NAME.search(path)) is not None:
            return unquote(path[: found.start()]).rsplit("/", 1)[-1] + path[found.start() : found.start() + 4]
    return None


def _is_file_by_text(url: str, text: str) -> bool:
    """Whether a link that is not named ``.zip`` may be a release's file, such as ``/media/12345``, by its text."""
    last = urlsplit(url).path.rsplit("/", 1)[-1]
    if "." in last and not last.rsplit(".", 1)[-1].isdigit() and not _asks_for_license(url):
        return False  # a page or a document
    kind = file_kind(text)
    is_zip = re.search(r"\bzip\b", text, re.IGNORECASE) is not None
    return bool(_dates_in_text(text)) and (kind in ("release", "side") or (kind is None and is_zip))


def _name_by_text(url: str, text: str) -> str:
    """A file's name for a link whose URL has none: the words of its text, and the URL's last part."""
    words = re.sub(r"\W+", "-", re.sub(r"\(?\bzip\b\)?", "", text, flags=re.IGNORECASE)).strip("-").lower()
    last = urlsplit(url).path.rstrip("/").rsplit("/", 1)[-1]
    return f"{words[:100]}-{last}.zip" if not _YEAR_OR_MONTH.search(last) else f"{words[:100]}.zip"


def _asks_for_license(url: str) -> bool:
    parts = urlsplit(url)
    if "license" in parts.path.lower():
        return True
    return not _ZIP_NAME.search(parts.path) and any(_ZIP_NAME.search(value) for _, value in parse_qsl(parts.query))


def _is_further_page(target: str, url: str) -> bool:
    """Whether a link of a pager leads to another part of the same page: ``?page=1``."""
    here, there = urlsplit(url), urlsplit(target)
    number = dict(parse_qsl(there.query)).get("page", "")
    same_place = (here.scheme, here.netloc, here.path) == (there.scheme, there.netloc, there.path)
    return same_place and number.isascii() and number.isdigit() and here.query != there.query


def _counted(links: Iterable[SiteLink]) -> str:
    count = len(list(links))
    return "no link to a zip" if count == 0 else "one link to a zip" if count == 1 else f"{count} links to zips"
