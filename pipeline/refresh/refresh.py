"""``hcpcs refresh``: take in what is offered, run the job, publish; or change nothing and say why.

Dagster is imported only when there is something to build: a run with nothing new ends before that.
"""

from __future__ import annotations

import contextlib
import gc
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from hcpcs.errors import named, present, printable
from hcpcs.paths import Outputs
from hcpcs.version import latest_version, refused_findings
from pipeline.orchestration.fingerprints import build_fingerprint
from pipeline.orchestration.run_context import Progress, RefreshRefused, RunContext
from pipeline.refresh.failed_writes import StorageFailed, failed_writes_reported
from pipeline.refresh.run_job import ChecksFailed, run_job
from pipeline.refresh.take_in import TakenIn, take_in
from pipeline.versions.publish import FETCHING, PublishResult, sweep
from pipeline.versions.store import (
    RunSummary,
    is_intact,
    mend_small_files,
    now_stated,
    read_manifest,
    read_state,
    write_json,
    write_state,
)
from pipeline.versions.watched import mend_watched_feeds
from pipeline.versions.writer import WAIT, only_writer
from sources.archive.archive import Archive, ArchivedZip, ArchiveIndex
from sources.errors import SourceError
from sources.release.inspect import open_archive

if TYPE_CHECKING:
    from pipeline.orchestration.openlineage_settings import OpenLineageSettings
    from sources.site.fetch_new import FetchReport
    from sources.site.polling import Site


@dataclass(frozen=True, slots=True)
class RefreshResult:
    """What a refresh did: the version, whether it is new, releases read, zips taken in, what was refused and why.

    ``fetched`` tells what came of the site, where it was asked; ``left`` what was offered and is no fault, with the
    reason; ``compressed`` the loose files of which zips were made.
    """

    published: PublishResult
    is_new: bool
    new_zips: int
    read: tuple[str, ...]
    refused: dict[str, str]
    fetched: FetchReport | None = None
    left: dict[str, str] = field(default_factory=dict)
    compressed: dict[str, tuple[str, ...]] = field(default_factory=dict)

    def summary(self) -> RunSummary:
        """The same as a run's summary."""
        return RunSummary(
            now_stated(),
            self.published.version,
            self.is_new,
            folder=str(self.published.folder),
            rows=self.published.rows,
            new_zips=self.new_zips,
            read=self.read,
            refused=self.refused,
            not_loaded=self.left,
            compressed=self.compressed,
            fetched=self.fetched.summary() if self.fetched else None,
        )

    def words(self) -> str:
        """The same in one paragraph."""
        words = []
        if self.fetched is not None:
            words.append(self.fetched.words())
        if self.is_new:
            words.append(f"published version {self.published.version} from {self.new_zips} new zips")
            words.append(f"read {', '.join(self.read) or 'no release'} again")
        else:
            words.append(f"nothing new: version {self.published.version} is current")
        words += [f"not loaded: {named(name, why)}" for name, why in self.refused.items()]
        return "; ".join(words) + "."


def refresh(
    outputs: Outputs,
    *,
    offered: Path | None = None,
    stated: str | None = None,
    skip_bad: bool = False,
    accept_losses: bool = False,
    site: Site | None = None,
    urls: Sequence[str] = (),
    dagster_home: Path | None = None,
    progress: Progress = lambda text: None,
    warn: Progress | None = None,
    openlineage: OpenLineageSettings | None = None,
    wait: float = WAIT,
) -> RefreshResult:
    """Build and publish from the loaded releases and what is ``offered`` (a folder, or a zip) or new on ``site``.

    ``urls`` are URLs of zips to fetch instead of asking the site's page.
    ``stated`` names the release of everything offered; ``skip_bad`` leaves out what cannot be used instead of
    refusing all; ``accept_losses`` publishes releases that lack what their neighbors have; ``openlineage``
    names where else its lineage is sent; ``progress`` gets progress, ``warn`` what must stay readable after
    the run (by default ``progress`` gets it); ``wait`` is how many seconds another writer may take to end.
    Raises ``SourceError``, ``BeingWritten``, ``ContractViolation``, ``ChecksFailed`` or ``LicenseLeak``; what was
    published and held stays as it was then.
    """
    home = dagster_home or outputs.dagster_home
    with (
        _seldom_collecting_garbage(),
        failed_writes_reported(outputs, home),
        only_writer(outputs, wait=wait, progress=progress),
    ):
        run = _Refresh(outputs, skip_bad, accept_losses, home, openlineage, progress, warn or progress)
        return run.run(offered, stated, site, urls)


