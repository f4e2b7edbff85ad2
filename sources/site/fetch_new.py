"""Fetching what is new on the site into a folder that is then offered like any other. Takes nothing in."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hcpcs.errors import present
from sources.archive.archive import ArchiveIndex
from sources.archive.zips import read_zip
from sources.errors import SourceError
from sources.site.client import FetchFailed, FetchResult, Progress, SiteClient, StorageFull, Validators
from sources.site.known_releases import check_members
from sources.site.page import SiteLink, classify_link
from sources.site.polling import (
    News,
    RequestedFile,
    Site,
    SiteState,
    archived_zip,
    fetch_page,
    longest_unasked,
    news_of,
    now_stated,
    overdue,
    read_saved_page,
    read_site_state,
    releases_with_code,
    remember,
    unclear_links,
)

#: A URL of `sources/site/known_releases.toml` that failed is tried again after so long.
_KNOWN_AGAIN = timedelta(days=30)


@dataclass(frozen=True, slots=True)
class FetchedZip:
    """A zip that was fetched: for which release, from where, whether that release was loaded with other members."""

    release_id: str
    name: str
    url: str
    path: Path
    bytes: int
    sha256: str
    is_revision: bool


@dataclass(frozen=True, slots=True)
class FetchReport:
    """What was fetched, unchanged, refused, skipped (known older releases), left on the page or unclear, and why."""

    site: str
    fetched: tuple[FetchedZip, ...] = ()
    unchanged: Mapping[str, str] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    skipped: Mapping[str, str] = field(default_factory=dict)
    left: Mapping[str, str] = field(default_factory=dict)
    unclear: Mapping[str, str] = field(default_factory=dict)
    requests: int = 0
    seconds: float = 0.0
    overdue: str | None = None

    def url_of(self, path: Path) -> str | None:
        """Where a zip in the folder is from."""
        return next((f.url for f in self.fetched if f.path == path), None)

    def summary(self) -> dict[str, Any]:
        """The report for a run summary and ``--json``; no path in it."""
        fetched = [{k: v for k, v in asdict(f).items() if k != "path"} for f in self.fetched]
        return {
            "site": self.site,
            "fetched": [f for f in fetched if not f["is_revision"]],
            "revised": [f for f in fetched if f["is_revision"]],
            "unchanged": dict(self.unchanged),
            "refused": dict(self.refused),
            "skipped": dict(self.skipped),
            "not_taken": dict(self.left),
            "unclear": dict(self.unclear),
            "overdue": self.overdue,
            "requests": self.requests,
            "seconds": round(self.seconds, 1),
        }

    def words(self) -> str:
        """The report in one paragraph."""
        revised = sorted({f.release_id for f in self.fetched if f.is_revision})
        new = sorted({f.release_id or f.name for f in self.fetched} - set(revised))
        parts = [f"fetched {_list(new)}"] if new else []
        parts += [f"fetched {_list(revised)} again, changed"] if revised else []
        parts += [] if parts else ["nothing new on the site"]
        parts += [f"{len(self.refused)} refused"] if self.refused else []
        parts += [f"{len(self.skipped)} known older releases unavailable"] if self.skipped else []
        parts += [f"{len(self.unclear)} link{'s' * (len(self.unclear) > 1)} unclear"] if self.unclear else []
        parts += [self.overdue] if self.overdue else []
        return "; ".join(parts) + f" ({self.requests} requests, {self.seconds:.1f} s)"


def fetch_new(
    site: Site, index: ArchiveIndex, folder: Path, state_path: Path, progress: Progress = lambda text: None
) -> FetchReport:
    """Fetch what the site has and the archive has not to ``folder/<YYYY-MM>/<name>.zip``.

    A file that cannot be had or is no zip is in the report's ``refused``, and the others are fetched all the same.
    Raises ``FetchFailed`` or ``PageUnclear`` where the page itself fails, ``StorageFull``.
    """
    started = time.monotonic()
    with SiteClient(site.url, site.limits, progress) as client:
        before = read_site_state(state_path, site)
        if site.saved_page is not None:
            state = read_saved_page(site, site.saved_page, before)
        else:
            state = fetch_page(client, before, progress)
        news, left = news_of(state, index)
        known = _known_to_try(client, site, state, index, news)
        if not news and not known and (link := longest_unasked(state, index)) is not None:
            news = [News(link, "requested again")]
        run = _Run(site, index, folder, client, progress)
        wanted = [n.link for n in news] + known
        try:
            for number, link in enumerate(wanted, 1):
                progress(f"fetching {link.name} ({number} of {len(wanted)})")
                run.fetch(link, state.files.get(link.url))
        except BaseException:
            # What is remembered saves requests next time; on a full disk it must not hide what went wrong.
            with contextlib.suppress(OSError):
                remember(state_path, state, run.requested)
            raise
        remember(state_path, state, run.requested)
        urls = {link.url for link in known}
        # What only a link's text calls a file is unclear and no fault when something else comes.
        unclear = unclear_links(replace(state, files={**state.files, **run.requested}))
        run.refused = {a: why for a, why in run.refused.items() if a not in unclear}
        return FetchReport(
            site.url,
            tuple(run.fetched),
            run.unchanged,
            {a: why for a, why in run.refused.items() if a not in urls},
            {a: why for a, why in run.refused.items() if a in urls},
            left,
            unclear,
            client.requests,
            time.monotonic() - started,
            overdue(state, datetime.now(UTC).date()),
        )


def fetch_named(
    urls: Sequence[str],
    site: Site,
    index: ArchiveIndex,
    folder: Path,
    state_path: Path,
    progress: Progress = lambda text: None,
) -> FetchReport:
    """Fetch the zips at these URLs, whatever the page says, each within its own site; no page is requested.

    A file that cannot be had or is no zip is in the report's ``refused``. Raises ``FetchFailed`` for what is no URL,
    ``StorageFull``.
    """
    started = time.monotonic()
    state = read_site_state(state_path, site)
    run = _Run(site, index, folder, None, progress)
    requests = 0
    for number, url in enumerate(urls, 1):
        with SiteClient(url, site.limits, progress) as client:
            run.client = client
            link = classify_link(url, "")
            progress(f"fetching {link.name} ({number} of {len(urls)})")
            run.fetch(link, state.files.get(url))
            requests += client.requests
    remember(state_path, state, run.requested)
    seconds = time.monotonic() - started
    return FetchReport(site.url, tuple(run.fetched), run.unchanged, run.refused, requests=requests, seconds=seconds)


class _Run:
    """One run's fetching: what came of each file, gathered."""

    def __init__(
        self, site: Site, index: ArchiveIndex, folder: Path, client: SiteClient | None, progress: Progress
    ) -> None:
        self.index, self.folder, self.client, self.progress = index, folder, client, progress
        self.known = {k.url: k for k in site.known}
        self.fetched: list[FetchedZip] = []
        self.unchanged: dict[str, str] = {}
        self.refused: dict[str, str] = {}
        self.requested: dict[str, RequestedFile] = {}
        self.failed_releases: set[str] = set()

    def fetch(self, link: SiteLink, before: RequestedFile | None) -> None:
        """Fetch one file and note what came of it."""
        if link.kind == "side" and link.release_id in self.failed_releases:
            self.refused[link.url] = f"{link.name}: not fetched, its release {link.release_id} could not be had"
            return
        loaded = archived_zip(link, before, self.index)
        # What is not loaded must come whole, whatever the server remembers having sent.
        known = before.validators if before is not None and loaded is not None else Validators()
        target = self._target(link)
        try:
            arrived = present(self.client).download(link.url, target, known)
            twin = loaded.sha256 if arrived.path is None and loaded is not None else self._twin(link, arrived)
        except StorageFull:
            raise
        except SourceError as error:
            target.unlink(missing_ok=True)
            self.refused[link.url] = str(error)
            failed = RequestedFile(now_stated(), "failed" if isinstance(error, FetchFailed) else "refused", link.text)
            # What is loaded stays loaded, whatever the site has now.
            lasting = before if before is not None and loaded is not None else failed
            self.requested[link.url] = replace(lasting, requested_at=now_stated(), why=str(error))
            if link.kind == "release" and link.release_id not in releases_with_code(self.index):
                self.failed_releases.add(link.release_id or "")
            return
        seen = arrived.validators
        if twin is not None:
            target.unlink(missing_ok=True)
            self.unchanged[link.url] = "not changed" if arrived.path is None else "the same members again"
            self.requested[link.url] = RequestedFile(
                now_stated(), "loaded", link.text, twin, seen.etag, seen.last_modified
            )
            return
        is_revision = link.kind == "release" and link.release_id in releases_with_code(self.index)
        self.fetched.append(
            FetchedZip(
                link.release_id or "",
                link.name,
                link.url,
                present(arrived.path),
                arrived.bytes,
                present(arrived.sha256),
                is_revision,
            )
        )
        self.requested[link.url] = RequestedFile(
            now_stated(), "fetched", link.text, arrived.sha256, seen.etag, seen.last_modified
        )

    def _target(self, link: SiteLink) -> Path:
        """A path that is free: two URLs of one release may end alike."""
        folder = self.folder / (link.release_id or "named")
        folder.mkdir(parents=True, exist_ok=True)
        name = "".join(c if c.isalnum() or c in "-_. ()" else "_" for c in link.name).lstrip(".") or "release.zip"
        name = name if name.lower().endswith(".zip") else f"{name}.zip"
        number = 1
        while (target := folder / (name if number == 1 else f"{number}-{name}")).exists():
            number += 1
        return target

    def _twin(self, link: SiteLink, arrived: FetchResult) -> str | None:
        """The sha256 of a loaded zip with the same members; checks the zip, and its members where they are known."""
        members = read_zip(present(arrived.path))
        if (known := self.known.get(link.url)) is not None:
            check_members(link.name, known, members)
        if arrived.sha256 in self.index.zips:
            return arrived.sha256
        content = {(m.name, m.sha256) for m in members}
        for sha, z in self.index.zips.items():
            if z.release_id == link.release_id and {(m.name, m.sha256) for m in z.members} == content:
                return sha
        return None


def _known_to_try(
    client: SiteClient, site: Site, state: SiteState, index: ArchiveIndex, news: list[News]
) -> list[SiteLink]:
    """Known older releases on this site that are neither loaded nor on the page nor failed lately, newest first."""
    there = {n.link.release_id for n in news} | releases_with_code(index)
    there |= {link.release_id for link in state.links if link.kind == "release"}
    lately = (datetime.now(UTC) - _KNOWN_AGAIN).isoformat(timespec="seconds")
    wanted = []
    for known in reversed(site.known):
        requested = state.files.get(known.url)
        failed = (
            requested is not None and requested.outcome in ("refused", "failed") and requested.requested_at > lately
        )
        if known.release_id not in there and not failed and client.is_allowed(known.url):
            wanted.append(SiteLink(known.url, known.name, "", "release", known.release_id))
    return wanted


def _list(releases: list[str]) -> str:
    if len(releases) <= 4:
        return ", ".join(releases)
    return f"{len(releases)} releases, {releases[0]} to {releases[-1]}"
