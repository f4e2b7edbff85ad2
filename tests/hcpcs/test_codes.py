"""One parser of codes: `annotate`, SQL on every engine, Spark, `classify` and `lookup` read a text alike."""

from __future__ import annotations

import datetime as dt
import re
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy
import sqlglot
from odd_codes import ODD_CODES, ODD_MODIFIERS
from small_version import SPANS, write_version

from hcpcs.annotate.engine import annotate
from hcpcs.annotate.parsing import modifier_pattern, read_codes
from hcpcs.annotate.sql import SqlNames, annotate_sql
from hcpcs.annotate.typed_code import read_code

KNOWN = ["RT", "P1", "XE", "RH", "SH"]
COLUMNS = ("code_system", "section_id", "code_status_on_date", "episode", "short_description", "redistribution")


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_version(tmp_path_factory.mktemp("version"), SPANS)


def claims() -> pa.Table:
    """Every odd code with an odd modifier, on a day on which the codes of the version are valid."""
    count = len(ODD_CODES)
    return pa.table(
        {
            "line": range(count),
            "hcpcs_code": pa.array([code for code, _, _ in ODD_CODES], pa.string()),
            "mod": pa.array([ODD_MODIFIERS[i % len(ODD_MODIFIERS)][0] for i in range(count)], pa.string()),
            "day": pa.array([dt.datetime(2016, 6, 1, 23, 30)] * count, pa.timestamp("us")),
        }
    )


