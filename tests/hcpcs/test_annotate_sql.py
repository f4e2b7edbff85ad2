"""The generated SQL runs where its engine is, and is of its dialect where it is not."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import duckdb
import polars as pl
import pyarrow as pa
import pytest
import sqlglot

from hcpcs.annotate.lookup import DEFAULT_COLUMNS
from hcpcs.annotate.sql import DIALECTS, SqlNames, annotate_sql
from hcpcs.errors import HcpcsError
from sources.curated.tables import load_code_sections, load_code_systems

KEEP = ("claim", "hcpcs_code")


@pytest.mark.parametrize("dialect", DIALECTS)
def test_the_statement_is_one_of_its_dialect_and_has_every_column(dialect: str) -> None:
    names = SqlNames(date_else="other", modifiers=["mod_1", "mod 2"], keep=KEEP, schema="hcpcs")
    (parsed,) = sqlglot.parse(annotate_sql(dialect, names), read=dialect)
    assert parsed is not None
    assert parsed.named_selects == [*KEEP, *DEFAULT_COLUMNS, "mod_1_status", "mod 2_status"]
    tables = {t.sql() for t in parsed.find_all(sqlglot.exp.Table) if t.db}
    assert {t.split(" ")[0] for t in tables} == {
        f"hcpcs.{name}" for name in ("hcpcs_history", "hcpcs_codes", "code_systems", "code_sections")
    }


def test_duckdb_answers_from_tables_by_name() -> None:
    connection = duckdb.connect()
    history = pl.DataFrame(
        {
            "kind": ["procedure"],
            "code": ["J0570"],
            "episode": [1],
            "valid_from": [dt.date(2015, 1, 1)],
            "valid_to": [dt.date(2016, 12, 31)],
            "valid_to_basis": ["termination"],
            "short_description": ["made up"],
        }
    )
    codes = pl.DataFrame({"code": ["J0570"], "episode": [1], "is_unlisted": [False], "replaced_by": [["A0001"]]})
    claims = pa.table({"claim": [1, 2, 3], "hcpcs_code": ["j0570", "J0570-RT", "99213"]})
    claims = claims.append_column("service_date", pa.array([dt.date(2016, 1, 1), dt.date(2017, 1, 1), None]))
    for name, table in (
        ("hcpcs_history", history),
        ("hcpcs_codes", codes),
        ("code_systems", load_code_systems()),
        ("code_sections", load_code_sections()),
        ("claims", claims),
    ):
        connection.register(name, table if isinstance(table, pa.Table) else table.to_arrow())
    rows = connection.sql(f"select * from ({annotate_sql('duckdb', SqlNames(keep=['claim']))}) order by claim")
    assert rows.columns == ["claim", *DEFAULT_COLUMNS]
    found = rows.fetchall()
    assert [row[4] for row in found] == ["valid", "expired", "no_date"]
    assert [row[8] for row in found] == ["A0001", "A0001", None]
    assert [row[3] for row in found] == ["hcpcs-j-drugs", "hcpcs-j-drugs", "cpt-evaluation-management"]


@pytest.mark.parametrize("dialect", ["duckdb", "spark"])
def test_files_are_read_where_they_lie(dialect: str) -> None:
    statement = annotate_sql(dialect, SqlNames(folder="/a/version"))
    for name in ("hcpcs_history", "hcpcs_codes", "code_systems", "code_sections"):
        assert f"/a/version/open/{name}.parquet" in statement


def test_trino_is_told_what_to_keep_and_knows_no_flag_of_replacing() -> None:
    with pytest.raises(HcpcsError, match="which of the claims' columns to keep"):
        annotate_sql("trino")
    with pytest.raises(HcpcsError, match="register the version's tables"):
        annotate_sql("trino", SqlNames(keep=KEEP, folder="/a"))
    statement = annotate_sql("trino", SqlNames(keep=KEEP))
    assert "'g'" not in statement and "EXCEPT" not in statement
    for replacement in sqlglot.parse_one(statement, read="trino").find_all(sqlglot.exp.RegexpReplace):
        assert replacement.args.get("modifiers") is None


def test_an_unknown_dialect_is_an_error() -> None:
    with pytest.raises(HcpcsError, match="no dialect 'db2'; there are: duckdb, spark, trino"):
        annotate_sql("db2")


def test_names_of_columns_are_quoted(tmp_path: Path) -> None:
    connection = duckdb.connect()
    for name, frame in (("code_systems", load_code_systems()), ("code_sections", load_code_sections())):
        connection.register(name, frame.to_arrow())
    connection.execute("create table hcpcs_codes (code text, episode int, is_unlisted bool, replaced_by text[])")
    connection.execute(
        "create table hcpcs_history (kind text, code text, episode int, valid_from date, valid_to date,"
        " valid_to_basis text, short_description text)"
    )
    connection.execute('create table claims as select \'99213\' as "the ""code""", current_date as "from"')
    statement = annotate_sql("duckdb", SqlNames(code='the "code"', date="from"))
    assert connection.sql(statement).fetchall()[0][2:4] == ("cpt-category-1", "Category I")
