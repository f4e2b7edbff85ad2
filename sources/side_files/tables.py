"""Cells of CMS's side files: workbooks, tab-separated texts and print files become one kind of table.

What a table's columns mean to one side file stays in that file's module; here is only where the cells stand.
"""

from __future__ import annotations

import csv
import datetime
import hashlib
import re
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from pathlib import Path
from typing import Any

import polars as pl

from sources.code_file.record_layout import RECORD_ID_HEADINGS, normalized_heading
from sources.excel.reader import read_sheets
from sources.findings import Finding

WORKBOOK_MAGIC = (b"PK\x03\x04", b"\xd0\xcf\x11\xe0")
#: How many lines from the top may hold titles and notices before the header.
MOST_LINES_ABOVE_HEADER = 60
#: A longer text is no cell and no note, but what damage made of many: CMS's longest note has 429 characters, its
#: longest description 4,544.
MOST_LETTERS = 10_000
#: A row of a tab-separated text is padded to the widest; what a damaged one has past this many cells stays in the last.
_MOST_COLUMNS = 60


def words_for(what: str) -> dict[str, str]:
    """What CMS's side files call a ``heading``, ``field`` or ``action``, by what it means: rows of ``words.csv``."""
    with Path(__file__).with_name("words.csv").open(encoding="utf-8", newline="") as file:
        return {row["means"]: row["words"] for row in csv.DictReader(file) if row["what"] == what}


#: What the columns of side files are called, as a whole cell, in upper case with single spaces.
_HEADINGS = words_for("heading")
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
_ANY_PRINT_LABEL = "|".join(_HEADINGS[name] for name in _PRINT_LABELS)
#: 2018's report writes `CodeType of Change`: a label may follow another one at once.
_PRINT_LABEL = re.compile(
    rf"(?:{'|'.join(rf'(?P<{name}>{_HEADINGS[name]})' for name in _PRINT_LABELS)})(?:\b|(?={_ANY_PRINT_LABEL}))", re.I
)
_PRINT_CODE_LABEL = re.compile(rf"\s*{_HEADINGS['code']}(?= |{_ANY_PRINT_LABEL})", re.I)
_CODE_AND_BLANKS = re.compile(r"\s*[A-Za-z0-9]+ +")
_GAP = re.compile(r" {2,}(?=\S)")
_PRINT_DAY = re.compile(r"(?<!\S)(?:\d{8}|\d{1,2}/\d{1,2}/\d{4})(?!\S)")
#: What a print file's line with a code begins with. The regex is that of Rust, as of all cells that are read together.
_PRINT_CODE = r"^(\s*[A-Za-z0-9]+)(?:\s|$)"

_CODE = r"^(?:[A-Z0-9][0-9]{3}[A-Z0-9]|[A-Z0-9]{2})$"
#: What Excel writes for a character that XML cannot hold, and the characters themselves.
_ARTIFACT = re.compile(r"_x[0-9A-Fa-f]{4}_|[\x00-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]")
#: Whether there may be more to take from a cell than the blanks at its ends.
_NOT_PLAIN = rf"{_ARTIFACT.pattern}|\u00a0"


@dataclass(frozen=True, slots=True, eq=False)
class Sheet:
    """A workbook's sheet, or a text: a column of the lines or rows, from 1, and one for each position of raw cells."""

    name: str
    cells: pl.DataFrame

    @property
    def rows(self) -> list[tuple[int, list[str]]]:
        """All rows, one by one, with the line or row on which each starts; a cell that a row lacks is empty."""
        return self.first_rows(self.cells.height)

    def first_rows(self, most: int) -> list[tuple[int, list[str]]]:
        """The first ``most`` of ``rows``."""
        return [(line, [cell or "" for cell in cells]) for line, *cells in self.cells.head(most).iter_rows()]


@dataclass(frozen=True, slots=True, eq=False)
class Table(Sheet):
    """What stands below a sheet's header: ``columns`` gives the position of each known column.

    ``is_cut`` says that it is a print file, whose cells end where the column did.
    """

    title: str
    header_line: int
    columns: dict[str, int]
    unknown_headings: list[str]
    is_cut: bool = False
    is_code_file: bool = False

    def cell(self, column: str) -> pl.Expr:
        """The raw cells of a known column."""
        return pl.nth(self.columns[column] + 1)


@dataclass(frozen=True, slots=True)
class CodedRow:
    """A row of a table that begins with a code: its other cells by column, as in ``coded_cells``.

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
    return [Sheet(name, frame.with_row_index("line", 1)) for name, frame in read_sheets(member, data)]


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
    top = sheet.first_rows(MOST_LINES_ABOVE_HEADER)
    for index, (line, cells) in enumerate(top):
        if (header := _header_in(cells)) is not None:
            columns, unknown = header
            above = (cell for _, row in top[:index] for cell in row if cell)
            return Table(
                sheet.name,
                sheet.cells.slice(index + 1),
                " ".join((sheet.name, *above)),
                line,
                columns,
                unknown,
                is_code_file=any(normalized_heading(heading) in RECORD_ID_HEADINGS for heading in unknown),
            )
    return None


def _header_in(cells: list[str]) -> tuple[dict[str, int], list[str]] | None:
    """Where the known columns stand, and the other headings, if a row is a header: with the code's and another."""
    columns: dict[str, int] = {}
    unknown = []
    for position, cell in enumerate(cells):
        heading = " ".join(tidy(cell).upper().split())
        name = next((n for n, pattern in _HEADING_CELL.items() if pattern.fullmatch(heading)), None)
        if name is not None:
            columns.setdefault(name, position)
        elif heading:
            unknown.append(heading)
    return (columns, unknown) if "code" in columns and len(columns) > 1 else None


