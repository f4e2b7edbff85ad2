"""``hcpcs sql views`` and ``hcpcs sql ddl``: run where the engine is, parsed where it is not."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy
import sqlglot
from conftest import Said, Version

import hcpcs as library

DAYS = ("2009-06-30", "2014-06-30", "2018-06-30", "2025-12-31")
#: Whether each is valid on the days above, by the sample's history: re-used, not CMS's, null.
VALID = {"J0570": [True, False, True, True], "99213": [False] * 4, None: [False] * 4}


@pytest.fixture
def printed(hcpcs: Callable[..., Said], sample: Version) -> Callable[..., str]:
    """What `hcpcs sql …` prints."""

    def call(*arguments: object) -> str:
        where = ("--outputs", sample.outputs.folder) if arguments[0] == "ddl" else ()
        said = hcpcs("sql", *arguments, *where)
        assert (said.status, said.err) == (0, "")
        return said.out

    return call


def expected(sample: Version, day: str) -> set[tuple[str, str, int, int]]:
    """The keys of what is valid on a day, by the spans' own days."""
    at = dt.date.fromisoformat(day)
    rows = sample.open("hcpcs_history").to_dicts()
    on = [r for r in rows if r["valid_from"] <= at and (r["valid_to"] is None or at <= r["valid_to"])]
    return {(r["kind"], r["code"], r["episode"], r["span_number"]) for r in on}


def check_views(run: Callable[[str], list[Any]], sample: Version) -> None:
    """``run`` runs a query on an engine that has the views."""
    for day in DAYS:
        found = run(f"select kind, code, episode, span_number from hcpcs_on(date '{day}')")
        assert len(found) == len(set(map(tuple, found)))
        assert {tuple(row) for row in found} == expected(sample, day)
    for code, valid in VALID.items():
        text = "cast(null as varchar(5))" if code is None else f"'{code}'"
        assert [run(f"select hcpcs_valid({text}, date '{day}')")[0][0] for day in DAYS] == valid
    of_rows = " union all ".join(f"select 'J0570' as c, date '{day}' as d" for day in DAYS)
    flags = run(f"select d, hcpcs_valid(c, d) from ({of_rows}) as claims order by d")
    assert [tuple(row)[1] for row in flags] == VALID["J0570"]
    # Today is after the newest release: what has no end is valid.
    today = {tuple(row) for row in run("select kind, code, episode, span_number from hcpcs_today")}
    assert today == expected(sample, dt.date.today().isoformat())


def test_duckdb_runs_the_tables_and_the_views(printed: Callable[..., str], sample: Version) -> None:
    database = duckdb.connect()
    database.execute(printed("ddl", "--dialect", "duckdb"))
    tables = library.open(outputs=sample.outputs.folder).paths
    for table, path in tables.items():
        database.execute(f"insert into {table} by name from read_parquet(?)", [str(path)])
    found = database.execute(
        "select table_name, column_name, data_type, is_nullable, comment from duckdb_columns() where not internal"
    )
    columns = {(t, c): (kind, nullable, comment) for t, c, kind, nullable, comment in found.fetchall()}
    assert len(columns) == sum(len(pq.read_schema(p)) for p in tables.values())
    descriptions = {
        (r["table_name"], r["column_name"]): r["description"] for r in sample.open("data_dictionary").to_dicts()
    }
    assert {key: comment for key, (_, _, comment) in columns.items()} == descriptions
    assert columns["hcpcs_validity", "from_day"][:2] == ("DATE", False)
    assert columns["hcpcs_validity", "replaced_by"][0] == "VARCHAR[]"
    with pytest.raises(duckdb.ConstraintException, match="uplicate key"):
        database.execute("insert into hcpcs_validity from hcpcs_validity")
    database.execute(printed("views", "--dialect", "duckdb"))
    check_views(lambda query: database.sql(query).fetchall(), sample)


def test_duckdb_reads_a_version_where_it_lies_into_a_schema(printed: Callable[..., str], sample: Version) -> None:
    database = duckdb.connect()
    database.execute("create schema codes; use codes")
    database.execute(printed("views", "--schema", "codes", "--version-folder", sample.folder))
    check_views(lambda query: database.sql(query).fetchall(), sample)


@pytest.fixture
def postgres(postgres_url: str) -> Iterator[sqlalchemy.Connection]:
    engine = sqlalchemy.create_engine(postgres_url, isolation_level="AUTOCOMMIT")
    with engine.connect() as connection:
        connection.exec_driver_sql('create schema "code sets"')
        connection.exec_driver_sql('set search_path = "code sets", public')
        yield connection
        connection.exec_driver_sql('drop schema "code sets" cascade')
    engine.dispose()


def insert(connection: sqlalchemy.Connection, table: str, rows: pa.Table) -> None:
    values = ", ".join(f":{name}" for name in rows.column_names)
    statement = sqlalchemy.text(f'insert into "code sets".{table} ({", ".join(rows.column_names)}) values ({values})')
    connection.execute(statement, rows.to_pylist())


