"""One code as a person typed it, by the rules of ``hcpcs.annotate.parsing``, which is loaded only for an odd one."""

from __future__ import annotations

import re
from dataclasses import dataclass

#: A code or a modifier that no rule changes; none of these means nothing.
_PLAIN = re.compile("[A-Z0-9][0-9]{3}[A-Z0-9]|[A-Z0-9]{2}")

_CHARACTER, _DIGIT = re.compile("[A-Za-z0-9]"), re.compile("[0-9]")


@dataclass(frozen=True, slots=True)
class CodeRead:
    """One code as a person typed it: ``code`` (None: no code's shape), what was cut off, and the rules that did it."""

    given: str
    code: str | None
    modifiers: tuple[str, ...]
    rules: tuple[str, ...]


def read_code(text: str, *, numeric: bool = False) -> CodeRead:
    """One text as a code or a modifier, by the rules of ``read_codes``."""
    if text is not None and not text.isascii():
        text = text.encode("utf-8", "replace").decode()  # what a terminal gave that is not UTF-8 has no place in Arrow
    # What is a code already needs no rule, and a service reads many of these one by one.
    if text is not None and not numeric and _PLAIN.fullmatch(text):
        return CodeRead(text, text, (), ())
    # A code has three digits, and what has three characters is no modifier: most words are neither.
    if text is not None and not numeric and len(_CHARACTER.findall(text)) >= 3 > len(_DIGIT.findall(text)):
        return CodeRead(text, None, (), ())
    import pyarrow

    from hcpcs.annotate.parsing import RULES, read_codes

    values = pyarrow.array([text], pyarrow.string())
    for width in (5, 2):
        read = read_codes(values, width, numeric=numeric)
        if read.keys[0] >= 0:
            behind = read.modifiers[0].as_py()
            rules = tuple(rule for i, rule in enumerate(RULES) if read.rules[0] >> i & 1)
            return CodeRead(text, read.texts(width)[0].as_py(), tuple(behind.split() if behind else ()), rules)
    return CodeRead(text, None, (), ())
