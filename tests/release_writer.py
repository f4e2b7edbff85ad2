"""Writes releases as CMS writes them: the fixed-width text, the workbook, the side files, the zip.

What goes into a release is the caller's: the bundled sample's tables, or a test's made-up lives of codes. Every
oddity that CMS's files were seen to have is a switch here, so that a test can show one at a time. Nothing here
reads a release, and no wording is CMS's but column headings and the short labels that its layouts consist of.
The same arguments give the same bytes.
"""

from __future__ import annotations

import datetime as dt
import io
import textwrap
import zipfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import xlsxwriter

from sources.code_file.record_layout import RECORD_FIELDS, RECORD_LENGTH, RecordField
from sources.sample import SAMPLE_MARK

SAMPLE_README_TEXT = (
    "This zip is a made-up sample in the layout of CMS's HCPCS releases.\r\n"
    "Code numbers and most dates are real; every description is invented and means nothing.\r\n"
    "Do not bill by it.\r\n"
)

DESCRIPTION_WIDTH = 80
_LONG = next(f for f in RECORD_FIELDS if f.name == "long_description")
_ADMINISTRATIVE_FIELDS = tuple(f for f in RECORD_FIELDS if f is not _LONG)
#: Position up to which a continuation has something to say.
_CONTINUATION_LENGTH = _LONG.start - 1 + DESCRIPTION_WIDTH


@dataclass(frozen=True, kw_only=True, slots=True)
class SampleRecord:
    """What a release says of one code or modifier; the names are those of the published records.

    Lists are tuples, dates are dates, what is not stated is None. ``kind`` follows from the code's length.
    """

    code: str
    short_description: str | None = None
    long_description: str | None = None
    pricing_indicators: tuple[str, ...] = ()
    multiple_pricing_code: str | None = None
    coverage_manual_refs: tuple[str, ...] = ()
    carriers_manual_refs: tuple[str, ...] = ()
    statute_ref: str | None = None
    lab_certification_codes: tuple[str, ...] = ()
    crosswalk_targets: tuple[str, ...] = ()
    coverage_code: str | None = None
    asc_group: str | None = None
    asc_date: dt.date | None = None
    opps_group: str | None = None
    opps_policy_code: str | None = None
    opps_date: dt.date | None = None
    processing_note: str | None = None
    betos_code: str | None = None
    type_of_service_codes: tuple[str, ...] = ()
    anesthesia_base_units: int | None = None
    added_date: dt.date | None = None
    action_effective_date: dt.date | None = None
    termination_date: dt.date | None = None
    action_code: str | None = None

    @property
    def kind(self) -> str:
        """``modifier`` for two characters, else ``procedure``."""
        return "modifier" if len(self.code) == 2 else "procedure"

    @property
    def padded_code(self) -> str:
        """The code unchanged in positions 1-5."""
        return self.code.rjust(5)


def description_lines(text: str | None) -> list[str]:
    """Break a long description at blanks into lines of at most 80 characters; never empty.

    Raises ``ValueError`` for a word that no line can hold: CMS never breaks one.
    """
    lines = textwrap.wrap(text or "", DESCRIPTION_WIDTH, break_long_words=False, break_on_hyphens=False) or [""]
    if too_long := [line for line in lines if len(line) > DESCRIPTION_WIDTH]:
        raise ValueError(f"no line of {DESCRIPTION_WIDTH} characters holds the word {too_long[0]!r}")
    return lines


def _cells(record: SampleRecord, field: RecordField) -> list[str]:
    """The values of a field's cells as CMS writes them, without padding on the right."""
    value: Any = getattr(record, field.name)
    values = list(value) if field.times > 1 else [value]
    if len(values) > field.times:
        raise ValueError(f"{record.code}: {field.name} has room for {field.times} values, not {len(values)}")
    cells = []
    for item in [*values, *[None] * (field.times - len(values))]:
        if isinstance(item, dt.date):
            cell = item.strftime("%Y%m%d")
        else:
            # Base units are the one field that CMS aligns right.
            cell = "" if item is None else str(item).rjust(field.width if isinstance(item, int) else 0)
        if len(cell) > field.width and field is not _LONG:
            raise ValueError(f"{record.code}: {field.name} has room for {field.width} characters, not {cell!r}")
        cells.append(cell)
    return cells


def _in_cms_order(records: Sequence[SampleRecord]) -> list[SampleRecord]:
    """Modifiers first, then codes: the order of the padded code."""
    return sorted(records, key=lambda record: record.padded_code)