def test_postgresql_runs_the_tables_and_the_views_and_refuses_overlapping_spans(
    printed: Callable[..., str], sample: Version, postgres: sqlalchemy.Connection
) -> None:
    run = postgres.exec_driver_sql
    run(printed("ddl", "--dialect", "postgres", "--schema", "code sets").replace("%", "%%"))
    version = library.open(outputs=sample.outputs.folder)
    for table in ("hcpcs_validity", "hcpcs_history"):
        insert(postgres, table, version.table(table))
    lengths = run(
        "select column_name, character_maximum_length from information_schema.columns"
        " where table_schema = 'code sets' and table_name = 'hcpcs_history' and character_maximum_length is not null"
    ).fetchall()
    assert {tuple(row) for row in lengths} == {("code", 5), ("first_release", 7), ("last_release", 7)}
    stated = json.loads(pq.read_schema(version.paths["hcpcs_history"]).metadata[b"hcpcs.columns"])
    (comment,) = run(
        """select col_description('"code sets".hcpcs_history'::regclass, ordinal_position)
        from information_schema.columns
        where table_schema = 'code sets' and table_name = 'hcpcs_history' and column_name = 'valid_to'"""
    ).scalars()
    assert comment == stated["valid_to"]["description"]
    for table, changed in (
        ("hcpcs_validity", {"from_day": dt.date(2018, 6, 30), "to_day": dt.date(2018, 6, 30)}),
        ("hcpcs_history", {"span_number": 99, "valid_from": dt.date(2018, 6, 30), "valid_to": dt.date(2018, 6, 30)}),
    ):
        code = "first_code" if table == "hcpcs_validity" else "code"
        row = next(r for r in version.table(table).to_pylist() if r[code] == "J0570") | changed
        with pytest.raises(sqlalchemy.exc.IntegrityError, match="conflicting key value violates exclusion constraint"):
            insert(postgres, table, pa.Table.from_pylist([row], schema=version.table(table).schema))
    for _ in range(2):
        run(printed("views", "--dialect", "postgres", "--schema", "code sets"))
    check_views(lambda query: run(query).fetchall(), sample)


@pytest.mark.slow
def test_spark_runs_the_views_and_reads_the_tables(printed: Callable[..., str], sample: Version, spark: Any) -> None:
    for statement in printed("views", "--dialect", "spark", "--version-folder", sample.folder).split(";\n"):
        if statement.strip():
            spark.sql(statement)
    check_views(lambda query: [tuple(row) for row in spark.sql(query).collect()], sample)
    parser = spark._jsparkSession.sessionState().sqlParser()
    for statement in printed("ddl", "--dialect", "spark").split(";\n"):
        if statement.strip():
            assert "CreateTable" in parser.parsePlan(statement).getClass().getName()


@pytest.mark.parametrize("dialect", ["snowflake", "bigquery"])
@pytest.mark.parametrize("schema", [None, "my-project.codes"])
def test_where_no_engine_is_each_statement_is_one_of_its_dialect(
    printed: Callable[..., str], dialect: str, schema: str | None
) -> None:
    where = ("--dialect", dialect, *(("--schema", schema) if schema else ()))
    views, tables = (sqlglot.parse(printed(what, *where), read=dialect) for what in ("views", "ddl"))
    assert [s.args.get("kind", s.key) for s in views[:3] if s] == ["FUNCTION", "FUNCTION", "VIEW"]
    created = [s for s in tables if isinstance(s, sqlglot.exp.Create) and s.kind == "TABLE"]
    assert len(created) == 23
    for statement in (*views, *created):
        assert statement is None or not isinstance(statement, sqlglot.exp.Command)
    for body in [s for s in views[:2] if s and isinstance(s.expression, sqlglot.exp.Heredoc | sqlglot.exp.RawString)]:
        assert isinstance(sqlglot.parse_one(body.expression.name, read=dialect), sqlglot.exp.Select)


def test_what_cannot_be_printed_is_one_line(hcpcs: Callable[..., Said], sample: Version) -> None:
    where = ("--outputs", sample.outputs.folder)
    for arguments, status, words in [
        (("views", "--dialect", "postgres", "--version-folder", "/a"), 1, "load the version's tables, and name their"),
        (("views", "--dialect", "db2"), 2, "'db2' is not one of 'duckdb', 'postgres'"),
        (("ddl", "--table", "claims", *where), 1, "has no table claims; it has ambulance_locations"),
        (("ddl", "--schema", "a;b", *where), 1, "'a;b' is neither a table's name"),
    ]:
        said = hcpcs("sql", *arguments)
        assert (said.status, said.out) == (status, "") and words in said.err and "Traceback" not in said.err


@pytest.mark.parametrize("command", ["annotate", "views"])
def test_a_folder_that_is_no_version_is_refused(hcpcs: Callable[..., Said], tmp_path: Path, command: str) -> None:
    said = hcpcs("sql", command, "--version-folder", tmp_path)
    assert (said.status, f"{tmp_path} is not the folder of a version" in said.err, said.out) == (1, True, "")
    assert hcpcs("sql", command, "--version-folder", "s3://bucket/version").status == 0


def test_tables_of_a_schema_are_not_files_of_a_folder(hcpcs: Callable[..., Said]) -> None:
    said = hcpcs("sql", "annotate", "--version-folder", "s3://bucket/version", "--schema", "s")
    assert (said.status, "name one" in said.err, said.out) == (2, True, "")
