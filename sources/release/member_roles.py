"""Which member of a zip is what: decided by looking into it, since names match too much.

``HCPC2025_JAN_ANWEB_Corrections_….xlsx`` matches every pattern that the code file's name does.
"""

from __future__ import annotations

import re

from hcpcs.errors import printable
from sources.code_file.text import looks_like_anweb_text
from sources.code_file.workbook import first_sheet, header_columns
from sources.errors import MemberError
from sources.excel.reader import read_sheets
from sources.side_files.kinds import side_role
from sources.side_files.tables import WORKBOOK_MAGIC, decoded, lines_of

#: Members that look like a code file and cannot be read as one; a release with no other is refused because of them.
UNREADABLE_ROLES = ("unreadable_workbook", "unreadable_text")

#: ``12anweb.txt``, ``HCPC2013_A-N.txt``; not every name with "alpha-numeric" in it, and no PDF.
_CODE_FILE_NAME = re.compile(r"(?:anweb|(?<![a-z])a-n(?![a-z])).*\.(?:txt|dat|csv|xlsx?)$")

_MAGIC = {b"%PDF": "a PDF", b"PK": "a zip", b"\xd0\xcf\x11\xe0": "an Office document", b"\x89PNG": "a picture"}
_LIKE_A_CODE = re.compile(r"(?<![A-Za-z0-9])[A-Z0-9]\d{3}[A-Z0-9](?![A-Za-z0-9])")
_LONGEST = 60
_MOST_LINES = 60


def member_role(name: str, data: bytes) -> str:
    """What a member is: ``code_text``, ``code_workbook``, a side file's or an ``unreadable_…`` role, or ``other``."""
    if is_workbook(name, data):
        try:
            sheet = first_sheet(name, data)
        except MemberError:
            return "unreadable_workbook" if _named_like_code_file(name) else "other"
        if header_columns(sheet) is not None:
            return "code_workbook"
        return side_role(name, data) or ("unreadable_workbook" if _named_like_code_file(name) else "other")
    if looks_like_anweb_text(data):
        return "code_text"
    return side_role(name, data) or ("unreadable_text" if _named_like_code_file(name) else "other")


def description_of(name: str, data: bytes) -> str:
    """What a member looks like that is not read: its kind, its size, and its first line unless that holds a code."""
    if is_workbook(name, data):
        try:
            sheets = read_sheets(name, data)
        except MemberError:
            sheets = []
        if sheets:
            rows = [cell for row in sheets[0][1].head(_MOST_LINES).iter_rows() for cell in row if cell and cell.strip()]
            names = ", ".join(name for name, _ in sheets[:3]) + (" …" if len(sheets) > 3 else "")
            return f"a workbook ({names}; {sheets[0][1].height:,} rows){_beginning(rows[:1])}"
    for magic, kind in _MAGIC.items():
        if data.startswith(magic):
            return f"{kind} of {len(data):,} bytes"
    if (text := decoded(data)) is None:
        return f"{len(data):,} bytes that are no text"
    lines = [line for line in lines_of(text) if line.strip()]
    return f"a text of {len(lines):,} line{'' if len(lines) == 1 else 's'}{_beginning(lines[:1])}"


def _beginning(lines: list[str]) -> str:
    """The first line, unless it holds what may be a code: the words beside it may then be another owner's."""
    if not lines:
        return ""
    line = " ".join(printable(lines[0]).split())
    return ", whose first line has a code" if _LIKE_A_CODE.search(line) else f", which begins {line[:_LONGEST]!r}"


def is_workbook(name: str, data: bytes) -> bool:
    """Whether a member is, or by its name means to be, an Excel workbook."""
    return data.startswith(WORKBOOK_MAGIC) or name.lower().endswith((".xls", ".xlsx"))


def _named_like_code_file(name: str) -> bool:
    lowered = name.lower().rsplit("/", 1)[-1]
    return _CODE_FILE_NAME.search(lowered) is not None and not any(
        word in lowered for word in ("correct", "trans", "note", "layout", "read", "index", "table", "noc")
    )
