"""What each code means on each day, as a dense table of code × period, compiled from a version's ``hcpcs_validity``.

A line's code becomes a row of the table and its day a column; the cell names an *answer*, a row of ``hcpcs_validity``.
Every added column is one value per answer. Nothing is decided here, and nothing here knows of claims.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hcpcs.annotate.parsing import CODE_KEYS, MODIFIER_KEYS, keys_of_texts
from hcpcs.annotate.values import UnusableColumn
from hcpcs.errors import HcpcsError
from hcpcs.manifest import NAME, OPEN, Manifest, require_tier

#: Statuses of lines: those without a day or a code's shape first, then those of ``hcpcs_validity``.
STATUSES = (
    "no_date",
    "unknown_shape",
    "not_loaded",
    "unknown_code",
    "not_yet_valid",
    "valid",
    "expired",
    "purged_unknown",
    "system_ended",
)
(
    NO_DATE,
    UNKNOWN_SHAPE,
    NOT_LOADED,
    UNKNOWN_CODE,
    NOT_YET_VALID,
    VALID,
    EXPIRED,
    PURGED_UNKNOWN,
    SYSTEM_ENDED,
) = range(len(STATUSES))

#: Columns that are added where no others are requested, in order.
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
#: Columns that tell what was read from a line, and no answer; they may be requested like the others.
LINE_COLUMNS = ("normalized_code", "appended_modifiers")
#: What a code's shape alone decides, so that a line without a day has it, too.
_OF_SYSTEM = ("system", "level")
OF_SHAPE = ("code_system", "code_category", "license_id", "redistribution", "steward", "modifier_kind", *_OF_SYSTEM)
#: Answers for values in no code's format: the owner is unknown, so nobody may redistribute them.
NO_SHAPE = {"code_system": "unknown_shape", "redistribution": "withheld", "license_id": "LicenseRef-Unknown"}
#: The last day of SQL's calendar, on which ``hcpcs_validity`` ends.
LAST_DAY = dt.date(9999, 12, 31)
#: Columns of ``hcpcs_validity`` by which its rows are found.
_KEY = ("kind", "is_interval", "code_shape", "first_code", "last_code", "from_day", "to_day")
#: Its texts that many rows share, which are read as dictionaries: a row of them is a number.
_REPEATED = ("kind", "code_shape", "status", "undated_section_id", "modifier_kind", *OF_SHAPE, *DEFAULT_COLUMNS)
_SPAN_KEY = ("kind", "code", "episode", "span_number")
#: Days that are laid out from the last bound on.
_DAYS_BEHIND = 50 * 366
_LIST_SEPARATOR = "|"


@dataclass(frozen=True, slots=True)
class VersionTables:
    """The published tables that an annotation rests on, and the version's name.

    ``history`` has the newest release's id in ``last_release``, and what was requested of no other table.
    """

    version: str
    validity: pa.Table
    history: pa.Table
    systems: pa.Table


def read_version(folder: Path, columns: Sequence[str] = (), tier: str = OPEN) -> VersionTables:
    """Read the tables of the version in ``folder``: what is always needed, and ``columns``.

    Raises ``UnusableColumn`` for a column that none of them has, ``TierRefused`` for a version of another tier.
    """
    manifest = Manifest.from_json((folder / NAME).read_bytes(), str(folder))
    require_tier(manifest.content.tier, tier, folder)
    version, columns = manifest.build.version, [c for c in columns if c not in LINE_COLUMNS]
    paths = {name: folder / tier / f"{name}.parquet" for name in ("hcpcs_validity", "hcpcs_history", "code_systems")}
    for name, path in paths.items():
        if not path.exists():
            raise HcpcsError(
                f"version {version} has no table {name}: an earlier hcpcs published it, or it is damaged;"
                " `hcpcs refresh --offline` publishes a version that has it"
            )
    stated = pq.read_schema(paths["hcpcs_validity"]).names
    spans = pq.read_schema(paths["hcpcs_history"]).names
    usual = (*DEFAULT_COLUMNS, "steward", *_OF_SYSTEM)
    hidden = (*_KEY, *_SPAN_KEY[:2], "status", "undated_section_id", "modifier_kind")
    offered = [c for c in (*stated, *spans) if c not in hidden]
    for name in columns:
        if name not in usual and name not in offered:
            there = ", ".join(dict.fromkeys((*usual, *offered)))
            raise UnusableColumn(f"no column {name!r} can be added; there are: {there}")
    wanted = [*hidden, *OF_SHAPE, *_SPAN_KEY[2:], *DEFAULT_COLUMNS, *columns]
    of_spans = [c for c in columns if c in spans and c not in stated]
    return VersionTables(
        version=version,
        validity=pq.read_table(
            paths["hcpcs_validity"],
            columns=[c for c in stated if c in wanted],
            read_dictionary=[c for c in stated if c in _REPEATED],
        ),
        history=pq.read_table(
            paths["hcpcs_history"],
            columns=list(dict.fromkeys(["last_release", *(_SPAN_KEY if of_spans else ()), *of_spans])),
        ),
        systems=pq.read_table(paths["code_systems"], columns=["code_system_id", *_OF_SYSTEM]),
    )


class Lookup:
    """Codes of one kind against days: ``rows_of_keys``, ``periods_of_days``, and the table of answers between them.

    Raises ``HcpcsError`` where the kind's rows do not answer for every day once.
    """

    def __init__(self, tables: VersionTables, kind: str = "procedure") -> None:
        self.kind = kind
        self.width = 5 if kind == "procedure" else 2
        self._tables = tables
        order = [("is_interval", "ascending"), ("first_code", "ascending"), ("from_day", "ascending")]
        places = pc.sort_indices(tables.validity, order)
        is_ours = pc.equal(tables.validity["kind"], kind).combine_chunks().take(places)
        self._rows = tables.validity.take(places.filter(is_ours))
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
    def is_unknown(self) -> np.ndarray:
        """Whether each answer is about codes that have the shape of HCPCS Level II and are in no release."""
        among = np.logical_or.reduceat(self.status[: self._rows.num_rows] == UNKNOWN_CODE, self._starts)
        of_row = np.repeat(among, np.diff(self._starts, append=self._rows.num_rows))
        unknown: np.ndarray = np.append(of_row, False)[self._answer_row]
        return unknown

    @cached_property
    def codes(self) -> pa.Array:
        """The code of each answer; null where the answer is about an interval of codes, or none."""
        codes = _plain(self._rows["first_code"])
        return codes.take(self._place(~_flags(self._rows["is_interval"])))

    def spans(self, columns: Sequence[str]) -> pa.Table:
        """The rows of ``hcpcs_validity`` with added ``columns``, for engines that join; ``undated_section_id``, too."""
        rows = pa.table({c: _plain(self._rows[c]) for c in (*_KEY, "undated_section_id")})
        for name in columns:
            values = self.column(name).slice(0, rows.num_rows)
            is_text = pa.types.is_dictionary(values.type)
            rows = rows.append_column(name, values.cast(pa.string()) if is_text else values)
        return rows

    def column(self, name: str) -> pa.Array:
        """The value of an added column for each answer, texts dictionary-encoded; lists as text, joined by ``|``."""
        if name == "code_status_on_date":
            return pa.DictionaryArray.from_arrays(pa.array(self.status.astype(np.int32)), pa.array(STATUSES))
        if name == "section_id":
            of_day, undated = (_plain(self._rows[c]) for c in ("section_id", "undated_section_id"))
            values = pc.if_else(pa.array(self._is_dated), of_day.take(self._place()), undated.take(self._place()))
        elif name in _OF_SYSTEM:
            systems = self._tables.systems
            place = pc.index_in(self._rows["code_system"], systems["code_system_id"].combine_chunks())
            values = _plain(systems[name]).take(_plain(place)).take(self._place())
        elif name in self._rows.column_names:
            place = self._place() if name in OF_SHAPE else self._place(self._is_dated)
            values = _plain(self._rows[name]).take(place)
        else:
            values = self._of_span(name).take(self._place(self._is_dated))
        if name in NO_SHAPE:
            values = pc.fill_null(values, NO_SHAPE[name])
        return values.dictionary_encode() if pa.types.is_string(values.type) else values

    def _place(self, among: np.ndarray | None = None) -> pa.Array:
        """The row of each answer; null where it has none, or is (or its row is) not ``among`` those wanted."""
        missing = self._answer_row < 0
        if among is not None:
            missing = missing | ~(among if len(among) == len(missing) else np.append(among, False)[self._answer_row])
        return pa.array(self._answer_row, mask=missing)

    def _of_span(self, name: str) -> pa.Array:
        """A column of ``hcpcs_history`` for each row, by the span that the row names."""
        history = self._tables.history
        keys = [_plain(history[c]).cast(pa.string()) for c in _SPAN_KEY]
        kind = pa.array([self.kind.removeprefix("ambulance_")] * self._rows.num_rows, pa.string())
        own = [kind, *(_plain(self._rows[c]).cast(pa.string()) for c in ("first_code", *_SPAN_KEY[2:]))]
        of_history, of_rows = (_plain(pc.binary_join_element_wise(*k, _LIST_SEPARATOR)) for k in (keys, own))
        return _plain(history[name]).take(pc.index_in(of_rows, of_history, skip_nulls=True))

    def _compile(self) -> None:
        count = self._rows.num_rows
        first_codes = keys_of_texts(_plain(self._rows["first_code"]), self.width)
        last_codes = keys_of_texts(_plain(self._rows["last_code"]), self.width)
        is_interval = _flags(self._rows["is_interval"])
        from_day = self._rows["from_day"].cast(pa.int32()).to_numpy().astype(np.int64)
        begins = np.append(True, (first_codes[1:] != first_codes[:-1]) | (is_interval[1:] != is_interval[:-1]))[:count]
        self._starts = starts = np.flatnonzero(begins)
        bounds = np.unique(from_day[~begins]) if (~begins).any() else np.zeros(1, np.int64)
        # From 1970 to long after the newest release, so that nearly every claim's day is its own place in the table.
        self._first_day = min(int(bounds[0]) - 1, 0)
        lengths = np.diff(bounds, prepend=self._first_day, append=bounds[-1] + _DAYS_BEHIND)
        self._period_of_day = np.repeat(np.arange(len(lengths), dtype=np.int32), lengths)
        #: Periods, the one of lines without a day included.
        self.periods = len(bounds) + 2
        if (len(starts) + 1) * self.periods >= 2**31:
            raise HcpcsError("hcpcs_validity has too many codes and days for one table of code and period")

        period = np.where(begins, 0, np.searchsorted(bounds, from_day, side="right"))
        width = np.where(np.append(begins[1:], True)[:count], self.periods - 1, np.append(period[1:], 0)) - period
        if (first_codes < 0).any() or (width < 1).any():
            raise HcpcsError(f"hcpcs_validity does not say once what each {self.kind} is on each day")
        cells = np.empty((len(starts) + 1, self.periods), np.int32)
        cells[:-1, :-1] = np.repeat(np.arange(count, dtype=np.int32), width).reshape(len(starts), self.periods - 1)
        cells[:-1, -1] = np.arange(len(starts)) + count
        # The last row is for what has no shape; also where key -1 wraps to.
        cells[-1, :-1], cells[-1, -1] = count + len(starts), count + len(starts) + 1
        # As narrow as the answers' numbers allow: the less the table weighs, the more of it stays near the processor.
        self._table = cells.ravel().astype(np.min_scalar_type(count + len(starts) + 1))
        self._answer_row = np.concatenate([np.arange(count), starts, [-1, -1]]).astype(np.int32)
        self._is_dated = np.arange(len(self._answer_row)) < count
        stated = pc.index_in(_plain(self._rows["status"]), pa.array(STATUSES)).to_numpy().astype(np.int8)
        self.status = np.concatenate([stated, np.full(len(starts), NO_DATE), [UNKNOWN_SHAPE, NO_DATE]]).astype(np.int8)

        start = np.full((CODE_KEYS if self.width == 5 else MODIFIER_KEYS) + 1, len(starts), np.int32)
        for row, place in enumerate(starts):
            if is_interval[place]:
                first, last = first_codes[place], last_codes[place]
                # A shape ends in a digit, any, or in one letter.
                ends_in_digit = first % 36 < 10
                keys = np.arange(first, last + 1, 1 if ends_in_digit else 36)
                start[keys[keys % 36 < 10] if ends_in_digit else keys] = row
        own = np.flatnonzero(~is_interval[starts])
        start[first_codes[starts[own]]] = own
        self._start_of_key = start * np.int32(self.periods)


def take(values: np.ndarray, places: np.ndarray) -> np.ndarray:
    """``values`` at ``places``, which must all be within: Arrow's gather needs no wider index and holds no lock."""
    taken = pc.take(pa.array(values), pa.array(places), boundscheck=False)
    result: np.ndarray = taken.to_numpy(zero_copy_only=True)
    return result


def _flags(column: pa.ChunkedArray) -> np.ndarray:
    flags: np.ndarray = column.to_numpy()
    return flags


def _plain(column: pa.ChunkedArray | pa.Array) -> pa.Array:
    """A column as one array; lists as text, joined, empty ones null."""
    values = column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
    if isinstance(values, pa.ChunkedArray):
        values = pa.concat_arrays(values.chunks) if values.num_chunks else pa.array([], values.type)
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_list(values.type) or pa.types.is_large_list(values.type):
        values = values.cast(pa.list_(pa.string()))
        joined = pc.binary_join(values, _LIST_SEPARATOR)
        return pc.if_else(pc.equal(joined, ""), pa.scalar(None, pa.string()), joined)
    return values.cast(pa.string()) if pa.types.is_large_string(values.type) else values
