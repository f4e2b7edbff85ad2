"""What each code meant on each day, as a dense table of code × period, compiled from a version's published tables.

A line's code becomes a row of the table and its day a column; the cell names an *answer*, and every added column is
one value per answer. Nothing here knows of claims or files but the version's own.
"""

from __future__ import annotations

import datetime as dt
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs
import pyarrow.parquet as pq

from hcpcs.annotate.parsing import CODE_KEYS, MODIFIER_KEYS, keys_of_texts, texts_of_keys
from hcpcs.annotate.values import UnusableColumn
from hcpcs.errors import HcpcsError

#: Answers to "was it valid on that day", in the order in which they are tried: the first that holds.
STATUSES = (
    "no_date",
    "unknown_shape",
    "not_held",
    "unknown_code",
    "not_yet_valid",
    "valid",
    "expired",
    "purged_unknown",
)
NO_DATE, UNKNOWN_SHAPE, NOT_HELD, UNKNOWN_CODE, NOT_YET_VALID, VALID, EXPIRED, PURGED_UNKNOWN = range(len(STATUSES))

#: Columns that are added where no others are asked for, in order.
DEFAULT_COLUMNS = (
    "code_system",
    "code_category",
    "section_id",
    "code_status_on_date",
    "is_unlisted",
    "episode",
    "short_description",
    "replaced_by",
    "license_id",
    "redistribution",
)
_OF_THE_SYSTEM = {
    "code_category": "category",
    "license_id": "license_id",
    "system": "system",
    "level": "level",
    "steward": "steward",
}
_TABLES = ("hcpcs_history", "hcpcs_codes", "code_systems", "code_sections")
_NOT_TO_ASK = ("kind", "code", "license_id", "steward", "redistribution")
#: Cells that are laid out at once: few enough that what is worked out on the way stays near the processor.
_BLOCK_CELLS = 400_000
#: Days that are laid out from the last bound on.
_DAYS_BEHIND = 50 * 366
_DAY_ZERO = dt.date(1970, 1, 1)
_LIST_SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class VersionTables:
    """The published tables that an annotation rests on, and the version's name."""

    version: str
    history: pa.Table
    codes: pa.Table
    systems: pa.Table
    sections: pa.Table


def read_version(
    folder: str, version: str, filesystem: pyarrow.fs.FileSystem | None = None, columns: Sequence[str] = ()
) -> VersionTables:
    """Read the tables of the version in ``folder``; of the history, what is always needed and ``columns``.

    Raises ``UnusableColumn`` for a column that neither the history nor the lookup has.
    """
    fs = filesystem or pyarrow.fs.LocalFileSystem()
    paths = {name: f"{folder}/open/{name}.parquet" for name in _TABLES}
    held = pq.read_schema(paths["hcpcs_history"], filesystem=fs).names
    known = (*DEFAULT_COLUMNS, *_OF_THE_SYSTEM)
    for name in columns:
        if name not in known and (name not in held or name in _NOT_TO_ASK):
            may = [c for c in held if c not in _NOT_TO_ASK and c not in known]
            raise UnusableColumn(
                f"no column {name!r} can be added; there are: {', '.join(dict.fromkeys((*known, *may)))}"
            )
    needed = [
        "kind",
        "code",
        "episode",
        "valid_from",
        "valid_to",
        "valid_to_basis",
        "last_release",
        "short_description",
    ]
    needed += [c for c in columns if c in held and c not in needed and c not in _OF_THE_SYSTEM]
    return VersionTables(
        version=version,
        history=pq.read_table(paths["hcpcs_history"], columns=needed, filesystem=fs),
        codes=pq.read_table(
            paths["hcpcs_codes"], columns=["code", "episode", "is_unlisted", "replaced_by"], filesystem=fs
        ),
        systems=pq.read_table(paths["code_systems"], filesystem=fs),
        sections=pq.read_table(paths["code_sections"], filesystem=fs),
    )


