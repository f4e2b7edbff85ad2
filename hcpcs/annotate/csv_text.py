"""Delimited text: its dialect is found from a sample and checked on every record, and every line is counted.

A file is cut into blocks of whole records, which several threads parse. A block that does not give as many records as
it has lines is an error that names the line. Which files are read belongs in ``hcpcs.annotate.files``.
"""

from __future__ import annotations

import codecs
import csv
import re
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, fields, replace
from functools import cached_property
from itertools import islice
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.fs

from hcpcs.errors import HcpcsError, present

if TYPE_CHECKING:
    from hcpcs.annotate.gzip_text import GzipText

#: A block stays in the processor's cache while it is parsed, in two thirds of the time of one four times as large.
_BLOCK = 4 << 20
#: A record that is longer is taken for a quotation mark that was never closed.
_LONGEST_RECORD = 256 << 20
_SAMPLE = 1 << 20
_DELIMITERS = ",\t|;\x01"
_LF, _CR = 10, 13
_LINE = re.compile(rb"[^\r\n]*(?:\r\n|\r|\n)|[^\r\n]+")
#: Lines that a header may have; where a quotation mark opens more, it is a character like others.
_HEADER_LINES = 40
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"BZh": "bz2", b"\x28\xb5\x2f\xfd": "zstd"}
#: By what a file begins with; UTF-32's first mark begins like UTF-16's.
_MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32-le",
    codecs.BOM_UTF32_BE: "utf-32-be",
    codecs.BOM_UTF16_LE: "utf-16-le",
    codecs.BOM_UTF16_BE: "utf-16-be",
}
#: What a file is that begins so, and what to do with it.
_OTHER_KINDS = {
    rb"PK\x03\x04": "a zip or a workbook; unpack it, or save its sheet as CSV",
    rb"PAR1": "a Parquet file; name it with the ending .parquet",
    rb"\xd0\xcf\x11\xe0": "an old workbook; save its sheet as CSV",
    rb"%PDF": "a PDF",
    rb"HEADER RECORD\*{7}": "a SAS transport file; export it from SAS as CSV, or convert it to Parquet",
    rb"ARROW1|ORC[^\w\s]|Obj\x01": "a table of Arrow, ORC or Avro; convert it to Parquet first",
    rb"ISA.[0-9]{2}.|ST\*[0-9]{3}\*|(MSH|FHS|BHS).\^~": "an X12 or HL7 message; make a table of its lines first",
    rb"\s*(?:\{\s*[\"}]|\[\s*[\[{\"\]])": (
        "JSON; convert it first, as in duckdb -c \"copy (from 'FILE.json') to 'FILE.parquet'\""
    ),
    rb"(?i)\s*<(\?xml|html|!doc)": "XML or HTML",
}
#: Characters that no name of a column has, but what is no text.
_CONTROL = re.compile("[\x00-\x08\x0e-\x1f\x7f]")


class ClaimsUnreadable(HcpcsError):
    """The claims cannot be read as they are."""


@dataclass(frozen=True, slots=True)
class TextOptions:
    """What the user states about delimited text; ``None``: find it. ``quote`` is ``"none"`` or a character."""

    delimiter: str | None = None
    quote: str | None = None
    escape: str | None = None
    encoding: str | None = None
    skip_lines: int = 0

    def __post_init__(self) -> None:
        """Raises ``ClaimsUnreadable`` for what is no single character, or no encoding."""
        for name, value in (("delimiter", self.delimiter), ("quote", self.quote), ("escape", self.escape)):
            if (
                value is not None
                and (name, value) != ("quote", "none")
                and not (len(value) == 1 and value.isascii() and value not in "\r\n")
            ):
                raise ClaimsUnreadable(f"{name} {value!r}: not one ASCII character")
        if self.encoding is not None:
            try:
                "".encode(self.encoding)
            except (LookupError, UnicodeError):
                raise ClaimsUnreadable(f"encoding {self.encoding!r}: not known; as in utf-8, cp1252, utf-16") from None

    def stated(self) -> list[str]:
        """The options that the user stated, in words."""
        return [f.name.replace("_", " ") for f in fields(self) if getattr(self, f.name) != f.default]