# --- text ------------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class TextOptions:
    """How a release's text is laid out, and which of CMS's oddities it has.

    ``line_length`` is 293 to 2013 and 320 later. ``continuation_length`` is 91 in 2016 and 2017; 0 trims each
    continuation on the right (2013), None makes it as long as a first line. ``disclaimer`` puts a notice with tabs
    and no-break spaces above the first record (2018, 2019). ``ending`` is what follows the last record.
    ``stray_first_character`` takes the place of the file's first blank (2011: a backtick). ``tabs`` names codes with
    a TAB after the description; True shifts every later field of that line to the left by one (modifier TP, 2011 and
    2012). ``from_sequence_two`` names codes that are numbered from 002 (2013). ``odd_lengths`` gives the length of
    the last line of a code (294 in 2011, 316 in 2019). ``upper_case`` is for long descriptions (to 2012).

    ``characters`` says what becomes of characters beyond ASCII: ``cp1252`` keeps them; ``wrong_code_page`` does what
    was done to 2011-2013, cp1252 bytes read as cp437 and written as cp1252 again, so that ``’`` becomes 0xC6;
    ``question_marks`` writes ``?`` for each.
    """

    line_length: int = RECORD_LENGTH
    continuation_length: int | None = None
    disclaimer: bool = False
    stray_first_character: str = ""
    tabs: Mapping[str, bool] | None = None
    from_sequence_two: Collection[str] = ()
    odd_lengths: Mapping[str, int] | None = None
    upper_case: bool = False
    characters: Literal["cp1252", "wrong_code_page", "question_marks"] = "cp1252"
    ending: Literal["nothing", "empty_line", "blank_line"] = "nothing"


TEXT_DEFAULTS = TextOptions()

_NOTICE = (
    "***Sample notice",
    "",
    "*This file is a made-up sample: being in it says nothing of what anyone pays for.\xa0",
    "",
    "*A brand that a description names is named as an example.\xa0 It is not",
    "\xa0\xa0 recommended by that.\xa0 ",
)


def anweb_text(records: Sequence[SampleRecord], *, options: TextOptions = TEXT_DEFAULTS) -> bytes:
    """Write a release's fixed-width text: modifiers, then codes; CRLF after each line.

    Raises ``ValueError`` where a value does not fit its field or a character its code page.
    """
    lines: list[str] = []
    for record in _in_cms_order(records):
        lines += _record_lines(record, options)
    if options.stray_first_character and lines:
        if lines[0][0] != " ":
            raise ValueError("the stray first character takes the place of a blank: the first record is no modifier")
        lines[0] = options.stray_first_character + lines[0][1:]
    if options.disclaimer:
        lines = [line + "\t" * 45 for line in _NOTICE] + ["", ""] + lines
    if options.ending != "nothing":
        lines.append(" " * options.line_length if options.ending == "blank_line" else "")
    return _encoded("".join(line + "\r\n" for line in lines), options)


def _encoded(text: str, options: TextOptions) -> bytes:
    if options.characters == "question_marks":
        return text.encode("ascii", errors="replace")
    raw = text.encode("cp1252")
    return raw.decode("cp437").encode("cp1252") if options.characters == "wrong_code_page" else raw


def _record_lines(record: SampleRecord, options: TextOptions) -> list[str]:
    first_id, continuation_id = ("7", "8") if record.kind == "modifier" else ("3", "4")
    start = 2 if record.code in options.from_sequence_two else 1
    description = description_lines(record.long_description)
    if options.upper_case:
        description = [line.upper() for line in description]
    lines = []
    for number, part in enumerate(description):
        head = f"{record.padded_code}{start + number:03d}00{continuation_id if number else first_id}"
        line = head + part.ljust(DESCRIPTION_WIDTH)
        if number == 0:
            line += _administrative_part(record, len(line))
            length = options.line_length
        elif options.continuation_length == 0:
            length, line = 0, line.rstrip()
        else:
            length = options.continuation_length or options.line_length
        lines.append(line.ljust(length))
    tabs = options.tabs or {}
    if record.code in tabs:
        lines[0] = _with_tab(lines[0], _LONG.start - 1 + len(description[0]), shift=tabs[record.code])
    if options.odd_lengths and record.code in options.odd_lengths:
        length = options.odd_lengths[record.code]
        if lines[-1][length:].strip():
            raise ValueError(f"{record.code}: a line of {length} characters would cut a field")
        lines[-1] = lines[-1].ljust(length)[:length]
    return lines


def _administrative_part(record: SampleRecord, start: int) -> str:
    """Everything of the first line behind the long description."""
    line = ""
    for field in _ADMINISTRATIVE_FIELDS:
        line = line.ljust(field.start - 1 - start)
        line += "".join(cell.ljust(field.width) for cell in _cells(record, field))
    return line


