"""The generated SQL runs where its engine is, and is of its dialect where it is not."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest
import sqlglot
from conftest import Said
from small_version import SPANS, write_version

from hcpcs.annotate.lookup import DEFAULT_COLUMNS
from hcpcs.annotate.sql import DIALECTS, SqlNames, annotate_sql
from hcpcs.errors import HcpcsError

KEEP = ("claim", "hcpcs_code")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_statement_is_one_of_its_dialect_and_has_every_column(dialect: str) -> None:
    names = SqlNames(date_else="other", modifiers=["mod_1", "mod 2"], keep=KEEP, schema="hcpcs")
    (parsed,) = sqlglot.parse(annotate_sql(dialect, names), read=dialect)
    assert parsed is not None
    assert parsed.named_selects == [*KEEP, *DEFAULT_COLUMNS, "mod_1_status", "mod 2_status"]
    tables = {f"{t.db}.{t.name}" for t in parsed.find_all(sqlglot.exp.Table) if t.db}
    assert tables == {"hcpcs.hcpcs_validity"}


def test_duckdb_answers_from_tables_by_name(tmp_path: Path) -> None:
    connection = duckdb.connect()
    span = ("procedure", "J0570", 1, dt.date(2015, 1, 1), dt.date(2016, 12, 31), "termination")
    version = write_version(tmp_path, [span])
    claims = pa.table({"claim": [1, 2, 3], "hcpcs_code": ["j0570", "J0570-25", "99213"]})
    claims = claims.append_column("service_date", pa.array([dt.date(2016, 1, 1), dt.date(2017, 1, 1), None]))
    connection.register("claims", claims)
    connection.sql(f"create view hcpcs_validity as from '{version}/open/hcpcs_validity.parquet'")
    rows = connection.sql(f"select * from ({annotate_sql('duckdb', SqlNames(keep=['claim']))}) order by claim")
    assert rows.columns == ["claim", *DEFAULT_COLUMNS]
    found = rows.fetchall()
    assert [row[4] for row in found] == ["valid", "expired", "no_date"]
    assert [row[8] for row in found] == ["A0001|A0002", "A0001|A0002", None]
    assert [row[3] for row in found] == ["hcpcs-j-drugs", "hcpcs-j-drugs", "cpt-evaluation-management"]


@pytest.mark.parametrize("dialect", ["duckdb", "spark"])
def test_files_are_read_where_they_lie(dialect: str) -> None:
    statement = annotate_sql(dialect, SqlNames(folder="/a/version"))
    assert "/a/version/open/hcpcs_validity.parquet" in statement


@pytest.mark.parametrize("dialect", ["trino", "postgres"])
def test_a_dialect_that_reads_no_files_says_what_to_do(dialect: str) -> None:
    with pytest.raises(HcpcsError, match="load the version's tables, and name their --schema"):
        annotate_sql(dialect, SqlNames(folder="/a"))
    with pytest.raises(HcpcsError, match="load it, and name the table"):
        annotate_sql(dialect, SqlNames(claims="/a/claims.parquet"))


def test_trino_is_given_no_flag_of_replacing_and_no_except() -> None:
    statement = annotate_sql("trino")
    assert "'g'" not in statement and "EXCEPT" not in statement
    for replacement in sqlglot.parse_one(statement, read="trino").find_all(sqlglot.exp.RegexpReplace):
        assert replacement.args.get("modifiers") is None


@pytest.fixture
def database(tmp_path: Path) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    connection.execute(f"create view version_folder as select '{write_version(tmp_path / 'version', SPANS)}' as folder")
    return connection


@pytest.mark.parametrize(
    "claims",
    ["raw.claims", "Medical Claims", '"Medical Claims"', 'raw."Medical Claims"', "order", "'FILE'", "FILE", "Claims"],
)
def test_claims_are_a_table_with_its_schema_or_a_file(
    hcpcs: Callable[..., Said], database: duckdb.DuckDBPyConnection, tmp_path: Path, claims: str
) -> None:
    query = "select 'J1100' as hcpcs_code, date '2020-01-01' as service_date"
    if claims.strip("'") == "FILE":
        path = tmp_path / "it's claims.parquet"
        database.sql(query).write_parquet(str(path))
        doubled = str(path).replace("'", "''")
        claims = str(path) if claims == "FILE" else f"'{doubled}'"
    else:
        database.execute("create schema raw")
        quoted = {"Medical Claims": '"Medical Claims"', "order": '"order"'}.get(claims, claims)
        database.execute(f"create table {quoted} as {query}")
    said = hcpcs("sql", "annotate", "--claims", claims, "--version-folder", tmp_path / "version")
    assert (said.status, said.err) == (0, "")
    assert database.sql(said.out).select("hcpcs_code, code_status_on_date").fetchall() == [("J1100", "valid")]


@pytest.mark.parametrize("claims", ["a;b", "read_csv('x')", 'we"ird', " ", "a..b", "(select 1)"])
def test_claims_that_are_no_name_are_one_line_of_error(hcpcs: Callable[..., Said], claims: str) -> None:
    said = hcpcs("sql", "annotate", "--claims", claims)
    assert said.status == 1 and said.out == ""
    assert f"{claims!r} is neither a table's name nor the path of a file" in said.err
    assert "Traceback" not in said.err


def test_a_name_that_is_added_and_there_already_is_refused_whatever_its_case(
    hcpcs: Callable[..., Said], database: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    version = tmp_path / "version"
    said = hcpcs("sql", "annotate", "--keep", "SHORT_DESCRIPTION", "--version-folder", version)
    assert said.status == 1 and "two columns named 'short_description'" in said.err
    database.execute("create table claims as select 'J1100' as hcpcs_code, current_date as service_date, 1 as Episode")
    statement = hcpcs("sql", "annotate", "--version-folder", version).out
    with pytest.raises(duckdb.BinderException, match='Ambiguous reference to column name "episode"'):
        database.sql(statement)


def test_a_time_stamp_on_a_last_day_lies_in_the_span(
    hcpcs: Callable[..., Said], database: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    database.execute(
        "create table claims as select 'J0570' as hcpcs_code, timestamp '2016-12-31 23:59:00' as service_date"
    )
    statement = hcpcs("sql", "annotate", "--version-folder", tmp_path / "version").out
    assert database.sql(statement).select("code_status_on_date").fetchall() == [("valid",)]


def test_an_unknown_dialect_is_an_error() -> None:
    with pytest.raises(HcpcsError, match="no dialect 'db2'; there are: duckdb, spark, trino, postgres"):
        annotate_sql("db2")


def test_names_of_columns_are_quoted(tmp_path: Path) -> None:
    connection = duckdb.connect()
    version = write_version(tmp_path, [])
    connection.sql(f"create view hcpcs_validity as from '{version}/open/hcpcs_validity.parquet'")
    connection.execute('create table claims as select \'99213\' as "the ""code""", current_date as "from"')
    statement = annotate_sql("duckdb", SqlNames(code='the "code"', date="from"))
    assert connection.sql(statement).fetchall()[0][2:4] == ("cpt-category-1", "Category I")
