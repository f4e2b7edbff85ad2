"""The base of every error that states a problem with data, files or services, and not a fault in this program.

Library code raises these; only the command line turns one into a line on stderr and exit status 1.
"""

from __future__ import annotations

import re
from typing import TypeVar

Present = TypeVar("Present")


def in_one_line(error: BaseException) -> str:
    """What a library's error says, as one line that can be printed: it may quote the bytes it stumbled on."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text if text.isprintable() else ascii(text))[:200].rstrip(".")


#: What steers a terminal or cannot be encoded; line feeds, tabs and the CR before a line feed are text.
_NOT_PRINTABLE = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]|\r(?!\n)")


def printable(text: str) -> str:
    """The text with ``\\u001b`` for each control character, and for each byte of a file name that is no UTF-8."""
    return _NOT_PRINTABLE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def named(what: str, why: str) -> str:
    """A reason with the name of what it is about, unless it begins with it."""
    return why if why.startswith(what) else f"{what}: {why}"


class HcpcsError(Exception):
    """Something cannot be done with what was given; the message says what is wrong, where, and what helps."""


class ProgramFault(Exception):
    """This program broke a rule of its own; no data, file or service is at fault."""


def present(value: Present | None) -> Present:
    """The value, which is there by what was done before; raises ``ProgramFault`` if it is not."""
    if value is None:
        raise ProgramFault("a value is missing that an earlier step makes")
    return value
