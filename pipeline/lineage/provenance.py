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
from sources.archive.archive import ArchivedZip
from sources.code_file.record_layout import CONTINUATION_KINDS
from sources.errors import SourceError
from sources.release.inspect import open_archive
from sources.side_files.tables import decoded, is_workbook, lines_of, sheets

_PLACE = ("source_member", "source_member_sha256", "source_line")
#: Position of the record id in a line of CMS's text, from 1.
_RECORD_ID = 11


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


def raw_lines(outputs: Outputs, code: str, version: str | None = None) -> list[RawLines]:
    """Every place in CMS's files that the version's rows about ``code`` is from, release by release.

    Raises ``SourceError`` for a code that no release has, ``ZipRefused`` where the archive lost or changed a zip.
    """
    folder = version_folder(outputs, version)
    places = sorted(_places(folder, code), key=lambda p: (p["release_id"], p["table"], p["source_line"]))
    if not places:
        raise SourceError(f"no loaded release has {code!r}; `hcpcs releases` lists the loaded releases")
    archive = open_archive(outputs.archive)
    holders: dict[tuple[str, str], ArchivedZip] = {}
    for loaded in archive.index().zips.values():
        holders |= {(loaded.release_id, m.sha256): loaded for m in loaded.members}
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
        sheet, lines = _lines_at(place["source_member"], data, place["source_line"], code)
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


def _places(folder: Path, code: str) -> Iterator[Mapping[str, Any]]:
    """Rows about the code, of every table that says where in CMS's files its rows stand."""
    for path in sorted((folder / "open").glob("*.parquet")):
        names = pyarrow.parquet.read_schema(path).names
        if {"code", "release_id", *_PLACE} <= set(names):
            columns = [c for c in ("release_id", "revision", *_PLACE) if c in names]
            for row in read_rows(folder, path.stem, [("code", "=", code)], columns):
                yield {"revision": None, **row, "table": path.stem}


def _lines_at(member: str, data: bytes, number: int, code: str) -> tuple[str | None, list[tuple[int, str]]]:
    """The line, or row, with that number, and those after it that continue it."""
    if is_workbook(data):
        for sheet in sheets(member, data):
            rows = [(n, cells) for n, cells in sheet.rows if n >= number]
            if rows and rows[0][0] == number and code in (c.strip() for c in rows[0][1]):
                return sheet.name, [(n, "\t".join(cells)) for n, cells in _with_continuations(rows, code)]
        return None, []
    lines = lines_of(decoded(data) or data.decode("latin-1"))
    taken = [(number, lines[number - 1])]
    for n, line in enumerate(lines[number:], number + 1):
        if line[:5].strip() != code or line[_RECORD_ID - 1 : _RECORD_ID] not in CONTINUATION_KINDS:
            break
        taken.append((n, line))
    return None, taken


def _with_continuations(rows: list[tuple[int, list[str]]], code: str) -> Iterator[tuple[int, list[str]]]:
    """The first row, and those right below that have the same code and the record id of a continuation."""
    yield rows[0]
    for number, cells in rows[1:]:
        stripped = [c.strip() for c in cells]
        if code not in stripped[:1] or not set(stripped[1:4]) & set(CONTINUATION_KINDS):
            return
        yield number, cells
