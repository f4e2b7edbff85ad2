"""What the catalog's pages read: published versions, their manifests, their open tables and what those say of
themselves. Nothing here writes, and nothing reads a table that is not of the open tier.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet

from hcpcs.errors import HcpcsError
from hcpcs.license_counts import licenses_of_version
from hcpcs.manifest import NAME, Build, Content, Manifest
from hcpcs.paths import Outputs
from hcpcs.version import version_folder
from pipeline.versions.parquet import read_table
from pipeline.versions.store import all_versions
from sources.errors import SourceError


@dataclass(frozen=True, slots=True)
class ColumnFacts:
    """A column as the version's own data dictionary states it."""

    name: str
    type: str
    is_key: bool
    nullable: bool
    description: str
    source: str
    license_id: str


@dataclass(frozen=True, slots=True)
class TableFacts:
    """A table as the version states it: rows, bytes, key, columns."""

    name: str
    file: str
    description: str
    rows: int
    bytes: int
    columns: tuple[ColumnFacts, ...]

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key."""
        return tuple(c.name for c in self.columns if c.is_key)


@dataclass(frozen=True)
class PublishedVersion:
    """A published version, read as its pages ask for it; a frame that was read stays in memory."""

    folder: Path
    manifest: Manifest
    _frames: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False)

    @property
    def version(self) -> str:
        """The version's id."""
        return self.build.version

    @property
    def content(self) -> Content:
        """What the version is made of, as its manifest states it."""
        return self.manifest.content

    @property
    def build(self) -> Build:
        """How the version came about, as its manifest states it."""
        return self.manifest.build

    @property
    def is_sample(self) -> bool:
        """Whether the version is of the made-up sample."""
        return self.content.is_sample

    @property
    def releases(self) -> list[str]:
        """Ids of the releases in it, oldest first."""
        return sorted({r.release_id for r in self.content.releases if r.is_current})

    @property
    def files(self) -> dict[str, str]:
        """The tables, each with its file's name in the version's folder."""
        return self.content.tables

    def rows(self, table: str) -> int | None:
        """How many rows a table has; None where the version has no such table."""
        file = self.files.get(table)
        return None if file is None else self.content.rows(table)

    def frame(self, table: str) -> pl.DataFrame:
        """A table, whole; raises ``KeyError`` where the version has none such, ``SourceError`` where it is damaged."""
        if table not in self._frames:
            try:
                self._frames[table] = read_table(self.folder / self.files[table])
            except pl.exceptions.PolarsError as error:
                raise SourceError(
                    f"{self.folder.name}: {self.files[table]} cannot be read: {error}; `hcpcs verify` lists the damage"
                ) from None
        return self._frames[table]

    @cached_property
    def licenses(self) -> list[dict[str, Any]]:
        """What the version holds by table and license, as ``hcpcs licenses`` counts it."""
        return licenses_of_version(self.folder)

    @cached_property
    def tables(self) -> dict[str, TableFacts]:
        """What the version's data dictionary and its files' metadata say of every table, by name."""
        dictionary = self.frame("data_dictionary").sort("table_name", "position")
        columns: dict[str, list[ColumnFacts]] = {}
        for row in dictionary.iter_rows(named=True):
            columns.setdefault(row["table_name"], []).append(
                ColumnFacts(
                    row["column_name"],
                    row["type"],
                    row["is_key"],
                    row["nullable"],
                    row["description"],
                    row["source"] or "",
                    row["license"] or "",
                )
            )
        return {
            name: TableFacts(
                name,
                file,
                _description(self.folder / file),
                self.content.rows(name),
                self.content.files[file].bytes,
                tuple(columns.get(name, ())),
            )
            for name, file in sorted(self.files.items())
        }


@dataclass(frozen=True)
class PublishedVersions:
    """The version that the catalog shows, and the others that are kept beside it for comparison, oldest first."""

    outputs: Outputs
    latest: PublishedVersion
    others: tuple[PublishedVersion, ...]

    @property
    def versions(self) -> Sequence[PublishedVersion]:
        """All versions, oldest first."""
        return sorted((*self.others, self.latest), key=lambda v: tuple(map(int, v.version.split("."))))


def read_versions(outputs: Outputs) -> PublishedVersions:
    """The versions below ``outputs``.

    Raises ``NothingPublished`` where there is none, ``ManifestDamaged`` if the latest is not what was published. Others
    that are damaged are left out: they are shown for comparison only.
    """
    folder = version_folder(outputs)
    latest = PublishedVersion(folder, _manifest(folder))
    for name, entry in latest.content.files.items():
        path = folder / name
        if not path.is_file() or path.stat().st_size != entry.bytes:
            raise SourceError(
                f"{folder.name}: {name} is missing or has other bytes than were published; run `hcpcs verify`"
            )
    others = []
    for version in all_versions(outputs):
        if version == folder.name:
            continue
        try:
            others.append(PublishedVersion(outputs.version(version), _manifest(outputs.version(version))))
        except (HcpcsError, OSError):
            continue
    return PublishedVersions(outputs, latest, tuple(others))


def _manifest(folder: Path) -> Manifest:
    return Manifest.from_json((folder / NAME).read_bytes(), folder.name)


def _description(file: Path) -> str:
    metadata = pyarrow.parquet.read_schema(file).metadata or {}
    return str(json.loads(text) if (text := metadata.get(b"hcpcs.description", b"").decode()).startswith('"') else text)
