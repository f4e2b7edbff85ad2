"""Which files of claims are read, and into which they go: none twice, none lost without a word."""

from __future__ import annotations

import datetime as dt
import gzip
import json
import os
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Said
from small_version import SPANS, write_version

CSV = "code,dos\nJ1100,2019-01-05\n"
Annotate = Callable[..., tuple[Said, Path]]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_version(tmp_path_factory.mktemp("version"), SPANS)


@pytest.fixture
def annotate(hcpcs: Callable[..., Said], tmp_path: Path, version: Path) -> Annotate:
    def call(claims: Path | str, *options: str) -> tuple[Said, Path]:
        out = tmp_path / "out"
        shutil.rmtree(out, ignore_errors=True)
        said = hcpcs("annotate", claims, out, "--code", "code", "--date", "dos", "--version", version, *options)
        assert "Traceback" not in said.err
        assert out.exists() == (said.status == 0)
        return said, out

    return call


def table(*codes: str) -> pa.Table:
    return pa.table({"code": codes, "dos": [dt.date(2019, 1, 5)] * len(codes)})


def codes(out: Path) -> list[str]:
    return sorted(code for path in out.rglob("*.parquet") for code in pq.read_table(path)["code"].to_pylist())


@pytest.mark.parametrize(("pattern", "read"), [("c[1-2].csv", 2), ("c[!1].csv", 2), ("c[9-0]*.csv", 1), ("c[]?csv", 1)])
def test_brackets_are_characters_or_themselves(annotate: Annotate, tmp_path: Path, pattern: str, read: int) -> None:
    for name in ("c1.csv", "c2.csv", "c3.csv", "c[9-0].csv", "c[].csv"):
        (tmp_path / name).write_text(CSV)
    said, out = annotate(f"{tmp_path}/{pattern}")
    assert (said.status, codes(out)) == (0, ["J1100"] * read), said.err


def test_out_may_lie_beside_the_files_of_a_pattern(
    annotate: Annotate, hcpcs: Callable[..., Said], tmp_path: Path, version: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("c1.csv", "c2.csv"):
        Path(name).write_text(CSV)
    said, out = annotate("c*.csv")
    assert (said.status, codes(out)) == (0, ["J1100", "J1100"]), said.err
    usual = ("--code", "code", "--date", "dos", "--version", version)
    for pattern, place in (("c*", "claims"), ("*", "x/y.parquet"), ("**/c*.csv", "new"), ("*/*.csv", "new")):
        Path("below").mkdir(exist_ok=True)
        shutil.copy("c1.csv", "below/c1.csv")
        refused = hcpcs("annotate", pattern, place, *usual)
        is_below = place == "x/y.parquet"
        assert (refused.status, "is inside the claims" in refused.err) == ((0, False) if is_below else (1, True)), place


@pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
def test_a_pipe_or_a_device_is_no_file_of_claims(annotate: Annotate, tmp_path: Path, make: Callable[..., None]) -> None:
    make(tmp_path / "c.csv")
    said, _ = annotate(tmp_path / "c.csv")
    assert (said.status, "c.csv: claims are read from files, not from standard input, a pipe" in said.err) == (1, True)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("jan.csv", "jan.txt"),
        ("2019.csv", "2019.csv.gz"),
        ("p.parquet", "p.pq"),
        ("a/x.csv", "a/x.tsv"),
        ("J.csv", "j.txt"),
    ],
)
def test_two_inputs_never_write_one_output(annotate: Annotate, tmp_path: Path, one: str, other: str) -> None:
    for name, code in ((one, "J1100"), (other, "99213")):
        path = tmp_path / "in" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        text = CSV.replace("J1100", code).encode()
        if path.suffix in (".parquet", ".pq"):
            pq.write_table(table(code), path)
        else:
            path.write_bytes(gzip.compress(text) if path.suffix == ".gz" else text)
    said, out = annotate(tmp_path / "in")
    assert said.status == 0, said.err
    assert codes(out) == ["99213", "J1100"]
    names = [p.relative_to(out).as_posix().casefold() for p in out.rglob("*.parquet")]
    assert len(set(names)) == 2


