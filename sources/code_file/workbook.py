"""The workbook of a release (.xls, .xlsx): bytes to raw cells, in the same shape as the text gives them."""

from __future__ import annotations

import re

import polars as pl

from sources.code_file.record_layout import (
    CODE_HEADINGS,
    CONTINUATION_KINDS,
    FIRST_LINE_KINDS,
    IGNORED_HEADINGS,
    RECORD_FIELDS,
    RECORD_ID_HEADINGS,
    REQUIRED_FIELDS,
    SEQUENCE_HEADINGS,
    normalized_heading,
)
from sources.code_file.records import Cells, with_records_numbered
from sources.errors import MemberError
from sources.excel.reader import read_sheets
from sources.findings import Finding

#: How many rows from the top may hold disclaimers before the header.
_MOST_ROWS_ABOVE_HEADER = 60

#: A cell that is a code or a modifier, and no line of a disclaimer.
_CODE = re.compile(r"(?:[A-Z0-9]{5}|[A-Z0-9]{2})$")


def first_sheet(member: str, data: bytes) -> pl.DataFrame:
    """Read the first sheet, every cell as text, no row taken as header; raises ``MemberError`` if it is no workbook."""
    sheets = read_sheets(member, data)
    if not sheets:
        raise MemberError(f"{member} cannot be read as a workbook: it has no sheet")
    return sheets[0][1]


def header_columns(sheet: pl.DataFrame) -> tuple[int, dict[str, int]] | None:
    """Find the header of a code file: its zero-based row, and the column of every cell of the layout by name.

    Returns None where no row has a cell HCPC beside a record id and the required fields: not a code file then.
    """
    for index, row in enumerate(sheet.head(_MOST_ROWS_ABOVE_HEADER).iter_rows()):
        headings = [normalized_heading(cell) for cell in row]
        if not any(h in CODE_HEADINGS for h in headings):
            continue
        columns = {name: position for position, h in enumerate(headings) if (name := cell_name(h)) is not None}
        if {"code", "record_id", *REQUIRED_FIELDS} <= columns.keys():
            return index, columns
    return None


def cell_name(heading: str) -> str | None:
    """The cell of the layout that a normalized heading names, numbered if its field is repeated; else None."""
    for name, known in (("code", CODE_HEADINGS), ("record_id", RECORD_ID_HEADINGS), ("sequence", SEQUENCE_HEADINGS)):
        if heading in known:
            return name
    for f in RECORD_FIELDS:
        if f.times == 1 and heading in f.headings:
            return f.name
        stem = heading.rstrip("0123456789")
        if f.times > 1 and stem in f.headings and heading != stem:
            part = f"{f.name}_{int(heading[len(stem) :])}"
            return part if part in f.parts else None
    return None


def read_anweb_workbook(member: str, data: bytes) -> tuple[Cells, list[Finding]]:
    """Read a code workbook.

    Returns the same as ``read_anweb_text`` (``source_line`` is the row of the sheet, from 1), with columns only for
    cells that the header names, and the findings. Raises ``MemberError`` for no workbook or no header.
    """
    sheet = first_sheet(member, data)
    found = header_columns(sheet)
    if found is None:
        raise MemberError(
            f"{member} has no header: no row among the first {_MOST_ROWS_ABOVE_HEADER} has the cell HCPC"
            " beside a record id, descriptions, dates and action code"
        )
    header, columns = found
    findings = _header_findings(member, sheet.row(header), header, columns)
    names = sheet.columns
    rows = (
        sheet.with_row_index("source_line", offset=1)
        .slice(header + 1)
        .select(pl.col("source_line").cast(pl.Int32), *(pl.col(names[i]).alias(n) for n, i in columns.items()))
        .with_columns(pl.col("code", "record_id").str.strip_chars(" \t\u00a0").replace("", None))
        .filter(pl.any_horizontal(pl.exclude("source_line").str.strip_chars() != ""))
    )
    rows, stray = _record_rows(member, rows)
    findings.extend(stray)
    return Cells.of_rows(_joined_continuations(member, rows, findings)), findings


def _header_findings(member: str, row: tuple[str | None, ...], header: int, columns: dict[str, int]) -> list[Finding]:
    findings = []
    known = set(columns.values())
    for position, cell in enumerate(row):
        if position not in known and (heading := normalized_heading(cell)) and heading not in IGNORED_HEADINGS:
            message = f"the heading {cell!r} is none of the record layout's"
            findings.append(Finding.of("unknown_column", message, member, header + 1, raw_value=cell))
    absent = [part for f in RECORD_FIELDS for part in f.parts if part not in columns]
    if absent:
        findings.append(
            Finding.of(
                "absent_column", f"no column for {', '.join(absent)}", member, header + 1, occurrences=len(absent)
            )
        )
    return findings


def _record_rows(member: str, rows: pl.DataFrame) -> tuple[pl.DataFrame, list[Finding]]:
    """Rows with a known record id; others are refused, but for text above or below the table."""
    record_ids = [*FIRST_LINE_KINDS, *CONTINUATION_KINDS]
    is_record = pl.col("record_id").is_in(record_ids).fill_null(False) & pl.col("code").is_not_null()
    findings = []
    for row in rows.filter(~is_record).iter_rows(named=True):
        code, record_id = row["code"], row["record_id"]
        looks = record_id is not None or (code is not None and _CODE.match(code) is not None)
        value = record_id or code
        message = (
            "a row without a record id"
            if record_id is None
            else "a row without a code"
            if record_id in record_ids
            else f"record id {record_id} is none of 3, 4, 7, 8"
        )
        findings.append(
            Finding.of(
                "not_a_record",
                message,
                member,
                row["source_line"],
                code=code,
                field="record_id" if looks else "record",
                raw_value=value[:60] if value else None,
                severity="error" if looks else "warning",
                action="refused" if looks else "left out",
            )
        )
    return rows.filter(is_record), findings


def _joined_continuations(member: str, rows: pl.DataFrame, findings: list[Finding]) -> pl.DataFrame:
    rows = with_records_numbered(member, rows, findings)
    heads = rows.filter("is_first")
    if not heads.height:
        findings.append(Finding.of("no_records", "holds no row of a record", member))
    texts = (
        rows.group_by("record", maintain_order=True)
        .agg(pl.col("long_description").drop_nulls().str.strip_chars_end().str.join(" "))
        .rename({"long_description": "joined"})
    )
    return (
        heads.join(texts, on="record", how="left", maintain_order="left")
        .with_columns(pl.col("joined").alias("long_description"))
        .drop("record", "record_id", "is_first", "joined", *(["sequence"] if "sequence" in heads.columns else []))
    )
