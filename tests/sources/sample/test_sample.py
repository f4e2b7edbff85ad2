"""What the sample's generator writes is in CMS's layout, by a reading that shares nothing with our reader."""

from __future__ import annotations

import datetime as dt
import io
import re
import zipfile
import zlib
from dataclasses import replace
from pathlib import Path

import bad_inputs
import fastexcel
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_writer import (
    CORRECTION_HEADINGS,
    SampleRecord,
    TextOptions,
    WorkbookOptions,
    anweb_text,
    anweb_workbook,
    corrections,
    description_lines,
    noc_codes,
    processing_notes,
    release_zip,
    transaction_report,
    workbook_headings,
)
from sample_writer import sample_records, write_sample

from sources.sample import SAMPLE_FOLDER, is_sample

#: First and last position of each field, from the table of the record in CMS's layout files: width follows from times.
POSITIONS = {
    "short_description": (92, 119, 1),
    "pricing_indicators": (120, 127, 4),
    "multiple_pricing_code": (128, 128, 1),
    "coverage_manual_refs": (129, 146, 3),
    "carriers_manual_refs": (147, 170, 3),
    "statute_ref": (171, 180, 1),
    "lab_certification_codes": (181, 204, 8),
    "crosswalk_targets": (205, 229, 5),
    "coverage_code": (230, 230, 1),
    "asc_group": (231, 232, 1),
    "asc_date": (233, 240, 1),
    "opps_group": (241, 243, 1),
    "opps_policy_code": (244, 244, 1),
    "opps_date": (245, 252, 1),
    "processing_note": (253, 256, 1),
    "betos_code": (257, 259, 1),
    "type_of_service_codes": (261, 265, 5),
    "anesthesia_base_units": (266, 268, 1),
    "added_date": (269, 276, 1),
    "action_effective_date": (277, 284, 1),
    "termination_date": (285, 292, 1),
    "action_code": (293, 293, 1),
}

DAY = dt.date(2020, 1, 1)
BANDAGE = SampleRecord(
    code="A1", short_description="Sample bandage", long_description="Sample: one bandage", action_code="N"
)
RIDE = SampleRecord(
    code="A0080",
    short_description="Sample ride",
    long_description="Sample: ride " + "by the mile or more " * 12 + "one way",
    coverage_code="I",
    added_date=DAY,
    action_effective_date=DAY,
    action_code="A",
)


def lines_of(text: bytes) -> list[str]:
    assert text.endswith(b"\r\n")
    return text.decode("cp1252").split("\r\n")[:-1]


def sliced(text: bytes) -> list[SampleRecord]:
    """Read a text by positions alone."""
    found: list[SampleRecord] = []
    for line in lines_of(text):
        padded = line.ljust(320)
        description = padded[11:91].rstrip()
        if padded[10] in "48":
            found[-1] = replace(found[-1], long_description=f"{found[-1].long_description} {description}")
            continue
        assert padded[10] == ("7" if padded[:3] == "   " else "3")
        values = {name: typed(name, padded[first - 1 : last], n) for name, (first, last, n) in POSITIONS.items()}
        found.append(SampleRecord(code=padded[:5].strip(), long_description=description or None, **values))
    return found


def typed(name: str, raw: str, times: int) -> object:
    if times > 1:
        width = len(raw) // times
        return tuple(filter(None, (raw[n * width : (n + 1) * width].strip() for n in range(times))))
    if not raw.strip():
        return None
    if name.endswith("_date"):
        return dt.datetime.strptime(raw, "%Y%m%d").date()
    return int(raw) if name == "anesthesia_base_units" else raw.rstrip()


def sheet(workbook: bytes, index: int = 0) -> list[tuple[str | None, ...]]:
    book = fastexcel.read_excel(workbook)
    return book.load_sheet(index, header_row=None, skip_rows=0, dtypes="string").to_polars().rows()


def members_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
DIGITS = "0123456789"
words = st.lists(st.text("aBz09,;:<>=%/+.()-", min_size=1, max_size=20), min_size=1, max_size=40)
days = st.none() | st.dates(dt.date(1980, 1, 1), dt.date(2035, 12, 31))
codes = st.builds("{}{:04d}".format, st.sampled_from("ABCEGJV"), st.integers(0, 9999)) | st.builds(
    "{}{}".format, st.sampled_from(LETTERS), st.sampled_from(LETTERS + DIGITS)
)


