"""``hcpcs rebuild``: build a version again from the archive, elsewhere, and compare. Nothing of the outputs is changed.

The version's own manifest says which members it was made of; the zips that hold them are taken from the archive.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, fields
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any

from hcpcs.manifest import NAME, Content, Manifest
from hcpcs.paths import Outputs
from hcpcs.version import version_folder
from sources.archive.archive import ArchivedZip, ArchiveIndex
from sources.errors import SourceError
from sources.release.inspect import open_archive

IDENTICAL, SAME_ROWS, DIFFERENT = "identical", "same_rows", "different"

#: Files that repeat the hashes of others, and so differ wherever those do.
_DESCRIPTORS = {"datapackage.json", "croissant.json", "dcat.jsonld"}


@dataclass(frozen=True, slots=True)
class RebuildResult:
    """What rebuilding found: the outcome, each difference, and what else is not as it was when it was built."""

    version: str
    outcome: str
    differences: tuple[str, ...]
    libraries: dict[str, tuple[str | None, str | None]]
    commit: tuple[str | None, str | None]
    folder: Path | None

    @property
    def ok(self) -> bool:
        """Whether all is as it must be: the same bytes, or the same rows where other libraries wrote them."""
        return self.outcome == IDENTICAL or (self.outcome == SAME_ROWS and bool(self.libraries))

    def as_json(self) -> dict[str, Any]:
        """The report for scripts."""
        return {
            "version": self.version,
            "ok": self.ok,
            "outcome": self.outcome,
            "differences": list(self.differences),
            "libraries": {name: list(pair) for name, pair in self.libraries.items()},
            "commit": list(self.commit),
            "folder": str(self.folder) if self.folder else None,
        }


def rebuild(outputs: Outputs, version: str | None = None, into: Path | None = None) -> RebuildResult:
    """Build ``version`` (by default the latest) again and compare with its manifest.

    What is built stays in the new folder ``into``, or is thrown away. Raises ``SourceError`` where ``into`` exists or
    the archive no longer holds every member, and whatever refreshing raises.
    """
    folder = version_folder(outputs, version)
    manifest = Manifest.from_json((folder / NAME).read_bytes(), str(folder))
    content, build = manifest.content, manifest.build
    index = _index_of(content, open_archive(outputs.archive).index())
    with _workshop(into) as workshop:
        again = Outputs(workshop)
        for sha, loaded in index.zips.items():
            open_archive(outputs.archive).read(loaded)  # raises for a zip that was lost or changed
            open_archive(again.archive).keep(open_archive(outputs.archive).zip_path(sha), sha)
        open_archive(again.archive).commit(index)
        from pipeline.refresh.refresh import refresh

        done = refresh(again)
        made = Manifest.from_json((done.published.folder / NAME).read_bytes(), str(done.published.folder))
        outcome, differences = compare_contents(content, made.content)
        return RebuildResult(
            build.version,
            outcome,
            tuple(differences),
            _other_libraries(build.libraries),
            (build.commit, made.build.commit),
            done.published.folder if into is not None else None,
        )


def compare_contents(stated: Content, made: Content) -> tuple[str, list[str]]:
    """The outcome, and every difference between the content that a manifest states and the one made again."""
    if stated == made:
        return IDENTICAL, []
    parts = sorted({f.name for f in fields(Content)} - {"files"})
    differences = [f"{part} is not the same" for part in parts if getattr(stated, part) != getattr(made, part)]
    is_other = bool(differences)
    before, after = stated.files, made.files
    for name in sorted(before.keys() | after.keys()):
        old, new = before.get(name), after.get(name)
        if old == new:
            continue
        if old is None or new is None:
            differences.append(f"{name} is {'extra' if old is None else 'missing'}")
            is_other = True
        elif name in _DESCRIPTORS:
            differences.append(f"{name} names other hashes")
        elif old.logical_sha256 is not None and old.logical_sha256 == new.logical_sha256:
            differences.append(f"{name} has the same rows in other bytes")
        else:
            differences.append(f"{name} has other content")
            is_other = True
    return (DIFFERENT if is_other else SAME_ROWS), differences


def _index_of(content: Content, loaded: ArchiveIndex) -> ArchiveIndex:
    """The zips that a version was made of: of each release those whose members are all named by the manifest."""
    wanted: dict[str, dict[tuple[str, str], bool]] = {}
    for release in content.releases:
        members = wanted.setdefault(release.release_id, {})
        members |= {(m.name, m.sha256): False for m in release.members}
    zips: dict[str, ArchivedZip] = {}
    for sha, one in sorted(loaded.zips.items()):
        members = wanted.get(one.release_id, {})
        names = [(m.name, m.sha256) for m in one.members]
        if names and all(n in members for n in names):
            zips[sha] = one
            members |= dict.fromkeys(names, True)
    lost = [f"{name} of {release}" for release, ms in wanted.items() for (name, _), found in ms.items() if not found]
    if lost:
        raise SourceError(
            f"the archive no longer has {', '.join(lost[:5])}{' …' if len(lost) > 5 else ''};"
            " refresh --from a folder that has it, then rebuild"
        )
    return ArchiveIndex(zips, dict(content.excluded), dict(content.missing), dict(content.accepted_losses))


@contextmanager
def _workshop(into: Path | None) -> Iterator[Path]:
    if into is not None:
        if into.exists():
            raise SourceError(f"{into} exists; give --into a folder that does not")
        into.mkdir(parents=True)
        yield into
        return
    with tempfile.TemporaryDirectory(prefix="hcpcs-rebuild-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def _other_libraries(then: Mapping[str, str]) -> dict[str, tuple[str | None, str | None]]:
    now = {name: _installed(name) for name in then}
    return {name: (then[name], now[name]) for name in then if then[name] != now[name]}


def _installed(name: str) -> str | None:
    try:
        return library_version(name)
    except PackageNotFoundError:
        return None
