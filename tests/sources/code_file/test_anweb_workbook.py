"""The workbook: headers wherever they stand, rows of every year's shape, cells of every type."""

from __future__ import annotations

import datetime as dt
import io

import polars as pl
import pytest
import xlsxwriter
from made_up import record
from release_writer import WorkbookOptions, anweb_text, anweb_workbook, workbook_headings

from sources.code_file.records import Cells, typed_records
from sources.code_file.text import read_anweb_text
from sources.code_file.workbook import first_sheet, header_columns, read_anweb_workbook
from sources.errors import MemberError
from sources.findings import Finding

RECORDS = (
    record("TP", coverage_code="D", type_of_service_codes=("1", "9")),
    record(
        "A0080",
        long_description="Sample: " + "a word after another " * 12 + "end",
        pricing_indicators=("00", "57"),
        termination_date=dt.date(2019, 6, 30),
        anesthesia_base_units=0,
    ),
    record("V5364", crosswalk_targets=("A0080", "TP"), opps_date=dt.date(2011, 4, 1)),
)


def typed(member: str, cells: Cells) -> pl.DataFrame:
    return typed_records(member, cells)[0].drop("source_line")


EXPECTED = typed("sample.txt", read_anweb_text("sample.txt", anweb_text(RECORDS))[0])


def sheet(rows: list[list[object]]) -> bytes:
    """A workbook of one sheet with these cells."""
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer) as book:
        page = book.add_worksheet("Sample")
        day = book.add_format({"num_format": "mm/dd/yyyy"})
        for r, row in enumerate(rows):
            for c, cell in enumerate(row):
                page.write(r, c, cell, *([day] if isinstance(cell, dt.date) else []))
    return buffer.getvalue()


HEADER: list[object] = ["HCPC", "SEQNUM", "RECID", "LONG DESCRIPTION", "SHORT DESCRIPTION"]
HEADER += ["ADD DT", "TERM DT", "ACTION CD"]


def row(code: str = "V5364", record_id: object = "3", added: object = "20100101") -> list[object]:
    return [code, "0010", record_id, "Sample: a look", "Sample look", added, "", "N"]


@pytest.mark.parametrize(
    "options",
    [
        WorkbookOptions(headings="old", rows="record"),
        WorkbookOptions(rows="record"),
        WorkbookOptions(),
        WorkbookOptions(header_row=8, split_codes=("A0080",)),
        WorkbookOptions(header_row=11),
        WorkbookOptions(blanks="empty", empty_rows=500),
        WorkbookOptions(sheet_name="PUF"),
    ],
    ids=["2011", "2013", "2016", "2019", "2020", "2023, with empty rows", "another sheet name"],
)
def test_every_years_workbook_gives_what_the_text_gives(options: WorkbookOptions) -> None:
    cells, findings = read_anweb_workbook("sample.xlsx", anweb_workbook(RECORDS, options=options))
    assert findings == []
    assert typed("sample.xlsx", cells).equals(EXPECTED)


def test_a_record_knows_the_row_it_stands_on() -> None:
    data = anweb_workbook(RECORDS, options=WorkbookOptions(header_row=8, split_codes=("A0080",)))
    cells, _ = read_anweb_workbook("sample.xlsx", data)
    # TP stands right below the header, A0080 takes four rows as its text takes four lines of 80.
    assert dict(cells.rows.select("code", "source_line").iter_rows()) == {"TP": 9, "A0080": 10, "V5364": 14}


def test_dates_as_numbers_are_dates() -> None:
    options = WorkbookOptions(numeric_dates=("TP", "A0080", "V5364"))
    cells, _ = read_anweb_workbook("sample.xlsx", anweb_workbook(RECORDS, options=options))
    assert typed("sample.xlsx", cells).equals(EXPECTED)


@pytest.mark.parametrize("cell", [20100101, 20100101.0, dt.date(2010, 1, 1), 40179, "01/01/2010"])
def test_a_date_cell_of_any_type_is_read(cell: object) -> None:
    cells, _ = read_anweb_workbook("x.xlsx", sheet([HEADER, row(added=cell)]))
    assert typed("x.xlsx", cells)["added_date"].to_list() == [dt.date(2010, 1, 1)]


def test_a_record_id_as_a_number_is_a_record_id() -> None:
    cells, findings = read_anweb_workbook("x.xlsx", sheet([HEADER, row(record_id=3), row("A1", 7)]))
    assert dict(cells.rows.select("code", "kind").iter_rows()) == {"V5364": "procedure", "A1": "modifier"}
    assert findings == [] or {f.finding for f in findings} == {"absent_column"}


def test_headings_are_known_without_case_spaces_and_punctuation() -> None:
    names = [
        [" hcpc ", "Seq-Num", "rec id", "long_description", "Short  Description", "Add. Dt", "term dt", "Action_Cd"]
    ]
    found = header_columns(first_sheet("x.xlsx", sheet([[], ["Sample words"], *names])))
    assert found is not None
    header, columns = found
    assert header == 2 and columns["added_date"] == 5 and len(columns) == 8


