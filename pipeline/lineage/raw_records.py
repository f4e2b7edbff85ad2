"""CMS's records as its files have them, field by field, for the catalog: what the license lets be passed on.

The same bytes as ``hcpcs lookup CODE --source`` prints, with what is withheld left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from typing import Any

import polars as pl

from hcpcs.paths import Outputs
from pipeline.lineage.provenance import fields_of, holders_of_members, with_continuations
from sources.code_file.record_layout import CONTINUATION_KINDS, LAST_FIELD_POSITION, RECORD_FIELDS, RECORD_ID_POSITION
from sources.errors import SourceError
from sources.release.inspect import open_archive
from sources.side_files.tables import decoded, is_workbook, lines_of, sheets

#: What a record says, in order: sequence number and record id of each line, the fields, and what no field has.
CELLS = ("head", *(f.name for f in RECORD_FIELDS), "filler")
_CODE_LENGTH = 5
_TYPE = pl.List(pl.String)

Cells = dict[str, str]


def with_raw_records(outputs: Outputs, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows that name a record of ``hcpcs_release_records``, with ``record``: its ``CELLS`` without the empty last ones.

    A cell that is withheld is null, and so is the whole record of a row that is. A text's lines are joined by line
    feeds, a workbook's cells of one field by tabs; the head of a workbook's record is empty. Null where the archive
    lacks the member. ``rows`` has ``release_id``, ``code``, the source's columns, ``redistribution``,
    ``withheld_fields``.
    """
    archive = open_archive(outputs.archive)
    try:
        holders = holders_of_members(archive.index())
    except (SourceError, OSError):
        holders = {}
    places: dict[tuple[str, str], list[tuple[int, str]]] = defaultdict(list)
    for release_id, sha, line, code in rows.select(
        "release_id", "source_member_sha256", "source_line", "code"
    ).iter_rows():
        if (release_id, sha) in holders:
            places[release_id, sha].append((line, code))
    found: dict[tuple[str, int], Cells] = {}
    for (release_id, sha), wanted in places.items():
        try:
            member = next(m for m in archive.read(holders[release_id, sha]) if m.sha256 == sha)
        except (SourceError, OSError):
            continue
        of_member = _of_workbook if is_workbook(member.data) else _of_text
        found |= {(sha, line): cells for line, cells in of_member(member.name, member.data, dict(wanted))}
    columns = ("source_member_sha256", "source_line", "redistribution", "withheld_fields")
    records = [
        _quotable(found.get((sha, line)), redistribution, withheld)
        for sha, line, redistribution, withheld in rows.select(columns).iter_rows()
    ]
    return rows.with_columns(pl.Series("record", records, dtype=_TYPE))


def _quotable(cells: Cells | None, redistribution: str, withheld: list[str] | None) -> list[str | None] | None:
    if cells is None or redistribution != "open":
        return None
    known: list[str | None] = [None if name in (withheld or ()) else cells.get(name, "") for name in CELLS]
    while known and known[-1] == "":
        known.pop()
    return known


def _of_text(name: str, data: bytes, wanted: Mapping[int, str]) -> Iterator[tuple[int, Cells]]:
    lines = lines_of(decoded(data) or data.decode("latin-1"))
    description = RECORD_FIELDS[0]
    texts = slice(description.start - 1, description.start - 1 + description.width)
    for number, code in wanted.items():
        own = [lines[number - 1]]
        for line in lines[number:]:
            if (
                line[:_CODE_LENGTH].strip() != code
                or line[RECORD_ID_POSITION - 1 : RECORD_ID_POSITION] not in CONTINUATION_KINDS
            ):
                break
            own.append(line)
        cells = {f.name: own[0][f.start - 1 : f.start - 1 + f.width * f.times].rstrip() for f in RECORD_FIELDS}
        cells["head"] = "\n".join(line[_CODE_LENGTH:RECORD_ID_POSITION] for line in own)
        cells[description.name] = "\n".join(line[texts].rstrip() for line in own)
        cells["filler"] = own[0][LAST_FIELD_POSITION:].rstrip()
        yield number, cells


def _of_workbook(name: str, data: bytes, wanted: Mapping[int, str]) -> Iterator[tuple[int, Cells]]:
    left = dict(wanted)
    for sheet in sheets(name, data):
        rows = list(sheet.rows)
        names: dict[int, str] = {}
        for place, (number, row) in enumerate(rows):
            names = names or fields_of(row)
            code = left.get(number)
            if code is None or not names or code not in (cell.strip() for cell in row):
                continue
            cells: dict[str, list[str]] = defaultdict(list)
            for _, part in with_continuations(rows[place:], code):
                for column, field in names.items():
                    if field == "long_description" or part is row:
                        cells[field].append(part[column].strip() if column < len(part) else "")
            joined: Any = {f: ("\n" if f == "long_description" else "\t").join(v).rstrip() for f, v in cells.items()}
            yield number, joined
            del left[number]
