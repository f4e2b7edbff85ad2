"""Every member of a release is read, or has a finding that says what it looks like: through the command line."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import polars as pl
import pytest
from conftest import Said
from made_up import posting, record
from release_writer import noc_codes

CODES = [
    record(
        code, long_description=f"Sample: {code} thing, unlisted, in so many words that they fill their column, nearly"
    )
    for code in ("A0999", "A4335", "E1399", "J3490")
]
ENDED = [record("L5999", long_description="Not otherwise classified thing", termination_date="20161231")]
#: A wrong export: rows whose texts are the ADA's.
FOREIGN = [record(f"D{n}999", long_description="Words that belong to someone else") for n in range(1, 9)]


def fixed_width(*records: object, header: str = "HCPCS\tLONG DESCRIPTION\tADD DATE\tTERM DATE") -> bytes:
    """A list as CMS wrote it in 2017: a header with tabs above lines of fixed width."""
    lines = [
        f"  {r.code:<7}{r.long_description:<88}{'20100101':<10}{r.termination_date or ''}".rstrip()  # type: ignore[attr-defined]
        for r in records
    ]
    return "\r\n".join(["NOC CODES - HCPCS 2017", "", header, *lines, ""]).encode()


@pytest.fixture
def tables(hcpcs: Callable[..., Said], tmp_path: Path) -> Callable[[Mapping[str, bytes]], Path]:
    """`hcpcs refresh` from one release with these members beside its code file; the folder of the tables."""

    def refreshed(side: Mapping[str, bytes]) -> Path:
        posting("2017-01", record("A1"), record("A0999"), side=side).write(tmp_path / "offered")
        said = hcpcs("refresh", "--from", tmp_path / "offered", "--outputs", tmp_path / "outputs")
        assert (said.status, said.err) == (0, "")
        return tmp_path / "outputs" / "latest" / "open"

    return refreshed


def findings(tables: Path) -> list[tuple[str, str, str]]:
    found = pl.read_parquet(tables / "hcpcs_findings.parquet").sort("member", "finding")
    return found.select("finding", "severity", "member").rows()


def test_a_list_with_a_header_of_tabs_above_fixed_width_is_read_and_foreign_rows_are_left_out(
    tables: Callable[[Mapping[str, bytes]], Path],
) -> None:
    folder = tables({"NOC_Codes_2017.txt": fixed_width(*CODES, *FOREIGN, *ENDED)})

    listed = pl.read_parquet(folder / "hcpcs_unlisted_codes.parquet").sort("code")
    columns = ["code", "long_description", "added_date", "termination_date"]
    assert listed.select(pl.col(columns).cast(pl.String)).rows() == [
        *((r.code, r.long_description, "2010-01-01", None) for r in CODES),
        ("L5999", "Not otherwise classified thing", "2010-01-01", "2016-12-31"),
    ]
    assert findings(folder) == [
        ("codes_of_other_systems", "warning", "NOC_Codes_2017.txt"),
        ("print_file_cut", "warning", "NOC_Codes_2017.txt"),
    ]
    for path in folder.parent.rglob("*"):
        assert not path.is_file() or b"someone else" not in path.read_bytes()


def test_such_a_list_is_compared_with_its_workbook(tables: Callable[[Mapping[str, bytes]], Path]) -> None:
    book = noc_codes(CODES, title="NOC CODES - HCPCS 2017")
    folder = tables({"NOC_Codes_2017.txt": fixed_width(*CODES), "NOC_Codes_2017.xlsx": book})

    assert set(pl.read_parquet(folder / "hcpcs_unlisted_codes.parquet")["source_member"]) == {"NOC_Codes_2017.xlsx"}
    assert findings(folder) == [("twin_not_read", "info", "NOC_Codes_2017.txt")]


def test_a_report_whose_labels_touch_is_read(tables: Callable[[Mapping[str, bytes]], Path]) -> None:
    report = ["HCPCS/Modifier CodeType of Change", "", "A1                 ADD", "A0999              No Change", ""]
    folder = tables({"HCPC18_Trans_Report_Alpha_ChangesbyHCPC.prn": "\r\n".join(report).encode()})

    stated = pl.read_parquet(folder / "hcpcs_transactions.parquet").sort("code")
    assert stated.select("code", "action_code").rows() == [("A0999", "N"), ("A1", "A")]


def test_a_member_that_no_reader_knows_has_a_finding_that_says_what_it_looks_like(
    tables: Callable[[Mapping[str, bytes]], Path],
) -> None:
    folder = tables(
        {
            "Policy.txt": b"\r\nThis text is about something else.\r\nMore of it.\r\n",
            "Fees.txt": b"99213 words that belong to someone else\r\n99214 as well\r\n",
            "Agenda.pdf": b"%PDF-1.7 \x00\x01",
            "HCPC2017_README.txt": b"Read me: file content of HCPCS\r\n",
        }
    )
    found = pl.read_parquet(folder / "hcpcs_findings.parquet").filter(finding="member_not_read").sort("member")
    assert found.select("member", "severity", "message").rows() == [
        ("Agenda.pdf", "warning", "a PDF of 11 bytes"),
        ("Fees.txt", "warning", "a text of 2 lines, whose first line has a code"),
        ("HCPC2017_README.txt", "info", "a read-me, a text of 1 line, which begins 'Read me: file content of HCPCS'"),
        ("Policy.txt", "warning", "a text of 2 lines, which begins 'This text is about something else.'"),
    ]