def test_all_of_cmss_headings_are_known() -> None:
    for form, without_field in (("old", 1), ("new", 0)):
        headings = list(workbook_headings(form))  # type: ignore[arg-type]
        found = header_columns(first_sheet("x.xlsx", sheet([headings])))  # type: ignore[list-item]
        assert found is not None
        # FILLER is the one column that is no field.
        assert len(found[1]) == len(headings) - without_field == 48


def test_an_unknown_column_is_left_out_with_a_warning() -> None:
    _, findings = read_anweb_workbook("x.xlsx", sheet([[*HEADER, "NEW THING"], [*row(), "x"]]))
    (found,) = [f for f in findings if f.finding == "unknown_column"]
    assert (found.severity, found.line, found.raw_value) == ("warning", 1, "NEW THING")


def test_absent_columns_are_null_and_named() -> None:
    cells, findings = read_anweb_workbook("x.xlsx", sheet([HEADER, row()]))
    (found,) = [f for f in findings if f.finding == "absent_column"]
    assert "betos_code" in found.message and found.severity == "warning"
    assert typed("x.xlsx", cells)["betos_code"].to_list() == [None]


@pytest.mark.parametrize("heading", ["HCPC", "RECID", "TERM DT", "ACTION CD", "LONG DESCRIPTION"])
def test_without_a_column_it_needs_it_is_no_code_file(heading: str) -> None:
    header: list[object] = ["WORD" if h == heading else h for h in HEADER]
    with pytest.raises(MemberError, match="no header"):
        read_anweb_workbook("x.xlsx", sheet([header, row()]))


def test_what_is_no_workbook_is_refused_by_name() -> None:
    with pytest.raises(MemberError, match=r"x\.xlsx cannot be read as a workbook"):
        read_anweb_workbook("x.xlsx", b"PK\x03\x04 and then nothing")


def errors(rows: list[list[object]]) -> list[Finding]:
    return [f for f in read_anweb_workbook("x.xlsx", sheet([HEADER, *rows]))[1] if f.severity == "error"]


def test_another_record_id_is_refused_by_row_and_value() -> None:
    (found,) = errors([row("A1", "7"), row(record_id="5")])
    assert (found.line, found.raw_value, found.code) == (3, "5", "V5364")
    assert found.message == "record id 5 is none of 3, 4, 7, 8"


def test_a_code_without_a_record_id_is_refused() -> None:
    (found,) = errors([row(record_id=""), row("A1", "7")])
    assert (found.line, found.raw_value, found.message) == (2, "V5364", "a row without a record id")


def test_a_record_id_without_a_code_is_refused() -> None:
    (found,) = errors([row(""), row()])
    assert (found.line, found.message) == (2, "a row without a code")


def test_words_below_the_table_are_left_out_with_a_warning() -> None:
    rows = [row(), ["Sample: the end of the list, with thanks"]]
    cells, findings = read_anweb_workbook("x.xlsx", sheet([HEADER, *rows]))
    assert cells.rows["code"].to_list() == ["V5364"]
    assert [(f.severity, f.line) for f in findings if f.finding == "not_a_record"] == [("warning", 3)]


def test_a_continuation_needs_a_record_of_its_code() -> None:
    (found,) = errors([row(), row("A0080", "4")])
    assert (found.finding, found.line, found.code) == ("continuation_without_record", 3, "A0080")


def test_a_sheet_with_a_header_and_nothing_else_holds_no_records() -> None:
    assert [f.finding for f in errors([])] == ["no_records"]


#: Codes and modifiers of the releases that come as a workbook, as the issue counted them from the bytes.
COUNTS = {
    "2011-01": (5410, 316),
    "2012-01": (5507, 314),
    "2016-01": (5956, 337),
    "2017-01": (6155, 343),
    "2019-01": (6440, 360),
    "2020-04": (6728, 369),
    "2020-10": (6825, 371),
    "2023-01": (7404, 381),
    "2025-01": (8259, 383),
    "2025-10": (8463, 383),
}


@pytest.mark.parametrize("release_id", COUNTS)
def test_real_workbooks_give_the_codes_that_the_issue_counted(
    real_members: dict[str, dict[str, bytes]], release_id: str
) -> None:
    books = {n: d for n, d in real_members[release_id].items() if n.endswith((".xls", ".xlsx"))}
    (name,) = (n for n, d in books.items() if header_columns(first_sheet(n, d)) is not None)
    cells, findings = read_anweb_workbook(name, books[name])
    counted = dict(cells.rows["kind"].value_counts().iter_rows())
    assert (counted["procedure"], counted["modifier"]) == COUNTS[release_id]
    assert not [f for f in findings if f.severity == "error"]
