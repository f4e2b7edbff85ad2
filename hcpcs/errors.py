"""The base of every error that states a problem with data, files or services, and not a fault in this program.

Library code raises these; only the command line turns one into a line on stderr and exit status 1.
"""

from __future__ import annotations


def in_one_line(error: BaseException) -> str:
    """What a library's error says, as one line that can be printed: it may quote the bytes it stumbled on."""
    text = " ".join(str(error).split()) or type(error).__name__
    return (text if text.isprintable() else ascii(text))[:200].rstrip(".")


class HcpcsError(Exception):
    """Something cannot be done with what was given; the message says what is wrong, where, and what helps."""
