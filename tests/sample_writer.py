"""Writes the bundled sample anew: which releases it has, in which form, and what ``records.csv`` says that they state.

``.venv/bin/python tests/sample_writer.py`` writes ``sources/sample/releases``. The lives of the codes are in
``sample_tables/records.csv``, what the side files say in ``sample_tables/side_files.toml``; here stands only how each
release is compressed. How CMS writes a file is in ``release_writer``.

``records.csv`` has a row where a record appears or changes, sorted by code: an empty cell means "as before", ``-``
means "no longer stated", the action ``gone`` that the record is not in the file from that posting on. An action code
holds for its release; later releases say ``N`` until a row says otherwise. ``2025-10/2`` is a second posting.
"""

from __future__ import annotations

import csv
import datetime as dt
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from release_writer import (
    CORRECTION_HEADINGS,
    SAMPLE_README_TEXT,
    SampleRecord,
    TextOptions,
    WorkbookOptions,
    anweb_text,
    anweb_workbook,
    corrections,
    noc_codes,
    processing_notes,
    release_zip,
    transaction_report,
)

from sources.code_file.record_layout import RECORD_FIELDS
from sources.sample import SAMPLE_FOLDER, SAMPLE_README

_TABLES = Path(__file__).parent / "sample_tables"
#: The sample's postings in order; what is behind a slash counts the postings of one release.
POSTINGS = ("2012-01", "2016-01", "2017-01", "2019-01", "2020-04", "2023-01", "2025-01", "2025-10", "2025-10/2")

_TYPES = {field.name: "list" if field.times > 1 else field.type for field in RECORD_FIELDS}
#: Columns of ``records.csv`` that hold a field under a shorter name.
_SHORT_COLUMNS = {
    "action": "action_code",
    "added": "added_date",
    "effective": "action_effective_date",
    "termination": "termination_date",
    "short_description": "short_description",
    "long_description": "long_description",
}
#: Codes whose action effective date workbooks leave blank since 2020, as CMS's leave that of some 116.
_NO_ACTION_DATE_IN_WORKBOOKS = ("E0140", "E0995", "K0001")


