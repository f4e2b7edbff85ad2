"""Days of a column: its form is found once, or stated, and holds for every value; what does not read in it is none."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hcpcs.annotate.values import NULL_WORDS, UnusableColumn, fixed_width, flags, is_nothing, is_text

#: The forms that are found, with what a summary calls them.
FOUND_FORMS: Mapping[str, str] = {
    "date": "a date",
    "datetime": "a time stamp, its day taken",
    "number": "a number YYYYMMDD",
    "iso": "text YYYY-MM-DD",
    "compact": "text YYYYMMDD",
    "us": "text MM/DD/YYYY",
    "named_month": "text DD-MON-YYYY",
}
#: Around a day: blanks, and the marks by which a spreadsheet keeps it a text.
_BEGIN, _END = r"^[\s=\"']*", r"[\s\"']*$"
_TIME = r"(?:[T :]\s*[0-9]{1,2}:?[0-9]{2}.*)?"
_ZONE = r"(?:Z|[+-][0-9]{2}:?[0-9]{2})?"
_TEXT_FORMS = {
    "iso": rf"{_BEGIN}(?P<y>[0-9]{{4}})[-/](?P<m>[0-9]{{1,2}})[-/](?P<d>[0-9]{{1,2}}){_ZONE}{_TIME}{_END}",
    "compact": rf"{_BEGIN}(?P<y>[0-9]{{4}})(?P<m>[0-9]{{2}})(?P<d>[0-9]{{2}})(?:\.0+)?{_TIME}{_END}",
    "us": rf"{_BEGIN}(?P<m>[0-9]{{1,2}})/(?P<d>[0-9]{{1,2}})/(?P<y>[0-9]{{4}}){_TIME}{_END}",
    "named_month": rf"{_BEGIN}(?P<d>[0-9]{{1,2}})[- /]?(?P<b>[A-Za-z]{{3}})[- /]?(?P<y>[0-9]{{4}}){_TIME}{_END}",
}
#: Counts since a day, which are read when stated: the first day, and how many are a day.
COUNTED_FORMS: Mapping[str, tuple[str, float]] = {
    "SAS-DAYS": ("1960-01-01", 1),
    "SAS-SECONDS": ("1960-01-01", 86_400),
    "EXCEL-DAYS": ("1899-12-30", 1),
    "UNIX-DAYS": ("1970-01-01", 1),
    "UNIX-SECONDS": ("1970-01-01", 86_400),
    "UNIX-MILLISECONDS": ("1970-01-01", 86_400_000),
}
#: Forms that are never found, as another may be meant: a refusal names those that fit.
STATED_FORMS = (
    *("YYMMDD", "CYYMMDD", "YYYYDDD", "YYYYMM", "MMDDYYYY", "DDMMYYYY", "MMDDYY", "YYYY"),
    *("DDMONYY", "MON DD YYYY", "MON DD, YYYY", "YYYY-DDD", "MM/YYYY"),
    *("DD/MM/YYYY", "MM/DD/YY", "DD/MM/YY", "MM-DD-YYYY", "DD-MM-YYYY", "DD.MM.YYYY", "DD-MON-YY", "YYYY-MM"),
    *COUNTED_FORMS,
)
_TOKENS = {
    "YYYY": "(?P<y>[0-9]{4})",
    "YY": "(?P<s>[0-9]{2})",
    "MON": "(?P<b>[A-Za-z]{3})",
    "MM": "(?P<m>[0-9]{2})",
    "DDD": "(?P<n>[0-9]{3})",
    "DD": "(?P<d>[0-9]{2})",
    "C": "(?P<c>[0-9])",
}
_MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
_FIRST_YEAR, _LAST_YEAR = 1800, 9999
#: Days that a column is believed to hold; with 9999, which stands for no end.
_BELIEVED = (np.datetime64("1800-01-01", "D").astype(int), np.datetime64("2200-01-01", "D").astype(int))
_NO_END = np.datetime64("9999-01-01", "D").astype(int)


def form_label(form: str) -> str:
    """What a summary calls a form."""
    return FOUND_FORMS.get(form, f"stated: {form}")


def stated_form(text: str) -> str:
    """A form as a user states it, checked; raises ``UnusableColumn`` where it names no year, or a part twice."""
    form = text.upper()
    if form in COUNTED_FORMS:
        return form
    parts = re.findall(r"\(\?P<(.)>", _pattern(form)[0])
    if not {"y", "s"} & set(parts) or len(set(parts)) < len(parts) or ("d" in parts and not {"m", "b"} & set(parts)):
        raise UnusableColumn(
            f"date format {text!r}: must consist of YYYY, YY, C, MM, MON, DD and DDD (day of the year), "
            f"as in DD.MM.YYYY, or be one of {', '.join(COUNTED_FORMS)}"
        )
    return form


@cache
def _pattern(form: str) -> tuple[str, int]:
    """The pattern of a stated form, and how many digits its numbers have; 0 where it is not of digits alone."""
    tokens = re.findall("|".join(_TOKENS) + "|.", form)
    is_number = all(t in _TOKENS and t != "MON" for t in tokens)
    parts = [_TOKENS.get(t, re.escape(t)) for t in tokens]
    if not is_number:
        # Between other characters a month or day may have one digit.
        parts = [p.replace("{2}", "{1,2}") if t in ("MM", "DD") else p for t, p in zip(tokens, parts, strict=True)]
    tail = r"(?:\.0+)?" if is_number else _TIME
    return rf"{_BEGIN}{''.join(parts)}{tail}{_END}", len(form) if is_number else 0


def date_form(
    name: str,
    kind: pa.DataType,
    sample: pa.Array | None,
    *,
    stated: str | None = None,
    words: Sequence[str] = NULL_WORDS,
) -> str:
    """The form of a column: by its type, as ``stated``, or as ``sample`` shows, some of its distinct values.

    Of texts the form that reads most of the sample holds for the whole column; numbers are days only if all are. Raises
    ``UnusableColumn`` where the type holds no dates, or the values read in no form, or better in one to be stated.
    """
    if pa.types.is_date(kind):
        return "date"
    if pa.types.is_timestamp(kind):
        return "datetime"
    is_number = pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind)
    if not is_number and not is_text(kind) and not pa.types.is_null(kind):
        raise UnusableColumn(f"column {name!r} is {kind}: not a date, a number YYYYMMDD, or a text with a date")
    values = sample if sample is not None else pa.nulls(0, kind)
    values = values.filter(pa.array(~is_nothing(values, words)))
    forms = [stated] if stated else ["number"] if is_number else list(_TEXT_FORMS)
    if not len(values):
        return forms[0]
    readable = {form: _believed(values, form) for form in forms}
    best = max(forms, key=lambda form: readable[form])
    fits = readable[best] == len(values) if is_number and not stated else 2 * readable[best] >= len(values)
    others = {form: n for form in STATED_FORMS if form not in forms and (n := _believed(values, form))}
    if fits and (stated or max(others.values(), default=0) <= readable[best]):
        return best
    known = ", ".join(form_label(form) for form in forms)
    most = max(others.values(), default=0)
    hint = ", ".join(form for form, n in others.items() if n == most and 2 * n >= len(values))
    if readable[best] and not hint:
        odd = values.filter(pa.array(~_reads(values, best)))
        raise UnusableColumn(
            f"column {name!r} is not in one format: {readable[best]:,} of {len(values):,} distinct values are days as"
            f" {form_label(best)}; others, as {', '.join(repr(v) for v in odd[:3].to_pylist())}, are not; "
            f"--null {odd[0]} reads such a value as null"
        )
    examples = ", ".join(repr(v) for v in values[:3].to_pylist())
    hint = f"; they may be {hint}: state it with --date-format" if hint else ""
    raise UnusableColumn(f"column {name!r} has no dates in a known format ({known}): {examples}{hint}")


def _reads(values: pa.Array, form: str) -> np.ndarray:
    days, valid = days_of(values, form)
    believed: np.ndarray = valid & (((days >= _BELIEVED[0]) & (days < _BELIEVED[1])) | (days >= _NO_END))
    return believed


def _believed(values: pa.Array, form: str) -> int:
    if form in COUNTED_FORMS:
        # A number is a count of anything: only what falls into the years of claims is offered.
        days, valid = days_of(values, form)
        return int(np.count_nonzero(valid & (days > 3_650) & (days < 29_220)))
    return int(np.count_nonzero(_reads(values, form)))


def days_of(values: pa.Array, form: str) -> tuple[np.ndarray, np.ndarray]:
    """Days since 1970 (int32), and which of them are days: what is null or does not read in ``form`` is none."""
    valid = flags(pc.is_valid(values)) if values.null_count else np.ones(len(values), bool)
    if form in ("date", "datetime"):
        if pa.types.is_timestamp(values.type) and values.type.tz is not None:
            values = pc.local_timestamp(values)  # the day on the wall clock of the column's own zone
        if not pa.types.is_date32(values.type):
            values = values.cast(pa.date32(), safe=False)
        return fixed_width(values, np.int32), valid
    if form in COUNTED_FORMS:
        first, per_day = COUNTED_FORMS[form]
        numbers = _numbers(values)
        days = np.floor(numbers / per_day) + np.datetime64(first, "D").astype(int)
        valid &= np.isfinite(days) & (np.abs(days) < 3_000_000)
        return np.where(valid, days, 0).astype(np.int32), valid
    if form == "number":
        if pa.types.is_integer(values.type):
            numbers = fixed_width(values.cast(pa.int64(), safe=False), np.int64)
        else:
            whole = _numbers(values)
            valid &= np.isfinite(whole) & (np.floor(whole) == whole) & (np.abs(whole) < 1e9)
            numbers = np.where(valid, whole, 0).astype(np.int64)
        years, rest = np.divmod(numbers, 10_000)
        months, days = np.divmod(rest, 100)
        return _civil_days(years, months, days, valid)
    pattern, width = (_TEXT_FORMS[form], 0) if form in _TEXT_FORMS else _pattern(form)
    return _text_days(_texts(values, width), pattern)


def _numbers(values: pa.Array) -> np.ndarray:
    """Numbers as float64, NaN for what is null or no number."""
    if is_text(values.type):
        trimmed = pc.utf8_trim_whitespace(values)
        is_number = pc.match_substring_regex(trimmed, r"^[+-]?[0-9]+(?:\.[0-9]*)?$")
        values = pc.if_else(is_number, trimmed, pa.scalar(None, trimmed.type))
    numbers: np.ndarray = values.cast(pa.float64()).to_numpy(zero_copy_only=False)
    return numbers


def _texts(values: pa.Array, width: int) -> pa.Array:
    """Values as texts; numbers with as many digits as their form has."""
    if is_text(values.type):
        return values
    if not pa.types.is_integer(values.type):
        numbers = _numbers(values)
        whole = np.isfinite(numbers) & (np.floor(numbers) == numbers) & (np.abs(numbers) < 1e15)
        values = pa.array(np.where(whole, numbers, 0).astype(np.int64), mask=~whole)
    return pc.utf8_lpad(values.cast(pa.string()), width, "0")


def _text_days(values: pa.Array, pattern: str) -> tuple[np.ndarray, np.ndarray]:
    parts = pc.extract_regex(values, pattern)
    valid = flags(pc.is_valid(parts))
    has = {field.name for field in parts.type}

    def part(name: str, otherwise: int) -> np.ndarray:
        if name not in has:
            return np.full(len(values), otherwise, np.int64)
        return fixed_width(pc.fill_null(pc.struct_field(parts, name), "0").cast(pa.int64()), np.int64)

    years = part("y", 0)
    if "s" in has:
        short = part("s", 0)
        # Without a digit for the century, as POSIX has it: 69 to 99 are of the 20th.
        years = short + (1900 + 100 * part("c", 0) if "c" in has else np.where(short < 69, 2000, 1900))
    if "b" in has:
        names = pc.index_in(pc.ascii_upper(pc.struct_field(parts, "b")), value_set=pa.array(_MONTHS, values.type))
        months = fixed_width(pc.fill_null(names, -1).cast(pa.int64()), np.int64) + 1
    else:
        months = part("m", 1)
    days, valid = _civil_days(years, months, part("d", 1), valid)
    if "n" in has:
        number = part("n", 1)
        leap = (years % 4 == 0) & ((years % 100 != 0) | (years % 400 == 0))
        valid = valid & (number >= 1) & (number <= 365 + leap)
        days = np.where(valid, days + number - 1, 0).astype(np.int32)
    return days, valid


def _civil_days(
    years: np.ndarray, months: np.ndarray, days: np.ndarray, valid: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    valid = valid & (years >= _FIRST_YEAR) & (years <= _LAST_YEAR)
    valid &= (months >= 1) & (months <= 12) & (days >= 1) & (days <= 31)
    month = np.where(valid, (years - 1970) * 12 + months - 1, 0).astype("datetime64[M]")
    first = month.astype("datetime64[D]").astype(np.int64)
    following = (month + 1).astype("datetime64[D]").astype(np.int64)
    day = first + days - 1
    valid &= day < following
    return np.where(valid, day, 0).astype(np.int32), valid
