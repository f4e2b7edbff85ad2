"""The fixed-width text of a release: bytes to raw cells, one row per record, with every oddity as a finding.

Cells stay text here; ``sources.code_file.records`` types them, for the text and the workbook alike.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import islice

import numpy as np
import polars as pl
import pyarrow as pa

from sources.code_file.record_layout import (
    CODED_FIELDS,
    CONTINUATION_KINDS,
    FIRST_LINE_KINDS,
    LAST_FIELD_POSITION,
    RECORD_LENGTH,
    TEXT_FIELDS,
)
from sources.code_file.records import Cells
from sources.findings import Finding

#: A line of a record: code or three blanks and a modifier, sequence by hundreds, record id.
_RECORD_LINE = re.compile(r"^(?:[A-Z0-9]{5}|   [A-Z0-9]{2})[0-9]{3}00[3478]")
#: The same with any record id and an unreadable code: a line that means to be a record.
_LIKE_A_RECORD = re.compile(r".{5}[0-9]{5}[^ ]")

_KINDS = FIRST_LINE_KINDS | CONTINUATION_KINDS
_LONG, _SHORT = TEXT_FIELDS


@dataclass(frozen=True)
class _Lines:
    """Lines as places in their text, so that what stands at a position is cut out of all of them at once."""

    #: The whole text: bytes where it is ASCII, else code points; at least as many as a record has.
    characters: np.ndarray
    starts: np.ndarray
    lengths: np.ndarray
    #: Counted from 1 in the file.
    numbers: np.ndarray

    @classmethod
    def of(cls, data: bytes) -> _Lines:
        """The lines by CR LF, LF or CR alone, decoded: CMS's texts were never UTF-8, a future one may be."""
        data = data.removeprefix(b"\xef\xbb\xbf")
        if data.isascii():
            length, characters = len(data), np.frombuffer(data.ljust(RECORD_LENGTH), np.uint8)
        else:
            text = _decoded(data)
            length, characters = len(text), np.frombuffer(text.ljust(RECORD_LENGTH).encode("utf-32-le"), np.uint32)
        marks = np.flatnonzero(characters[:length] <= ord("\r"))  # few: what they are is asked of them only
        marks = marks[_is_any_of("\r\n", characters[marks])]
        starts, ends = np.append(0, marks + 1), np.append(marks, length)
        is_line = starts < length
        before, behind = characters[marks[:-1]], characters[marks[1:]]
        is_line[1:-1] &= (np.diff(marks) > 1) | (before != ord("\r")) | (behind != ord("\n"))  # CR LF is one end
        starts, ends = starts[is_line], ends[is_line]
        return cls(characters, starts, ends - starts, np.arange(1, len(starts) + 1))

    def __len__(self) -> int:
        return len(self.starts)

    def where(self, chosen: np.ndarray) -> _Lines:
        if chosen.all():
            return self
        return replace(self, starts=self.starts[chosen], lengths=self.lengths[chosen], numbers=self.numbers[chosen])

    def with_mended(self, mended: dict[int, str]) -> _Lines:
        """The lines with those of ``mended``, by number, in place of what was read: they are behind the text."""
        if not mended:
            return self
        at = np.searchsorted(self.numbers, list(mended))
        starts, lengths = self.starts.copy(), self.lengths.copy()
        lengths[at] = [len(line) for line in mended.values()]
        starts[at] = len(self.characters) + np.cumsum(lengths[at]) - lengths[at]
        behind = np.array([*map(ord, "".join(mended.values()))], self.characters.dtype)
        return replace(self, characters=np.append(self.characters, behind), starts=starts, lengths=lengths)

    def cells(self, start: int, width: int) -> np.ndarray:
        """What stands at ``width`` positions from ``start``, counted from 0: a row per line, blank behind its end."""
        windows = np.lib.stride_tricks.sliding_window_view(self.characters, width)
        cells = windows[np.minimum(self.starts + start, len(windows) - 1)]
        short = np.flatnonzero(self.lengths < start + width)
        at = np.arange(start, start + width)
        there = self.characters.take(self.starts[short, None] + at, mode="clip")
        cells[short] = np.where(at < self.lengths[short, None], there, ord(" "))
        return cells

    def texts(self) -> Iterator[tuple[int, str]]:
        """Number and text of each line."""
        for number, start, length in zip(self.numbers, self.starts, self.lengths, strict=True):
            yield int(number), _text(self.characters[start : start + length])

    @cached_property
    def heads(self) -> np.ndarray:
        """What is before the fields, a row per position: five of the code, five of the sequence, the record id."""
        return np.ascontiguousarray(self.cells(0, _LONG.start - 1).T)

    @cached_property
    def is_plain(self) -> np.ndarray:
        """Whether a line is a ``_RECORD_LINE``: a tenth of the time of asking the expression."""
        is_digit = (self.heads >= ord("0")) & (self.heads <= ord("9"))
        is_of_code = is_digit | ((self.heads >= ord("A")) & (self.heads <= ord("Z")))
        return (
            (is_of_code[:3].all(axis=0) | (self.heads[:3] == ord(" ")).all(axis=0))
            & is_of_code[3:5].all(axis=0)
            & is_digit[5:8].all(axis=0)
            & (self.heads[8:10] == ord("0")).all(axis=0)
            & _is_any_of(_KINDS, self.heads[10])
        )

    @cached_property
    def is_first(self) -> np.ndarray:
        return _is_any_of(FIRST_LINE_KINDS, self.heads[10])

    @cached_property
    def is_modifier(self) -> np.ndarray:
        return _is_any_of([of for of, kind in _KINDS.items() if kind == "modifier"], self.heads[10])

    @cached_property
    def sequences(self) -> np.ndarray:
        return np.array([100, 10, 1]) @ (self.heads[5:8] - ord("0"))


