"""Raw cells to typed records, the same for text and workbook: dates, numbers, lists, and findings for what is odd.

A cell that cannot be read becomes null and a finding; one on which validity depends refuses the release.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import polars as pl

from hcpcs.errors import printable
from schemas.columns import CODE_FORMATS
from sources.code_file.record_layout import (
    CODE_FORMS,
    CODED_FIELDS,
    CONTINUATION_KINDS,
    DAY_OR_POWER,
    FIRST_LINE_KINDS,
    RECORD_FIELDS,
    TEXT_FIELDS,
    RecordField,
)
from sources.findings import Finding, merged

#: Fields that decide on which days a code was valid: nothing may be guessed or lost there.
_DECISIVE_DATES = ("added_date", "termination_date")

#: What a word processor types for English; a letter where one of these stood is damage, not a foreign word.
_TYPOGRAPHY = frozenset("‘’“”–—…•™®\u00a0")
#: With a letter on either side these are what they look like: the ö of a name is no quotation mark.
_NEVER_WITHIN_A_WORD = frozenset("“”…•™®")

_MOST_EXAMPLES = 5
#: Fewer records with values of no known form are single mistakes, however many records there are.
_MANY = 20

#: Columns of a frame of typed records, before release, revision and member are added.
RECORD_SCHEMA: dict[str, pl.DataType] = {
    "code": pl.String(),
    "kind": pl.String(),
    **{
        f.name: {"text": pl.String(), "date": pl.Date(), "integer": pl.Int32(), "list": pl.List(pl.String())}[f.type]
        for f in RECORD_FIELDS
    },
    "source_line": pl.Int32(),
}


@dataclass(frozen=True, slots=True)
class Cells:
    """Raw cells of one member, as text; those that are absent count as blank.

    ``rows``: one per record, with ``code``, ``kind``, ``source_line``, the texts, and in ``coding`` the number of the
    row of ``codings`` that has its other cells. A release has a third as many distinct ones as records, so that they
    are read once.
    """

    rows: pl.DataFrame
    codings: pl.DataFrame

    @classmethod
    def of_rows(cls, frame: pl.DataFrame) -> Cells:
        """The cells of a frame that has all of a record's in its row."""
        coded = [part for f in CODED_FIELDS for part in f.parts if part in frame.columns]
        numbered = frame.with_row_index("coding")
        return cls(numbered.drop(coded), numbered.select("coding", *coded))

    @property
    def columns(self) -> list[str]:
        """What is there of a record: ``code``, ``kind``, ``source_line`` and cells."""
        return [*self.rows.drop("coding").columns, *self.codings.drop("coding").columns]


def with_records_numbered(member: str, rows: pl.DataFrame, findings: list[Finding]) -> pl.DataFrame:
    """The rows (``source_line``, ``code``, ``record_id``) that begin or continue a record, each with its number.

    They gain ``kind``, ``is_first`` and ``record``; every row that does neither is a finding.
    """
    kinds = FIRST_LINE_KINDS | CONTINUATION_KINDS
    rows = rows.with_columns(
        is_first=pl.col("record_id").is_in(list(FIRST_LINE_KINDS)),
        kind=pl.col("record_id").replace_strict(kinds, return_dtype=pl.String),
    )
    record = pl.struct("code", "kind")
    belongs = rows.select(pl.when("is_first").then(record).forward_fill().eq_missing(record)).to_series()
    for line, kind, code, record_id in rows.filter(~belongs).select("source_line", "kind", "code", "record_id").rows():
        message = f"continuation (record id {record_id}) of {code} follows no record of that code"
        place = (line, kind, code, "record_id", record_id)
        findings.append(Finding.of("continuation_without_record", message, member, *place))
    return rows.filter(belongs).with_columns(record=pl.col("is_first").cum_sum())