def test_files_left_out_are_counted_and_named(annotate: Annotate, tmp_path: Path) -> None:
    (tmp_path / "in").mkdir()
    for name in ("a.csv", "_SUCCESS", ".b.csv", "c.xlsx", "d.csv.bak"):
        (tmp_path / "in" / name).write_text(CSV, "utf-8")
    said, _ = annotate(tmp_path / "in", "--json")
    assert json.loads(said.out)["files"] == {
        "read": 1,
        "left_out": 4,
        "left_out_names": [
            {"name": ".b.csv", "why": "hidden"},
            {"name": "_SUCCESS", "why": "hidden"},
            {"name": "c.xlsx", "why": "ending .xlsx"},
            {"name": "d.csv.bak", "why": "ending .bak"},
        ],
        "of_several_types": [],
        "not_in_all": [],
    }
    said, _ = annotate(tmp_path / "in" / "*.xlsx")
    assert said.status == 1
    assert "no Parquet or CSV file; 1 others: c.xlsx (ending .xlsx)" in said.err


def test_a_file_named_by_itself_is_read_by_what_it_is(annotate: Annotate, tmp_path: Path) -> None:
    pq.write_table(table("J1100"), tmp_path / "claims")
    said, out = annotate(tmp_path / "claims")
    assert (said.status, codes(out)) == (0, ["J1100"])


def test_an_export_without_a_known_ending_is_text(annotate: Annotate, tmp_path: Path) -> None:
    (tmp_path / "claims.dat").write_text(CSV.replace(",", "|"), "utf-8")
    said, out = annotate(tmp_path / "claims.dat")
    assert (said.status, codes(out)) == (0, ["J1100"])


@pytest.mark.parametrize(
    ("content", "kind"),
    [(b"PK\x03\x04", "a zip"), (b"", "empty"), (CSV.encode(), "perhaps delimited text"), (b'{"a": 1}', "JSON")],
)
def test_what_is_no_parquet_is_refused_by_what_it_is(
    annotate: Annotate, tmp_path: Path, content: bytes, kind: str
) -> None:
    (tmp_path / "c.parquet").write_bytes(content)
    said, _ = annotate(tmp_path / "c.parquet")
    assert (said.status, "c.parquet" in said.err, f"not a Parquet file but {kind}" in said.err) == (1, True, True)


# Tables with a log


@pytest.fixture
def delta(tmp_path: Path) -> Path:
    """A table of Delta Lake with a file that its log removed."""
    folder = tmp_path / "lake"
    deltalake.write_deltalake(folder, table("J1100", "99213"))
    deltalake.write_deltalake(folder, table("J1100", "G0008", "A4450"), mode="overwrite")
    return folder


def test_delta_lake_is_read_as_its_log_says(annotate: Annotate, delta: Path) -> None:
    said, out = annotate(delta, "--json")
    assert codes(out) == ["A4450", "G0008", "J1100"]
    summary = json.loads(said.out)
    assert (summary["lines"], summary["files"]["left_out"]) == (3, 1)
    assert summary["files"]["left_out_names"][0]["why"] == "not in the current state of Delta Lake"


def test_a_log_written_by_hand_is_read_too(annotate: Annotate, tmp_path: Path) -> None:
    log = tmp_path / "lake" / "_delta_log"
    log.mkdir(parents=True)
    fields = [
        {"name": n, "type": t, "nullable": True, "metadata": {}} for n, t in (("code", "string"), ("dos", "date"))
    ]
    schema = json.dumps({"type": "struct", "fields": fields})
    metadata = {"id": "x", "format": {"provider": "parquet", "options": {}}, "schemaString": schema}
    start: list[dict[str, Any]] = [
        {"protocol": {"minReaderVersion": 1, "minWriterVersion": 2}},
        {"metaData": metadata | {"partitionColumns": [], "configuration": {}, "createdTime": 0}},
    ]

    def add(path: str, *given: str) -> dict[str, Any]:
        pq.write_table(table(*given), log.parent / path)
        size = (log.parent / path).stat().st_size
        added = {"path": path, "partitionValues": {}, "size": size, "modificationTime": 0, "dataChange": True}
        return {"add": added}

    first = [*start, add("old.parquet", "J1100")]
    removed = {"path": "old.parquet", "deletionTimestamp": 0, "dataChange": True}
    second = [{"remove": removed}, add("new.parquet", "J1100", "G0008")]
    for number, actions in enumerate((first, second)):
        (log / f"{number:020}.json").write_text("\n".join(json.dumps(a) for a in actions), "utf-8")
    said, out = annotate(log.parent)
    assert said.status == 0, said.err
    assert codes(out) == ["G0008", "J1100"]


