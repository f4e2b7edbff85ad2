"""What is published and what runs must remember: versions, ``latest``, the state."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from hcpcs.files import file_sha256, write_atomically
from hcpcs.manifest import NAME, Manifest, ManifestDamaged, json_bytes
from hcpcs.paths import Outputs
from hcpcs.typed_json import Untyped, read_typed
from hcpcs.version import latest_version, refused_findings
from hcpcs.version_files import VERSION_ID, FileDamaged, LatestPointer

#: The feeds that a version carries, of which a copy lies beside ``latest``.
FEEDS = ("changes.json", "changes.atom.xml")


def all_versions(outputs: Outputs) -> list[str]:
    """Ids of the versions kept, oldest first, compared as numbers."""
    if not outputs.versions.is_dir():
        return []
    return sorted((p.name for p in outputs.versions.iterdir() if VERSION_ID.fullmatch(p.name)), key=version_key)


def version_key(version: str) -> tuple[int, ...]:
    """A version id as numbers: 2025.10.2 comes before 2025.10.10."""
    return tuple(int(part) for part in version.split("."))


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the version in ``folder``; raises ``ManifestDamaged`` for a missing or edited one."""
    try:
        data = (folder / NAME).read_bytes()
    except FileNotFoundError:
        raise ManifestDamaged(f"{folder}: {NAME} is missing") from None
    return Manifest.from_json(data, str(folder))


def is_intact(folder: Path) -> bool:
    """Whether the version in ``folder`` has all its files as they were published."""
    try:
        files = read_manifest(folder).content.files
    except ManifestDamaged:
        return False
    # Sizes first, which cost nothing.
    return all((folder / n).is_file() and (folder / n).stat().st_size == f.bytes for n, f in files.items()) and all(
        file_sha256(folder / n) == f.sha256 for n, f in files.items()
    )


def set_latest(outputs: Outputs, version: str) -> None:
    """Make ``version`` the newest: first the file, which is the truth, then the symlink and the feeds."""
    write_atomically(outputs.latest, LatestPointer(version).to_json())
    mend_latest_link(outputs)
    mend_feeds(outputs)


def mend_small_files(outputs: Outputs) -> None:
    """Drop damaged findings of refused releases; let ``latest.json`` name a version and the symlink ``latest`` follow.

    A damaged pointer then names the newest whole version. A folder in the link's place, as a copy with links followed
    has it, gives way to the link; one that is no copy of a version stays, and the pointer alone names the newest.
    """
    try:
        refused_findings(outputs)
    except FileDamaged:
        outputs.refused.unlink()
    try:
        latest_version(outputs)
    except FileDamaged:
        whole = [v for v in all_versions(outputs) if is_intact(outputs.version(v))]
        if not whole:
            outputs.latest.unlink()
            return
        set_latest(outputs, whole[-1])
    mend_latest_link(outputs)
    mend_feeds(outputs)


def mend_feeds(outputs: Outputs) -> None:
    """Let the feeds beside ``latest`` be those of the newest version; one that carries none has none there."""
    version = latest_version(outputs)
    for name in FEEDS if version is not None else ():
        source, copy = outputs.version(str(version)) / name, outputs.folder / name
        if not source.is_file():
            copy.unlink(missing_ok=True)
        elif not copy.is_file() or copy.read_bytes() != source.read_bytes():
            write_atomically(copy, source.read_bytes())


def mend_latest_link(outputs: Outputs) -> None:
    """Let the symlink ``latest`` follow ``latest.json``."""
    version = latest_version(outputs)
    if version is None:
        return
    link, target = outputs.latest_link, Path("versions") / version
    if link.is_symlink() and link.readlink() == target:
        return
    fresh, copied = (outputs.folder / f".latest.{what}.{os.getpid()}" for what in ("new", "copied"))
    if link.is_dir() and not link.is_symlink():
        if not (link / NAME).is_file():
            return
        link.rename(copied)
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(link)
    shutil.rmtree(copied, ignore_errors=True)