def sample_records() -> dict[str, list[SampleRecord]]:
    """The records of each posting in ``POSTINGS``, by code.

    Raises ``ValueError`` for a posting or a field that ``records.csv`` cannot mean.
    """
    with (_TABLES / "records.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    if unknown := {row["release"] for row in rows} - set(POSTINGS):
        raise ValueError(f"records.csv: no such posting: {', '.join(sorted(unknown))}")
    histories: dict[str, dict[str, Any]] = {}
    releases: dict[str, list[SampleRecord]] = {}
    for posting in POSTINGS:
        if "/" not in posting:
            for state in histories.values():
                state["action_code"] = "N"
        for row in rows:
            if row["release"] != posting:
                continue
            if row["action"] == "gone":
                del histories[row["code"]]
            else:
                # Procedures state base units of 0 in every release, modifiers none.
                new = {"anesthesia_base_units": 0 if row["kind"] == "procedure" else None}
                histories.setdefault(row["code"], new).update(_fields_of_row(row))
        releases[posting] = [SampleRecord(code=code, **state) for code, state in sorted(histories.items())]
    return releases


def _fields_of_row(row: Mapping[str, str]) -> dict[str, Any]:
    stated = {name: row[column] for column, name in _SHORT_COLUMNS.items() if row[column]}
    for item in filter(None, row["other"].split("; ")):
        name, _, value = item.partition("=")
        if name not in _TYPES:
            raise ValueError(f"records.csv: {row['code']} in {row['release']}: no such field: {name}")
        stated[name] = value
    return {name: _typed(value, _TYPES[name]) for name, value in stated.items()}


def _typed(value: str, field_type: str) -> Any:
    if field_type == "list":
        return () if value == "-" else tuple(value.split("|"))
    if value == "-":
        return None
    if field_type == "date":
        return dt.date.fromisoformat(value)
    return int(value) if field_type == "integer" else value


def write_sample(folder: Path) -> list[Path]:
    """Write the bundled sample as ``<folder>/<release>/<zip>`` and return the zips' paths, in order.

    Every zip is marked: ``is_sample`` knows it. The same code gives the same bytes.
    """
    side = tomllib.loads((_TABLES / "side_files.toml").read_text(encoding="utf-8"))
    paths = []
    for name, date, members in _zips(sample_records(), side):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(release_zip(members | {SAMPLE_README: SAMPLE_README_TEXT.encode()}, date=date))
        paths.append(path)
    return paths


Zip = tuple[str, dt.date, dict[str, bytes]]


def _zips(records: Mapping[str, list[SampleRecord]], side: Mapping[str, Any]) -> list[Zip]:
    return [
        _of_2012(records["2012-01"], side),
        _of_2016(records["2016-01"], side),
        *_of_2017(records["2017-01"], side),
        *_of_2019(records["2019-01"], side),
        _of_2020_april(records["2020-04"]),
        _of_2023_january(records["2023-01"]),
        _of_2025_january(records["2025-01"], side),
        *_of_2025_october(records["2025-10"], records["2025-10/2"]),
    ]


def _of_2012(records: list[SampleRecord], side: Mapping[str, Any]) -> Zip:
    # CMS's own workbook of that year is an .xls and has plain quotation marks where the text is damaged.
    text = TextOptions(
        line_length=293,
        stray_first_character="`",
        tabs={"TP": True},
        odd_lengths={"A0080": 294},
        upper_case=True,
        characters="wrong_code_page",
    )
    workbook = WorkbookOptions(headings="old", rows="record", upper_case=True, sheet_name="PUF_sample")
    members = {
        "12anweb.txt": anweb_text(records, options=text),
        "12anweb.xlsx": anweb_workbook(_with_plain_quotes(records), options=workbook),
        "proc_notes_2012.txt": _notes(side, records),
    }
    return "2012-01/12anweb.zip", dt.date(2011, 10, 29), members


def _of_2016(records: list[SampleRecord], side: Mapping[str, Any]) -> Zip:
    text = TextOptions(
        continuation_length=91, characters="question_marks", from_sequence_two=("A0080",), ending="empty_line"
    )
    report = [record for record in records if record.code != "DA"]
    members = {
        "HCPC2016_CONTR_ANWEB.txt": anweb_text(records, options=text),
        "HCPC2016_CONTR_ANWEB.xlsx": anweb_workbook(_with_question_marks(records)),
        "HCPC2016_TransactionReport_Alpha.xlsx": transaction_report(
            report,
            headings=("HCPCS/Modifier Code", "Type of Change"),
            by_code_sheet="Changes by HCPCS Code",
            padded=False,
        ),
        "proc_notes_2016.txt": _notes(side, records),
    }
    return "2016-01/2016-alpha-numeric-hcpcs-file.zip", dt.date(1980, 1, 1), members


def _of_2017(records: list[SampleRecord], side: Mapping[str, Any]) -> list[Zip]:
    members = {
        "HCPC17_CONTR_ANWEB.txt": anweb_text(records, options=TextOptions(continuation_length=91)),
        "HCPC17_CONTR_ANWEB.xlsx": anweb_workbook(
            records, options=WorkbookOptions(split_codes=("G0503",), numeric_dates=("E0628", "G0154"))
        ),
        "HCPCS2017_Trans Report_Alpha.xlsx": transaction_report(
            records,
            headings=("HCPCS/Modifier Code", "Type of Change"),
            by_code_sheet="Changes by HCPCS Code",
            by_code_first=True,
        ),
        "proc_notes_2017.txt": _notes(side, records),
    }
    corrected = corrections(
        side["corrections"]["2017-01"], headings=CORRECTION_HEADINGS[2017], title="SAMPLE CORRECTIONS 2017"
    )
    return [
        ("2017-01/2017-Alpha-Numeric-HCPCS-File.zip", dt.date(2016, 11, 9), members),
        (
            "2017-01/2017-HCPCS-Alpha-Numeric-Corrections.zip",
            dt.date(2016, 12, 14),
            {"hcpc2017_corrections_alpha.xlsx": corrected},
        ),
    ]


def _of_2019(records: list[SampleRecord], side: Mapping[str, Any]) -> list[Zip]:
    text = TextOptions(disclaimer=True, odd_lengths={"G0503": 316}, ending="blank_line")
    workbook = WorkbookOptions(header_row=8, split_codes=("G0503",))
    members = {
        "HCPC2019_CONTR_ANWEB.txt": anweb_text(records, options=text),
        "HCPC2019_CONTR_ANWEB.xlsx": anweb_workbook(_with_a_cut_text(records, "G0503"), options=workbook),
        "HCPC2019_Trans_Alpha.xlsx": transaction_report(
            records,
            headings=("HCPCS/MOD", "TYPE OF CHANGE", "SHORT DESCRIPTION", "LONG DESCRIPTION"),
            by_code_sheet="Changes by HCPCS Code",
        ),
        "proc_notes_2019.txt": _notes(side, records, with_tabs=("0217",)),
    }
    unlisted = noc_codes(_unlisted(side, records), title="SAMPLE NOC CODES 2019", header_row=4, end_mark=True)
    both = {
        "HCPC2019_Corrections_ALPHA.xlsx": side["corrections"]["2019-01"],
        "HCPC2019_Corrections_ALPHA_v2.xlsx": side["corrections"]["2019-01/2"],
    }
    corrected = {
        name: corrections(rows, headings=CORRECTION_HEADINGS[2019], title="SAMPLE CORRECTIONS 2019")
        for name, rows in both.items()
    }
    return [
        ("2019-01/2019-Alpha-Numeric-HCPCS-File.zip", dt.date(2018, 11, 3), members),
        ("2019-01/2019-HCPCS-Alpha-Numeric-Corrections.zip", dt.date(2019, 1, 3), corrected),
        ("2019-01/2019-HCPCS-NOC-Codes.zip", dt.date(2018, 11, 3), {"NOC_Codes_2019.xlsx": unlisted}),
    ]


def _of_2020_april(records: list[SampleRecord]) -> Zip:
    workbook = WorkbookOptions(
        header_row=11, split_codes=("G0503",), no_action_effective_date=_NO_ACTION_DATE_IN_WORKBOOKS
    )
    members = {
        "HCPC2020_APRIL_ANWEB_w_disclaimer_v5.xlsx": anweb_workbook(records, options=workbook),
        "HCPC2020_APRIL_Trans_Alpha.xlsx": transaction_report(
            records,
            headings=("HCPC/MOD", "ACTION CD", "SHORT DESCRIPTION", "LONG DESCRIPTION"),
            by_code_sheet="Changes by HCPC code",
            header_row=10,
        ),
    }
    return "2020-04/2020-april-alpha-numeric-hcpcs-file.zip", dt.date(2020, 3, 20), members


def _of_2023_january(records: list[SampleRecord]) -> Zip:
    workbook = WorkbookOptions(
        blanks="empty",
        split_codes=("G0503",),
        no_action_effective_date=_NO_ACTION_DATE_IN_WORKBOOKS,
        numeric_dates=("G0308",),
        empty_rows=5,
        sheet_name="HCPC2023_JAN_sample",
    )
    members = {"HCPC2023_JAN_ANWEB_v3.xlsx": anweb_workbook(records, options=workbook)}
    return "2023-01/january-2023-alpha-numeric-hcpcs-file.zip", dt.date(2022, 12, 20), members


def _of_2025_january(records: list[SampleRecord], side: Mapping[str, Any]) -> Zip:
    workbook = WorkbookOptions(
        blanks="empty",
        no_action_effective_date=_NO_ACTION_DATE_IN_WORKBOOKS,
        numeric_dates=("J0570",),
        sheet_name="HCPC2025_JAN_sample",
    )
    members = {
        "HCPC2025_JAN_ANWEB_12172024.txt": anweb_text(records, options=TextOptions(ending="empty_line")),
        "HCPC2025_JAN_ANWEB_12172024.xlsx": anweb_workbook(records, options=workbook),
        "HCPC2025_JAN_ANWEB_Corrections_12172024.xlsx": corrections(
            side["corrections"]["2025-01"], headings=CORRECTION_HEADINGS[2025]
        ),
        "HCPC2025_JAN_Transaction Report_12172024.xlsx": transaction_report(records),
        "NOC codes_JAN2025.xlsx": noc_codes(_unlisted(side, records), title="SAMPLE NOC CODES 2025"),
        "proc_notes_JAN2025.txt": _notes(side, records),
    }
    return "2025-01/january-2025-alpha-numeric-hcpcs-file.zip", dt.date(2024, 12, 17), members


def _of_2025_october(first: list[SampleRecord], second: list[SampleRecord]) -> list[Zip]:
    workbook = WorkbookOptions(
        blanks="empty", no_action_effective_date=_NO_ACTION_DATE_IN_WORKBOOKS, sheet_name="HCPC2025_OCT_sample"
    )
    return [
        (
            "2025-10/october-2025-alpha-numeric-hcpcs-file.zip",
            dt.date(2025, 9, 12),
            {"HCPC2025_OCT_ANWEB_v3.xlsx": anweb_workbook(first, options=workbook)},
        ),
        (
            "2025-10/october-2025-alpha-numeric-hcpcs-files.zip",
            dt.date(2025, 9, 26),
            {"HCPC2025_OCT_ANWEB_v4.xlsx": anweb_workbook(second, options=workbook)},
        ),
    ]


def _notes(side: Mapping[str, Any], records: Sequence[SampleRecord], with_tabs: Sequence[str] = ()) -> bytes:
    """The notes up to the highest number that a record names: CMS's list grows with its codes."""
    last = max(record.processing_note or "" for record in records)
    return processing_notes({n: text for n, text in side["notes"].items() if n <= last}, with_tabs=with_tabs)


def _unlisted(side: Mapping[str, Any], records: Sequence[SampleRecord]) -> list[SampleRecord]:
    by_code = {record.code: record for record in records}
    return [by_code[code] for code in side["unlisted"] if code in by_code]


def _in_other_letters(records: Sequence[SampleRecord], change: Any) -> list[SampleRecord]:
    return [
        replace(
            record,
            short_description=change(record.short_description or ""),
            long_description=change(record.long_description or ""),
        )
        for record in records
    ]


def _with_plain_quotes(records: Sequence[SampleRecord]) -> list[SampleRecord]:
    return _in_other_letters(records, lambda text: text.translate(str.maketrans("’‘“”", "''\"\"")))


def _with_question_marks(records: Sequence[SampleRecord]) -> list[SampleRecord]:
    return _in_other_letters(records, lambda text: text.encode("ascii", errors="replace").decode("ascii"))


def _with_a_cut_text(records: Sequence[SampleRecord], code: str) -> list[SampleRecord]:
    """One long description ends early, as one did in CMS's workbook of 2019."""
    return [
        replace(record, long_description=(record.long_description or "")[:250].rstrip())
        if record.code == code
        else record
        for record in records
    ]


if __name__ == "__main__":
    write_sample(SAMPLE_FOLDER)