@pytest.fixture(scope="module")
def of_the_engine(version: Path, tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    folder = tmp_path_factory.mktemp("claims")
    pq.write_table(claims(), folder / "c.parquet")
    annotate(
        folder / "c.parquet", folder / "o.parquet", version=version, code="hcpcs_code", date="day", modifiers=["mod"]
    )
    return [_comparable(row) for row in pq.read_table(folder / "o.parquet").to_pylist()]


def _comparable(row: dict[str, Any]) -> dict[str, Any]:
    return {name: row[name] for name in ("line", "hcpcs_code", *COLUMNS, "mod_status")}


@pytest.mark.parametrize(("given", "code", "modifiers"), ODD_CODES)
def test_a_code_is_read_as_the_table_states(given: str | None, code: str | None, modifiers: str | None) -> None:
    read = read_codes(pa.array([given], pa.string()), modifiers=modifier_pattern(KNOWN))
    assert (read.texts()[0].as_py(), read.modifiers[0].as_py()) == (code, modifiers)


def test_a_line_gets_what_its_code_and_modifier_are(of_the_engine: list[dict[str, Any]]) -> None:
    assert len(ODD_CODES) >= 120
    known = {"J1100": "valid", "C4123": "unknown_code", "S7200": "unknown_code"} | dict.fromkeys(
        ("A0425", "A0427"), "unknown_code"
    )
    for i, row in enumerate(of_the_engine):
        _, code, _ = ODD_CODES[i]
        assert row["code_status_on_date"] == ("unknown_shape" if code is None else known.get(code, "not_loaded")), row
        assert row["mod_status"] == ODD_MODIFIERS[i % len(ODD_MODIFIERS)][1], row


def test_duckdb_reads_codes_as_the_engine_does(version: Path, of_the_engine: list[dict[str, Any]]) -> None:
    connection = duckdb.connect()
    connection.register("claims", claims())
    statement = annotate_sql("duckdb", SqlNames(folder=str(version), date="day", modifiers=["mod"]))
    rows = connection.sql(f"select * from ({statement}) order by line").to_arrow_table().to_pylist()
    assert [_comparable(row) for row in rows] == of_the_engine


@pytest.mark.parametrize("dialect", ["snowflake", "bigquery"])
def test_where_no_engine_is_the_statement_translated_back_reads_codes_as_the_engine_does(
    dialect: str, version: Path, of_the_engine: list[dict[str, Any]], capfd: pytest.CaptureFixture[str]
) -> None:
    connection = duckdb.connect()
    connection.register("claims", claims())
    connection.execute(f"create view hcpcs_validity as from '{version}/open/hcpcs_validity.parquet'")
    names = SqlNames(date="day", modifiers=["mod"], keep=["line", "hcpcs_code"])
    statement = annotate_sql(dialect, names)
    assert capfd.readouterr().err == ""
    assert "'g'" not in statement
    if dialect == "snowflake":
        assert '"hcpcs_code"' not in statement and r"\x{" not in statement
        statement = re.sub(r"\\u([0-9A-F]{4})", lambda found: chr(int(found[1], 16)), statement)
    (back,) = sqlglot.transpile(statement, read=dialect, write="duckdb")
    rows = connection.sql(f"select * from ({back}) order by line").to_arrow_table().to_pylist()
    assert [_comparable(row) for row in rows] == of_the_engine


@pytest.mark.slow
def test_spark_reads_codes_as_the_engine_does_in_sql_over_a_folder_and_by_our_function(
    spark: Any, version: Path, of_the_engine: list[dict[str, Any]], tmp_path: Path
) -> None:
    from hcpcs.spark import annotate as annotate_on_spark

    path = tmp_path / "medical claims.parquet"
    pq.write_table(claims(), path)
    statement = annotate_sql("spark", SqlNames(claims=str(path), folder=str(version), date="day", modifiers=["mod"]))
    rows = [row.asDict() for row in spark.sql(statement).orderBy("line").collect()]
    assert [_comparable(row) for row in rows] == of_the_engine
    frame = annotate_on_spark(
        spark.read.parquet(str(path)), version=version, code="hcpcs_code", date="day", modifiers=["mod"]
    )
    rows = [row.asDict() for row in frame.orderBy("line").collect()]
    assert [_comparable(row) for row in rows] == of_the_engine


def test_postgresql_reads_codes_as_the_engine_does(
    postgres_url: str, version: Path, of_the_engine: list[dict[str, Any]]
) -> None:
    engine = sqlalchemy.create_engine(postgres_url)
    with engine.connect() as connection:
        connection.execute(sqlalchemy.text('create schema "code sets"'))
        for path in sorted((version / "open").glob("*.parquet")):
            load(connection, f'"code sets".{path.stem}', pq.read_table(path))
        connection.execute(sqlalchemy.text("create schema raw"))
        load(connection, 'raw."Medical Claims"', claims())
        statement = annotate_sql(
            "postgres",
            SqlNames(claims='raw."Medical Claims"', schema="code sets", date="day", modifiers=["mod"]),
        )
        found = connection.exec_driver_sql(f"select * from ({statement}) as found order by line".replace("%", "%%"))
        rows = [dict(row) for row in found.mappings()]
        assert [_comparable(row) for row in rows] == of_the_engine
        connection.exec_driver_sql('create table taken as select *, 1 as episode from raw."Medical Claims"')
        with pytest.raises(sqlalchemy.exc.ProgrammingError, match='column reference "episode" is ambiguous'):
            connection.exec_driver_sql(annotate_sql("postgres", SqlNames(claims="taken", schema="code sets")))
    engine.dispose()


def load(connection: Any, name: str, table: pa.Table) -> None:
    """Create a PostgreSQL table from an Arrow table."""
    kinds = {
        "int32": "integer",
        "int64": "bigint",
        "date32[day]": "date",
        "bool": "boolean",
        "timestamp[us]": "timestamp",
    }

    def kind(of: pa.DataType) -> str:
        if pa.types.is_list(of) or pa.types.is_large_list(of):
            return f"{kind(of.value_type)}[]"
        return kinds.get(str(of), "text")

    columns = ", ".join(f'"{field.name}" {kind(field.type)}' for field in table.schema)
    connection.exec_driver_sql(f"create table {name} ({columns})")
    values = ", ".join(f":{'c' + str(i)}" for i in range(table.num_columns))
    rows = [{f"c{i}": row[n] for i, n in enumerate(table.column_names)} for row in table.to_pylist()]
    if rows:
        connection.execute(sqlalchemy.text(f"insert into {name} values ({values})"), rows)


def test_without_a_version_what_may_be_a_modifier_is_cut_off() -> None:
    read = read_code("HC:J1100:JW")
    assert (read.code, read.modifiers, read.rules) == ("J1100", ("JW",), ("modifier_cut_off", "qualifier_cut_off"))
    assert read_code("B2000ZZ").code is None
    assert read_code("rt").code == "RT"


def test_one_code_is_read_as_a_column_of_them_is() -> None:
    alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    texts = [a + b for a in alphabet for b in alphabet]
    texts += [f"{a}{n:03}{b}" for n, a in enumerate(alphabet) for b in alphabet]
    texts += [code for code, _, _ in ODD_CODES if code is not None]
    texts += [
        "oil spill",
        "a b c",
        "#N/A",
        "(NULL)",
        "1.0",
        "12.00",
        " J W ",
        "'JW'",
        "J.W",
        "A1B2C",
        "xx",
        "n.a.",
        "JW RT",
    ]
    wide, narrow = (read_codes(pa.array(texts, pa.string()), width) for width in (5, 2))
    for text, code, modifier in zip(texts, wide.texts(5).to_pylist(), narrow.texts(2).to_pylist(), strict=True):
        assert read_code(text).code == (code or modifier), text
