"""``hcpcs check``: a list of codes against the published sample."""

from __future__ import annotations

import csv
import io
import json
import sys

import pytest
import xlsxwriter

LIST = "J0570 # reused\n99213-25, D0120\nJ9998\nW1234;QA nonsense\n"


def test_each_code_of_a_list_has_its_status(hcpcs, sample, tmp_path):
    path = tmp_path / "codes.txt"
    path.write_text(LIST)
    where = ("--on", "2014-06-30", "--since", "2012-01", "--outputs", sample.outputs.folder)
    done = hcpcs("check", path, *where, "--json")
    assert (done.status, done.err) == (0, "")
    rows = {r["given"]: r for r in json.loads(done.out)}
    assert list(rows) == ["J0570", "99213-25", "D0120", "J9998", "W1234", "QA", "nonsense"]
    statuses = {given: row["status"] for given, row in rows.items()}
    assert statuses | {"QA": ""} == {
        "J0570": "expired",
        "99213-25": "not_loaded",
        "D0120": "not_loaded",
        "J9998": "unknown_code",
        "W1234": "system_ended",
        "QA": "",
        "nonsense": "unknown_shape",
    }
    assert (rows["J0570"]["ended"], rows["J0570"]["ended_by"]) == ("2010-12-31", "CMS termination date")
    assert "reused" in rows["J0570"]["changed"] and rows["99213-25"]["modifiers"] == ["25"]
    assert next(csv.DictReader(io.StringIO(hcpcs("check", path, *where, "--csv").out)))["status"] == "expired"
    assert hcpcs("check", path, *where, "--markdown").out.splitlines()[1] == "| --- | --- | --- | --- | --- |"
    failed = hcpcs("check", path, *where, "--fail-on", "ended,reused")
    assert failed.status == 1 and "J0570" in failed.out
    assert "3 of 7 codes are ended,reused: J0570 W1234 QA" in failed.err


def test_a_csv_column_and_a_fhir_value_set_are_lists(hcpcs, sample, tmp_path):
    table, fhir = tmp_path / "list.csv", tmp_path / "set.json"
    table.write_text("id,hcpcs_code,name\n11111,J0570,x\n22222,99213,y\n")
    concepts = [{"code": "J0570"}, {"code": "99213"}]
    fhir.write_text(json.dumps({"resourceType": "ValueSet", "compose": {"include": [{"concept": concepts}]}}))
    for path in (table, fhir):
        done = hcpcs("check", path, "--on", "2018-06-30", "--json", "--outputs", sample.outputs.folder)
        assert [(r["code"], r["status"]) for r in json.loads(done.out)] == [("J0570", "valid"), ("99213", "not_loaded")]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
@pytest.mark.parametrize("ending", ["csv", "tsv"])
def test_a_table_of_codes_is_divided_as_its_first_line_is(hcpcs, sample, tmp_path, ending, delimiter, encoding):
    codes = tmp_path / f"codes.{ending}"
    codes.write_text(f"Name{delimiter}Code\nWords{delimiter}J0570\n\n", encoding)
    said = hcpcs("check", codes, "--on", "2018-06-30", "--json", "--outputs", sample.outputs.folder)
    assert said.status == 0, said.err
    assert [(row["given"], row["status"]) for row in json.loads(said.out)] == [("J0570", "valid")]


def test_a_column_of_a_workbook_is_a_list_and_numbers_get_their_zeros_back(hcpcs, sample, tmp_path):
    path = tmp_path / "codes.xlsx"
    with xlsxwriter.Workbook(path) as book:
        book.add_worksheet("notes").write(0, 0, "see the other sheet")
        sheet = book.add_worksheet("list")
        cells = [
            ("id", "HCPCS code"),
            (11111, "J0570"),
            (2, 99213.0),
            (3, 100),
            (4, "j2040 "),
            (5, 25),
            (6, None),
            (7, "0636"),
        ]
        for row, values in enumerate(cells):
            sheet.write_row(row + 1, 1, values)
    where = ("--on", "2018-06-30", "--outputs", sample.outputs.folder)
    done = hcpcs("check", path, "--sheet", "list", "--json", *where)
    assert (done.status, done.err) == (0, "")
    read = [(r["code"], r["status"], r["rules"]) for r in json.loads(done.out)]
    assert read == [
        ("J0570", "valid", []),
        ("99213", "not_loaded", []),
        ("00100", "not_loaded", ["zeros_restored"]),
        ("J2040", "unknown_code", ["upper_cased"]),
        ("25", "not_loaded", []),
        (None, "unknown_shape", []),
    ]
    table = hcpcs("check", path, "--sheet", "list", "--column", "hcpcs code", *where).out
    assert "read: zeros restored 1, upper cased 1" in table
    changes = hcpcs("changes", "latest", "--codes", path, "--outputs", sample.outputs.folder)
    assert changes.status == 1 and "codes.xlsx contains no code" in changes.err, "the first sheet has none"