def typed_records(member: str, cells: Cells) -> tuple[pl.DataFrame, list[Finding]]:
    """Type the cells of one member: one row per record with the columns of ``RECORD_SCHEMA``, and the findings."""
    findings: list[Finding] = []
    stated = cells.rows.select("code", "kind", "source_line")
    at_coding = stated.with_columns(at=cells.rows["coding"])
    texts, codings = _clean(TEXT_FIELDS, cells.rows), _clean(CODED_FIELDS, cells.codings)
    texts = _without_controls(member, TEXT_FIELDS, texts, stated.with_row_index("at"), findings)
    codings = _without_controls(member, CODED_FIELDS, codings, at_coding, findings)
    texts = _without_damage(member, TEXT_FIELDS, texts, stated.with_row_index("at"), findings)
    codings = _without_damage(member, CODED_FIELDS, codings, at_coding, findings)
    codings = _without_retyping(member, codings, at_coding, findings)
    typed = _typed_fields(CODED_FIELDS, codings)
    typed = _with_odd_values(member, codings, typed, at_coding, findings)
    records = (
        texts.select("code", "kind", pl.col("source_line").cast(pl.Int32))
        .hstack(_typed_fields(TEXT_FIELDS, texts))
        .hstack(typed[cells.rows["coding"]])
    )
    findings.extend(_record_findings(member, records))
    records = _without_duplicates(member, records, findings)
    return records.select(list(RECORD_SCHEMA)), merge_findings(findings)


def merge_findings(findings: Iterable[Finding]) -> list[Finding]:
    """Make one finding of many with one cause, as for ``merged``."""
    return merged(findings, _as_one)


def _as_one(group: list[Finding]) -> Finding:
    first = group[0]
    return replace(
        first,
        line=None,
        kind=None,
        code=None,
        raw_value=None,
        occurrences=sum(f.occurrences for f in group),
        examples=tuple(f"{f.code or ''} line {f.line}: {f.raw_value or ''}".strip() for f in group[:_MOST_EXAMPLES]),
        message=f"{len(group)} places like: {first.message}",
    )


#: C0 but for tabs and line ends, DEL, C1.
_CONTROLS = r"[\x00-\x08\x0B\x0C\x0E-\x1F\x7F-\u{9F}]"


def undo_code_page_damage(text: str) -> str:
    """The text with English punctuation for each letter that reading cp1252 as cp437 explains; other letters stay.

    Seen in CMS's files of 2011 to 2013: an apostrophe (cp1252 0x92) was read as cp437 and written again as a ligature.
    """
    return re.sub(r"[^\x00-\x7f]", _undone, text)


def _undone(found: re.Match[str]) -> str:
    try:
        original = found[0].encode("cp437").decode("cp1252")
    except UnicodeError:
        return found[0]
    around = found.string[max(0, found.start() - 1) : found.start()], found.string[found.end() : found.end() + 1]
    if original not in _TYPOGRAPHY or (original in _NEVER_WITHIN_A_WORD and all(map(str.isalpha, around))):
        return found[0]
    return " " if original == "\u00a0" else original


def _clean(fields: tuple[RecordField, ...], frame: pl.DataFrame) -> pl.DataFrame:
    """The cells without blanks at their ends, null where nothing is left; columns without any are dropped."""
    parts = list(_parts(fields, frame))
    frame = frame.with_columns(pl.col(parts).str.strip_chars().replace("", None))
    return frame.drop(part for part in parts if frame[part].null_count() == frame.height)


def _parts(fields: tuple[RecordField, ...], frame: pl.DataFrame) -> dict[str, str]:
    """Each cell of ``fields`` that ``frame`` has, and the name of its field."""
    return {part: f.name for f in fields for part in f.parts if part in frame.columns}


def _without_controls(
    member: str, fields: tuple[RecordField, ...], frame: pl.DataFrame, at: pl.DataFrame, findings: list[Finding]
) -> pl.DataFrame:
    """The cells with a blank for each control character (ESC, NUL, backspace), each such cell with a finding."""
    parts = _parts(fields, frame)
    is_odd = frame.select(pl.col(list(parts)).str.contains(_CONTROLS).any())
    for part, field in parts.items():
        if not is_odd[part].item():
            continue
        places = frame[part].str.contains(_CONTROLS).fill_null(False).arg_true()
        found = pl.DataFrame({"at": places, "value": frame[part].gather(places)}).join(at, on="at").sort("source_line")
        for code, kind, line, value in found.select("code", "kind", "source_line", "value").rows():
            message = "holds control characters, which steer terminals and end strings"
            findings.append(Finding.of("control_character", message, member, line, kind, code, field, printable(value)))
        frame = frame.with_columns(pl.col(part).str.replace_all(_CONTROLS, " "))
    return _clean(fields, frame)


