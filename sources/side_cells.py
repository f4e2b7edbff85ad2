"""Cells of CMS's side files: workbooks, tab-separated texts and print files become one kind of table.

What a table's columns mean to one side file stays in that file's module; here is only where the cells stand.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import fastexcel

from sources.errors import MemberError
from sources.findings import Finding
from sources.layout import RECORD_ID_HEADINGS, normalized_heading

WORKBOOK_MAGIC = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
#: How many lines from the top may hold titles and notices before the header.
MOST_LINES_ABOVE_HEADER = 60

#: What the columns of side files are called, as a whole cell, in upper case with single spaces.
_HEADINGS = {
    "code": r"(?:HCPCS?(?:[ /]MOD(?:IFIER)?)?(?: CODES?)?|CODE)",
    "action": r"(?:TYPE OF CHANGE|ACTION(?: CD| CODE)?)",
    "effective_date": r"EFF(?:ECTIVE)?\.? (?:DATE|DT)",
    "short_description": r"SHORT DESC(?:RIPTION|RIPTOR)?",
    "long_description": r"LONG DESC(?:RIPTION|RIPTOR)?",
    "added_date": r"ADD(?:ED)? (?:DATE|DT)",
    "termination_date": r"TERM(?:INATION)? (?:DATE|DT)",
    "type_of_service_codes": r"TOS",
    "betos_code": r"BETOS",
    "coverage_code": r"COV(?:ERAGE)?",
    "pricing_indicators": r"(?:PRICE|PRICING)(?: IND(?:ICATOR)?)?",
    "crosswalk_targets": r"(?:XREF|CROSS[- ]?REF(?:ERENCE)?)(?: CODE)?",
    "asc_group": r"ASC (?:IND(?:ICATOR)?|GRP|GROUP)",
    "asc_date": r"ASC (?:DATE|DT)",
    "processing_note": r"PROC(?:ESSING)? NOTE",
    "comment": r"COMMENTS?",
}
_HEADING_CELL = {name: re.compile(pattern) for name, pattern in _HEADINGS.items()}
#: Labels looked for in a print file, whose columns nothing but the header's spacing tells.
_PRINT_LABELS = (
    "action",
    "effective_date",
    "short_description",
    "long_description",
    "added_date",
    "termination_date",
)
_PRINT_LABEL = re.compile("|".join(rf"(?P<{name}>\b{_HEADINGS[name]}\b)" for name in _PRINT_LABELS), re.I)
_PRINT_CODE_LABEL = re.compile(rf"\s*{_HEADINGS['code']}(?= )", re.I)
_PRINT_LINE = re.compile(r"\s*([A-Za-z0-9]+)(?=\s|$)")

CODE = re.compile(r"[A-Z0-9][0-9]{3}[A-Z0-9]|[A-Z0-9]{2}")
#: What Excel writes for a character that XML cannot hold, and the characters themselves.
_ARTIFACT = re.compile(r"_x[0-9A-Fa-f]{4}_|[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")


@dataclass(frozen=True, slots=True)
class Sheet:
    """A workbook's sheet, or a text: rows of raw cells with the line or row on which each starts, from 1."""

    name: str
    rows: list[tuple[int, list[str]]]


@dataclass(frozen=True, slots=True)
class Table:
    """A sheet with its header found: ``columns`` gives the position of each known column.

    ``is_cut`` says that it is a print file, whose cells end where the column did.
    """

    name: str
    title: str
    header_line: int
    columns: dict[str, int]
    unknown_headings: list[str]
    rows: list[tuple[int, list[str]]]
    is_cut: bool = False
    is_code_file: bool = False


@dataclass(frozen=True, slots=True)
class CodedRow:
    """A row of a table that begins with a code: its cells by column, without blanks and artifacts, null where empty.

    ``full`` names the cells of a print file that fill their column to its end, and so may have been cut there.
    """

    line: int
    kind: str
    code: str
    cells: dict[str, str | None]
    full: frozenset[str] = frozenset()


