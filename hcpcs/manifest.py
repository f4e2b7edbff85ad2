"""The manifest of a version: typed records with one reader and one writer, its seal, and what makes one unreadable.

``content`` alone decides whether a version is new; ``build`` states how it came about; ``sha256`` seals both, so that
an edit of the manifest itself is found like any other. Versions are read here, not judged.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from hcpcs.errors import HcpcsError
from hcpcs.typed_json import Untyped, read_typed

NAME = "manifest.json"
#: Of all published tables together; docs/versioning.md says what raises it.
SCHEMA_VERSION = "2.0"
OPEN, RESTRICTED = "open", "restricted"


class ManifestDamaged(HcpcsError):
    """A manifest is missing, is not what was written, or names files outside its version."""


class ManifestTooNew(HcpcsError):
    """A manifest was written with a newer schema than this program knows."""


class TierRefused(HcpcsError):
    """A version is of another tier than the one that was requested."""


def require_tier(tier: str, wanted: str | None, where: object) -> None:
    """Raise ``TierRefused`` unless a version's tier is the one wanted; None takes either."""
    if wanted is None or tier == wanted:
        return
    if tier == RESTRICTED:
        raise TierRefused(
            f"{where} is of the tier {RESTRICTED}: it has content of the AMA that may not be redistributed."
            f" `hcpcs annotate` and `hcpcs export` read it with `--tier {RESTRICTED}`; `hcpcs verify` and `hcpcs diff`"
            " take it as it is"
        )
    raise TierRefused(f"{where} is of the tier {tier}, not {wanted}; leave out `--tier`")


def tier_of(folder: Path) -> str:
    """The tier of the version in ``folder``, by where its tables are; its manifest is not read."""
    return RESTRICTED if (folder / RESTRICTED).is_dir() else OPEN


def json_bytes(value: Any) -> bytes:
    """JSON as every file of ours has it."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # a file name that is no UTF-8 becomes a JSON escape


@dataclass(frozen=True, slots=True)
class VersionFile:
    """A file of a version; of a table also its rows, and the hash of their values in order."""

    sha256: str
    bytes: int
    rows: int | None = None
    logical_sha256: str | None = None


def write_files(folder: Path, files: Mapping[str, bytes]) -> dict[str, VersionFile]:
    """Write files of a version that are no tables; returns their entries for the manifest's list."""
    for name, data in files.items():
        (folder / name).write_bytes(data)
    return {name: VersionFile(hashlib.sha256(data).hexdigest(), len(data)) for name, data in files.items()}


@dataclass(frozen=True, slots=True)
class ReleaseMember:
    """A member of CMS's zips that a version was made from."""

    name: str
    role: str
    sha256: str
    bytes: int


@dataclass(frozen=True, slots=True)
class ReleaseRevision:
    """A revision of a release that a version was made from; ``is_current`` is true of the one whose records count."""

    release_id: str
    revision: int
    is_current: bool
    members: tuple[ReleaseMember, ...]


@dataclass(frozen=True, slots=True)
class RestrictedPart:
    """What the restricted tier states beside: the open version that it goes with, and the licensee's files."""

    open_version: str
    notice: str
    licenses: tuple[str, ...]
    cpt_files: tuple[Mapping[str, Any], ...]


@dataclass(frozen=True, slots=True)
class Content:
    """What decides whether a version is new: what it was made from, what it lacks and why, its files."""

    schema_version: str
    tier: str
    is_sample: bool
    newest_release: str
    releases: tuple[ReleaseRevision, ...]
    missing: Mapping[str, str]
    excluded: Mapping[str, str]
    accepted_losses: Mapping[str, str]
    files: Mapping[str, VersionFile]
    restricted: RestrictedPart | None = None

    @property
    def tables(self) -> dict[str, str]:
        """The tables of the version, each with its file's name in it."""
        return {Path(name).stem: name for name in self.files if name.endswith(".parquet")}

    def rows(self, table: str) -> int:
        """How many rows a table has."""
        return self.files[self.tables[table]].rows or 0