def _without_damage(
    member: str, fields: tuple[RecordField, ...], frame: pl.DataFrame, at: pl.DataFrame, findings: list[Finding]
) -> pl.DataFrame:
    """The cells without code-page damage; of every character beyond ASCII a finding.

    ``at`` says which records (``code, kind, source_line``) a row of ``frame`` is of, by its number.
    """
    parts = _parts(fields, frame)
    cells = pl.col(list(parts))
    is_beyond = frame.select(cells.str.len_bytes().sum() > cells.str.len_chars().sum())
    for part, field in parts.items():
        if not is_beyond[part].item():
            continue
        places = frame[part].str.contains(r"[^\x00-\x7f]").fill_null(False).arg_true()
        values = frame[part].gather(places)
        undone = pl.Series([undo_code_page_damage(value) for value in values], dtype=pl.String)
        found = pl.DataFrame({"at": places, "value": values, "undone": undone}).join(at, on="at").sort("source_line")
        for code, kind, line, value, mended in found.select("code", "kind", "source_line", "value", "undone").rows():
            name, message = "character_beyond_ascii", "a character beyond ASCII that no known damage explains"
            if mended != value:
                name, message = "code_page_damage", "cp1252 punctuation was decoded as cp437"
            findings.append(Finding.of(name, message, member, line, kind, code, field, value))
        frame = frame.with_columns(frame[part].scatter(places, undone))
    return frame


def _without_retyping(member: str, frame: pl.DataFrame, at: pl.DataFrame, findings: list[Finding]) -> pl.DataFrame:
    """The cells as CMS writes them where a spreadsheet has taken codes for numbers or days, each with a finding.

    A number gets the digits back that its field has. What a day was before cannot be known: null. Where a quarter of
    a field's values have no form that CMS gives them, the release is refused.
    """
    fields = {f.name: f for f in CODED_FIELDS}
    parts = {part: name for part, name in _parts(CODED_FIELDS, frame).items() if fields[name].type in ("text", "list")}
    misshapen: dict[str, list[pl.DataFrame]] = defaultdict(list)
    for part, name in parts.items():
        form = rf"^(?:{CODE_FORMS[name]})$" if name in CODE_FORMS else None
        # A day or a power of ten has a sign that no code has.
        is_odd = ~frame[part].str.contains(form) if form else frame[part].str.contains(rf"^(?:{DAY_OR_POWER})$")
        places = is_odd.fill_null(False).arg_true()
        if places.is_empty():
            continue
        values = frame[part].gather(places)
        read = pl.Series([fields[name].as_cms_writes(value) for value in values], dtype=pl.String)
        found = pl.DataFrame({"at": places, "value": values, "read": read}).join(at, on="at").sort("source_line")
        changed = found.filter(pl.col("read").ne_missing(pl.col("value")))
        for row in changed.iter_rows(named=True):
            findings.append(_retyped(member, name, row))
        frame = frame.with_columns(frame[part].scatter(places, read))
        if form is not None:
            misshapen[name].append(found.filter(~pl.col("read").str.contains(form)))
    for name, found_of_parts in misshapen.items():
        odd = pl.concat(found_of_parts).sort("source_line")
        filled = frame.select(
            pl.any_horizontal(pl.col(p).is_not_null() for p, n in parts.items() if n == name).alias("is")
        )
        findings.extend(_misshapen(member, name, odd, int(filled["is"].gather(at["at"]).sum())))
    return frame


def _retyped(member: str, field: str, row: dict[str, Any]) -> Finding:
    lost = row["read"] is None
    message = f"{field} {row['value']!r} of {row['code']} is what a spreadsheet makes of a code"
    if not lost:
        message += f": CMS writes {len(row['read'])} digits"
    name = "retyped_value" if lost else "digits_lost"
    return Finding.of(name, message, member, row["source_line"], row["kind"], row["code"], field, row["value"])


def _misshapen(member: str, field: str, odd: pl.DataFrame, filled: int) -> list[Finding]:
    """One finding of the values that no code of the field can be; an error where they are many."""
    if odd.is_empty():
        return []
    first, records = odd.row(0, named=True), odd["source_line"].n_unique()
    are_many = records >= _MANY and records * 4 > filled
    message = f"{field} {first['value']!r} of {first['code']} is no code of CMS's"
    if records > 1:
        message += f", nor are those of {records - 1:,} more of {filled:,} records"
    place = (first["source_line"], first["kind"], first["code"], field, first["value"])
    return [
        Finding.of(
            "misshapen_code",
            message,
            member,
            *place,
            severity="error" if are_many else "warning",
            action="refused: the release is not in a form that CMS gives it" if are_many else "kept",
            occurrences=records,
            examples=tuple(f"{code}: {value}" for code, value in odd.select("code", "value").rows()[:_MOST_EXAMPLES]),
        )
    ]


