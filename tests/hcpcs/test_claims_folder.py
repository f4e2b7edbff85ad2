"""A folder whose files were written month by month: columns in another order, and in types that fit together."""

from __future__ import annotations

import datetime as dt
import json
import uuid
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from conftest import Said
from small_version import SPANS, write_version

DAY = dt.date(2019, 1, 5)
#: Three lines that every folder has; ``n`` is wider than 32 bits, and exact as a float.
COLUMNS: dict[str, pa.Array] = {
    "code": pa.array(["J1100", "99214", None]),
    "day": pa.array([DAY] * 3),
    "n": pa.array([1 << 40, 2, 3]),
    "modifier": pa.array(["RT", None, "LT"]),
}
#: Of the modifiers, in the version of the tests.
STATUS = {"RT": "valid", "LT": "unknown_code", None: None}
TEXT, DICTIONARY = pa.string(), pa.dictionary(pa.int32(), pa.string())
WIDE_DICTIONARY = pa.dictionary(pa.int8(), pa.large_string())
IDS = pa.array([uuid.UUID(int=n).bytes for n in range(3)], pa.uuid())


Annotate = Callable[..., tuple[Said, dict[str, Any]]]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_version(tmp_path_factory.mktemp("version"), SPANS)


@pytest.fixture
def annotate(hcpcs: Callable[..., Said], tmp_path: Path, version: Path) -> Callable[..., tuple[Said, dict[str, Any]]]:
    """Write a file for each table, in the order given, and annotate their folder; no lines make no row group."""

    def call(
        *tables: pa.Table, out: str = "out.parquet", options: Sequence[str] = (), **writing: Any
    ) -> tuple[Said, dict[str, Any]]:
        claims = tmp_path / "claims"
        claims.mkdir(exist_ok=True)
        for number, table in enumerate(tables):
            with pq.ParquetWriter(claims / f"{number}.parquet", table.schema, **writing) as writer:
                if table.num_rows:
                    writer.write_table(table)
        usual = ["--code", "code", "--date", "day", "--modifier", "modifier", "--version", version, "--json"]
        said = hcpcs("annotate", claims, tmp_path / out, *usual, *options)
        assert "Traceback" not in said.err
        return said, json.loads(said.out) if said.status == 0 else {}

    return call


@pytest.mark.parametrize("is_first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize(
    ("column", "other", "read_as"),
    [
        ("modifier", pa.nulls(3), TEXT),
        ("day", pa.nulls(3, pa.null()), pa.date32()),
        ("code", COLUMNS["code"].cast(pa.large_string()), pa.large_string()),
        ("modifier", COLUMNS["modifier"].cast(pa.string_view()), TEXT),
        ("modifier", COLUMNS["modifier"].cast(DICTIONARY), TEXT),
        ("code", COLUMNS["code"].cast(DICTIONARY), TEXT),
        ("code", COLUMNS["code"].cast(WIDE_DICTIONARY), TEXT),
        ("n", pa.array([1, 2, 3], pa.int8()), pa.int64()),
        ("n", pa.array([1.0, None, 3.0]), pa.float64()),
        ("n", pa.array([Decimal("1.50"), None, Decimal(3)]), pa.decimal128(22, 2)),
        ("day", pa.array([dt.datetime(2019, 1, 5, 23)] * 3, pa.timestamp("us")), pa.timestamp("us")),
        ("day", pa.array([None, dt.datetime(2019, 1, 5), None], pa.timestamp("ns")), pa.timestamp("ns")),
    ],
)
def test_types_that_fit_together_are_read_as_one_and_reported(
    annotate: Annotate, tmp_path: Path, column: str, other: pa.Array, read_as: pa.DataType, is_first: bool
) -> None:
    usual, odd = pa.table(COLUMNS), pa.table(COLUMNS | {column: other})
    said, summary = annotate(*((odd, usual) if is_first else (usual, odd)))
    assert said.status == 0, said.err
    out = pq.read_table(tmp_path / "out.parquet", columns=list(COLUMNS))
    assert out.schema.field(column).type == read_as
    values = [other.to_pylist(), COLUMNS[column].to_pylist()]
    expected = [v for each in (values if is_first else values[::-1]) for v in each]
    if pa.types.is_timestamp(read_as):
        at_midnight = dt.datetime.combine(DAY, dt.time())
        expected = [at_midnight if v == DAY else v for v in expected]
    assert out[column].to_pylist() == expected
    (reported,) = summary["files"]["of_several_types"] or [{"name": column, "read_as": str(read_as)}]
    assert (reported["name"], reported["read_as"]) == (column, str(read_as))
    assert bool(summary["files"]["of_several_types"]) == (other.type != pa.string_view())
    valid = sum(row["lines"] for row in summary["by_status"] if row["name"] == "valid")
    assert valid == sum(
        1 for code, day in zip(out["code"].to_pylist(), out["day"].to_pylist(), strict=True) if code == "J1100" and day
    )