def is_workbook(data: bytes) -> bool:
    """Whether the bytes begin as an Excel workbook does, old or new."""
    return data.startswith(WORKBOOK_MAGIC)


def sha256_of(data: bytes) -> str:
    """The SHA-256 of a member's bytes, in hexadecimal."""
    return hashlib.sha256(data).hexdigest()


def decoded(data: bytes) -> str | None:
    """Text of a text member, by its byte order mark or as cp1252; None for bytes that are no text."""
    for mark, encoding in ((b"\xef\xbb\xbf", "utf-8-sig"), (b"\xff\xfe", "utf-16"), (b"\xfe\xff", "utf-16")):
        if data.startswith(mark):
            return data.decode(encoding, errors="replace")
    if b"\x00" in data or data.startswith(b"%PDF"):
        return None
    return data.decode("cp1252", errors="replace")


def lines_of(text: str) -> list[str]:
    """Lines of a text, by CR LF, LF or CR alone; no other character ends a line."""
    return text.replace("\r\n", "\n").replace("\r", "\n").split("\n")


def sheets(member: str, data: bytes) -> list[Sheet]:
    """All sheets of a workbook, every cell as text; raises ``MemberError`` where it cannot be opened."""
    try:
        workbook = fastexcel.read_excel(data)
        names = workbook.sheet_names
    except BaseException as error:
        raise _unreadable(member, error) from None
    read = []
    for position, name in enumerate(names):
        try:
            frame = workbook.load_sheet(position, header_row=None, skip_rows=0, dtypes="string").to_polars()
        except BaseException as error:
            if position == 0:
                raise _unreadable(member, error) from None
            continue
        rows = [(number, [cell or "" for cell in row]) for number, row in enumerate(frame.iter_rows(), 1)]
        read.append(Sheet(name, rows))
    return read


def _unreadable(member: str, error: BaseException) -> MemberError:
    """The refusal of a damaged workbook; the reader's panics are no ``Exception``, so interrupts are let through."""
    if isinstance(error, KeyboardInterrupt | SystemExit | GeneratorExit):
        raise error
    return MemberError(f"{member} cannot be read as a workbook: {(str(error).splitlines() or [repr(error)])[0]}")


def tables(member: str, data: bytes) -> list[Table]:
    """Every table in a member, in the order of its sheets; empty where none has a header.

    Raises ``MemberError`` for a workbook that cannot be opened.
    """
    if is_workbook(data):
        return [table for sheet in sheets(member, data) if (table := table_in(sheet)) is not None]
    text = decoded(data)
    if text is None:
        return []
    table = _table_in_text(lines_of(text))
    return [] if table is None else [table]


def table_in(sheet: Sheet) -> Table | None:
    """Find a sheet's header, the first row with a code's heading and another known one, and what stands below it."""
    for index, (line, cells) in enumerate(sheet.rows[:MOST_LINES_ABOVE_HEADER]):
        headings = [" ".join(tidy(cell).upper().split()) for cell in cells]
        columns: dict[str, int] = {}
        unknown = []
        for position, heading in enumerate(headings):
            name = next((n for n, pattern in _HEADING_CELL.items() if pattern.fullmatch(heading)), None)
            if name is not None:
                columns.setdefault(name, position)
            elif heading:
                unknown.append(heading)
        if "code" in columns and len(columns) > 1:
            above = (cell for _, row in sheet.rows[:index] for cell in row if cell)
            return Table(
                sheet.name,
                " ".join((sheet.name, *above)),
                line,
                columns,
                unknown,
                sheet.rows[index + 1 :],
                is_code_file=any(normalized_heading(h) in RECORD_ID_HEADINGS for h in headings),
            )
    return None