def _with_tab(line: str, at: int, *, shift: bool) -> str:
    """Put a TAB behind the description, in place of one blank or, with ``shift``, of two."""
    blanks = 2 if shift else 1
    if at + blanks > _CONTINUATION_LENGTH:
        raise ValueError(f"no room for a TAB behind the description of {line[:5].strip()}")
    return line[:at] + "\t" + line[at + blanks :]


# --- workbooks -------------------------------------------------------------------------------------------------------

#: The heading of each field: since 2013, and before.
_HEADINGS = {
    "long_description": ("LONG DESCRIPTION", "Long Description"),
    "short_description": ("SHORT DESCRIPTION", "Short Description"),
    "pricing_indicators": ("PRICE", "PI"),
    "multiple_pricing_code": ("MULT_PI", "MPI"),
    "coverage_manual_refs": ("CIM", "CIM"),
    "carriers_manual_refs": ("MCM", "MCM"),
    "statute_ref": ("STATUTE", "Statute"),
    "lab_certification_codes": ("LABCERT", "Lab Cert"),
    "crosswalk_targets": ("XREF", "X-Ref"),
    "coverage_code": ("COV", "Coverage"),
    "asc_group": ("ASC_GRP", "ASC Pay Grp"),
    "asc_date": ("ASC_DT", "ASC Pay Grp Eff Date"),
    "opps_group": ("OPPS", "MOG Pay Grp"),
    "opps_policy_code": ("OPPS_PI", "MOG Pay Ind"),
    "opps_date": ("OPPS_DT", "MOG Eff Date"),
    "processing_note": ("PROCNOTE", "Proc Note"),
    "betos_code": ("BETOS", "BETOS"),
    "type_of_service_codes": ("TOS", "TOS"),
    "anesthesia_base_units": ("ANEST_BU", "Anest Base Units"),
    "added_date": ("ADD DT", "Code Add Date"),
    "action_effective_date": ("ACT EFF DT", "Action Eff Date"),
    "termination_date": ("TERM DT", "Term Date"),
    "action_code": ("ACTION CD", "Action Code"),
}
_KEY_HEADINGS = {"new": ("HCPC", "SEQNUM", "RECID"), "old": ("HCPC", "Seq Num", "RIC")}


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkbookOptions:
    """How a release's workbook is laid out, and which of CMS's oddities it has.

    ``headings`` is ``old`` to 2012 (49 columns with FILLER) and ``new`` later (48). ``header_row`` is 1, 8 or 11, with
    a notice above. ``rows`` is one per text line (``record``, to 2013) or one per code (``code``); ``split_codes`` take
    one row per line all the same (G0503). ``blanks`` is what an empty cell is. ``no_action_effective_date`` names codes
    whose date is left blank, ``numeric_dates`` codes whose dates are numbers. ``empty_rows`` follow the last record.
    """

    headings: Literal["new", "old"] = "new"
    header_row: int = 1
    rows: Literal["code", "record"] = "code"
    split_codes: Collection[str] = ()
    blanks: Literal["null", "empty"] = "null"
    no_action_effective_date: Collection[str] = ()
    numeric_dates: Collection[str] = ()
    upper_case: bool = False
    empty_rows: int = 0
    sheet_name: str = "A"


WORKBOOK_DEFAULTS = WorkbookOptions()

Cell = str | int | dt.date | None


def anweb_workbook(records: Sequence[SampleRecord], *, options: WorkbookOptions = WORKBOOK_DEFAULTS) -> bytes:
    """Write a release's workbook: one sheet, all cells text but the dates that are requested as numbers."""
    rows: list[list[Cell]] = [[None]] * (options.header_row - 1)
    if rows:
        rows[0] = [f"Sample notice: every description in this workbook is made up.\xa0 ({options.sheet_name})"]
    if len(rows) > 2:
        rows[2] = ["*Nothing here says what anyone pays for."]
    rows.append(list(workbook_headings(options.headings)))
    for record in _in_cms_order(records):
        rows += _workbook_rows(record, options)
    rows += [[""] * len(workbook_headings(options.headings))] * options.empty_rows
    return _workbook_bytes({options.sheet_name: rows})


def workbook_headings(headings: Literal["new", "old"]) -> tuple[str, ...]:
    """The workbook's column headings, in order: 48 of the new spelling, 49 of the old."""
    names = list(_KEY_HEADINGS[headings])
    for field in RECORD_FIELDS:
        if field.name == "type_of_service_codes" and headings == "old":
            names.append("FILLER")
        stem = _HEADINGS[field.name][headings == "old"]
        names += [stem] if field.times == 1 else [f"{stem}{n}" for n in range(1, field.times + 1)]
    return tuple(names)


