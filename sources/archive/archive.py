"""The archive: every zip that was ever taken in, byte for byte, found by its content, and the index of what is loaded.

A zip counts as held only once it is in the index, which is replaced atomically. Bytes without an entry are
leftovers of a run that did not finish and change nothing.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hcpcs.errors import in_one_line, printable
from hcpcs.files import file_sha256, write_atomically
from sources.archive.zips import ZipMember, read_zip
from sources.errors import NotHcpcs, SourceError, ZipRefused
from sources.release.member_roles import CODE_ROLES, member_role
from sources.release.names import resolve_release
from sources.release.offered import why_not_hcpcs
from sources.sample import is_sample

_INDEX_FORMAT = 1


@dataclass(frozen=True, slots=True)
class ArchivedMember:
    """A member of a held zip: name, content, entry date, and its role."""

    name: str
    sha256: str
    bytes: int
    date: str | None
    role: str


@dataclass(frozen=True, slots=True)
class ArchivedZip:
    """A zip in the archive. ``origins``: where its bytes are from, and since when; nothing published depends on it."""

    sha256: str
    name: str
    bytes: int
    release_id: str
    is_sample: bool
    members: tuple[ArchivedMember, ...]
    origins: tuple[dict[str, str], ...] = ()

    @property
    def code_members(self) -> tuple[ArchivedMember, ...]:
        """The members that hold records."""
        return tuple(m for m in self.members if m.role in CODE_ROLES)

    @property
    def code_content(self) -> str:
        """A short hash of the code members' hashes: the same for every zip with the same ones."""
        return hashlib.sha256("\n".join(sorted(m.sha256 for m in self.code_members)).encode()).hexdigest()[:12]


@dataclass(frozen=True, slots=True)
class ArchiveIndex:
    """What is held: zips by sha256, what a person excluded and why, what was refused and why, accepted losses.

    ``excluded`` is keyed by release (``2019-01``) or by release and content of one posting (``2019-01/0f3a…``);
    ``accepted`` likewise, with what that posting lacks.
    """

    zips: dict[str, ArchivedZip] = field(default_factory=dict)
    excluded: dict[str, str] = field(default_factory=dict)
    refused: dict[str, str] = field(default_factory=dict)
    accepted: dict[str, str] = field(default_factory=dict)

    def releases(self) -> dict[str, list[ArchivedZip]]:
        """Held zips by release id, both sorted."""
        grouped: dict[str, list[ArchivedZip]] = {}
        for loaded in sorted(self.zips.values(), key=lambda z: (z.release_id, z.sha256)):
            grouped.setdefault(loaded.release_id, []).append(loaded)
        return grouped

    def releases_to_build(self) -> dict[str, list[ArchivedZip]]:
        """The same without what is excluded; a release whose every posting is excluded goes whole."""
        left: dict[str, list[ArchivedZip]] = {}
        for release_id, zips in self.releases().items():
            kept = [z for z in zips if f"{release_id}/{z.code_content}" not in self.excluded]
            is_emptied = any(z.code_members for z in zips) and not any(z.code_members for z in kept)
            if release_id not in self.excluded and not is_emptied:
                left[release_id] = kept
        return left

    def with_zips(self, zips: Iterable[ArchivedZip]) -> ArchiveIndex:
        """The index with more zips; one already held gains the new origins."""
        merged = dict(self.zips)
        for new in zips:
            old = merged.get(new.sha256)
            known = list(old.origins) if old else []
            sources = {o["from"] for o in known}
            origins = tuple(known + [o for o in new.origins if o["from"] not in sources])
            merged[new.sha256] = replace(new, origins=origins)
        return replace(self, zips=merged)