@dataclass(frozen=True, slots=True)
class State:
    """``state.json``: what a run must know of earlier ones.

    ``fingerprint`` is of the inputs and code of the last build, ``staged`` those of each staged table and release,
    ``reference`` those of each table that no release is in;
    ``builds`` has the newest number used for a newest release; ``publishing`` is a version that ``latest.json`` may not
    name yet.
    """

    fingerprint: str | None = None
    staged: dict[str, dict[str, str]] = field(default_factory=dict)
    builds: dict[str, int] = field(default_factory=dict)
    publishing: str | None = None
    reference: dict[str, str] = field(default_factory=dict)

    @classmethod
    def from_json(cls, data: bytes) -> State:
        """The state that ``data`` holds; raises ``FileDamaged`` for what is none."""
        try:
            state: State = read_typed(cls, json.loads(data), "state")
        except (ValueError, Untyped):
            raise FileDamaged("state.json is damaged") from None
        return state


@dataclass(frozen=True, slots=True)
class RunSummary:
    """``runs/<time>.json``: what one run did, or why it failed (``error``; then the rest is not stated)."""

    at: str
    version: str | None
    is_new: bool
    error: str | None = None
    folder: str | None = None
    rows: Mapping[str, int] | None = None
    new_zips: int | None = None
    read: tuple[str, ...] | None = None
    refused: Mapping[str, str] | None = None
    not_loaded: Mapping[str, str] | None = None
    compressed: Mapping[str, tuple[str, ...]] | None = None
    fetched: Mapping[str, Any] | None = None

    def as_json(self) -> dict[str, Any]:
        """The summary as JSON, with what is stated alone; a site that was not asked is stated."""
        stated = {name: value for name, value in asdict(self).items() if value is not None}
        return {"at": self.at, "version": self.version, "is_new": self.is_new} | (
            stated if self.error is not None else stated | {"fetched": self.fetched}
        )

    @classmethod
    def from_json(cls, data: bytes) -> RunSummary:
        """The summary that ``data`` holds; raises ``FileDamaged`` for what is none."""
        try:
            raw = json.loads(data)
            summary = cls(**{f.name: raw[f.name] for f in fields(cls) if f.name in raw})
            is_typed = isinstance(summary.at, str) and isinstance(summary.version, str | None)
        except (ValueError, TypeError):
            is_typed = False
        if not is_typed:
            raise FileDamaged("the summary of a run is damaged")
        return summary

    def write(self, outputs: Outputs) -> None:
        """Keep the summary beside the versions."""
        write_json(outputs.runs / f"{datetime.now(UTC):%Y%m%dT%H%M%S%fZ}.json", self.as_json())


def now_stated() -> str:
    """This moment, as summaries state it."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def read_state(outputs: Outputs) -> State:
    """What earlier runs left for later ones.

    Where it is missing or damaged, everything is read again, and the numbers used are those of the versions and runs
    that are known: a number is never used twice.
    """
    try:
        return State.from_json(outputs.state.read_bytes())
    except (FileNotFoundError, FileDamaged):
        return State(builds=_numbers_used(outputs))


def write_state(outputs: Outputs, **changes: Any) -> None:
    """Change parts of the state, all at once."""
    write_json(outputs.state, asdict(replace(read_state(outputs), **changes)))


def _numbers_used(outputs: Outputs) -> dict[str, int]:
    """The newest number used for each newest release: by versions kept, and by the summaries of runs."""
    seen = set(all_versions(outputs))
    for path in outputs.runs.glob("*.json"):
        with contextlib.suppress(OSError, FileDamaged):
            seen.add(RunSummary.from_json(path.read_bytes()).version or "")
    numbers: dict[str, int] = {}
    for version in seen:
        if VERSION_ID.fullmatch(version):
            prefix, _, number = version.rpartition(".")
            numbers[prefix] = max(numbers.get(prefix, 0), int(number))
    return numbers


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all."""
    write_atomically(path, json_bytes(content))