@pytest.mark.parametrize("out", ["out.parquet", "out"])
def test_columns_in_another_order_or_never_null_are_the_same_columns(
    annotate: Annotate, tmp_path: Path, out: str
) -> None:
    table = pa.table(COLUMNS)
    strict = pa.schema([f.with_nullable(f.name not in ("day", "n")) for f in table.schema])
    said, summary = annotate(table, table.select(["n", "modifier", "day", "code"]), table.cast(strict), out=out)
    assert (said.status, summary["files"]["of_several_types"]) == (0, []), said.err
    files = sorted((tmp_path / out).glob("*")) if out == "out" else [tmp_path / out]
    read = [pq.read_table(file, columns=list(COLUMNS)) for file in files]
    assert all(each.column_names == list(COLUMNS) for each in read)
    assert pa.concat_tables(read).to_pylist() == table.to_pylist() * 3


@pytest.mark.parametrize(
    ("table", "what"),
    [
        (pa.table(COLUMNS | {"n": pa.array(["1", "2", "3"])}), "'n' is string, and int64 in files before it"),
        (
            pa.table(COLUMNS | {"code": COLUMNS["code"].cast("binary")}),
            "'code' is binary, and string in files before it",
        ),
        (
            pa.table(COLUMNS | {"day": pa.array([None] * 3, pa.timestamp("us", "America/New_York"))}),
            "'day' is timestamp[us, tz=America/New_York], and date32[day] in files before it",
        ),
    ],
)
def test_what_does_not_fit_is_refused_with_the_way_out(
    annotate: Annotate, tmp_path: Path, table: pa.Table, what: str
) -> None:
    said, _ = annotate(pa.table(COLUMNS), table)
    assert said.status == 1
    assert f"1.parquet does not have the columns of 0.parquet: {what}; name files that are alike" in said.err
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("out", ["out.parquet", "out"])
@pytest.mark.parametrize("form", ["parquet", "csv"])
@pytest.mark.parametrize("is_first", [True, False], ids=["first", "last"])
def test_a_column_that_some_months_lack_is_null_there_and_reported(
    annotate: Annotate, tmp_path: Path, is_first: bool, form: str, out: str
) -> None:
    usual, more = pa.table(COLUMNS), pa.table(COLUMNS).append_column("new", pa.array(["x", None, "y"]))
    fewer = usual.drop_columns(["n", "modifier"])
    months = [fewer, usual, more] if is_first else [more, usual, fewer]
    if form == "csv":
        (tmp_path / "claims").mkdir()
        for number, month in enumerate(months):
            pyarrow.csv.write_csv(month, tmp_path / "claims" / f"{number}.csv")
        months = [month.cast(pa.schema([(n, pa.string()) for n in month.schema.names])) for month in months]
    said, summary = annotate(*(months if form == "parquet" else ()), out=out)
    assert said.status == 0, said.err
    files = sorted((tmp_path / out).rglob("*.parquet")) if out == "out" else [tmp_path / out]
    read = pa.concat_tables([pq.read_table(file) for file in files])
    expected = [row | {n: row.get(n) for n in (*COLUMNS, "new")} for month in months for row in month.to_pylist()]
    assert read.select([*COLUMNS, "new"]).to_pylist() == expected
    assert read["modifier_status"].to_pylist() == [STATUS[row["modifier"]] for row in expected]
    first, last = f"0.{form}", f"2.{form}"
    lacking = {row["name"]: (row["files_without"], row["such_as"]) for row in summary["files"]["not_in_all"]}
    few = first if is_first else last
    assert lacking == {"n": (1, few), "modifier": (1, few), "new": (2, first if is_first else f"1.{form}")}


