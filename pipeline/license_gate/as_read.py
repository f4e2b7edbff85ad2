"""How a person reads a text on a page: decoded, in plain digits and letters; and how withheld texts are compared."""

from __future__ import annotations

import html
import re
import unicodedata
from urllib.parse import unquote

import polars as pl

#: Withheld texts with fewer letters and digits are words that anyone may use.
MIN_TEXT_LETTERS = 12
#: What a text must hold to be written otherwise than a person reads it: most texts are read as they are.
_NOT_PLAIN = r"[^ -~\t\r\n]|&[#0-9A-Za-z]|%[0-9A-Fa-f]{2}|\\[ux0-9A-Fa-f]|</?[A-Za-z!]"
_NOT_PLAIN_TEXT = re.compile(_NOT_PLAIN)
#: Text within text is decoded so often: an entity in an escape in a URL.
_MOST_ENCODINGS = 4
_TAG = re.compile(r"<!--.*?-->|</?([A-Za-z][A-Za-z0-9:-]*)[^<>]{0,1000}>|<!\[CDATA\[|\]\]>", re.DOTALL)
_CODE_POINT = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))")
#: Letters of other alphabets that look like those of a code.
_LOOKALIKES = str.maketrans("АаМТтΑΜΤ", "AaMTtAMT")


def as_read(text: str) -> str:
    """A text as a person reads it on a page: decoded, in plain digits and letters, without what cannot be seen."""
    for _ in range(_MOST_ENCODINGS):
        if not _NOT_PLAIN_TEXT.search(text):
            break
        before = text
        text = _CODE_POINT.sub(lambda m: chr(min(int(m[1] or m[2] or m[3], 16), 0x10FFFF)), text)
        text = _TAG.sub(lambda tag: " " if tag[1] and is_block(tag[1]) else "", unquote(html.unescape(text)))
        if not text.isascii() or not text.isprintable():
            text = text.translate({ord(c): _plain_character(c) for c in set(text) if not " " <= c <= "~"})
        if text == before:
            break
    return text


def _plain_character(character: str) -> str:
    """One character in ASCII where it is a digit or letter in other dress; nothing for one that cannot be seen."""
    if " " <= character <= "~":
        return character
    if character.isspace():
        return " "
    category = unicodedata.category(character)
    if category in ("Cc", "Cf", "Mn", "Me"):
        return ""
    if category == "Cs":  # half a character: an escape of a file's name that is no UTF-8
        return "?"
    if unicodedata.decomposition(character).startswith("<fraction>"):
        return " "
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    folded = unicodedata.normalize("NFKD", character).translate(_LOOKALIKES)
    return "".join(c for c in folded if not unicodedata.combining(c))


def with_read_forms(texts: pl.Series) -> pl.DataFrame:
    """``text`` and ``read``: each text as it is, and once more where a person reads it otherwise."""
    odd = texts.filter(texts.str.contains(_NOT_PLAIN))
    read = pl.Series([as_read(text) for text in odd], dtype=pl.String)
    return pl.DataFrame({"text": pl.concat([texts, odd]), "read": pl.concat([texts, read])})


#: All of ASCII but letters of lower case and digits.
_NOT_COMPARED = bytes(c for c in range(128) if not chr(c).isdigit() and not chr(c).islower())


def compared_form(text: str) -> str:
    """Letters and digits alone, in one case: how withheld texts are compared."""
    return text.lower().encode("ascii", "ignore").translate(None, _NOT_COMPARED).decode()


#: Elements that a line of text ends at; any other, known or not, stands within a line.
BLOCK = re.compile(
    "address|article|aside|blockquote|body|br|button|canvas|caption|col|colgroup|dd|details|dialog|div|dl|dt|fieldset"
    "|figcaption|figure|footer|form|h[1-6]|head|header|hr|html|iframe|img|input|legend|li|link|main|menu|meta|nav"
    "|noscript|ol|optgroup|option|p|pre|script|section|select|style|summary|svg|table|tbody|td|template|textarea|tfoot"
    "|th|thead|title|tr|ul|video|text|desc|defs|symbol|use|g|path|rect|circle|ellipse|line|polyline|polygon|image"
)


def is_block(tag: str) -> bool:
    """Whether a line of text ends at an element."""
    return BLOCK.fullmatch(tag.lower()) is not None
