"""One release: text and workbook held against each other, several code files, revisions, and what refuses it all."""

from __future__ import annotations

import datetime as dt
from dataclasses import replace
from pathlib import Path

import bad_inputs
import polars as pl
import pytest
from made_up import Posting, posting, record
from release_writer import TextOptions, WorkbookOptions, anweb_text, anweb_workbook, release_zip

from sources.curated.tables import load_codebook
from sources.errors import ReleaseRefused
from sources.findings import Finding
from sources.release.inspect import inspect_zip, open_archive
from sources.release.release import ReleaseRead, read_release

RECORDS = (record("A1"), record("A0080"), record("V5364"))


@pytest.fixture
def read(tmp_path: Path):  # type: ignore[no-untyped-def]
    """Read postings of one release from an archive of their own."""

    def read_postings(*postings: Posting) -> ReleaseRead:
        archive = open_archive(tmp_path / "archive")
        zips = []
        for number, one in enumerate(postings):
            path = one.write(tmp_path / str(number))
            held = inspect_zip(path, folder=one.release_id)
            archive.keep(path, held.sha256)
            zips.append(held)
        return read_release(archive, postings[0].release_id, zips)

    return read_postings


def refused_by(action) -> list[Finding]:  # type: ignore[no-untyped-def]
    with pytest.raises(ReleaseRefused) as refusal:
        action()
    errors = [f for f in refusal.value.findings if f.severity == "error"]
    assert errors
    return errors


def disagreements(release: ReleaseRead) -> list[dict[str, object]]:
    return release.findings.filter(pl.col("finding").is_in(["forms_disagree", "record_in_one_form"])).to_dicts()


# --- text and workbook -----------------------------------------------------------------------------------------------


def test_where_both_forms_agree_nothing_is_found_and_the_text_is_the_source(read) -> None:  # type: ignore[no-untyped-def]
    release = read(posting("2019-01", *RECORDS, form="both"))
    assert release.findings.is_empty()
    assert release.revisions["form"].to_list() == ["both"]
    assert set(release.records["source_member"]) == {"HCPC2019_JAN_ANWEB.txt"}


def test_a_workbook_alone_is_the_source(read) -> None:  # type: ignore[no-untyped-def]
    release = read(posting("2023-01", *RECORDS, form="workbook"))
    assert release.revisions["form"].to_list() == ["workbook"]
    assert release.records["code"].to_list() == ["A1", "A0080", "V5364"]


def both(text: tuple, workbook: tuple, **options: object) -> Posting:  # type: ignore[type-arg]
    one = posting("2019-01", *text, form="both")
    name = next(n for n in one.members if n.endswith(".xlsx"))
    book = anweb_workbook(workbook, options=WorkbookOptions(**options))  # type: ignore[arg-type]
    return replace(one, members={**one.members, name: book})


def test_disagreements_with_one_cause_are_one_finding_with_count_and_examples(read) -> None:  # type: ignore[no-untyped-def]
    records = tuple(record(f"A{n:04}") for n in range(30))
    release = read(both(records, records, no_action_effective_date=[r.code for r in records[:25]]))
    (found,) = disagreements(release)
    assert (found["field"], found["occurrences"], found["severity"]) == ("action_effective_date", 25, "info")
    assert "blank in the workbook" in str(found["message"]) and found["examples"] == [
        "A0000",
        "A0001",
        "A0002",
        "A0003",
        "A0004",
    ]
    # The text has what the workbook leaves blank.
    assert release.records["action_effective_date"].null_count() == 0