@pytest.mark.parametrize(
    ("column", "options", "why"),
    [
        ("code", (), ""),
        ("day", (), ""),
        ("n", ("--amount", "n"), ""),
        ("n", ("--redact", "modifier=modifier"), ", and a description under another name would not be blanked"),
    ],
)
def test_a_column_that_every_line_needs_is_in_all_months(
    annotate: Annotate, tmp_path: Path, column: str, options: tuple[str, ...], why: str
) -> None:
    table = pa.table(COLUMNS)
    if "--redact" in options:
        table = table.append_column("words", table["modifier"])
        options = ("--redact", "words")
    said, _ = annotate(table, table.drop_columns(column), options=options)
    assert said.status == 1
    assert f"1.parquet has no column {column!r}, which other files have{why}" in said.err
    assert not (tmp_path / "out.parquet").exists()


def test_the_terminal_names_columns_that_are_not_in_all_files(
    hcpcs: Callable[..., Said], annotate: Annotate, tmp_path: Path, version: Path
) -> None:
    annotate(pa.table(COLUMNS), pa.table(COLUMNS).drop_columns("n"))
    said = hcpcs("annotate", tmp_path / "claims", "--code", "code", "--date", "day", "--version", version)
    assert "columns that some files lack, null there" in said.out and "1.parquet" in said.out


def test_a_number_that_the_common_type_cannot_hold_is_refused(annotate: Annotate, tmp_path: Path) -> None:
    large = pa.table(COLUMNS | {"n": pa.array([(1 << 60) + 1, 2, 3])})
    said, _ = annotate(large, pa.table(COLUMNS | {"n": pa.array([1.0, None, 3.0])}))
    assert said.status == 1
    assert "0.parquet: cannot be read: column 'n' as double: Integer value 1152921504606846977" in said.err
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("files", [[0, 3], [3, 0, 3], [0, 0]], ids=str)
def test_months_without_a_row_group_have_no_lines(annotate: Annotate, tmp_path: Path, files: list[int]) -> None:
    said, summary = annotate(*(pa.table(COLUMNS).slice(0, lines) for lines in files))
    assert (said.status, summary.get("lines")) == (0, sum(files)), said.err
    expected = pa.table(COLUMNS).to_pylist() * files.count(3)
    assert pq.read_table(tmp_path / "out.parquet", columns=list(COLUMNS)).to_pylist() == expected


@pytest.mark.parametrize("files", [["n", "twice"], ["twice", "n"]])
def test_a_name_that_only_some_files_have_twice_is_refused(annotate: Annotate, files: list[str]) -> None:
    table = pa.table(COLUMNS)
    said, _ = annotate(*(table if name == "n" else table.append_column("n", table["n"]) for name in files))
    assert said.status == 1
    assert f"{files.index('twice')}.parquet has several columns named 'n'; rename all but one" in said.err


def test_uuids_and_lists_of_any_program_stay_what_they_are(annotate: Annotate, tmp_path: Path) -> None:
    table = pa.table(COLUMNS | {"id": IDS, "list": pa.array([["a"], None, []], pa.list_(pa.string()))})
    (tmp_path / "claims").mkdir()
    pq.write_table(table, tmp_path / "claims/1.parquet", use_compliant_nested_type=False)
    said, summary = annotate(table, store_schema=False)
    assert (said.status, summary["files"]["read"], summary["files"]["of_several_types"]) == (0, 2, []), said.err
    written = pq.ParquetFile(tmp_path / "out.parquet")
    assert {c.name: c.logical_type.type for c in map(written.schema.column, range(len(written.schema)))}["id"] == "UUID"
    assert written.read(["id", "list"]).to_pylist() == table.select(["id", "list"]).to_pylist() * 2


def test_a_month_without_amounts_or_descriptions_is_read_with_the_options_of_others(
    annotate: Annotate, tmp_path: Path
) -> None:
    month = pa.table(COLUMNS | {"paid": pa.nulls(3), "words": pa.nulls(3)})
    said, summary = annotate(month, options=["--amount", "paid", "--redact", "words"])
    assert said.status == 0, said.err
    assert sum(row["amount"] for row in summary["by_status"]) == 0
    assert pq.read_table(tmp_path / "out.parquet")["words"].to_pylist() == [None] * 3
