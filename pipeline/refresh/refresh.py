"""``hcpcs refresh``: take in what is offered, run the job, publish; or change nothing and say why.

Dagster is imported only when there is something to build: a run with nothing new ends before that.
"""

from __future__ import annotations

import contextlib
import errno
import gc
import os
import re
import tempfile
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from hcpcs.errors import HcpcsError, named, present, printable
from hcpcs.paths import Outputs
from hcpcs.version import latest_version, refused_findings
from hcpcs.version_files import FileDamaged
from pipeline.lineage.columns import tables
from pipeline.orchestration.fingerprints import build_fingerprint, reference_fingerprint
from pipeline.orchestration.run_context import Progress, RefreshRefused, RunContext
from pipeline.orchestration.staged_tables import StagedTables
from pipeline.refresh.take_in import TakenIn, take_in
from pipeline.versions.parquet import content_hash
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
from schemas.contract import ContractViolation
from sources.archive.archive import ArchivedZip, ArchiveIndex
from sources.errors import SourceError
from sources.release.inspect import open_archive

if TYPE_CHECKING:
    import dagster as dg

    from pipeline.orchestration.openlineage_settings import OpenLineageSettings
    from sources.site.fetch_new import FetchReport
    from sources.site.polling import Site

#: What the system says where nothing more can be written: no room, a quota, a limit on the size of files.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

#: Modules whose errors come from the database that Dagster keeps its runs in.
_DATABASES = ("sqlalchemy.", "dagster_postgres.", "sqlite3", "psycopg2")

_DAGSTER_SETTINGS = """\
telemetry: {enabled: false}
nux: {enabled: false}
# Runs are made in process by `hcpcs refresh`, which prints its own progress.
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


class ChecksFailed(HcpcsError):
    """Checks across releases failed; ``failed`` names each, with what it measured."""

    def __init__(self, failed: Mapping[str, str]) -> None:
        self.failed = dict(failed)
        super().__init__("\n".join(f"{name}: {text}" for name, text in self.failed.items()))


class StorageFailed(SourceError):
    """The folder of outputs cannot be written, or Dagster's storage cannot be set up or written: full, most often."""


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
        _failed_writes_reported(outputs, home),
        only_writer(outputs, wait=wait, progress=progress),
    ):
        return _refresh_alone(
            outputs, offered, stated, skip_bad, accept_losses, site, urls, home, progress, warn or progress, openlineage
        )


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


@contextlib.contextmanager
def _failed_writes_reported(outputs: Outputs, home: Path) -> Iterator[None]:
    """Say of a full disk or a failing database which it is and what was published, whichever write met it."""
    try:
        before = latest_version(outputs)
    except FileDamaged:  # the refresh mends it
        before = None
    try:
        yield
    except Exception as error:
        if (number := _errno_of(error)) in _FULL:
            why = f"{outputs.folder} cannot be written: {os.strerror(number)}; make room and refresh again"
        elif type(error).__module__.startswith(_DATABASES):  # by name: Dagster, which brings them, may not be imported
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            why = f"Dagster's storage, set up in {home}, fails: {getattr(cause, 'orig', None) or cause}"
        else:
            raise
        now = latest_version(outputs)
        if now == before:
            done = "nothing was published" + (f", the newest version is still {now}" if now else "")
        else:
            done = f"version {now} was published before that"
        raise StorageFailed(f"{why}\n  {done}") from error


