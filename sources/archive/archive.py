"""The archive: every zip that was ever taken in, byte for byte, found by its content, and the index of what is loaded.

A zip counts as archived only once it is in the index, which is replaced atomically. Bytes without an entry are
leftovers of a run that did not finish and change nothing. The index keeps what nothing else states: what follows from
bytes and code, the members and their roles, is derived, and kept beside the index until the code changes.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from hcpcs.errors import in_one_line
from hcpcs.files import file_sha256, whole_file, write_atomically
from hcpcs.manifest import json_bytes
from sources.archive.zips import ZipMember, read_zip
from sources.errors import SourceError, ZipRefused

#: Roles of the members that hold records.
CODE_ROLES = ("code_text", "code_workbook")
_INDEX_FORMAT = 2
#: The first one has members, and their roles, as the code of its day saw them.
_READ_FORMATS = (1, _INDEX_FORMAT)
#: How many zips are looked into at the same time.
_READERS = 2


@dataclass(frozen=True, slots=True)
class ArchivedMember:
    """A member of an archived zip: name, content, entry date, and its role."""

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
    """What is archived: zips by sha256, what a person excluded and why, what was refused and why, accepted losses.

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
        """The index with more zips; one already archived gains the new origins."""
        merged = dict(self.zips)
        for new in zips:
            old = merged.get(new.sha256)
            known = list(old.origins) if old else []
            sources = {o["from"] for o in known}
            origins = tuple(known + [o for o in new.origins if o["from"] not in sources])
            merged[new.sha256] = replace(new, origins=origins)
        return replace(self, zips=merged)


class Archive:
    """The folder of archived zips. One process writes at a time; the caller holds the lock.

    ``members_of`` describes the members of a zip; ``code`` names the code by which it does.
    """

    def __init__(
        self, folder: Path, members_of: Callable[[list[ZipMember]], tuple[ArchivedMember, ...]], code: str
    ) -> None:
        self.folder = folder
        self._index_path = folder / "index.json"
        self._members_path = folder / "members.json"
        self._members_of, self._code = members_of, code

    def index(self) -> ArchiveIndex:
        """The index, empty at first; raises ``SourceError`` for one of another format or a damaged one."""
        if not self._index_path.exists():
            return ArchiveIndex()
        try:
            raw = json.loads(self._index_path.read_text("utf-8"))
            if (form := raw["format"]) in _READ_FORMATS:
                return ArchiveIndex(
                    self._with_members({sha: _archived_zip(entry) for sha, entry in raw["zips"].items()}),
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
            "zips": {sha: _entry(z) for sha, z in sorted(index.zips.items())},
            "excluded": dict(sorted(index.excluded.items())),
            "refused": dict(sorted(index.refused.items())),
            "accepted": dict(sorted(index.accepted.items())),
        }
        write_atomically(self._index_path, json_bytes(content))
        known = self._kept_members()
        new = {sha: (self._code, archived.members) for sha, archived in index.zips.items() if sha not in known}
        if new:
            self._keep_members(known | new)

    def _with_members(self, zips: dict[str, ArchivedZip]) -> dict[str, ArchivedZip]:
        """The zips with their members: those kept of this code, else derived from the bytes.

        A zip that cannot be read any more has the members that it had before.
        """
        kept = self._kept_members()
        unknown = [archived for sha, archived in zips.items() if sha not in kept or kept[sha][0] != self._code]
        if unknown:
            with ThreadPoolExecutor(_READERS) as pool:
                derived = dict(zip((z.sha256 for z in unknown), pool.map(self._derived_members, unknown), strict=True))
            found = {sha: (self._code, members) for sha, members in derived.items() if members is not None}
            lost = {z.sha256: ("", z.members) for z in unknown if z.sha256 not in kept and z.sha256 not in found}
            if found or lost:
                kept |= found | lost
                with contextlib.suppress(OSError):  # who only reads may not write; they are derived again then
                    self._keep_members(kept)
        return {sha: replace(archived, members=kept[sha][1]) for sha, archived in zips.items()}

    def _derived_members(self, archived: ArchivedZip) -> tuple[ArchivedMember, ...] | None:
        try:
            return self._members_of(self.read(archived))
        except (ZipRefused, OSError):
            return None

    def _kept_members(self) -> dict[str, tuple[str, tuple[ArchivedMember, ...]]]:
        """Members by the zip's hash, with the code that derived them; none where the file is damaged."""
        try:
            raw = json.loads(self._members_path.read_text("utf-8"))
            return {sha: (code, tuple(ArchivedMember(**m) for m in members)) for sha, (code, members) in raw.items()}
        except (OSError, ValueError, TypeError, AttributeError):
            return {}

    def _keep_members(self, kept: dict[str, tuple[str, tuple[ArchivedMember, ...]]]) -> None:
        content = {sha: (code, [asdict(m) for m in members]) for sha, (code, members) in sorted(kept.items())}
        write_atomically(self._members_path, json_bytes(content))

    def zip_path(self, sha256: str) -> Path:
        """Where the bytes of a zip lie."""
        return self.folder / "zips" / f"{sha256}.zip"

    def keep(self, path: Path, sha256: str) -> None:
        """Copy a zip's bytes into the archive, unless they are there whole: a damaged copy is replaced."""
        target = self.zip_path(sha256)
        if self._damage(sha256) is None:
            return
        with path.open("rb") as source, whole_file(target) as copy:
            shutil.copyfileobj(source, copy)

    def read(self, loaded: ArchivedZip, *, only: str | None = None) -> list[ZipMember]:
        """A zip's members, or ``only`` the one of that name.

        Raises ``ZipRefused`` where the archive's bytes are no longer those it took in.
        """
        if (why := self._damage(loaded.sha256)) is not None:
            raise ZipRefused(_lost(loaded, why))
        return read_zip(self.zip_path(loaded.sha256), only=only)

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


def _entry(archived: ArchivedZip) -> dict[str, Any]:
    return {name: value for name, value in asdict(archived).items() if name != "members"}


def _archived_zip(entry: dict[str, Any]) -> ArchivedZip:
    members = tuple(ArchivedMember(**member) for member in entry.get("members", ()))
    return ArchivedZip(**(entry | {"members": members, "origins": tuple(entry["origins"])}))