def _typed_fields(fields: tuple[RecordField, ...], cells: pl.DataFrame) -> pl.DataFrame:
    # Of the frame's height even where no field has a cell.
    return cells.select(pl.int_range(pl.len()).alias("at"), *(_typed(f, cells.columns) for f in fields)).drop("at")


def _typed(f: RecordField, columns: list[str]) -> pl.Expr:
    """The field from its cells; ``columns`` names those that any record has."""
    cell = pl.col(f.name)
    parts = [part for part in f.parts if part in columns]
    if not parts:
        return pl.lit([] if f.type == "list" else None, RECORD_SCHEMA[f.name]).alias(f.name)
    if f.type == "list":
        # Joined and cut again: eight times as fast as a list of nullable cells without its nulls.
        return pl.concat_str(parts, separator="\x1f", ignore_nulls=True).str.extract_all(r"[^\x1f]+").alias(f.name)
    if f.type == "date":
        return cell.str.to_date("%Y%m%d", strict=False)
    if f.type == "integer":
        return cell.cast(pl.Int32, strict=False)
    return cell


def _with_odd_values(
    member: str, cells: pl.DataFrame, typed: pl.DataFrame, at: pl.DataFrame, findings: list[Finding]
) -> pl.DataFrame:
    """Read what the plain reading could not, where the form leaves no doubt; note each value."""
    fields = [f for f in CODED_FIELDS if f.type in ("date", "integer") and f.name in cells.columns]
    both = cells.select(f.name for f in fields).hstack(
        typed.select(pl.col(f.name).alias(f"{f.name}_read") for f in fields)
    )
    is_odd = both.select(_is_odd(f) for f in fields)
    for f in fields:
        if is_odd[f.name].any():
            typed = _with_odd_values_of(f, is_odd[f.name].arg_true(), member, cells[f.name], typed, at, findings)
    return typed


def _is_odd(f: RecordField) -> pl.Expr:
    raw, unread = pl.col(f.name), pl.col(f"{f.name}_read").is_null()
    if f.type == "date":  # polars also reads a five-digit year, a short day, and the year 0, which Python does not have
        unread |= ~raw.str.contains(r"^[1-9][0-9]{7}$")
    return raw.is_not_null() & unread


def _with_odd_values_of(
    f: RecordField,
    places: pl.Series,
    member: str,
    raw: pl.Series,
    typed: pl.DataFrame,
    at: pl.DataFrame,
    findings: list[Finding],
) -> pl.DataFrame:
    values = raw.gather(places)
    readings = [read_odd_date(value) if f.type == "date" else _read_odd_integer(value) for value in values]
    records = at.join(pl.DataFrame({"at": places, "reading": range(len(readings))}), on="at").sort("source_line")
    what = "is no date" if f.type == "date" else "is no number"
    for code, kind, line, number in records.select("code", "kind", "source_line", "reading").rows():
        value, (read, how) = values[number], readings[number]
        place = (member, line, kind, code, f.name, value)
        if how is not None:
            message = f"{f.name} {value!r} of {code} is not in the form of the record layout"
            findings.append(Finding.of("odd_form", message, *place, action=f"read as {how}: {read}"))
            continue
        message = f"{f.name} {value!r} of {code} {what}"
        if f.name in _DECISIVE_DATES:
            action = "refused: it decides on which days the code was valid"
            findings.append(Finding.of("unreadable_value", message, *place, severity="error", action=action))
        else:
            findings.append(Finding.of("unreadable_value", message, *place))
    mended = pl.Series([read for read, _ in readings], dtype=RECORD_SCHEMA[f.name])
    return typed.with_columns(typed[f.name].scatter(places, mended))