def _table_in_text(lines: list[str]) -> Table | None:
    for index, line in enumerate(lines[:MOST_LINES_ABOVE_HEADER]):
        if "\t" in line and table_in(Sheet("", [(1, line.split("\t"))])) is not None:
            return table_in(Sheet("", list(_tab_rows(lines))))
        if (starts := _print_columns(line)) is not None:
            names = ["code", *(name for name, _ in starts)]
            cuts = [start for _, start in starts] + [None]
            ends_in_date = names[-1].endswith("_date")
            rows = [(n, _print_cells(text, cuts, ends_in_date)) for n, text in enumerate(lines[index + 1 :], index + 2)]
            title = " ".join(lines[:index])
            rest = line[starts[-1][1] :].split("  ")[1:]
            return Table(
                "",
                title,
                index + 1,
                {name: position for position, name in enumerate(names)},
                [heading.strip() for heading in rest if heading.strip()],
                rows,
                is_cut=True,
            )
    return None


def _tab_rows(lines: list[str]) -> Iterator[tuple[int, list[str]]]:
    """Rows of a tab-separated text; a quoted cell may run over lines, the row counts from its first."""
    reader = csv.reader((line + "\n" for line in lines), dialect="excel-tab")
    start = 1
    try:
        for cells in reader:
            yield start, cells
            start = reader.line_num + 1
    except csv.Error:
        yield from ((number, line.split("\t")) for number, line in enumerate(lines[start - 1 :], start))


def _print_columns(line: str) -> list[tuple[str, int]] | None:
    """Where the labelled columns of a print file start, if ``line`` is its header: labels with blanks between."""
    code = _PRINT_CODE_LABEL.match(line)
    if code is None:
        return None
    found: list[tuple[str, int]] = []
    end = code.end()
    for label in _PRINT_LABEL.finditer(line, end):
        if line[end : label.start()].strip():
            break
        found.append((str(label.lastgroup), label.start()))
        end = label.end()
    # Only the columns up to the date are cut where their labels stand: a corrections file centers the labels after it.
    names = [name for name, _ in found]
    if "effective_date" in names:
        found = found[: names.index("effective_date") + 1]
    return found or None


def _print_cells(line: str, cuts: list[int | None], ends_in_date: bool) -> list[str]:
    """Cells of a print file's line: the code is its first word, the second cell begins behind it.

    The first labels are centered in 2019, so that the second column starts before its label does. A date that is the
    last column read ends at the first gap: what stands behind belongs to columns that are not read.
    """
    code = _PRINT_LINE.match(line)
    if code is None:
        return [line]
    starts: list[int] = [code.end(), *(cut for cut in cuts[1:-1] if cut is not None)]
    cells = [code.group(1)]
    for position, start in enumerate(starts):
        end = starts[position + 1] if position + 1 < len(starts) else len(line)
        cells.append(line[start:end])
    if ends_in_date:
        cells[-1] = re.split(r"\s{2,}", cells[-1].strip())[0]
    return cells


def tidy(cell: str | None) -> str:
    """A cell without artifacts, no-break spaces and blanks at its ends."""
    cell = cell or ""
    if cell.isprintable() and "_x" not in cell:
        return cell.strip()
    return _ARTIFACT.sub("", cell).replace("\u00a0", " ").strip()


