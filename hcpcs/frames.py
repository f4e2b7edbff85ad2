"""Frames of any library, taken through the Arrow PyCapsule interface and given back in the caller's kind.

No library of frames is imported here but the caller's own.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from datetime import date
from numbers import Real
from typing import Any

import pyarrow as pa

from hcpcs.annotate.values import UnusableColumn, is_text
from hcpcs.errors import in_one_line


@dataclass(frozen=True)
class Frame:
    """A caller's frame: ``names``, some of its columns as Arrow, and the frame with columns added."""

    given: Any

    @property
    def names(self) -> list[str]:
        """The names of its columns."""
        names: list[str] = self.given.column_names
        return names

    def columns(self, names: list[str]) -> pa.Table:
        """Columns as Arrow, texts of one type; raises ``UnusableColumn`` for values that Arrow has no type for."""
        try:
            return _one_kind_of_text(self._columns(names))
        except (pa.ArrowException, TypeError, UnicodeError) as error:
            for name in names if len(names) > 1 else ():
                self.columns([name])
            raise UnusableColumn(f"{', '.join(names)}: Arrow cannot read the column: {in_one_line(error)}") from None

    def _columns(self, names: list[str]) -> pa.Table:
        return self.given.select(names)

    def extended(self, columns: pa.Table) -> Any:
        """The frame with ``columns``, which replace those of the same name."""
        table = self.given
        for name in columns.column_names:
            if name in table.column_names:
                table = table.set_column(table.column_names.index(name), name, columns[name])
            else:
                table = table.append_column(name, columns[name])
        return table


class _RecordBatch(Frame):
    def extended(self, columns: pa.Table) -> Any:
        table = super().extended(columns).combine_chunks()
        return table.to_batches()[0] if table.num_rows else pa.RecordBatch.from_pylist([], schema=table.schema)


class _Reader(Frame):
    def extended(self, columns: pa.Table) -> Any:
        return super().extended(columns).to_reader()


@dataclass(frozen=True)
class _Relation(Frame):
    relation: Any

    def extended(self, columns: pa.Table) -> Any:
        hcpcs_annotated = super().extended(columns)
        # In the relation's own connection, where DuckDB finds the variable by its name and keeps what it holds.
        answer = self.relation.query("_hcpcs_claims", "FROM hcpcs_annotated")
        del hcpcs_annotated
        return answer


class _Polars(Frame):
    @property
    def names(self) -> list[str]:
        names: list[str] = self.given.columns
        return names

    def _columns(self, names: list[str]) -> pa.Table:
        return self.given.select(names).to_arrow()

    def extended(self, columns: pa.Table) -> Any:
        return self.given.with_columns(sys.modules["polars"].from_arrow(columns).get_columns())


class _LazyPolars(_Polars):
    def extended(self, columns: pa.Table) -> Any:
        return super().extended(columns).lazy()


class _Pandas(Frame):
    @property
    def names(self) -> list[str]:
        return [name for name in self.given.columns if isinstance(name, str)]

    def _columns(self, names: list[str]) -> pa.Table:
        columns = self.given[names]
        try:
            return pa.Table.from_pandas(columns, preserve_index=False)
        except (pa.ArrowInvalid, pa.ArrowTypeError) as error:
            mixed = {
                n: columns[n].astype("string") for n in names if columns[n].dtype == object and _is_mixed(columns[n])
            }
            if mixed:
                return _Pandas(columns.assign(**mixed))._columns(names)
            why = "; ".join(map(str, error.args))
            raise UnusableColumn(f"the frame has a column of mixed values: {why}; make it one type") from None

    def extended(self, columns: pa.Table) -> Any:
        pandas = sys.modules["pandas"]
        kinds = {pa.int32(): pandas.Int32Dtype(), pa.bool_(): pandas.BooleanDtype()}
        added = columns.to_pandas(types_mapper=kinds.get)
        added.index = self.given.index
        return self.given.assign(**{name: added[name] for name in added.columns})


def _is_mixed(values: Any) -> bool:
    """Whether a column has texts, numbers or days beside each other, as workbooks give them: all are read as texts."""
    there = values.dropna()
    kinds = {type(value) for value in there}
    return len(kinds) > 1 and bool not in kinds and all(issubclass(kind, str | Real | date) for kind in kinds)


def frame_of(given: Any) -> Frame:
    """A frame of polars (eager, lazy), pandas, PyArrow, DuckDB, or whatever exports an Arrow stream.

    A lazy frame and a stream are read to their ends. Raises ``TypeError`` for anything else.
    """
    library = type(given).__module__.partition(".")[0]
    if library == "polars" and hasattr(given, "collect"):
        return _LazyPolars(given.collect())
    if library == "polars" and hasattr(given, "get_columns"):
        return _Polars(given)
    if library == "pandas" and hasattr(given, "columns"):
        return _Pandas(given)
    if isinstance(given, pa.Table):
        return Frame(given)
    if isinstance(given, pa.RecordBatch):
        return _RecordBatch(pa.table(given))
    if hasattr(given, "__arrow_c_stream__"):
        table = pa.table(given)
        if isinstance(given, pa.RecordBatchReader):
            return _Reader(table)
        return _Relation(table, given) if "duckdb" in library else Frame(table)
    raise TypeError(
        f"{type(given).__name__} is not a frame: pass a frame of polars, pandas, PyArrow or DuckDB, or an object with"
        " __arrow_c_stream__"
    )


def texts_of(values: Any) -> pa.Array:
    """Texts of a list, a column of any library or an Arrow array; raises ``TypeError`` for what holds no texts."""
    if isinstance(values, str) or not (hasattr(values, "__iter__") or hasattr(values, "__arrow_c_stream__")):
        raise TypeError("pass a list or column of codes; put a single code into a list")
    try:
        if hasattr(values, "__arrow_c_stream__") or isinstance(values, pa.ChunkedArray):
            array = pa.chunked_array(values).combine_chunks()
        else:
            array = pa.array(values, from_pandas=True)  # nan is a missing text
    except (pa.ArrowException, UnicodeError) as error:
        raise TypeError(f"the codes are not all texts: {in_one_line(error)}") from None
    encoded = pa.types.is_dictionary(array.type)
    kind = array.type.value_type if encoded else array.type
    if not is_text(kind) and not pa.types.is_null(kind):
        raise TypeError(f"the codes are {kind}, not text: leading zeros and letters are part of a code")
    if encoded and is_text(kind):
        # Arrow cannot decode a dictionary of views, which categories and enums of polars are.
        array = array.cast(pa.dictionary(pa.int32(), pa.string()))
    return array.cast(pa.string())


def like(values: Any, table: pa.Table) -> Any:
    """A table in the kind of the values that it answers: a list as a list of rows, a column as its library's frame."""
    library = type(values).__module__.partition(".")[0]
    if library == "polars":
        return sys.modules["polars"].from_arrow(table)
    if library == "pandas":
        answer = table.to_pandas()
        answer.index = getattr(values, "index", answer.index)
        return answer
    return table if library == "pyarrow" else table.to_pylist()


def _one_kind_of_text(table: pa.Table) -> pa.Table:
    """Texts as plain strings, and dictionaries of texts with plain strings and 32-bit places."""
    fields = []
    for field in table.schema:
        kind = field.type
        if pa.types.is_dictionary(kind) and is_text(kind.value_type):
            field = field.with_type(pa.dictionary(pa.int32(), pa.string()))
        elif is_text(kind):
            field = field.with_type(pa.string())
        fields.append(field)
    return table.cast(pa.schema(fields))
