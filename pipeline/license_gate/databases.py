"""The tables of SQLite and DuckDB files, and what their schemas say."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import polars as pl


def _tables_of_sqlite(path: Path) -> Iterator[tuple[str, pl.DataFrame]]:
    """Every table of an SQLite database, and its schema; a full-text index by the rows that it answers with."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        schema = database.execute("select type, name, coalesce(sql, '') from sqlite_schema").fetchall()
        yield "sqlite_schema", pl.DataFrame(schema, ["type", "name", "sql"], orient="row")
        kinds = {row[1]: row[2] for row in database.execute("pragma table_list")}
        for kind, name, _ in schema:
            if kind != "table" or kinds.get(name) == "shadow":
                continue
            rows = database.execute(f'select * from "{name.replace(chr(34), chr(34) * 2)}"')
            columns = [column[0] for column in rows.description]
            values = rows.fetchall()
            yield name, pl.DataFrame([_sqlite_column(c, [row[i] for row in values]) for i, c in enumerate(columns)])


def _sqlite_column(name: str, values: list[Any]) -> pl.Series:
    """Texts and bytes as text; numbers, of which a column may have some beside texts, are none."""
    if any(isinstance(value, str | bytes) for value in values):
        texts = [v.decode("latin-1") if isinstance(v, bytes) else v if isinstance(v, str) else None for v in values]
        return pl.Series(name, texts, dtype=pl.String)
    return pl.Series(name, values, strict=False)


def _tables_of_duckdb(path: Path) -> Iterator[tuple[str, pl.DataFrame]]:
    """Every table of a DuckDB database, the text of its views and macros, and all comments."""
    import duckdb

    with duckdb.connect(str(path), read_only=True) as database:
        for sql in (
            "select table_name, comment, sql from duckdb_tables()",
            "select table_name, column_name, comment, column_default from duckdb_columns()",
            "select view_name, comment, sql from duckdb_views() where not internal",
            "select function_name, comment, macro_definition from duckdb_functions() where not internal",
        ):
            yield "duckdb_schema", pl.from_arrow(database.sql(sql).to_arrow_table())  # type: ignore[misc]
        for (name,) in database.sql("select table_name from duckdb_tables()").fetchall():
            quoted = name.replace('"', '""')
            yield name, pl.from_arrow(database.sql(f'from "{quoted}"').to_arrow_table())  # type: ignore[misc]


#: Databases, which are read where they lie: each gives (table, rows).
DATABASES: dict[str, Callable[[Path], Iterator[tuple[str, pl.DataFrame]]]] = {
    **dict.fromkeys((".sqlite", ".db"), _tables_of_sqlite),
    ".duckdb": _tables_of_duckdb,
}