def _is_any_of(wanted: Iterable[str], characters: np.ndarray) -> np.ndarray:
    return np.logical_or.reduce([characters == ord(of) for of in wanted])


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
    lines = _Lines.of(data)
    usual = _usual_lengths(lines)
    lines = _lines_of_records(lines, member, findings)
    if b"\t" in data:
        lines = _with_tabs_replaced(lines, usual, member, findings)
    findings.extend(_length_findings(member, lines, usual))
    lines = _with_orphans_refused(lines, member, findings)
    findings.extend(_sequence_findings(member, lines))
    return _cells(lines), findings


def _lines_of_records(lines: _Lines, member: str, findings: list[Finding]) -> _Lines:
    """The lines of records, stray first characters mended; of every other line that is not blank a finding."""
    mended: dict[int, str] = {}
    outside: list[tuple[int, str]] = []
    for number, line in lines.where(~lines.is_plain).texts():
        if not line.strip(" \t\x1a\u00a0"):
            continue
        without = _without_stray_first_character(line, member, number, findings)
        if without is not None:
            mended[number] = without
        elif _LIKE_A_RECORD.match(line):
            findings.append(_not_a_record(member, number, line))
        else:
            outside.append((number, line))
    kept = lines.where(lines.is_plain | np.isin(lines.numbers, list(mended)))
    if not len(kept):
        findings.append(Finding.of("no_records", "holds no line of a record", member))
    elif outside:
        first, last = kept.numbers[0], kept.numbers[-1]
        if before := [o for o in outside if o[0] < first]:
            findings.append(_preamble(member, before))
        findings.extend(_not_a_record(member, n, stray) for n, stray in outside if first < n < last)
        if after := [o for o in outside if o[0] > last]:
            findings.append(_trailer(member, after))
    return kept.with_mended(mended)


def _with_tabs_replaced(lines: _Lines, usual: dict[str, int], member: str, findings: list[Finding]) -> _Lines:
    tabs = np.flatnonzero(lines.characters == ord("\t"))
    has_tab = np.searchsorted(tabs, lines.starts) < np.searchsorted(tabs, lines.starts + lines.lengths)
    return lines.with_mended(
        {
            number: _without_tabs(line, usual.get(line[10], len(line)), member, number, findings)
            for number, line in lines.where(has_tab).texts()
        }
    )


def _with_orphans_refused(lines: _Lines, member: str, findings: list[Finding]) -> _Lines:
    """Only the lines that are, or continue, a record; of every other one a finding."""
    began = np.maximum.accumulate(np.where(lines.is_first, np.arange(len(lines)), -1))
    belongs = (
        (began >= 0)
        & (lines.is_modifier == lines.is_modifier[began])
        & (lines.heads[:5] == lines.heads[:5, began]).all(axis=0)
    )
    for number, line in lines.where(~belongs).texts():
        code, record_id = _code(line), line[10]
        message = f"continuation (record id {record_id}) of {code} follows no record of that code"
        place = (number, _KINDS[record_id], code, "record_id", record_id)
        findings.append(Finding.of("continuation_without_record", message, member, *place))
    return lines.where(belongs)


def _sequence_findings(member: str, lines: _Lines) -> list[Finding]:
    """Continuations that stand out of order, and records that do not start with 001."""
    before = np.append(0, lines.sequences[:-1])
    jumps = ~lines.is_first & (lines.sequences <= before)
    findings = []
    for (number, line), previous in zip(lines.where(jumps).texts(), before[jumps], strict=True):
        message = f"continuation {line[5:8]} of {_code(line)} follows {previous:03d}"
        place = (number, _KINDS[line[10]], _code(line), "sequence", line[5:10])
        findings.append(Finding.of("sequence_out_of_order", message, member, *place))
    late = lines.where(lines.is_first & (lines.sequences != 1))
    if len(late):
        findings.append(
            Finding.of(
                "late_sequence_start",
                f"{len(late)} records start with a sequence other than 001",
                member,
                field="sequence",
                occurrences=len(late),
                examples=tuple(
                    f"{_code(line)} at line {number} starts with {line[5:8]}"
                    for number, line in islice(late.texts(), 5)
                ),
            )
        )
    return findings


