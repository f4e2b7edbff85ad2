"""CMS's side files: each member gets its right role, every line is read, and what is odd is a finding."""

from __future__ import annotations

import datetime
import io
import re
import zipfile
from functools import cache
from pathlib import Path

import polars as pl
import pytest
import xlsxwriter
from hypothesis import given
from hypothesis import strategies as st

from schemas.hcpcs_corrections import CORRECTION_ACTIONS
from schemas.registry import contract
from sources.code_file.records import typed_records
from sources.code_file.text import read_anweb_text
from sources.code_file.workbook import read_anweb_workbook
from sources.errors import MemberError
from sources.findings import Finding
from sources.side_files.corrections import Change, changes_from_prose, read_corrections
from sources.side_files.kinds import SIDE_SCHEMAS, read_side_files, side_role
from sources.side_files.lists import read_notes, read_unlisted_codes
from sources.side_files.tables import Table, coded_cells, tidy
from sources.side_files.transactions import action_code_from, read_transactions

Rows = list[list[str | None]]

#: What each member is, written down by looking into it; None for code files.
ROLES = {
    "11anweb_V3.txt": None,
    "11anweb_V3.xls": None,
    "2011_Corrections_alpha.xlsx": "corrections",
    "HCPCREAD_11.txt": "readme",
    "proc_notes_2011.txt": "processing_notes",
    "12anweb.txt": None,
    "12anweb.xls": None,
    "HCPCREAD_12.txt": "readme",
    "proc_notes_2012.txt": "processing_notes",
    "HCPC2016_CONTR_ANWEB.txt": None,
    "HCPC2016_CONTR_ANWEB.xlsx": None,
    "HCPC2016_README.txt": "readme",
    "HCPC2016_TransReport_Changes_by_Action_Code.txt": "transaction_report",
    "HCPC2016_TransReport_Changes_by_HCPCS_Code.txt": "transaction_report",
    "HCPC2016_TransactionReport_Alpha.xlsx": "transaction_report",
    "HCPCS2016_recordlayout.txt": "record_layout",
    "proc_notes_2016.txt": "processing_notes",
    "HCPC17_CONTR_ANWEB.txt": None,
    "HCPC17_CONTR_ANWEB.xlsx": None,
    "HCPC2017_README.txt": "readme",
    "HCPCS2017_Trans Report_Alpha.xlsx": "transaction_report",
    "HCPCS2017_Trans Report_ChangesbyAction.prn": "transaction_report",
    "HCPCS2017_Trans Report_ChangesbyHCPC.prn": "transaction_report",
    "proc_notes_2017.txt": "processing_notes",
    "hcpc2017_corrections_alpha.txt": "corrections",
    "hcpc2017_corrections_alpha.xlsx": "corrections",
    "HCPCS17_recordlayout.txt": "record_layout",
    "Changes_by_ActionCode.prn": "transaction_report",
    "Changes_by_HCPCSCode.prn": "transaction_report",
    "HCPC2019_CONTR_ANWEB.txt": None,
    "HCPC2019_CONTR_ANWEB.xlsx": None,
    "HCPC2019_README.txt": "readme",
    "HCPC2019_Trans_Alpha.xlsx": "transaction_report",
    "proc_notes_2019.txt": "processing_notes",
    "HCPC2019_Corrections_ALPHA.prn": "corrections",
    "HCPC2019_Corrections_ALPHA.xlsx": "corrections",
    "HCPC2019_Corrections_ALPHA_v2.prn": "corrections",
    "HCPC2019_Corrections_ALPHA_v2.xlsx": "corrections",
    "NOC_Codes_2019.prn": "noc_codes",
    "NOC_Codes_2019.xlsx": "noc_codes",
    "HCPCS2019_recordlayout.txt": "record_layout",
    "anweb.xlsx": None,
    "trans_alpha.xlsx": "transaction_report",
    "HCPC2023_JAN_ANWEB_v3.xlsx": None,
    "HCPC2025_JAN_ANWEB_12172024.txt": None,
    "HCPC2025_JAN_ANWEB_12172024.xlsx": None,
    "HCPC2025_JAN_ANWEB_Corrections_12172024.xlsx": "corrections",
    "HCPC2025_JAN_Transaction Report_12172024.xlsx": "transaction_report",
    "HCPC2025_recordlayout.txt": "record_layout",
    "NOC codes_JAN2025.xlsx": "noc_codes",
    "proc_notes_JAN2025.txt": "processing_notes",
    "HCPC2025_OCT_ANWEB_v3.xlsx": None,
}

