"""The fixed-width text of a release: bytes to raw cells, one row per record, with every oddity as a finding.

Cells stay text here; ``sources.records`` types them, for the text and the workbook alike.
"""

from __future__ import annotations

import re
from collections import Counter

import polars as pl

from sources.findings import Finding
from sources.layout import CONTINUATION_KINDS, FIRST_LINE_KINDS, LAST_FIELD_POSITION, RECORD_FIELDS, RECORD_LENGTH

#: A line of a record: code or three blanks and a modifier, sequence by hundreds, record id.
_RECORD_LINE = re.compile(r"(?:[A-Z0-9]{5}|   [A-Z0-9]{2})\d{3}00[3478]")
#: The same with any record id and an unreadable code: a line that means to be a record.
_LIKE_A_RECORD = re.compile(r".{5}\d{5}[^ ]")


def looks_like_anweb_text(data: bytes) -> bool:
    """Whether most lines of ``data`` are lines of records."""
    lines = [line for line in data[:400_000].decode("latin-1").splitlines() if line.strip()]
    hits = sum(1 for line in lines if _RECORD_LINE.match(line))
    return hits > 0 and hits * 2 > len(lines)


def read_anweb_text(member: str, data: bytes) -> tuple[pl.DataFrame, list[Finding]]:
    """Read a fixed-width code file.

    Returns one row per record, all cells as text: ``code`` (unpadded), ``kind``, ``sequence``, a column per cell of
    the layout, ``source_line`` (where the record starts, from 1); and the findings. What cannot be read as a record
    at all is a finding of severity ``error``; the caller refuses the release.
    Source: CMS's record layout; the quirks are those measured on the releases named in docs/quirks.md.
    """
    findings: list[Finding] = []
    lines = _lines(data)
    is_record = [_RECORD_LINE.match(line) is not None for line in lines]
    usual = _usual_lengths(lines, is_record)
    firsts: list[str] = []
    starts: list[int] = []
    texts: list[list[str]] = []
    late_starts: list[str] = []
    last_key = ""
    last_sequence = 0
    seen_record = False
    outside: list[tuple[int, str]] = []
    odd_lengths: list[tuple[int, str]] = []
    for number, (line, ok) in enumerate(zip(lines, is_record, strict=True), 1):
        if not ok:
            if not line.strip(" \t\x1a\u00a0"):
                continue
            line = _without_stray_first_character(line, member, number, findings) or line
            if not _RECORD_LINE.match(line):
                if _LIKE_A_RECORD.match(line):
                    findings.append(_not_a_record(member, number, line))
                else:
                    outside.append((number, line))
                continue
        if outside and seen_record:
            findings.extend(_not_a_record(member, n, stray) for n, stray in outside)
            outside.clear()
        elif outside:
            findings.append(_preamble(member, outside))
            outside.clear()
        seen_record = True
        if "\t" in line:
            line = _without_tabs(line, usual.get(line[10], len(line)), member, number, findings)
        record_id = line[10]
        length = len(line)
        if length != usual.get(record_id, length):
            odd_lengths.append((number, line))
        key = line[:5] + ("3" if record_id in "34" else "7")
        sequence = int(line[5:8])
        if record_id in FIRST_LINE_KINDS:
            if sequence != 1:
                late_starts.append(f"{line[:5].strip()} at line {number} starts with {line[5:8]}")
            firsts.append(line.ljust(RECORD_LENGTH))
            starts.append(number)
            texts.append([line[11:91]])
        elif key != last_key:
            findings.append(
                Finding(
                    "continuation_without_record",
                    "error",
                    f"continuation (record id {record_id}) of {line[:5].strip()} follows no record of that code",
                    "refused",
                    member,
                    number,
                    CONTINUATION_KINDS[record_id],
                    line[:5].strip(),
                    "record_id",
                    record_id,
                )
            )
            continue
        else:
            if sequence <= last_sequence:
                findings.append(
                    Finding(
                        "sequence_out_of_order",
                        "warning",
                        f"continuation {line[5:8]} of {line[:5].strip()} follows {last_sequence:03d}",
                        "joined in the order of the lines",
                        member,
                        number,
                        CONTINUATION_KINDS[record_id],
                        line[:5].strip(),
                        "sequence",
                        line[5:10],
                    )
                )
            texts[-1].append(line[11:91])
        last_key, last_sequence = key, sequence
    if outside and seen_record:
        findings.append(_trailer(member, outside))
    if not firsts:
        findings.append(Finding("no_records", "error", "holds no line of a record", "refused", member))
    if late_starts:
        findings.append(
            Finding(
                "late_sequence_start",
                "info",
                f"{len(late_starts)} records start with a sequence other than 001",
                "read as they are: a record starts at record id 3 or 7",
                member,
                field="sequence",
                occurrences=len(late_starts),
                examples=tuple(late_starts[:5]),
            )
        )
    findings.extend(_length_findings(member, odd_lengths, usual))
    return _cells(firsts, starts, texts), findings


