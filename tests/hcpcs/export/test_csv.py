"""Rules of the CSV export: Frictionless reads it by its descriptor, and formulas are counted and can be guarded."""

from __future__ import annotations

import csv
import json
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import duckdb
import pyarrow
import pyarrow.parquet
import pytest
from conftest import Said, Version
from engines import engines_python

#: Texts that a spreadsheet would run, and two that it would not.
FORMULAS = ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1+1", "\r=1+1", " =1+1", "＝1+1"]
PLAIN = ["a=1", "'=1"]

_TYPES = {"string": "varchar", "integer": "bigint", "number": "double", "boolean": "boolean", "date": "date"}


@pytest.fixture(scope="module")
def with_formulas(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    """The sample with texts that begin as formulas do, and the codes that have them."""
    folder = tmp_path_factory.mktemp("formulas") / "version"
    shutil.copytree(sample.folder, folder)
    path = folder / "open" / "hcpcs_codes.parquet"
    table = pyarrow.parquet.read_table(path)
    place, planted = table.schema.get_field_index("short_description"), [*FORMULAS, *PLAIN]
    texts = [*planted, *table["short_description"].to_pylist()[len(planted) :]]
    path.unlink()
    pyarrow.parquet.write_table(table.set_column(place, table.schema.field(place), pyarrow.array(texts)), path)
    return folder, table["code"].to_pylist()[: len(planted)]


def test_frictionless_calls_the_export_valid(sample: Version, tmp_path: Path, hcpcs: Callable[..., Said]) -> None:
    assert hcpcs("export", "--csv", tmp_path / "csv", "--version", sample.folder).status == 0
    frictionless = engines_python("frictionless").with_name("frictionless")
    command = [frictionless, "validate", "datapackage.json", "--json"]
    done = subprocess.run(command, cwd=tmp_path / "csv", capture_output=True, text=True, timeout=300, check=False)
    report = json.loads(done.stdout)
    assert (done.returncode, report["valid"], report["errors"]) == (0, True, [])
    rows = {task["name"]: task["stats"]["rows"] for task in report["tasks"]}
    assert rows == {path.stem: sample.open(path.stem).height for path in (sample.folder / "open").glob("*.parquet")}
    with (tmp_path / "csv" / "hcpcs_codes.csv").open("a", encoding="utf-8") as file:
        file.write("one field too few\n")
    done = subprocess.run(command, cwd=tmp_path / "csv", capture_output=True, text=True, timeout=300, check=False)
    assert (done.returncode, json.loads(done.stdout)["valid"]) == (1, False)


def test_every_value_comes_back_by_the_descriptors_types(
    sample: Version, tmp_path: Path, hcpcs: Callable[..., Said]
) -> None:
    assert hcpcs("export", "--csv", tmp_path / "csv", "--version", sample.folder).status == 0
    package = json.loads((tmp_path / "csv" / "datapackage.json").read_bytes())
    for resource in package["resources"]:
        fields = resource["schema"]["fields"]
        types = {f["name"]: _TYPES.get(f["type"], "json") for f in fields}
        whole = [f["name"] for f in fields if f.get("missingValues") == []]
        with duckdb.connect() as database:
            read = database.sql(
                "from read_csv(?, columns = ?, header = true, nullstr = '', force_not_null = ?,"
                " allow_quoted_nulls = false)",
                params=[str(tmp_path / "csv" / resource["path"]), types, whole],
            ).to_arrow_table()
        stored = sample.open(resource["name"])
        assert read.num_rows == stored.height
        for column in stored.columns:
            values = stored[column].to_list()
            found = read[column].to_pylist()
            if types[column] == "json":
                found = [None if text is None else json.loads(text) for text in found]
            assert found == values, (resource["name"], column)
    licenses = [x["path"] for r in (package, *package["resources"]) for x in r["licenses"]]
    assert licenses and all((tmp_path / "csv" / path).is_file() for path in licenses)


def test_formulas_are_counted_and_written_as_they_are_where_that_is_stated(
    with_formulas: tuple[Path, list[str]], tmp_path: Path, hcpcs: Callable[..., Said]
) -> None:
    folder, codes = with_formulas
    said = hcpcs("export", "--csv", tmp_path / "csv", "--csv-formulas", "keep", "--version", folder)
    assert said.status == 0
    assert short_descriptions(tmp_path / "csv")[: len(codes)] == [*FORMULAS, *PLAIN]
    notice = (tmp_path / "csv" / "NOTICE.txt").read_text("utf-8")
    assert f"reads as a formula: hcpcs_codes.short_description ({len(FORMULAS)}). Written as they are." in notice


def test_a_guard_stands_before_formulas_alone(
    with_formulas: tuple[Path, list[str]], sample: Version, tmp_path: Path, hcpcs: Callable[..., Said]
) -> None:
    folder, codes = with_formulas
    said = hcpcs("export", "--csv", tmp_path / "csv", "--version", folder)
    assert said.status == 0
    found = short_descriptions(tmp_path / "csv")
    assert found[: len(codes)] == [*(f"'{text}" for text in FORMULAS), *PLAIN]
    untouched = sample.open("hcpcs_codes")["short_description"].fill_null("").to_list()
    assert found[len(codes) :] == untouched[len(codes) :]
    assert "Written with an apostrophe in front." in (tmp_path / "csv" / "NOTICE.txt").read_text("utf-8")
    for path in (tmp_path / "csv").glob("*.csv"):
        numbers = {n for n, t in sample.open(path.stem).schema.items() if t.is_numeric()}
        with path.open(encoding="utf-8", newline="") as file:
            for row in csv.DictReader(file):
                assert not any(text[:1] in tuple("=+-@\t\r") for c, text in row.items() if c not in numbers)


def short_descriptions(folder: Path) -> list[str]:
    with (folder / "hcpcs_codes.csv").open(encoding="utf-8", newline="") as file:
        return [row["short_description"] for row in csv.DictReader(file)]
