"""``hcpcs export``: a version in one file of DuckDB, or as CSV. Copies what is published, masked as it is.

DuckDB is an extra: it is imported here alone, and only when a database is asked for.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import polars as pl
import pyarrow.parquet

from hcpcs.errors import HcpcsError
from hcpcs.manifest import NAME, load_manifest, tables_of

#: The statement about the content that holds on a day, given by the day's expression. Both tables and macros use it.
_ON_DAY = "valid_from <= {day} and (valid_to is null or valid_to >= {day})"


class ExportExists(HcpcsError):
    """What an export would write is there already."""


def export_duckdb(folder: Path, file: Path, *, overwrite: bool = False) -> list[str]:
    """Write the version in ``folder`` to the DuckDB database ``file``; returns the names of the tables.

    Tables and columns carry their descriptions as comments. ``hcpcs_today`` shows what holds today, the macro
    ``hcpcs_as_of(day)`` what held on a day. Raises ``ExportExists``, and ``HcpcsError`` without DuckDB.
    """
    try:
        import duckdb
    except ImportError:
        raise HcpcsError("DuckDB is not installed; `pip install 'hcpcs[duckdb]'` brings it") from None
    tables = _tables(folder)

    def write(partial: Path) -> None:
        with duckdb.connect(str(partial)) as database:
            for table, path in tables.items():
                database.execute(f"create table {table} as from read_parquet(?)", [str(path)])
                for statement in _comments(table, path):
                    database.execute(statement)
            database.execute(_AS_OF_MACRO)
            database.execute("create view hcpcs_today as from hcpcs_as_of(current_date)")
            database.execute(
                "comment on view hcpcs_today is 'What every code means today: one row per kind and code that is valid.'"
            )
            database.execute("create table version_manifest as select ?::json as manifest", [_manifest_text(folder)])

    _whole(file, write, overwrite)
    return [*tables, "version_manifest"]


def export_csv(folder: Path, target: Path, *, overwrite: bool = False) -> list[str]:
    """Write every table of the version as ``<target>/<table>.csv``, UTF-8 with a header; returns the tables' names.

    Null is an empty field and an empty text is ``""``; a list is written as JSON, a date as YYYY-MM-DD. Raises
    ``ExportExists`` before anything is written.
    """
    tables = _tables(folder)
    held = [f"{t}.csv" for t in tables if (target / f"{t}.csv").exists()]
    if held and not overwrite:
        raise ExportExists(f"{target} holds {', '.join(held)} already; --overwrite replaces what is there")
    target.mkdir(parents=True, exist_ok=True)
    for table, path in tables.items():
        frame = _flat(pl.read_parquet(path))
        _whole(target / f"{table}.csv", frame.write_csv, overwrite=True)
    return list(tables)


_AS_OF_MACRO = f"""
create macro hcpcs_as_of(day) as table
select h.* from hcpcs_history h where {_ON_DAY.format(day="day")}
"""


def _tables(folder: Path) -> dict[str, Path]:
    if not (folder / NAME).is_file():
        raise HcpcsError(f"{folder} is not a version: it holds no {NAME}; `hcpcs versions` lists those there are")
    manifest = load_manifest((folder / NAME).read_bytes(), str(folder))
    return {table: folder / name for table, name in tables_of(manifest).items()}


def _manifest_text(folder: Path) -> str:
    return (folder / NAME).read_text("utf-8")


def _comments(table: str, path: Path) -> Iterator[str]:
    metadata = pyarrow.parquet.read_schema(path).metadata or {}
    yield f"comment on table {table} is {_quoted(metadata.get(b'hcpcs.description', b'').decode())}"
    for column, about in json.loads(metadata.get(b"hcpcs.columns", b"{}")).items():
        yield f'comment on column {table}."{column}" is {_quoted(about["description"])}'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    """The frame with lists as JSON."""
    lists = [name for name, dtype in frame.schema.items() if isinstance(dtype, pl.List)]
    return frame.with_columns(
        pl.col(name).map_elements(
            lambda values: json.dumps(values.to_list(), ensure_ascii=False), return_dtype=pl.String
        )
        for name in lists
    )


def _whole(file: Path, write: Callable[[Path], object], overwrite: bool) -> None:
    """Let ``write`` make a file beside ``file``, then put it in its place."""
    if file.exists() and not overwrite:
        raise ExportExists(f"{file} exists; --overwrite replaces it")
    if file.is_dir():
        raise ExportExists(f"{file} is a folder")
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_name(f".{file.name}.{os.getpid()}.part")
    try:
        write(partial)
        partial.replace(file)
    finally:
        partial.unlink(missing_ok=True)
        partial.with_name(f"{partial.name}.wal").unlink(missing_ok=True)
