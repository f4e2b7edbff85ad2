"""``hcpcs export --sqlite``: all tables in an SQLite database, with keys, full-text search and Datasette's metadata."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from hcpcs.errors import HcpcsError
from hcpcs.export.notice import license_notice
from hcpcs.export.registry import ExportFormat
from hcpcs.version import Version
from hcpcs.version_files import plain

_DATABASE = "hcpcs.db"
#: Full-text search finds these columns, in these tables.
_SEARCHED = ("code", "short_description", "long_description")
_SEARCHED_TABLES = ("hcpcs_codes", "hcpcs_modifiers", "hcpcs_history")
#: What Datasette offers as a form: the parameters are fields to fill in.
_QUERIES = {
    "code_on_day": {
        "title": "What a code meant on a day",
        "sql": "select * from hcpcs_history where code = :code and valid_from <= :day"
        " and (valid_to is null or valid_to >= :day)",
    },
}


def write_sqlite(version: Version, folder: Path, options: Mapping[str, str]) -> list[str]:
    """Write ``hcpcs.db``, Datasette's ``metadata.json`` and ``NOTICE.txt`` into ``folder``; returns the files' names.

    Dates are texts (YYYY-MM-DD), booleans 0 and 1, lists JSON. Every table has its primary key; a column that is the
    key of another table refers to it, and codes are indexed. Raises ``HcpcsError`` where SQLite cannot write.
    """
    folder.mkdir()
    schemas = {name: pyarrow.parquet.read_schema(path) for name, path in version.paths.items()}
    try:
        with closing(sqlite3.connect(folder / _DATABASE, isolation_level=None)) as database:
            database.execute("pragma journal_mode = off")
            database.execute("pragma synchronous = off")
            database.execute("begin")
            for name, schema in schemas.items():
                for statement in _definitions(name, schema, _referred(schemas)):
                    database.execute(statement)
                _insert(database, name, version.table(name))
            for name in _SEARCHED_TABLES:
                listed = ", ".join(_SEARCHED)
                database.execute(f"create virtual table {name}_fts using fts5({listed}, content={name})")
                database.execute(f"insert into {name}_fts({name}_fts) values ('rebuild')")
                database.execute(f"insert into {name}_fts({name}_fts) values ('optimize')")
            database.execute("commit")
    except sqlite3.Error as error:
        raise HcpcsError(f"SQLite {sqlite3.sqlite_version} cannot write {_DATABASE}: {error}") from None
    notice = license_notice(version, "The hcpcs tables as an SQLite database.")
    (folder / "metadata.json").write_text(
        json.dumps(_metadata(version, schemas, notice), indent=1, ensure_ascii=False) + "\n", encoding="utf-8"
    )
    (folder / "NOTICE.txt").write_text(notice, encoding="utf-8")
    return [_DATABASE, "metadata.json", "NOTICE.txt"]


def _referred(schemas: Mapping[str, pyarrow.Schema]) -> dict[str, str]:
    """The table that a column refers to by its name: the one whose whole key it is."""
    keys = {name: _key(schema) for name, schema in schemas.items()}
    return {key[0]: name for name, key in keys.items() if len(key) == 1}


def _key(schema: pyarrow.Schema) -> list[str]:
    key: list[str] = json.loads((schema.metadata or {}).get(b"hcpcs.primary_key", b"[]"))
    return key


def _definitions(name: str, schema: pyarrow.Schema, referred: Mapping[str, str]) -> Iterator[str]:
    """The table's definition, and an index of its codes where the key does not begin with them."""
    key = _key(schema)
    lines = [f'"{f.name}" {_type_of(f.type)}{"" if f.nullable else " not null"}' for f in schema]
    if key:
        lines.append(f"primary key ({', '.join(key)})")
    lines += [
        f"foreign key ({f.name}) references {referred[f.name]}" for f in schema if referred.get(f.name, name) != name
    ]
    yield f"create table {name} ({', '.join(lines)})"
    if "code" in schema.names and key[:1] != ["code"]:
        yield f"create index {name}_code on {name} (code)"


def _insert(database: sqlite3.Connection, name: str, table: pyarrow.Table) -> None:
    marks = ", ".join("?" * table.num_columns)
    for batch in table.to_batches(max_chunksize=10_000):
        values = [[_value(value) for value in column.to_pylist()] for column in batch.columns]
        database.executemany(f"insert into {name} values ({marks})", zip(*values, strict=True))


def _type_of(arrow: pyarrow.DataType) -> str:
    if pyarrow.types.is_boolean(arrow) or pyarrow.types.is_integer(arrow):
        return "integer"
    return "real" if pyarrow.types.is_floating(arrow) else "text"


def _value(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list) else plain(value)


def _metadata(version: Version, schemas: Mapping[str, pyarrow.Schema], notice: str) -> dict[str, Any]:
    """What Datasette displays: the descriptions of tables and columns, their source and license."""
    tables = {}
    for name, schema in schemas.items():
        about = schema.metadata or {}
        columns = json.loads(about.get(b"hcpcs.columns", b"{}"))
        tables[name] = {
            "description": about.get(b"hcpcs.description", b"").decode(),
            "columns": {column: one["description"] for column, one in columns.items()},
            **({"fts_table": f"{name}_fts"} if name in _SEARCHED_TABLES else {}),
        }
    return {
        "title": f"HCPCS {version.id}",
        "description": notice,
        "source": "CMS (Centers for Medicare & Medicaid Services), HCPCS Level II",
        "source_url": "https://www.cms.gov/medicare/coding-billing",
        "license": "by row: license_id, explained in the table licenses",
        "license_url": "/hcpcs/licenses",
        "databases": {"hcpcs": {"tables": tables, "queries": _QUERIES}},
    }


FORMAT = ExportFormat(
    name="sqlite",
    summary="an SQLite database with keys, full-text search and metadata for Datasette",
    is_folder=True,
    write=write_sqlite,
    shows=tuple(f"{table}.{column}" for table in _SEARCHED_TABLES for column in _SEARCHED),
)
