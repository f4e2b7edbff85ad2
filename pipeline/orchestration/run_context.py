"""What a run loads: the index of zips to build from, what it refused, what it published, and where it reports progress.

The one object that a run's assets share with its caller. It holds no table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from hcpcs.errors import printable
from hcpcs.manifest import ReleaseMember, ReleaseRevision
from hcpcs.paths import Outputs
from pipeline.transforms.license_flags import quotable
from pipeline.versions.publish import PublishResult, publish
from pipeline.versions.watched import mend_watched_feeds
from sources.archive.archive import Archive, ArchivedZip, ArchiveIndex
from sources.curated.license_policy import load_license_policy
from sources.errors import ReleaseRefused, SourceError
from sources.excel.reader import forget_sheets
from sources.release.inspect import open_archive
from sources.release.release import ReleaseRead, empty_release, read_release, read_revisions

Progress = Callable[[str], None]

#: Zips that are read at the same time; more only wait for one another.
READERS = 2


class RefreshRefused(SourceError):
    """Some of what was offered cannot be used; ``refusals`` says which and why, in order."""

    def __init__(self, refusals: Mapping[str, Exception]) -> None:
        self.refusals = dict(refusals)
        super().__init__("\n".join(str(error) for error in self.refusals.values()))


@dataclass
class RunContext:
    """The state of one run: build from ``index``, note ``refused`` releases if ``skip_bad``.

    ``progress`` gets progress, ``warn`` what must stay readable after the run.
    A refused release of which no posting can be read is ``left_out``; of one loaded before, the loaded zips are used.
    A release that lacks what its neighbors have is ``partial``, unless its losses were accepted. ``kept_contracts`` has
    the hashes of tables that this code checked against their contracts.
    """

    outputs: Outputs
    archive: Archive
    index: ArchiveIndex
    skip_bad: bool = False
    accept_losses: bool = False
    progress: Progress = lambda text: None
    warn: Progress = lambda text: None
    refused: dict[str, ReleaseRefused] = field(default_factory=dict)
    left_out: set[str] = field(default_factory=set)
    partial: dict[str, str] = field(default_factory=dict)
    kept_contracts: dict[str, str] = field(default_factory=dict)
    _accepted: dict[str, str] = field(default_factory=dict)
    published: PublishResult | None = None
    _ahead: dict[str, Future[ReleaseRead | ReleaseRefused]] = field(default_factory=dict)

    @classmethod
    def of_archive(cls, outputs: Outputs) -> RunContext:
        """What a run takes in that nobody offers anything: what the archive holds."""
        archive = open_archive(outputs.archive)
        return cls(outputs, archive, archive.index())

    def releases(self) -> dict[str, list[ArchivedZip]]:
        """The zips to build from, by release."""
        return self.index.releases_to_build()

    @contextmanager
    def reading_in_advance(self, release_ids: list[str]) -> Iterator[None]:
        """Read releases while the run starts: Dagster takes seconds for that, and readers seldom hold Python's lock."""
        with self._reading(release_ids) as self._ahead:
            yield
        self._ahead = {}

    def read_each(self, release_ids: list[str]) -> Iterator[tuple[str, ReleaseRead]]:
        """Read releases; after the last, raise ``RefreshRefused`` for all bad ones, or skip them if requested."""
        with self._reading([r for r in release_ids if r not in self._ahead]) as reading:
            for release_id in release_ids:
                outcome = (self._ahead.pop(release_id, None) or reading.pop(release_id)).result()
                if isinstance(outcome, ReleaseRead):
                    yield release_id, outcome
                else:
                    self.refused[release_id] = outcome
                    yield release_id, self._as_archived(release_id)
        forget_sheets()
        if self.refused and not self.skip_bad:
            raise RefreshRefused(self.refused)

    @contextmanager
    def _reading(self, release_ids: list[str]) -> Iterator[dict[str, Future[ReleaseRead | ReleaseRefused]]]:
        """Read releases, two at a time: workbooks and frames are read outside of Python's lock."""
        zips = self.releases()

        def attempt(number: int, release_id: str) -> ReleaseRead | ReleaseRefused:
            self.progress(f"reading {release_id} ({number} of {len(release_ids)})")
            try:
                return read_release(self.archive, release_id, zips[release_id])
            except ReleaseRefused as refusal:
                return refusal

        pool = ThreadPoolExecutor(READERS)
        try:
            yield {r: pool.submit(attempt, number, r) for number, r in enumerate(release_ids, 1)}
        finally:
            pool.shutdown(cancel_futures=True)

    def _as_archived(self, release_id: str) -> ReleaseRead:
        """The release as it was before this run offered more of it; nothing if that cannot be read either."""
        loaded = self.archive.index().zips.keys()
        zips = [z for z in self.releases()[release_id] if z.sha256 in loaded]
        if zips and self.skip_bad:
            try:
                return read_release(self.archive, release_id, zips)
            except ReleaseRefused:
                pass
        self.left_out.add(release_id)
        return empty_release(release_id)

    def not_accepted(self, losses: Mapping[str, str]) -> dict[str, str]:
        """Of releases that lack what their neighbors have (``losses``, in words) those that nobody accepted so."""
        zips = self.releases()
        for release_id, words in losses.items():
            revision = read_revisions(self.archive, release_id, zips[release_id])[-1]
            keys = [f"{release_id}/{content}" for content in revision.contents]
            if self.accept_losses or self.index.accepted.keys() & keys:
                self._accepted[keys[0]] = words
            else:
                self.partial[release_id] = words
        return self.partial

    def publish(self, tables: Mapping[str, pl.LazyFrame]) -> PublishResult:
        """Publish the tables, and make the index what is loaded once nothing can refuse them any more.

        What a contract, a check or the license gate refuses is not loaded, so the next refresh is rid of it.
        """
        loaded = self.archive.index().zips
        without = {sha: z for sha, z in self.index.zips.items() if sha in loaded or z.release_id not in self.refused}
        refused = self.index.refused | {release: printable(str(error)) for release, error in self.refused.items()}
        accepted = self.index.accepted | self._accepted
        index = ArchiveIndex(without, self.index.excluded, refused, accepted)
        self.progress("publishing")
        rows: list[dict[str, Any]] = tables["hcpcs_releases"].collect().to_dicts()
        self.published = publish(
            self.outputs,
            tables,
            policy=load_license_policy(),
            releases=[_release_of_manifest(row) for row in rows],
            missing={quotable(name): quotable(why) for name, why in refused.items()},
            excluded={which: quotable(why) for which, why in index.excluded.items()},
            accepted_losses=self._accepted,
            is_sample=any(row["is_sample"] for row in rows),
            accepted=lambda: self.archive.commit(index),
            kept_contracts=self.kept_contracts,
        )
        mend_watched_feeds(self.outputs, self.warn)
        return self.published


def _release_of_manifest(row: Mapping[str, Any]) -> ReleaseRevision:
    """A release and revision as the manifest names it: by its members' hashes."""
    members = zip(row["member_names"], row["member_roles"], row["member_sha256s"], row["member_bytes"], strict=True)
    return ReleaseRevision(
        row["release_id"], row["revision"], row["is_current"], tuple(ReleaseMember(*member) for member in members)
    )
