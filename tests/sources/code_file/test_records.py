"""Typing of cells: what an odd value becomes, and what may not be guessed."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest

from sources.code_file.records import Cells, merge_findings, read_odd_date, typed_records, undo_code_page_damage
from sources.findings import Finding


def type_cells(**cells: str | None) -> tuple[dict[str, object], list[Finding]]:
    """One record's cells, typed, and the findings."""
    frame = pl.DataFrame(
        {"code": ["A0080"], "kind": ["procedure"], "source_line": [7]}
        | {name: pl.Series([value], dtype=pl.String) for name, value in cells.items()}
    )
    records, findings = typed_records("sample.txt", Cells.of_rows(frame))
    return records.row(0, named=True), findings


@pytest.mark.parametrize(
    ("value", "date"),
    [
        ("20190101", dt.date(2019, 1, 1)),
        ("20190101.0", dt.date(2019, 1, 1)),
        ("2019-01-01", dt.date(2019, 1, 1)),
        ("2019-01-01 00:00:00", dt.date(2019, 1, 1)),
        ("1/31/2019", dt.date(2019, 1, 31)),
        ("43466", dt.date(2019, 1, 1)),  # spreadsheets count days from 1899-12-30
        ("43466.0", dt.date(2019, 1, 1)),
        ("00000000", None),
        ("0", None),
    ],
)
def test_a_date_is_read_in_every_form_that_leaves_no_doubt(value: str, date: dt.date | None) -> None:
    record, findings = type_cells(termination_date=value, added_date="20000101")
    assert record["termination_date"] == date
    assert [f.finding for f in findings] == ([] if value == "20190101" else ["odd_form"])
    assert all(f.severity == "info" and f.raw_value == value for f in findings)


@pytest.mark.parametrize(
    "value",
    [
        "20190231",
        "2019010",
        "20191301",
        "01/0/12019",
        "soon",
        "201901011",
        "99999999",
        "00001231",
        "0000-12-31",
        "12/31/0000",
    ],
)
def test_a_date_that_decides_validity_and_cannot_be_read_refuses_the_release(value: str) -> None:
    record, (found,) = type_cells(termination_date=value)
    assert record["termination_date"] is None
    assert (found.severity, found.line, found.code, found.field, found.raw_value) == (
        "error",
        7,
        "A0080",
        "termination_date",
        value,
    )
    assert value in found.message


@pytest.mark.parametrize(
    ("field", "value"), [("asc_date", "20190231"), ("action_effective_date", "x"), ("anesthesia_base_units", "many")]
)
def test_another_field_that_cannot_be_read_is_null_and_a_warning(field: str, value: str) -> None:
    record, (found,) = type_cells(**{field: value})
    assert record[field] is None
    assert (found.finding, found.severity, found.raw_value) == ("unreadable_value", "warning", value)


def test_a_number_with_a_zero_fraction_is_a_whole_number() -> None:
    record, (found,) = type_cells(anesthesia_base_units="3.0")
    assert record["anesthesia_base_units"] == 3 and found.finding == "odd_form"
    assert read_odd_date("3.5") == (None, None)


def test_a_record_that_ends_before_it_begins_refuses_the_release() -> None:
    _, (found,) = type_cells(added_date="20190101", termination_date="20181231")
    assert (found.finding, found.severity, found.line, found.code) == ("dates_out_of_order", "error", 7, "A0080")
    assert "2018-12-31" in found.message and "2019-01-01" in found.message
    assert type_cells(added_date="20190101", termination_date="20190101")[1] == []


def test_blank_cells_are_null_and_leave_lists_without_gaps() -> None:
    record, findings = type_cells(
        short_description=" \u00a0 ", crosswalk_targets_1="A0080", crosswalk_targets_2="", crosswalk_targets_3="QM"
    )
    assert record["short_description"] is None
    assert record["crosswalk_targets"] == ["A0080", "QM"]
    assert record["lab_certification_codes"] == []
    assert findings == []


@pytest.mark.parametrize(
    "original", ["rx’d", "5” wide", "“sample” thing", "one – two", "half — whole", "and so on…", "name™", "name®"]
)
def test_code_page_damage_is_undone_by_its_cause(original: str) -> None:
    damaged = original.encode("cp1252").decode("cp437")
    assert damaged != original
    assert undo_code_page_damage(damaged) == original


