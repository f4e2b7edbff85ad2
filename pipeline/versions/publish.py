"""Publishing: a version is built beside the others, checked, and appears whole or not at all.

The order is what keeps it safe: files, manifest, rename, ``latest.json``, symlink. Nothing published is ever changed.
"""

from __future__ import annotations

import json
import os
import platform
import shutil
import subprocess
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version as library_version
from pathlib import Path
from types import MappingProxyType

import polars as pl

from hcpcs.files import file_sha256, sync, write_atomically
from hcpcs.manifest import NAME, SCHEMA_VERSION, Build, Content, Manifest, ReleaseRevision, VersionFile
from hcpcs.manifest import OPEN as TIER
from hcpcs.paths import Outputs
from pipeline.license_gate.check import check_version, withheld_texts
from pipeline.transforms.license_flags import masked
from pipeline.versions.dcat import write_dcat
from pipeline.versions.descriptors import write_descriptors
from pipeline.versions.diff import write_changes
from pipeline.versions.feeds import write_feeds
from pipeline.versions.parquet import content_hash, logical_sha256, write_published_table
from pipeline.versions.prune import link_unchanged
from pipeline.versions.store import (
    all_versions,
    is_intact,
    latest_version,
    read_manifest,
    read_state,
    set_latest,
    version_key,
    write_state,
)
from schemas.registry import contract, enforce

PACKAGE_ROOT = Path(__file__).resolve().parents[2]
_PARTIAL = ".partial-"
#: How the folders begin that a refresh downloads into.
FETCHING = ".fetch-"
#: Tables that are written at the same time: compressing and hashing hold no lock of Python's.
_WRITERS = 2
#: Rows of a table, and the hash of their values.
TableFacts = tuple[int, str]
_LIBRARIES = ("dagster", "fastexcel", "pandera", "polars", "pyarrow", "rapidfuzz")


@dataclass(frozen=True, slots=True)
class PublishResult:
    """What publishing did: the version's id and folder, whether it is new, rows by table."""

    version: str
    folder: Path
    is_new: bool
    rows: dict[str, int]


def publish(
    outputs: Outputs,
    tables: Mapping[str, pl.LazyFrame],
    *,
    policy: pl.DataFrame,
    releases: Sequence[ReleaseRevision],
    missing: Mapping[str, str],
    excluded: Mapping[str, str],
    is_sample: bool,
    accepted_losses: Mapping[str, str] = MappingProxyType({}),
    accepted: Callable[[], None] = lambda: None,
    kept_contracts: Mapping[str, str] = MappingProxyType({}),
) -> PublishResult:
    """Publish ``tables`` (whole, unmasked) as the next version, unless its content is the latest one's.

    ``releases`` and ``missing`` go into the manifest's content: what the version was made of, and what it lacks.
    ``accepted_losses`` names the releases that lack what their neighbors have and were accepted so.
    ``accepted`` is called when every check has passed and before the version appears: a version names no bytes that
    are not kept, and what was refused is kept nowhere.
    ``kept_contracts`` has the ``content_hash`` of tables that this code checked against their contracts; all others,
    such as those that masking changes, are checked here.
    Raises ``ContractViolation`` or ``LicenseLeak`` before a version appears.
    """
    outputs.versions.mkdir(parents=True, exist_ok=True)
    sweep(outputs)
    partial = outputs.versions / f"{_PARTIAL}{os.getpid()}"
    try:
        metadata = {"is_sample": json.dumps(is_sample), "tier": TIER}
        facts, withheld = _write_tables(partial / TIER, tables, policy, metadata, kept_contracts)
        copy_licenses(partial)
        files = files_of(partial, facts)
        content = Content(
            SCHEMA_VERSION,
            TIER,
            is_sample,
            max(r.release_id for r in releases),
            tuple(releases),
            dict(sorted(missing.items())),
            dict(sorted(excluded.items())),
            dict(sorted(accepted_losses.items())),
            files,
        )
        content = replace(content, files=files | write_descriptors(partial, content) | write_dcat(partial, content))
        previous = latest_version(outputs)
        before = outputs.version(previous) if previous else None
        if previous and before and is_intact(before) and read_manifest(before).content == content:
            shutil.rmtree(partial)
            accepted()
            return PublishResult(previous, before, False, _rows(facts))
        version = _next_version(outputs, content.newest_release)
        beside = write_changes(partial, content, version, before) | write_feeds(partial, content)
        manifest = Manifest(content, _build(version, previous, beside))
        write_atomically(partial / NAME, manifest.to_json())
        if before is not None:
            link_unchanged(partial, before, content.files)
        check_version(partial, policy, manifest.files, forbidden_texts=withheld)
        _sync_folders(partial)
        accepted()
        partial.rename(outputs.version(version))
        sync(outputs.versions)
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        raise
    set_latest(outputs, version)
    write_state(outputs, publishing=None)
    return PublishResult(version, outputs.version(version), True, _rows(facts))


