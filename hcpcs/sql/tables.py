"""``hcpcs sql ddl``: creates a version's tables, by what their Parquet files state. Nothing here loads them."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from hcpcs.errors import HcpcsError
from hcpcs.sql.dialects import SYNTAX, published_table, require_dialect, text, type_name
from hcpcs.version import Version


def ddl_sql(dialect: str, version: Version, tables: Sequence[str] = (), schema: str | None = None) -> str:
    """``create table`` statements for a version's tables, by default all: types, lengths, keys and comments.

    In PostgreSQL an exclusion constraint proves that the spans of a code do not overlap; it needs the extension
    ``btree_gist``, which comes with it. Raises ``HcpcsError`` for another dialect, and for a table that is not there.
    """
    require_dialect(dialect, SYNTAX)
    if unknown := sorted(set(tables) - version.paths.keys()):
        raise HcpcsError(
            f"version {version.id} has no table {', '.join(unknown)}; it has {', '.join(sorted(version.paths))}"
        )
    statements = [] if dialect != "postgres" else ["create extension if not exists btree_gist"]
    for table in tables or sorted(version.paths):
        statements += _statements(dialect, table, version.paths[table], schema)
    return "".join(f"{'' if s.startswith('comment') else chr(10)}{s};{chr(10)}" for s in statements).lstrip()


def comments_sql(dialect: str, table: str, path: Path, schema: str | None = None) -> Iterator[str]:
    """Statements by which DuckDB and PostgreSQL get the descriptions of a table and its columns."""
    name, metadata = published_table(dialect, table, schema), _metadata(pq.read_schema(path))
    yield f"comment on table {name} is {text(dialect, metadata['description'])}"
    for column, about in metadata["columns"].items():
        yield f'comment on column {name}."{column}" is {text(dialect, about["description"])}'


def _statements(dialect: str, table: str, path: Path, schema: str | None) -> Iterator[str]:
    arrow = pq.read_schema(path)
    metadata = _metadata(arrow)
    lines = [_column(dialect, field, metadata["columns"][field.name]) for field in arrow]
    if "key" in SYNTAX[dialect]:
        lines.append(SYNTAX[dialect]["key"].format(", ".join(metadata["primary_key"])))
    if dialect == "postgres" and (spans := metadata.get("spans")):
        equal = ", ".join(f"{_comparable(arrow.field(name))} with =" for name in spans["of"])
        days = f"daterange({spans['first_day']}, {spans['last_day']}, '[]') with &&"
        lines.append(f"exclude using gist ({equal}, {days})")
    inner = ",\n  ".join(lines)
    create = f"create table {published_table(dialect, table, schema)} (\n  {inner}\n)"
    if (comment := SYNTAX[dialect].get("table_comment")) is not None:
        yield f"{create}\n{comment.format(text(dialect, metadata['description']))}"
    else:
        yield create
        yield from comments_sql(dialect, table, path, schema)


def _column(dialect: str, field: pa.Field, about: dict[str, Any]) -> str:
    parts = [field.name, type_name(dialect, field.type, about.get("max_length"))]
    # In BigQuery an array is never null.
    if not field.nullable and not (dialect == "bigquery" and pa.types.is_list(field.type)):
        parts.append("not null")
    if (comment := SYNTAX[dialect].get("column_comment")) is not None:
        parts.append(comment.format(text(dialect, about["description"])))
    return " ".join(parts)


def _comparable(field: pa.Field) -> str:
    """A column in an exclusion constraint: before PostgreSQL 16 btree_gist does not compare booleans."""
    return f"cast({field.name} as integer)" if pa.types.is_boolean(field.type) else field.name


def _metadata(schema: pa.Schema) -> dict[str, Any]:
    stated = {k.decode().removeprefix("hcpcs."): v.decode() for k, v in (schema.metadata or {}).items()}
    lists = {name: json.loads(stated[name]) for name in ("columns", "primary_key", "spans") if name in stated}
    return stated | lists