def test_without_its_extra_a_workbook_is_one_line(hcpcs, sample, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "fastexcel", None)
    (tmp_path / "codes.xlsx").write_bytes(b"")
    done = hcpcs("check", tmp_path / "codes.xlsx", "--outputs", sample.outputs.folder)
    assert (done.status, done.out) == (1, "") and "pip install 'hcpcs[excel]'" in done.err


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        ("codes.xlsx", b"J0570", "cannot be read as a workbook: "),
        ("codes.xls", b"\xd0\xcf\x11\xe0" + bytes(600), "cannot be read as a workbook: "),
        ("codes.xlsx", b"", "cannot be read as a workbook: "),
        ("codes.txt", b"J0570", "--sheet names a sheet of a workbook"),
    ],
)
def test_what_is_no_workbook_is_one_line(hcpcs, sample, tmp_path, name, content, words):
    path = tmp_path / name
    path.write_bytes(content)
    sheet = ("--sheet", "list") if name.endswith("txt") else ()
    done = hcpcs("check", path, *sheet, "--outputs", sample.outputs.folder)
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1) and words in done.err


def test_groups_of_a_value_set_are_read_and_what_it_excludes_is_left_out(hcpcs, sample, tmp_path):
    path = tmp_path / "set.json"
    include = [{"concept": [{"code": "J0570"}, {"code": "Q2040"}]}]
    compose = {"include": include, "exclude": [{"concept": [{"code": "Q2040"}]}]}
    contains = [{"display": "a group", "contains": [{"code": "TP"}]}, {"code": "X", "abstract": True}]
    resource = {"resourceType": "ValueSet", "compose": compose, "expansion": {"contains": contains}}
    path.write_text(json.dumps(resource))
    done = hcpcs("check", path, "--json", "--outputs", sample.outputs.folder)
    assert [r["given"] for r in json.loads(done.out)] == ["J0570", "TP"]


@pytest.mark.parametrize("header", ["zip_code,hcpcs_code", "modifier,procedure_code", "revenue_code,Code", "x,CPT"])
def test_the_column_of_procedure_codes_is_taken_of_several(hcpcs, sample, tmp_path, header):
    table = tmp_path / "claims.csv"
    table.write_text(f"{header}\n10001,J0570\n")
    done = hcpcs("check", table, "--json", "--outputs", sample.outputs.folder)
    assert [r["given"] for r in json.loads(done.out)] == ["J0570"]


def test_what_cannot_be_checked_is_one_line(hcpcs, sample, tmp_path):
    path, empty, other = tmp_path / "codes.txt", tmp_path / "empty.txt", tmp_path / "other.json"
    path.write_text("J0570")
    empty.write_text("\n")
    other.write_text('{"resourceType": "Patient"}')
    deep, several = tmp_path / "deep.json", tmp_path / "several.csv"
    deep.write_text("[" * 100_000)
    several.write_text("zip_code,revenue_code\n10001,J0570\n")
    where = ("--outputs", sample.outputs.folder)
    for arguments, status, words in [
        ((path, "--since", "2018-01"), 1, "release 2018-01 is not loaded"),
        ((path, "--fail-on", "bad"), 2, "--fail-on: bad is none of ended, valid"),
        ((path, "--column", "code"), 1, "has no column 'code'; it has J0570"),
        ((empty,), 1, "contains no code"),
        ((deep,), 1, "is not a FHIR ValueSet"),
        ((several,), 1, "several columns of codes; name one by --column: zip_code, revenue_code"),
        ((other,), 1, "is a FHIR Patient"),
        ((tmp_path / "none.txt",), 2, "does not exist"),
    ]:
        done = hcpcs("check", *arguments, *where)
        assert (done.status, done.out) == (status, "") and words in done.err and "Traceback" not in done.err


@pytest.mark.parametrize("command", ["lookup", "history", "classify", "search"])
def test_words_that_are_not_utf_8_end_in_no_traceback(hcpcs, sample, command: str) -> None:
    said = hcpcs(command, "\udce9100", "--outputs", sample.outputs.folder)
    assert said.status == (0 if command in ("classify", "search") else 1)
    assert "Traceback" not in said.err


def test_a_list_from_standard_input_that_is_not_utf_8_is_refused(hcpcs, sample, monkeypatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"J1100\r\n\xe9\r\n"), errors="surrogateescape"))
    said = hcpcs("check", "-", "--outputs", sample.outputs.folder)
    assert (said.status, "- is not UTF-8 text" in said.err, "in UTF-8" in said.err) == (1, True, True), said.err