def _cells(firsts: list[str], starts: list[int], texts: list[list[str]]) -> pl.DataFrame:
    line = pl.col("line")
    single = [f for f in RECORD_FIELDS if f.name != "long_description"]
    return pl.DataFrame(
        {"line": firsts, "source_line": starts, "long_description": [_joined(parts) for parts in texts]},
        schema={"line": pl.String, "source_line": pl.Int32, "long_description": pl.String},
    ).select(
        line.str.slice(0, 5).str.strip_chars().alias("code"),
        line.str.slice(10, 1).replace_strict(FIRST_LINE_KINDS, return_dtype=pl.String).alias("kind"),
        "long_description",
        *(line.str.slice(start, width).alias(name) for f in single for name, start, width in f.slices()),
        "source_line",
    )


def _joined(parts: list[str]) -> str:
    """Join description lines: CMS breaks them between words, so a blank belongs where a line ends."""
    return " ".join(part.rstrip() for part in parts)


def _lines(data: bytes) -> list[str]:
    """The lines, by CR LF, LF or CR alone, decoded: CMS's texts were never UTF-8, a future one may be."""
    for encoding in ("ascii", "utf-8", "cp1252"):
        try:
            return [line.decode(encoding) for line in data.removeprefix(b"\xef\xbb\xbf").splitlines()]
        except UnicodeDecodeError:
            continue
    return data.decode("latin-1").replace("\r\n", "\n").replace("\r", "\n").split("\n")  # bytes cp1252 lacks


def _usual_lengths(lines: list[str], is_record: list[bool]) -> dict[str, int]:
    """The length most lines have by record id, one for first lines and one for continuations.

    None where lengths vary, as where continuations are right-trimmed.
    """
    lengths = Counter((line[10], len(line)) for line, ok in zip(lines, is_record, strict=True) if ok)
    usual: dict[str, int] = {}
    for record_ids in (FIRST_LINE_KINDS, CONTINUATION_KINDS):
        counter: Counter[int] = Counter()
        for (record_id, length), count in lengths.items():
            if record_id in record_ids:
                counter[length] += count
        if not counter:
            continue
        length, count = counter.most_common(1)[0]
        is_first = record_ids is FIRST_LINE_KINDS
        if count * 10 >= counter.total() * 9 or (is_first and length >= LAST_FIELD_POSITION):
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


def _length_findings(member: str, lines: list[tuple[int, str]], usual: dict[str, int]) -> list[Finding]:
    findings = []
    for number, line in lines:
        expected = usual[line[10]]
        beyond = line[RECORD_LENGTH:].strip() if expected < RECORD_LENGTH + 1 else ""
        cut = line[10] in FIRST_LINE_KINDS and len(line) < LAST_FIELD_POSITION
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
                code=line[:5].strip(),
                raw_value=beyond or None,
            )
        )
    return findings
