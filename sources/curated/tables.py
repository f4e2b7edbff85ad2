"""The curated files: what people wrote down about code systems, their sections, licenses and coded values.

Reading, typing and checking of ``sources/curated/*.csv`` belongs here; every rule is checked and every broken line
named before one error is raised. Classifying codes by these tables belongs in ``pipeline.transforms.classification``.
"""

from __future__ import annotations

import csv
import datetime as dt
import io
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pandera.polars as pa
import polars as pl

from hcpcs.errors import present
from schemas.ambulance_locations import AmbulanceLocations
from schemas.code_families import CodeFamilies
from schemas.code_lookalikes import CodeLookalikes
from schemas.code_sections import CodeSections
from schemas.code_system_calendar import CodeSystemCalendar
from schemas.code_system_identifiers import CodeSystemIdentifiers
from schemas.code_systems import CodeSystems
from schemas.contract import Contract
from schemas.hcpcs_codebook import HcpcsCodebook
from schemas.licenses import Licenses
from sources.code_file.record_layout import RECORD_FIELDS
from sources.errors import CuratedFileError

CURATED = Path(__file__).resolve().parent

#: Kinds of hosts where a row can be checked; on the others (``OTHER_SOURCES``) its confidence is at most medium.
AUTHORITIES = ("publisher", "regulator", "standards body", "maintained public code", "Medicare contractor")
OTHER_SOURCES = ("copy of a publisher's document", "textbook", "coders' reference")

#: What every interval of one section says alike.
_SECTION_CONSTANT = ("code_system_id", "parent_section_id", "depth", "name", "license_id")
_CODEBOOK_FIELDS = frozenset(f.name for f in RECORD_FIELDS) | {"kind", "record_id"}


@dataclass(frozen=True, slots=True)
class _Table:
    """A file's rows, typed, each with its ``line``; problems gather until ``frame`` raises them together."""

    path: Path
    schema: Mapping[str, pl.DataType]
    rows: list[dict[str, Any]]
    problems: list[tuple[int, str]]

    @classmethod
    def of_contract(cls, path: Path, model: type[pa.DataFrameModel]) -> _Table:
        """Read and type a file by its table's contract; check the key, lists of values, days, sources and patterns."""
        contract = Contract(path.stem, model)
        optional = [c.name for c in contract.columns if c.nullable]
        table = cls.read(path, contract.polars_schema, optional=optional)
        table.check_unique(*contract.key)
        for column in contract.columns:
            if column.allowed_values:
                table.check_in(column.name, column.allowed_values)
        if "valid_from" in table.schema:
            table.check_spans()
        if "confidence" in table.schema:
            table.check_provenance()
        if "code_pattern" in table.schema:
            table.check_patterns()
        return table

    @classmethod
    def read(cls, path: Path, schema: Mapping[str, pl.DataType], *, optional: Sequence[str] = ()) -> _Table:
        """Read and type a file; an empty cell is null, and a problem unless its column is optional."""
        table = cls(path, schema, [], [])
        try:
            text = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise CuratedFileError(f"{path}: cannot be read: {error}") from error
        reader = csv.reader(io.StringIO(text, newline=""), strict=True)
        try:
            header = next(reader, [])
            if header != list(schema):
                raise CuratedFileError(f"{path}:1: the columns are {header}, expected {list(schema)}")
            for cells in reader:
                table._add(reader.line_num, cells, optional)
        except csv.Error as error:
            raise CuratedFileError(f"{path}:{reader.line_num}: {error}") from error
        return table

    def _add(self, line: int, cells: list[str], optional: Sequence[str]) -> None:
        if len(cells) != len(self.schema):
            self.problems.append((line, f"{len(cells)} cells, expected {len(self.schema)}"))
            return
        row: dict[str, Any] = {"line": line}
        for (name, dtype), cell in zip(self.schema.items(), cells, strict=True):
            if not cell.strip():
                row[name] = None
                if name not in optional:
                    self.problems.append((line, f"{name} is missing"))
                continue
            try:
                row[name] = _typed(cell.strip(), dtype)
            except ValueError:
                row[name] = None
                self.problems.append((line, f"{name} {cell!r} is no {_TYPE_NAMES[dtype.base_type()]}"))
        self.rows.append(row)

    def check(self, row: Mapping[str, Any], holds: bool, message: str) -> None:
        """Note ``message`` for the row's line unless it holds."""
        if not holds:
            self.problems.append((row["line"], message))

    def check_unique(self, *key: str) -> None:
        """No two rows share a key."""
        first: dict[tuple[Any, ...], int] = {}
        for row in self.rows:
            values = tuple(row[k] for k in key)
            line = first.setdefault(values, row["line"])
            shown = ", ".join(f"{k} {v!r}" for k, v in zip(key, values, strict=True))
            self.check(row, line == row["line"], f"{shown} is on line {line} already")

    def check_in(self, column: str, allowed: Iterable[str], noun: str | None = None) -> None:
        """A value is one of those allowed, or null."""
        known = list(allowed)
        for row in self.rows:
            value = row[column]
            what = f"unknown {noun or column} {value!r}"
            hint = f"; known are {', '.join(known)}" if len(known) < 12 else ""
            self.check(row, value is None or value in known, what + hint)

    def check_spans(self) -> None:
        """A span does not end before it begins."""
        for row in self.rows:
            start, end = row["valid_from"], row["valid_to"]
            self.check(row, start is None or end is None or start <= end, f"ends {end}, before it begins {start}")

    def check_provenance(self) -> None:
        """A row can be checked at a URL on a host of an accepted kind; its confidence follows from that."""
        kinds = _source_kinds()
        for row in self.rows:
            source = row["source"]
            if source is None:
                continue
            if re.match(r"https?://\S+$", source) is None:
                self.check(row, False, "source is not a URL")
                continue
            host = urlsplit(source).netloc
            kind = kinds.get(host)
            self.check(row, kind is not None, f"source is on {host}, which source_hosts.csv does not accept")
            sure = kind is None or row["confidence"] != "high" or kind in AUTHORITIES
            self.check(row, sure, f"confidence is high, but {host} is a {kind}")

    def check_patterns(self) -> None:
        """A pattern compiles and is of the whole code."""
        for row in self.rows:
            pattern = row["code_pattern"]
            self.check(row, not pattern or _anchored(pattern), "code_pattern is no ^…$ pattern")

    def frame(self) -> pl.DataFrame:
        """The rows as a frame with the columns of the schema, or ``CuratedFileError`` with every problem."""
        if self.problems:
            shown = [f"{self.path}:{line}: {message}" for line, message in sorted(set(self.problems))]
            raise CuratedFileError("\n".join(shown))
        return pl.DataFrame([{c: row[c] for c in self.schema} for row in self.rows], schema=dict(self.schema))