@dataclass(frozen=True, slots=True)
class Dialect:
    """How a file is written. ``quote``: a character; ``""``: nothing is quoted; ``None``: not decided by the sample."""

    delimiter: str
    quote: str | None
    encoding: str
    columns: tuple[str, ...]
    #: Where the records begin: bytes of the file as UTF-8 without a mark, and the number of that line.
    start: int
    line: int
    escape: str | None = None
    #: The user stated the quotation mark: texts of several lines are accepted whatever is in them.
    is_stated: bool = False


@dataclass(frozen=True, slots=True)
class Block:
    """Whole records of a file, as UTF-8: how many there are, and what they leave out as blank lines."""

    path: str
    dialect: Dialect
    data: bytes
    line: int
    records: int
    blank: int

    def table(self, columns: Sequence[str] | None = None) -> pa.Table:
        """The records with every column as text, an empty field null, and a column that the file lacks.

        Raises ``ClaimsUnreadable`` where a line does not fit, named by its number in the file.
        """
        dialect = self.dialect
        try:
            table = pyarrow.csv.read_csv(
                pa.BufferReader(self.data),
                pyarrow.csv.ReadOptions(
                    # One block: a CRLF in quotes loses its LF where two meet (apache/arrow#51368).
                    column_names=list(dialect.columns),
                    block_size=len(self.data) + 1,
                    use_threads=False,
                ),
                pyarrow.csv.ParseOptions(
                    delimiter=dialect.delimiter,
                    quote_char=dialect.quote or False,
                    escape_char=dialect.escape or False,
                    newlines_in_values=bool(dialect.quote),
                    ignore_empty_lines=len(dialect.columns) > 1,
                ),
                pyarrow.csv.ConvertOptions(
                    column_types=dict.fromkeys(columns or dialect.columns, pa.string()),
                    include_columns=list(columns) if columns is not None else None,
                    include_missing_columns=True,
                    # Asked once of the whole instead of each field.
                    check_utf8=not self.data.isascii(),
                    null_values=[""],
                    strings_can_be_null=True,
                    quoted_strings_can_be_null=False,
                ),
            )
        except pa.ArrowInvalid as error:
            raise self._trouble(str(error).splitlines()[0]) from None
        if table.num_rows != self.records:
            raise self._trouble(f"the lines from here on give {table.num_rows:,} records instead of {self.records:,}")
        return table

    def _trouble(self, otherwise: str) -> ClaimsUnreadable:
        scan = _Scan(self.data, self.dialect)
        try:
            self.data.decode("utf-8")
        except UnicodeDecodeError as error:
            where, found = self.line + scan.line_of(error.start), self.data[error.start : error.end].hex(" ")
            return ClaimsUnreadable(
                f"{self.path}: line {where:,}: the bytes {found} are not UTF-8; "
                "name the encoding, as in --encoding cp1252"
            )
        place, what = scan.trouble(at_end=True) or (0, otherwise)
        return _refusal(self.path, self.line + scan.line_of(place), what, self.dialect)


