"""Files of a published version and the pointer to the newest, read one by one. ``version`` finds the version meant."""

from __future__ import annotations

import json
import operator
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
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
    """Rows of a published table that meet all conditions, in the file's order; from memory if it is kept there."""
    if folder in _KEPT:
        return _KEPT[folder].rows(table, where or (), columns)
    return _rows_of_file(folder / tier_of(folder) / f"{table}.parquet", where or (), columns)


def _rows_of_file(path: Path, where: Sequence[tuple[str, str, Any]], columns: list[str] | None) -> Rows:
    """Rows of a Parquet file, chosen by values in Python: Arrow's filters take longer to import than to run."""
    with _readable(path), pyarrow.parquet.ParquetFile(path) as file:
        found: Rows = []
        for group in range(file.num_row_groups):
            places: Sequence[int] = range(file.metadata.row_group(group).num_rows)
            for name, how, wanted in where:
                if places:
                    column = file.read_row_group(group, [name], use_threads=False)[name].combine_chunks()
                    is_whole = len(places) == len(column)
                    values = column.to_pylist() if is_whole else [column[i].as_py() for i in places]
                    compares = _COMPARES[how]
                    wanted = frozenset(wanted) if how == "in" else wanted
                    pairs = zip(places, values, strict=True)
                    places = [i for i, value in pairs if value is not None and compares(value, wanted)]
            if places:
                part = file.read_row_group(group, columns, use_threads=False)
                starts = [i for n, i in enumerate(places) if n == 0 or places[n - 1] != i - 1]
                ends = [i + 1 for n, i in enumerate(places) if n == len(places) - 1 or places[n + 1] != i + 1]
                runs = [part.slice(start, end - start) for start, end in zip(starts, ends, strict=True)]
                chosen = pyarrow.concat_tables(runs)
                found += (chosen.select(columns) if columns else chosen).to_pylist()
        return found


class TablesInMemory:
    """A version's tables for a process that answers many questions: each read once, its rows found by code."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._table = cache(self._read)
        self._places = cache(self._index)
        self._rows_of_code = lru_cache(maxsize=_MOST_KEPT)(self._rows_of)
        self._selected = cache(lambda table, columns: self._table(table).select(columns))
        self._all_rows = cache(lambda table: self._table(table).to_pylist())

    def rows(self, table: str, where: Sequence[tuple[str, str, Any]], columns: list[str] | None) -> Rows:
        """What ``read_rows`` answers; of several codes, code by code."""
        by_code = next((c for c in where if c[0] in _CODE_COLUMNS and c[1] in ("=", "in")), None)
        if by_code is not None:
            codes = [by_code[2]] if by_code[1] == "=" else sorted(set(by_code[2]))
            wanted = tuple(dict.fromkeys((*columns, *(name for name, _, _ in where)))) if columns else None
            found = [row for code in codes for row in self._rows_of_code(table, by_code[0], code, wanted)]
        elif self._table(table).num_rows > _MOST_KEPT:
            return _rows_of_file(self._folder / tier_of(self._folder) / f"{table}.parquet", where, columns)
        else:
            found = self._all_rows(table)
        rest = [(name, _COMPARES[how], value) for name, how, value in where if (name, how, value) != by_code]
        chosen = (r for r in found if all(r[n] is not None and compares(r[n], value) for n, compares, value in rest))
        return [{name: row[name] for name in columns} if columns else dict(row) for row in chosen]

    def _read(self, table: str) -> pyarrow.Table:
        return read_table(self._folder, table).combine_chunks()

    def _index(self, table: str, column: str) -> dict[str, list[int]]:
        places: dict[str, list[int]] = {}
        for place, code in enumerate(self._table(table)[column].to_pylist()):
            places.setdefault(code, []).append(place)
        return places

    def _rows_of(self, table: str, column: str, code: str, columns: tuple[str, ...] | None) -> Rows:
        places = self._places(table, column).get(code)
        if not places:
            return []
        some = self._table(table) if columns is None else self._selected(table, columns)
        is_run = places[-1] - places[0] == len(places) - 1
        rows: Rows = (some.slice(places[0], len(places)) if is_run else some.take(places)).to_pylist()
        return rows


_CODE_COLUMNS = ("code", "first_code")
_MOST_KEPT = 50_000
_COMPARES: dict[str, Callable[[Any, Any], Any]] = {
    "=": operator.eq,
    "in": lambda value, several: value in several,
    "<=": operator.le,
    ">=": operator.ge,
    ">": operator.gt,
}
_KEPT: dict[Path, TablesInMemory] = {}


def keep_in_memory(folder: Path) -> None:
    """Answer ``read_rows`` of this version from memory from now on: it is immutable."""
    _KEPT.setdefault(folder, TablesInMemory(folder))


def read_table(folder: Path, table: str, columns: list[str] | None = None) -> pyarrow.Table:
    """A published table, or some of its columns, as Arrow; raises ``FileDamaged``."""
    return read_parquet(folder / tier_of(folder) / f"{table}.parquet", columns)


def read_parquet(path: Path, columns: list[str] | None = None) -> pyarrow.Table:
    """A Parquet file of a version, or some of its columns in the order given; raises ``FileDamaged``."""
    # Not by `pyarrow.parquet.read_table`, which imports what reads folders of files.
    with _readable(path), pyarrow.parquet.ParquetFile(path) as file:
        table = file.read(columns)
        return table if columns is None else table.select(columns)


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    """State what is wrong with a file that cannot be read, or that lacks a column, as ``FileDamaged``."""
    try:
        yield
    except (pyarrow.ArrowException, OSError, KeyError) as error:
        raise FileDamaged(
            f"{path} cannot be read: {in_one_line(error)}; `hcpcs verify` lists all damage, and"
            " `hcpcs refresh --offline` publishes the same content anew"
        ) from None


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    return value.isoformat() if isinstance(value, date) else value
