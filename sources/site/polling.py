"""What is new on the site against the archive, and what must be remembered between polls. Fetches no zip.

A poll asks at most two questions: whether the page has changed, and, if nothing is new on it, whether one file that is
loaded has: CMS posts a quarter again under the same name, and a page does not report that.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

from filelock import FileLock

from hcpcs.errors import present
from hcpcs.files import write_atomically
from hcpcs.manifest import json_bytes
from hcpcs.typed_json import Untyped, read_typed
from sources.archive.archive import ArchivedZip, ArchiveIndex
from sources.errors import SourceError
from sources.release.calendar import expected_release
from sources.release.inspect import open_archive
from sources.site.client import FetchFailed, FetchLimits, Progress, SiteClient, Validators, page_text
from sources.site.known_releases import KnownRelease, load_known_releases
from sources.site.page import QUARTERLY_UPDATE, SiteLink, check_for_releases, is_named_zip, read_page

_STATE_FORMAT = 2
#: The newest release is requested so much oftener than an older one: that is the one CMS corrects.
_NEWEST_FIRST = 10
_POSTED_AGAIN = "posted again under the same name"
_NEVER = "1970-01-01T00:00:00+00:00"

#: `changed`: loaded, and since posted again; `fetched`: the index of the archive states whether it was taken in.
Outcome = Literal["loaded", "changed", "fetched", "refused", "failed"]

#: How a site answers that does not want scripts: its zips may come all the same.
_REFUSES_SCRIPTS = (401, 403, 406, 429, 451)
_BY_HAND = (
    "where the page refuses scripts, save it in a browser and run `hcpcs refresh --page SAVED.html`, or name the zips:"
    " `hcpcs refresh --zip URL`"
)

#: What a sensor may take; Dagster gives it 60 s.
_POLL_SECONDS = 45


@dataclass(frozen=True, slots=True)
class Site:
    """The site to ask: its page, bounds, and the older releases known to lie on it.

    ``saved_page`` is the page as a browser saved it, read instead of asking for it.
    """

    url: str = QUARTERLY_UPDATE
    limits: FetchLimits = field(default_factory=FetchLimits)
    known: tuple[KnownRelease, ...] = field(default_factory=load_known_releases)
    saved_page: Path | None = None


@dataclass(frozen=True, slots=True)
class RequestedFile:
    """What is remembered of a file on the site: when it was requested last, what came, and what became of it."""

    requested_at: str
    outcome: Outcome
    text: str = ""
    sha256: str | None = None
    etag: str | None = None
    last_modified: str | None = None
    why: str | None = None

    @property
    def validators(self) -> Validators:
        """By which the server can tell whether it has changed."""
        return Validators(self.etag, self.last_modified)


@dataclass(frozen=True, slots=True)
class SiteState:
    """What is remembered between polls: the page as it was, its links, the files requested by URL."""

    site: str
    page: Validators = field(default_factory=Validators)
    links: tuple[SiteLink, ...] = ()
    files: Mapping[str, RequestedFile] = field(default_factory=dict)
    polled_at: str | None = None


@dataclass(frozen=True, slots=True)
class News:
    """A file on the site that is not loaded as it is there, and why it counts as new."""

    link: SiteLink
    why: str


@dataclass(frozen=True, slots=True)
class Poll:
    """What a poll found: links, what of them is new, what is not taken and why, and how many requests it took."""

    links: tuple[SiteLink, ...]
    news: tuple[News, ...]
    left: Mapping[str, str]
    unclear: Mapping[str, str]
    requests: int

    @property
    def releases(self) -> tuple[str, ...]:
        """The releases that have something new, sorted."""
        return tuple(sorted({n.link.release_id for n in self.news if n.link.release_id}))

    @property
    def signature(self) -> str:
        """The same for the same files, whatever became of them meanwhile."""
        return json.dumps(sorted([n.link.url, n.link.text] for n in self.news))


@dataclass(frozen=True, slots=True)
class Poller:
    """Polls one site for one archive; what Dagster's sensor is given."""

    site: Site
    archive: Path
    state: Path

    def poll(self) -> Poll:
        """Ask the site what is new; raises ``FetchFailed`` or ``PageUnclear``."""
        limits = replace(self.site.limits, total_seconds=min(_POLL_SECONDS, self.site.limits.total_seconds))
        return poll(replace(self.site, limits=limits), open_archive(self.archive).index(), self.state)