class _Scan:
    """Bytes as records of a dialect, without their contents: where lines, fields and quoted texts end.

    ``violation`` is the place of the first quotation mark that ends a text but not its field, else ``None``.
    """

    def __init__(self, data: bytes, dialect: Dialect) -> None:
        self._data = data
        self._bytes = np.frombuffer(data, np.uint8)
        self._fields = len(dialect.columns)
        self._delimiter = ord(dialect.delimiter)
        self._quote = ord(dialect.quote) if dialect.quote else None
        self._accepts_lines = dialect.is_stated
        self._escape = ord(dialect.escape) if dialect.escape else None
        self.violation: int | None = None
        self._ends = self._line_ends()
        self._marks = np.empty(0, np.intp)
        before = np.zeros(len(self._ends), np.intp)
        if self._quote is not None:
            marks = self._unescaped(np.flatnonzero(self._bytes == self._quote))
            before = np.searchsorted(marks, self._ends)
            self._marks = self._structural(marks, before)
            if len(self._marks) < len(marks):
                before = np.searchsorted(self._marks, self._ends)
        inside = before & 1 == 1
        self._is_within_lines = not inside.any()
        self._record_ends = self._ends[~inside]
        self.is_open = len(self._marks) % 2 == 1
        starts = np.append(0, self._record_ends[:-1] + 1)[: len(self._record_ends)]
        self._starts = starts
        lengths = self._record_ends - starts
        blank = (lengths == 0) | ((lengths == 1) & (self._byte(starts) == _CR))
        self._is_blank = blank if self._fields > 1 else np.zeros(len(blank), bool)
        self.blank = int(np.count_nonzero(self._is_blank))
        self.records = len(self._record_ends) - self.blank

    @cached_property
    def _delimiters(self) -> np.ndarray:
        return np.flatnonzero(self._bytes == self._delimiter)

    @property
    def marks(self) -> int:
        """How many quotation marks open or close a text."""
        return len(self._marks)

    @property
    def end(self) -> int:
        """Where the last whole record ends, in bytes; 0 where there is none."""
        return min(int(self._record_ends[-1]) + 1, len(self._data)) if len(self._record_ends) else 0

    def line_of(self, place: int) -> int:
        """How many lines end before a place."""
        return int(np.searchsorted(self._ends, place))

    @property
    def quoted_fields(self) -> int:
        """Fields that are quoted and closed on one line: evidence that the file quotes."""
        if self._quote is None:
            return 0
        marks = np.flatnonzero(self._bytes == self._quote)
        pairs = self._opens(marks[:-1]) & self._closes(marks[1:])
        return int(np.count_nonzero(pairs & (self._line(marks[:-1]) == self._line(marks[1:]))))

    def trouble(self, *, at_end: bool, counts_fields: bool = True) -> tuple[int, str] | None:
        """The place of the first record that does not fit, and why; ``at_end``: nothing comes behind the bytes.

        Counting fields takes most of the time; whoever parses the records afterwards counts them again.
        """
        found: list[tuple[int, str]] = []
        if self.violation is not None:
            found.append((self.violation, "a quotation mark ends a text in the middle of a field"))
        if not self._accepts_lines and (swallowed := self._swallowed()) is not None:
            found.append((swallowed, "a quotation mark opens a text that contains whole lines of the claims"))
        if at_end and self.is_open and self.violation is None:
            found.append((int(self._marks[-1]), "a quotation mark opens a text that is never closed"))
        if not counts_fields and not found:
            return None
        counts = self._counts()
        odd = np.flatnonzero((counts != self._fields) & ~self._is_blank)
        if len(odd):
            what = f"{counts[odd[0]]} fields, and the header has {self._fields}"
            found.append((int(self._starts[odd[0]]), what))
        return min(found) if found else None

    def agreeing(self) -> float:
        """The share of records that have as many fields as the header."""
        fits = (self._counts() == self._fields) & ~self._is_blank
        return float(np.count_nonzero(fits)) / max(self.records, 1)

    def _counts(self) -> np.ndarray:
        outside = self._delimiters
        if len(self._marks):
            outside = outside[np.searchsorted(self._marks, outside) & 1 == 0]
        through = np.searchsorted(outside, self._record_ends)
        counts: np.ndarray = np.diff(through, prepend=0) + 1
        return counts

    def _line_ends(self) -> np.ndarray:
        """Places of LF, and of CR that no LF follows; of the end where the last line has none."""
        is_end = self._bytes == _LF
        if b"\r" in self._data:
            lone = self._bytes == _CR
            lone[:-1] &= self._bytes[1:] != _LF
            is_end |= lone
        ends = np.flatnonzero(is_end)
        if len(self._data) and not is_end[-1]:
            ends = np.append(ends, len(self._data))
        return ends

    def _line(self, places: np.ndarray) -> np.ndarray:
        return np.searchsorted(self._ends, places)

    def _byte(self, places: np.ndarray) -> np.ndarray:
        """Bytes at places; at those outside the end of a line."""
        inside = (places >= 0) & (places < len(self._bytes))
        return np.where(inside, self._bytes[np.where(inside, places, 0)], _LF) if len(self._bytes) else places * 0

    def _bounds(self, places: np.ndarray) -> np.ndarray:
        found = self._byte(places)
        bounds: np.ndarray = (found == self._delimiter) | (found == _LF) | (found == _CR)
        return bounds

    def _opens(self, marks: np.ndarray) -> np.ndarray:
        return self._bounds(marks - 1)

    def _closes(self, marks: np.ndarray) -> np.ndarray:
        return self._bounds(marks + 1)

    def _unescaped(self, marks: np.ndarray) -> np.ndarray:
        if self._escape is None or not len(marks):
            return marks
        escaped = np.zeros(len(marks), bool)
        before = marks - 1
        while (more := (self._byte(before) == self._escape) & (before >= 0)).any():
            escaped ^= more
            before = np.where(more, before - 1, -1)
        return marks[~escaped]

    def _structural(self, marks: np.ndarray, before: np.ndarray) -> np.ndarray:
        """The marks that open or close a text; of those in a quoted text both of each pair.

        ``before``: how many marks are before each line's end. Lines whose marks all open or close in turn are seen at
        once; the others one mark after another.
        """
        if not len(marks):
            return marks
        count = np.diff(before, prepend=0)
        line, first = np.repeat(np.arange(len(count)), count), np.repeat(before - count, count)
        opening = (np.arange(len(marks)) - first) & 1 == 0
        near = np.diff(marks) == 1
        follows, precedes = np.append(False, near), np.append(near, False)
        fits = np.where(opening, self._opens(marks) | (follows & (line == np.append(-1, line[:-1]))), False)
        fits |= ~opening & (self._closes(marks) | precedes)
        odd = ~fits
        last = np.append(line[1:] != line[:-1], True)
        odd |= last & opening  # a text that its line does not close
        if not odd.any():
            return marks
        keep = np.ones(len(marks), bool)
        starts = np.unique(first[odd])
        at = 0
        while len(starts):
            at, self.violation = self._walk(marks, line, int(starts[0]), keep)
            if self.violation is not None:
                keep[at:] = False
                break
            starts = starts[np.searchsorted(starts, at) :]
        return marks[keep]

    def _walk(self, marks: np.ndarray, line: np.ndarray, at: int, keep: np.ndarray) -> tuple[int, int | None]:
        """Go through the marks of a line, and of those that a text of it goes on into; which are structural."""
        inside, current, count = False, line[at], len(marks)
        while at < count and (inside or line[at] == current):
            place = marks[at : at + 1]
            if not inside:
                inside = bool(self._opens(place)[0])
                keep[at] = inside
                at += 1
            elif at + 1 < count and marks[at + 1] == marks[at] + 1:
                at += 2
            elif self._closes(place)[0]:
                inside, current = False, line[at]
                at += 1
            else:
                return at, int(place[0])
        return at, None

    def _swallowed(self) -> int | None:
        """Where a text opens that goes over several lines and has, a line, the fields of a record or more.

        A text that is still open at the end counts as far as it goes.
        """
        marks = self._marks
        if self._is_within_lines:
            return None
        near = np.flatnonzero((np.diff(marks) == 1) & (np.arange(len(marks) - 1) % 2 == 1))
        if len(near):
            marks = np.delete(marks, np.append(near, near + 1))
        opens, closes = marks[0::2], marks[1::2]
        if len(closes) < len(opens):
            closes = np.append(closes, len(self._data))
        from_line, to_line = self._line(opens), self._line(np.minimum(closes, len(self._data) - 1))
        for open_at, close_at, first, last in zip(
            *(values[to_line > from_line] for values in (opens, closes, from_line, to_line)), strict=True
        ):
            if self._fields == 1:
                return int(open_at)
            ends = self._ends[first:last]
            bounds = np.searchsorted(self._delimiters, np.concatenate([[open_at], ends, [close_at]]))
            each = np.diff(bounds)
            if each[0] + each[-1] >= self._fields - 1 or (each[1:-1] >= self._fields - 1).any():
                return int(open_at)
        return None