@pytest.mark.parametrize(
    ("change", "cause", "severity"),
    [
        ({"long_description": "SAMPLE: the  thing that A0080 stands-for"}, "case, spacing or punctuation", "info"),
        ({"long_description": "Sample: the  thing"}, "cut short in the workbook", "warning"),
        ({"long_description": "Sample: the thing that A0080 stands for, and more"}, "cut short in the text", "warning"),
        ({"long_description": "Sample: another"}, "differs", "warning"),
        ({"coverage_code": "C"}, "blank in the text", "warning"),
        ({"added_date": dt.date(2011, 1, 1)}, "differs", "warning"),
    ],
)
def test_each_cause_of_disagreement_is_told_and_the_text_stands(  # type: ignore[no-untyped-def]
    read, change: dict[str, object], cause: str, severity: str
) -> None:
    said = replace(RECORDS[1], **change)  # type: ignore[arg-type]
    release = read(both(RECORDS, (RECORDS[0], said, RECORDS[2])))
    (found,) = disagreements(release)
    assert cause in str(found["message"]) and found["severity"] == severity
    assert (found["code"], found["field"]) == ("A0080", *change)
    text_alone = read(posting("2019-01", *RECORDS))
    assert release.records.drop("source_member_sha256").equals(text_alone.records.drop("source_member_sha256"))


def test_a_record_that_one_form_lacks_is_found(read) -> None:  # type: ignore[no-untyped-def]
    release = read(both(RECORDS[:2], RECORDS[1:]))
    found = {str(f["message"]): f["examples"] for f in disagreements(release)}
    assert found == {
        "1 records are in the text alone": ["A1"],
        "1 records are in the workbook alone": ["V5364"],
    }
    assert release.records["code"].to_list() == ["A1", "A0080"]


def test_what_is_wrong_with_the_witness_alone_refuses_nothing(read) -> None:  # type: ignore[no-untyped-def]
    twice = (*RECORDS, replace(RECORDS[2], long_description="Sample: something else"))
    release = read(both(RECORDS, twice))
    assert release.records.height == 3
    found = release.findings.filter(finding="contradicting_records")
    assert found["severity"].to_list() == ["warning"]


def test_a_workbook_that_cannot_be_read_beside_a_text_is_noted(read) -> None:  # type: ignore[no-untyped-def]
    release = read(posting("2019-01", *RECORDS, side={"HCPC2019_JAN_ANWEB.xlsx": b"PK\x03\x04 broken"}))
    assert release.records.height == 3
    assert release.findings.select("finding", "severity").rows() == [("unreadable_member", "warning")]


# --- several code files ----------------------------------------------------------------------------------------------


def test_the_same_records_with_and_without_a_disclaimer_are_one_code_file(read) -> None:  # type: ignore[no-untyped-def]
    with_notice = anweb_text(RECORDS, options=TextOptions(disclaimer=True))
    release = read(posting("2018-01", *RECORDS, side={"HCPC2018_CONTR_ANWEB_disc.txt": with_notice}))
    assert release.records["code"].to_list() == ["A1", "A0080", "V5364"]
    assert release.revisions.height == 1


def test_the_same_records_in_another_order_are_one_code_file(read) -> None:  # type: ignore[no-untyped-def]
    lines = anweb_text(RECORDS).splitlines(keepends=True)
    release = read(posting("2018-01", *RECORDS, side={"HCPC2018_ANWEB_sorted.txt": b"".join(reversed(lines))}))
    assert release.records.height == 3


def test_two_different_code_files_in_one_zip_refuse_it_and_both_are_named(read) -> None:  # type: ignore[no-untyped-def]
    other = anweb_text((*RECORDS[:2], replace(RECORDS[2], coverage_code="C")))
    (found,) = refused_by(lambda: read(posting("2018-01", *RECORDS, side={"HCPC2018_JAN_ANWEB_v2.txt": other})))
    assert found.finding == "two_code_files"
    assert "HCPC2018_JAN_ANWEB.txt" in found.message and found.member == "HCPC2018_JAN_ANWEB_v2.txt"


def test_two_zips_with_different_code_files_are_two_revisions(read) -> None:  # type: ignore[no-untyped-def]
    first = posting("2025-10", *RECORDS, version="_v3")
    second = posting("2025-10", *RECORDS[:2], record("V5364", long_description="Sample: said anew"), version="_v4")
    for postings in ((first, second), (second, first)):
        release = read(*postings)
        assert release.revisions.select("revision", "is_current").rows() == [(1, False), (2, True)]
        newest = release.records.filter(revision=2, code="V5364")["long_description"].item()
        assert newest == "Sample: said anew"


