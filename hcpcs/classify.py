"""What a code is by its format: code system, section, family, steward, license, days, and what else it may be.

Everything here follows from four published tables, read by pyarrow: ``code_systems`` (formats and days),
``code_sections`` and ``code_families`` (dated intervals) and ``code_lookalikes`` (formats of other code sets), so that
the SQL in docs/classify.md answers the same. Whether a code exists is not decided here.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hcpcs.annotate.parsing import read_codes
from hcpcs.annotate.values import flags

#: The code system of what has the format of none, null and the empty string included.
UNKNOWN_SHAPE = "unknown_shape"
#: The license of codes whose owner is not known.
_LICENSE_UNKNOWN = "LicenseRef-Unknown"
#: The tables that a ``Classifier`` is made from, in order.
TABLES = ("code_systems", "code_sections", "code_families", "code_lookalikes")
#: The columns of ``Classifier.classes``, in order.
CLASS_COLUMNS = (
    "code_system",
    "system",
    "level",
    "category",
    "section",
    "family",
    "steward",
    "license_id",
    "system_status",
    "system_valid_from",
    "system_valid_to",
    "may_also_be",
)
#: The order of a system's days and a day: ``system_status``.
SYSTEM_STATUSES = ("in_effect", "not_yet_valid", "system_ended")


class Classifier:
    """Classifies codes by the published tables ``TABLES``."""

    def __init__(self, systems: pa.Table, sections: pa.Table, families: pa.Table, lookalikes: pa.Table) -> None:
        self._systems = systems.filter(pc.is_valid(systems["code_pattern"])).combine_chunks()
        newest = ("valid_from", "descending")
        self._sections = _ordered(sections, [("depth", "descending"), newest])
        self._families = _ordered(families, [newest])
        self._lookalikes = lookalikes

    def read(self, values: pa.Array, day: dt.date | None = None) -> pa.Table:
        """Texts as people have them: ``given``, the ``code`` read from it, modifiers ``cut_off``, and its classes.

        A text of no code's format is classified as it is, trimmed and upper-cased. What else it may be follows from
        the whole text.
        """
        given = values.cast(pa.string())
        codes = read_codes(given)
        whole = pc.ascii_upper(pc.utf8_trim_whitespace(given))
        code = pc.coalesce(codes.texts(), whole)
        classes = self.classes(code, day)
        place = classes.column_names.index("may_also_be")
        classes = classes.set_column(place, "may_also_be", self.lookalikes(whole, day))
        first = pa.table({"given": given, "code": code, "cut_off": codes.modifiers})
        return pa.table([*first.columns, *classes.columns], [*first.column_names, *classes.column_names])

    def classes(self, codes: pa.Array, day: dt.date | None = None) -> pa.Table:
        """``CLASS_COLUMNS`` of each text, compared as it is; total, null included.

        ``day`` decides ``system_status`` (``SYSTEM_STATUSES``) and chooses among sections, families and other code
        sets; without one a system that has an end is ``system_ended``, and the newest section is taken.
        """
        systems, system = self._systems, self._system(codes)
        place = pa.array(system, mask=system < 0)
        fact = {name: systems[name].combine_chunks().take(place) for name in systems.column_names}
        is_given = pc.fill_null(pc.not_equal(codes, ""), False)
        unknown = pc.if_else(is_given, pa.scalar(_LICENSE_UNKNOWN), pa.scalar(None, pa.string()))
        columns = {
            "code_system": pc.fill_null(fact["code_system_id"], UNKNOWN_SHAPE),
            **{name: fact[name] for name in ("system", "level", "category", "steward")},
            "section": self._interval(self._sections, "section_id", codes, system, day),
            "family": self._interval(self._families, "family_id", codes, system, day),
            "license_id": pc.coalesce(fact["license_id"], unknown),
            "system_status": _system_status(fact["valid_from"], fact["valid_to"], system, day),
            "system_valid_from": fact["valid_from"],
            "system_valid_to": fact["valid_to"],
            "may_also_be": self.lookalikes(codes, day),
        }
        return pa.table({name: columns[name] for name in CLASS_COLUMNS})

    def sections(self, codes: pa.Array, day: dt.date | None = None) -> pa.Array:
        """The deepest section whose interval contains each code, on ``day`` if one is given; null if none does."""
        return self._interval(self._sections, "section_id", codes, self._system(codes), day)

    def lookalikes(self, codes: pa.Array, day: dt.date | None = None) -> pa.Array:
        """The other code sets that have codes of each format on ``day``, sorted; a list, empty if there are none."""
        rows = _on(self._lookalikes, day).select(["code_set", "code_pattern"]).to_pylist()
        names = sorted({row["code_set"] for row in rows})
        found = np.zeros((len(codes), len(names)), bool)
        for row in rows:
            found[:, names.index(row["code_set"])] |= flags(pc.match_substring_regex(codes, row["code_pattern"]))
        ends = np.append(0, found.sum(axis=1).cumsum()).astype(np.int32)
        sets = pa.array(names, pa.string()).take(pa.array(np.nonzero(found)[1]))
        return pa.ListArray.from_arrays(pa.array(ends, pa.int32()), sets)

    def _system(self, codes: pa.Array) -> np.ndarray:
        """The row of the one code system that has each code's format, else -1."""
        system = np.full(len(codes), -1, np.int32)
        for row, pattern in enumerate(self._systems["code_pattern"].to_pylist()):
            system[flags(pc.match_substring_regex(codes, pattern))] = row
        return system

    def _interval(
        self, table: pa.Table, name: str, codes: pa.Array, system: np.ndarray, day: dt.date | None
    ) -> pa.Array:
        """The id of the first interval of ``table`` that contains each code on ``day``; null if none does."""
        rows = _on(table, day)
        chosen = np.full(len(codes), -1, np.int32)
        there = {self._systems["code_system_id"][int(row)].as_py(): row for row in np.unique(system[system >= 0])}
        for number, row in enumerate(rows.select(["code_system_id", "first_code", "last_code"]).to_pylist()):
            if row["code_system_id"] not in there:
                continue
            # Within one format, the order of text is the order of numbers.
            places = np.flatnonzero((chosen < 0) & (system == there[row["code_system_id"]]))
            some = codes.take(pa.array(places))
            fits = flags(pc.greater_equal(some, row["first_code"]))
            if row["last_code"] is not None:
                fits &= flags(pc.less_equal(some, row["last_code"]))
            chosen[places[fits]] = number
        return rows[name].combine_chunks().cast(pa.string()).take(pa.array(chosen, mask=chosen < 0))


def _system_status(start: pa.Array, end: pa.Array, system: np.ndarray, day: dt.date | None) -> pa.Array:
    ended = pc.is_valid(end) if day is None else pc.less(end, pa.scalar(day))
    early = pa.array(np.zeros(len(system), bool)) if day is None else pc.greater(start, pa.scalar(day))
    in_effect, not_yet_valid, system_ended = SYSTEM_STATUSES
    order = np.select([system < 0, flags(ended), flags(early)], [-1, 2, 1], 0)
    return pa.array([in_effect, not_yet_valid, system_ended]).take(pa.array(order, mask=order < 0))


def _ordered(table: pa.Table, order: Sequence[tuple[str, str]]) -> pa.Table:
    return table.take(pc.sort_indices(table, list(order)))


def _on(table: pa.Table, day: dt.date | None) -> pa.Table:
    """The rows of ``table`` that are valid on ``day``; all without one."""
    if day is None:
        return table
    begun = pc.fill_null(pc.less_equal(table["valid_from"], pa.scalar(day)), True)
    open_ = pc.fill_null(pc.greater_equal(table["valid_to"], pa.scalar(day)), True)
    return table.filter(pc.and_(begun, open_))
