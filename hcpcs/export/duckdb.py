"""``hcpcs export --duckdb``: all tables in one DuckDB database, with their descriptions and as-of views.

DuckDB is an extra: it is imported here alone, and only when a database is requested.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

from hcpcs.errors import HcpcsError
from hcpcs.export.registry import ExportFormat
from hcpcs.sql.tables import comments_sql
from hcpcs.sql.views import views_sql
from hcpcs.version import Version


def write_duckdb(version: Version, file: Path, options: Mapping[str, str]) -> list[str]:
    """Write the version to the DuckDB database ``file``; returns the names of the tables.

    Tables and columns carry their descriptions as comments; the macros and the view are those of `hcpcs sql views`.
    Raises ``HcpcsError`` without DuckDB.
    """
    try:
        import duckdb
    except ImportError:
        raise HcpcsError("DuckDB is not installed; `pip install 'hcpcs[duckdb]'` installs it") from None
    with duckdb.connect(str(file)) as database:
        for table, path in version.paths.items():
            database.execute(f"create table {table} as from read_parquet(?)", [str(path)])
            for statement in comments_sql("duckdb", table, path):
                database.execute(statement)
        database.execute(views_sql("duckdb"))
        manifest = json.dumps(version.manifest.as_json(), ensure_ascii=False)
        database.execute("create table version_manifest as select ?::json as manifest", [manifest])
    return [*version.paths, "version_manifest"]


FORMAT = ExportFormat(
    name="duckdb",
    summary="one DuckDB database with all tables, their descriptions and as-of views",
    read_by="DuckDB 1.4 and later",
    is_folder=False,
    write=write_duckdb,
    suffix=".duckdb",
)
