"""Codes and dates as people have them, made comparable: by rules that are stated and counted, never by guess.

What is read here are values of a column, most often its distinct ones. What a code then means belongs in
``hcpcs.annotate.lookup``; where the values come from, in ``hcpcs.annotate.files``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hcpcs.errors import HcpcsError

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


class UnusableColumn(HcpcsError):
    """A column that was named is not there, or is of a kind that holds no codes or dates."""


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
    differs = _flags(pc.not_equal(upper, given))
    cleaned = _flags(pc.not_equal(compact, upper)) & ~cut
    zeros = _flags(pc.not_equal(tried, compact)) & ~cut
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
    fits[candidates] = _flags(pc.match_substring_regex(tails.take(pa.array(candidates)), pattern))
    joined = keys_of_texts(pc.utf8_slice_codeunits(compact, 0, 5))
    modifier = pc.utf8_slice_codeunits(compact, 5)
    joins = ~fits & (joined >= 0) & (keys_of_texts(modifier, 2) >= 0)
    return np.where(fits, keys, np.where(joins, joined, -1)), pc.if_else(pa.array(fits), tails, modifier)


def _flags(values: pa.Array) -> np.ndarray:
    flags: np.ndarray = pc.fill_null(values, False).to_numpy(zero_copy_only=False)
    return flags


#: The forms of dates that are told apart, with what a summary calls them.
DATE_FORMS: Mapping[str, str] = {
    "date": "a date",
    "datetime": "a time stamp, its day taken",
    "number": "a number YYYYMMDD",
    "iso": "text YYYY-MM-DD",
    "compact": "text YYYYMMDD",
    "us": "text MM/DD/YYYY",
}
_TEXT_FORMS = {
    "iso": (r"^\s*(?P<y>[0-9]{4})-(?P<m>[0-9]{1,2})-(?P<d>[0-9]{1,2})(?:[T ].*)?\s*$"),
    "compact": (r"^\s*(?P<y>[0-9]{4})(?P<m>[0-9]{2})(?P<d>[0-9]{2})\s*$"),
    "us": (r"^\s*(?P<m>[0-9]{1,2})/(?P<d>[0-9]{1,2})/(?P<y>[0-9]{4})(?: .*)?\s*$"),
}


def is_text(kind: pa.DataType) -> bool:
    """Whether a column holds texts."""
    return pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)


def is_amount(kind: pa.DataType) -> bool:
    """Whether a column can be added up; texts can, as CSV has no numbers."""
    return pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind) or is_text(kind)


def amounts_of(values: pa.ChunkedArray) -> np.ndarray:
    """Amounts as float64; what is null or does not read as a number counts as 0."""
    if is_text(values.type):
        number = pc.match_substring_regex(values, r"^[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)$")
        values = pc.if_else(number, values, pa.scalar(None, values.type))
    numbers = values.cast(pa.float64())
    result: np.ndarray = (pc.fill_null(numbers, 0.0) if numbers.null_count else numbers).to_numpy()
    return result


def date_form(name: str, kind: pa.DataType, sample: pa.Array | None) -> str:
    """Which of ``DATE_FORMS`` a column has; texts and numbers by ``sample``, some of its distinct values.

    The form that reads most of the sample holds for the whole column. Raises ``UnusableColumn`` where none reads half
    of it, or the type holds no dates. Without values any form will do.
    """
    if pa.types.is_date(kind):
        return "date"
    if pa.types.is_timestamp(kind):
        return "datetime"
    if pa.types.is_integer(kind) or pa.types.is_floating(kind):
        forms = ["number"]
    elif is_text(kind):
        forms = list(_TEXT_FORMS)
    elif pa.types.is_null(kind):
        return "iso"
    else:
        raise UnusableColumn(f"column {name!r} is {kind}: not a date, a number YYYYMMDD, or a text that holds a date")
    values = sample.drop_null() if sample is not None else pa.nulls(0, kind)
    if is_text(kind):
        values = values.filter(pc.not_equal(pc.utf8_trim_whitespace(values), ""))
    if not len(values):
        return forms[0]
    readable = {form: int(days_of(values, form)[1].sum()) for form in forms}
    best = max(forms, key=lambda form: readable[form])
    if 2 * readable[best] < len(values):
        shown = ", ".join(repr(v) for v in values[:3].to_pylist())
        known = ", ".join(DATE_FORMS[form] for form in forms)
        raise UnusableColumn(f"column {name!r} holds no dates that are known here ({known}): {shown}")
    return best


def days_of(values: pa.Array, form: str) -> tuple[np.ndarray, np.ndarray]:
    """Days since 1970 (int32), and which of them are days: what is null or does not read in ``form`` is none."""
    valid = _flags(pc.is_valid(values)) if values.null_count else np.ones(len(values), bool)
    if form in ("date", "datetime"):
        if pa.types.is_timestamp(values.type) and values.type.tz is not None:
            values = pc.local_timestamp(values)  # the day on the wall clock of the column's own zone
        if not pa.types.is_date32(values.type):
            values = values.cast(pa.date32(), safe=False)
        return _buffer(values, np.int32), valid
    if form == "number":
        if pa.types.is_floating(values.type):
            whole = _buffer(values.cast(pa.float64()), np.float64)
            valid &= np.isfinite(whole) & (np.floor(whole) == whole) & (np.abs(whole) < 1e9)
            numbers = np.where(valid, whole, 0).astype(np.int64)
        else:
            numbers = _buffer(values.cast(pa.int64(), safe=False), np.int64)
        years, rest = np.divmod(numbers, 10_000)
        months, days = np.divmod(rest, 100)
    else:
        parts = pc.extract_regex(values, _TEXT_FORMS[form])
        valid = _flags(pc.is_valid(parts))
        years, months, days = (
            _buffer(pc.fill_null(pc.struct_field(parts, p), "0").cast(pa.int64()), np.int64) for p in "ymd"
        )
    return _civil_days(years, months, days, valid)


def _civil_days(
    years: np.ndarray, months: np.ndarray, days: np.ndarray, valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    valid = valid & (years >= 1) & (years <= 9999) & (months >= 1) & (months <= 12) & (days >= 1) & (days <= 31)
    month = np.where(valid, (years - 1970) * 12 + months - 1, 0).astype("datetime64[M]")
    first = month.astype("datetime64[D]").astype(np.int64)
    following = (month + 1).astype("datetime64[D]").astype(np.int64)
    day = first + days - 1
    valid &= day < following
    return np.where(valid, day, 0).astype(np.int32), valid


def _buffer(values: pa.Array, kind: Any) -> np.ndarray:
    """A fixed-width array's values without a copy; what stands in null places is arbitrary."""
    content = values.buffers()[1]
    if content is None:
        return np.zeros(len(values), kind)
    return np.frombuffer(content, kind)[values.offset : values.offset + len(values)]
