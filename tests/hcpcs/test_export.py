"""Rules of exporting: the same rows, with what they mean, and nothing overwritten."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path

import duckdb
import polars as pl
import pytest
from conftest import Version

from hcpcs.errors import HcpcsError
from hcpcs.export.registry import ExportExists, export, formats
from hcpcs.version import Version as PublishedVersion
from schemas.registry import contracts


@pytest.fixture(scope="module")
def database(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("export") / "hcpcs.duckdb"
    assert set(write(sample.folder, "duckdb", file)) == {*contracts(), "version_manifest", "license_notice"}
    return file


def test_an_export_ends_without_a_word_of_the_library(sample: Version, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "hcpcs.cli.main", "export", "--duckdb", tmp_path / "hcpcs.duckdb"]
    done = subprocess.run([*command, "--outputs", sample.outputs.folder], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr, len(done.stdout.splitlines())) == (0, "", 1)


def test_the_database_holds_every_table_with_its_rows(sample: Version, database: Path) -> None:
    with duckdb.connect(str(database), read_only=True) as connection:
        for table in contracts():
            exported = connection.sql(f"from {table}").pl()
            stored = sample.open(table)
            assert exported.height == stored.height
            assert exported.columns == stored.columns
        codes = connection.sql("from hcpcs_codes").pl()
        assert codes.equals(sample.open("hcpcs_codes"))


def test_tables_and_columns_carry_their_descriptions(database: Path) -> None:
    with duckdb.connect(str(database), read_only=True) as connection:
        tables = dict(connection.execute("select table_name, comment from duckdb_tables()").fetchall())
        columns = connection.execute("select table_name, column_name, comment from duckdb_columns()").fetchall()
    told = {(t, c): comment for t, c, comment in columns}
    for table, contract in contracts().items():
        assert tables[table] == contract.description
        for column in contract.columns:
            assert told[table, column.name] == column.description


def test_as_of_gives_the_span_that_holds_on_a_day_and_no_code_twice(sample: Version, database: Path) -> None:
    history = sample.open("hcpcs_history")
    day = history["valid_to"].drop_nulls().min()
    holds = (pl.col("valid_from") <= day) & (pl.col("valid_to").is_null() | (pl.col("valid_to") >= day))
    expected = history.filter(holds)
    with duckdb.connect(str(database), read_only=True) as connection:
        found = connection.sql("from hcpcs_on(?::date) order by kind, code", params=[day]).pl()
        today = connection.execute("select count(*), count(distinct (kind, code)) from hcpcs_today").fetchone()
        version = connection.execute("select manifest->>'$.build.version' from version_manifest").fetchone()
    assert found.height == expected.height > 0
    assert found.select("kind", "code").is_unique().all()
    assert today is not None and today[0] == today[1] > 0
    assert version == (sample.id,)


def test_csv_tells_null_from_empty_and_lists_as_json(sample: Version, tmp_path: Path) -> None:
    written = write(sample.folder, "csv", tmp_path / "csv")
    assert [name for name in written if name.endswith(".csv")] == [f"{table}.csv" for table in sorted(contracts())]
    assert sorted(written) == sorted(files_of(tmp_path / "csv"))
    with (tmp_path / "csv" / "hcpcs_codes.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    stored = sample.open("hcpcs_codes")
    assert [r["code"] for r in rows] == stored["code"].to_list()
    assert [json.loads(r["pricing_indicators"]) for r in rows] == stored["pricing_indicators"].to_list()
    assert [r["added_date"] for r in rows] == [d.isoformat() if d else "" for d in stored["added_date"]]


def test_nothing_is_overwritten_unless_asked(sample: Version, tmp_path: Path) -> None:
    file = tmp_path / "mine.duckdb"
    file.write_text("mine")
    with pytest.raises(ExportExists):
        write(sample.folder, "duckdb", file)
    assert file.read_text() == "mine"
    write(sample.folder, "duckdb", file, overwrite=True)
    assert file.stat().st_size > 1000
    write(sample.folder, "csv", tmp_path / "csv")
    before = files_of(tmp_path / "csv")
    with pytest.raises(ExportExists, match="--overwrite replaces it"):
        write(sample.folder, "csv", tmp_path / "csv")
    (tmp_path / "csv" / "old.csv").write_text("of another version")
    write(sample.folder, "csv", tmp_path / "csv", overwrite=True)
    assert files_of(tmp_path / "csv") == before
    with pytest.raises(ExportExists, match="is a folder"):
        write(sample.folder, "duckdb", tmp_path / "csv", overwrite=True)
    with pytest.raises(HcpcsError, match="is not a version"):
        write(tmp_path, "csv", tmp_path / "more")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["csv", "mine.duckdb"]


def test_an_export_that_fails_or_is_refused_leaves_what_was_there(sample: Version, tmp_path: Path) -> None:
    target = tmp_path / "csv"
    write(sample.folder, "csv", target)
    before = sorted(p.name for p in target.iterdir())

    def refuse(partial: Path) -> None:
        assert sorted(p.name for p in partial.iterdir()) == before
        raise HcpcsError("refused")

    with pytest.raises(HcpcsError, match="refused"):
        export(PublishedVersion(sample.folder), formats()["csv"], target, overwrite=True, check=refuse)
    assert sorted(p.name for p in target.iterdir()) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["csv"]


def files_of(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def write(folder: Path, form: str, target: Path, **options: bool) -> list[str]:
    return export(PublishedVersion(folder), formats()[form], target, **options)


def test_only_an_export_is_replaced(hcpcs, sample: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a folder that no export made, as the current one, nothing is removed."""
    (tmp_path / "mine.txt").write_text("mine")
    monkeypatch.chdir(tmp_path)
    for place in (".", tmp_path):
        said = hcpcs("export", "--csv", place, "--overwrite", "--outputs", sample.outputs.folder)
        assert (said.status, "is no export" in said.err, [p.name for p in tmp_path.iterdir()]) == (
            1,
            True,
            ["mine.txt"],
        )


@pytest.mark.parametrize(
    ("place", "why"),
    [("s3://bucket/x", "s3://bucket/x: an export is a file or folder here"), ("{}/x", "lies in a version")],
)
def test_an_export_is_not_written_to_a_url_or_into_a_version(
    hcpcs, sample: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, place: str, why: str
) -> None:
    monkeypatch.chdir(tmp_path)
    said = hcpcs("export", "--csv", place.format(sample.folder), "--outputs", sample.outputs.folder)
    assert (said.status, why in said.err, list(tmp_path.iterdir())) == (1, True, []), said.err
    assert not (sample.folder / "x").exists()


def test_a_manifest_of_others_above_an_export_is_no_version(hcpcs, sample: Version, tmp_path: Path) -> None:
    (tmp_path / "manifest.json").write_text('{"name": "app"}')
    said = hcpcs("export", "--sqlite", tmp_path / "x", "--outputs", sample.outputs.folder)
    assert (said.status, (tmp_path / "x").is_dir()) == (0, True), said.err


def test_the_open_tier_is_not_exported_as_the_restricted_one(hcpcs, sample: Version, tmp_path: Path) -> None:
    said = hcpcs("export", "--csv", tmp_path / "x", "--tier", "restricted", "--outputs", sample.outputs.folder)
    assert (said.status, "is of the tier open, not restricted" in said.err) == (1, True), said.err
    assert not (tmp_path / "x").exists()