def _refusal(path: str, line: int, what: str, dialect: Dialect) -> ClaimsUnreadable:
    if "quotation" in what:
        hint = "--quote none reads quotation marks as text, --quote '\"' accepts texts of several lines"
    else:
        quote = {"": "none", None: "none"}.get(dialect.quote, dialect.quote)
        hint = f"read with --delimiter {dialect.delimiter!r} --quote {quote!r}; state others, or correct the line"
    return ClaimsUnreadable(f"{path}: line {line:,}: {what}; {hint}")


def open_text(filesystem: pyarrow.fs.FileSystem, path: str) -> pa.NativeFile | GzipText:
    """A file's bytes, decompressed if they are compressed, whatever the file's name is."""
    with filesystem.open_input_stream(path, compression=None) as stream:
        begin = stream.read(4)
    compression = next((name for mark, name in _COMPRESSIONS.items() if begin.startswith(mark)), None)
    if compression == "gzip":
        with suppress(ModuleNotFoundError):
            from hcpcs.annotate.gzip_text import GzipText  # needs the extra

            return GzipText(filesystem, path)
    return filesystem.open_input_stream(path, compression=compression)


def find_dialect(filesystem: pyarrow.fs.FileSystem, path: str, options: TextOptions) -> Dialect:
    """The dialect of a file, from its first megabyte and what the user states.

    Raises ``ClaimsUnreadable`` where the file is empty, holds something else, or has two columns of one name.
    """
    with open_text(filesystem, path) as stream:
        begin = stream.read(_SAMPLE)
        whole = len(begin) < _SAMPLE
    if kind := kind_of_bytes(begin):
        raise ClaimsUnreadable(f"{path}: is {kind}")
    encoding = _encoding(begin, options.encoding)
    data = _decoded(path, begin, encoding, whole)
    lines, start, number = _LINE.findall(data), 0, 1
    skipped = 0
    while lines and (skipped < options.skip_lines or not lines[0].strip()):
        line = lines.pop(0)
        start, number, skipped = start + len(line), number + 1, skipped + 1
    if not lines:
        raise ClaimsUnreadable(f"{path}: is empty; a file of delimited text begins with the names of its columns")
    if not whole and len(lines) > 1:
        lines.pop()  # cut in the middle
    # A mark that is doubled within its own quotation needs no other escape.
    escape = None if options.escape == (options.quote or '"') else options.escape
    best: tuple[tuple[bool, bool, float, int], Dialect] | None = None
    for delimiter in options.delimiter or _candidates(lines[0]):
        stated = options.quote or ('"' if options.escape else None)
        quote = "" if stated == "none" else stated
        columns, header_lines = _header(lines, delimiter, '"' if quote is None else quote)
        head = sum(map(len, lines[:header_lines]))
        dialect = Dialect(
            delimiter, quote, encoding, columns, start + head, number + header_lines, escape, quote is not None
        )
        body = b"".join(lines[header_lines:])
        found = dialect if quote is not None else replace(dialect, quote=_decide(body, dialect, at_end=whole)[0])
        share = max(_Scan(body, replace(found, quote=q)).agreeing() for q in _readings(found.quote)) if body else 1.0
        rank = (len(columns) > 1, share == 1.0, share, len(columns))
        if best is None or rank > best[0]:
            best = rank, found
    return _checked_names(path, present(best)[1], number)


