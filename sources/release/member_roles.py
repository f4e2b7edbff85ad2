"""Which member of a zip is what: decided by looking into it, since names match too much.

``HCPC2025_JAN_ANWEB_Corrections_….xlsx`` matches every pattern that the code file's name does.
"""

from __future__ import annotations

import re

from sources.code_file.text import looks_like_anweb_text
from sources.code_file.workbook import first_sheet, header_columns
from sources.errors import MemberError
from sources.side_files.kinds import side_role
from sources.side_files.tables import WORKBOOK_MAGIC

CODE_ROLES = ("code_text", "code_workbook")
#: Members that look like a code file and cannot be read as one; a release with no other is refused because of them.
UNREADABLE_ROLES = ("unreadable_workbook", "unreadable_text")

#: ``12anweb.txt``, ``HCPC2013_A-N.txt``; not every name with "alpha-numeric" in it, and no PDF.
_CODE_FILE_NAME = re.compile(r"(?:anweb|(?<![a-z])a-n(?![a-z])).*\.(?:txt|dat|csv|xlsx?)$")


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


def is_workbook(name: str, data: bytes) -> bool:
    """Whether a member is, or by its name means to be, an Excel workbook."""
    return data.startswith(WORKBOOK_MAGIC) or name.lower().endswith((".xls", ".xlsx"))


def _named_like_code_file(name: str) -> bool:
    lowered = name.lower().rsplit("/", 1)[-1]
    return _CODE_FILE_NAME.search(lowered) is not None and not any(
        word in lowered for word in ("correct", "trans", "note", "layout", "read", "index", "table", "noc")
    )