def coded_rows(member: str, table: Table, findings: list[Finding]) -> list[CodedRow]:
    """Rows that begin with a code; of others that hold anything, and of artifacts taken out, a finding is added."""
    rows = []
    artifacts: list[int] = []
    position = table.columns["code"]
    columns = list(table.columns.items())
    full: frozenset[str] = frozenset()
    for line, cells in table.rows:
        together = "".join(cells)
        if together.isprintable() and "_x" not in together:  # all but a few rows: nothing to take out
            values = [cell.strip() for cell in cells]
        else:
            if any(_ARTIFACT.search(cell) for cell in cells):
                artifacts.append(line)
            values = [tidy(cell) for cell in cells]
        if not any(values):
            continue
        raw = values[position] if position < len(values) else ""
        code = raw.upper()
        if not CODE.fullmatch(code):
            # The text of such a row may be anyone's: the finding says where it is, not what it says.
            findings.append(
                Finding(
                    "line_without_code",
                    "info" if len([v for v in values if v]) == 1 else "warning",
                    "the line does not begin with a code",
                    "left out",
                    member,
                    line,
                    raw_value=raw if len(raw) <= 12 and raw else None,
                )
            )
            continue
        kind = kind_of(code)
        if code != raw:
            findings.append(
                Finding(
                    "lower_case_code",
                    "info",
                    f"the code is written {raw}",
                    "upper-cased",
                    member,
                    line,
                    kind,
                    code,
                    raw_value=raw,
                )
            )
        width = len(values)
        by_name = {name: (values[at] or None) if at < width else None for name, at in columns}
        if table.is_cut:
            full = frozenset(n for n, at in columns if n != "code" and at < width and cells[at][-1:].strip())
        rows.append(CodedRow(line, kind, code, by_name, full))
    if artifacts:
        findings.append(
            Finding(
                "artifact_removed",
                "info",
                f"control characters, or what Excel writes for them, stand on {len(artifacts)} lines",
                "removed",
                member,
                artifacts[0],
                occurrences=len(artifacts),
            )
        )
    return rows


def kind_of(code: str) -> str:
    """The kind of a code, by its length: two characters are a modifier."""
    return "modifier" if len(code) == 2 else "procedure"


_DAY_FORMS = (
    (re.compile(r"(?P<y>\d{4})-(?P<m>\d\d)-(?P<d>\d\d)(?:[ T]00:00:00(?:\.0+)?)?"), "written by the workbook's reader"),
    (re.compile(r"(?P<y>\d{4})(?P<m>\d\d)(?P<d>\d\d)(?:\.0)?"), "as in the record"),
    (re.compile(r"(?P<m>\d{1,2})/(?P<d>\d{1,2})/(?P<y>\d{4})"), "as a person writes it"),
)


def day_from(text: str | None) -> datetime.date | None:
    """Read a day from a cell; None where the cell is empty or no day that the calendar has between 1960 and 2100."""
    for form, _ in _DAY_FORMS:
        if (match := form.fullmatch((text or "").strip())) is not None:
            year, month, day = (int(match[part]) for part in "ymd")
            try:
                found = datetime.date(year, month, day)
            except ValueError:
                return None
            return found if 1960 <= year <= 2100 else None
    return None


def day_of_row(member: str, row: CodedRow, name: str, findings: list[Finding]) -> datetime.date | None:
    """Read a row's day; one that cannot be read is null and a finding."""
    cell = row.cells.get(name)
    day = day_from(cell)
    if cell is not None and day is None:
        # In a print file the next cell's text may follow at once; that text may be anyone's.
        raw = re.split(r"[A-Za-z]", cell)[0][:20]
        findings.append(
            Finding(
                "odd_date",
                "warning",
                f"{raw!r} is no day",
                "left null",
                member,
                row.line,
                row.kind,
                row.code,
                name,
                raw,
            )
        )
    return day


def header_findings(member: str, table: Table, unread: Iterable[str] = ()) -> list[Finding]:
    """Findings of a table's header: unknown headings, and columns of a print file that cannot be told apart."""
    findings = []
    if table.is_cut:
        message = "a print file: cells end where their column did"
        if table.unknown_headings or unread:
            message += ", and the columns behind the last one read cannot be told apart"
        findings.append(
            Finding(
                "print_file_cut",
                "warning",
                message,
                "cells kept as they stand, unread columns left null",
                member,
                table.header_line,
            )
        )
        return findings
    for heading in table.unknown_headings:
        findings.append(
            Finding(
                "unknown_column",
                "warning",
                f"the heading {heading[:40]!r} is not known in this kind of file",
                "the column is left out",
                member,
                table.header_line,
                raw_value=heading[:40],
            )
        )
    return findings
