"""Codes as people have them, made comparable: by rules that are stated and counted, never by guess.

What is read here are values of a column, most often its distinct ones. What a code then means belongs in
``hcpcs.annotate.lookup``; where the values come from, in ``hcpcs.annotate.files``.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hcpcs.annotate.values import NULL_WORDS, flags, is_nothing

#: What was done to a value so that it became a code. A value counts under each rule that changed it.
RULES = ("upper_cased", "cleaned", "modifier_cut_off", "zeros_restored", "qualifier_cut_off")
UPPER_CASED, CLEANED, MODIFIER_CUT_OFF, ZEROS_RESTORED, QUALIFIER_CUT_OFF = (1 << i for i in range(len(RULES)))

# The rules as patterns of upper-cased text that Arrow, DuckDB, Java and PostgreSQL read alike: no groups that are
# referred to, no look-around. ``hcpcs.annotate.sql`` writes them as SQL, in the same order.
_BLANKS = r" \t-\r\x{0085}\x{00A0}\x{2000}-\x{200B}\x{2028}\x{2029}\x{202F}\x{3000}\x{FEFF}"
BLANK = f"[{_BLANKS}]"
_BETWEEN = rf"[{_BLANKS}.:;/,_|*>^+-]"
_SHAPE = "[A-Z0-9][0-9]{3}[A-Z0-9]"
#: Before a code: blanks, and the marks by which a spreadsheet keeps a value a text.
_BEFORE = rf"^[{_BLANKS}=\"'`]+"
#: What names the code set: X12 (HC, AD), HL7 (C4), words, FHIR URLs and OIDs.
_QUALIFIER = (
    rf"^((HC|AD|C4|CPT\x{{00AE}}?[ -]?[0-9]?|HCPCS?[ -]?(LEVEL )?(I|II|1|2)?|CDT[ -]?[0-9]{{0,2}}){_BETWEEN}+"
    r"|CPT|HCPCS?|HTTPS?://[^ |]*/(CPT|CDT|HCPCS[A-Z-]*)[|]"
    r"|(URN:OID:)?2[.]16[.]840[.]1[.]113883[.]6[.](12|13|14|285)[|])"
    rf"[{_BLANKS}=\"'`]*"
)
#: Behind a code: blanks, marks, and the separators of empty components.
_BEHIND = rf"[{_BLANKS}\"'`.:;/,_|*>^~+-]+$"
#: Applied to upper-cased text in this order: pattern, and what replaces it.
CLEANING = ((_BEFORE, ""), (_QUALIFIER, ""), (_BEHIND, ""))
#: A number that a program wrote with decimals; its end is then cut off.
DECIMAL, DECIMAL_END = r"^[0-9]+[.]0+$", r"[.]0+$"
CODE = f"^{_SHAPE}$"
MODIFIER = "^[A-Z0-9]{2}$"
DIGITS = "^[0-9]+$"
#: A code with one to four modifiers behind separators, or one right behind.
SEPARATED = rf"^{_SHAPE}({_BETWEEN}+[A-Z0-9]{{2}}){{1,4}}$"
JOINED = f"^{_SHAPE}[A-Z0-9]{{2}}$"
#: The ICD-10-PCS codes that begin like a code of HCPCS: there the last two characters are no modifier.
PCS = "^(0[0-9][125789][0-9][03478]|10[29]0[03478]|302[3-8][0-9])[A-Z0-9]{2}$|^[BCD][0-9]{4}[0-9Z][A-Z0-9]$"
#: The numbers among which CPT's modifiers are, as intervals, and those of Category II and of physical status.
CPT_MODIFIER = "2[1-9]|3[0-3]|4[7-9]|5[0-9]|6[0-6]|7[3-9]|8[0-2]|9[0-9]|[1238]P|P[1-6]"
#: What a modifier of CMS may be, where no version says which there are.
_CMS_SHAPE = "[A-HJ-NQ-V][A-Z0-9]|P[A-Z]|X[1-5EPSU]|Z[A-C]"
_ALPHABET = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_LETTER = np.full(256, -1, np.int32)
_LETTER[np.frombuffer(_ALPHABET, np.uint8)] = np.arange(36)
_DIGIT = np.where(_LETTER < 10, _LETTER, -1)

#: A code's number by its five characters: letter or digit, three digits, letter or digit. Keeps the order of texts.
CODE_KEYS = 36 * 1000 * 36
#: A modifier's number by its two characters.
MODIFIER_KEYS = 36 * 36


@dataclass(frozen=True, slots=True)
class Codes:
    """Values of a code column as codes: ``keys`` (-1: no code's shape), ``rules`` (bits) and what was cut off.

    ``cut`` are the places of the values that modifiers were cut off from, ``tails`` these, one right behind another.
    """

    keys: np.ndarray
    rules: np.ndarray
    cut: np.ndarray
    tails: pa.Array

    @property
    def modifiers(self) -> pa.Array:
        """Modifiers that were cut off, apart by blanks; null where nothing was."""
        spaced = pc.utf8_rtrim(pc.replace_substring_regex(self.tails, "(..)", r"\1 "), " ")
        place = np.full(len(self.keys), -1, np.int32)
        place[self.cut] = np.arange(len(self.cut))
        return spaced.take(pa.array(place, mask=place < 0))

    def texts(self, width: int = 5) -> pa.Array:
        """The codes as text, null where a value has no code's shape."""
        return texts_of_keys(self.keys, width)


def keys_of_texts(values: pa.Array, width: int = 5) -> np.ndarray:
    """Numbers of texts that are codes (width 5) or modifiers (width 2) unchanged, else -1."""
    values = values.cast(pa.large_binary()).fill_null(b"")
    if not len(values):
        return np.empty(0, np.int32)
    offsets = np.frombuffer(values.buffers()[1], np.int64)[values.offset : values.offset + len(values) + 1]
    content = values.buffers()[2]
    data = np.frombuffer(content, np.uint8) if content is not None and content.size else np.zeros(1, np.uint8)
    wide = np.flatnonzero(np.diff(offsets) == width)
    starts = offsets[wide]
    found = _LETTER[data[starts]]
    fits = found >= 0
    for i in range(1, width - 1):
        digit = _DIGIT[data[starts + i]]
        fits &= digit >= 0
        found = found * 10 + digit
    last = _LETTER[data[starts + (width - 1)]]
    fits &= last >= 0
    keys = np.full(len(values), -1, np.int32)
    keys[wide] = np.where(fits, found * 36 + last, -1)
    return keys


def texts_of_keys(keys: np.ndarray, width: int = 5) -> pa.Array:
    """Codes or modifiers from their numbers; null for -1."""
    alphabet = np.frombuffer(_ALPHABET, np.uint8)
    rest, last = np.divmod(np.maximum(keys, 0), 36)
    columns = [alphabet[last]]
    for _ in range(width - 2):
        rest, digit = np.divmod(rest, 10)
        columns.append(alphabet[digit])
    columns.append(alphabet[rest])
    data = np.ascontiguousarray(np.stack(columns[::-1], axis=1)) if len(keys) else np.empty((0, width), np.uint8)
    offsets = np.arange(len(keys) + 1, dtype=np.int32) * width
    texts = pa.StringArray.from_buffers(len(keys), pa.py_buffer(offsets), pa.py_buffer(data))
    return pc.if_else(pa.array(keys >= 0), texts, pa.scalar(None, pa.string()))


def modifier_pattern(known: Iterable[str] | None = None) -> str:
    """A pattern of texts that are modifiers and nothing else, one right behind another.

    ``known``: CMS's modifiers, of a version; without it every text of their shape counts as one.
    """
    of_cms = "|".join(sorted(set(known))) if known is not None else _CMS_SHAPE
    return f"^({CPT_MODIFIER}{'|' if of_cms else ''}{of_cms})+$"


def read_codes(
    values: pa.Array,
    width: int = 5,
    *,
    numeric: bool = False,
    modifiers: str | None = None,
    words: Sequence[str] = NULL_WORDS,
) -> Codes:
    """Texts as codes (width 5) or modifiers (width 2), by these rules, the first that gives a code:

    1. unchanged; 2. upper-cased; 3. without what names the code set before it; 4. without white space, dots,
    quotation marks, and decimals that are 0; 5. a code's five characters, then one to four modifiers behind
    separators, or one right behind.
    ``numeric``: digits that are too few get the zeros back that a column of numbers lost. ``modifiers``: the
    ``modifier_pattern`` of what may be cut off. ``words`` stand for nothing, unless they are modifiers.
    """
    pattern = modifiers or modifier_pattern()
    keys = keys_of_texts(values, width)
    rules = np.zeros(len(values), np.uint8)
    odd = np.flatnonzero((keys < 0) & pc.is_valid(values).to_numpy(zero_copy_only=False))
    if (keys_of_texts(pa.array(words, pa.string()), width) >= 0).any():
        keys[_are_words(values, words, pattern, width)] = -1
    if not len(odd):
        return Codes(keys, rules, odd, pa.array([], pa.string()))
    given = values.take(pa.array(odd))
    upper = pc.ascii_upper(given)
    (before, _), (qualifier, _), (behind, _) = CLEANING
    begun = pc.replace_substring_regex(upper, before, "")
    unqualified = pc.replace_substring_regex(begun, qualifier, "") if width == 5 else begun
    ended = pc.replace_substring_regex(unqualified, behind, "")
    decimal = pc.match_substring_regex(ended, DECIMAL)
    text = pc.if_else(decimal, pc.replace_substring_regex(ended, DECIMAL_END, ""), ended)
    compact = pc.replace_substring_regex(text, BLANK + "+", "")
    undotted = pc.replace_substring(compact, ".", "")
    # A dot between digits is a decimal's, and what stands there a number of something else.
    compact = pc.if_else(pc.match_substring_regex(undotted, DIGITS), compact, undotted)
    tried = compact
    if numeric:
        short = pc.match_substring_regex(compact, rf"^(0|[1-9][0-9]{{0,{width - 2}}})$")
        tried = pc.if_else(short, pc.utf8_lpad(compact, width, "0"), compact)
    found = keys_of_texts(tried, width)
    found[_are_words(ended, words, pattern, width)] = -1
    cut = np.zeros(len(odd), bool)
    tails: pa.Array = pa.array([], pa.string())
    left = np.flatnonzero(found < 0) if width == 5 else odd[:0]
    if len(left):
        found[left], tails = _apart(text.take(pa.array(left)), pattern, numeric=numeric)
        cut[left] = found[left] >= 0
    keys[odd] = found
    hit = found >= 0
    differs = flags(pc.not_equal(upper, given))
    unnamed = flags(pc.not_equal(begun, unqualified))
    cleaned = (flags(pc.not_equal(begun, upper)) | flags(pc.not_equal(compact, unqualified))) & ~cut
    zeros = flags(pc.not_equal(tried, compact)) & ~cut
    rules[odd] = (
        (hit & differs) * UPPER_CASED
        + (hit & cleaned) * CLEANED
        + cut * MODIFIER_CUT_OFF
        + (hit & zeros) * ZEROS_RESTORED
        + (hit & unnamed) * QUALIFIER_CUT_OFF
    )
    return Codes(keys, rules, odd[cut], tails)


def _apart(text: pa.Array, modifiers: str, *, numeric: bool) -> tuple[np.ndarray, pa.Array]:
    """The numbers of codes that are before modifiers (-1: none), and of each such the modifiers, one behind another."""
    keys = keys_of_texts(pc.utf8_slice_codeunits(text, 0, 5))
    # The patterns are dear, and most of what is odd does not begin with a code.
    places = pa.array(np.flatnonzero(keys >= 0))
    some = text.take(places)
    joined = flags(pc.match_substring_regex(some, JOINED)) & ~flags(pc.match_substring_regex(some, PCS))
    fits = joined | flags(pc.match_substring_regex(some, SEPARATED))
    if numeric:
        fits &= ~flags(pc.match_substring_regex(some, r"^[0-9]+[.][0-9]+$"))
    places, some = places.filter(pa.array(fits)), some.filter(pa.array(fits))
    behind = pc.replace_substring_regex(pc.utf8_slice_codeunits(some, 5), "[^A-Z0-9]+", "")
    are = pc.match_substring_regex(behind, modifiers)
    left, tails = places.filter(are).to_numpy(), behind.filter(are)
    found = np.full(len(keys), -1, np.int32)
    found[left] = keys[left]
    return found, tails


def _are_words(values: pa.Array, words: Sequence[str], modifiers: str, width: int) -> np.ndarray:
    """Which texts stand for nothing: ``words`` that are no modifier."""
    found = is_nothing(values, words)
    if width == 2 and found.any():
        found &= ~flags(pc.match_substring_regex(pc.ascii_upper(values), modifiers))
    return found