def _errno_of(error: Exception) -> int:
    """The system's number of an error, which polars has in words alone; 0 if there is none."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"\(os error (\d+)\)", str(error)) if isinstance(error, pl.exceptions.PolarsError) else None
    return int(found[1]) if found else 0


def _refresh_alone(
    outputs: Outputs,
    offered: Path | None,
    stated: str | None,
    skip_bad: bool,
    accept_losses: bool,
    site: Site | None,
    urls: Sequence[str],
    home: Path,
    progress: Progress,
    warn: Progress,
    openlineage: OpenLineageSettings | None,
) -> RefreshResult:
    """Refresh as the only one that writes."""
    mend_small_files(outputs)
    sweep(outputs)
    try:
        with tempfile.TemporaryDirectory(prefix=FETCHING, dir=outputs.folder) as folder:
            report = _fetch(outputs, site, urls, Path(folder), progress) if site is not None else None
            if report is not None:
                offered = Path(folder) if report.fetched else None
            done = _refresh(
                outputs, offered, stated, skip_bad, accept_losses, report, home, progress, warn, openlineage
            )
    except Exception as error:
        with contextlib.suppress(OSError):  # a full disk is what it may have to report
            refused_summary(outputs, error).write(outputs)
        raise
    done.summary().write(outputs)
    return done


def _fetch(outputs: Outputs, site: Site, urls: Sequence[str], folder: Path, progress: Progress) -> FetchReport | None:
    """Fetch what is named, or new on the site, unless what is loaded is the made-up sample, which no site has."""
    archive = open_archive(outputs.archive)
    loaded = archive.index()
    if not urls and site.saved_page is None and any(z.is_sample for z in loaded.zips.values()):
        progress("the loaded releases are the made-up sample: CMS's site is not contacted")
        return None
    from sources.site.fetch_new import fetch_named, fetch_new

    # A zip whose bytes are damaged is fetched anew where the site has it.
    damaged = archive.damaged(loaded)
    loaded = replace(loaded, zips={sha: z for sha, z in loaded.zips.items() if sha not in damaged})
    if urls:
        return fetch_named(urls, site, loaded, folder, outputs.site_state, progress)
    return fetch_new(site, loaded, folder, outputs.site_state, progress)


def refused_summary(outputs: Outputs, error: BaseException) -> RunSummary:
    """What a run that failed leaves in ``runs/``: why, and the version that is the newest."""
    return RunSummary(now_stated(), latest_version(outputs), False, error=str(error) or type(error).__name__)


def _refresh(
    outputs: Outputs,
    offered: Path | None,
    stated: str | None,
    skip_bad: bool,
    accept_losses: bool,
    report: FetchReport | None,
    home: Path,
    progress: Progress,
    warn: Progress,
    openlineage: OpenLineageSettings | None,
) -> RefreshResult:
    archive = open_archive(outputs.archive)
    loaded = archive.index()
    taken = TakenIn()
    if offered is not None:
        with tempfile.TemporaryDirectory(prefix=FETCHING, dir=outputs.folder) as workshop:
            taken = take_in(archive, loaded, offered, Path(workshop), stated=stated, report=report, progress=progress)
    new, refused = taken.zips, taken.refused
    if refused and not skip_bad:
        raise RefreshRefused(refused)
    _refuse_mixture(loaded, new)
    still_refused = {k: v for k, v in loaded.refused.items() if k not in taken.arrived}
    refused_now = still_refused | {k: printable(str(v)) for k, v in refused.items()}
    index = ArchiveIndex(loaded.zips, loaded.excluded, refused_now, loaded.accepted).with_zips(new)
    if not index.zips:
        if refused:
            raise RefreshRefused(refused)
        why = "".join(f"\n  {url}: {text}" for url, text in report.refused.items()) if report else ""
        why = f"; CMS's site offered none: {report.words()}{why}" if report is not None else ""
        why += "".join(f"\n  not loaded: {name}: {text}" for name, text in taken.left.items())
        raise SourceError(f"no release is loaded and none is offered; `hcpcs refresh --from DIR` loads releases{why}")
    if not index.releases_to_build():
        raise SourceError("every release is excluded; `hcpcs releases include YYYY-MM` takes one back")
    count = len(set(index.zips) - set(loaded.zips))
    fingerprint = build_fingerprint(index)
    if read_state(outputs).fingerprint == fingerprint and (latest := _intact_latest(outputs)) is not None:
        archive.commit(index)
        mend_watched_feeds(outputs, warn)
        refusals = {k: printable(str(v)) for k, v in refused.items()}
        return RefreshResult(latest, False, count, (), refusals, report, taken.left, taken.compressed)
    run_context = RunContext(outputs, archive, index, skip_bad, accept_losses, progress, warn)
    try:
        while True:
            try:
                read = _run_job(outputs, run_context, home, openlineage)
                break
            except ChecksFailed:
                if not (skip_bad and run_context.partial):
                    raise
            # Without a release that lacks codes the next one has another neighbor, and may lack them too.
            refused |= {release: SourceError(why) for release, why in run_context.partial.items()}
            index = _without(index, loaded, run_context.partial)
            if not index.releases_to_build():
                raise RefreshRefused(refused)
            run_context = RunContext(outputs, archive, index, skip_bad, accept_losses, progress, warn)
    except StorageFailed:  # for which no release is to blame
        raise
    except Exception as error:
        for line in _ways_out(loaded, new):
            error.add_note(line)
        raise
    published = present(run_context.published)
    _note_refused_findings(outputs, run_context)
    write_state(outputs, fingerprint=build_fingerprint(archive.index()))
    refused |= run_context.refused
    refusals = {k: printable(str(v)) for k, v in refused.items()}
    return RefreshResult(
        published, published.is_new, count, tuple(read), refusals, report, taken.left, taken.compressed
    )


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


def _refuse_mixture(loaded: ArchiveIndex, new: list[ArchivedZip]) -> None:
    samples = {z.is_sample for z in [*loaded.zips.values(), *new]}
    if len(samples) > 1:
        raise SourceError(
            "the made-up sample and CMS's releases do not go into one folder of outputs; give another with --outputs"
        )


def _intact_latest(outputs: Outputs) -> PublishResult | None:
    """The latest version, if its files are all there in their sizes."""
    version = latest_version(outputs)
    if version is None or not is_intact(outputs.version(version)):
        return None
    folder = outputs.version(version)
    content = read_manifest(folder).content
    rows = {table: content.rows(table) for table in content.tables}
    return PublishResult(version, folder, False, rows)


def _run_job(
    outputs: Outputs, run_context: RunContext, home: Path, openlineage: OpenLineageSettings | None
) -> list[str]:
    """Run the job ``refresh`` on the persistent instance; returns the releases it read."""
    stale = StagedTables(outputs, run_context).stale_releases()
    with run_context.reading_in_advance(stale):
        return _run_job_on(stale, outputs, run_context, home, openlineage)


def _run_job_on(
    stale: list[str], outputs: Outputs, run_context: RunContext, home: Path, openlineage: OpenLineageSettings | None
) -> list[str]:
    run_context.progress("starting Dagster")
    warnings.filterwarnings("ignore", module="dagster")
    import dagster as dg

    from pipeline.orchestration.assemble import assemble
    from pipeline.orchestration.assets.reference import REFERENCE_TABLES

    errors: list[BaseException] = []

    @dg.failure_hook
    def keep_error(context: dg.HookContext) -> None:
        if context.op_exception is not None:
            errors.append(context.op_exception)

    given = dg.ResourceDefinition.hardcoded_resource(run_context)
    definitions = assemble(outputs=outputs.folder, run_context=given, openlineage=openlineage, hooks={keep_error})
    job = definitions.resolve_job_def("refresh")
    gc.freeze()  # until the end of the refresh: what was imported stays
    with open_instance(home) as instance:
        keys = _align_partitions(instance, list(run_context.releases()))
        kept = _kept_reference_tables(outputs, run_context)
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        chosen: dict[str, Any] = {"asset_selection": _to_build(kept, with_staged=bool(stale))}
        read: list[str] = []
        if stale:
            # Dagster knows ranges in the order of insertion: from the first stale release to the last, all are read.
            places = [keys.index(release_id) for release_id in stale]
            read = keys[min(places) : max(places) + 1]
            ends = {"dagster/asset_partition_range_start": read[0], "dagster/asset_partition_range_end": read[-1]}
            chosen["tags"] = ends
        result = job.execute_in_process(instance=instance, run_config=quiet, raise_on_error=False, **chosen)
        if not result.success:
            instance_partitions_of_archive(instance, run_context)
            _raise_cause(outputs, errors, result, run_context)
        for release_id in run_context.left_out:
            instance.delete_dynamic_partition("releases", release_id)
            StagedTables(outputs, run_context).forget(release_id)
        if not kept:
            made = {table: reference_fingerprint(outputs.work / f"{table}.parquet") for table in REFERENCE_TABLES}
            write_state(outputs, reference=made)
    return [r for r in read if r not in run_context.refused]


def instance_partitions_of_archive(instance: dg.DagsterInstance, run_context: RunContext) -> None:
    """After a failed run: partitions as the archive holds them, so that the UI shows only loaded releases."""
    loaded = set(run_context.archive.index().releases_to_build())
    for key in instance.get_dynamic_partitions("releases"):
        if key not in loaded:
            instance.delete_dynamic_partition("releases", key)


def _align_partitions(instance: dg.DagsterInstance, releases: list[str]) -> list[str]:
    """Make Dagster's partitions the releases to build from; returns them in the order of insertion."""
    known = list(instance.get_dynamic_partitions("releases"))
    for key in set(known) - set(releases):
        instance.delete_dynamic_partition("releases", key)
    instance.add_dynamic_partitions("releases", [r for r in releases if r not in known])
    keys = list(instance.get_dynamic_partitions("releases"))
    if sorted(keys) != sorted(releases):
        raise HcpcsError("another program changed Dagster's partitions meanwhile; nothing was published, refresh again")
    return keys


