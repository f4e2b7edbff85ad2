"""``hcpcs lookup CODE --source``: from rows of a published version back to the bytes that CMS posted.

Prints what the archive holds, unmasked and unread: that is for the owner of the archive and is never published.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pyarrow.parquet

from hcpcs.paths import Outputs
from hcpcs.version import version_folder
from hcpcs.version_files import read_rows
from sources.archive.archive import ArchivedZip, ArchiveIndex
from sources.code_file.record_layout import (
    CODE_HEADINGS,
    CONTINUATION_KINDS,
    RECORD_FIELDS,
    RECORD_ID_POSITION,
    TEXT_FIELDS,
    RecordField,
    normalized_heading,
)
from sources.code_file.workbook import cell_name
from sources.errors import SourceError
from sources.release.inspect import open_archive
from sources.side_files.tables import decoded, is_workbook, lines_of, sheets

_PLACE = ("source_member", "source_member_sha256", "source_line")
_RECORDS = "hcpcs_release_records"


@dataclass(frozen=True, slots=True)
class RawLines:
    """What stands at the place that a row is from: lines of a text, or rows of a sheet, with their numbers from 1.

    A workbook's row is its cells, with tabs between them.
    """

    table: str
    release_id: str
    revision: int | None
    zip_name: str
    zip_sha256: str
    member: str
    member_sha256: str
    sheet: str | None
    lines: tuple[tuple[int, str], ...]

    def as_json(self) -> dict[str, Any]:
        """The place and its lines, for scripts."""
        named = {s: getattr(self, s) for s in self.__slots__ if s != "lines"}
        return named | {"lines": [{"number": n, "text": text} for n, text in self.lines]}


def raw_lines(outputs: Outputs, code: str, version: str | None = None, *, field: str | None = None) -> list[RawLines]:
    """Every place in CMS's files that the version's rows about ``code`` is from, release by release.

    With ``field`` only its records, each with that field between `[` and `]`. Raises ``SourceError`` for a code that no
    release has and for an unknown field, ``ZipRefused`` where the archive lost or changed a zip.
    """
    marked = None if field is None else record_field(field)
    folder = version_folder(outputs, version)
    places = sorted(_places(folder, code), key=lambda p: (p["release_id"], p["table"], p["source_line"]))
    if marked is not None:
        places = [p for p in places if p["table"] == _RECORDS]
    if not places:
        raise SourceError(f"no loaded release has {code!r}; `hcpcs releases` lists the loaded releases")
    archive = open_archive(outputs.archive)
    holders = holders_of_members(archive.index())
    members: dict[str, bytes] = {}
    found = []
    for place in places:
        holder = holders.get((place["release_id"], place["source_member_sha256"]))
        if holder is None:
            raise SourceError(
                f"the archive no longer has {place['source_member']} of {place['release_id']} (sha256"
                f" {place['source_member_sha256'][:12]}…); refresh --from a folder that has it"
            )
        if place["source_member_sha256"] not in members:
            members |= {m.sha256: m.data for m in archive.read(holder)}
        data = members[place["source_member_sha256"]]
        sheet, lines = _lines_at(place["source_member"], data, place["source_line"], code, marked)
        found.append(
            RawLines(
                place["table"],
                place["release_id"],
                place["revision"],
                holder.name,
                holder.sha256,
                place["source_member"],
                place["source_member_sha256"],
                sheet,
                tuple(lines),
            )
        )
    return found


def holders_of_members(index: ArchiveIndex) -> dict[tuple[str, str], ArchivedZip]:
    """The zip that has a member, by release and by the member's sha256."""
    return {(z.release_id, member.sha256): z for z in index.zips.values() for member in z.members}


def record_field(name: str) -> RecordField:
    """A field of CMS's record by the name of its column; raises ``SourceError``."""
    found = next((f for f in RECORD_FIELDS if f.name == name), None)
    if found is None:
        raise SourceError(f"CMS's record has no field {name!r}; it has {', '.join(f.name for f in RECORD_FIELDS)}")
    return found


def _places(folder: Path, code: str) -> Iterator[Mapping[str, Any]]:
    """Rows about the code, of every table that says where in CMS's files its rows stand."""
    for path in sorted((folder / "open").glob("*.parquet")):
        names = pyarrow.parquet.read_schema(path).names
        if {"code", "release_id", *_PLACE} <= set(names):
            columns = [c for c in ("release_id", "revision", *_PLACE) if c in names]
            for row in read_rows(folder, path.stem, [("code", "=", code)], columns):
                yield {"revision": None, **row, "table": path.stem}


def _lines_at(
    member: str, data: bytes, number: int, code: str, marked: RecordField | None
) -> tuple[str | None, list[tuple[int, str]]]:
    """The line, or row, with that number, and those after it that continue it; a ``marked`` field between brackets."""
    if is_workbook(data):
        for sheet in sheets(member, data):
            rows = [(n, cells) for n, cells in sheet.rows if n >= number]
            if rows and rows[0][0] == number and code in (c.strip() for c in rows[0][1]):
                heads = [cells for n, cells in sheet.rows if n < number] if marked else []
                names = next((found for cells in heads if (found := fields_of(cells))), {})
                return sheet.name, [
                    (
                        n,
                        "\t".join(
                            f"[{c}]" if marked and names.get(i) == marked.name else c for i, c in enumerate(cells)
                        ),
                    )
                    for n, cells in with_continuations(rows, code)
                ]
        return None, []
    lines = lines_of(decoded(data) or data.decode("latin-1"))
    taken = list(enumerate(lines_of_record(lines, number, code), number))
    if marked is not None:
        # A continuation has a description of its own; the other fields are those of the first line.
        own = len(taken) if marked in TEXT_FIELDS else 1
        taken = [(n, _with_brackets(line, marked)) for n, line in taken[:own]] + taken[own:]
    return None, taken


def lines_of_record(lines: list[str], number: int, code: str) -> Iterator[str]:
    """The line of a text with that number, and those right below that continue its record."""
    yield lines[number - 1]
    for line in map(lines.__getitem__, range(number, len(lines))):
        if line[:5].strip() != code or line[RECORD_ID_POSITION - 1 : RECORD_ID_POSITION] not in CONTINUATION_KINDS:
            return
        yield line


def _with_brackets(line: str, field: RecordField) -> str:
    start, end = field.start - 1, field.start - 1 + field.width * field.times
    return f"{line[:start]}[{line[start:end]}]{line[end:]}"


def fields_of(cells: list[str]) -> dict[int, str]:
    """The fields that a row of headings names, by column; empty for any other row."""
    headings = [normalized_heading(cell) for cell in cells]
    if not any(heading in CODE_HEADINGS for heading in headings):
        return {}
    names = {f"{f.name}_{n}": f.name for f in RECORD_FIELDS for n in range(1, f.times + 1)}
    return {i: names.get(name, name) for i, heading in enumerate(headings) if (name := cell_name(heading))}


def with_continuations(rows: list[tuple[int, list[str]]], code: str) -> Iterator[tuple[int, list[str]]]:
    """The first row, and those right below that have the same code and the record id of a continuation."""
    yield rows[0]
    for number, cells in rows[1:]:
        stripped = [c.strip() for c in cells[:4]]
        if code not in stripped[:1] or not set(stripped[1:]) & set(CONTINUATION_KINDS):
            return
        yield number, cells