@pytest.mark.parametrize("named", ["lake/*.parquet", "."])
def test_a_part_of_a_table_or_more_than_one_is_refused(
    annotate: Annotate, delta: Path, tmp_path: Path, named: str
) -> None:
    said, _ = annotate(f"{tmp_path}/{named}")
    assert (said.status, "is a table with a log" in said.err, "lake" in said.err) == (1, True, True)


@pytest.mark.parametrize("module", ["deltalake", "pyiceberg.table"])
def test_without_the_extra_a_table_is_refused_with_a_hint(
    annotate: Annotate, delta: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    if module != "deltalake":
        (delta / "_delta_log").rename(delta / "metadata")
        (delta / "metadata" / "v1.metadata.json").write_text("{}", "utf-8")
    said, _ = annotate(delta)
    assert (said.status, "install hcpcs[lake]" in said.err) == (1, True)


def test_rows_deleted_by_vectors_are_refused(annotate: Annotate, delta: Path) -> None:
    log = delta / "_delta_log"
    last = log / "00000000000000000001.json"
    actions = [json.loads(line) for line in last.read_text("utf-8").splitlines()]
    for action in actions:
        if "add" in action:
            vector = {"storageType": "u", "pathOrInlineDv": "ab^-aqEH.-t@S}K{vb[*k^", "offset": 4, "sizeInBytes": 40}
            action["add"]["deletionVector"] = vector | {"cardinality": 1}
    features = {"readerFeatures": ["deletionVectors"], "writerFeatures": ["deletionVectors"]}
    protocol = {"protocol": {"minReaderVersion": 3, "minWriterVersion": 7, **features}}
    last.write_text("\n".join(json.dumps(a) for a in [protocol, *actions]), "utf-8")
    said, _ = annotate(delta)
    assert said.status == 1, said.out
    assert str(delta) in said.err


def test_a_delta_table_that_grew_a_column_is_read(annotate: Annotate, delta: Path) -> None:
    more = table("A0428").append_column("mod", pa.array(["RH"]))
    deltalake.write_deltalake(delta, more, mode="append", schema_mode="merge")
    said, out = annotate(delta)
    assert said.status == 0, said.err
    rows = [row for path in out.rglob("*.parquet") for row in pq.read_table(path).to_pylist()]
    assert {row["code"]: row["mod"] for row in rows} == {"A4450": None, "G0008": None, "J1100": None, "A0428": "RH"}


def test_an_iceberg_table_with_a_renamed_column_is_refused(annotate: Annotate, tmp_path: Path) -> None:
    from pyiceberg.catalog.memory import InMemoryCatalog

    catalog = InMemoryCatalog("made_up", warehouse=f"file://{tmp_path}/warehouse")
    catalog.create_namespace("claims")
    first = table("J1100").append_column("mod", pa.array(["RT"]))
    made = catalog.create_table("claims.lines", first.schema)
    made.append(first)
    with made.update_schema() as schema:
        schema.rename_column("mod", "modifier")
    made.append(first.rename_columns(["code", "dos", "modifier"]))
    said, _ = annotate(made.location().removeprefix("file://"))
    assert (said.status, "export the table's current state to Parquet" in said.err) == (1, True), said.err


def test_iceberg_is_read_as_its_log_says(annotate: Annotate, tmp_path: Path) -> None:
    from pyiceberg.catalog.memory import InMemoryCatalog

    catalog = InMemoryCatalog("made_up", warehouse=f"file://{tmp_path}/warehouse")
    catalog.create_namespace("claims")
    made = catalog.create_table("claims.lines", table("J1100").schema)
    made.append(table("J1100", "99213"))
    made.overwrite(table("J1100", "G0008", "A4450"))
    said, out = annotate(made.location().removeprefix("file://"))
    assert said.status == 0, said.err
    assert codes(out) == ["A4450", "G0008", "J1100"]