def poll(site: Site, index: ArchiveIndex, state_path: Path, progress: Progress = lambda text: None) -> Poll:
    """Ask the site what is new against what is loaded, with at most two requests when nothing is.

    Raises ``FetchFailed`` where the page cannot be had, ``PageUnclear`` where no release is on it.
    """
    with SiteClient(site.url, site.limits, progress) as client:
        state = fetch_page(client, read_site_state(state_path, site), progress)
        news, left = news_of(state, index)
        requested: dict[str, RequestedFile] = {}
        if not news and (link := longest_unasked(state, index)) is not None:
            requested[link.url] = _requested_again(client, link, state.files.get(link.url), index)
            if requested[link.url].outcome == "changed":
                news = [News(link, _POSTED_AGAIN)]
        remember(state_path, state, requested)
        return Poll(state.links, tuple(news), left, unclear_links(state), client.requests)


def _requested_again(
    client: SiteClient, link: SiteLink, before: RequestedFile | None, index: ArchiveIndex
) -> RequestedFile:
    """Ask whether a loaded file is still the same, by what the server reports of it, else by its size."""
    loaded = present(archived_zip(link, before, index))
    known = before or RequestedFile(_NEVER, "loaded", link.text, loaded.sha256)
    try:
        answer = client.ask(link.url, known.validators)
    except FetchFailed as error:
        # The page came, so the poll did not fail; the next one asks after another file.
        return replace(known, requested_at=now_stated(), why=str(error))
    is_same = answer.is_same
    if is_same is None and answer.bytes is not None:
        is_same = answer.bytes == loaded.bytes
    if is_same is False:
        return replace(known, requested_at=now_stated(), outcome="changed", why=None)
    seen = answer.validators
    return RequestedFile(now_stated(), "loaded", link.text, loaded.sha256, seen.etag, seen.last_modified)


def read_saved_page(site: Site, path: Path, state: SiteState) -> SiteState:
    """The state with the links of a page that was saved by hand; relative ones lead to the site.

    Raises ``SourceError`` for a file that cannot be read, ``PageUnclear`` where no release is on it.
    """
    try:
        with path.open("rb") as file:
            data = file.read(site.limits.page_bytes + 1)
    except OSError as error:
        raise SourceError(f"{path}: cannot be read: {error.strerror or error}") from None
    if len(data) > site.limits.page_bytes:
        raise SourceError(f"{path}: more than {site.limits.page_bytes:,} bytes, the bound of a page")
    read = read_page(page_text(data, None), site.url, site.limits.open_tags)
    check_for_releases(read.links, str(path), read.title)
    return replace(state, page=Validators(), links=read.links, polled_at=now_stated())


def fetch_page(client: SiteClient, state: SiteState, progress: Progress) -> SiteState:
    """The state with the page as it is now, requested only if it has changed since."""
    progress("asking the site what is new")
    try:
        page = client.get_page(state.site, state.page)
    except FetchFailed as error:
        if error.status in _REFUSES_SCRIPTS:
            raise FetchFailed(f"{error}; {_BY_HAND}") from None
        raise
    if page.text is None:
        return replace(state, page=page.validators, polled_at=now_stated())
    first = read_page(page.text, page.url, client.limits.open_tags)
    links, further, read = [*first.links], [*first.further], {page.url}
    for url in further:  # grows while it is read: each part may lead to more
        if url in read:
            continue
        if len(read) >= client.limits.pages:
            why = f"not read: the page goes on past the bound of {client.limits.pages} parts"
            links.append(SiteLink(url, url, "", "unclear", None, why))
            break
        read.add(url)
        part = client.get_page(url)
        more = read_page(part.text or "", part.url, client.limits.open_tags)
        links += [link for link in more.links if link.url not in {x.url for x in links}]
        further += [a for a in more.further if a not in further]
    check_for_releases(links, page.url, first.title)
    # A page of several parts is requested anew each time: the first one's validators say nothing of the others.
    validators = page.validators if len(read) == 1 else Validators()
    return replace(state, page=validators, links=tuple(links), polled_at=now_stated())


def overdue(state: SiteState, today: date) -> str | None:
    """The quarter that CMS's calendar expects and the page does not list, in words; None where it is there."""
    newest = max((link.release_id or "" for link in state.links if link.kind == "release"), default="")
    expected = expected_release(today)
    if newest >= expected:
        return None
    return f"{expected} should be posted by CMS's calendar, and the page lists none after {newest}"


def news_of(state: SiteState, index: ArchiveIndex) -> tuple[list[News], dict[str, str]]:
    """Links with a file that is not loaded, newest release first, and the links left out with the reason.

    A side file waits until its release is loaded or new: alone it makes no release.
    """
    left = {link.url: link.why or "" for link in state.links if link.kind == "other"}
    dated = [link for link in state.links if link.release_id is not None]
    news = [News(link, why) for link in dated if (why := _why_new(link, state.files.get(link.url), index))]
    coming = {n.link.release_id for n in news if n.link.kind == "release"} | releases_with_code(index)
    left |= {
        n.link.url: f"not fetched until {n.link.release_id} is loaded" for n in news if n.link.release_id not in coming
    }
    news = [n for n in news if n.link.url not in left]
    # A release's code file comes before its side files: they are of no use without it.
    news.sort(key=lambda n: n.link.kind != "release")
    news.sort(key=lambda n: n.link.release_id or "", reverse=True)
    return news, left


