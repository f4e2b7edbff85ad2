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
TEXT, DICTIONARY = pa.string(), pa.dictionary(pa.int32(), pa.string())
WIDE_DICTIONARY = pa.dictionary(pa.int8(), pa.large_string())
IDS = pa.array([uuid.UUID(int=n).bytes for n in range(3)], pa.uuid())


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
    ],
)
def test_types_that_fit_together_are_read_as_one_and_reported(
    annotate: Callable[..., Any], tmp_path: Path, column: str, other: pa.Array, read_as: pa.DataType, is_first: bool
) -> None:
    usual, odd = pa.table(COLUMNS), pa.table(COLUMNS | {column: other})
    said, summary = annotate(*((odd, usual) if is_first else (usual, odd)))
    assert said.status == 0, said.err
    out = pq.read_table(tmp_path / "out.parquet", columns=list(COLUMNS))
    assert out.schema.field(column).type == read_as
    values = [other.to_pylist(), COLUMNS[column].to_pylist()]
    expected = [v for each in (values if is_first else values[::-1]) for v in each]
    assert out[column].to_pylist() == expected
    (reported,) = summary["files"]["of_several_types"] or [{"name": column, "read_as": str(read_as)}]
    assert (reported["name"], reported["read_as"]) == (column, str(read_as))
    assert bool(summary["files"]["of_several_types"]) == (other.type != pa.string_view())
    valid = sum(row["lines"] for row in summary["by_status"] if row["name"] == "valid")
    assert valid == (1 if column == "day" else 2)


@pytest.mark.parametrize("out", ["out.parquet", "out"])
def test_columns_in_another_order_or_never_null_are_the_same_columns(
    annotate: Callable[..., Any], tmp_path: Path, out: str
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
        (pa.table(COLUMNS | {"n": pa.array(["1", "2", "3"])}), "'n' is string, and int64 in 0.parquet"),
        (pa.table(COLUMNS).drop_columns("n"), "'n' is not there, and int64 in 0.parquet"),
        (pa.table(COLUMNS).append_column("more", pa.nulls(3)), "'more' is null, and not there in 0.parquet"),
        (pa.table(COLUMNS | {"code": COLUMNS["code"].cast("binary")}), "'code' is binary, and string in 0.parquet"),
    ],
)
def test_what_does_not_fit_is_refused_with_the_way_out(
    annotate: Callable[..., Any], tmp_path: Path, table: pa.Table, what: str
) -> None:
    said, _ = annotate(pa.table(COLUMNS), table)
    assert said.status == 1
    assert f"1.parquet does not have the columns of 0.parquet: {what}; name files that are alike" in said.err
    assert not (tmp_path / "out.parquet").exists()


def test_a_number_that_the_common_type_cannot_hold_is_refused(annotate: Callable[..., Any], tmp_path: Path) -> None:
    large = pa.table(COLUMNS | {"n": pa.array([(1 << 60) + 1, 2, 3])})
    said, _ = annotate(large, pa.table(COLUMNS | {"n": pa.array([1.0, None, 3.0])}))
    assert said.status == 1
    assert "0.parquet: cannot be read: column 'n' as double: Integer value 1152921504606846977" in said.err
    assert not (tmp_path / "out.parquet").exists()


@pytest.mark.parametrize("files", [[0, 3], [3, 0, 3], [0, 0]], ids=str)
def test_months_without_a_row_group_have_no_lines(
    annotate: Callable[..., Any], tmp_path: Path, files: list[int]
) -> None:
    said, summary = annotate(*(pa.table(COLUMNS).slice(0, lines) for lines in files))
    assert (said.status, summary.get("lines")) == (0, sum(files)), said.err
    expected = pa.table(COLUMNS).to_pylist() * files.count(3)
    assert pq.read_table(tmp_path / "out.parquet", columns=list(COLUMNS)).to_pylist() == expected


@pytest.mark.parametrize("files", [["n", "twice"], ["twice", "n"]])
def test_a_name_that_only_some_files_have_twice_is_refused(annotate: Callable[..., Any], files: list[str]) -> None:
    table = pa.table(COLUMNS)
    said, _ = annotate(*(table if name == "n" else table.append_column("n", table["n"]) for name in files))
    assert said.status == 1
    assert f"{files.index('twice')}.parquet has several columns named 'n'; rename all but one" in said.err


def test_uuids_and_lists_of_any_program_stay_what_they_are(annotate: Callable[..., Any], tmp_path: Path) -> None:
    table = pa.table(COLUMNS | {"id": IDS, "list": pa.array([["a"], None, []], pa.list_(pa.string()))})
    (tmp_path / "claims").mkdir()
    pq.write_table(table, tmp_path / "claims/1.parquet", use_compliant_nested_type=False)
    said, summary = annotate(table, store_schema=False)
    assert (said.status, summary["files"]["read"], summary["files"]["of_several_types"]) == (0, 2, []), said.err
    written = pq.ParquetFile(tmp_path / "out.parquet")
    assert {c.name: c.logical_type.type for c in map(written.schema.column, range(len(written.schema)))}["id"] == "UUID"
    assert written.read(["id", "list"]).to_pylist() == table.select(["id", "list"]).to_pylist() * 2


def test_a_month_without_amounts_or_descriptions_is_read_with_the_options_of_others(
    annotate: Callable[..., Any], tmp_path: Path
) -> None:
    month = pa.table(COLUMNS | {"paid": pa.nulls(3), "words": pa.nulls(3)})
    said, summary = annotate(month, options=["--amount", "paid", "--redact", "words"])
    assert said.status == 0, said.err
    assert sum(row["amount"] for row in summary["by_status"]) == 0
    assert pq.read_table(tmp_path / "out.parquet")["words"].to_pylist() == [None] * 3
