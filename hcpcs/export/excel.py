"""``hcpcs export --excel``: a workbook for people: codes in effect, history, changes, dictionary and licenses.

xlsxwriter is an extra: it is imported here alone, and only when a workbook is requested.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.compute as pc

from hcpcs.errors import HcpcsError
from hcpcs.export.notice import license_notice
from hcpcs.export.registry import ExportFormat
from hcpcs.version import Version

_CODES = "codes"
_TABLES = ("hcpcs_history", "hcpcs_changes", "data_dictionary", "licenses")
_CODE_COLUMNS = (
    *("kind", "code", "short_description", "long_description", "section", "valid_from", "valid_to"),
    *("coverage_code", "betos_code", "pricing_indicators", "type_of_service_codes"),
    *("license_id", "redistribution", "cites_cpt"),
)
#: Excel's bounds: rows of a sheet, characters of a cell; the first day that all spreadsheets count alike.
_MOST_ROWS, _MOST_CHARACTERS, _FIRST_DAY = 1_048_576, 32_767, dt.date(1900, 3, 1)
_WIDE, _NARROW = 60, 15


def write_excel(version: Version, file: Path, options: Mapping[str, str]) -> list[str]:
    """Write the workbook ``file``; returns the names of its sheets.

    Texts are text cells: ``00`` stays ``00``, and no text is a formula or a link. A list's elements are joined by
    commas. The sheet ``notice`` names the cells whose text was cut to Excel's bound. Raises ``HcpcsError`` without
    xlsxwriter, and for a table with more rows than a sheet takes.
    """
    try:
        import xlsxwriter
    except ImportError:
        raise HcpcsError("xlsxwriter is not installed; `pip install 'hcpcs[excel]'` installs it") from None
    effective = pc.max(version.table("hcpcs_releases", ["effective_date"])["effective_date"]).as_py()
    sheets = {_CODES: _codes_on(version, effective)} | {name: version.table(name) for name in _TABLES}
    for name, table in sheets.items():
        if table.num_rows >= _MOST_ROWS:
            raise HcpcsError(
                f"{name} has {table.num_rows:,} rows, and a sheet of Excel takes {_MOST_ROWS - 1:,} under a header;"
                " `hcpcs export --csv` and `--sqlite` have no such bound"
            )
    safe = {"strings_to_numbers": False, "strings_to_formulas": False, "strings_to_urls": False, "in_memory": True}
    try:
        with xlsxwriter.Workbook(file, safe) as book:
            # The moment of writing would make equal versions differ.
            book.set_properties({"title": f"HCPCS {version.id}", "created": dt.datetime.combine(effective, dt.time())})
            notice = book.add_worksheet("notice")
            cut = [cell for name, table in sheets.items() for cell in _write_sheet(book, name, table)]
            about = (
                f"HCPCS Level II. The sheet {_CODES} has the codes and modifiers in effect on {effective}, the newest"
                f" release's day; {', '.join(_TABLES)} are the published tables, explained in data_dictionary.\n"
                f"Cut to the {_MOST_CHARACTERS:,} characters of a cell: {', '.join(cut) or 'none'}."
            )
            notice.set_column(0, 0, 2 * _WIDE, book.add_format({"text_wrap": True}))
            for row, line in enumerate(license_notice(version, about).splitlines()):
                notice.write_string(row, 0, line)
    except xlsxwriter.exceptions.XlsxWriterException as error:
        raise HcpcsError(f"the workbook cannot be written: {error}") from None
    return ["notice", *sheets]


def _codes_on(version: Version, day: dt.date) -> pyarrow.Table:
    """The codes and modifiers in effect on a day, with the names of their sections."""
    names = {row["section_id"]: row["name"] for row in version.table("code_sections").to_pylist()}
    codes = version.table("hcpcs_codes", ["code", "section_id"]).to_pylist()
    section = {row["code"]: names.get(row["section_id"]) for row in codes}
    table = version.as_of(day).sort_by([("kind", "descending"), ("code", "ascending")])
    sections = [
        section.get(code) if kind == "procedure" else None
        for kind, code in zip(table["kind"].to_pylist(), table["code"].to_pylist(), strict=True)
    ]
    return table.append_column("section", pyarrow.array(sections, pyarrow.string())).select(_CODE_COLUMNS)


def _write_sheet(book: Any, name: str, table: pyarrow.Table) -> list[str]:
    """Write a table as a sheet with a frozen header and filters; returns the cells that were cut."""
    sheet = book.add_worksheet(name)
    header = book.add_format({"bold": True, "bottom": 1})
    text, day = book.add_format({"num_format": "@"}), book.add_format({"num_format": "yyyy-mm-dd"})
    cut = []
    sheet.freeze_panes(1, 0)
    sheet.autofilter(0, 0, table.num_rows, table.num_columns - 1)
    # Codes are texts on purpose: no mark on each that a number is stored as one.
    sheet.ignore_errors({"number_stored_as_text": f"A1:XFD{table.num_rows + 1}"})
    for column, title in enumerate(table.column_names):
        values = table[column].to_pylist()
        is_long = any(len(value) > _WIDE for value in values if isinstance(value, str))
        sheet.set_column(column, column, _WIDE if is_long else _NARROW, text)
        sheet.write_string(0, column, title, header)
        for row, value in enumerate(values, 1):
            if isinstance(value, bool):
                sheet.write_boolean(row, column, value)
            elif isinstance(value, int | float):
                sheet.write_number(row, column, value)
            elif isinstance(value, dt.date) and value >= _FIRST_DAY:
                sheet.write_datetime(row, column, value, day)
            elif value not in (None, "", []):
                written = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
                if len(written) > _MOST_CHARACTERS:
                    cut.append(f"{name} row {row + 1} {title}")
                sheet.write_string(row, column, written[:_MOST_CHARACTERS], text)
    return cut


FORMAT = ExportFormat(
    name="excel",
    summary="a workbook of codes, history, changes, dictionary and licenses",
    is_folder=False,
    write=write_excel,
    shows=tuple(
        f"{table}.{column}"
        for table, columns in {
            "hcpcs_history": ("code", "short_description", "long_description", "betos_code"),
            "hcpcs_changes": ("old", "new"),
        }.items()
        for column in columns
    ),
    suffix=".xlsx",
)
