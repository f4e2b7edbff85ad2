"""Rules of the workbook: texts are texts, dates are dates, nothing is a formula, and Excel's bounds are stated."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pyarrow
import pytest
from conftest import REPOSITORY, Said, Version
from engines import engines_python

from hcpcs.errors import HcpcsError
from hcpcs.export.registry import export, formats
from hcpcs.version import Version as PublishResult

READ = """
import json, sys, openpyxl
book = openpyxl.load_workbook(sys.argv[1])
print(json.dumps({
    sheet.title: {
        "frozen": sheet.freeze_panes, "filter": sheet.auto_filter.ref,
        "types": sorted({cell.data_type for row in sheet.iter_rows() for cell in row}),
        "rows": [[cell.value.date().isoformat() if cell.is_date else cell.value for cell in row]
                 for row in sheet.iter_rows()],
    }
    for sheet in book
}))
"""


def read(file: Path) -> dict:
    done = subprocess.run([engines_python("openpyxl"), "-c", READ, file], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def file(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("excel") / "hcpcs.xlsx"
    command = [REPOSITORY / ".venv" / "bin" / "hcpcs", "export", "--excel", target, "--version", sample.folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return target


def test_openpyxl_reads_what_the_tables_have(sample: Version, file: Path) -> None:
    book = read(file)
    assert list(book) == ["notice", "codes", "hcpcs_history", "hcpcs_changes", "data_dictionary", "licenses"]
    for name in ("hcpcs_history", "hcpcs_changes", "data_dictionary", "licenses"):
        stored = sample.open(name)
        header, *rows = book[name]["rows"]
        assert header == stored.columns
        assert len(rows) == stored.height
        assert (book[name]["frozen"], book[name]["filter"].split(":")[0]) == ("A2", "A1")
        assert book[name]["filter"].endswith(str(stored.height + 1))
    header, *rows = book["hcpcs_history"]["rows"]
    stored = sample.open("hcpcs_history")
    for column in ("code", "valid_from", "valid_to", "observed_gap", "episode"):
        expected = [d.isoformat() if hasattr(d, "isoformat") else d for d in stored[column]]
        assert [row[header.index(column)] for row in rows] == expected
    pricing = [row[header.index("pricing_indicators")] for row in rows]
    assert pricing == [", ".join(codes) or None for codes in stored["pricing_indicators"]]
    assert "00" in pricing
    assert all("f" not in sheet["types"] for sheet in book.values())


def test_codes_are_those_in_effect_on_the_newest_releases_day(sample: Version, file: Path) -> None:
    header, *rows = read(file)["codes"]["rows"]
    day = sample.open("hcpcs_releases")["effective_date"].max()
    in_effect = sample.open("hcpcs_history").filter(
        pl.col("valid_from") <= day, pl.col("valid_to").is_null() | (pl.col("valid_to") >= day)
    )
    found = {(row[header.index("kind")], row[header.index("code")]) for row in rows}
    assert found == set(in_effect.select("kind", "code").iter_rows())
    assert len(found) == len(rows) == in_effect.height
    wheelchair = dict(zip(header, next(row for row in rows if row[1] == "K0001"), strict=True))
    assert wheelchair["section"] == "Durable medical equipment, for Medicare's equipment contractors"
    physical_status = dict(zip(header, next(row for row in rows if row[1] == "P3"), strict=True))
    assert physical_status["long_description"] is None and physical_status["redistribution"] == "withheld"


def test_a_sheet_has_the_notices(sample: Version, file: Path) -> None:
    lines = [row[0] for row in read(file)["notice"]["rows"]]
    assert set(sample.open("licenses")["notice"]) <= set(lines)
    assert "Cut to the 32,767 characters of a cell: none." in lines


def test_texts_that_look_like_formulas_numbers_and_links_stay_texts_and_the_longest_is_cut(
    sample: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    odd = ["=1+1", "00", "5E1", "https://example.org", "-2", "@x", "+1", "\t=1", "_x0041_", "x" * 40_000]
    give_rows(monkeypatch, "data_dictionary", pyarrow.table({"odd": odd}))
    export(PublishResult(sample.folder), formats()["excel"], tmp_path / "odd.xlsx")
    book = read(tmp_path / "odd.xlsx")
    assert [row[0] for row in book["data_dictionary"]["rows"]] == ["odd", *odd[:-1], "x" * 32_767]
    assert book["data_dictionary"]["types"] == ["s"]
    notice = [row[0] for row in book["notice"]["rows"]]
    assert "Cut to the 32,767 characters of a cell: data_dictionary row 11 odd." in notice


def test_more_rows_than_a_sheet_takes_is_an_error_that_names_the_table(
    sample: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    give_rows(monkeypatch, "data_dictionary", pyarrow.table({"x": pyarrow.nulls(1_048_576, pyarrow.string())}))
    with pytest.raises(HcpcsError, match=r"data_dictionary has 1,048,576 rows.*1,048,575.*--csv"):
        export(PublishResult(sample.folder), formats()["excel"], tmp_path / "odd.xlsx")
    assert list(tmp_path.iterdir()) == []


def give_rows(monkeypatch: pytest.MonkeyPatch, name: str, rows: pyarrow.Table) -> None:
    """A version has other rows in one table."""
    table = PublishResult.table
    monkeypatch.setattr(PublishResult, "table", lambda self, n, *rest: rows if n == name else table(self, n, *rest))


def test_without_xlsxwriter_the_error_names_the_extra(
    sample: Version, tmp_path: Path, hcpcs: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "xlsxwriter", None)
    said = hcpcs("export", "--excel", tmp_path / "hcpcs.xlsx", "--version", sample.folder)
    assert (said.status, said.out) == (1, "")
    assert "pip install 'hcpcs[excel]'" in said.err
    assert list(tmp_path.iterdir()) == []