@st.composite
def made_up_records(draw: st.DrawFn) -> SampleRecord:
    values: dict[str, object] = {}
    for name, (first, last, times) in POSITIONS.items():
        value = st.text("AZ09.", min_size=1, max_size=(last - first + 1) // times)
        if times > 1:
            values[name] = tuple(draw(st.lists(value, max_size=times)))
        elif name.endswith("_date"):
            values[name] = draw(days)
        elif name == "anesthesia_base_units":
            values[name] = draw(st.none() | st.integers(0, 999))
        else:
            values[name] = draw(st.none() | value)
    return SampleRecord(code=draw(codes), long_description=" ".join(draw(words)), **values)


text_layouts = st.sampled_from(
    [
        TextOptions(),
        TextOptions(line_length=293),
        TextOptions(line_length=293, continuation_length=0),
        TextOptions(continuation_length=91),
    ]
)


@settings(max_examples=40, deadline=None)
@given(st.lists(made_up_records(), min_size=1, max_size=6, unique_by=lambda r: r.code), text_layouts)
def test_a_text_sliced_by_positions_gives_back_the_records(records: list[SampleRecord], options: TextOptions) -> None:
    assert sliced(anweb_text(records, options=options)) == sorted(records, key=lambda r: r.code.rjust(5))


@settings(max_examples=10, deadline=None)
@given(st.lists(made_up_records(), min_size=1, max_size=4, unique_by=lambda r: r.code))
def test_workbook_and_text_say_the_same(records: list[SampleRecord]) -> None:
    rows = sheet(anweb_workbook(records))
    first_lines = {}
    for line in lines_of(anweb_text(records)):
        if line[10] in "37":
            first_lines[line[:5]] = line
    assert len(rows) == 1 + len(records)
    column = rows[0].index
    for row in rows[1:]:
        line = first_lines[str(row[0])]
        assert row[column("RECID")] == line[10]
        assert [row[column(f"XREF{n}")] or "" for n in range(1, 6)] == [
            line[204 + 5 * n :][:5].strip() for n in range(5)
        ]
        assert (row[column("TERM DT")] or "", row[column("ACTION CD")] or "") == (
            line[284:292].strip(),
            line[292].strip(),
        )
        assert (row[column("TOS1")] or "", row[column("TOS5")] or "") == (line[260].strip(), line[264].strip())


def test_a_description_breaks_at_blanks_into_numbered_continuations() -> None:
    lines = lines_of(anweb_text([RIDE]))
    assert [line[5:11] for line in lines] == ["001003", "002004", "003004", "004004"]
    assert all(len(line[11:91].rstrip()) <= 80 and not line[91:].strip() for line in lines[1:])
    assert " ".join(line[11:91].rstrip() for line in lines) == RIDE.long_description


def test_a_modifier_stands_in_columns_four_and_five_before_the_codes() -> None:
    long = replace(BANDAGE, long_description="Sample: " + "bandage " * 15 + "end")
    assert [line[:11] for line in lines_of(anweb_text([RIDE, long]))][:3] == [
        "   A1001007",
        "   A1002008",
        "A0080001003",
    ]


@pytest.mark.parametrize(
    ("options", "lengths"),
    [
        (TextOptions(), {320}),
        (TextOptions(line_length=293), {293}),
        (TextOptions(continuation_length=91), {320, 91}),
        (TextOptions(odd_lengths={"A0080": 316}), {320, 316}),
        (TextOptions(line_length=293, odd_lengths={"A0080": 294}), {293, 294}),
    ],
)
def test_lines_have_the_lengths_asked_for(options: TextOptions, lengths: set[int]) -> None:
    assert {len(line) for line in lines_of(anweb_text([BANDAGE, RIDE], options=options))} == lengths


def test_trimmed_continuations_end_with_their_last_letter() -> None:
    lines = lines_of(anweb_text([RIDE], options=TextOptions(line_length=293, continuation_length=0)))
    assert len(lines[0]) == 293
    assert all(line == line.rstrip() for line in lines[1:])


def test_a_tab_stands_for_one_blank_or_shifts_the_later_fields() -> None:
    plain, shifted = (
        lines_of(anweb_text([BANDAGE], options=TextOptions(line_length=293, tabs={"A1": shift})))[0]
        for shift in (False, True)
    )
    assert plain[11:31] == "Sample: one bandage\t" and (len(plain), plain[292]) == (293, "N")
    assert shifted[11:31] == "Sample: one bandage\t" and (len(shifted), shifted[291]) == (292, "N")


def test_a_wrong_code_page_turns_an_apostrophe_into_c6() -> None:
    record = replace(BANDAGE, short_description="rx’d 5”", long_description="Sample: a\xa0b")
    damaged = anweb_text([record], options=TextOptions(characters="wrong_code_page"))
    assert b"rx\xc6d 5\xf6" in damaged and b"a\xe1b" in damaged
    assert b"rx\x92d 5\x94" in anweb_text([record])
    assert b"rx?d 5?" in anweb_text([record], options=TextOptions(characters="question_marks"))


def test_what_stands_before_and_after_the_records() -> None:
    options = TextOptions(disclaimer=True, ending="blank_line")
    lines = lines_of(anweb_text([BANDAGE], options=options))
    assert len(lines) == 10 and lines[8].startswith("   A1001007") and lines[9] == " " * 320
    assert "\t" in lines[0] and any("\xa0" in line for line in lines[:8])
    assert lines_of(anweb_text([BANDAGE], options=TextOptions(ending="empty_line")))[-1] == ""


def test_a_stray_character_takes_the_first_blank_and_a_record_may_start_at_002() -> None:
    options = TextOptions(stray_first_character="`", from_sequence_two=("A1",), upper_case=True)
    line = lines_of(anweb_text([BANDAGE], options=options))[0]
    assert line.startswith("`  A1002007SAMPLE: ONE BANDAGE ") and len(line) == 320
    assert line[91:105] == "Sample bandage"


def test_what_does_not_fit_is_refused_with_the_value() -> None:
    with pytest.raises(ValueError, match="A1: statute_ref has room for 10 characters"):
        anweb_text([replace(BANDAGE, statute_ref="12345678901")])
    with pytest.raises(ValueError, match="crosswalk_targets has room for 5 values"):
        anweb_text([replace(BANDAGE, crosswalk_targets=("A0001",) * 6)])
    with pytest.raises(ValueError, match="no line of 80 characters"):
        description_lines("x" * 81)


@pytest.mark.parametrize(("headings", "columns", "price"), [("new", 48, "PRICE4"), ("old", 49, "PI4")])
def test_a_workbook_has_the_columns_of_its_years(headings: str, columns: int, price: str) -> None:
    rows = sheet(anweb_workbook([RIDE], options=WorkbookOptions(headings=headings)))  # type: ignore[arg-type]
    assert len(rows[0]) == columns == len(set(rows[0]))
    assert (rows[0][0], rows[0][8]) == ("HCPC", price)


@pytest.mark.parametrize("header_row", [1, 8, 11])
def test_the_header_stands_on_the_row_asked_for(header_row: int) -> None:
    rows = sheet(anweb_workbook([BANDAGE, RIDE], options=WorkbookOptions(header_row=header_row)))
    assert [n for n, row in enumerate(rows, 1) if row[0] == "HCPC"] == [header_row]
    assert [row[0] for row in rows[header_row:]] == ["   A1", "A0080"]


def test_a_workbook_has_a_row_per_record_or_per_code() -> None:
    by_line = sheet(anweb_workbook([RIDE], options=WorkbookOptions(headings="old", rows="record")))[1:]
    assert [row[1:3] for row in by_line] == [("00100", "3"), ("00200", "4"), ("00300", "4"), ("00400", "4")]
    assert " ".join(str(row[3]) for row in by_line) == RIDE.long_description
    by_code = sheet(anweb_workbook([RIDE]))[1:]
    assert [row[1:4] for row in by_code] == [("0010", "3", RIDE.long_description)]
    split = sheet(anweb_workbook([BANDAGE, RIDE], options=WorkbookOptions(split_codes=("A0080",))))[1:]
    assert [row[1] for row in split] == ["0010", "0010", "0020", "0030", "0040"]


def test_cells_are_null_or_empty_and_dates_text_or_numbers() -> None:
    statute, effective, added = (workbook_headings("new").index(h) for h in ("STATUTE", "ACT EFF DT", "ADD DT"))
    assert sheet(anweb_workbook([RIDE]))[1][statute] is None
    options = WorkbookOptions(
        blanks="empty", no_action_effective_date=("A0080",), numeric_dates=("A0080",), empty_rows=3
    )
    workbook = anweb_workbook([RIDE], options=options)
    row = sheet(workbook)[1]
    assert (row[statute], row[effective], row[added]) == ("", "", "20200101")
    typed_cells = fastexcel.read_excel(workbook).load_sheet(0).to_polars()
    assert typed_cells["ADD DT"].dtype.is_numeric() and typed_cells.height == 4


def test_the_same_arguments_give_the_same_bytes() -> None:
    assert anweb_workbook([BANDAGE, RIDE]) == anweb_workbook([RIDE, BANDAGE])
    assert transaction_report([RIDE]) == transaction_report([RIDE])
    assert release_zip({"a.txt": b"a"}, date=DAY) == release_zip({"a.txt": b"a"}, date=DAY)


def test_a_transaction_report_has_two_columns_or_four() -> None:
    two = transaction_report([BANDAGE, RIDE], headings=("HCPCS/Modifier Code", "Type of Change"), padded=False)
    assert sheet(two) == [("HCPCS/Modifier Code", "Type of Change"), ("A0080", "ADD"), ("A1", "No Change")]
    four = transaction_report([BANDAGE, RIDE], header_row=10, by_code_first=True)
    assert fastexcel.read_excel(four).sheet_names == ["Changes by HCPC", "Changes by Action Code", "Action Code Key"]
    assert sheet(four)[9][0] == "HCPC"
    assert sheet(four)[10] == ("   A1", "No Change", "Sample bandage", "Sample: one bandage")


def test_corrections_have_their_header_on_row_four_under_a_title() -> None:
    rows = [{"CODE": "A0080", "ACTION": "Terminate", "EFF DATE": DAY}, {"CODE": "A1", "EFF DATE": "01/0/12019"}]
    book = corrections(rows, headings=CORRECTION_HEADINGS[2019], title="SAMPLE")
    found = sheet(book)
    assert len(found[3]) == 13 and found[3] == CORRECTION_HEADINGS[2019]
    assert [row[0] for row in found[4:]] == ["A0080", "A1"]
    assert str(found[4][2]).startswith("2020-01-01") and found[5][2] == "01/0/12019"
    with pytest.raises(ValueError, match=r"no such heading.*PRISE"):
        corrections([{"PRISE": "1"}], headings=CORRECTION_HEADINGS[2019])


def test_unlisted_codes_have_their_header_on_row_three_or_four() -> None:
    rows = sheet(noc_codes([RIDE, RIDE], title="SAMPLE", header_row=4, end_mark=True))
    assert rows[3] == ("HCPCS", "LONG DESCRIPTION", "ADD DATE", "TERM DATE")
    assert [row[0] for row in rows[5:]] == ["A0080", "A0080", "\x1a"]
    assert rows[5][2] == "20200101"


def test_notes_are_numbered_paragraphs_in_a_box() -> None:
    notes = {"0001": "Sample note " + "that goes on " * 10, "0217": "Sample note with tabs"}
    lines = lines_of(processing_notes(notes, with_tabs=("0217",)))
    assert lines[3].startswith(" " * 10 + "0001--SAMPLE NOTE") and lines[4].startswith(" " * 16 + "G")
    assert {line[91:] for line in lines[3:6]} == {"*"}
    assert any(line.startswith("\t  0217--SAMPLE NOTE WITH TABS\t") for line in lines)


def whole_content(content: bytes) -> object:
    """What a file says whichever zlib compressed it: workbooks are zips as well."""
    if not content.startswith(b"PK"):
        return content
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return archive.comment, [(i.filename, i.date_time, whole_content(archive.read(i))) for i in archive.infolist()]


def test_the_sample_is_marked_and_is_what_its_tables_say(tmp_path: Path) -> None:
    written = write_sample(tmp_path)
    bundled = sorted(SAMPLE_FOLDER.rglob("*.zip"))
    assert all(is_sample(path) for path in bundled)
    assert [p.relative_to(SAMPLE_FOLDER) for p in bundled] == [p.relative_to(tmp_path) for p in written]
    for ours, made in zip(bundled, written, strict=True):
        assert whole_content(ours.read_bytes()) == whole_content(made.read_bytes()), ours.name


def test_a_zip_without_the_mark_is_no_sample(tmp_path: Path) -> None:
    (tmp_path / "real.zip").write_bytes(release_zip({"12anweb.txt": b""}, comment=b""))
    (tmp_path / "page.zip").write_bytes(bad_inputs.html_page())
    assert not is_sample(tmp_path / "real.zip")
    assert not is_sample(tmp_path / "page.zip")


def test_cms_releases_are_no_sample(shared_cms: Path) -> None:
    assert not any(is_sample(path) for path in shared_cms.glob("*/*.zip"))


@pytest.mark.parametrize("posting", ["2017-01", "2019-01", "2025-01"])
def test_each_record_of_the_table_stands_in_the_release(posting: str) -> None:
    records = sample_records()[posting]
    text = next(
        content
        for path in SAMPLE_FOLDER.glob(f"{posting}/*.zip")
        for name, content in members_of(path).items()
        if name.endswith(".txt") and "ANWEB" in name
    )
    body = b"\r\n".join(line for line in text.split(b"\r\n") if re.match(rb".{5}\d{3}00[3478]", line)) + b"\r\n"
    expected = sorted(records, key=lambda r: r.padded_code)
    assert sliced(body) == [replace(r, long_description=" ".join((r.long_description or "").split())) for r in expected]


def test_the_sample_shows_what_it_says() -> None:
    releases = sample_records()
    state = {posting: {record.code: record for record in records} for posting, records in releases.items()}
    assert {len(records) for records in releases.values()} <= set(range(50, 75))
    assert {r.action_code for records in releases.values() for r in records} == set("ABCDFNPRST")
    assert state["2012-01"]["J0570"].added_date != state["2017-01"]["J0570"].added_date
    assert "J0570" not in state["2016-01"]
    assert (state["2025-01"]["J0570"].termination_date, state["2025-10"]["J0570"].termination_date) == (
        dt.date(2024, 12, 31),
        None,
    )
    assert state["2019-01"]["C8904"].crosswalk_targets == ("77046",)
    assert state["2017-01"]["G6030"].action_code == "N" and state["2017-01"]["G6030"].termination_date is not None
    differing = [r.code for r, s in zip(releases["2025-10"], releases["2025-10/2"], strict=True) if r != s]
    assert differing == ["C1739"]
    october = sorted(path.name for path in (SAMPLE_FOLDER / "2025-10").iterdir())
    assert len(october) == 2
    first_line = members_of(SAMPLE_FOLDER / "2012-01" / "12anweb.zip")["12anweb.txt"].split(b"\r\n")[0]
    assert first_line.startswith(b"`  A1001007SAMPLE: ")


def test_every_word_of_the_sample_is_marked_as_made_up() -> None:
    for records in sample_records().values():
        for record in records:
            assert (record.short_description or "").startswith("Sample"), record.code
            assert (record.long_description or "").startswith("Sample"), record.code


@pytest.mark.parametrize("name", ["html_page", "not_a_zip", "truncated_zip", "empty_file"])
def test_what_is_made_to_be_no_zip_is_none(name: str) -> None:
    with pytest.raises(zipfile.BadZipFile):
        zipfile.ZipFile(io.BytesIO(bad_inputs.BAD_INPUTS[name]()))


def test_each_bad_input_is_bad_in_its_own_way() -> None:
    def archive(name: str) -> zipfile.ZipFile:
        return zipfile.ZipFile(io.BytesIO(bad_inputs.BAD_INPUTS[name]()))

    assert archive("encrypted_zip").infolist()[0].flag_bits & 1
    with pytest.raises(zlib.error):
        archive("damaged_zip").read(bad_inputs.TEXT)
    with pytest.raises(zipfile.BadZipFile, match="CRC"):
        archive("wrong_checksum").read(bad_inputs.TEXT)
    assert archive("empty_zip").namelist() == []
    assert "../outside.txt" in archive("climbing_member").namelist()
    bomb = archive("zip_bomb").infolist()[0]
    assert bomb.file_size / bomb.compress_size > 500
    assert len({i.CRC for i in archive("two_different_code_files").infolist()}) == 2
    ids = {name: archive(name).read(bad_inputs.TEXT) for name in ("record_id_five", "continuation_without_record")}
    assert b"V5364001005" in ids["record_id_five"]
    assert b"A0080002004" in ids["continuation_without_record"]
    assert b"A0080001003" not in ids["continuation_without_record"]
    assert archive("same_code_twice").read(bad_inputs.TEXT).count(b"V5364001003") == 2
    assert b"20190231" in archive("impossible_date").read(bad_inputs.TEXT)
    assert not archive("text_of_blanks").read(bad_inputs.TEXT).strip()
    book = sheet(archive("workbook_without_header").read(bad_inputs.WORKBOOK))
    assert book[0][0] == "WORD" and book[1][0] == "   A1"