def _candidates(header: bytes) -> str:
    """The delimiters that a header can have: those in its first line, unless a quoted name goes over its end."""
    found = "".join(d for d in _DELIMITERS if d.encode() in header)
    return _DELIMITERS if header.count(b'"') % 2 else found or ","


def _readings(quote: str | None) -> tuple[str, ...]:
    return ("", '"') if quote is None else (quote,)


def _checked_names(path: str, dialect: Dialect, number: int) -> Dialect:
    columns = dialect.columns
    if _CONTROL.search("".join(columns)):
        raise ClaimsUnreadable(f"{path}: line {number}: is not text; if another program reads it, export it as CSV")
    if "\ufffd" in "".join(columns):
        raise ClaimsUnreadable(f"{path}: line {number}: is not UTF-8; name the encoding, as in --encoding cp1252")
    if dialect.delimiter in (dialect.quote, dialect.escape):
        raise ClaimsUnreadable(f"{path}: {dialect.delimiter!r} cannot both divide fields and quote or escape")
    twice = sorted({c for c in columns if columns.count(c) > 1})
    if twice:
        raise ClaimsUnreadable(
            f"{path}: line {number}: has several columns named {', '.join(map(repr, twice))}; if the names are on a "
            "later line, --skip-lines leaves out those before"
        )
    return dialect