def test_a_code_file_in_a_folder_of_the_zip_is_found(read) -> None:  # type: ignore[no-untyped-def]
    one = posting("2019-01", *RECORDS)
    inside = replace(one, members={f"HCPC2019/{n.upper()}": d for n, d in one.members.items()})
    assert read(inside).records.height == 3


def test_a_zip_whose_only_member_is_a_workbook_is_a_release(read) -> None:  # type: ignore[no-untyped-def]
    one = posting("2025-10", *RECORDS, form="workbook", version="_v4")
    assert list(one.members) == ["HCPC2025_OCT_ANWEB_v4.xlsx"]
    assert read(one).records.height == 3


# --- what refuses a release ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "finding", "line", "code"),
    [
        ("no_code_file", "no_code_file", None, None),
        ("two_different_code_files", "two_code_files", None, None),
        ("record_id_five", "not_a_record", 4, "V5364"),
        ("continuation_without_record", "continuation_without_record", 2, "A0080"),
        ("same_code_twice", "contradicting_records", 5, "V5364"),
        ("impossible_date", "unreadable_value", 1, "A1"),
        ("dates_out_of_order", "dates_out_of_order", 4, "V5364"),
        ("workbook_without_header", "no_code_file", None, None),
        ("text_of_blanks", "no_code_file", None, None),
    ],
)
def test_a_bad_code_file_refuses_its_release_with_line_and_code(  # type: ignore[no-untyped-def]
    tmp_path: Path, name: str, finding: str, line: int | None, code: str | None
) -> None:
    path = tmp_path / bad_inputs.NAME
    path.parent.mkdir()
    path.write_bytes(bad_inputs.BAD_INPUTS[name]())
    archive = open_archive(tmp_path / "archive")
    held = inspect_zip(path, folder="2019-01")
    archive.keep(path, held.sha256)
    found = refused_by(lambda: read_release(archive, "2019-01", [held]))
    assert (found[0].finding, found[0].line, found[0].code) == (finding, line, code)


def test_a_further_posting_whose_code_file_cannot_be_read_refuses_the_release(read) -> None:  # type: ignore[no-untyped-def]
    good = posting("2025-10", *RECORDS, form="workbook", version="_v3")
    broken = replace(good, name="v4.zip", members={"HCPC2025_OCT_ANWEB_v4.xlsx": b"PK\x03\x04 broken"})
    (found,) = refused_by(lambda: read(good, broken))
    assert (found.finding, found.member) == ("no_code_file", "HCPC2025_OCT_ANWEB_v4.xlsx")


def test_one_run_shows_everything_that_is_wrong(read) -> None:  # type: ignore[no-untyped-def]
    lines = anweb_text(RECORDS).split(b"\r\n")
    lines[0] = lines[0][:268] + b"20190231" + lines[0][276:]
    lines[1] = lines[1][:10] + b"5" + lines[1][11:]
    one = posting("2019-01", *RECORDS)
    found = refused_by(lambda: read(replace(one, members={"HCPC2019_ANWEB.txt": b"\r\n".join(lines)})))
    assert {(f.finding, f.line) for f in found} == {("unreadable_value", 1), ("not_a_record", 2)}


def test_the_refusal_names_release_line_member_and_value(read) -> None:  # type: ignore[no-untyped-def]
    lines = anweb_text(RECORDS).split(b"\r\n")
    lines[1] = lines[1][:10] + b"5" + lines[1][11:]
    one = replace(posting("2019-01", *RECORDS), members={"HCPC2019_ANWEB.txt": b"\r\n".join(lines)})
    with pytest.raises(ReleaseRefused) as refusal:
        read(one)
    assert str(refusal.value) == "2019-01: line 2 of HCPC2019_ANWEB.txt: record id 5 is none of 3, 4, 7, 8"


def test_a_value_that_the_codebook_lacks_is_a_finding_and_no_refusal(read) -> None:  # type: ignore[no-untyped-def]
    release = read(posting("2019-01", *RECORDS[:2], record("V5364", coverage_code="Z")))
    (found,) = release.findings.filter(finding="unknown_value").to_dicts()
    assert (found["severity"], found["field"], found["raw_value"], found["code"]) == (
        "warning",
        "coverage_code",
        "Z",
        "V5364",
    )
    assert release.records.filter(code="V5364")["coverage_code"].item() == "Z"


