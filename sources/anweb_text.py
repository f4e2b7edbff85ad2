"""The fixed-width text of a release: bytes to raw cells, one row per record, with every oddity as a finding.

Cells stay text here; ``sources.records`` types them, for the text and the workbook alike.
"""

from __future__ import annotations

import io
import re
from contextlib import suppress

import numpy as np
import polars as pl

from sources.findings import Finding
from sources.layout import (
    CODED_FIELDS,
    CONTINUATION_KINDS,
    FIRST_LINE_KINDS,
    LAST_FIELD_POSITION,
    RECORD_LENGTH,
    TEXT_FIELDS,
)
from sources.records import Cells

#: A line of a record: code or three blanks and a modifier, sequence by hundreds, record id.
_RECORD_LINE = re.compile(r"^(?:[A-Z0-9]{5}|   [A-Z0-9]{2})[0-9]{3}00[3478]")
#: The same with any record id and an unreadable code: a line that means to be a record.
_LIKE_A_RECORD = re.compile(r".{5}[0-9]{5}[^ ]")


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
    lines = _with_parts(pl.DataFrame({"line": _lines(data)}).with_row_index("number", 1))
    usual = _usual_lengths(lines)
    lines = _lines_of_records(lines, member, findings)
    if b"\t" in data:
        lines = _with_tabs_replaced(lines, usual, member, findings)
    findings.extend(_length_findings(member, lines, usual))
    lines = _with_orphans_refused(lines, member, findings)
    findings.extend(_sequence_findings(member, lines))
    return _cells(lines), findings


def _with_parts(lines: pl.DataFrame) -> pl.DataFrame:
    """``number`` and ``line`` with what decides on a line."""
    line = pl.col("line")
    return lines.select(
        "number",
        "line",
        is_plain=line.str.contains(_RECORD_LINE.pattern),
        length=line.str.len_chars(),
        code=line.str.slice(0, 5).str.strip_chars(" "),
        sequence=line.str.slice(5, 3).cast(pl.Int32, strict=False),
        record_id=line.str.slice(10, 1),
    ).with_columns(
        # Comparing with each takes a third of the time of `is_in` and `replace_strict`.
        is_first=pl.any_horizontal(pl.col("record_id") == first for first in FIRST_LINE_KINDS),
        kind=pl.coalesce(
            pl.when(record_id=of).then(pl.lit(kind)) for of, kind in (FIRST_LINE_KINDS | CONTINUATION_KINDS).items()
        ),
    )


def _lines_of_records(lines: pl.DataFrame, member: str, findings: list[Finding]) -> pl.DataFrame:
    """The lines of records, stray first characters mended; of every other line that is not blank a finding."""
    mended: dict[int, str] = {}
    outside: list[tuple[int, str]] = []
    odd = lines.filter(~pl.col("is_plain")).filter(pl.col("line").str.strip_chars(" \t\x1a\u00a0") != "")
    for number, line in odd.select("number", "line").iter_rows():
        without = _without_stray_first_character(line, member, number, findings)
        if without is not None:
            mended[number] = without
        elif _LIKE_A_RECORD.match(line):
            findings.append(_not_a_record(member, number, line))
        else:
            outside.append((number, line))
    kept = lines.filter(pl.col("is_plain") | pl.col("number").is_in(list(mended)))
    if kept.is_empty():
        findings.append(Finding("no_records", "error", "holds no line of a record", "refused", member))
    elif outside:
        first, last = kept["number"][0], kept["number"][-1]
        if before := [o for o in outside if o[0] < first]:
            findings.append(_preamble(member, before))
        findings.extend(_not_a_record(member, n, stray) for n, stray in outside if first < n < last)
        if after := [o for o in outside if o[0] > last]:
            findings.append(_trailer(member, after))
    return _with_lines(kept, mended)


def _with_tabs_replaced(
    lines: pl.DataFrame, usual: dict[str, int], member: str, findings: list[Finding]
) -> pl.DataFrame:
    tabbed = lines.filter(pl.col("line").str.contains("\t", literal=True)).select("number", "line")
    return _with_lines(
        lines,
        {
            number: _without_tabs(line, usual.get(line[10], len(line)), member, number, findings)
            for number, line in tabbed.iter_rows()
        },
    )


def _with_lines(lines: pl.DataFrame, mended: dict[int, str]) -> pl.DataFrame:
    """The lines with those of ``mended``, by number, in place of what was read."""
    if not mended:
        return lines
    return _with_parts(lines.with_columns(line=pl.col("number").replace_strict(mended, default=pl.col("line"))))


