"""Reading a published version: what the command line's questions need, by pyarrow alone so that they answer at once."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import pyarrow.compute
import pyarrow.parquet

from hcpcs.errors import HcpcsError
from hcpcs.manifest import NAME, load_manifest, tables_of
from hcpcs.paths import Outputs

Rows = list[dict[str, Any]]


class NothingPublished(HcpcsError):
    """There is no version to read."""


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
        return pyarrow.parquet.read_table(self.paths[name], columns=columns)


def latest_version(outputs: Outputs) -> str | None:
    """The id of the newest version, or None before the first."""
    if not outputs.latest.exists():
        return None
    version: str = json.loads(outputs.latest.read_text("utf-8"))["version"]
    return version


def version_folder(outputs: Outputs, version: str | None = None) -> Path:
    """The folder of a version, by default the latest; raises ``NothingPublished`` where there is none."""
    chosen = version or latest_version(outputs)
    if chosen is None:
        raise NothingPublished(f"{outputs.folder} holds no version yet; `hcpcs refresh --from DIR` makes the first")
    folder = outputs.version(chosen)
    if not (folder / "manifest.json").exists():
        raise NothingPublished(
            f"there is no version {chosen} in {outputs.folder}; `hcpcs versions` lists those there are"
        )
    return folder


def read_rows(
    folder: Path, table: str, where: Sequence[tuple[str, str, Any]] | None = None, columns: list[str] | None = None
) -> Rows:
    """Rows of a published table that meet all conditions, in the file's order."""
    path = folder / "open" / f"{table}.parquet"
    found = pyarrow.parquet.read_table(path, filters=list(where) if where else None, columns=columns)
    rows: Rows = found.to_pylist()
    return rows


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    return value.isoformat() if isinstance(value, date) else value
