"""CMS's records as its files have them, field by field, for the catalog: what the license lets be passed on.

The same bytes as ``hcpcs lookup CODE --source`` prints, with what is withheld left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice

import polars as pl
import pyarrow as pa

from hcpcs.paths import Outputs
from pipeline.lineage.provenance import fields_of, holders_of_members, lines_of_record, with_continuations
from sources.code_file.record_layout import LAST_FIELD_POSITION, RECORD_FIELDS, RECORD_ID_POSITION
from sources.errors import SourceError
from sources.release.inspect import open_archive
from sources.side_files.tables import Sheet, decoded, is_workbook, lines_of, sheets

#: What a record says, in order: sequence number and record id of each line, the fields, and what no field has.
CELLS = ("head", *(f.name for f in RECORD_FIELDS), "filler")
_CODE_LENGTH = 5
#: A header is in the first rows of a sheet, and no record has more lines.
_HEADER_ROWS, _MOST_LINES = 200, 1_000

Cells = dict[str, str]


def with_raw_records(outputs: Outputs, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows that name a record of ``hcpcs_release_records``, with ``record``: its ``CELLS`` as a struct.

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
    # By Arrow, which takes nested values in a fifth of the time that polars takes.
    return rows.with_columns(pl.Series("record", pa.array(records, pa.struct([(c, pa.string()) for c in CELLS]))))


def _quotable(cells: Cells | None, redistribution: str, withheld: list[str] | None) -> dict[str, str | None] | None:
    if cells is None or redistribution != "open":
        return None
    return {name: None if name in (withheld or ()) else cells.get(name, "") for name in CELLS}


def _of_text(name: str, data: bytes, wanted: Mapping[int, str]) -> Iterator[tuple[int, Cells]]:
    lines = lines_of(decoded(data) or data.decode("latin-1"))
    description = RECORD_FIELDS[0]
    texts = slice(description.start - 1, description.start - 1 + description.width)
    for number, code in wanted.items():
        own = list(islice(lines_of_record(lines, number, code), _MOST_LINES))
        cells = {f.name: own[0][f.start - 1 : f.start - 1 + f.width * f.times].rstrip() for f in RECORD_FIELDS}
        cells["head"] = "\n".join(line[_CODE_LENGTH:RECORD_ID_POSITION] for line in own)
        cells[description.name] = "\n".join(line[texts].rstrip() for line in own)
        cells["filler"] = own[0][LAST_FIELD_POSITION:].rstrip()
        yield number, cells


def _of_workbook(name: str, data: bytes, wanted: Mapping[int, str]) -> Iterator[tuple[int, Cells]]:
    left = dict(wanted)
    for sheet in sheets(name, data):
        names = next((found for _, row in sheet.first_rows(_HEADER_ROWS) if (found := fields_of(row))), {})
        places = [column for column, field in names.items() if field == "code"]
        if not places:
            continue
        # The first column of the frame is the row's number.
        codes = pl.nth(places[0] + 1).str.strip_chars()
        rows = Sheet(sheet.name, sheet.cells.filter(codes.is_in(sorted(set(wanted.values()))))).rows
        for place, (number, row) in enumerate(rows):
            if left.get(number) != row[places[0]].strip():
                continue
            cells: dict[str, list[str]] = defaultdict(list)
            for _, part in with_continuations(rows[place : place + _MOST_LINES], left.pop(number)):
                for column, field in names.items():
                    if field == "long_description" or part is row:
                        cells[field].append(part[column].strip())
            yield number, {f: ("\n" if f == "long_description" else "\t").join(v).rstrip() for f, v in cells.items()}
