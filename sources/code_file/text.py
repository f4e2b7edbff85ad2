"""The fixed-width text of a release: bytes to raw cells, one row per record, with every oddity as a finding.

Cells stay text here; ``sources.code_file.records`` types them, for the text and the workbook alike.
"""

from __future__ import annotations

import re
from contextlib import suppress

import polars as pl

from sources.code_file.record_layout import (
    CODED_FIELDS,
    CONTINUATION_KINDS,
    FIRST_LINE_KINDS,
    LAST_FIELD_POSITION,
    RECORD_LENGTH,
    TEXT_FIELDS,
)
from sources.code_file.records import Cells, with_records_numbered
from sources.findings import Finding

#: A line of a record: code or three blanks and a modifier, sequence by hundreds, record id.
_RECORD_LINE = re.compile(r"^(?:[A-Z0-9]{5}|   [A-Z0-9]{2})[0-9]{3}00[3478]")
#: The same with any record id and an unreadable code: a line that means to be a record.
_LIKE_A_RECORD = re.compile(r".{5}[0-9]{5}[^ ]")

_LONG, _SHORT = TEXT_FIELDS
_LINE = pl.col("line")


def looks_like_anweb_text(data: bytes) -> bool:
    """Whether most lines of ``data`` are lines of records."""
    lines = [line for line in data[:400_000].decode("latin-1").splitlines() if line.strip()]
    hits = sum(1 for line in lines if _RECORD_LINE.match(line))
    return hits > 0 and hits * 2 > len(lines)


def read_anweb_text(member: str, data: bytes) -> tuple[Cells, list[Finding]]:
    """Read a fixed-width code file.

    Returns the cells of its records (``code`` without padding, ``source_line`` where the record starts, from 1) and the
    findings. What cannot be read as a record at all is a finding of severity ``error``; the caller refuses the release.
    Source: CMS's record layout; the quirks are those measured on the releases named in docs/quirks.md.
    """
    findings: list[Finding] = []
    lines = _lines(data)
    is_plain = lines["line"].str.contains(_RECORD_LINE.pattern)
    usual = _usual_lengths(lines.filter(is_plain))
    lines = _lines_of_records(lines, is_plain, member, findings)
    if b"\t" in data:
        lines = _with_tabs_replaced(lines, usual, member, findings)
    findings.extend(_length_findings(member, lines, usual))
    heads = lines.select(
        pl.col("number").cast(pl.Int32).alias("source_line"),
        _LINE,
        code=_LINE.str.slice(0, 5).str.strip_chars(" "),
        sequence=_LINE.str.slice(5, 3).cast(pl.Int32),
        record_id=_record_id(),
    )
    lines = with_records_numbered(member, heads, findings)
    findings.extend(_sequence_findings(member, lines))
    return _cells(lines), findings


def _lines(data: bytes) -> pl.DataFrame:
    """Number and text of each line, by CR LF, LF or CR alone: CMS's texts were never UTF-8, a future one may be."""
    text = pl.Series("line", [_decoded(data.removeprefix(b"\xef\xbb\xbf"))])
    lines = text.str.split("\n").explode().str.strip_suffix("\r").str.split("\r").explode()
    return lines.to_frame().with_row_index("number", offset=1)


def _decoded(data: bytes) -> str:
    for encoding in ("utf-8", "cp1252"):
        with suppress(UnicodeDecodeError):
            return data.decode(encoding)
    return data.decode("latin-1")  # takes the bytes that cp1252 lacks


def _usual_lengths(lines: pl.DataFrame) -> dict[str, int]:
    """The length most lines have by record id, one for first lines and one for continuations.

    None where lengths vary, as where continuations are right-trimmed.
    """
    usual: dict[str, int] = {}
    counts = lines.group_by(_is_first(), _LINE.str.len_chars()).len().sort("len", "line", descending=True)
    for is_first, record_ids in ((True, FIRST_LINE_KINDS), (False, CONTINUATION_KINDS)):
        of_kind = counts.filter(is_first=is_first)
        if of_kind.is_empty():
            continue
        _, length, count = of_kind.row(0)
        if count * 10 >= of_kind["len"].sum() * 9 or (is_first and length >= LAST_FIELD_POSITION):
            usual |= dict.fromkeys(record_ids, length)
    return usual


