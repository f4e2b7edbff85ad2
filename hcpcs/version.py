"""Reading a published version: what the command line's questions need, by pyarrow alone so that they answer at once."""

from __future__ import annotations

import json
import re
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pyarrow.compute
import pyarrow.parquet

from hcpcs.errors import HcpcsError, in_one_line
from hcpcs.manifest import NAME, json_bytes, load_manifest, tables_of
from hcpcs.paths import Outputs

Rows = list[dict[str, Any]]


#: The form of a version's id.
VERSION_ID = re.compile(r"[0-9]{4}\.(?:0[1-9]|1[0-2])\.[0-9]+")


_FINDING = {"finding", "severity", "member", "line", "code", "field", "raw_value", "message", "action", "occurrences"}


class NothingPublished(HcpcsError):
    """There is no version to read."""


class FileDamaged(HcpcsError):
    """A file of ours is not what was written."""


@dataclass(frozen=True, slots=True)
class LatestPointer:
    """``latest.json``: which version is the newest, and its folder below the one of the pointer."""

    version: str

    @property
    def path(self) -> str:
        """The version's folder, by a path that is the same on every system and in every URL."""
        return f"versions/{self.version}"

    def to_json(self) -> bytes:
        """The file's bytes."""
        return json_bytes({"version": self.version, "path": self.path})

    @classmethod
    def from_json(cls, data: bytes, where: str) -> LatestPointer:
        """The pointer that ``data`` holds; raises ``FileDamaged`` for what is none; ``where`` names the file."""
        try:
            version = json.loads(data)["version"]
        except (ValueError, LookupError, TypeError):
            version = None
        if not isinstance(version, str) or VERSION_ID.fullmatch(version) is None:
            raise FileDamaged(f"{where} is damaged: it names no version")
        return cls(version)


@dataclass(frozen=True)
class Version:
    """A published version in a folder: its manifest and its tables, as Arrow."""

    folder: Path

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest, checked against its seal; raises ``ManifestDamaged``."""
        if not (self.folder / NAME).is_file():
            raise HcpcsError(
                f"{self.folder} is not a version: it holds no {NAME}; `hcpcs versions` lists those there are"
            )
        return load_manifest((self.folder / NAME).read_bytes(), str(self.folder))

    @property
    def id(self) -> str:
        """The version's id, such as 2025.10.1."""
        return str(self.manifest["build"]["version"])

    @cached_property
    def paths(self) -> dict[str, Path]:
        """The Parquet file of every published table."""
        return {table: self.folder / name for table, name in tables_of(self.manifest).items()}

    def table(self, name: str, columns: list[str] | None = None) -> pyarrow.Table:
        """A published table, sorted by its key; raises ``HcpcsError`` for a table that the version does not have."""
        if name not in self.paths:
            raise HcpcsError(f"version {self.id} has no table {name!r}; it has {', '.join(sorted(self.paths))}")
        return _read_parquet(self.paths[name], columns=columns)


def latest_version(outputs: Outputs) -> str | None:
    """The id of the newest version, or None before the first; raises ``FileDamaged``."""
    try:
        data = outputs.latest.read_bytes()
    except FileNotFoundError:
        return None
    try:
        return LatestPointer.from_json(data, str(outputs.latest)).version
    except FileDamaged as error:
        raise FileDamaged(f"{error}; `hcpcs refresh --offline` mends it") from None


def refused_findings(outputs: Outputs) -> dict[str, Rows]:
    """The findings of each release that refreshes refused; raises ``FileDamaged``."""
    try:
        refused = json.loads(outputs.refused.read_bytes())
    except FileNotFoundError:
        return {}
    except ValueError:
        refused = None
    rows = refused.values() if isinstance(refused, dict) else [None]
    if not all(
        isinstance(found, list) and all(isinstance(f, dict) and f.keys() >= _FINDING for f in found) for found in rows
    ):
        raise FileDamaged(f"{outputs.refused} is damaged; the next `hcpcs refresh` writes it anew")
    loaded: dict[str, Rows] = refused
    return loaded


@contextmanager
def found_version(outputs: Outputs, named: str | None = None) -> Iterator[Path]:
    """The folder of the version that ``named`` names, fetched into a temporary folder where it is a URL.

    ``named`` is a version's id, ``latest``, the folder of a version, a folder of outputs, a published target, or the
    URL of a version or target (``file://``, ``s3://``, ``gs://``, ``az://``, ``https://``); by default the latest
    version of ``outputs``. Raises ``NothingPublished`` where there is none.
    """
    if named is not None and is_remote(named):
        from hcpcs.remote import fetch_version

        with tempfile.TemporaryDirectory(prefix="hcpcs-version-") as scratch:
            yield fetch_version(named, Path(scratch))
    else:
        yield version_folder(outputs, named)


def is_remote(named: str) -> bool:
    """Whether a version's name is a URL that is not a file's."""
    return "://" in named and not named.startswith("file://")


def version_folder(outputs: Outputs, named: str | None = None) -> Path:
    """The folder of a version on this machine, named as for ``found_version``; raises ``NothingPublished``."""
    if named is None or named == "latest":
        chosen = latest_version(outputs)
        if chosen is None:
            raise NothingPublished(f"{outputs.folder} holds no version yet; `hcpcs refresh --from DIR` makes the first")
        named = chosen
    if VERSION_ID.fullmatch(named):
        folder = outputs.version(named)
        if not (folder / NAME).exists():
            raise NothingPublished(
                f"there is no version {named} in {outputs.folder}; `hcpcs versions` lists those there are"
            )
        return folder
    place = Path(unquote(urlsplit(named).path) if named.startswith("file://") else named)
    if not (place / NAME).is_file() and Outputs(place).latest.is_file():
        return version_folder(Outputs(place))
    if not (place / NAME).is_file():
        raise NothingPublished(
            f"{named} names no version: it is no id such as 2025.10.1, and no folder that holds {NAME} or latest.json;"
            " `hcpcs versions` lists the versions there are"
        )
    return place


def read_rows(
    folder: Path, table: str, where: Sequence[tuple[str, str, Any]] | None = None, columns: list[str] | None = None
) -> Rows:
    """Rows of a published table that meet all conditions, in the file's order."""
    path = folder / "open" / f"{table}.parquet"
    rows: Rows = _read_parquet(path, filters=list(where) if where else None, columns=columns).to_pylist()
    return rows


def _read_parquet(path: Path, **options: Any) -> pyarrow.Table:
    """A whole Parquet file of a version; raises ``FileDamaged``."""
    try:
        return pyarrow.parquet.read_table(path, **options)
    except (pyarrow.ArrowException, OSError) as error:
        raise FileDamaged(
            f"{path} cannot be read: {in_one_line(error)}; `hcpcs verify` lists all damage, and"
            " `hcpcs refresh --offline` publishes the same content anew"
        ) from None


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    return value.isoformat() if isinstance(value, date) else value