def read_odd_date(value: str) -> tuple[object, str | None]:
    """Read a date in a form other than YYYYMMDD, if only one reading is possible.

    Returns the date, or None, and the name of the form, or None where the value cannot be read. All zeros mean none.
    """
    text = value.strip()
    if text.strip("0") == "":
        return None, "no date"
    forms = (
        (r"^([1-9]\d{7})\.0+$", "%Y%m%d", "a number"),
        (r"^([1-9]\d{3}-\d{2}-\d{2})(?:[ T]00:00:00(?:\.0+)?)?$", "%Y-%m-%d", "an ISO date"),
        (r"^(\d{1,2}/\d{1,2}/[1-9]\d{3})$", "%m/%d/%Y", "month/day/year"),
    )
    series = pl.Series([text])
    for pattern, date_format, name in forms:
        date = series.str.extract(pattern).str.to_date(date_format, strict=False).item()
        if date is not None:
            return date, name
    serial = series.str.extract(r"^([2-6]\d{4})(?:\.0+)?$").cast(pl.Int32).item()
    if serial is not None:  # days since 1899-12-30, as a spreadsheet stores 1954 to 2089
        return pl.select(pl.date(1899, 12, 30) + pl.duration(days=serial)).item(), "a spreadsheet's day number"
    return None, None


def _read_odd_integer(value: str) -> tuple[object, str | None]:
    whole, _, fraction = value.partition(".")
    if whole.strip().isdigit() and not fraction.strip("0"):
        return int(whole), "a whole number"
    return None, None


def _record_findings(member: str, records: pl.DataFrame) -> list[Finding]:
    """What is odd about whole records; one pass picks the records of each rule, mostly none."""
    code = pl.col("code")
    misshapen = pl.coalesce(pl.when(kind=of).then(~code.str.contains(f"^{form}$")) for of, form in CODE_FORMATS.items())
    rules: list[tuple[pl.Expr, Callable[[str, pl.DataFrame], list[Finding]]]] = [
        (misshapen, _code_shape),
        (pl.col("termination_date") < pl.col("added_date"), _dates_out_of_order),
    ]
    for field in ("short_description", "long_description"):
        asks = pl.col(field).str.contains("?", literal=True)  # sooner done than looking for words around it
        rules.append((asks, partial(_lost_characters, field=field)))
    picked = records.select(rule.alias(str(number)) for number, (rule, _) in enumerate(rules))
    findings = []
    for is_odd, (_, findings_of) in zip(picked, rules, strict=True):
        if is_odd.any():
            findings.extend(findings_of(member, records.filter(is_odd)))
    return findings


def _code_shape(member: str, bad: pl.DataFrame) -> list[Finding]:
    found = []
    for code, kind, line in bad.select("code", "kind", "source_line").iter_rows():
        message = f"{code!r} is no {'code' if kind == 'procedure' else 'modifier'}"
        found.append(Finding.of("code_shape", message, member, line, kind, code, "code", code))
    return found


def _dates_out_of_order(member: str, bad: pl.DataFrame) -> list[Finding]:
    """A record that ends before it begins was valid on no day: one of its dates is wrong, and which cannot be known."""
    found = []
    dated = bad.select("code", "kind", "source_line", "added_date", "termination_date")
    for code, kind, line, added, end in dated.iter_rows():
        message = f"{code} ends on {end}, before it was added on {added}"
        found.append(Finding.of("dates_out_of_order", message, member, line, kind, code, "termination_date", str(end)))
    return found


def _lost_characters(member: str, questions: pl.DataFrame, field: str) -> list[Finding]:
    """A question mark between two word characters stands where CMS lost a character; which one cannot be known."""
    message = f"a question mark is within a word of {field}, where a character was lost"
    around = pl.col(field).str.extract(r"(\S*\w\?\w\S*)")
    places = questions.select("code", "kind", "source_line", around).drop_nulls(field).rows()
    return [
        Finding.of("lost_character", message, member, line, kind, code, field, word)
        for code, kind, line, word in places
    ]


def _without_duplicates(member: str, records: pl.DataFrame, findings: list[Finding]) -> pl.DataFrame:
    if records["code"].n_unique() == records.height:
        return records
    key = ["kind", "code"]
    repeated = records.filter(pl.struct(key).is_duplicated())
    if repeated.is_empty():
        return records
    said = [c for c in RECORD_SCHEMA if c != "source_line"]
    for (kind, code), rows in repeated.group_by(key, maintain_order=True):
        same = rows.select(said).unique().height == 1
        lines = ", ".join(map(str, rows["source_line"]))
        message = f"{code} is on lines {lines}" + ("" if same else " with different content")
        name = "repeated_record" if same else "contradicting_records"
        place = (rows["source_line"][1], str(kind), str(code), "code", str(code))
        findings.append(Finding.of(name, message, member, *place, occurrences=rows.height))
    return records.unique(key, keep="first", maintain_order=True)