@dataclass(frozen=True, slots=True)
class Build:
    """How a version came about: when, by which code and libraries, after which version; files beside the content."""

    version: str
    predecessor: str | None
    created_at: str
    hcpcs: str
    commit: str | None
    python: str
    libraries: Mapping[str, str]
    files: Mapping[str, VersionFile] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Manifest:
    """The manifest of a version."""

    content: Content
    build: Build

    @property
    def files(self) -> dict[str, VersionFile]:
        """Every file of the version but the manifest itself, of both parts."""
        return {**self.content.files, **self.build.files}

    def as_json(self) -> dict[str, Any]:
        """The manifest as JSON, with its seal."""
        return sealed(_plain(self.content), _plain(self.build))

    def to_json(self) -> bytes:
        """The file's bytes."""
        return json_bytes(self.as_json())

    @classmethod
    def from_json(cls, data: bytes, where: str) -> Manifest:
        """The manifest that ``data`` holds, if it is as it was written.

        Raises ``ManifestTooNew``, or ``ManifestDamaged`` with what is wrong; ``where`` names the version in messages.
        """
        try:
            raw = json.loads(data)
        except ValueError as error:
            raise ManifestDamaged(f"{where}: {NAME} is not JSON: {error}") from None
        try:
            version = str(raw["content"]["schema_version"])
            content, build, seal = raw["content"], raw["build"], raw.get("sha256")
            stated_build = {"hcpcs": "", "python": "", **build}  # which an older program did not write
        except (LookupError, TypeError, AttributeError):
            raise ManifestDamaged(f"{where}: {NAME} lacks `content`, `build` or the schema version") from None
        if re.fullmatch(r"\d+\.\d+", version) is None:
            raise ManifestDamaged(f"{where}: {NAME} names the schema version {version!r}, which is not of the form 1.0")
        if schema_key(version) > schema_key(SCHEMA_VERSION):
            raise ManifestTooNew(
                f"{where}: made with schema {version}, newer than {SCHEMA_VERSION}, which this hcpcs knows;"
                " install the newer hcpcs that made it"
            )
        if seal != _seal(content, build) or data != json_bytes(raw):
            raise ManifestDamaged(f"{where}: {NAME} was edited: it does not match its checksum")
        try:
            manifest = cls(
                read_typed(Content, _in_todays_words(content), "content"),
                read_typed(Build, stated_build, "build"),
            )
        except Untyped as error:
            raise ManifestDamaged(f"{where}: {NAME}: {error}") from None
        for name in manifest.files:
            if not _stays_inside(name):
                raise ManifestDamaged(f"{where}: {NAME} names the file {name!r}, which is outside the version")
        return manifest


def sealed(content: dict[str, Any], build: dict[str, Any]) -> dict[str, Any]:
    """The two parts as JSON with their seal: the SHA-256 of both."""
    return {"content": content, "build": build, "sha256": _seal(content, build)}


def schema_key(version: str) -> tuple[int, ...]:
    """A schema version as numbers, to be compared."""
    return tuple(int(part) for part in version.split("."))


def _plain(part: Content | Build) -> dict[str, Any]:
    """A part as JSON: figures that only tables have, and the restricted tier's part, are left out elsewhere."""
    plain = asdict(part)
    files = {n: {k: v for k, v in f.items() if v is not None} for n, f in plain.pop("files").items()}
    if plain.get("restricted", ...) is None:
        del plain["restricted"]
    return plain | {"files": files}


def _in_todays_words(content: Any) -> Any:
    """The content part as schema 2.0 names it: before, `is_current` was `stands`."""
    if not isinstance(content, dict) or not isinstance(content.get("releases"), list):
        return content
    releases = [
        {"is_current": release["stands"], **release} if isinstance(release, dict) and "stands" in release else release
        for release in content["releases"]
    ]
    return {**content, "releases": releases}


def _stays_inside(name: str) -> bool:
    parts = name.split("/")
    return bool(name) and "\\" not in name and "\0" not in name and not any(p in ("", ".", "..") for p in parts)


def _seal(content: Any, build: Any) -> str:
    canonical = json.dumps([content, build], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
