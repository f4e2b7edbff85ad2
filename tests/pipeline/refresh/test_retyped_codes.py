"""A release that went through a spreadsheet, which took codes for numbers and days: through the command line."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import polars as pl
import pytest
import xlsxwriter
from conftest import Said, slow
from made_up import Posting, posting, record
from polars import read_excel
from release_writer import SampleRecord, anweb_text, anweb_workbook

from sources.code_file.record_layout import normalized_heading

#: Pricing, note, laboratory, cross-reference and manual, by the workbook's headings.
CODES: dict[str, object] = {
    "pricing_indicators": ["00"],
    "processing_note": "0069",
    "lab_certification_codes": ["010"],
    "crosswalk_targets": ["00104"],
    "coverage_manual_refs": ["30-1"],
}
#: Each cell as a spreadsheet has it after its codes were typed in again, or read as numbers by a program.
RETYPED: dict[str, dict[str, object]] = {
    "typed": {"PRICE1": 0, "PROC_NOTE": 69, "LABCERT1": 10, "XREF1": 104},
    "floats": {"PRICE1": 0.0, "PROC_NOTE": 69.0, "LABCERT1": 10.0, "XREF1": 104.0},
    "text": {"PRICE1": "0", "PROC_NOTE": "69.0", "LABCERT1": "10", "XREF1": "104.0"},
}


def records(count: int = 3) -> list[SampleRecord]:
    return [record(f"A{1000 + n}", **CODES) for n in range(count)]


def workbook(cells: dict[str, object], count: int = 3) -> bytes:
    """The workbook of the records with these cells by heading."""
    (sheet,) = read_excel(anweb_workbook(records(count)), engine="calamine", has_header=False, sheet_id=[1]).values()
    header, *rows = sheet.cast(pl.String).rows()
    columns = {normalized_heading(cell): at for at, cell in enumerate(header)}
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        written = book.add_worksheet()
        for number, row in enumerate([header, *rows]):
            for at, cell in enumerate(row):
                if cell is not None:
                    written.write_string(number, at, cell)
            for heading, value in cells.items() if number else ():
                write = written.write_string if isinstance(value, str) else written.write_number
                write(number, columns[normalized_heading(heading)], value)
    return buffer.getvalue()


def release(data: bytes, form: Literal["workbook", "both"] = "workbook", count: int = 3) -> Posting:
    members = {"HCPC2020_APR_ANWEB.xlsx": data}
    if form == "both":
        members["HCPC2020_APR_ANWEB.txt"] = anweb_text(records(count))
    return Posting(release_id="2020-04", name="anweb.zip", members=members)


@pytest.fixture
def outputs(tmp_path: Path) -> Path:
    return tmp_path / "outputs"


@pytest.mark.parametrize("how", ["typed", *slow("floats", "text")])
def test_codes_that_lost_their_zeros_are_read_with_a_finding_for_each_field(
    hcpcs: Callable[..., Said], outputs: Path, tmp_path: Path, how: str
) -> None:
    posting("2020-01", *records(), form="workbook").write(tmp_path / "offered")
    release(workbook(RETYPED[how])).write(tmp_path / "offered")
    said = hcpcs("refresh", "--from", tmp_path / "offered", "--outputs", outputs)
    assert (said.status, said.err) == (0, "")

    tables = outputs / "latest" / "open"
    read = pl.read_parquet(tables / "hcpcs_release_records.parquet")
    fields = [*CODES, "redistribution", "withheld_fields"]
    before, after = (
        read.filter(release_id=release_id).select("code", *fields) for release_id in ("2020-01", "2020-04")
    )
    assert after.equals(before)
    assert pl.read_parquet(tables / "hcpcs_changes.parquet").filter(release_id="2020-04").is_empty()
    found = pl.read_parquet(tables / "hcpcs_findings.parquet").filter(release_id="2020-04", finding="digits_lost")
    assert found["field"].value_counts().sort("field").rows() == [
        ("crosswalk_targets", 3),
        ("lab_certification_codes", 3),
        ("pricing_indicators", 3),
        ("processing_note", 3),
    ]
    assert set(found["severity"]) == {"warning"}
    assert set(found.filter(field="processing_note")["raw_value"]) <= {"69", "69.0"}


def test_a_retyped_workbook_beside_its_text_is_reported_and_contradicts_nothing(
    hcpcs: Callable[..., Said], outputs: Path, tmp_path: Path
) -> None:
    release(workbook(RETYPED["typed"]), "both").write(tmp_path / "offered")
    assert hcpcs("refresh", "--from", tmp_path / "offered", "--outputs", outputs).status == 0

    found = pl.read_parquet(outputs / "latest" / "open" / "hcpcs_findings.parquet")
    assert set(found["finding"]) == {"digits_lost"}
    assert set(found["member"]) == {"HCPC2020_APR_ANWEB.xlsx"}


@pytest.mark.parametrize("day", ["2025-01-30", *slow("1/30/2025", "30-Jan")])
def test_a_section_of_a_manual_that_became_a_day_is_null_with_a_finding(
    hcpcs: Callable[..., Said], outputs: Path, tmp_path: Path, day: str
) -> None:
    release(workbook({"CIM1": day})).write(tmp_path / "offered")
    assert hcpcs("refresh", "--from", tmp_path / "offered", "--outputs", outputs).status == 0

    tables = outputs / "latest" / "open"
    assert set(pl.read_parquet(tables / "hcpcs_codes.parquet")["coverage_manual_refs"].list.len()) == {0}
    found = pl.read_parquet(tables / "hcpcs_findings.parquet").filter(finding="retyped_value")
    assert found.select("field", "raw_value").unique().rows() == [("coverage_manual_refs", day)]


def test_a_release_whose_codes_have_no_form_of_cms_is_refused(
    hcpcs: Callable[..., Said], outputs: Path, tmp_path: Path
) -> None:
    release(workbook({"PRICE1": "'00"}, count=20), count=20).write(tmp_path / "offered")
    said = hcpcs("refresh", "--from", tmp_path / "offered", "--outputs", outputs)

    assert said.status == 1
    assert 'row 2 of HCPC2020_APR_ANWEB.xlsx: pricing_indicators "\'00" of A1000' in said.err
    assert not (outputs / "latest.json").exists()