def _table_in_text(lines: list[str]) -> Table | None:
    for index, line in enumerate(lines[:MOST_LINES_ABOVE_HEADER]):
        if "\t" in line and (header := _header_in(line.split("\t"))) is not None:
            below = [text for text in lines[index + 1 :] if text.strip()]
            if not below or sum("\t" in text for text in below) * 2 > len(below):
                return table_in(Sheet("", _tab_cells(lines)))
            return _print_table(lines, index, _columns_below(header[0], below), header[1])
        if (starts := _print_columns(line)) is not None:
            rest = line[starts[-1][1] :].split("  ")[1:]
            return _print_table(lines, index, starts, [heading.strip() for heading in rest if heading.strip()])
    return None


def _print_table(lines: list[str], index: int, starts: list[tuple[str, int]], unknown: list[str]) -> Table:
    """The table below the header of a print file, whose columns behind the code start there."""
    return Table(
        "",
        _print_cells(lines[index + 1 :], index + 2, starts),
        " ".join(lines[:index]),
        index + 1,
        {name: position for position, name in enumerate(["code", *(name for name, _ in starts)])},
        unknown,
        is_cut=True,
    )


def _columns_below(header: dict[str, int], lines: list[str]) -> list[tuple[str, int]]:
    """Where the columns of a print file start whose header has tabs, so that its labels stand elsewhere (2017).

    A day stands where the days of many lines do; a text where most lines have one behind the code, or behind a gap.
    """
    names = sorted((name for name in header if name != "code"), key=header.__getitem__)
    days = [name for name in names if name.endswith("_date")]
    texts = [name for name in names if name not in days]
    found = Counter(day.start() for line in lines for day in _PRINT_DAY.finditer(line))
    # A day within a text stands anywhere.
    first_day = min((at for at, count in found.items() if count * 20 >= len(lines)), default=None)
    day_starts = sorted(at for at in found if first_day is not None and at >= first_day)
    text_starts = [Counter(m.end() for line in lines if (m := _CODE_AND_BLANKS.match(line)))]
    text_starts.append(Counter(m.end() for line in lines for m in _GAP.finditer(line[:first_day].rstrip())))
    first = max(text_starts[0], key=text_starts[0].__getitem__, default=0)
    further = sorted((at for at in text_starts[1] if at > first), key=text_starts[1].__getitem__, reverse=True)
    starts = [first, *sorted(further[: len(texts) - 1])] if texts else []
    return [*zip(texts, starts, strict=False), *zip(days, day_starts, strict=False)]


def _tab_cells(lines: list[str]) -> pl.DataFrame:
    """Cells of a tab-separated text, without its empty rows."""
    starts, rows = [], []
    for start, cells in _tab_rows(lines):
        if cells:
            starts.append(start)
            rest = cells[_MOST_COLUMNS - 1 :]
            rows.append(cells if len(rest) < 2 else [*cells[: _MOST_COLUMNS - 1], "\t".join(rest)])
    columns = {str(position): column for position, column in enumerate(zip_longest(*rows))}
    return pl.DataFrame({"line": starts, **columns}, schema={"line": pl.Int64} | dict.fromkeys(columns, pl.String))


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


def _print_cells(lines: list[str], first: int, columns: list[tuple[str, int]]) -> pl.DataFrame:
    """Cells of a print file's lines, counted from ``first``: the code is the first word, the next cell is behind it.

    The first labels are centered in 2019, so that the second column starts before its label does. A date that is the
    last column read ends at the first gap: what is behind belongs to columns that are not read. A line that begins
    with no word is a cell as a whole.
    """
    text, code = pl.col("text"), pl.col("code")
    behind_code = code.str.len_chars()
    starts = [start for _, start in columns[1:]]
    second = text.str.head(starts[0]) if starts else text
    cells = [second.str.slice(behind_code), *(text.str.slice(a, b - a) for a, b in pairwise(starts))]
    if starts:
        cells.append(text.str.slice(starts[-1]))
    if columns[-1][0].endswith("_date"):
        cells[-1] = cells[-1].str.strip_chars().str.replace(r"(?s)\s{2,}.*", "")
    return (
        pl.DataFrame({"text": lines}, schema={"text": pl.String})
        .with_columns(text.str.extract(_PRINT_CODE).alias("code"))
        .select(
            pl.int_range(first, pl.len() + first).alias("line"),
            pl.coalesce(code.str.strip_chars_start(), text).alias("0"),
            *(pl.when(code.is_not_null()).then(cell).alias(str(position)) for position, cell in enumerate(cells, 1)),
        )
    )