def _record_id() -> pl.Expr:
    return _LINE.str.slice(10, 1)


def _is_first() -> pl.Expr:
    return _record_id().is_in(list(FIRST_LINE_KINDS)).alias("is_first")


def _lines_of_records(lines: pl.DataFrame, is_plain: pl.Series, member: str, findings: list[Finding]) -> pl.DataFrame:
    """The lines of records, stray first characters mended; of every other line that is not blank a finding."""
    mended: dict[int, str] = {}
    outside: list[tuple[int, str]] = []
    for number, line in lines.filter(~is_plain).rows():
        if not line.strip(" \t\x1a\u00a0"):
            continue
        without = _without_stray_first_character(line, member, number, findings)
        if without is not None:
            mended[number] = without
        elif _LIKE_A_RECORD.match(line):
            findings.append(_not_a_record(member, number, line))
        else:
            outside.append((number, line))
    kept = _with_mended(lines.filter(is_plain | lines["number"].is_in(list(mended))), mended)
    if kept.is_empty():
        findings.append(Finding.of("no_records", "holds no line of a record", member))
    elif outside:
        first, last = kept["number"][0], kept["number"][-1]
        if before := [o for o in outside if o[0] < first]:
            findings.append(_preamble(member, before))
        findings.extend(_not_a_record(member, n, stray) for n, stray in outside if first < n < last)
        if after := [o for o in outside if o[0] > last]:
            findings.append(_trailer(member, after))
    return kept


def _with_mended(lines: pl.DataFrame, mended: dict[int, str]) -> pl.DataFrame:
    """The lines with those of ``mended``, by number, in place of what was read."""
    return lines.update(pl.DataFrame([*mended.items()], schema=lines.schema, orient="row"), on="number")


def _with_tabs_replaced(
    lines: pl.DataFrame, usual: dict[str, int], member: str, findings: list[Finding]
) -> pl.DataFrame:
    mended = {
        number: _without_tabs(line, usual.get(line[10], len(line)), member, number, findings)
        for number, line in lines.filter(_LINE.str.contains("\t", literal=True)).rows()
    }
    return _with_mended(lines, mended)


def _sequence_findings(member: str, lines: pl.DataFrame) -> list[Finding]:
    """Continuations that stand out of order, and records that do not start with 001."""
    before = lines.with_columns(previous=pl.col("sequence").shift(fill_value=0))
    jumps = before.filter(~pl.col("is_first"), pl.col("sequence") <= pl.col("previous"))
    findings = []
    for number, line, code, kind, previous in jumps.select("source_line", "line", "code", "kind", "previous").rows():
        message = f"continuation {line[5:8]} of {code} follows {previous:03d}"
        place = (number, kind, code, "sequence", line[5:10])
        findings.append(Finding.of("sequence_out_of_order", message, member, *place))
    late = lines.filter(pl.col("is_first"), pl.col("sequence") != 1)
    if late.height:
        examples = late.head(5).select("code", "source_line", "sequence").rows()
        findings.append(
            Finding.of(
                "late_sequence_start",
                f"{late.height} records start with a sequence other than 001",
                member,
                field="sequence",
                occurrences=late.height,
                examples=tuple(f"{code} at line {n} starts with {sequence:03d}" for code, n, sequence in examples),
            )
        )
    return findings