@contextlib.contextmanager
def _seldom_collecting_garbage() -> Iterator[None]:
    """Look for garbage seldom: a refresh makes hardly any, and looking was a tenth of its time. Tables are none."""
    thresholds = gc.get_threshold()
    gc.set_threshold(50_000, *thresholds[1:])
    try:
        yield
    finally:
        gc.set_threshold(*thresholds)
        gc.unfreeze()


@dataclass(frozen=True, slots=True)
class _Refresh:
    """A refresh by the only process that writes; its fields are what ``refresh`` got."""

    outputs: Outputs
    skip_bad: bool
    accept_losses: bool
    home: Path
    openlineage: OpenLineageSettings | None
    progress: Progress
    warn: Progress

    def run(self, offered: Path | None, stated: str | None, site: Site | None, urls: Sequence[str]) -> RefreshResult:
        """Fetch, load, build and publish; leaves a summary in ``runs/`` however it ends."""
        mend_small_files(self.outputs)
        sweep(self.outputs)
        try:
            with tempfile.TemporaryDirectory(prefix=FETCHING, dir=self.outputs.folder) as folder:
                report = self._fetch(site, urls, Path(folder)) if site is not None else None
                if report is not None:
                    offered = Path(folder) if report.fetched else None
                done = self._load(offered, stated, report)
        except Exception as error:
            with contextlib.suppress(OSError):  # a full disk is what it may have to report
                refused_summary(self.outputs, error).write(self.outputs)
            raise
        done.summary().write(self.outputs)
        return done

    def _fetch(self, site: Site, urls: Sequence[str], folder: Path) -> FetchReport | None:
        """Fetch what is named, or new on the site, unless what is loaded is the made-up sample, which no site has."""
        archive = open_archive(self.outputs.archive)
        loaded = archive.index()
        if not urls and site.saved_page is None and any(z.is_sample for z in loaded.zips.values()):
            self.progress("the loaded releases are the made-up sample: CMS's site is not contacted")
            return None
        from sources.site.fetch_new import fetch_named, fetch_new

        # A zip whose bytes are damaged is fetched anew where the site has it.
        damaged = archive.damaged(loaded)
        loaded = replace(loaded, zips={sha: z for sha, z in loaded.zips.items() if sha not in damaged})
        if urls:
            return fetch_named(urls, site, loaded, folder, self.outputs.site_state, self.progress)
        return fetch_new(site, loaded, folder, self.outputs.site_state, self.progress)

    def _load(self, offered: Path | None, stated: str | None, report: FetchReport | None) -> RefreshResult:
        """Load what is offered; build and publish, unless the version that this makes is the latest already."""
        archive = open_archive(self.outputs.archive)
        loaded = archive.index()
        taken = TakenIn()
        if offered is not None:
            with tempfile.TemporaryDirectory(prefix=FETCHING, dir=self.outputs.folder) as workshop:
                taken = take_in(
                    archive, loaded, offered, Path(workshop), stated=stated, report=report, progress=self.progress
                )
        if taken.refused and not self.skip_bad:
            raise RefreshRefused(taken.refused)
        index = _index_with(loaded, taken, report)
        read: list[str] = []
        refused = dict(taken.refused)
        published = self._current(index)
        if published is not None:
            archive.commit(index)
            mend_watched_feeds(self.outputs, self.warn)
        else:
            try:
                published, read = self._build(archive, loaded, index, refused)
            except StorageFailed:  # for which no release is to blame
                raise
            except Exception as error:
                for line in _ways_out(loaded, taken.zips):
                    error.add_note(line)
                raise
            write_state(self.outputs, fingerprint=build_fingerprint(archive.index()))
        return RefreshResult(
            published,
            published.is_new,
            len(set(index.zips) - set(loaded.zips)),
            tuple(read),
            {which: printable(str(why)) for which, why in refused.items()},
            report,
            taken.left,
            taken.compressed,
        )

    def _current(self, index: ArchiveIndex) -> PublishResult | None:
        """The latest version, if it was made of these zips by this code and its files are all there in their sizes."""
        if read_state(self.outputs).fingerprint != build_fingerprint(index):
            return None
        version = latest_version(self.outputs)
        if version is None or not is_intact(self.outputs.version(version)):
            return None
        folder = self.outputs.version(version)
        content = read_manifest(folder).content
        return PublishResult(version, folder, False, {table: content.rows(table) for table in content.tables})

    def _build(
        self, archive: Archive, loaded: ArchiveIndex, index: ArchiveIndex, refused: dict[str, Exception]
    ) -> tuple[PublishResult, list[str]]:
        """Build and publish; returns the releases read as well, and adds to ``refused`` what was left out."""
        while True:
            run_context = RunContext(
                self.outputs, archive, index, self.skip_bad, self.accept_losses, self.progress, self.warn
            )
            try:
                read = run_job(self.outputs, run_context, self.home, self.openlineage)
                refused |= run_context.refused
                return present(run_context.published), read
            except ChecksFailed:
                if not (self.skip_bad and run_context.partial):
                    raise
            finally:
                _note_refused_findings(self.outputs, run_context)
            # Without a release that lacks codes the next one has another neighbor, and may lack them too.
            refused |= {release: SourceError(why) for release, why in run_context.partial.items()}
            index = _without(index, loaded, run_context.partial)
            if not index.releases_to_build():
                raise RefreshRefused(refused)