@cache
def _source_kinds() -> dict[str, str]:
    """The kind of each host that a source may be on."""
    table = _Table.read(CURATED / "source_hosts.csv", dict.fromkeys(("host", "kind", "name"), pl.String()))
    table.check_unique("host")
    table.check_in("kind", (*AUTHORITIES, *OTHER_SOURCES))
    return dict(table.frame().select("host", "kind").iter_rows())


def _flag(cell: str) -> bool:
    if cell not in ("true", "false"):
        raise ValueError(cell)
    return cell == "true"


def _day(cell: str) -> dt.date:
    # date.fromisoformat also takes 20240101 and 2024-W01-1, which a reader of the file would stumble over
    return dt.datetime.strptime(cell, "%Y-%m-%d").date()


_PARSERS: dict[type[pl.DataType], Callable[[str], Any]] = {
    pl.String: str,
    pl.Date: _day,
    pl.Int32: int,
    pl.Boolean: _flag,
}
_TYPE_NAMES = {pl.Date: "date (YYYY-MM-DD)", pl.Int32: "whole number", pl.Boolean: "true or false", pl.String: "text"}


def _typed(cell: str, dtype: pl.DataType) -> Any:
    return _PARSERS[dtype.base_type()](cell)


def _anchored(pattern: str) -> bool:
    try:
        re.compile(pattern)
    except re.error:
        return False
    return pattern.startswith("^") and pattern.endswith("$")


def _check_field(table: _Table) -> None:
    table.check_in("field", sorted(_CODEBOOK_FIELDS))


def _check_parent(table: _Table) -> None:
    table.check_in("parent_id", [r["code_system_id"] for r in table.rows], "parent")