def tidy(cell: str | None) -> str:
    """A cell without artifacts, no-break spaces and blanks at its ends."""
    cell = cell or ""
    if cell.isprintable() and "_x" not in cell:
        return cell.strip()
    return _ARTIFACT.sub("", cell).replace("\u00a0", " ").strip()


def coded_cells(member: str, table: Table, findings: list[Finding]) -> pl.DataFrame:
    """Rows that begin with a code: line, kind, code and each other column known in the table, null where empty.

    Blanks at the ends and artifacts are taken out. Of artifacts, and of rows that hold anything without a code, a
    finding is added.
    """
    positions = table.cells.columns[1:]
    odd = table.cells.filter(pl.any_horizontal(pl.col(positions).str.contains(_NOT_PLAIN)))
    artifacts = odd.filter(pl.any_horizontal(pl.col(positions).str.contains(_ARTIFACT.pattern)))["line"]
    tidied = {at: {cell: tidy(cell) for cell in odd[at].drop_nulls().unique()} for at in positions}
    others = [name for name in table.columns if name != "code"]
    rows = (
        table.cells.with_columns(pl.col(at).replace(tidied[at]).str.strip_chars().replace("", None) for at in positions)
        .select(
            "line",
            table.cell("code").alias("raw_code"),
            table.cell("code").str.to_uppercase().alias("code"),
            pl.sum_horizontal(pl.col(positions).is_not_null()).alias("filled"),
            pl.any_horizontal(pl.col(positions).str.len_chars() > MOST_LETTERS).fill_null(False).alias("is_too_long"),
            *(table.cell(name).alias(name) for name in others),
        )
        .filter(pl.col("filled") > 0)
        .with_columns(
            pl.col("code").str.contains(_CODE).fill_null(False).alias("has_code"),
            pl.when(pl.col("code").str.len_chars() == 2)
            .then(pl.lit("modifier"))
            .otherwise(pl.lit("procedure"))
            .alias("kind"),
        )
    )
    is_lower = pl.col("raw_code") != pl.col("code")
    for row in rows.filter(~pl.col("has_code") | is_lower | pl.col("is_too_long")).iter_rows(named=True):
        findings.extend(_row_findings(member, row))
    if not artifacts.is_empty():
        message = f"control characters, or what Excel writes for them, are on {len(artifacts)} lines"
        findings.append(Finding.of("artifact_removed", message, member, artifacts[0], occurrences=len(artifacts)))
    return rows.filter("has_code").select(
        "line", "kind", "code", pl.when(pl.col(others).str.len_chars() <= MOST_LETTERS).then(pl.col(others))
    )


def _row_findings(member: str, row: dict[str, Any]) -> Iterator[Finding]:
    """What is odd in a row that has no code, or one in lower case, or too long a text."""
    line, kind, code, raw = row["line"], row["kind"], row["code"], row["raw_code"]
    if not row["has_code"]:
        # The text of such a row may be anyone's: the finding says where it is, not what it says.
        yield Finding.of(
            "line_without_code",
            "the line does not begin with a code",
            member,
            line,
            raw_value=raw if raw is not None and len(raw) <= 12 else None,
            severity="info" if row["filled"] == 1 else "warning",
        )
        return
    if code != raw:
        yield Finding.of("lower_case_code", f"the code is written {raw}", member, line, kind, code, raw_value=raw)
    if row["is_too_long"]:
        yield Finding.of(
            "text_too_long", f"a cell of {code} has more than {MOST_LETTERS:,} characters", member, line, kind, code
        )


def coded_rows(member: str, table: Table, findings: list[Finding]) -> list[CodedRow]:
    """The rows of ``coded_cells`` one by one, for side files of few rows."""
    full = {}
    if table.is_cut:
        columns = [(name, at) for name, at in table.columns.items() if name != "code"]
        full = {line: frozenset(n for n, at in columns if cells[at][-1:].strip()) for line, cells in table.rows}
    coded = coded_cells(member, table, findings)
    names = coded.columns[3:]
    return [
        CodedRow(line, kind, code, dict(zip(names, cells, strict=True)), full.get(line, frozenset()))
        for line, kind, code, *cells in coded.iter_rows()
    ]


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
        findings.append(Finding.of("odd_date", f"{raw!r} is no day", member, row.line, row.kind, row.code, name, raw))
    return day


def header_findings(member: str, table: Table, unread: Iterable[str] = ()) -> list[Finding]:
    """Findings of a table's header: unknown headings, and columns of a print file that cannot be distinguished."""
    findings = []
    if table.is_cut:
        message = "a print file: cells end where their column did"
        if table.unknown_headings or unread:
            message += ", and the columns behind the last one read cannot be distinguished"
        findings.append(Finding.of("print_file_cut", message, member, table.header_line))
        return findings
    for heading in table.unknown_headings:
        message = f"the heading {heading[:40]!r} is not known in this kind of file"
        findings.append(Finding.of("unknown_column", message, member, table.header_line, raw_value=heading[:40]))
    return findings