#: Release, its rows by role after twins are left out, counted in the members.
ROWS = {
    "2011-01": {"corrections": 11, "processing_notes": 174},
    "2012-01": {"processing_notes": 177},
    "2016-01": {"transaction_report": 6292, "processing_notes": 206},
    "2017-01": {"transaction_report": 6498, "corrections": 24, "processing_notes": 211},
    "2019-01": {"transaction_report": 6800, "corrections": 57, "noc_codes": 139, "processing_notes": 218},
    "2020-04": {"transaction_report": 7097},
    "2020-10": {"transaction_report": 7196},
    "2025-01": {"transaction_report": 8642, "corrections": 55, "noc_codes": 159, "processing_notes": 234},
}


@cache
def members_of(shared_cms: Path, release: str) -> list[tuple[str, bytes]]:
    found = []
    for path in sorted((shared_cms / release).glob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            found.extend((name, archive.read(name)) for name in archive.namelist())
    return found


@cache
def with_role(shared_cms: Path, release: str, role: str) -> list[tuple[str, bytes]]:
    return [(name, data) for name, data in members_of(shared_cms, release) if side_role(name, data) == role]


@cache
def read_of(shared_cms: Path, release: str, role: str) -> tuple[pl.DataFrame, list[Finding]]:
    return read_side_files(role, with_role(shared_cms, release, role))


def workbook(*sheets: tuple[str, Rows]) -> bytes:
    buffer = io.BytesIO()
    with xlsxwriter.Workbook(buffer, {"in_memory": True}) as book:
        for name, rows in sheets:
            sheet = book.add_worksheet(name)
            for r, row in enumerate(rows):
                for c, cell in enumerate(row):
                    if cell is not None:
                        sheet.write_string(r, c, cell)
    return buffer.getvalue()


def kinds(findings: list[Finding]) -> list[str]:
    return [f.finding for f in findings]


REPORT: Rows = [
    ["HCPC", "ACTION CD", "SHORT DESCRIPTION", "LONG DESCRIPTION"],
    ["   ZZ", "ADD", "A modifier", "A modifier of ours"],
    ["Z0001", "Long Description Change", "A thing", "A thing that we made up"],
    ["Z0002", "No Change", "Another", "Another thing that we made up"],
]
CORRECTIONS: Rows = [
    [None, "OUR CORRECTIONS", None, None, None, None],
    [None, None, None, None, None, None],
    ["CODE", "ACTION", "EFF DATE", "SHORT DESC", "COV", "PRICE"],
    ["Z0001", "Change Cov to D and Price to 21", "01/01/2019", None, "D", "21"],
    ["Z0002", "Do not terminate", "01/0/12019", None, None, None],
    ["ZZ", "Revise SD", "20190101", "A modifier", None, None],
]
UNLISTED: Rows = [
    [None, "NOC CODES - OURS", None, None],
    ["HCPCS", "LONG DESCRIPTION", "ADD DATE", "TERM DATE"],
    ["Z0999", "A thing, unlisted", "19870101", None],
    ["Z0998", "A very long text of a thing that is not otherwise", "19900101", "20191231"],
    ["Z0998", "classified", None, None],
]


# --- which member is which ---------------------------------------------------------------------------------------


def test_every_real_member_gets_the_role_seen_by_looking_into_it(shared_cms: Path) -> None:
    seen = {}
    for release in sorted(p.name for p in shared_cms.iterdir() if p.is_dir()):
        for name, data in members_of(shared_cms, release):
            if name in ROLES:
                seen[name] = side_role(name, data)
    assert seen == ROLES


def test_a_role_does_not_hang_on_the_name(shared_cms: Path) -> None:
    # Lists of unlisted codes and transaction reports have borne names of code files, and the reverse.
    for name, data in members_of(shared_cms, "2019-01"):
        assert side_role("HCPC2019_CONTR_ANWEB" + name[-4:], data) == ROLES[name]


def test_a_workbook_of_records_is_no_side_file() -> None:
    book = workbook(
        ("A", [["HCPC", "SEQNUM", "RECID", "LONG DESCRIPTION", "ACTION CD"], ["Z0001", "0010", "3", "unlisted", "N"]])
    )
    assert side_role("transaction report.xlsx", book) is None


@given(st.binary(max_size=400) | st.binary(max_size=400).map(lambda b: b"PK\x03\x04" + b))
def test_arbitrary_bytes_never_raise_and_are_no_table(data: bytes) -> None:
    assert side_role("NOC codes.xlsx", data) in (None, "readme")


def test_a_damaged_workbook_has_no_role() -> None:
    whole = workbook(("Changes", REPORT))
    assert side_role("report.xlsx", whole) == "transaction_report"
    assert side_role("report.xlsx", whole[: len(whole) // 2]) is None
    assert side_role("report.xls", b"\xd0\xcf\x11\xe0" + bytes(600)) is None


@pytest.mark.parametrize("read", [read_transactions, read_corrections, read_unlisted_codes, read_notes])
@pytest.mark.parametrize("data", [b"", b"PK\x03\x04 cut", b"\x00\x01", b"Nothing of that kind stands here.\r\n" * 9])
def test_a_member_that_is_not_what_it_claims_is_refused(read, data: bytes) -> None:
    with pytest.raises(MemberError, match=r"odd\.bin"):
        read("odd.bin", data)


# --- transaction reports -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("words", "code"),
    [
        ("ADD", "A"),
        ("Add", "A"),
        ("Coverage & Long Desc Change", "B"),
        ("Change in both Coverage & Long Description", "B"),
        ("Change in Long Description", "C"),
        ("Discontinued", "D"),
        ("Coverage Change", "F"),
        ("No change", "N"),
        ("Payment Change", "P"),
        ("Re-activated", "R"),
        ("Short Description Change", "S"),
        ("Misc Change (TOS, BETOS)", "T"),
        ("Miscellaneous Change (BETOS or Type of Service", "T"),
        ("Change", None),
        ("", None),
        ("Moved to another file", None),
    ],
)
def test_the_words_of_a_report_stand_for_an_action_code(words: str, code: str | None) -> None:
    assert action_code_from(words) == code


def test_a_cut_word_is_completed_only_where_there_is_no_choice() -> None:
    assert action_code_from("Short Description Chan", is_cut=True) == "S"
    assert action_code_from("Coverage and Lon", is_cut=True) == "B"
    assert action_code_from("Coverage and", is_cut=True) is None
    assert action_code_from("C", is_cut=True) is None
    assert action_code_from("Short Description Chan") is None


def test_a_second_sheet_that_says_otherwise_is_a_finding_and_the_first_stands() -> None:
    other = [list(row) for row in REPORT]
    other[2][1] = "No Change"
    del other[3]
    frame, findings = read_transactions("r.xlsx", workbook(("by HCPC", REPORT), ("by Action", other)))
    assert frame["action_code"].to_list() == ["A", "C", "N"]
    assert {(f.field, f.examples) for f in findings} == {(None, ("Z0002",)), ("action_code", ("Z0001",))}


def test_sheets_with_the_same_lines_in_another_order_agree() -> None:
    frame, findings = read_transactions("r.xlsx", workbook(("1", REPORT), ("2", [REPORT[0], *REPORT[:0:-1]])))
    assert frame.height == 3 and findings == []
    assert frame.row(0, named=True)["code"] == "ZZ" and frame["kind"].to_list() == [
        "modifier",
        "procedure",
        "procedure",
    ]
    assert frame["source_line"].to_list() == [2, 3, 4]


def test_the_reports_own_key_decides_words_that_are_not_known() -> None:
    rows = [*REPORT, ["Z0003", "Moved elsewhere", None, None]]
    key: Rows = [
        ["Action Codes"],
        ["A", "Add"],
        ["D", "Discontinued"],
        ["M", "Moved elsewhere"],
        ["N", "No Change"],
        ["P", "Payment"],
    ]
    frame, findings = read_transactions("r.xlsx", workbook(("Changes", rows), ("Key", key)))
    assert frame["action_code"].to_list()[-1] == "M" and findings == []
    frame, findings = read_transactions("r.xlsx", workbook(("Changes", rows)))
    assert frame["action_code"].to_list()[-1] is None and kinds(findings) == ["unknown_action"]


def test_odd_lines_of_a_report_are_findings_and_never_a_crash() -> None:
    rows = [*REPORT, REPORT[2], ["Z0002", "Discontinued"], ["Total: 4"], ["12", None], ["z0009", "ADD"]]
    frame, findings = read_transactions("r.xlsx", workbook(("Changes", rows)))
    assert frame.select("code", "number", "action_code").rows()[3:] == [
        ("Z0002", 2, "D"),
        ("12", 1, None),
        ("Z0009", 1, "A"),
    ]
    assert kinds(findings) == [
        "line_without_code",
        "lower_case_code",
        "repeated_line",
        "contradicting_line",
        "unknown_action",
    ]


def test_a_line_that_repeats_one_is_left_out_and_the_others_of_its_code_are_numbered() -> None:
    rows = [REPORT[0], ["Z0001", "ADD"], ["Z0002", "ADD"], ["Z0001", "Discontinued"], ["Z0001", "Add"], ["Z0001", "?"]]
    frame, findings = read_transactions("r.xlsx", workbook(("Changes", rows)))
    assert frame.select("code", "number", "action_code", "source_line").rows() == [
        ("Z0001", 1, "A", 2),
        ("Z0002", 1, "A", 3),
        ("Z0001", 2, "D", 4),
        ("Z0001", 3, None, 6),
    ]
    assert [(f.finding, f.line) for f in findings] == [
        ("contradicting_line", 4),
        ("repeated_line", 5),
        ("unknown_action", 6),
        ("contradicting_line", 6),
    ]
    assert findings[1].message == "says the same of Z0001 as line 2"


def test_rows_of_a_tab_separated_report_are_counted_from_their_first_line_whatever_their_width() -> None:
    lines = [
        "A title",
        "",
        "HCPC\tACTION CD\tLONG DESCRIPTION",
        'Z0001\tADD\t"A thing',
        'on two lines"',
        "",
        "Z0002\tADD",
    ]
    wide = "\t".join(["Z0003", "No Change", "Another", *["x"] * 500])
    frame, findings = read_transactions("r.txt", "\r\n".join([*lines, wide, "Only\tprose"]).encode())
    assert frame.select("code", "action_code", "long_description", "source_line").rows() == [
        ("Z0001", "A", "A thing\non two lines", 4),
        ("Z0002", "A", None, 7),
        ("Z0003", "N", "Another", 8),
    ]
    assert [(f.finding, f.line, f.raw_value) for f in findings] == [("line_without_code", 9, "Only")]


def test_cells_of_a_print_file_end_where_their_column_does() -> None:
    lines = [
        "HCPC       ACTION    SHORT DESC  LONG DESC",
        "  ZZ ADD             A modifier  A modifier of ours",
        "Z0001 Short Description ChanA thing, cut here",
        "",
        "*** the end of the report",
        "Z0002",
    ]
    frame, findings = read_transactions("r.prn", "\r\n".join(lines).encode())
    assert frame.select("code", "action_text", "short_description", "long_description", "source_line").rows() == [
        ("ZZ", "ADD", "A modifier", "A modifier of ours", 2),
        ("Z0001", "Short Descripti", "on ChanA thi", "ng, cut here", 3),
        ("Z0002", None, None, None, 6),
    ]
    assert [(f.finding, f.line) for f in findings] == [
        ("print_file_cut", 1),
        ("line_without_code", 5),
        ("unknown_action", 6),
    ]


@given(
    st.text(
        st.characters(exclude_categories=["Cs"]) | st.sampled_from(" \t\r\n_x0D\x1c\x85\xa0\u2003\ufffe"), max_size=12
    )
)
def test_cells_read_together_are_tidied_as_one_by_one(text: str) -> None:
    cells = pl.DataFrame({"line": [2, 3], "0": ["Z0001", "Z0002"], "1": [text, "plain"]})
    table = Table("", cells, "", 1, {"code": 0, "comment": 1}, [])
    assert coded_cells("r.xlsx", table, [])["comment"].to_list() == [tidy(text) or None, "plain"]


def test_report_and_records_of_a_release_agree_on_every_action_code(shared_cms: Path) -> None:
    agreed = {}
    for release, lacking in {
        "2016-01": ["DA"],
        "2017-01": [],
        "2019-01": [],
        "2020-04": [],
        "2020-10": [],
        "2025-01": [],
    }.items():
        report, _ = read_of(shared_cms, release, "transaction_report")
        records = records_of(shared_cms, release).select("kind", "code", stated="action_code")
        both = report.join(records, on=["kind", "code"], how="full", coalesce=True)
        assert both.filter(pl.col("source_line").is_null())["code"].to_list() == lacking
        assert both.filter(pl.col("stated").is_null() | (pl.col("stated") != pl.col("action_code"))).is_empty()
        agreed[release] = report.height
    assert agreed == {release: ROWS[release]["transaction_report"] for release in agreed}


@cache
def records_of(shared_cms: Path, release: str) -> pl.DataFrame:
    code_files = {name: data for name, data in members_of(shared_cms, release) if ROLES[name] is None}
    for name, data in code_files.items():
        if name.endswith(".txt"):
            return typed_records(name, read_anweb_text(name, data)[0])[0]
    name, data = next(iter(code_files.items()))
    return typed_records(name, read_anweb_workbook(name, data)[0])[0]


# --- corrections -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("prose", "changes"),
    [
        ("Terminate ", [Change("terminate")]),
        ("Discontinue", [Change("terminate")]),
        ("DO NOT TERMINATE", [Change("do_not_terminate")]),
        ("ADD CODE", [Change("add")]),
        ("Remove code", [Change("delete")]),
        ("Taken out by mistake, to be added back", [Change("restore")]),
        ("ReviseLong Description", [Change("revise", "long_description")]),
        ("Revise LD", [Change("revise", "long_description")]),
        ("Revise SD", [Change("revise", "short_description")]),
        (
            "Change short and long description",
            [Change("revise", "short_description"), Change("revise", "long_description")],
        ),
        (
            "Change Cov to D and Price to 21",
            [Change("revise", "coverage_code", "D"), Change("revise", "pricing_indicators", "21")],
        ),
        ("Change xref code to Z7203", [Change("revise", "crosswalk_targets", "Z7203")]),
        ("Remove xref Z0080", [Change("clear", "crosswalk_targets", old_value="Z0080")]),
        ('Add "YY" ASC Ind ', [Change("revise", "asc_group", "YY")]),
        (
            'Remove ASC Ind "YY" and the ASC Start date of 03/01/2015',
            [Change("clear", "asc_group", old_value="YY"), Change("clear", "asc_date", old_value="2015-03-01")],
        ),
        (
            'Action code must be "C", action effective date: 20110401',
            [Change("revise", "action_code", "C"), Change("revise", "action_effective_date", "2011-04-01")],
        ),
        ("See the quarterly update", [Change("other")]),
        ("", [Change("other")]),
    ],
)
def test_the_prose_of_a_correction_is_read_as_changes(prose: str, changes: list[Change]) -> None:
    assert changes_from_prose(prose) == changes
    assert {c.action for c in changes} <= set(CORRECTION_ACTIONS)


def test_a_value_missing_in_the_prose_comes_from_its_column_and_other_columns_are_changes_too() -> None:
    frame, findings = read_corrections("c.xlsx", workbook(("Sheet1", CORRECTIONS)))
    assert frame.select("code", "number", "action", "field", "new_value").rows() == [
        ("Z0001", 1, "revise", "coverage_code", "D"),
        ("Z0001", 2, "revise", "pricing_indicators", "21"),
        ("Z0002", 1, "do_not_terminate", None, None),
        ("ZZ", 1, "revise", "short_description", "A modifier"),
    ]
    assert frame["effective_date"].to_list() == [datetime.date(2019, 1, 1)] * 2 + [None, datetime.date(2019, 1, 1)]
    assert [(f.finding, f.code, f.raw_value, f.line) for f in findings] == [("odd_date", "Z0002", "01/0/12019", 5)]


def test_prose_and_column_that_differ_are_a_finding_and_the_prose_stands() -> None:
    rows = [*CORRECTIONS[:3], ["Z0001", "Change Cov to C", None, None, "D", None], ["Z0002", "Change Price", None]]
    frame, findings = read_corrections("c.xlsx", workbook(("Sheet1", rows)))
    assert frame["new_value"].to_list() == ["C", None]
    assert kinds(findings) == ["prose_and_column_differ", "correction_without_value"]


def test_words_cut_by_a_print_file_tell_nothing() -> None:
    text = (
        "        OUR CORRECTIONS\r\n\r\n  CODE   ACTION  EFF DATE        SHORT DESC      COMMENTS\r\n"
        " Z0001  Removed i01/01/2019\r\n Z0002  ADD CODE 01/01/201A thing of ours\r\n"
    )
    assert side_role("c.prn", text.encode()) == "corrections"
    frame, findings = read_corrections("c.prn", text.encode())
    assert frame.select("action_text", "action", "effective_date").rows() == [
        ("Removed i", "other", datetime.date(2019, 1, 1)),
        ("ADD CODE", "add", None),
    ]
    assert kinds(findings) == ["print_file_cut", "action_not_understood", "odd_date"]
    assert "ours" not in str(findings)


def test_every_real_correction_is_understood(shared_cms: Path) -> None:
    actions = {}
    for release in ("2011-01", "2017-01", "2019-01", "2025-01"):
        frame, findings = read_of(shared_cms, release, "corrections")
        assert "other" not in frame["action"].to_list()
        value = pl.coalesce("new_value", "old_value")
        assert frame.filter(pl.col("field").is_not_null() & value.is_null()).is_empty()
        assert kinds([f for f in findings if f.severity != "info"]) == (["odd_date"] if release == "2019-01" else [])
        actions[release] = dict(frame.filter(pl.col("field").is_null()).group_by("action").len().rows())
    assert actions == {
        "2011-01": {"do_not_terminate": 3},
        "2017-01": {"add": 2, "terminate": 3},
        "2019-01": {"add": 5, "terminate": 1, "restore": 1},
        "2025-01": {"terminate": 30, "do_not_terminate": 3, "delete": 1},
    }


def test_all_versions_of_corrections_in_a_zip_are_kept_and_numbered(shared_cms: Path) -> None:
    frame, _ = read_of(shared_cms, "2019-01", "corrections")
    c1890 = frame.filter(code="C1890")
    assert c1890["number"].to_list() == list(range(1, c1890.height + 1))
    assert c1890["source_member"].unique(maintain_order=True).to_list() == [
        "HCPC2019_Corrections_ALPHA.xlsx",
        "HCPC2019_Corrections_ALPHA_v2.xlsx",
    ]


# --- unlisted codes ----------------------------------------------------------------------------------------------


def test_a_text_that_goes_on_in_a_second_line_is_joined() -> None:
    frame, findings = read_unlisted_codes("noc.xlsx", workbook(("NOC", UNLISTED)))
    assert frame["long_description"].to_list()[1] == "A very long text of a thing that is not otherwise classified"
    assert frame["termination_date"].to_list() == [None, datetime.date(2019, 12, 31)]
    assert kinds(findings) == ["continued_line"]


def test_a_code_listed_twice_is_one_row() -> None:
    rows = [*UNLISTED, UNLISTED[2], ["Z0999", "Another text, unlisted", "19990101", None]]
    frame, findings = read_unlisted_codes("noc.xlsx", workbook(("NOC", rows)))
    assert frame["code"].to_list() == ["Z0999", "Z0998"]
    assert [(f.finding, f.severity, f.line) for f in findings[1:]] == [
        ("listed_twice", "info", 6),
        ("listed_twice", "warning", 7),
    ]


def test_what_excel_writes_for_a_control_character_is_removed() -> None:
    rows = [*UNLISTED[:3], ["Z0997", "Unlisted_x001A_ thing", "19870101", None], ["_x001A_"]]
    text = "\r\n".join("\t".join(cell or "" for cell in row) for row in rows)
    frame, findings = read_unlisted_codes("noc.txt", text.encode())
    assert frame["long_description"].to_list()[-1] == "Unlisted thing" and frame.height == 2
    assert [(f.finding, f.occurrences) for f in findings] == [("artifact_removed", 2)]


def test_codes_of_other_systems_are_left_out_with_a_finding_that_repeats_none_of_their_text() -> None:
    rows = [*UNLISTED, ["D9999", "Words that are not ours to give", "19900101", None]]
    frame, findings = read_unlisted_codes("noc.xlsx", workbook(("NOC", rows)))
    assert frame["code"].to_list() == ["Z0999", "Z0998"]
    assert kinds(findings)[-1] == "codes_of_other_systems"
    assert "not ours" not in str(findings)


# --- processing notes --------------------------------------------------------------------------------------------


def test_notes_are_joined_and_the_box_of_asterisks_is_left_out() -> None:
    text = (
        "                  PROCESSING NOTES\r\n ______________\r\n\r\n"
        "     0001--THE FIRST NOTE CITES CODES 12345,      *\r\n"
        "           2345 AND ENDS HERE.                    *\r\n"
        "                                                  *\r\n"
        "\t  0002--THE SECOND.\t\t   * \r\n \t\r\n\t0003--\r\n"
        "\t0001--THE FIRST AGAIN.\t*\r\n\x1a"
    )
    assert side_role("x.txt", text.encode()) == "processing_notes"
    frame, findings = read_notes("x.txt", text.encode())
    assert frame.select("note_number", "note_text", "source_line").rows() == [
        ("0001", "THE FIRST NOTE CITES CODES 12345, 2345 AND ENDS HERE.", 4),
        ("0002", "THE SECOND.", 7),
        ("0003", None, 9),
    ]
    assert [(f.finding, f.severity) for f in findings] == [("note_twice", "warning"), ("note_without_text", "info")]


def test_real_notes_are_numbered_without_a_gap(shared_cms: Path) -> None:
    for release in [r for r, rows in ROWS.items() if "processing_notes" in rows]:
        frame, findings = read_of(shared_cms, release, "processing_notes")
        assert frame["note_number"].to_list() == [f"{n:04}" for n in range(1, frame.height + 1)]
        assert frame.filter(pl.col("note_text").is_null() | pl.col("note_text").str.contains(r"[*\t]|  ")).is_empty()
        assert findings == []


# --- all members of a role together ------------------------------------------------------------------------------


def test_every_line_of_every_real_side_file_is_read(shared_cms: Path) -> None:
    counted: dict[str, dict[str, int]] = {}
    for release in ROWS:
        for role in SIDE_SCHEMAS:
            if not with_role(shared_cms, release, role):
                continue
            frame, findings = read_of(shared_cms, release, role)
            assert frame.schema == pl.Schema(SIDE_SCHEMAS[role])
            unread = {"line_without_code", "unknown_column", "side_file_unreadable", "twins_differ"}
            assert not unread & set(kinds(findings))
            counted.setdefault(release, {})[role] = frame.height
    assert counted == ROWS


def test_a_text_twin_is_compared_and_left_out() -> None:
    text = "\r\n".join("\t".join(cell or "" for cell in row) for row in REPORT).replace("No Change", "Discontinued")
    frame, findings = read_side_files(
        "transaction_report", [("r.txt", text.encode()), ("r.xlsx", workbook(("A", REPORT)))]
    )
    assert frame["source_member"].unique().to_list() == ["r.xlsx"] and frame.height == 3
    assert [(f.finding, f.severity, f.examples) for f in findings] == [
        ("twin_not_read", "info", ()),
        ("twins_differ", "warning", ("Z0002",)),
    ]


def test_a_text_is_read_where_there_is_no_workbook(shared_cms: Path) -> None:
    for release in ("2016-01", "2017-01", "2019-01"):
        members = with_role(shared_cms, release, "transaction_report")
        texts = [(name, data) for name, data in members if not name.endswith(".xlsx")]
        from_text, findings = read_side_files("transaction_report", texts)
        from_workbook, _ = read_side_files("transaction_report", members)
        same = ["kind", "code", "number", "action_code"]
        assert from_text.select(same).equals(from_workbook.select(same))
        assert kinds(findings).count("twin_not_read") == 1


def test_a_text_that_is_longer_than_any_is_left_null() -> None:
    frame, findings = read_notes("x.txt", b"0001--WORDS\r\n0002--" + b"MORE WORDS " * 1000)
    assert frame["note_text"].to_list() == ["WORDS", None]
    assert [(f.finding, f.line, f.raw_value) for f in findings] == [("text_too_long", 2, "0002")]
    rows = [*UNLISTED[:2], ["Z0999", "Unlisted " * 1200, "19870101", None], ["Z0998", "Unlisted", "19870101", None]]
    frame, findings = read_unlisted_codes("x.xlsx", workbook(("NOC", rows)))
    assert frame.filter(pl.col("code").is_in(["Z0998", "Z0999"])).select("code", "long_description").rows() == [
        ("Z0999", None),
        ("Z0998", "Unlisted"),
    ]
    assert [(f.finding, f.line, f.code) for f in findings if f.code == "Z0999"] == [("text_too_long", 3, "Z0999")]


def test_the_newest_list_stands_whatever_the_order_of_its_members() -> None:
    older = ("noc.xlsx", workbook(("NOC", UNLISTED)))
    newer = ("noc_v2.xlsx", workbook(("NOC", [*UNLISTED[:2], ["Z0999", "A better text, unlisted", "19870101", None]])))
    forwards, backwards = (read_side_files("noc_codes", order) for order in ([older, newer], [newer, older, older]))
    assert forwards[0].equals(backwards[0]) and forwards[1] == backwards[1]
    assert forwards[0].filter(code="Z0999")["long_description"].to_list() == ["A better text, unlisted"]
    assert "stated_by_several_members" in kinds(forwards[1])


def test_a_member_that_cannot_be_read_does_not_stop_the_others() -> None:
    frame, findings = read_side_files("noc_codes", [("a.txt", b"nothing"), ("noc.xlsx", workbook(("NOC", UNLISTED)))])
    assert frame.height == 2 and "side_file_unreadable" in kinds(findings)
    frame, findings = read_side_files("noc_codes", [])
    assert frame.is_empty() and frame.schema == pl.Schema(SIDE_SCHEMAS["noc_codes"]) and findings == []


def test_many_findings_of_one_cause_are_one_with_their_count() -> None:
    rows = [*REPORT, *([f"Z1{n:03}", "Nobody knows"] for n in range(100))]
    _, findings = read_side_files("transaction_report", [("r.xlsx", workbook(("A", rows)))])
    assert [(f.finding, f.occurrences, len(f.examples)) for f in findings] == [("unknown_action", 100, 5)]


# --- the contracts -----------------------------------------------------------------------------------------------

TABLES = {
    "transaction_report": "hcpcs_transactions",
    "corrections": "hcpcs_corrections",
    "noc_codes": "hcpcs_unlisted_codes",
    "processing_notes": "hcpcs_notes",
}


@pytest.mark.parametrize(("role", "table"), TABLES.items())
def test_what_is_read_has_the_columns_and_types_of_its_contract(role: str, table: str) -> None:
    published = pl.Schema(contract(table).polars_schema)
    read = pl.Schema(SIDE_SCHEMAS[role])
    assert {name: published[name] for name in read} == dict(read)
    added = set(published) - set(read)
    assert {"release_id", "license_id", "withheld_fields"} <= added
    assert all(re.fullmatch(r"[a-z]\w+", name) for name in published)


@pytest.mark.parametrize(("role", "table"), TABLES.items())
def test_the_key_of_every_real_side_file_is_unique_within_its_release(shared_cms: Path, role: str, table: str) -> None:
    key = [name for name in contract(table).key if name != "release_id"]
    for release in [r for r, rows in ROWS.items() if role in rows]:
        frame, _ = read_of(shared_cms, release, role)
        assert not frame.select(key).is_duplicated().any()
