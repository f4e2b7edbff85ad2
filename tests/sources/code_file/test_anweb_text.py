"""The fixed-width text: each quirk of CMS's files as one odd line, and what comes of it."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from made_up import record
from release_writer import SampleRecord, TextOptions, anweb_text

from sources.code_file.records import typed_records
from sources.code_file.text import looks_like_anweb_text, read_anweb_text
from sources.findings import Finding

LONG = record("A0080", long_description="Sample: " + "a word after another " * 12 + "end", coverage_code="I")
MODIFIER = record("TP", short_description="Sample van", coverage_code="D", type_of_service_codes=("1", "9"))
PLAIN = record("V5364", anesthesia_base_units=3, crosswalk_targets=("A0080", "TP"))


def read(data: bytes) -> tuple[dict[str, dict[str, object]], list[Finding]]:
    """Typed records by code, and the findings."""
    cells, findings = read_anweb_text("sample.txt", data)
    records, more = typed_records("sample.txt", cells)
    return {row["code"]: row for row in records.iter_rows(named=True)}, findings + more


def write(*records: SampleRecord, **options: object) -> bytes:
    return anweb_text(records, options=TextOptions(**options))  # type: ignore[arg-type]


def kinds(findings: list[Finding]) -> list[str]:
    return [f.finding for f in findings]


def test_a_plain_file_gives_every_field_and_no_finding() -> None:
    records, findings = read(write(LONG, MODIFIER, PLAIN))
    assert findings == []
    assert list(records) == ["TP", "A0080", "V5364"]
    assert records["TP"]["kind"] == "modifier" and records["A0080"]["kind"] == "procedure"
    assert records["V5364"]["anesthesia_base_units"] == 3
    assert records["V5364"]["crosswalk_targets"] == ["A0080", "TP"]
    assert records["TP"]["type_of_service_codes"] == ["1", "9"]
    assert records["A0080"]["added_date"] == dt.date(2010, 1, 1)
    assert records["A0080"]["termination_date"] is None


def test_continuations_are_joined_with_a_blank_where_a_line_ended() -> None:
    assert read(write(LONG))[0]["A0080"]["long_description"] == LONG.long_description


def test_a_record_knows_the_line_it_starts_on() -> None:
    # TP takes line 1, A0080 lines 2 to 5 (its text has four lines of 80), V5364 line 6.
    records, _ = read(write(LONG, MODIFIER, PLAIN))
    assert [r["source_line"] for r in records.values()] == [1, 2, 6]


@pytest.mark.parametrize(
    "options",
    [
        {"line_length": 293},
        {"continuation_length": 91},
        {"line_length": 293, "continuation_length": 0},
        {"ending": "empty_line"},
        {"ending": "blank_line"},
    ],
    ids=["2011", "2016", "2013", "empty last line", "blank last line"],
)
def test_every_years_line_lengths_and_endings_read_the_same(options: dict[str, object]) -> None:
    expected, _ = read(write(LONG, MODIFIER, PLAIN))
    records, findings = read(write(LONG, MODIFIER, PLAIN, **options))
    assert records == expected
    assert findings == []


@pytest.mark.parametrize("ending", [b"\n", b"\r"], ids=["LF", "CR"])
def test_line_ends_of_other_systems_are_line_ends(ending: bytes) -> None:
    data = write(LONG, MODIFIER, PLAIN)
    assert read(data.replace(b"\r\n", ending))[0] == read(data)[0]


def test_each_kind_of_line_end_counts_as_one_in_a_text_that_mixes_them() -> None:
    lines = write(LONG, MODIFIER, PLAIN).split(b"\r\n")
    ends = [b"\r\n", b"\r", b"\n\n", b"\r\r\n", b"\n\r", b""]
    records, findings = read(b"".join(line + end for line, end in zip(lines, ends, strict=False)))
    assert records["A0080"]["long_description"] == LONG.long_description
    # From the third on each is two ends, with an empty line between.
    assert [r["source_line"] for r in records.values()] == [1, 2, 9]
    assert findings == []


@pytest.mark.parametrize("length", [10, 11, 50, 100, 119, 120, 200, 292, 293, 319, 320])
def test_a_line_that_ends_early_has_blanks_there_and_nothing_of_the_next_line(length: int) -> None:
    cut, other = write(record("A0080", coverage_code="I", action_code="N"), PLAIN).split(b"\r\n")[:2]
    for lines in ([cut[:length], other], [other, cut[:length]]):
        records, _ = read(b"\n".join(lines))
        assert records == read(b"\n".join(line.ljust(320) for line in lines))[0]
        assert ("A0080" in records) == (length > 10)


def test_a_text_shorter_than_a_record_is_read() -> None:
    records, _ = read(b"V5364001003Sample")
    assert records["V5364"]["long_description"] == "Sample"
    assert records["V5364"]["short_description"] is None and records["V5364"]["crosswalk_targets"] == []


@pytest.mark.parametrize("data", [b"", b"\n", b"\r\n\r\n", b"\x1a"], ids=["empty", "LF", "CR LF", "end mark"])
def test_no_text_is_no_release(data: bytes) -> None:
    records, findings = read(data)
    assert records == {} and kinds(findings) == ["no_records"]


def test_the_end_mark_of_dos_is_no_record() -> None:
    records, findings = read(write(PLAIN) + b"\x1a")
    assert list(records) == ["V5364"] and findings == []


def test_a_byte_order_mark_and_utf_8_are_read() -> None:
    data = "\ufeff".encode() + write(record("V5364", long_description="Sample: at home - soon")).replace(
        b" - ", " é ".encode()
    )
    # The letter takes one character, two bytes: fields behind it stand where they belong only if characters count.
    records, _ = read(data)
    assert records["V5364"]["long_description"] == "Sample: at home é soon"
    assert records["V5364"]["added_date"] == dt.date(2010, 1, 1)


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8", "latin-1"])
def test_a_character_beyond_ascii_moves_no_field_and_is_noted(encoding: str) -> None:
    # No text of cp1252 has the byte 0x81, so that it makes the whole text one of Latin-1.
    letters = {"cp1252": "é™", "utf-8": "é😀", "latin-1": "é\x81"}[encoding]
    kinds = ["control_character"] * (encoding == "latin-1") + ["character_beyond_ascii"]
    plain = write(LONG, record("V5364", short_description="Sample xx", crosswalk_targets=("A0080", "TP")))
    records, findings = read(plain.replace(b"Sample xx", f"Sample {letters}".encode(encoding)))
    expected, _ = read(plain)
    assert records["V5364"].pop("short_description") == f"Sample {letters}".rstrip("\x81")
    assert expected["V5364"].pop("short_description") == "Sample xx"
    assert records == expected
    assert [(f.finding, f.code, f.line) for f in findings] == [(kind, "V5364", 5) for kind in kinds]


def test_a_blank_of_any_kind_at_the_end_of_a_description_line_is_none() -> None:
    first, second, *_ = write(LONG).split(b"\r\n")
    blank = b"\xa0 ".ljust(40)
    data = b"\r\n".join([first[:51] + blank + first[91:], second[:51] + blank + second[91:]])
    expected = f"{first[11:51].decode().rstrip()} {second[11:51].decode().rstrip()}"
    assert read(data)[0]["A0080"]["long_description"] == expected


def test_a_disclaimer_above_the_first_record_is_left_out_and_noted() -> None:
    records, findings = read(write(LONG, PLAIN, disclaimer=True))
    assert list(records) == ["A0080", "V5364"]
    (found,) = findings
    assert (found.finding, found.severity, found.line) == ("preamble", "info", 1)


def test_text_after_the_last_record_is_left_out_and_noted() -> None:
    records, findings = read(write(PLAIN) + b"End of the sample file.\r\n")
    assert list(records) == ["V5364"]
    assert [(f.finding, f.line) for f in findings] == [("trailer", 2)]


def test_text_between_records_is_refused_with_its_line() -> None:
    _, findings = read(write(LONG) + b"Words that belong to nothing.\r\n" + write(PLAIN))
    (found,) = findings
    assert (found.finding, found.severity, found.line) == ("not_a_record", "error", 5)
    assert "Words that belong" in str(found.raw_value)


def test_a_stray_first_character_gives_way_to_the_blank_it_replaced() -> None:
    records, findings = read(write(MODIFIER, PLAIN, stray_first_character="`"))
    assert records == read(write(MODIFIER, PLAIN))[0]
    assert [(f.finding, f.line) for f in findings] == [("stray_first_character", 1)]
    assert "'`'" in findings[0].message


def test_a_stray_first_character_before_the_line_is_dropped() -> None:
    records, findings = read(b"`" + write(PLAIN))
    assert records == read(write(PLAIN))[0]
    assert "stray_first_character" in kinds(findings)


@pytest.mark.parametrize("shifts", [False, True], ids=["2011: in place of a blank", "2012: moves later fields"])
def test_a_tab_in_the_line_moves_no_field(shifts: bool) -> None:
    records, findings = read(write(MODIFIER, LONG, PLAIN, tabs={"TP": shifts}))
    assert records == read(write(MODIFIER, LONG, PLAIN))[0]
    (found,) = findings
    assert (found.finding, found.code) == ("tab_in_line", "TP")
    assert ("moves every later field" in found.message) == shifts


def test_lines_are_mended_each_in_its_place() -> None:
    others = [record(f"J000{n}") for n in range(4)]  # most lines of a kind have the length that the mended ones get
    data = write(MODIFIER, LONG, PLAIN, *others, tabs={"TP": True, "V5364": True})
    records, findings = read(data.replace(b"\nA008000100", b"\n`A008000100", 1))
    assert records == read(write(MODIFIER, LONG, PLAIN, *others))[0]
    assert [(f.finding, f.line) for f in findings] == [
        ("stray_first_character", 2),
        ("tab_in_line", 1),
        ("tab_in_line", 10),
    ]


def test_a_line_is_mended_in_a_text_beyond_ascii() -> None:
    data = write(MODIFIER, LONG, PLAIN, stray_first_character="`", tabs={"V5364": False})
    records, findings = read(data.replace(b"Sample van", b"Sample v\xe9n"))
    expected, _ = read(write(MODIFIER, LONG, PLAIN))
    assert records == expected | {"TP": expected["TP"] | {"short_description": "Sample vén"}}
    assert kinds(findings) == ["stray_first_character", "tab_in_line", "character_beyond_ascii"]


def test_a_record_starts_at_its_record_id_whatever_its_sequence() -> None:
    records, findings = read(write(LONG, PLAIN, from_sequence_two=("A0080", "V5364")))
    assert records == read(write(LONG, PLAIN))[0]
    (found,) = findings
    assert (found.finding, found.severity, found.occurrences) == ("late_sequence_start", "info", 2)
    assert "A0080 at line 1 starts with 002" in found.examples


def test_a_sequence_that_jumps_back_is_noted_and_joined_in_the_order_of_lines() -> None:
    lines = write(LONG).split(b"\r\n")
    lines[2] = lines[2][:5] + b"00100" + lines[2][10:]
    records, findings = read(b"\r\n".join(lines))
    assert records["A0080"]["long_description"] == LONG.long_description
    assert ("sequence_out_of_order", 3) in [(f.finding, f.line) for f in findings]


@pytest.mark.parametrize(("length", "action"), [(294, "blanks cut"), (316, "padded")])
def test_a_line_of_odd_length_is_mended_and_noted(length: int, action: str) -> None:
    usual = 293 if length == 294 else 320
    records, findings = read(write(LONG, MODIFIER, PLAIN, line_length=usual, odd_lengths={"V5364": length}))
    assert records == read(write(LONG, MODIFIER, PLAIN))[0]
    assert [(f.finding, f.severity, f.code, f.action) for f in findings] == [("line_length", "info", "V5364", action)]
    assert f"{length} characters" in findings[0].message


def test_text_beyond_the_record_is_left_out_with_a_warning() -> None:
    data = write(LONG, MODIFIER, PLAIN)
    _, findings = read(data[:-2] + b" more" + data[-2:])
    assert [(f.finding, f.severity, f.raw_value) for f in findings] == [("line_length", "warning", "more")]


def test_a_first_line_that_ends_within_its_fields_is_a_warning() -> None:
    data = write(LONG, MODIFIER, PLAIN).rstrip()
    records, findings = read(data[: -(293 - 284)])
    assert records["V5364"]["action_code"] is None
    assert [(f.finding, f.severity) for f in findings] == [("line_length", "warning")]


def test_another_record_id_is_refused_by_line_and_value() -> None:
    lines = write(LONG, PLAIN).split(b"\r\n")
    lines[4] = lines[4][:10] + b"5" + lines[4][11:]
    _, findings = read(b"\r\n".join(lines))
    (found,) = findings
    assert (found.severity, found.line, found.raw_value) == ("error", 5, "5")
    assert found.message == "record id 5 is none of 3, 4, 7, 8"


def test_a_lower_case_code_is_no_code() -> None:
    _, findings = read(write(LONG, PLAIN).replace(b"V5364", b"v5364"))
    assert [(f.finding, f.severity, f.raw_value) for f in findings] == [("not_a_record", "error", "v5364")]


@pytest.mark.parametrize("position", range(11))
def test_a_character_next_to_those_that_belong_to_a_head_makes_it_no_record(position: int) -> None:
    # Beside the digits and the capitals in the order of characters, and one that has no place among bytes.
    for character in "/:@[é😀 ":
        lines = write(LONG, PLAIN, MODIFIER).decode().split("\r\n")
        for number in (1, 5):  # of a modifier and of a code
            lines.append(lines[number][:position] + character + lines[number][position + 1 :])
        records, findings = read("\r\n".join(lines).encode())
        assert records == read(write(LONG, PLAIN, MODIFIER))[0]
        assert findings


@pytest.mark.parametrize(("code", "record_id"), [("A9999", "4"), ("A9999", "8"), ("A0080", "8")])
def test_a_continuation_needs_a_record_of_its_code_and_kind(code: str, record_id: str) -> None:
    orphan = f"{code}00200{record_id}".encode() + b"Sample: words of nobody".ljust(309) + b"\r\n"
    records, findings = read(write(LONG) + orphan + write(PLAIN))
    assert list(records) == ["A0080", "V5364"] and records["A0080"]["long_description"] == LONG.long_description
    (found,) = findings
    assert (found.finding, found.severity, found.line, found.code) == (
        "continuation_without_record",
        "error",
        5,
        code,
    )


def test_blanks_alone_are_no_release() -> None:
    _, findings = read_anweb_text("sample.txt", (b" " * 320 + b"\r\n") * 40)
    assert [(f.finding, f.severity) for f in findings] == [("no_records", "error")]


def test_a_code_file_is_known_by_its_lines() -> None:
    assert looks_like_anweb_text(write(LONG, PLAIN, disclaimer=True))
    assert not looks_like_anweb_text(b"Sample: an explanation of what the files hold.\r\n" * 30)
    assert not looks_like_anweb_text((b" " * 320 + b"\r\n") * 40)


# --- real releases ---------------------------------------------------------------------------------------------------

#: Codes and modifiers of the releases that have a text, as the issue counted them from the bytes.
COUNTS = {
    "2011-01": (5410, 316),
    "2012-01": (5507, 314),
    "2016-01": (5956, 337),
    "2017-01": (6155, 343),
    "2019-01": (6440, 360),
    "2025-01": (8259, 383),
}


@pytest.mark.parametrize("release_id", COUNTS)
def test_real_texts_give_the_codes_that_their_bytes_hold(
    real_members: dict[str, dict[str, bytes]], release_id: str
) -> None:
    (data,) = (d for n, d in real_members[release_id].items() if n.endswith(".txt") and "anweb" in n.lower())
    lines = [line for line in data.replace(b"\r", b"").split(b"\n") if line[5:10].isdigit()]
    counted = sum(line[10:11] == b"3" for line in lines), sum(line[10:11] == b"7" for line in lines)
    assert counted == COUNTS[release_id]
    cells, findings = read_anweb_text("real.txt", data)
    assert dict(cells.rows["kind"].value_counts().iter_rows()) == dict(
        zip(("procedure", "modifier"), COUNTS[release_id], strict=True)
    )
    assert not [f for f in findings if f.severity != "info"]


def test_the_single_defects_of_real_texts_are_found_and_mended(real_members: dict[str, dict[str, bytes]]) -> None:
    def found(release_id: str, member: str) -> tuple[pl.DataFrame, list[Finding]]:
        cells, findings = read_anweb_text(member, real_members[release_id][member])
        records, more = typed_records(member, cells)
        return records, findings + more

    records_2011, in_2011 = found("2011-01", "11anweb_V3.txt")
    records_2012, in_2012 = found("2012-01", "12anweb.txt")
    _, in_2019 = found("2019-01", "HCPC2019_CONTR_ANWEB.txt")
    assert [(f.code, f.line) for f in in_2011 if f.finding == "stray_first_character"] == [("A1", 1)]
    assert ["294" in f.message for f in in_2011 if f.finding == "line_length"] == [True]
    assert ["316" in f.message for f in in_2019 if f.finding == "line_length"] == [True]
    for findings in (in_2011, in_2012):
        assert [f.code for f in findings if f.finding == "tab_in_line"] == ["TP"]
    # The tab of 2012 moved every field: unmended, no date of TP could be read, or a wrong one.
    columns = ["added_date", "action_effective_date", "termination_date", "action_code", "coverage_code"]
    before, after = (r.filter(code="TP").select(columns).row(0) for r in (records_2011, records_2012))
    assert before == after and before[0] is not None


def test_no_code_page_damage_is_left_in_the_texts_of_2011_and_2012(real_members: dict[str, dict[str, bytes]]) -> None:
    for release_id, member in (("2011-01", "11anweb_V3.txt"), ("2012-01", "12anweb.txt")):
        data = real_members[release_id][member]
        assert any(byte > 0x7F for byte in data)
        records, findings = typed_records(member, read_anweb_text(member, data)[0])
        texts = "".join(records["long_description"]) + "".join(records["short_description"].drop_nulls())
        assert {c for c in texts if not c.isascii()} <= set("‘’“”–—•…™®")
        assert "code_page_damage" in kinds(findings)
