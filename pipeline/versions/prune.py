"""``hcpcs prune``: which versions no one can need, and their removal; and how unchanged tables are kept only once.

Never the latest, nothing without saying what. The archive is not touched: any version can be built from it again.
"""

from __future__ import annotations

import filecmp
import os
import shutil
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.versions.store import all_versions
from pipeline.versions.writer import WAIT, only_writer
from sources.errors import SourceError

_REMOVED = ".partial-removed-"


@dataclass(frozen=True, slots=True)
class PruneResult:
    """What pruning removes, or would: versions to go with the bytes that this frees, and versions that stay."""

    removed: dict[str, int]
    kept: tuple[str, ...]
    is_done: bool


def prune(
    outputs: Outputs,
    *,
    keep: int,
    also: Iterable[str] = (),
    remove: bool = False,
    wait: float = WAIT,
    progress: Callable[[str], None] = lambda text: None,
) -> PruneResult:
    """Remove all versions but the newest ``keep``, the latest and those in ``also``; without ``remove``, only tell.

    A version goes by a rename first, so that no reader meets half of one. Raises ``SourceError`` for ``keep`` below
    1, for a version in ``also`` that is not there, and ``BeingWritten``.
    """
    if keep < 1:
        raise SourceError(f"--keep {keep} would keep nothing; keep at least 1 version")
    with only_writer(outputs, wait=wait, progress=progress):
        versions = all_versions(outputs)
        unknown = sorted(set(also) - set(versions))
        if unknown:
            raise SourceError(
                f"no version {', '.join(unknown)}; `hcpcs versions` lists the published ones; nothing was removed"
            )
        latest = latest_version(outputs)
        staying = {*versions[-keep:], *also} | ({latest} if latest else set())
        going = [v for v in versions if v not in staying]
        freed = _freed(outputs, going)
        if remove:
            for version in going:
                _remove(outputs, version)
    return PruneResult(freed, tuple(v for v in versions if v in staying), remove)


def _remove(outputs: Outputs, version: str) -> None:
    # A name that the next refresh sweeps, should this be interrupted.
    leaving = outputs.versions / f"{_REMOVED}{version}"
    outputs.version(version).rename(leaving)
    shutil.rmtree(leaving)


def _freed(outputs: Outputs, going: list[str]) -> dict[str, int]:
    """Bytes that go with each version: a file counts with the last of those that share it, if no other place does."""
    left: dict[tuple[int, int], int] = {}
    freed = {}
    for version in going:
        freed[version] = 0
        for path in outputs.version(version).rglob("*"):
            stat = path.lstat()
            if path.is_dir() and not path.is_symlink():
                continue
            inode = (stat.st_dev, stat.st_ino)
            left[inode] = left.get(inode, stat.st_nlink) - 1
            if left[inode] == 0:
                freed[version] += stat.st_size
    return freed


def link_unchanged(folder: Path, before: Path, files: Iterable[str]) -> int:
    """Let files in ``folder`` that ``before`` has with the same bytes be the same file on the disk; returns how many.

    Where the file system knows no hard links, everything stays as it is.
    """
    linked = 0
    for name in files:
        mine, earlier = folder / name, before / name
        if earlier.is_symlink() or not earlier.is_file() or not filecmp.cmp(mine, earlier, shallow=False):
            continue
        partial = mine.with_name(f".{mine.name}.link")
        try:
            os.link(earlier, partial)
        except OSError:
            return linked
        partial.replace(mine)
        linked += 1
    return linked