def refused_summary(outputs: Outputs, error: BaseException) -> RunSummary:
    """What a run that failed leaves in ``runs/``: why, and the version that is the newest."""
    return RunSummary(now_stated(), latest_version(outputs), False, error=str(error) or type(error).__name__)


def _index_with(loaded: ArchiveIndex, taken: TakenIn, report: FetchReport | None) -> ArchiveIndex:
    """What to build from: what is loaded and what was taken in; raises where there is nothing, or a mixture."""
    if len({z.is_sample for z in [*loaded.zips.values(), *taken.zips]}) > 1:
        raise SourceError(
            "the made-up sample and CMS's releases do not go into one folder of outputs; give another with --outputs"
        )
    still_refused = {k: v for k, v in loaded.refused.items() if k not in taken.arrived}
    refused = still_refused | {k: printable(str(v)) for k, v in taken.refused.items()}
    index = ArchiveIndex(loaded.zips, loaded.excluded, refused, loaded.accepted).with_zips(taken.zips)
    if not index.zips:
        if taken.refused:
            raise RefreshRefused(taken.refused)
        why = "".join(f"\n  {url}: {text}" for url, text in report.refused.items()) if report else ""
        why = f"; CMS's site offered none: {report.words()}{why}" if report is not None else ""
        why += "".join(f"\n  not loaded: {name}: {text}" for name, text in taken.left.items())
        raise SourceError(f"no release is loaded and none is offered; `hcpcs refresh --from DIR` loads releases{why}")
    if not index.releases_to_build():
        raise SourceError("every release is excluded; `hcpcs releases include YYYY-MM` takes one back")
    return index


def _without(index: ArchiveIndex, loaded: ArchiveIndex, partial: Mapping[str, str]) -> ArchiveIndex:
    """The index without what is new of releases that lack too much; one that was loaded before is excluded."""
    new = {sha for sha, z in index.zips.items() if sha not in loaded.zips and z.release_id in partial}
    releases = {index.zips[sha].release_id for sha in new}
    return replace(
        index,
        zips={sha: z for sha, z in index.zips.items() if sha not in new},
        refused=index.refused | {r: why for r, why in partial.items() if r in releases},
        excluded=index.excluded | {r: why for r, why in partial.items() if r not in releases},
    )


def _ways_out(loaded: ArchiveIndex, new: list[ArchivedZip]) -> list[str]:
    """What to do where a build is refused: the offered zips, none of which is loaded now, and how to leave one out."""
    offered = sorted({f"{z.release_id} ({z.name})" for z in new if z.sha256 not in loaded.zips})
    more = f" and {len(offered) - 5} more" if len(offered) > 5 else ""
    lines = [f"not loaded, since the build with it was refused: {', '.join(offered[:5])}{more}"] if offered else []
    return [*lines, "`hcpcs releases exclude YYYY-MM --reason WHY` leaves a release out, loaded or not"]


def _note_refused_findings(outputs: Outputs, run_context: RunContext) -> None:
    """Keep the findings of refused releases where ``hcpcs findings`` looks for them, those of earlier runs too."""
    noted = {r: found for r, found in refused_findings(outputs).items() if r in run_context.index.refused}
    for release_id, refusal in run_context.refused.items():
        noted[release_id] = [{s: getattr(f, s) for s in f.__slots__} for f in refusal.findings]
    write_json(outputs.refused, noted)
