"""Files of a published version and the pointer to the newest, read one by one. ``version`` finds the version meant."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow.parquet

from hcpcs.errors import HcpcsError, in_one_line
from hcpcs.manifest import json_bytes, tier_of

Rows = list[dict[str, Any]]


#: The form of a version's id.
VERSION_ID = re.compile(r"[0-9]{4}\.(?:0[1-9]|1[0-2])\.[0-9]+")


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


def read_rows(
    folder: Path, table: str, where: Sequence[tuple[str, str, Any]] | None = None, columns: list[str] | None = None
) -> Rows:
    """Rows of a published table that meet all conditions, in the file's order."""
    rows: Rows = read_table(folder, table, where, columns).to_pylist()
    return rows


def read_table(
    folder: Path, table: str, where: Sequence[tuple[str, str, Any]] | None = None, columns: list[str] | None = None
) -> pyarrow.Table:
    """What ``read_rows`` reads, as Arrow; raises ``FileDamaged``."""
    path = folder / tier_of(folder) / f"{table}.parquet"
    return read_parquet(path, filters=list(where) if where else None, columns=columns)


def read_parquet(path: Path, **options: Any) -> pyarrow.Table:
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
