"""CMS's two plain lists beside a release: unlisted (NOC) codes and processing notes, from bytes to typed rows."""

from __future__ import annotations

import re

import polars as pl

from schemas.contract import schema_of
from schemas.hcpcs_notes import HcpcsNotes
from schemas.hcpcs_unlisted_codes import HcpcsUnlistedCodes
from sources.errors import MemberError
from sources.findings import Finding
from sources.side_files.tables import (
    MOST_LETTERS,
    coded_rows,
    day_of_row,
    decoded,
    header_findings,
    lines_of,
    sha256_of,
    tables,
)

#: Columns of a list of unlisted codes, in order.
UNLISTED_SCHEMA = schema_of(HcpcsUnlistedCodes, without=("release_id",))
UNLISTED_TWIN_FIELDS = ("short_description", "long_description", "added_date", "termination_date")

#: Columns of processing notes, in order.
NOTE_SCHEMA = schema_of(HcpcsNotes, without=("release_id",))
NOTE_TWIN_FIELDS = ("note_text",)

#: No list of CMS has another: texts of D codes are the ADA's, those of numbers the AMA's.
_LEVEL_TWO = re.compile(r"[A-CE-Z]\d{4}")
#: A note begins with its number and two dashes; a line of numbers inside a note has no dashes behind the first.
NOTE_START = re.compile(r"\s*(\d{4})\s*(?:--+|[–—])\s*(.*)")
_BOX = re.compile(r"\s*\*+\s*$")


def read_unlisted_codes(member: str, data: bytes) -> tuple[pl.DataFrame, list[Finding]]:
    """Read a list of unlisted codes: one row per code, with the columns of ``UNLISTED_SCHEMA``.

    A long text may go on in a second line of the same code without dates: joined. A code that is otherwise listed
    twice is one row; where the two differ, the first is used. Codes of other systems are dropped, with a finding.
    Raises ``MemberError`` for a member that holds no such table.
    Source: the lists of 2019 and 2025.
    """
    found = [t for t in tables(member, data) if "long_description" in t.columns and not t.is_code_file]
    if not found:
        raise MemberError(
            f"{member} lists no unlisted codes: no row has a heading for the code beside one for its text"
        )
    findings = header_findings(member, found[0])
    sha256 = sha256_of(data)
    rows: dict[str, dict[str, object]] = {}
    foreign: list[int] = []
    last = ""
    for row in coded_rows(member, found[0], findings):
        if not _LEVEL_TWO.fullmatch(row.code):
            foreign.append(row.line)
            continue
        values: dict[str, object] = {
            "kind": row.kind,
            "code": row.code,
            "short_description": row.cells.get("short_description"),
            "long_description": row.cells.get("long_description"),
            "added_date": day_of_row(member, row, "added_date", findings),
            "termination_date": day_of_row(member, row, "termination_date", findings),
            "source_member": member,
            "source_member_sha256": sha256,
            "source_line": row.line,
        }
        if row.code in rows:
            first = rows[row.code]
            if row.code == last and _continues(first, values):
                first["long_description"] = f"{first['long_description']} {values['long_description']}"
                message = f"goes on with the text of {row.code}, without a date of its own"
                findings.append(
                    Finding.of("continued_line", message, member, row.line, row.kind, row.code, "long_description")
                )
                continue
            same = all(first[f] == values[f] for f in UNLISTED_TWIN_FIELDS)
            message = f"{row.code} is already on line {first['source_line']}"
            place = (member, row.line, row.kind, row.code)
            if same:
                findings.append(Finding.of("listed_twice", message, *place, severity="info", action="merged"))
            else:
                findings.append(Finding.of("listed_twice", f"{message}, with other content", *place))
            continue
        rows[row.code] = values
        last = row.code
    if not rows:
        none = "every code is of another system" if foreign else "no line below its header begins with a code"
        raise MemberError(f"{member} lists no unlisted codes: {none}")
    if foreign:
        message = f"{len(foreign)} codes are none of HCPCS Level II: their texts may be the ADA's or AMA's"
        findings.append(Finding.of("codes_of_other_systems", message, member, foreign[0], occurrences=len(foreign)))
    return pl.DataFrame(list(rows.values()), schema=UNLISTED_SCHEMA), findings


def _continues(first: dict[str, object], values: dict[str, object]) -> bool:
    """Whether a second line of a code is only the rest of its text, as for two codes each in 2019 and 2025."""
    dated = values["added_date"] is not None or values["termination_date"] is not None
    return (
        not dated
        and first["added_date"] is not None
        and None not in (first["long_description"], values["long_description"])
        and first["long_description"] != values["long_description"]
    )


def read_notes(member: str, data: bytes) -> tuple[pl.DataFrame, list[Finding]]:
    """Read processing notes: one row per numbered note, with the columns of ``NOTE_SCHEMA``, its lines joined.

    The box of asterisks round the notes is left out. A number that comes again with other text is a finding.
    Raises ``MemberError`` for a member without a single numbered note.
    Source: the notes of 2011 to 2025.
    """
    text = decoded(data)
    notes: dict[str, tuple[int, list[str]]] = {}
    findings: list[Finding] = []
    current: list[str] | None = None
    again: list[tuple[str, int, list[str]]] = []
    for number, line in enumerate(lines_of(text or ""), 1):
        plain = _BOX.sub("", line.replace("\u00a0", " ").replace("\x1a", "")).strip()
        if (start := NOTE_START.match(plain)) is not None:
            current = [start[2]]
            if start[1] in notes:
                again.append((start[1], number, current))
            else:
                notes[start[1]] = (number, current)
        elif plain and current is not None:
            current.append(plain)
    if not notes:
        raise MemberError(f"{member} holds no processing notes: no line begins with a four-digit number and two dashes")
    for note_number, line_number, lines in again:
        same = _joined(lines) == _joined(notes[note_number][1])
        message = f"note {note_number} is already on line {notes[note_number][0]}"
        place = (member, line_number, None, None, "note_number", note_number)
        if same:
            findings.append(Finding.of("note_twice", message, *place, severity="info", action="merged"))
        else:
            findings.append(Finding.of("note_twice", f"{message}, with other text", *place))
    sha256 = sha256_of(data)
    rows = []
    for note_number, (line_number, lines) in notes.items():
        joined = _joined(lines)
        if not joined:
            message = f"note {note_number} has no text"
            findings.append(
                Finding.of("note_without_text", message, member, line_number, field="note_text", raw_value=note_number)
            )
        if len(joined) > MOST_LETTERS:
            message = f"the text of note {note_number} has {len(joined):,} characters, more than {MOST_LETTERS:,}"
            findings.append(
                Finding.of("text_too_long", message, member, line_number, field="note_text", raw_value=note_number)
            )
            joined = ""
        rows.append((note_number, joined or None, member, sha256, line_number))
    return pl.DataFrame(rows, schema=NOTE_SCHEMA, orient="row"), findings


def _joined(lines: list[str]) -> str:
    return " ".join(" ".join(lines).split())