def _check_system(table: _Table) -> dict[str, str | None]:
    """Rows are of known code systems; returns the patterns of those."""
    patterns: dict[str, str | None] = dict(load_code_systems().select("code_system_id", "code_pattern").iter_rows())
    table.check_in("code_system_id", patterns, "code system")
    return patterns


def _check_families(table: _Table) -> None:
    """Both ends of an interval have the format of its code system; families of one system share no code on a day."""
    patterns = _check_system(table)
    table.check_in("section_id", load_code_sections()["section_id"], "section")
    for row in table.rows:
        for column in ("first_code", "last_code"):
            pattern, code = patterns.get(row["code_system_id"]), row[column]
            fits = pattern is None or code is None or re.match(pattern, code) is not None
            table.check(row, fits, f"{column} {code!r} has another code system's format")
    for number, one in enumerate(table.rows):
        for other in table.rows[number + 1 :]:
            apart = one["family_id"] == other["family_id"] or one["code_system_id"] != other["code_system_id"]
            if not apart and _meets(one, other):
                what = f"{other['family_id']} overlaps {one['family_id']} on line {one['line']}"
                table.check(other, False, what)


def _meets(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two rows share a code on a day."""
    early, late = dt.date.min, dt.date.max
    return (
        one["first_code"] <= other["last_code"]
        and other["first_code"] <= one["last_code"]
        and (one["valid_from"] or early) <= (other["valid_to"] or late)
        and (other["valid_from"] or early) <= (one["valid_to"] or late)
    )


def _check_sections(table: _Table) -> None:
    """Sections of one depth of a code system never overlap on a day; children lie in their parent on every day.

    They fill it where it says ``children_cover`` = ``whole``.
    """
    patterns = _check_system(table)
    table.check_in("parent_section_id", [r["section_id"] for r in table.rows], "parent")
    _check_codes(table, patterns)
    if not table.problems:  # intervals can be laid out only when every line stands for itself
        _check_tree(table)


# --- sections -------------------------------------------------------------------------------------------------------

_CODE = re.compile(r"([A-Z]?)([0-9]+)([A-Z]?)")


def _ordinal(code: str) -> int:
    """A code's place among the codes of its shape: neighbors in a code system are neighbors here."""
    match = present(_CODE.fullmatch(code))  # its code system's pattern has been checked
    letter, digits, _ = match.groups()
    return (ord(letter) - ord("A") if letter else 0) * 10 ** len(digits) + int(digits)


def _check_codes(table: _Table, patterns: Mapping[str, str | None]) -> None:
    """Every code of an interval has the format of its code system, and no other system claims that shape."""
    for row in table.rows:
        for column in ("first_code", "last_code", "guide_first_code", "guide_last_code"):
            code = row[column]
            if code is None or row["code_system_id"] not in patterns:
                continue
            claimed = [s for s, p in patterns.items() if p and re.fullmatch(p, code, re.ASCII)]
            table.check(row, row["code_system_id"] in claimed, f"{column} {code!r} has another code system's format")
            table.check(row, len(claimed) < 2, f"{column} {code!r} has the format of {' and of '.join(claimed)}")
        if not any(line == row["line"] for line, _ in table.problems):
            ends = row["last_code"] is None or _ordinal(row["first_code"]) <= _ordinal(row["last_code"])
            table.check(row, ends, f"last_code {row['last_code']!r} lies before first_code {row['first_code']!r}")


@dataclass(frozen=True, slots=True)
class _Interval:
    """An interval of codes by ordinal, its days by ordinal, both inclusive."""

    row: Mapping[str, Any]
    first: int
    last: float
    start: float
    end: float

    @classmethod
    def of(cls, row: Mapping[str, Any]) -> _Interval:
        return cls(
            row,
            _ordinal(row["first_code"]),
            _ordinal(row["last_code"]) if row["last_code"] else float("inf"),
            row["valid_from"].toordinal() if row["valid_from"] else float("-inf"),
            row["valid_to"].toordinal() if row["valid_to"] else float("inf"),
        )


def _check_tree(table: _Table) -> None:
    """Sections agree with themselves, do not overlap, lie in their parents, and fill those that say so."""
    intervals = [_Interval.of(row) for row in table.rows]
    sections: dict[str, list[_Interval]] = defaultdict(list)
    children: dict[str, list[_Interval]] = defaultdict(list)
    levels: dict[tuple[str, int], list[_Interval]] = defaultdict(list)
    for interval in intervals:
        row = interval.row
        sections[row["section_id"]].append(interval)
        levels[row["code_system_id"], row["depth"]].append(interval)
        if row["parent_section_id"]:
            children[row["parent_section_id"]].append(interval)

    for section_id, own in sections.items():
        head = own[0].row
        for interval in own[1:]:
            for column in _SECTION_CONSTANT:
                same = interval.row[column] == head[column]
                table.check(interval.row, same, f"{column} of {section_id} differs from line {head['line']}")
        for interval in own:
            cover = interval.row["children_cover"]
            table.check(
                interval.row,
                (cover is not None) == (section_id in children),
                f"children_cover is {cover!r}, but {section_id} has {'' if section_id in children else 'no '}children",
            )

    for neighbors in levels.values():
        for number, one in enumerate(neighbors):
            for other in neighbors[number + 1 :]:
                if _meet(one.first, one.last, other.first, other.last) and _meet(
                    one.start, one.end, other.start, other.end
                ):
                    what = f"{other.row['section_id']} overlaps {one.row['section_id']} on line {one.row['line']}"
                    table.check(other.row, False, what)

    for section_id, inside in children.items():
        _check_children(table, section_id, sections[section_id], inside)


def _check_children(table: _Table, section_id: str, own: Sequence[_Interval], inside: Sequence[_Interval]) -> None:
    """On every day the children of a section lie in it and, where it says so, leave none of it out."""
    parent = own[0].row
    for child in inside:
        row = child.row
        table.check(row, row["depth"] == parent["depth"] + 1, f"depth is not one more than that of {section_id}")
        same = row["code_system_id"] == parent["code_system_id"]
        table.check(row, same, f"{section_id}, its parent, is of another code system")
    for start in sorted({float("-inf"), *(i.start for i in (*own, *inside)), *(i.end + 1 for i in (*own, *inside))}):
        room = _union(i for i in own if i.start <= start <= i.end)
        taken = [i for i in inside if i.start <= start <= i.end]
        for child in taken:
            fits = any(first <= child.first and child.last <= last for first, last in room)
            table.check(child.row, fits, f"{child.row['section_id']} lies outside its parent {section_id}")
        whole = [i for i in own if i.start <= start <= i.end and i.row["children_cover"] == "whole"]
        filled = _union(taken)
        for interval in whole:
            full = any(first <= interval.first and interval.last <= last for first, last in filled)
            table.check(interval.row, full, f"the children of {section_id} leave a gap in it")


def _meet(first: float, last: float, other_first: float, other_last: float) -> bool:
    return first <= other_last and other_first <= last


def _union(intervals: Iterable[_Interval]) -> list[tuple[float, float]]:
    """The codes of several intervals as few intervals, neighbors joined."""
    joined: list[tuple[float, float]] = []
    for first, last in sorted((float(i.first), float(i.last)) for i in intervals):
        if joined and first <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], last))
        else:
            joined.append((first, last))
    return joined