def _kept_reference_tables(outputs: Outputs, run_context: RunContext) -> list[str]:
    """The tables that no release is in, if all are as this code made them, and so kept their contracts; else none."""
    noted = read_state(outputs).reference
    files = {table: outputs.work / f"{table}.parquet" for table in noted}
    if any(reference_fingerprint(file) != noted[table] for table, file in files.items()):
        return []
    for table, file in files.items():
        run_context.kept_contracts[table] = content_hash([pl.read_parquet(file)])
    return list(files)


def _to_build(kept: Sequence[str], *, with_staged: bool) -> list[dg.AssetKey]:
    import dagster as dg

    left_out = {"source"} if with_staged else {"source", "staged"}
    return [dg.AssetKey(t.name) for t in tables() if t.group not in left_out and t.name not in kept]


def _raise_cause(outputs: Outputs, errors: list[BaseException], result: Any, run_context: RunContext) -> None:
    _note_refused_findings(outputs, run_context)
    failed = {
        f"{c.asset_key.to_user_string()}.{c.check_name}": str(c.description or "failed")
        for c in result.get_asset_check_evaluations()
        if not c.passed and c.blocking
    }
    contract = [e for e in errors if isinstance(e, ContractViolation)]  # its own words say more than its check's
    if failed and not contract:
        raise ChecksFailed(failed)
    if not errors:
        raise HcpcsError("the run was stopped before it ended; nothing was published, run `hcpcs refresh` again")
    raise errors[0]


