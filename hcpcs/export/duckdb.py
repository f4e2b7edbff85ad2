"""``hcpcs export --duckdb``: all tables in one DuckDB database, with their descriptions and as-of views.

DuckDB is an extra: it is imported here alone, and only when a database is asked for.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow.parquet

from hcpcs.errors import HcpcsError
from hcpcs.export.registry import ExportFormat
from hcpcs.version import Version

#: The condition for the content in effect on a day, given by the day's expression. Both tables and macros use it.
_ON_DAY = "valid_from <= {day} and (valid_to is null or valid_to >= {day})"
_AS_OF_MACRO = f"""
create macro hcpcs_as_of(day) as table
select h.* from hcpcs_history h where {_ON_DAY.format(day="day")}
"""


def write_duckdb(version: Version, file: Path, options: Mapping[str, str]) -> list[str]:
    """Write the version to the DuckDB database ``file``; returns the names of the tables.

    Tables and columns carry their descriptions as comments. ``hcpcs_today`` has what is in effect today, the macro
    ``hcpcs_as_of(day)`` what was in effect on a day. Raises ``HcpcsError`` without DuckDB.
    """
    try:
        import duckdb
    except ImportError:
        raise HcpcsError("DuckDB is not installed; `pip install 'hcpcs[duckdb]'` installs it") from None
    with duckdb.connect(str(file)) as database:
        for table, path in version.paths.items():
            database.execute(f"create table {table} as from read_parquet(?)", [str(path)])
            for statement in _comments(table, path):
                database.execute(statement)
        database.execute(_AS_OF_MACRO)
        database.execute("create view hcpcs_today as from hcpcs_as_of(current_date)")
        database.execute(
            "comment on view hcpcs_today is 'What every code means today: one row per kind and code that is valid.'"
        )
        manifest = json.dumps(version.manifest, ensure_ascii=False)
        database.execute("create table version_manifest as select ?::json as manifest", [manifest])
    return [*version.paths, "version_manifest"]


def _comments(table: str, path: Path) -> Iterator[str]:
    metadata = pyarrow.parquet.read_schema(path).metadata or {}
    yield f"comment on table {table} is {_quoted(metadata.get(b'hcpcs.description', b'').decode())}"
    for column, about in json.loads(metadata.get(b"hcpcs.columns", b"{}")).items():
        yield f'comment on column {table}."{column}" is {_quoted(about["description"])}'


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


FORMAT = ExportFormat(
    name="duckdb",
    summary="one DuckDB database with all tables, their descriptions and as-of views",
    read_by="DuckDB 1.4 and later",
    is_folder=False,
    write=write_duckdb,
    suffix=".duckdb",
)