def _cells(lines: pl.DataFrame) -> Cells:
    """The cells of each record's first line, and its description lines joined.

    CMS breaks descriptions between words, so a blank belongs where a line ends.
    """
    behind = _SHORT.start - 1 + _SHORT.width
    rows = (
        lines.group_by("record", maintain_order=True)
        .agg(
            pl.col("code", "kind", "source_line", "line").first(),
            _cell(_LONG.start - 1, _LONG.width).str.strip_chars_end().alias(_LONG.name),
        )
        .with_columns(
            pl.col(_LONG.name).list.join(" "),  # an eighth of the time of joining while grouping
            _cell(_SHORT.start - 1, _SHORT.width).alias(_SHORT.name),
            _cell(behind, RECORD_LENGTH - behind).alias("line"),
        )
    )
    numbered = rows["line"].to_arrow().dictionary_encode()  # a quarter of the time of `unique` and a join
    codings = pl.DataFrame({"line": numbered.dictionary}).with_row_index("coding")
    cells = (_cell(start - behind, width).alias(name) for f in CODED_FIELDS for name, start, width in f.slices())
    coding = pl.Series("coding", numbered.indices, pl.UInt32)
    return Cells(rows.drop("record", "line").with_columns(coding), codings.select("coding", *cells))


def _cell(start: int, width: int) -> pl.Expr:
    return _LINE.str.slice(start, width)


def _without_stray_first_character(line: str, member: str, number: int, findings: list[Finding]) -> str | None:
    """Mend a line that is a record's but for its first character, which stands where a blank belongs or before it."""
    for action, mended in (("replaced by a blank", " " + line[1:]), ("dropped", line[1:])):
        if _RECORD_LINE.match(mended):
            findings.append(
                Finding.of(
                    "stray_first_character",
                    f"the line begins with {line[0]!r}, which belongs to no field",
                    member,
                    number,
                    code=mended[:5].strip(),
                    field="code",
                    raw_value=line[:11],
                    action=action,
                )
            )
            return mended
    return None


def _without_tabs(line: str, usual: int, member: str, number: int, findings: list[Finding]) -> str:
    """Replace a tab by as many blanks as give the line the length of its kind, so that later fields stand right."""
    blanks = max(1, usual - len(line) + 1)
    mended = line.replace("\t", " " * blanks, 1).replace("\t", " ")
    findings.append(
        Finding.of(
            "tab_in_line",
            "the line has a tab" + (", which moves every later field" if blanks > 1 else ""),
            member,
            number,
            code=line[:5].strip(),
            raw_value=line[:119].strip(),
            action=f"replaced by {blanks} blank{'s' if blanks > 1 else ''}",
        )
    )
    return mended


def _not_a_record(member: str, number: int, line: str) -> Finding:
    record_id = line[10:11]
    if _LIKE_A_RECORD.match(line) and record_id not in "3478":
        message, field, value = f"record id {record_id} is none of 3, 4, 7, 8", "record_id", record_id
    elif _LIKE_A_RECORD.match(line):
        message, field, value = f"{line[:5]!r} is no code and no modifier", "code", line[:5]
    else:
        message, field, value = "a line between the records is no record", "record", line[:40]
    return Finding.of("not_a_record", message, member, number, code=line[:5].strip(), field=field, raw_value=value)


def _preamble(member: str, lines: list[tuple[int, str]]) -> Finding:
    message = f"{len(lines)} lines of text are before the first record"
    return Finding.of("preamble", message, member, lines[0][0], occurrences=len(lines))


def _trailer(member: str, lines: list[tuple[int, str]]) -> Finding:
    return Finding.of(
        "trailer", f"{len(lines)} lines of text are after the last record", member, lines[0][0], occurrences=len(lines)
    )


def _length_findings(member: str, lines: pl.DataFrame, usual: dict[str, int]) -> list[Finding]:
    usual_length = _record_id().replace_strict(usual, default=None, return_dtype=pl.UInt32)
    findings = []
    for number, line in lines.filter(_LINE.str.len_chars() != usual_length).rows():
        record_id = line[10]
        expected = usual[record_id]
        beyond = line[RECORD_LENGTH:].strip() if expected < RECORD_LENGTH + 1 else ""
        cut = record_id in FIRST_LINE_KINDS and len(line) < LAST_FIELD_POSITION
        findings.append(
            Finding.of(
                "line_length",
                f"the line has {len(line)} characters, lines of its kind have {expected}",
                member,
                number,
                code=line[:5].strip(" "),
                raw_value=beyond or None,
                severity="warning" if beyond or cut else "info",
                action="text beyond the record is ignored"
                if beyond
                else "padded"
                if len(line) < expected
                else "blanks cut",
            )
        )
    return findings