class Archive:
    """The folder of held zips. One process writes at a time; the caller holds the lock."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._index_path = folder / "index.json"

    def index(self) -> ArchiveIndex:
        """What is held now, empty at first; raises ``SourceError`` for an index of another format or a damaged one."""
        if not self._index_path.exists():
            return ArchiveIndex()
        try:
            raw = json.loads(self._index_path.read_text("utf-8"))
            if (form := raw["format"]) == _INDEX_FORMAT:
                return ArchiveIndex(
                    {sha: _archived_zip(entry) for sha, entry in raw["zips"].items()},
                    dict(raw["excluded"]),
                    dict(raw["refused"]),
                    dict(raw.get("accepted", {})),
                )
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise SourceError(
                f"{self._index_path} is not what hcpcs wrote: {in_one_line(error)}; put a copy of it back, or move it"
                " away and take the releases in again with `hcpcs refresh --from DIR`"
            ) from None
        raise SourceError(
            f"{self._index_path}: written by another version of hcpcs (format {form}, this one reads {_INDEX_FORMAT});"
            " install that version, or refresh into another folder with --outputs"
        )

    def commit(self, index: ArchiveIndex) -> None:
        """Make ``index`` what is loaded, all at once."""
        self.folder.mkdir(parents=True, exist_ok=True)
        content = {
            "format": _INDEX_FORMAT,
            "zips": {sha: asdict(z) for sha, z in sorted(index.zips.items())},
            "excluded": dict(sorted(index.excluded.items())),
            "refused": dict(sorted(index.refused.items())),
            "accepted": dict(sorted(index.accepted.items())),
        }
        write_atomically(self._index_path, (json.dumps(content, indent=1, ensure_ascii=False) + "\n").encode())

    def zip_path(self, sha256: str) -> Path:
        """Where the bytes of a zip lie."""
        return self.folder / "zips" / f"{sha256}.zip"

    def keep(self, path: Path, sha256: str) -> None:
        """Copy a zip's bytes into the archive, unless they are there whole: a damaged copy is replaced."""
        target = self.zip_path(sha256)
        if self._damage(sha256) is None:
            return
        target.parent.mkdir(parents=True, exist_ok=True)
        partial = target.with_suffix(f".{os.getpid()}.part")
        with path.open("rb") as source, partial.open("wb") as copy:
            shutil.copyfileobj(source, copy)
            copy.flush()
            os.fsync(copy.fileno())
        partial.replace(target)

    def read(self, loaded: ArchivedZip) -> list[ZipMember]:
        """Read a held zip's members; raises ``ZipRefused`` where the archive's bytes are no longer those it took in."""
        if (why := self._damage(loaded.sha256)) is not None:
            raise ZipRefused(_lost(loaded, why))
        return read_zip(self.zip_path(loaded.sha256))

    def damaged(self, index: ArchiveIndex) -> dict[str, str]:
        """The zips of ``index`` that are missing or whose bytes have changed, by sha256, each with what helps."""
        found = {sha: self._damage(sha) for sha in index.zips}
        return {sha: _lost(index.zips[sha], why) for sha, why in found.items() if why is not None}

    def _damage(self, sha256: str) -> str | None:
        """What is wrong with the bytes that the archive has of a zip."""
        path = self.zip_path(sha256)
        try:
            return None if file_sha256(path) == sha256 else f"{path} is damaged"
        except FileNotFoundError:
            return f"{path} is missing"
        except OSError as error:
            return f"{path} cannot be read: {error.strerror or error}"


def _lost(loaded: ArchivedZip, why: str) -> str:
    origins = [origin["from"] for origin in loaded.origins]
    source = f", which was fetched from {origins[-1]}" if origins else ""
    return (
        f"{loaded.release_id}: {why}: it was {loaded.name}{source}; `hcpcs refresh --from` a folder or zip that has it"
        " replaces it"
    )


def _archived_zip(entry: dict[str, Any]) -> ArchivedZip:
    members = tuple(ArchivedMember(**member) for member in entry["members"])
    return ArchivedZip(**(entry | {"members": members, "origins": tuple(entry["origins"])}))


def inspect_zip(
    path: Path, *, folder: str | None = None, stated: str | None = None, is_listed: bool = False
) -> ArchivedZip:
    """Look into a zip that is offered: what its members are, and which release it belongs to.

    ``folder`` is the name of the folder it lies in, if that may name the release; ``stated`` the caller's word. CMS's
    page has judged a zip that it lists (``is_listed``); any other is judged here.
    Raises ``ZipRefused``, ``NotHcpcs`` or ``ReleaseUnclear``.
    """
    members = read_zip(path)
    loaded = tuple(ArchivedMember(m.name, m.sha256, len(m.data), m.date, member_role(m.name, m.data)) for m in members)
    if not is_listed and (why := why_not_hcpcs(path.name, ((m.name, m.role) for m in loaded))) is not None:
        raise NotHcpcs(f"{path.name}: {why}")
    # A release's zip may carry another quarter's notes: where there is a code file, only its name is a witness.
    code_names = [m.name for m in loaded if m.role in CODE_ROLES]
    witnesses = code_names or ([] if folder or stated else [m.name for m in loaded])
    names = [n for n in (folder, path.name) if n] + witnesses
    return ArchivedZip(
        sha256=file_sha256(path),
        name=printable(path.name),
        bytes=path.stat().st_size,
        release_id=resolve_release(names, stated),
        is_sample=is_sample(path),
        members=loaded,
    )