def _workbook_rows(record: SampleRecord, options: WorkbookOptions) -> list[list[Cell]]:
    by_line = options.rows == "record" or record.code in options.split_codes
    lines = description_lines(record.long_description) if by_line else [record.long_description or ""]
    first_id, continuation_id = ("7", "8") if record.kind == "modifier" else ("3", "4")
    rows = []
    for number, text in enumerate(lines):
        sequence = f"{number + 1:03d}" + ("00" if options.headings == "old" else "0")
        row: list[Cell] = [record.padded_code, sequence, continuation_id if number else first_id]
        for field in RECORD_FIELDS:
            if field.name == "type_of_service_codes" and options.headings == "old":
                row.append("")
            if field is _LONG:
                row.append(text.upper() if options.upper_case else text)
            elif number:
                row += [""] * field.times
            else:
                row += _workbook_cells(record, field, options)
        rows.append([None if cell == "" and options.blanks == "null" else cell for cell in row])
    return rows


def _workbook_cells(record: SampleRecord, field: RecordField, options: WorkbookOptions) -> list[Cell]:
    if field.name == "action_effective_date" and record.code in options.no_action_effective_date:
        return [""]
    cells = _cells(record, field)
    if field.type == "date" and record.code in options.numeric_dates:
        return [int(cell) if cell else "" for cell in cells]
    return list(cells)


def _workbook_bytes(sheets: Mapping[str, Sequence[Sequence[Cell]]]) -> bytes:
    """Write sheets of cells: text, numbers, dates as Excel dates; None is no cell, ``""`` an empty text."""
    buffer = io.BytesIO()
    workbook = xlsxwriter.Workbook(buffer, {"in_memory": True})
    # Without a fixed day of creation no two runs would give the same bytes.
    workbook.set_properties({"created": dt.datetime(2000, 1, 1), "title": "made-up sample"})
    day = workbook.add_format({"num_format": "mm/dd/yyyy"})
    for name, rows in sheets.items():
        sheet = workbook.add_worksheet(name)
        for r, row in enumerate(rows):
            for c, cell in enumerate(row):
                if isinstance(cell, dt.date):
                    sheet.write_datetime(r, c, dt.datetime(cell.year, cell.month, cell.day), day)
                elif isinstance(cell, int):
                    sheet.write_number(r, c, cell)
                elif cell is not None:
                    sheet.write_string(r, c, cell)
    workbook.close()
    return buffer.getvalue()


# --- side files ------------------------------------------------------------------------------------------------------

#: CMS's words for its action codes in transaction reports since 2017 (2016 writes ``Add``).
ACTION_WORDS = {
    "A": "ADD",
    "B": "Coverage and Long Desc Change",
    "C": "Long Description Change",
    "D": "Discontinued",
    "F": "Coverage Change",
    "N": "No Change",
    "P": "Payment Change",
    "R": "Re-activated",
    "S": "Short Description Change",
    "T": "Misc Change (TOS, BETOS)",
}


def transaction_report(
    records: Sequence[SampleRecord],
    *,
    headings: Sequence[str] = ("HCPC", "ACTION CD", "SHORT DESCRIPTION", "LONG DESCRIPTION"),
    by_code_sheet: str = "Changes by HCPC",
    by_code_first: bool = False,
    header_row: int = 1,
    action_words: Mapping[str, str] = ACTION_WORDS,
    padded: bool = True,
) -> bytes:
    """Write a transaction report: each record's action code in words, by action and by code, and a key.

    Two ``headings`` are the layout to 2018, four that since. ``padded`` keeps the blanks before a modifier. A record
    left out of ``records`` is a line that the report lacks.
    """

    def row(record: SampleRecord) -> list[Cell]:
        words = action_words.get(record.action_code or "", "")
        cells: list[Cell] = [record.padded_code if padded else record.code, words]
        return [*cells, record.short_description, record.long_description][: len(headings)]

    above: list[list[Cell]] = [[None]] * (header_row - 1)
    if above:
        above[0] = ["Sample notice: made up, with nothing to say about payment."]
    ordered = _in_cms_order(records)
    rank = {code: n for n, code in enumerate("ABCDFPRSTN")}
    by_action = sorted(ordered, key=lambda record: rank.get(record.action_code or "", len(rank)))
    sheets: dict[str, list[list[Cell]]] = {
        "Changes by Action Code": [*above, list(headings), *map(row, by_action)],
        by_code_sheet: [*above, list(headings), *map(row, ordered)],
    }
    if by_code_first:
        sheets = dict(reversed(sheets.items()))
    return _workbook_bytes(
        sheets | {"Action Code Key": [["Action Codes"], *([code, words] for code, words in action_words.items())]}
    )