def _cells(lines: _Lines) -> Cells:
    """The cells of each record's first line but those blank in all, and its description lines joined."""
    firsts = lines.where(lines.is_first)
    behind = _SHORT.start - 1 + _SHORT.width
    coded = firsts.cells(behind, RECORD_LENGTH - behind)
    # Equal rows numbered in the order they come: a quarter of the time of `unique` and a join.
    size = coded.itemsize * coded.shape[1]
    numbered = pa.FixedSizeBinaryArray.from_buffers(
        pa.binary(size), len(coded), [None, pa.py_buffer(coded)]
    ).dictionary_encode()
    distinct = np.frombuffer(numbered.dictionary.buffers()[1], coded.dtype).reshape(-1, coded.shape[1])
    is_used = (distinct != ord(" ")).any(axis=0)
    rows = pl.DataFrame(
        {
            "code": _column(firsts.heads[:5].T),
            "kind": firsts.is_modifier,
            "source_line": firsts.numbers.astype(np.int32),
            _LONG.name: _descriptions(lines),
            _SHORT.name: _column(firsts.cells(_SHORT.start - 1, _SHORT.width)),
            "coding": numbered.indices.to_numpy().astype(np.uint32),
        }
    ).with_columns(
        pl.col("code").str.strip_chars(" "),
        pl.when("kind").then(pl.lit("modifier")).otherwise(pl.lit("procedure")).alias("kind"),
    )
    codings = {"coding": pl.Series(np.arange(len(distinct), dtype=np.uint32))} | {
        name: _column(distinct[:, start - behind : start - behind + width])
        for f in CODED_FIELDS
        for name, start, width in f.slices()
        if is_used[start - behind : start - behind + width].any()
    }
    return Cells(rows, pl.DataFrame(codings), is_ascii=lines.characters.itemsize == 1)


def _descriptions(lines: _Lines) -> pl.Series:
    """The description of each record, its lines joined.

    CMS breaks descriptions between words, so a blank belongs where a line ends.
    """
    cells = lines.cells(_LONG.start - 2, 1 + _LONG.width)
    lengths = _column(cells).str.strip_chars_end().str.len_chars().cast(pl.UInt8).to_numpy()  # the id is never blank
    stays = np.arange(1 + _LONG.width, dtype=np.uint8) < lengths[:, None]
    cells[:, 0] = ord(" ")  # in place of the record id, between a line and the next
    stays[:, 0] = ~lines.is_first
    begins = np.append(0, np.cumsum(lengths - lines.is_first, dtype=np.int64))[np.append(lines.is_first, True)]
    return _strings(cells[stays], begins)


def _column(cells: np.ndarray) -> pl.Series:
    """The rows of ``cells`` as texts."""
    return _strings(np.ascontiguousarray(cells).ravel(), np.arange(0, cells.size + 1, cells.shape[1]))


def _strings(characters: np.ndarray, begins: np.ndarray) -> pl.Series:
    """The texts that are in ``characters`` one behind the other; ``begins`` has the end of the last, too."""
    if characters.itemsize > 1:
        wide = np.flatnonzero(characters > 0x7F)  # few; in UTF-8 they take two to four bytes
        more = np.append(0, np.cumsum(1 + (characters[wide] > 0x7FF) + (characters[wide] > 0xFFFF)))
        begins = begins + more[np.searchsorted(wide, begins)]
        characters = np.frombuffer(_text(characters).encode(), np.uint8)
    return pl.Series(pa.LargeStringArray.from_buffers(len(begins) - 1, pa.py_buffer(begins), pa.py_buffer(characters)))


def _text(characters: np.ndarray) -> str:
    return characters.tobytes().decode("ascii" if characters.itemsize == 1 else "utf-32-le")


def _decoded(data: bytes) -> str:
    for encoding in ("utf-8", "cp1252"):
        with suppress(UnicodeDecodeError):
            return data.decode(encoding)
    return data.decode("latin-1")  # takes the bytes that cp1252 lacks


def _usual_lengths(lines: _Lines) -> dict[str, int]:
    """The length most lines have by record id, one for first lines and one for continuations.

    None where lengths vary, as where continuations are right-trimmed.
    """
    usual: dict[str, int] = {}
    for is_first, record_ids in ((True, FIRST_LINE_KINDS), (False, CONTINUATION_KINDS)):
        lengths, counts = np.unique(lines.lengths[lines.is_plain & (lines.is_first == is_first)], return_counts=True)
        if not len(lengths):
            continue
        length = int(lengths[counts == counts.max()][-1])
        if counts.max() * 10 >= counts.sum() * 9 or (is_first and length >= LAST_FIELD_POSITION):
            usual |= dict.fromkeys(record_ids, length)
    return usual


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


def _length_findings(member: str, lines: _Lines, usual: dict[str, int]) -> list[Finding]:
    findings = []
    is_odd = np.full(len(lines), False)
    for record_id, expected in usual.items():
        is_odd |= (lines.heads[10] == ord(record_id)) & (lines.lengths != expected)
    for number, line in lines.where(is_odd).texts():
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
                code=_code(line),
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


def _code(line: str) -> str:
    return line[:5].strip(" ")
