"""Lists of codes as people have them: a text, a column of CSV or Excel, a FHIR ValueSet. What a code is: ``check``."""

from __future__ import annotations

import codecs
import csv
import io
import json
import re
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from hcpcs.annotate.typed_code import CodeRead, read_code
from hcpcs.errors import HcpcsError, in_one_line

_EXCEL = (".xlsx", ".xlsm", ".xlsb", ".xls", ".ods")
_DELIMITED = (".csv", ".tsv")
_DELIMITERS = ",;\t|"
#: How the header of a column of codes ends, in lower case, and what it has in it where other codes are beside it.
_CODE_HEADERS = ("code", "codes", "hcpcs", "hcpcs_cd", "modifier", "cpt")
_OF_PROCEDURES = ("hcpc", "cpt", "proc")


def read_list(path: Path, *, column: str | None = None, sheet: str | None = None) -> list[CodeRead]:
    """The codes and modifiers of a list, each as it was read, without repeats; ``-`` is standard input.

    Without ``column``, that of a table is the first whose header names procedures, as hcpcs_code does, else the one
    whose header is or ends in code or modifier, else the first with a code in its first line; without
    ``sheet``, a workbook's first. A number in a workbook gets the zeros back that Excel dropped. Raises ``HcpcsError``
    for a list without codes or with several columns that may be theirs, and for what cannot be read.
    """
    suffix = path.suffix.lower()
    if sheet is not None and suffix not in _EXCEL:
        raise HcpcsError(f"--sheet names a sheet of a workbook, and {path} is none")
    if suffix in _EXCEL:
        cells = _column_of(path, _rows_of_workbook(path, sheet), column)
        read = [_read_cell(cell) for cell in cells]
    elif suffix == ".json":
        read = [read_code(code) for code in _codes_of_json(path, _text_of(path))]
    elif suffix in _DELIMITED or column is not None:
        text = _text_of(path)
        first = next(filter(str.strip, text.splitlines()), "")
        rows = csv.reader(io.StringIO(text, newline=""), delimiter=max(_DELIMITERS, key=first.count))
        read = [read_code(cell) for cell in _column_of(path, list(rows), column)]
    else:
        lines = [line.partition("#")[0] for line in _text_of(path).splitlines()]
        read = [read_code(word) for line in lines for word in line.replace(",", " ").replace(";", " ").split()]
    if not read:
        raise HcpcsError(f"{path} contains no code; it is read as {suffix.lstrip('.') or 'text'}")
    return list({one.given: one for one in read}.values())


def _text_of(path: Path) -> str:
    data = sys.stdin.buffer.read() if str(path) == "-" else path.read_bytes()
    is_utf_16 = data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE))  # Excel's "Unicode text"
    try:
        return data.decode("utf-16" if is_utf_16 else "utf-8-sig")
    except UnicodeDecodeError as error:
        raise HcpcsError(f"{path} is not UTF-8 text ({error}); save the column of codes as CSV in UTF-8") from None


def _codes_of_json(path: Path, text: str) -> list[str]:
    try:
        resource = json.loads(text)
        if resource["resourceType"] not in ("ValueSet", "CodeSystem"):
            raise HcpcsError(f"{path} is a FHIR {resource['resourceType']}, not a ValueSet or CodeSystem")
        compose = resource.get("compose", {})
        groups = [*compose.get("include", []), resource]
        codes = [code for group in groups for code in _concepts(group.get("concept", []))]
        without = {code for group in compose.get("exclude", []) for code in _concepts(group.get("concept", []))}
        expanded = list(_concepts(resource.get("expansion", {}).get("contains", [])))
        return [*(code for code in codes if code not in without), *expanded]
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
        raise HcpcsError(f"{path} is not a FHIR ValueSet: {error!r}") from None


def _concepts(concepts: Sequence[dict[str, Any]]) -> Iterator[str]:
    """The codes of concepts and of those below them; one that only groups others may have none."""
    for concept in concepts:
        if "code" in concept and not concept.get("abstract"):
            yield str(concept["code"])
        yield from _concepts([*concept.get("concept", []), *concept.get("contains", [])])


def _rows_of_workbook(path: Path, sheet: str | None) -> list[list[str]]:
    """The cells of a sheet as text."""
    try:
        import fastexcel
        import pyarrow as pa
    except ImportError:
        raise HcpcsError("fastexcel is not installed; `pip install 'hcpcs[excel]'` installs it") from None
    try:
        book = fastexcel.read_excel(path.read_bytes())
        if sheet is not None and sheet not in book.sheet_names:
            raise HcpcsError(f"{path} has no sheet {sheet!r}; it has {', '.join(book.sheet_names)}")
        found = pa.record_batch(
            book.load_sheet(0 if sheet is None else sheet, header_row=None, skip_rows=0, dtypes="string")
        )
    except (HcpcsError, OSError, KeyboardInterrupt):
        raise
    except BaseException as error:  # the reader's panics are no `Exception`
        why = in_one_line(error).partition(" Context:")[0]
        raise HcpcsError(f"{path} cannot be read as a workbook: {why}; save it again as .xlsx, or as CSV") from None
    return [[cell or "" for cell in row] for row in zip(*(c.to_pylist() for c in found.columns), strict=True)]


def _read_cell(cell: str) -> CodeRead:
    """A cell of a workbook: two digits are a modifier, three or four a code whose zeros Excel dropped."""
    digits = re.fullmatch(r"([1-9][0-9]{2,3})(\.0+)?", cell)
    return read_code(digits[1] if digits else cell, numeric=digits is not None)


def _named_as_codes(path: Path, header: Sequence[str]) -> list[int]:
    """The columns whose header is that of procedure codes, the likeliest first; none where no header says so.

    Raises ``HcpcsError`` where several may be, as zip_code and revenue_code.
    """
    named = [i for i, name in enumerate(header) if name.endswith(_CODE_HEADERS)]
    likely = [i for i in named if any(word in header[i] for word in _OF_PROCEDURES)]
    likely = likely or [i for i in named if header[i] in ("code", "codes")]
    if len(named) > 1 and not likely:
        raise HcpcsError(
            f"{path} has several columns of codes; name one by --column: {', '.join(header[i] for i in named)}"
        )
    return likely or named


def _column_of(path: Path, rows: Sequence[Sequence[str]], column: str | None) -> list[str]:
    """The cells of a table's column that have something, without its header."""
    rows = [row for row in rows if any(cell.strip() for cell in row)]
    if not rows:
        return []
    header = [cell.strip().lower() for cell in rows[0]]
    if column is not None:
        if column.strip().lower() not in header:
            raise HcpcsError(f"{path} has no column {column!r}; it has {', '.join(filter(None, rows[0]))}")
        place, start = header.index(column.strip().lower()), 1
    else:
        named = _named_as_codes(path, header)
        first = rows[1] if len(rows) > 1 and not any(read_code(cell).code for cell in rows[0]) else rows[0]
        place = next(iter(named or [i for i, cell in enumerate(first) if read_code(cell).code]), 0)
        start = int(bool(named) or read_code(rows[0][place]).code is None)
    return [row[place].strip() for row in rows[start:] if len(row) > place and row[place].strip()]
