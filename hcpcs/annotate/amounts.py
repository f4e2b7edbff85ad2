"""Amounts of money as people write them; what does not read as one is none, and counted with examples."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hcpcs.annotate.values import NULL_WORDS, flags, is_nothing, is_text

#: From here on a number cannot tell cents, and sums of such become infinite.
_TOO_LARGE = 1e15
_PLAIN = r"^[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)$"
_CURRENCY = r"(?:USD|US\$|[$€£])?"


def is_amount(kind: pa.DataType) -> bool:
    """Whether a column can be added up; texts can, as CSV has no numbers, and one without values."""
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    return is_number or is_text(kind) or pa.types.is_null(kind)


def decimal_mark(sample: pa.Array | None, delimiter: str | None) -> str:
    """The decimal mark of a column: a point; in text that semicolons divide a comma, unless points read more of it."""
    if delimiter != ";" or sample is None:
        return "."
    readable = {mark: int(np.count_nonzero(~np.isnan(_written(sample, mark)))) for mark in ",."}
    return max(readable, key=lambda mark: readable[mark])


def amounts_of(
    values: pa.Array, decimal: str = ".", words: Sequence[str] = NULL_WORDS
) -> tuple[np.ndarray, np.ndarray]:
    """Amounts as float64, 0 where there is none; and the places of values that are given, but read as no number."""
    if is_text(values.type):
        plain = flags(pc.match_substring_regex(values, _PLAIN)) if decimal == "." else np.zeros(len(values), bool)
        numbers = pc.if_else(pa.array(plain), values, pa.scalar(None, values.type)).cast(pa.float64())
        amounts = pc.fill_null(numbers, 0.0).to_numpy(zero_copy_only=False)
        odd = np.flatnonzero(~plain)
        if len(odd):
            given = values.take(pa.array(odd))
            read = _written(given, decimal)
            amounts = amounts.copy()
            amounts[odd] = np.nan_to_num(read)
            odd = odd[np.isnan(read) & ~is_nothing(given, words)]
        large = np.flatnonzero(np.abs(amounts) >= _TOO_LARGE)
        if len(large):
            amounts = amounts.copy()
            amounts[large] = 0
        return amounts, np.union1d(odd, large) if len(large) else odd
    floats = values.cast(pa.float64())
    numbers = (pc.fill_null(floats, 0.0) if floats.null_count else floats).to_numpy(zero_copy_only=False)
    if numbers.min(initial=0) > -_TOO_LARGE and numbers.max(initial=0) < _TOO_LARGE:
        return numbers, np.empty(0, np.intp)
    fits = np.abs(numbers) < _TOO_LARGE
    return np.where(fits, numbers, 0), np.flatnonzero(~fits & ~np.isnan(numbers))


def _written(values: pa.Array, decimal: str) -> np.ndarray:
    """Texts as numbers, NaN for what is none: signs, currencies, groups of three, parentheses, exponents."""
    group, point = ("[, '\u00a0]", r"\.") if decimal == "." else ("[. '\u00a0]", ",")
    pattern = (
        rf"^[\s=\"']*(?P<open>\(?)\s*(?P<before>[+-]?)\s*{_CURRENCY}\s*(?P<within>[+-]?)\s*"
        rf"(?P<whole>[0-9]{{1,3}}(?:{group}[0-9]{{3}})+|[0-9]*)(?:{point}(?P<part>[0-9]*))?(?P<power>(?:E[+-]?[0-9]{{1,3}})?)"
        rf"\s*{_CURRENCY}\s*(?P<behind>[+-]?)\s*(?P<close>\)?)[\s\"']*$"
    )
    texts = pc.replace_substring(pc.utf8_upper(values), "\u2212", "-")
    found = pc.extract_regex(texts, pattern)

    def part(name: str) -> pa.Array:
        return pc.fill_null(pc.struct_field(found, name), "")

    signs = [part(name) for name in ("open", "before", "within", "behind")]
    marks = sum(flags(pc.not_equal(sign, "")).astype(int) for sign in signs)
    digits = pc.binary_join_element_wise(pc.replace_substring_regex(part("whole"), "[^0-9]", ""), part("part"), "")
    is_number = flags(pc.not_equal(digits, "")) & (marks <= 1) & flags(pc.is_valid(found))
    is_number &= flags(pc.equal(part("open"), "(")) == flags(pc.equal(part("close"), ")"))
    whole = pc.replace_substring_regex(part("whole"), "[^0-9]", "")
    text = pc.binary_join_element_wise("0", whole, ".", part("part"), "0", part("power"), "")
    numbers = pc.if_else(pa.array(is_number), text, pa.scalar(None, text.type)).cast(pa.float64())
    negative = sum((flags(pc.or_(pc.equal(s, "-"), pc.equal(s, "("))).astype(int) for s in signs), np.zeros(1, int)) > 0
    amounts = pc.fill_null(numbers, np.nan).to_numpy(zero_copy_only=False)
    return np.where(np.isfinite(amounts), np.where(negative, -amounts, amounts), np.nan)
