"""The texts of JavaScript and of style sheets: strings, comments and names; not numbers."""

from __future__ import annotations

import re

from pipeline.license_gate.text_files import Texts

SCRIPT_TEXT = re.compile(
    r""" "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | `(?:\\.|[^`\\])*` | //[^\n]* | /\*.*?\*/ """,
    re.VERBOSE | re.DOTALL,
)
#: An escape within a string: what is behind `\\n` must not look as if a letter preceded it.
_SCRIPT_ESCAPE = re.compile(r"\\(?:\\|[nrtbfv0]|u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{2})")


def strings_of_data(content: str) -> tuple[str, list[str]]:
    """A script of data without its escapes, and its strings in order; none of any other script.

    Data have no strings but in double quotes, no comments, and no escapes but of those quotes, line ends and tabs.
    """
    plain = content.replace('\\"', "'").replace("\\n", " ").replace("\\t", " ") if "\\" in content else content
    outside, strings = (parts := plain.split('"'))[::2], parts[1::2]
    code = "".join(outside)
    is_data = "\\" not in plain and len(parts) % 2 and not any(mark in code for mark in "'`/")
    if not is_data or code.count("\n") != plain.count("\n"):
        return content, []
    return plain, strings


def texts_of_script(content: str) -> Texts:
    """Strings, without their quotes, and comments of JavaScript; numbers are no tokens."""
    line, counted = 1, 0
    for found in SCRIPT_TEXT.finditer(content):
        line += content.count("\n", counted, found.start())
        counted = found.start()
        yield "", f"line {line}", text_of_script(found.group(0))


def text_of_script(raw: str) -> str:
    """What a comment or a string says."""
    return _without_escapes(raw if raw.startswith("/") else raw[1:-1])


def _without_escapes(text: str) -> str:
    return _SCRIPT_ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(escape: re.Match[str]) -> str:
    """The character that an escape stands for; a blank for one of space."""
    digits = re.sub(r"[^0-9A-Fa-f]", "", escape[0][2:])
    letter = chr(min(int(digits, 16), 0x10FFFF)) if digits else " "
    return " " if letter.isspace() else letter


#: An escape of CSS: up to six digits and one blank that ends them.
_STYLE_ESCAPE = re.compile(r"\\([0-9A-Fa-f]{1,6})[ \t\n]?")
_STYLE_PART = re.compile(r"""/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL)
#: A value that is a number, as of `order` or `z-index`.
_STYLE_NUMBER = re.compile(r"(?<=[:\s,(])[-+]?[0-9.]+(?=[;\s,)}!]|$)")


def texts_of_style(content: str) -> Texts:
    """Comments, strings and names of a style sheet; strings that stand side by side are shown as one."""
    line, counted, shown, end = 1, 0, "", 0
    rest = []
    for part in _STYLE_PART.finditer(content):
        line += content.count("\n", counted, part.start())
        counted = part.start()
        between = content[end : part.start()]
        rest.append(between)
        end = part.end()
        if part[0].startswith("/*"):
            yield "", f"line {line}", part[0]
            continue
        if between.strip():
            yield "", f"line {line}", shown
            shown = ""
        shown += _STYLE_ESCAPE.sub(lambda m: chr(min(int(m[1], 16), 0x10FFFF)), part[0][1:-1])
    yield "", f"line {line}", shown
    names = " ".join([*rest, content[end:]])
    yield "", "", _STYLE_NUMBER.sub(" ", _STYLE_ESCAPE.sub(lambda m: chr(min(int(m[1], 16), 0x10FFFF)), names))