def _header(lines: Sequence[bytes], delimiter: str, quote: str) -> tuple[tuple[str, ...], int]:
    """The names of the columns, and how many lines they take."""
    text = [line.decode("utf-8", "replace") for line in lines[:_HEADER_LINES]]
    if quote:
        reader = csv.reader(text, delimiter=delimiter, quotechar=quote)
        names = next(reader)
        if reader.line_num == 1 or (
            reader.line_num < _HEADER_LINES
            and all(line.count(delimiter) < len(names) - 1 for line in text[1 : reader.line_num])
        ):
            return tuple(names), reader.line_num
    return tuple(text[0].rstrip("\r\n").split(delimiter)), 1


def _decide(data: bytes, dialect: Dialect, *, at_end: bool) -> tuple[str | None, _Scan]:
    """Whether a file quotes, by whole lines of it: the mark, ``""``, or ``None`` while both readings are the same.

    A file does not quote if its lines have the header's fields unchanged, do not fit as quoted text, and hold no
    text that is quoted on one line. What neither reading fits is left to the caller, which refuses it.
    """
    quoted, plain = _Scan(data, replace(dialect, quote='"')), _Scan(data, replace(dialect, quote=""))
    if not quoted.marks and quoted.violation is None:
        return None, plain
    if quoted.trouble(at_end=at_end) is None:
        return ('"' if quoted.marks > 1 else None), quoted
    if quoted.quoted_fields:
        return '"', quoted
    return ("" if plain.trouble(at_end=True) is None else None), plain


def line_with(filesystem: pyarrow.fs.FileSystem, path: str, dialect: Dialect, name: str) -> int | None:
    """The number of the first of a file's lines, among those that a header may be in, that has ``name`` as a field."""
    begin = b"".join(islice(filter(None, _chunks(filesystem, path, dialect.encoding)), 1))
    lines = _LINE.findall(begin[:_SAMPLE])[:_HEADER_LINES]
    of_name = rf"(^|[{re.escape(_DELIMITERS)}])[\"']?{re.escape(name)}[\"']?([{re.escape(_DELIMITERS)}]|$)".encode()
    return next((number for number, line in enumerate(lines, 1) if re.search(of_name, line.rstrip(b"\r\n"))), None)


def blocks(filesystem: pyarrow.fs.FileSystem, path: str, dialect: Dialect) -> Iterator[Block]:
    """A file's records in blocks of whole ones, about 4 MB each.

    Raises ``ClaimsUnreadable`` where quotation marks do not fit, named by the line.
    """
    rest, line, left_out, enough = b"", dialect.line, dialect.start, 0
    for chunk in _chunks(filesystem, path, dialect.encoding):
        at_end = chunk is None
        rest += chunk or b""
        if left_out:
            dropped = min(left_out, len(rest))
            rest, left_out = rest[dropped:], left_out - dropped
        if len(rest) < enough and not at_end:
            continue
        data = rest if at_end else rest[: _last_line_end(rest)]
        if data:
            scan: _Scan | None = None
            if dialect.quote is None and b'"' in data:
                quote, scan = _decide(data, dialect, at_end=at_end)
                dialect = replace(dialect, quote=quote)
            elif dialect.quote and dialect.quote.encode() in data:
                scan = _Scan(data, dialect)
            if scan is not None:
                if trouble := scan.trouble(at_end=at_end, counts_fields=False):
                    raise _refusal(path, line + scan.line_of(trouble[0]), trouble[1], dialect)
                data = data[: scan.end]
            if scan is not None:
                lines, records, blank = scan.line_of(scan.end), scan.records, scan.blank
            else:
                lines, records, blank = _counted(data, dialect)
            if data:
                yield Block(path, replace(dialect, quote=dialect.quote or ""), data, line, records, blank)
                line, rest, enough = line + lines, rest[len(data) :], 0
            else:  # a record of many chunks is looked through whenever it has doubled, not with each
                enough = min(2 * len(rest), _LONGEST_RECORD)
        if len(rest) > _LONGEST_RECORD:
            raise ClaimsUnreadable(f"{path}: line {line:,}: the record is longer than {_LONGEST_RECORD >> 20} MB")