#: Headings of a corrections sheet, by year.
CORRECTION_HEADINGS = {
    2017: ("CODE", "ACTION", "EFF DATE", "SHORT DESC", "LONG DESC", "TOS ", "BETOS", "COV", "PRICE"),
    2019: (
        *("CODE", "ACTION", "EFF DATE", "SHORT DESC", "LONG DESC", "TOS ", "BETOS", "COV", "PRICE"),
        *("XREF CODE", "ASC IND", "ASC DATE", "COMMENTS"),
    ),
    2025: (
        *("HCPCS/MOD Code", "Action", "Short Description", "Long Description", "Effective Date"),
        *("TOS", "BETOS", "Coverage", "Pricing", "Comments"),
    ),
}


def corrections(
    rows: Sequence[Mapping[str, str | dt.date]], *, headings: Sequence[str], title: str | None = None
) -> bytes:
    """Write a corrections sheet; each row maps headings to cells.

    With a title the header is on row 4, else on row 1.
    """
    if unknown := {name for row in rows for name in row} - set(headings):
        raise ValueError(f"no such heading in a corrections sheet: {', '.join(sorted(unknown))}")
    above: list[list[Cell]] = [[None, title], [None], [None]] if title else []
    return _workbook_bytes({"Sheet1": [*above, list(headings), *([row.get(h) for h in headings] for row in rows)]})


def noc_codes(records: Sequence[SampleRecord], *, title: str, header_row: int = 3, end_mark: bool = False) -> bytes:
    """Write the sheet of unlisted codes: a title, the header on row 3 or 4, an empty row, the codes.

    ``end_mark`` puts the control character 0x1A in the last row, which workbooks write ``_x001A_`` (2019). A record
    given twice is listed twice.
    """
    blank: list[Cell] = [None]
    rows: list[list[Cell]] = [[None, title], *[blank] * (header_row - 2)]
    rows += [["HCPCS", "LONG DESCRIPTION", "ADD DATE", "TERM DATE"], [None]]
    for record in records:
        dates: list[Cell] = [day and day.strftime("%Y%m%d") for day in (record.added_date, record.termination_date)]
        rows.append([record.code, record.long_description, *dates])
    if end_mark:
        rows.append(["\x1a"])
    return _workbook_bytes({"NOC_codes": rows})


_NOTE_WIDTH = 71
_NOTE_INDENT = " " * 16
_NOTE_EDGE = 91


def processing_notes(notes: Mapping[str, str], *, with_tabs: Collection[str] = ()) -> bytes:
    """Write the processing notes: numbered paragraphs in capitals with an asterisk at the right edge.

    Notes in ``with_tabs`` are set with tabs and an uneven edge, like the last ones of 2019.
    """
    lines = [" " * 40 + "PROCESSING NOTES", " " + "_" * 132, ""]
    for number, text in notes.items():
        paragraph = textwrap.wrap(text.upper(), _NOTE_WIDTH, break_long_words=False)
        if number in with_tabs:
            lines += [f"\t  {number}--{paragraph[0]}\t\t\t   *"]
            lines += [f"\t        {line} \t\t\t\t   * " for line in paragraph[1:]]
            lines += [""]
        else:
            first = f"{' ' * 10}{number}--{paragraph[0]}"
            lines += [line.ljust(_NOTE_EDGE) + "*" for line in (first, *(_NOTE_INDENT + p for p in paragraph[1:]), "")]
    return "".join(line + "\r\n" for line in [*lines, " " * 47, "", ""]).encode("cp1252")


# --- the zip ---------------------------------------------------------------------------------------------------------


def release_zip(
    members: Mapping[str, bytes], *, date: dt.date | dt.datetime = dt.date(1980, 1, 1), comment: bytes = SAMPLE_MARK
) -> bytes:
    """Pack members in the order given, all dated ``date``, marked as a sample by the zip's comment."""
    clock = (date.hour, date.minute, date.second) if isinstance(date, dt.datetime) else (0, 0, 0)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.comment = comment
        for name, content in members.items():
            entry = zipfile.ZipInfo(name, (date.year, date.month, date.day, *clock))
            entry.compress_type = zipfile.ZIP_DEFLATED
            entry.create_system = 0  # else it tells which system ran this
            archive.writestr(entry, content)
    return buffer.getvalue()