def unclear_links(state: SiteState) -> dict[str, str]:
    """Links that may be of use, by URL, and what is not clear about them."""
    found = {link.url: link.why or "" for link in state.links if link.kind == "unclear"}
    for link in state.links:
        requested = state.files.get(link.url)
        if requested is not None and _arrived_as_no_zip(link, requested):
            found[link.url] = requested.why or ""
    return found


def _arrived_as_no_zip(link: SiteLink, requested: RequestedFile) -> bool:
    """Whether a link that only its text calls a file led to something else, and reads as it did then."""
    return requested.outcome == "refused" and requested.text == link.text and not is_named_zip(link.url)


def releases_with_code(index: ArchiveIndex) -> set[str]:
    """The loaded releases that have a code file."""
    return {z.release_id for z in index.zips.values() if z.code_members}


def _why_new(link: SiteLink, requested: RequestedFile | None, index: ArchiveIndex) -> str | None:
    if requested is None:
        return None if archived_zip(link, None, index) else "new on the page"
    if _arrived_as_no_zip(link, requested):
        return None
    if requested.outcome in ("refused", "failed"):
        return f"{requested.outcome} before: {requested.why}"
    if archived_zip(link, requested, index) is None:
        return "fetched before and not taken in"
    if requested.outcome == "changed":
        return _POSTED_AGAIN
    return None if requested.text == link.text else "its text on the page has changed"


def archived_zip(link: SiteLink, requested: RequestedFile | None, index: ArchiveIndex) -> ArchivedZip | None:
    """The zip in the archive that a link's file was when it was requested; before that, one of its name and release."""
    if requested is not None:
        return index.zips.get(requested.sha256 or "")
    name = link.name.lower()
    alike = (z for z in index.zips.values() if z.release_id == link.release_id and z.name.lower() == name)
    return next(alike, None)


def longest_unasked(state: SiteState, index: ArchiveIndex) -> SiteLink | None:
    """The loaded file to ask after again: the one asked longest ago, the newest release's oftener."""
    loaded = [x for x in state.links if x.release_id and archived_zip(x, state.files.get(x.url), index)]
    if not loaded:
        return None
    newest = max(x.release_id or "" for x in loaded)
    now = datetime.now(UTC)

    def waited(link: SiteLink) -> float:
        requested = state.files.get(link.url)
        seconds = (now - datetime.fromisoformat(requested.requested_at if requested else _NEVER)).total_seconds()
        return seconds * (_NEWEST_FIRST if link.release_id == newest else 1)

    return max(loaded, key=waited)


def read_site_state(path: Path, site: Site) -> SiteState:
    """What is remembered of ``site``; nothing at first, or where it was of another URL or format."""
    try:
        raw = json.loads(path.read_text("utf-8"))
        state: SiteState = read_typed(SiteState, raw, "site")
        return state if raw["format"] == _STATE_FORMAT and state.site == site.url else SiteState(site.url)
    except (FileNotFoundError, ValueError, KeyError, Untyped):
        # Only a cache of what the site said: without it, everything is requested once more.
        return SiteState(site.url)


def remember(path: Path, state: SiteState, requested: Mapping[str, RequestedFile]) -> None:
    """Keep the page's state, and add what was asked of files to what another process may have added meanwhile."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(path.with_name(f".{path.name}.lock"), timeout=60):
        kept = read_site_state(path, Site(state.site, known=()))
        files = {**state.files, **kept.files, **requested}
        content = asdict(replace(state, files=dict(sorted(files.items()))))
        write_atomically(path, json_bytes({"format": _STATE_FORMAT} | content))


def site_rows(state: SiteState, index: ArchiveIndex) -> list[dict[str, Any]]:
    """What the site had at the last poll, a row a link: its release, whether it is loaded, what was refused and why."""
    news, left = news_of(state, index)
    new = {n.link.url: n.why for n in news}
    return [
        {
            "release_id": link.release_id,
            "kind": link.kind,
            "name": link.name,
            "state": _state_word(link, state.files.get(link.url), new, left),
            "why": new.get(link.url) or left.get(link.url) or link.why,
            "url": link.url,
        }
        for link in state.links
    ]


def _state_word(link: SiteLink, requested: RequestedFile | None, new: Iterable[str], left: Iterable[str]) -> str:
    if link.kind == "unclear":
        return "unclear"
    if link.url in left:
        return "left"
    if requested is not None and requested.outcome in ("refused", "failed"):
        return requested.outcome
    return "new" if link.url in new else "loaded"


def now_stated() -> str:
    """This moment, as the state has it."""
    return datetime.now(UTC).isoformat(timespec="seconds")