def _last_line_end(data: bytes) -> int:
    return data.rfind(b"\n") + 1 or data.rfind(b"\r", 0, max(len(data) - 1, 0)) + 1


def _counted(data: bytes, dialect: Dialect) -> tuple[int, int, int]:
    """Line ends, records and blank lines of whole records in which nothing is quoted."""
    ends, returns = data.count(b"\n"), data.count(b"\r") if b"\r" in data else 0
    lone = returns - data.count(b"\r\n") if returns else 0
    blank = b"\n\n" in data or b"\n\r\n" in data or data[:1] in (b"\n", b"\r")
    if not lone and not blank:
        return ends, ends + (data[-1:] not in (b"\n", b"")), 0
    scan = _Scan(data, replace(dialect, quote=""))
    return ends + lone, scan.records, scan.blank


def _chunks(filesystem: pyarrow.fs.FileSystem, path: str, encoding: str) -> Iterator[bytes | None]:
    """A file as UTF-8 without a mark, in chunks; at the end ``None``."""
    decoder = None if encoding == "utf-8" else codecs.getincrementaldecoder(encoding)()
    with open_text(filesystem, path) as stream:
        first, line = True, 1
        while data := stream.read(_BLOCK):
            if first:
                data = data[_mark_length(data) :]
            first = False
            if decoder is not None:
                data = _transcoded(path, decoder, data, encoding, line)
                line += data.count(b"\n")
            yield data
        if decoder is not None:
            yield _transcoded(path, decoder, b"", encoding, line)
    yield None


def _transcoded(path: str, decoder: codecs.IncrementalDecoder, data: bytes, encoding: str, line: int) -> bytes:
    try:
        return decoder.decode(data, final=not data).encode()
    except UnicodeDecodeError as error:
        before = error.object[: error.start].decode(encoding, "replace").count("\n")
        found = error.object[error.start : error.end].hex(" ")
        raise ClaimsUnreadable(
            f"{path}: line {line + before:,}: the bytes {found} are not {encoding.upper()}"
        ) from None
    except UnicodeError as error:
        raise ClaimsUnreadable(f"{path}: is not {encoding.upper()}: {str(error).splitlines()[0]}") from None


def _decoded(path: str, data: bytes, encoding: str, whole: bool) -> bytes:
    data = data[_mark_length(data) :]
    if encoding == "utf-8":
        return data
    decoder = codecs.getincrementaldecoder(encoding)()
    text = _transcoded(path, decoder, data, encoding, 1)
    return text + _transcoded(path, decoder, b"", encoding, 1) if whole else text


def _mark_length(data: bytes) -> int:
    return next((len(mark) for mark in _MARKS if data.startswith(mark)), 0)


def _encoding(data: bytes, stated: str | None) -> str:
    """The encoding by its mark, or that which is stated, or UTF-16 where every second byte is 0, or UTF-8."""
    for mark, name in _MARKS.items():
        if data.startswith(mark):
            return name
    if stated is not None:
        name = codecs.lookup(stated).name
        return {"utf-8-sig": "utf-8", "ascii": "utf-8", "utf-16": "utf-16-le"}.get(name, name)
    zeros = np.frombuffer(data[: len(data) // 2 * 2], np.uint8).reshape(-1, 2) == 0
    if len(zeros) and zeros[:, 1].mean() > 0.5:
        return "utf-16-le"
    return "utf-16-be" if len(zeros) and zeros[:, 0].mean() > 0.5 else "utf-8"


def kind_of_bytes(begin: bytes) -> str | None:
    """What a file is by its first bytes, with what to do, where it is no delimited text; else ``None``."""
    return next((kind for pattern, kind in _OTHER_KINDS.items() if re.match(pattern, begin)), None)