def _note_refused_findings(outputs: Outputs, run_context: RunContext) -> None:
    """Keep the findings of refused releases where ``hcpcs findings`` looks for them, those of earlier runs too."""
    noted = {r: found for r, found in refused_findings(outputs).items() if r in run_context.index.refused}
    for release_id, refusal in run_context.refused.items():
        noted[release_id] = [{s: getattr(f, s) for s in f.__slots__} for f in refusal.findings]
    write_json(outputs.refused, noted)


def prepare_home(home: Path) -> None:
    """Make ``home`` a home of Dagster with our settings, unless it has its own."""
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(_DAGSTER_SETTINGS, "utf-8")


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance of a refresh, with its home, whose databases stay open meanwhile.

    Raises ``StorageFailed`` where the home's ``dagster.yaml`` cannot be used.
    """
    import dagster as dg

    from pipeline.orchestration.open_databases import kept_open

    prepare_home(home)
    with kept_open():
        try:
            opened = dg.DagsterInstance.local_temp(str(home))  # "temp", but the folder stays
        except Exception as error:
            if isinstance(error, OSError) or type(error).__module__.startswith(_DATABASES):
                raise
            why = textwrap.shorten(str(error), 400, placeholder=" ...")
            raise StorageFailed(f"Dagster cannot be set up by {home / 'dagster.yaml'}: {why}") from error
        with opened as instance:
            yield instance