def _write_tables(
    folder: Path,
    tables: Mapping[str, pl.LazyFrame],
    policy: pl.DataFrame,
    metadata: Mapping[str, str],
    kept_contracts: Mapping[str, str],
) -> tuple[dict[str, TableFacts], frozenset[str]]:
    """Mask, check and write each table; returns the facts of each, and every text that was withheld."""
    writing: dict[str, Future[TableFacts]] = {}

    def write(name: str, frame: pl.DataFrame) -> TableFacts:
        write_published_table(folder / f"{name}.parquet", contract(name), frame, metadata)
        return frame.height, logical_sha256(frame)

    def each_whole() -> Iterator[tuple[str, pl.DataFrame]]:
        """The whole tables, each of which is masked and written meanwhile; few at a time, since they are large."""
        for name in sorted(tables):
            whole = tables[name].collect()
            open_rows = masked(name, whole, policy).select(list(contract(name).polars_schema))
            if content_hash([open_rows]) != kept_contracts.get(name):
                open_rows = enforce(name, open_rows)
            for earlier in list(writing.values())[: 1 - _WRITERS]:
                earlier.result()
            writing[name] = pool.submit(write, name, open_rows)
            yield name, whole

    with ThreadPoolExecutor(_WRITERS) as pool:
        withheld = withheld_texts(each_whole(), policy)
    return {name: written.result() for name, written in writing.items()}, withheld


def sweep(outputs: Outputs) -> None:
    """Remove what an interrupted run left; the caller holds the lock.

    So goes a whole version that ``latest.json`` never named: it was never published. Its number stays used.
    """
    unfinished = read_state(outputs).publishing
    if unfinished is not None:
        if unfinished != latest_version(outputs) and outputs.version(unfinished).is_dir():
            outputs.version(unfinished).rename(outputs.versions / f"{_PARTIAL}{unfinished}")
        write_state(outputs, publishing=None)
    for leftover in (*outputs.versions.glob(f"{_PARTIAL}*"), *outputs.folder.glob(f"{FETCHING}*")):
        shutil.rmtree(leftover)
    for pattern in (
        ".*.part",
        ".latest.*",
        "archive/.*.part",
        "archive/zips/*.part",
        "work/.*.part",
        "work/*/.*.part",
        "runs/.*.part",
        "watched/*/.*.part",
    ):
        for file in outputs.folder.glob(pattern):
            file.unlink(missing_ok=True)


def _next_version(outputs: Outputs, newest_release: str) -> str:
    """The next id for this newest release; kept in state before it is used, so that none is used twice.

    The state names it as being published until ``latest.json`` does.
    """
    prefix = newest_release.replace("-", ".")
    builds = read_state(outputs).builds
    loaded = [version_key(v)[2] for v in all_versions(outputs) if v.startswith(prefix + ".")]
    number = max([builds.get(prefix, 0), *loaded]) + 1
    version = f"{prefix}.{number}"
    write_state(outputs, builds=builds | {prefix: number}, publishing=version)
    return version


def _rows(facts: Mapping[str, TableFacts]) -> dict[str, int]:
    return {name: rows for name, (rows, _) in facts.items()}


def files_of(folder: Path, facts: Mapping[str, TableFacts]) -> dict[str, VersionFile]:
    """The entries of a version's files as they lie in ``folder``; ``facts`` has rows and logical hash of its tables."""
    return {
        path.relative_to(folder).as_posix(): VersionFile(
            file_sha256(path), path.stat().st_size, *(facts[path.stem] if path.suffix == ".parquet" else ())
        )
        for path in sorted(p for p in folder.rglob("*") if p.is_file())
    }


def copy_licenses(partial: Path) -> None:
    """Copy the license texts, which are at the top of the repository, into a version."""
    target = partial / "LICENSES"
    target.mkdir(parents=True)
    for path in sorted((PACKAGE_ROOT / "LICENSES").glob("*.txt")):
        shutil.copyfile(path, target / path.name)


def _build(version: str, previous: str | None, files: Mapping[str, VersionFile]) -> Build:
    return Build(
        version,
        previous,
        datetime.now(UTC).isoformat(timespec="seconds"),
        library_version("hcpcs"),
        _commit(),
        platform.python_version(),
        {name: library_version(name) for name in _LIBRARIES},
        files,
    )


def _commit() -> str | None:
    """The commit that the code was checked out at, if it is a checkout."""
    try:
        command = ["git", "-C", str(PACKAGE_ROOT), "rev-parse", "HEAD"]
        done = subprocess.run(command, capture_output=True, text=True, timeout=5, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return done.stdout.strip()


def _sync_folders(folder: Path) -> None:
    for sub in [folder, *(p for p in folder.rglob("*") if p.is_dir())]:
        sync(sub)