class Lookup:
    """Codes of one kind against days: ``rows_of_keys``, ``periods_of_days``, and the table of answers between them."""

    def __init__(self, tables: VersionTables, kind: str = "procedure") -> None:
        if kind not in ("procedure", "modifier"):
            raise ValueError(f"{kind!r} is neither procedure nor modifier")
        self.kind = kind
        self.width = 5 if kind == "procedure" else 2
        self._tables = tables
        spans = tables.history.filter(pc.equal(tables.history["kind"], kind))
        self._spans = spans.take(pc.sort_indices(spans, [("code", "ascending"), ("valid_from", "ascending")]))
        self._systems = [s for s in tables.systems.to_pylist() if s["code_pattern"] and s["kind"] in (kind, None)]
        self._compile()

    def rows_of_keys(self, keys: np.ndarray) -> np.ndarray:
        """Rows of the table for codes by their numbers (-1: no shape), each times the periods, to add a period to."""
        rows: np.ndarray = self._start_of_key.take(keys, mode="wrap")
        return rows

    def periods_of_days(self, days: np.ndarray, valid: np.ndarray) -> np.ndarray:
        """Periods of days since 1970, int32; the last one is for lines without a day."""
        last_day = self._first_day + len(self._period_of_day) - 1
        if len(days) and (days.min() < self._first_day or days.max() > last_day):
            days = np.clip(days, self._first_day, last_day)
        periods = take(self._period_of_day, days - np.int32(self._first_day) if self._first_day else days)
        if not valid.all():
            periods = np.where(valid, periods, np.int32(self.periods - 1))
        return periods

    def answers(self, rows: np.ndarray, periods: np.ndarray) -> np.ndarray:
        """Numbers of answers, unsigned, as wide as they need."""
        return take(self._table, rows + periods)

    def first_answers(self, keys: np.ndarray) -> np.ndarray:
        """Numbers of the answers for codes on the first of all days: what does not depend on the day is in them."""
        return take(self._table, self.rows_of_keys(keys))

    @property
    def answer_count(self) -> int:
        """How many answers there are."""
        return len(self.status)

    @cached_property
    def codes(self) -> pa.Array:
        """The code of each answer; null where the answer is about all codes of a shape."""
        keys = np.append(self._known_keys, -1)[self._answer_code]  # -1, no code, is the last
        return texts_of_keys(keys, self.width)

    def runs(self) -> tuple[pa.Table, pa.Table]:
        """The table as days on which an answer holds, for engines that join: by code, and by shape and interval.

        Columns ``from_day`` (null: since ever) and ``next_day`` (null: for good), ``is_undated`` for lines without a
        day, ``answer``; of the first table ``code``, of the second ``code_system``, ``first_code`` and ``last_code``.
        What has no shape is in neither: its answers are ``shapeless_answers``.
        """
        cells = self._table.reshape(-1, self.periods)
        starts = np.ones(cells.shape, bool)
        starts[:, 1:] = cells[:, 1:] != cells[:, :-1]
        row, period = np.nonzero(starts)
        undated = period == self.periods - 1
        following = np.append(np.where(row[1:] == row[:-1], period[1:], self.periods - 1), self.periods - 1)
        bounds = np.append(self._bounds, 0)
        columns = {
            "from_day": _dates(bounds[np.maximum(period - 1, 0) % len(bounds)], (period == 0) | undated),
            "next_day": _dates(bounds[following - 1], (following == self.periods - 1) | undated),
            "is_undated": pa.array(undated),
            "answer": pa.array(cells[row, period].astype(np.int32)),
        }
        runs = pa.table({"row": row, **columns})
        codes = len(self._known_keys)
        shaped = self._answer_system[cells[:codes, 0]] < len(self._systems)
        known = runs.filter(pa.array((row < codes) & np.append(shaped, False)[np.minimum(row, codes)]))
        code = texts_of_keys(self._known_keys, self.width).take(known["row"])
        last = len(self._class_system) - 1
        by_shape = runs.filter(pa.array((row >= codes) & (row < codes + last)))
        place = by_shape["row"].to_numpy() - codes
        names = pa.array([s["code_system_id"] for s in self._systems] + [None], pa.string())
        system = names.take(pa.array(self._class_system[place]))
        first, end = (texts_of_keys(keys[place], self.width) for keys in self.class_bounds)
        by_shape = by_shape.append_column("code_system", system)
        by_shape = by_shape.append_column("first_code", first).append_column("last_code", end)
        by_shape = by_shape.filter(pc.is_valid(by_shape["code_system"]))
        return known.append_column("code", code).drop_columns(["row"]), by_shape.drop_columns(["row"])

    @property
    def shapeless_answers(self) -> tuple[int, int]:
        """The answers for what has no shape: with a day, and without one."""
        cells = self._table[-self.periods :]
        return int(cells[0]), int(cells[-1])

    @property
    def patterns(self) -> list[tuple[str, str]]:
        """Code systems and the patterns of their codes."""
        return [(s["code_system_id"], s["code_pattern"]) for s in self._systems]

    def column(self, name: str) -> pa.Array:
        """The value of an added column for each answer, texts dictionary-encoded; lists as text, joined by ``|``."""
        if name == "code_system":
            return self._by_system([s["code_system_id"] for s in self._systems] + ["unknown_shape"])
        if name == "redistribution":
            # What has no code's shape is nobody's to pass on: whose it is, is not known.
            return self._by_system(
                ["open" if s["steward"] == "CMS" else "withheld" for s in self._systems] + ["withheld"]
            )
        if name in _OF_THE_SYSTEM:
            return self._by_system([s[_OF_THE_SYSTEM[name]] for s in self._systems] + [None])
        if name == "code_status_on_date":
            return pa.DictionaryArray.from_arrays(pa.array(self.status.astype(np.int32)), pa.array(STATUSES))
        if name == "section_id":
            return _encoded(pa.array(self._section_names, pa.string()), self._answer_section)
        of_episode = name in ("is_unlisted", "replaced_by")
        values = self._by_episode(name) if of_episode else _plain(self._spans[name])
        if pa.types.is_string(values.type):
            return _encoded(values, self._answer_span)
        return pc.take(values, pa.array(self._answer_span, mask=self._answer_span < 0))

    def _by_system(self, values: Sequence[str | None]) -> pa.Array:
        return _encoded(pa.array(list(values), pa.string()), self._answer_system)

    def _by_episode(self, name: str) -> pa.Array:
        """A column of ``hcpcs_codes`` for each span, by code and episode."""
        codes = self._tables.codes
        if self.kind == "modifier":
            return pa.nulls(self._spans.num_rows, _plain(codes[name]).type)
        return pc.take(_plain(codes[name]), pc.index_in(_code_and_episode(self._spans), _code_and_episode(codes)))

    def _compile(self) -> None:
        sections = _Sections(self._tables.sections, self._systems)
        self._section_names = sections.names
        self._lay_out_periods(sections)
        system_of_key = self._systems_of_keys()
        class_of_key, class_system, class_sections = sections.classes(system_of_key, self._bounds, self.width)
        self._class_system = class_system
        self.class_bounds = sections.class_bounds
        spans = self._spans
        texts = spans["code"].combine_chunks().dictionary_encode() if spans.num_rows else None
        codes = texts.dictionary if texts is not None else pa.array([], pa.string())
        self._known_keys = keys_of_texts(codes, self.width)
        if (self._known_keys < 0).any():
            raise HcpcsError(f"hcpcs_history has a {self.kind} that has no {self.kind}'s shape")
        code_of_span = texts.indices.to_numpy() if texts is not None else np.empty(0, np.int32)

        start = np.empty(len(class_of_key) + 1, np.int32)
        start[:-1] = class_of_key
        start[:-1] += len(codes)
        start[-1] = len(codes) + len(class_system) - 1  # the class of what has no shape; also where key -1 wraps to
        # A code that the history has, in a shape that no code system has, stays what its shape says.
        shaped = np.flatnonzero(class_system[class_of_key[self._known_keys]] < len(self._systems))
        start[self._known_keys[shaped]] = shaped
        if (len(codes) + len(class_system)) * self.periods >= 2**31:
            raise HcpcsError("the history has too many codes and days for one table of code and period")
        self._start_of_key = start * np.int32(self.periods)

        known_class = class_of_key[self._known_keys]
        parts = [
            self._cells_of_codes(block, code_of_span, known_class, class_system, class_sections)
            for block in _blocks(len(codes), self.periods)
        ]
        parts.append(self._cells_of_classes(class_system, class_sections))
        done, tables, answers = 0, [], []
        for table, answer in parts:
            tables.append(table + np.int32(done))
            answers.append(answer)
            done += len(answer[0])
        # As narrow as the answers' numbers allow: the less the table weighs, the more of it stays near the processor.
        self._table = np.concatenate(tables).astype(np.min_scalar_type(done))
        self._answer_code, self._answer_span, self.status, self._answer_section, self._answer_system = (
            np.concatenate(column) for column in zip(*answers, strict=True)
        )

    def _lay_out_periods(self, sections: _Sections) -> None:
        self._from = _days(self._spans["valid_from"])
        self._last = _days(self._spans["valid_to"])
        ends = self._last[self._last != _NONE] + 1
        bounds = np.unique(np.concatenate([self._from, ends, sections.bounds]).astype(np.int64))
        if not len(bounds):
            bounds = np.zeros(1, np.int64)
        self._bounds = bounds
        # From 1970 to long after the newest release, so that nearly every claim's day is its own place in the table.
        self._first_day = min(int(bounds[0]) - 1, 0)
        counts = np.diff(bounds, prepend=self._first_day, append=bounds[-1] + _DAYS_BEHIND)
        self._period_of_day = np.repeat(np.arange(len(counts), dtype=np.int32), counts)
        #: Periods, the one of lines without a day included.
        self.periods = len(bounds) + 2

    def _systems_of_keys(self) -> np.ndarray:
        """The system of each code number by its shape, the number of systems where it has none's."""
        patterns = [re.compile(s["code_pattern"]) for s in self._systems]

        def system_of(text: str) -> int:
            return next((i for i, pattern in enumerate(patterns) if pattern.search(text)), len(patterns))

        if self.width == 2:
            return np.array([*map(system_of, texts_of_keys(np.arange(MODIFIER_KEYS), 2).to_pylist())], np.int16)
        # No pattern tells one inner digit from another: the two ends of a code decide.
        by_ends = np.array([[system_of(f"{first}000{last}") for last in _SIGNS] for first in _SIGNS], np.int16)
        return np.broadcast_to(by_ends[:, None, :], (36, 1000, 36)).reshape(CODE_KEYS)

    def _cells_of_codes(
        self,
        block: slice,
        code_of_span: np.ndarray,
        known_class: np.ndarray,
        class_system: np.ndarray,
        class_sections: np.ndarray,
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """The cells of some known codes: the span that began last, and whether the day lies in it."""
        height, width = block.stop - block.start, self.periods
        first, last = np.searchsorted(code_of_span, [block.start, block.stop])
        spans = np.arange(first, last)
        own = code_of_span[first:last] - block.start
        began = np.full((height, width), -1, np.int32)
        began[own, np.searchsorted(self._bounds, self._from[first:last]) + 1] = spans
        began[:, :-1] = np.maximum.accumulate(began[:, :-1], axis=1)
        began[:, -1] = -1
        end = np.searchsorted(self._bounds, np.where(self._last == _NONE, 2**40, self._last) + 1) + 1
        basis = pc.equal(self._spans["valid_to_basis"], "absence").to_numpy()
        after = np.where(basis, PURGED_UNKNOWN, EXPIRED).astype(np.int8)
        status = np.where(np.arange(width) < end[began], VALID, after[began]).astype(np.int8)
        status[began < 0] = NOT_YET_VALID
        status[:, -1] = NO_DATE
        codes = np.arange(block.start, block.stop, dtype=np.int32)
        classes = known_class[block]
        return _answers_of_cells(codes, began, status, class_sections[classes], class_system[classes])

    def _cells_of_classes(
        self, class_system: np.ndarray, class_sections: np.ndarray
    ) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
        """The cells of codes that no release held, by what shape and section tell."""
        held_system = [s["system"] == "HCPCS" and s["level"] == "II" for s in self._systems]
        by_system = np.array([UNKNOWN_CODE if h else NOT_HELD for h in held_system] + [UNKNOWN_SHAPE], np.int8)
        status = np.repeat(by_system[class_system][:, None], self.periods, axis=1)
        status[:, -1] = NO_DATE
        none = np.full(len(class_system), -1, np.int32)
        return _answers_of_cells(none, np.full(status.shape, -1, np.int32), status, class_sections, class_system)


class _Sections:
    """Sections as intervals of code numbers with days."""

    def __init__(self, table: pa.Table, systems: Sequence[Mapping[str, object]]) -> None:
        number = {s["code_system_id"]: i for i, s in enumerate(systems)}
        self.systems = len(systems)
        rows = [r for r in table.to_pylist() if r["code_system_id"] in number]
        # The deepest wins, then the newest: that order is the order of trying.
        rows.sort(key=lambda r: (-r["depth"], -(r["valid_from"] or dt.date.min).toordinal()))
        self.names = list(dict.fromkeys(r["section_id"] for r in rows))
        index = {name: i for i, name in enumerate(self.names)}
        self.name = [index[r["section_id"]] for r in rows]
        self.system = [number[r["code_system_id"]] for r in rows]
        self.first = keys_of_texts(pa.array([r["first_code"] for r in rows], pa.string()))
        last = pa.array([r["last_code"] for r in rows], pa.string())
        self.last = np.where(pc.is_valid(last).to_numpy(zero_copy_only=False), keys_of_texts(last), CODE_KEYS - 1)
        self.valid_from = [_day(r["valid_from"], -(2**40)) for r in rows]
        self.valid_to = [_day(r["valid_to"], 2**40) for r in rows]
        dated = [d for d in self.valid_from if d > -(2**40)] + [d + 1 for d in self.valid_to if d < 2**40]
        self.bounds = np.array(sorted(set(dated)), np.int64)

    def classes(
        self, system_of_key: np.ndarray, period_days: np.ndarray, width: int
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Codes that no section tells apart: the class of each code number, its system, its section in each period.

        The last class is that of what has no shape.
        """
        bounds = np.unique(np.concatenate([[0], self.first, self.last + 1])) if width == 5 else np.zeros(1, np.int64)
        bounds = bounds[bounds < len(system_of_key)]
        interval = np.repeat(np.arange(len(bounds), dtype=np.int32), np.diff(np.append(bounds, len(system_of_key))))
        pair = interval * np.int32(self.systems + 1) + system_of_key
        used = np.flatnonzero(np.bincount(pair))
        lookup = np.zeros(int(used[-1]) + 1, np.int32)
        lookup[used] = np.arange(len(used))
        intervals, systems = np.divmod(used, self.systems + 1)
        starts = np.append(-(2**40), self.bounds)
        picked = np.full((len(used) + 1, len(starts) + 1), -1, np.int32)
        of_system: dict[int, list[int]] = {}
        for r, own in enumerate(self.system if width == 5 else []):
            of_system.setdefault(own, []).append(r)
        for n, (i, s) in enumerate(zip(intervals, systems, strict=True)):
            holds = [r for r in of_system.get(s, ()) if self.first[r] <= bounds[i] <= self.last[r]]
            if not holds:
                continue
            for p, day in enumerate(starts):
                picked[n, p] = next((self.name[r] for r in holds if self.valid_from[r] <= day <= self.valid_to[r]), -1)
            picked[n, -1] = next((self.name[r] for r in holds), -1)
        day_of_period = np.append(-(2**40), period_days)
        of_period = np.append(np.searchsorted(self.bounds, day_of_period, side="right"), len(starts))
        #: First and last code number of each class but the last.
        self.class_bounds = np.stack([bounds[intervals], np.append(bounds, len(system_of_key))[intervals + 1] - 1])
        return take(lookup, pair), np.append(systems, self.systems).astype(np.int16), picked[:, of_period]


_SIGNS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_NONE = np.iinfo(np.int64).max


def take(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """``values`` at ``places``, which must all be within: Arrow's gather needs no wider index and holds no lock."""
    taken = pc.take(pa.array(values), pa.array(places), boundscheck=False)
    result: np.ndarray = taken.to_numpy(zero_copy_only=True)
    return result


def _answers_of_cells(
    codes: np.ndarray, began: np.ndarray, status: np.ndarray, section: np.ndarray, system: np.ndarray
) -> tuple[np.ndarray, tuple[np.ndarray, ...]]:
    """Cells (rows × periods) as numbers of answers, one answer per run of cells that say the same."""
    change = np.ones(status.shape, bool)
    change[:, 1:] = (
        (began[:, 1:] != began[:, :-1]) | (status[:, 1:] != status[:, :-1]) | (section[:, 1:] != section[:, :-1])
    )
    table = np.cumsum(change.ravel(), dtype=np.int32) - np.int32(1)
    first = np.flatnonzero(change)
    row = first // status.shape[-1]
    return table, (codes[row], began.ravel()[first], status.ravel()[first], section.ravel()[first], system[row])


def _encoded(values: pa.Array, index: np.ndarray) -> pa.DictionaryArray:
    """``values`` at ``index`` (-1: null), dictionary-encoded with each distinct value once."""
    distinct = values.dictionary_encode()
    codes = pc.take(distinct.indices, pa.array(index, mask=index < 0))
    return pa.DictionaryArray.from_arrays(codes.cast(pa.int32()), distinct.dictionary)


def _code_and_episode(table: pa.Table) -> pa.Array:
    joined = pc.binary_join_element_wise(
        table["code"].cast(pa.string()), table["episode"].cast(pa.string()), _LIST_SEPARATOR
    )
    return _plain(joined)


def _plain(column: pa.ChunkedArray) -> pa.Array:
    """A column as one array; lists as text, joined, empty ones null."""
    values = column.combine_chunks()
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        values = values.cast(pa.list_(pa.string()))
        joined = pc.binary_join(values, _LIST_SEPARATOR)
        return pc.if_else(pc.equal(joined, ""), pa.scalar(None, pa.string()), joined)
    return values.cast(pa.string()) if pa.types.is_large_string(values.type) else values


def _days(column: pa.ChunkedArray) -> np.ndarray:
    numbers = column.cast(pa.int32()).cast(pa.int64()).fill_null(_NONE)
    result: np.ndarray = numbers.to_numpy()
    return result


def _dates(days: np.ndarray, missing: np.ndarray) -> pa.Array:
    return pa.array(np.where(missing, 0, days).astype(np.int32), mask=missing).cast(pa.date32())


def _day(date: dt.date | None, otherwise: int) -> int:
    return (date - _DAY_ZERO).days if date is not None else otherwise


def _blocks(codes: int, periods: int) -> Iterable[slice]:
    height = max(1, _BLOCK_CELLS // periods)
    return (slice(i, min(i + height, codes)) for i in range(0, codes, height))
