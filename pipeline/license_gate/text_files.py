"""The texts of plain text and of JSON, each with its column and place."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from pipeline.license_gate.tokens import FOREIGN_CODE, LETTER

#: Texts of a file, each with its column and place.
Texts = Iterator[tuple[str, str, str]]


def strings_of_metadata(text: str) -> list[str]:
    """The strings of a JSON object or list; of anything else, the whole."""
    if text.startswith(("{", "[")):
        try:
            return [t for _, _, t in texts_of_json(text)]
        except ValueError:
            pass
    return [text]


def texts_of_lines(content: str) -> Texts:
    """Each line."""
    for number, line in enumerate(content.splitlines(), 1):
        yield "", f"line {number}", line


def texts_of_json(content: str) -> Texts:
    """Strings and names of JSON, not its numbers; the column is the path without places in lists."""
    # Pairs, so that a name that appears twice hides nothing.
    value = json.loads(content, object_pairs_hook=_Pairs)

    def walk(value: Any, path: str, place: str) -> Texts:
        if isinstance(value, str):
            yield path, place, value
        elif isinstance(value, _Pairs):
            if any(n == "code" and isinstance(v, str) and re.search(FOREIGN_CODE, v) for n, v in value):
                words = [v for n, v in value if n in _WORDS]
                words += [
                    v for n, several in value if n == "designation" for one in several for m, v in one if m == "value"
                ]
                yield from ((WORDS_OF_OTHERS, place, v) for v in words if isinstance(v, str) and LETTER.search(v))
            for name, inner in value:
                yield path, place, name
                yield from walk(inner, f"{path}.{name}" if path else name, place)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                yield from walk(inner, path, f"{place}[{number}]")

    return walk(value, "", "")


#: Members of a JSON object with a ``code`` that say in words what the code means.
_WORDS = ("display", "definition", "short_description", "long_description", "description", "name")
#: In place of a column: words that an object has about another owner's code.
WORDS_OF_OTHERS = "text about another owner's code"


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON as its pairs, in order."""