def test_dates_after_the_releases_quarter_make_one_ask_whether_it_is_named_right(read) -> None:  # type: ignore[no-untyped-def]
    late = record("V5364", added_date=dt.date(2019, 4, 1))
    (found,) = read(posting("2019-01", *RECORDS[:2], late)).findings.to_dicts()
    assert (found["finding"], found["severity"], found["code"]) == ("date_after_release", "warning", "V5364")


# --- real releases ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def real(shared_cms: Path, tmp_path_factory: pytest.TempPathFactory):  # type: ignore[no-untyped-def]
    """Read a real release, once each."""
    archive = open_archive(tmp_path_factory.mktemp("archive"))
    done: dict[str, ReleaseRead] = {}

    def read_real(release_id: str) -> ReleaseRead:
        if release_id not in done:
            zips = []
            for path in sorted((shared_cms / release_id).glob("*.zip")):
                held = inspect_zip(path, folder=release_id)
                archive.keep(path, held.sha256)
                zips.append(held)
            done[release_id] = read_release(archive, release_id, zips)
        return done[release_id]

    return read_real


@pytest.mark.parametrize("release_id", ["2016-01", "2017-01", "2019-01"])
def test_real_texts_and_workbooks_agree_on_every_code_and_text(real, release_id: str) -> None:  # type: ignore[no-untyped-def]
    release = real(release_id)
    assert release.revisions["form"].to_list() == ["both"]
    for found in disagreements(release):
        assert found["finding"] != "record_in_one_form"
        if found["field"] in ("short_description", "long_description"):
            # Blanks only: texts of several lines are joined by one where the workbook has two. The text that the
            # sheet of 2019 cuts at G0503 goes on in its next row.
            assert "case, spacing or punctuation only" in str(found["message"])


def test_every_coded_value_of_the_real_releases_has_a_label(real, shared_cms: Path) -> None:  # type: ignore[no-untyped-def]
    labels = set(load_codebook().select("field", "value").iter_rows())
    seen = set()
    for folder in sorted(path.name for path in shared_cms.iterdir() if path.is_dir()):
        release = real(folder)
        assert release.findings.filter(finding="unknown_value").height == 0
        for field in {field for field, _ in labels} & set(release.records.columns):
            column = release.records[field]
            values = column.explode() if column.dtype == pl.List(pl.String) else column
            seen |= {(field, value) for value in values.drop_nulls().unique()}
    assert len(seen) > 150 and ("betos_code", "O1L") in seen
    assert seen <= labels


def test_the_116_dates_that_the_workbook_of_2025_leaves_blank_are_one_finding(real) -> None:  # type: ignore[no-untyped-def]
    release = real("2025-01")
    (found,) = (f for f in disagreements(release) if f["field"] == "action_effective_date")
    assert found["occurrences"] == 116 and "blank in the workbook" in str(found["message"])
    assert len(found["examples"]) == 5  # type: ignore[arg-type]


def test_the_text_that_the_workbook_of_2025_cuts_is_told_as_cut(real) -> None:  # type: ignore[no-untyped-def]
    cut = [f for f in disagreements(real("2025-01")) if "cut short in the workbook" in str(f["message"])]
    assert [(f["field"], f["code"]) for f in cut] == [("long_description", "G0503")]


def test_a_workbook_that_cannot_be_read_is_refused_with_its_readers_words(tmp_path: Path) -> None:
    path = tmp_path / "2019-01.zip"
    path.write_bytes(release_zip({"HCPC2019_CONTR_ANWEB.xlsx": b"PK\x03\x04 and no workbook"}))
    archive = open_archive(tmp_path / "archive")
    held = inspect_zip(path, stated="2019-01")
    archive.keep(path, held.sha256)
    with pytest.raises(ReleaseRefused, match=r"2019-01: HCPC2019_CONTR_ANWEB\.xlsx: cannot be read as a workbook: \w+"):
        read_release(archive, "2019-01", [held])
