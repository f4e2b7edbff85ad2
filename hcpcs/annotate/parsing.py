"""Codes as people have them, made comparable: by rules that are stated and counted, never by guess.

What is read here are values of a column, most often its distinct ones. What a code then means belongs in
``hcpcs.annotate.lookup``; where the values come from, in ``hcpcs.annotate.files``.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hcpcs.annotate.values import flags

#: What was done to a value so that it became a code. A value counts under each rule that changed it.
RULES = ("upper_cased", "cleaned", "modifier_cut_off", "zeros_restored")
UPPER_CASED, CLEANED, MODIFIER_CUT_OFF, ZEROS_RESTORED = (1 << i for i in range(len(RULES)))

_BLANK_OR_POINT = r"[ \t\r\n\x{00A0}.]"
_BETWEEN = r"[ \t\r\n\x{00A0}.:/,_-]"
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

    ``cut`` are the places of the values that something was cut off from, ``tails`` what that was, as it stood.
    """

    keys: np.ndarray
    rules: np.ndarray
    cut: np.ndarray
    tails: pa.Array

    @property
    def modifiers(self) -> pa.Array:
        """Modifiers that were cut off, apart by blanks; null where nothing was."""
        spaced = pc.utf8_trim(pc.replace_substring_regex(self.tails, r"[^A-Z0-9]+", " "), " ")
        place = np.full(len(self.keys), -1, np.int32)
        place[self.cut] = np.arange(len(self.cut))
        return spaced.take(pa.array(place, mask=place < 0))

    def texts(self, width: int = 5) -> pa.Array:
        """The codes as text, null where a value has no code's shape."""
        return texts_of_keys(self.keys, width)


def keys_of_texts(values: pa.Array, width: int = 5) -> np.ndarray:
    """Numbers of texts that are codes (width 5) or modifiers (width 2) as they stand, else -1."""
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


def read_codes(values: pa.Array, width: int = 5, *, numeric: bool = False) -> Codes:
    """Texts as codes (width 5) or modifiers (width 2), by these rules, the first that gives a code:

    1. as it stands; 2. upper-cased; 3. without white space and points; 4. a code's five characters, then one to
    four modifiers behind blanks, points, hyphens, colons, slashes, commas or underscores, or one right behind.
    ``numeric``: digits that are too few get the zeros back that a column of numbers lost.
    """
    keys = keys_of_texts(values, width)
    rules = np.zeros(len(values), np.uint8)
    odd = np.flatnonzero((keys < 0) & pc.is_valid(values).to_numpy(zero_copy_only=False))
    if not len(odd):
        return Codes(keys, rules, odd, pa.array([], pa.string()))
    given = values.take(pa.array(odd))
    upper = pc.ascii_upper(given)
    compact = pc.replace_substring_regex(upper, _BLANK_OR_POINT + "+", "")
    tried = compact
    if numeric:
        short = pc.match_substring_regex(compact, rf"^[0-9]{{1,{width - 1}}}$")
        tried = pc.if_else(short, pc.utf8_lpad(compact, width, "0"), compact)
    found = keys_of_texts(tried, width)
    cut = np.zeros(len(odd), bool)
    tails: pa.Array = pa.array([], pa.string())
    left = np.flatnonzero(found < 0) if width == 5 else odd[:0]
    if len(left):
        found[left], tails = _apart(upper.take(pa.array(left)), compact.take(pa.array(left)))
        cut[left] = found[left] >= 0
        tails = tails.filter(pa.array(cut[left]))
    keys[odd] = found
    hit = found >= 0
    differs = flags(pc.not_equal(upper, given))
    cleaned = flags(pc.not_equal(compact, upper)) & ~cut
    zeros = flags(pc.not_equal(tried, compact)) & ~cut
    rules[odd] = (
        (hit & differs) * UPPER_CASED
        + (hit & cleaned) * CLEANED
        + cut * MODIFIER_CUT_OFF
        + (hit & zeros) * ZEROS_RESTORED
    )
    return Codes(keys, rules, odd[cut], tails)


def _apart(upper: pa.Array, compact: pa.Array) -> tuple[np.ndarray, pa.Array]:
    """The numbers of codes that stand before modifiers (-1: none), and what stands behind them."""
    start = pc.utf8_ltrim(upper, " \t\r\n\u00a0.")
    keys = keys_of_texts(pc.utf8_slice_codeunits(start, 0, 5))
    tails = pc.utf8_slice_codeunits(start, 5)
    # The pattern is dear, and most of what is odd does not begin with a code.
    candidates = np.flatnonzero(keys >= 0)
    pattern = rf"^(?:{_BETWEEN}+[A-Z0-9]{{2}}){{1,4}}{_BLANK_OR_POINT}*$"
    fits = np.zeros(len(keys), bool)
    fits[candidates] = flags(pc.match_substring_regex(tails.take(pa.array(candidates)), pattern))
    joined = keys_of_texts(pc.utf8_slice_codeunits(compact, 0, 5))
    modifier = pc.utf8_slice_codeunits(compact, 5)
    joins = ~fits & (joined >= 0) & (keys_of_texts(modifier, 2) >= 0)
    return np.where(fits, keys, np.where(joins, joined, -1)), pc.if_else(pa.array(fits), tails, modifier)