def _with_orphans_refused(lines: pl.DataFrame, member: str, findings: list[Finding]) -> pl.DataFrame:
    """Only the lines that are, or continue, a record; of every other one a finding."""
    began = {of: pl.when("is_first").then(of).forward_fill() for of in ("code", "kind")}
    belongs = lines.select(pl.all_horizontal(pl.col(of).eq_missing(first) for of, first in began.items())).to_series()
    if belongs.all():
        return lines
    orphans = lines.filter(~belongs)
    for number, code, kind, record_id in orphans.select("number", "code", "kind", "record_id").iter_rows():
        findings.append(
            Finding(
                "continuation_without_record",
                "error",
                f"continuation (record id {record_id}) of {code} follows no record of that code",
                "refused",
                member,
                number,
                kind,
                code,
                "record_id",
                record_id,
            )
        )
    return lines.filter(belongs)


def _sequence_findings(member: str, lines: pl.DataFrame) -> list[Finding]:
    """Continuations that stand out of order, and records that do not start with 001."""
    sequence, is_first = pl.col("sequence"), pl.col("is_first")
    jumps = lines.with_columns(before=sequence.shift()).filter(~is_first & (sequence <= pl.col("before")))
    findings = [
        Finding(
            "sequence_out_of_order",
            "warning",
            f"continuation {sequence:03d} of {code} follows {previous:03d}",
            "joined in the order of the lines",
            member,
            number,
            kind,
            code,
            "sequence",
            line[5:10],
        )
        for number, line, code, kind, sequence, previous in jumps.select(
            "number", "line", "code", "kind", "sequence", "before"
        ).iter_rows()
    ]
    late = lines.filter(is_first & (sequence != 1)).select("code", "number", "sequence")
    if late.height:
        findings.append(
            Finding(
                "late_sequence_start",
                "info",
                f"{late.height} records start with a sequence other than 001",
                "read as they are: a record starts at record id 3 or 7",
                member,
                field="sequence",
                occurrences=late.height,
                examples=tuple(
                    f"{code} at line {number} starts with {sequence:03d}"
                    for code, number, sequence in late.head(5).iter_rows()
                ),
            )
        )
    return findings


def _cells(lines: pl.DataFrame) -> Cells:
    """The cells of each record's first line but those blank in all, and its description lines joined.

    CMS breaks descriptions between words, so a blank belongs where a line ends.
    """
    line = pl.col("line")
    # One text cut again at the marks before first lines: half the time of grouping lines by record.
    mark = pl.when("is_first").then(pl.lit("\n")).otherwise(pl.lit(" "))
    joined = lines.select(mark + line.str.slice(11, 80).str.strip_chars_end()).to_series().str.join("")
    descriptions = joined.str.strip_prefix("\n").str.split("\n").explode().alias("long_description")
    firsts = lines.filter("is_first")
    if firsts.is_empty():
        descriptions = descriptions.clear()
    short = next(f for f in TEXT_FIELDS if f.name == "short_description")
    behind = short.start - 1 + short.width
    rows = firsts.select(
        "code",
        "kind",
        pl.col("number").cast(pl.Int32).alias("source_line"),
        descriptions,
        # Joined to nothing, it is a text of its own and does not keep the whole file in memory.
        (line.str.slice(short.start - 1, short.width) + pl.lit("")).alias(short.name),
        line.str.slice(behind, RECORD_LENGTH - behind).alias("coded"),
    )
    codings = rows.select(pl.col("coded").unique(maintain_order=True)).with_row_index("coding")
    used = _used_positions(codings["coded"])
    return Cells(
        rows.join(codings, on="coded", how="left", maintain_order="left").drop("coded"),
        codings.select(
            "coding",
            *(
                pl.col("coded").str.slice(start - behind, width).alias(name)
                for f in CODED_FIELDS
                for name, start, width in f.slices()
                if used[start - behind : start - behind + width].any()
            ),
        ),
    )


def _used_positions(texts: pl.Series) -> np.ndarray:
    """Of each position, whether any text has more than a blank there: half of a release's cells have nothing at all."""
    together = texts.str.join("").cast(pl.Binary).item()
    lengths = texts.str.len_chars().unique().to_list()
    if len(lengths) != 1 or len(together) != texts.len() * lengths[0]:  # beyond ASCII, bytes are no positions
        return np.ones(RECORD_LENGTH, dtype=bool)
    return (np.frombuffer(together, np.uint8).reshape(texts.len(), -1) != ord(" ")).any(axis=0)