# --- the files ------------------------------------------------------------------------------------------------------


def _loader(
    file: str, model: type[pa.DataFrameModel], check: Callable[[_Table], object] = lambda _: None
) -> Callable[..., pl.DataFrame]:
    def load(path: Path | None = None) -> pl.DataFrame:
        """The rows of a curated file, columns of its contract; raises ``CuratedFileError`` with every broken line."""
        table = _Table.of_contract(path or CURATED / file, model)
        check(table)
        return table.frame()

    return load


load_licenses = _loader("licenses.csv", Licenses)
#: Labels are this project's words for what CMS's record layouts state.
load_codebook = _loader("codebook.csv", HcpcsCodebook, _check_field)
#: A row without ``code_pattern`` only gathers others.
load_code_systems = _loader("code_systems.csv", CodeSystems, _check_parent)
load_code_system_identifiers = _loader("code_system_identifiers.csv", CodeSystemIdentifiers, _check_system)
load_code_system_calendar = _loader("code_system_calendar.csv", CodeSystemCalendar, _check_system)
load_code_sections = _loader("code_sections.csv", CodeSections, _check_sections)
load_code_families = _loader("code_families.csv", CodeFamilies, _check_families)
load_code_lookalikes = _loader("code_lookalikes.csv", CodeLookalikes)
load_ambulance_locations = _loader("ambulance_locations.csv", AmbulanceLocations)