def test_a_no_break_space_that_became_a_letter_is_a_blank() -> None:
    assert undo_code_page_damage("of\u00a0one".encode("cp1252").decode("cp437")) == "of one"


@pytest.mark.parametrize("word", ["Sjögren", "Ménière", "Behçet", "naïve", "Jiménez", "plain", "’quoted’", "°C", "½"])
def test_letters_of_foreign_words_stay(word: str) -> None:
    assert undo_code_page_damage(word) == word


def test_undone_damage_is_a_finding_with_the_raw_value() -> None:
    record, (found,) = type_cells(short_description="Sample rxÆd")
    assert record["short_description"] == "Sample rx’d"
    assert (found.finding, found.severity, found.raw_value) == ("code_page_damage", "info", "Sample rxÆd")


def test_a_lost_character_stays_and_is_noted() -> None:
    record, (found,) = type_cells(long_description="Sample: from 70?189 units; why?")
    assert record["long_description"] == "Sample: from 70?189 units; why?"
    assert (found.finding, found.raw_value) == ("lost_character", "70?189")


@pytest.mark.parametrize(
    ("kind", "code"), [("procedure", "ABCDE"), ("procedure", "A008"), ("modifier", "A12"), ("modifier", "a1")]
)
def test_what_has_not_the_shape_of_a_code_refuses_the_release(kind: str, code: str) -> None:
    frame = pl.DataFrame({"code": [code], "kind": [kind], "source_line": [1]})
    _, findings = typed_records("x.txt", Cells.of_rows(frame))
    assert [(f.finding, f.severity, f.raw_value) for f in findings] == [("code_shape", "error", code)]


def test_each_rule_names_the_records_that_it_is_about() -> None:
    day = "20200101"
    frame = pl.DataFrame(
        {
            "code": ["a1", "A0080", "ABCDE", "V5364", "J0001"],
            "kind": ["modifier", *["procedure"] * 4],
            "source_line": [1, 2, 3, 4, 5],
            "short_description": ["Sample", "Sample", "Why? Sample", "Sam?ple", None],
            "long_description": ["Sample"] * 4 + ["Long sam?ple"],
            "added_date": [day] * 5,
            "termination_date": [None, "20191231", day, None, None],
        }
    )
    _, findings = typed_records("x.txt", Cells.of_rows(frame))
    assert [(f.finding, f.line, f.field) for f in findings] == [
        ("code_shape", 1, "code"),
        ("code_shape", 3, "code"),
        ("dates_out_of_order", 2, "termination_date"),
        ("lost_character", 4, "short_description"),
        ("lost_character", 5, "long_description"),
    ]


@pytest.mark.parametrize(("second", "severity"), [("Sample", "warning"), ("Another", "error")])
def test_a_code_that_stands_twice_is_refused_unless_both_say_the_same(second: str, severity: str) -> None:
    frame = pl.DataFrame(
        {
            "code": ["A0080", "V5364", "A0080"],
            "kind": ["procedure"] * 3,
            "source_line": [1, 2, 3],
            "short_description": ["Sample", "Sample", second],
        }
    )
    records, (found,) = typed_records("x.txt", Cells.of_rows(frame))
    assert records["code"].to_list() == ["A0080", "V5364"]
    assert (found.severity, found.line, found.code) == (severity, 3, "A0080")
    assert "lines 1, 3" in found.message


def test_a_modifier_and_a_code_do_not_collide() -> None:
    frame = pl.DataFrame({"code": ["A1", "A1001"], "kind": ["modifier", "procedure"], "source_line": [1, 2]})
    assert typed_records("x.txt", Cells.of_rows(frame))[1] == []


def test_many_findings_with_one_cause_are_one_with_count_and_examples() -> None:
    def found(n: int, severity: str = "info") -> Finding:
        return Finding("odd_form", severity, "m", "a", "x.txt", n, "procedure", f"A{n:04}", "asc_date", "v")  # type: ignore[arg-type]

    assert len(merge_findings([found(n) for n in range(20)])) == 20
    (merged,) = merge_findings([found(n) for n in range(21)])
    assert merged.occurrences == 21 and merged.line is None and merged.code is None
    assert merged.examples[0] == "A0000 line 0: v"
    # What refuses a release is shown in full: one run shows everything that is wrong.
    assert len(merge_findings([found(n, "error") for n in range(21)])) == 21