def _lines(data: bytes) -> pl.Series:
    """The lines, by CR LF, LF or CR alone, decoded: CMS's texts were never UTF-8, a future one may be."""
    data = data.removeprefix(b"\xef\xbb\xbf")
    if not data.isascii():
        data = _as_utf_8(data)
    # Marked unstable by polars; three times as fast as splitting one long text.
    lines = pl.read_lines(io.BytesIO(data)).to_series().rechunk()
    if lines.str.contains("\r", literal=True).any():
        lines = lines.str.split("\r").explode()
    return lines


def _as_utf_8(data: bytes) -> bytes:
    for encoding in ("utf-8", "cp1252"):
        with suppress(UnicodeDecodeError):
            return data.decode(encoding).encode()
    return data.decode("latin-1").encode()  # takes the bytes that cp1252 lacks


def _usual_lengths(lines: pl.DataFrame) -> dict[str, int]:
    """The length most lines have by record id, one for first lines and one for continuations.

    None where lengths vary, as where continuations are right-trimmed.
    """
    usual: dict[str, int] = {}
    plain = lines.select("length", "is_plain", "is_first").filter("is_plain")
    for is_first, record_ids in ((True, FIRST_LINE_KINDS), (False, CONTINUATION_KINDS)):
        lengths = plain.filter(is_first=is_first)["length"]
        if lengths.is_empty():
            continue
        length, count = lengths.value_counts().sort("count", "length").row(-1)
        if count * 10 >= lengths.len() * 9 or (is_first and length >= LAST_FIELD_POSITION):
            usual |= dict.fromkeys(record_ids, length)
    return usual


def _without_stray_first_character(line: str, member: str, number: int, findings: list[Finding]) -> str | None:
    """Mend a line that is a record's but for its first character, which stands where a blank belongs or before it."""
    for action, mended in (("replaced by a blank", " " + line[1:]), ("dropped", line[1:])):
        if _RECORD_LINE.match(mended):
            findings.append(
                Finding(
                    "stray_first_character",
                    "info",
                    f"the line begins with {line[0]!r}, which belongs to no field",
                    action,
                    member,
                    number,
                    code=mended[:5].strip(),
                    field="code",
                    raw_value=line[:11],
                )
            )
            return mended
    return None


def _without_tabs(line: str, usual: int, member: str, number: int, findings: list[Finding]) -> str:
    """Replace a tab by as many blanks as give the line the length of its kind, so that later fields stand right."""
    blanks = max(1, usual - len(line) + 1)
    mended = line.replace("\t", " " * blanks, 1).replace("\t", " ")
    findings.append(
        Finding(
            "tab_in_line",
            "info",
            "a tab stands in the line" + (", which moves every later field" if blanks > 1 else ""),
            f"replaced by {blanks} blank{'s' if blanks > 1 else ''}",
            member,
            number,
            code=line[:5].strip(),
            raw_value=line[:119].strip(),
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
    return Finding(
        "not_a_record", "error", message, "refused", member, number, code=line[:5].strip(), field=field, raw_value=value
    )


def _preamble(member: str, lines: list[tuple[int, str]]) -> Finding:
    return Finding(
        "preamble",
        "info",
        f"{len(lines)} lines of text stand before the first record",
        "left out",
        member,
        lines[0][0],
        occurrences=len(lines),
    )


def _trailer(member: str, lines: list[tuple[int, str]]) -> Finding:
    return Finding(
        "trailer",
        "info",
        f"{len(lines)} lines of text stand after the last record",
        "left out",
        member,
        lines[0][0],
        occurrences=len(lines),
    )


def _length_findings(member: str, lines: pl.DataFrame, usual: dict[str, int]) -> list[Finding]:
    if not usual:
        return []
    record_id, length = pl.col("record_id"), pl.col("length")
    odd = lines.filter(pl.any_horizontal((record_id == of) & (length != expected) for of, expected in usual.items()))
    findings = []
    for number, line, code, record_id in odd.select("number", "line", "code", "record_id").iter_rows():
        expected = usual[record_id]
        beyond = line[RECORD_LENGTH:].strip() if expected < RECORD_LENGTH + 1 else ""
        cut = record_id in FIRST_LINE_KINDS and len(line) < LAST_FIELD_POSITION
        findings.append(
            Finding(
                "line_length",
                "warning" if beyond or cut else "info",
                f"the line has {len(line)} characters, lines of its kind have {expected}",
                "what stands beyond the record is left out"
                if beyond
                else "padded"
                if len(line) < expected
                else "blanks cut",
                member,
                number,
                code=code,
                raw_value=beyond or None,
            )
        )
    return findings
