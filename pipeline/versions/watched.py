"""Watched lists: codes of which a notice states what a version changed, and the feeds of each.

``watched/<name>/list.json`` has the codes, ``changes.json`` and ``changes.atom.xml`` beside it are the list's feeds.
Lists belong to the folder of outputs, not to a version.
"""

from __future__ import annotations

import json
import re
import shutil
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl

from hcpcs.check import check_codes
from hcpcs.code_lists import read_list
from hcpcs.errors import HcpcsError
from hcpcs.files import write_atomically
from hcpcs.lookup import changes_of
from hcpcs.manifest import SCHEMA_VERSION
from hcpcs.paths import Outputs
from hcpcs.typed_json import Untyped, read_typed
from hcpcs.version import latest_version, version_folder
from hcpcs.version_files import FileDamaged, Rows
from pipeline.license_gate.check import check_version
from pipeline.license_gate.report import LicenseLeak
from pipeline.versions.feeds import feeds_of_list, reported_changes
from pipeline.versions.parquet import read_table
from pipeline.versions.store import FEEDS, now_stated, read_manifest, write_json
from pipeline.versions.writer import WAIT, only_writer
from sources.curated.license_policy import load_license_policy

_NAME = re.compile(r"[a-z0-9][a-z0-9_-]{0,63}")
_LIST = "list.json"
#: What distinguishes a change from those of the version before.
_KEY = ("release_id", "revision", "kind", "code", "change", "field", "old", "new")

Progress = Callable[[str], None]


class ListRefused(HcpcsError):
    """A watched list cannot be added, or there is none of this name."""


@dataclass(frozen=True, slots=True)
class WatchedList:
    """A list's name, its codes and modifiers in order, and when it was added."""

    name: str
    codes: tuple[str, ...]
    added_at: str

    @classmethod
    def from_json(cls, data: bytes, path: Path) -> WatchedList:
        """The list that ``data`` holds; raises ``FileDamaged`` for what is none."""
        name = path.parent.name
        with suppress(ValueError, Untyped):
            found: WatchedList = read_typed(cls, json.loads(data), "list")
            if found.name == name:
                return found
        raise FileDamaged(f"{path} is damaged; `hcpcs watch remove {name}` removes the list, then add it again")


def add_list(
    outputs: Outputs,
    name: str,
    path: Path,
    *,
    column: str | None = None,
    sheet: str | None = None,
    replace: bool = False,
    wait: float = WAIT,
    progress: Progress = lambda text: None,
) -> tuple[WatchedList, Rows]:
    """Watch the codes of a list, read as ``hcpcs check`` reads it; returns the list, and its rows of ``check_codes``.

    What is no code by its format is not watched; its row says so. Raises ``ListRefused`` for a list without a code and
    for a name that is taken or has another owner's code, ``HcpcsError`` for a list that cannot be read, and
    ``NothingPublished``.
    """
    if _NAME.fullmatch(name) is None:
        raise ListRefused(f"{name!r} is no name of a list: lower-case letters, digits, - and _, at most 64")
    rows = check_codes(version_folder(outputs), read_list(path, column=column, sheet=sheet), day=date.today())
    codes = tuple(dict.fromkeys(row["code"] for row in rows if row["code"]))
    if not codes:
        raise ListRefused(f"{path} has no code to watch: {', '.join(row['given'] for row in rows[:5])}")
    added = WatchedList(name, codes, now_stated())
    with only_writer(outputs, wait=wait, progress=progress):
        if (outputs.watched / name).exists() and not replace:
            raise ListRefused(f"the list {name} is watched already; --replace puts this one in its place")
        try:
            feeds = _gated_feeds(version_folder(outputs), added)
        except LicenseLeak as error:
            raise ListRefused(f"feeds of {name} would state what may not be redistributed: {error.leaks[0]}") from None
        write_json(outputs.watched / name / _LIST, asdict(added))
        _write_feeds(outputs, name, feeds)
    return added, rows


def remove_list(outputs: Outputs, name: str, *, wait: float = WAIT, progress: Progress = lambda text: None) -> None:
    """Watch a list no longer, and remove its feeds; raises ``ListRefused`` where there is none of this name."""
    with only_writer(outputs, wait=wait, progress=progress):
        if name not in list_names(outputs):
            raise _no_list(outputs, name)
        shutil.rmtree(outputs.watched / name)


def list_names(outputs: Outputs) -> list[str]:
    """The names of the watched lists."""
    return sorted(path.parent.name for path in outputs.watched.glob(f"*/{_LIST}"))


def read_watched(outputs: Outputs, name: str) -> WatchedList:
    """One watched list; raises ``ListRefused`` where there is none of this name, ``FileDamaged``."""
    path = outputs.watched / name / _LIST
    if _NAME.fullmatch(name) is None or not path.is_file():
        raise _no_list(outputs, name)
    return WatchedList.from_json(path.read_bytes(), path)


