"""``hcpcs export --duckdb``: all tables in one DuckDB database, with their descriptions and as-of views.

DuckDB is an extra: it is imported here alone, and only when a database is requested.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from hcpcs.errors import HcpcsError, in_one_line
from hcpcs.export.notice import license_notice
from hcpcs.export.registry import ExportFormat
from hcpcs.sql.tables import comments_sql
from hcpcs.sql.views import views_sql
from hcpcs.version import Version


def write_duckdb(version: Version, file: Path, options: Mapping[str, str]) -> list[str]:
    """Write the version to the DuckDB database ``file``; returns the names of the tables.

    Tables and columns carry their descriptions as comments; the macros and the view are those of `hcpcs sql views`.
    Raises ``HcpcsError`` without DuckDB, and where DuckDB cannot write.
    """
    try:
        import duckdb
    except ImportError:
        raise HcpcsError("DuckDB is not installed; `pip install 'hcpcs[duckdb]'` installs it") from None
    try:
        with duckdb.connect() as database:
            # Named so wherever the file will lie; what was not written is an error here, and not when it is closed.
            database.execute(f"attach {_quoted(str(file))} as hcpcs")
            database.execute("use hcpcs")
            _write_tables(database, version)
            database.execute("checkpoint hcpcs")
    except duckdb.Error as error:
        raise HcpcsError(f"DuckDB cannot write the database: {in_one_line(error)}") from error
    return [*version.paths, "version_manifest", "license_notice"]


def _write_tables(database: Any, version: Version) -> None:
    for table, path in version.paths.items():
        database.execute(f"create table {table} as from read_parquet(?)", [str(path)])
        for statement in comments_sql("duckdb", table, path):
            database.execute(statement)
    database.execute(views_sql("duckdb"))
    manifest = json.dumps(version.manifest.as_json(), ensure_ascii=False)
    database.execute("create table version_manifest as select ?::json as manifest", [manifest])
    notice = license_notice(version, "HCPCS Level II as a dated record, in one DuckDB database.")
    database.execute("create table license_notice as select ? as notice", [notice])
    database.execute(f"comment on table license_notice is {_quoted('The version, and the notice of every license.')}")


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


FORMAT = ExportFormat(
    name="duckdb",
    summary="one DuckDB database with all tables, their descriptions and as-of views",
    is_folder=False,
    write=write_duckdb,
    suffix=".duckdb",
    is_reproducible=False,  # DuckDB writes memory that it has not cleared
)