def _no_list(outputs: Outputs, name: str) -> ListRefused:
    names = ", ".join(list_names(outputs)) or "none"
    return ListRefused(f"no watched list is called {name!r}; watched: {names}; `hcpcs watch add` adds one")


def watched_feeds(outputs: Outputs) -> dict[str, bytes]:
    """The feeds of all watched lists, by path from the folder of outputs."""
    paths = [outputs.watched / name / feed for name in list_names(outputs) for feed in FEEDS]
    return {p.relative_to(outputs.folder).as_posix(): p.read_bytes() for p in paths if p.is_file()}


def mend_watched_feeds(outputs: Outputs, warn: Progress) -> None:
    """Let the feeds of watched lists be those of the newest version; ``warn`` gets what hinders one of them.

    The caller holds the lock.
    """
    for one in _readable(outputs, warn):
        try:
            _write_feeds(outputs, one.name, _gated_feeds(version_folder(outputs), one))
        except HcpcsError as error:
            warn(f"watched list {one.name}: {error}")


def watched_changes(outputs: Outputs, warn: Progress) -> dict[str, Rows]:
    """What the newest version changed against the one before, by watched list; a list without a change is left out.

    Rows as of ``hcpcs.lookup.changes_of``, which CMS's records show and whose license lets them be passed on.
    """
    lists = list(_readable(outputs, warn))
    version = latest_version(outputs)
    manifest = read_manifest(outputs.version(version)) if version is not None and lists else None
    previous = manifest.build.predecessor if manifest is not None else None
    if previous is None or manifest is None or not outputs.version(previous).is_dir():
        return {}
    before = read_manifest(outputs.version(previous)).content
    codes = sorted({code for one in lists for code in one.codes})
    now = _reported(outputs.version(manifest.build.version), codes)
    if before.schema_version == SCHEMA_VERSION:
        new = now.join(_reported(outputs.version(previous), codes), on=_KEY, how="anti", nulls_equal=True)
    else:  # its words may be other ones: new is what releases have that it lacks
        known = [f"{release.release_id}/{release.revision}" for release in before.releases]
        new = now.filter(~pl.format("{}/{}", "release_id", "revision").is_in(known))
    keys = set(new.iter_rows())
    rows = [
        row
        for release_id in new["release_id"].unique().sort(descending=True)
        for row in changes_of(outputs.version(manifest.build.version), release_id, codes=codes)
        if tuple(row[name] for name in _KEY) in keys
    ]
    by_list = {one.name: [row for row in rows if row["code"] in one.codes] for one in lists}
    return {name: found for name, found in by_list.items() if found}


def _reported(folder: Path, codes: Sequence[str]) -> pl.DataFrame:
    changes = read_table(folder / "open" / "hcpcs_changes.parquet")
    return reported_changes(changes, codes).select(_KEY)


def changes_of_list(outputs: Outputs, one: WatchedList) -> Rows:
    """For each code of a list: its row of ``check_codes`` today, and the newest release that changed it."""
    folder = version_folder(outputs)
    changes: dict[str, Any] = {}
    reported = reported_changes(read_table(folder / "open" / "hcpcs_changes.parquet"), one.codes)
    for row in reported.iter_rows(named=True):
        newest = changes.setdefault(row["code"], (row["release_id"], []))
        if row["release_id"] > newest[0]:
            newest = changes[row["code"]] = (row["release_id"], [])
        if row["release_id"] == newest[0] and row["change"] not in newest[1]:
            newest[1].append(row["change"])
    rows = check_codes(folder, one.codes, day=date.today())
    nothing: tuple[None, list[str]] = (None, [])
    return [
        {name: row[name] for name in ("code", "status", "description", "license_id", "note")}
        | dict(zip(("last_release", "last_changes"), changes.get(row["code"], nothing), strict=True))
        for row in rows
    ]


def _readable(outputs: Outputs, warn: Progress) -> Iterator[WatchedList]:
    for name in list_names(outputs):
        try:
            yield read_watched(outputs, name)
        except (FileDamaged, OSError) as error:
            warn(f"watched list {name}: {error}")


def _gated_feeds(folder: Path, one: WatchedList) -> dict[str, bytes]:
    """The feeds of a list, read by the license gate; raises ``LicenseLeak``."""
    feeds = feeds_of_list(folder, read_manifest(folder).content, one.name, one.codes)
    with tempfile.TemporaryDirectory() as scratch:
        for name, data in feeds.items():
            (Path(scratch) / name).write_bytes(data)
        check_version(Path(scratch), load_license_policy(), feeds)
    return feeds


def _write_feeds(outputs: Outputs, name: str, feeds: dict[str, bytes]) -> None:
    for feed, data in feeds.items():
        path = outputs.watched / name / feed
        if not path.is_file() or path.read_bytes() != data:
            write_atomically(path, data)
