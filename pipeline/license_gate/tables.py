"""A table of any format as columns of texts: each distinct text once, and the rows that a text is in."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import polars as pl
import pyarrow
import pyarrow.parquet
from polars.selectors import by_name

from pipeline.license_gate.text_files import texts_of_json
from pipeline.license_gate.tokens import FOREIGN_CODE

#: The code that a row is about, by the names that the field's formats give it.
CODE_COLUMNS = ("code", "concept_code", "hcpcs", "hcpc")
#: Texts of a table, each once in a column.
_TEXTS = {"column": pl.String, "text": pl.String}


#: Encodings that pyarrow reads into dictionaries: those that it and polars write, not the newer ones of DuckDB.
_READ_INTO_DICTIONARIES = {"PLAIN", "RLE", "BIT_PACKED", "PLAIN_DICTIONARY", "RLE_DICTIONARY"}


@dataclass(frozen=True)
class Table:
    """A table to look at: its columns' types, its rows, its key, and the Parquet file that it is in, if it is in one.

    Rows are read where a text of theirs holds something: of a file, its dictionaries have each text once.
    """

    name: str
    rows: pl.LazyFrame
    schema: Mapping[str, pl.DataType]
    key: tuple[str, ...] = ()
    file: Path | None = None

    def read(self, columns: Iterable[str]) -> pl.DataFrame:
        """Some columns, of all rows."""
        return self.rows.select(by_name(*columns)).collect()

    @cached_property
    def texts(self) -> pl.DataFrame:
        """``column`` and ``text``: the texts of each column, of a file also those that its dictionaries alone have."""
        if self.file is None:
            return texts_of_rows(self.rows, self.schema)
        flat = [c for c, dtype in self.schema.items() if isinstance(dtype, pl.String | pl.Categorical | pl.Enum)]
        flat = _readable_by_dictionary(self.file, flat)
        others = {column: dtype for column, dtype in self.schema.items() if column not in flat}
        return pl.concat([_texts_of_dictionaries(self.file, flat), texts_of_rows(self.rows, others)])

    def names_others(self, column: str) -> pl.Expr:
        """Whether a column has another owner's code."""
        if self.schema[column] != pl.String:
            return pl.col(column).str.contains(FOREIGN_CODE)
        codes = self.texts.filter(pl.col("column") == column)["text"]
        return pl.col(column).is_in(codes.filter(codes.str.contains(FOREIGN_CODE)).implode())

    @cached_property
    def is_foreign(self) -> pl.Expr:
        """Whether a row is about another owner's code."""
        foreign = [self.names_others(c).fill_null(False) for c in CODE_COLUMNS if c in self.schema]
        if "redistribution" in self.schema:
            foreign.append(pl.col("redistribution") == "withheld")
        return pl.any_horizontal(foreign) if foreign else pl.lit(False)

    @cached_property
    def flags(self) -> pl.DataFrame:
        """Per row: whether it is about another owner's code, and its flags; null where the table has no such column."""
        flags = {
            "is_foreign": self.is_foreign,
            "cites_cpt": pl.col("cites_cpt") if "cites_cpt" in self.schema else pl.lit(None, pl.Boolean),
            "field": pl.col("field") if "field" in self.schema else pl.lit(None, pl.String),
        }
        return self.rows.with_columns(**flags).select(*flags).collect()

    def row_keys(self, rows: Sequence[int]) -> list[str]:
        """What names each of the rows: its primary key, or its number."""
        if not self.key:
            return [f"row {row + 1}" for row in rows]
        values = self.read(self.key)[list(rows)].iter_rows(named=True)
        return [", ".join(f"{k}={v}" for k, v in one.items()) for one in values]


def is_json_list(values: pl.Series) -> bool:
    """Whether a column has lists or objects written as JSON."""
    return values.dtype == pl.String and bool(values.drop_nulls().str.contains(r"^[\[{]").any())


def list_of_json(values: pl.Series) -> pl.Series:
    """The column with JSON lists of texts as lists; what is none is a list of the whole."""

    def read(text: str | None) -> list[str]:
        try:
            return [one for _, _, one in texts_of_json(text or "[]")]
        except ValueError:
            return [text or ""]

    return pl.Series(values.name, [read(text) for text in values], dtype=pl.List(pl.String))


def may_hold_text(dtype: pl.DataType) -> bool:
    """Whether a column of this type has texts, or bytes that may be some, also within lists and structs."""
    if isinstance(dtype, pl.List | pl.Array):
        return may_hold_text(dtype.inner)  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        return any(may_hold_text(f.dtype) for f in dtype.fields)  # type: ignore[arg-type]
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Binary) or dtype == pl.String


def texts_of_rows(rows: pl.LazyFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """``column`` and ``text``: the distinct texts of each column, down through lists and structs."""
    plain = [by_name(c).unique().implode() for c, dtype in schema.items() if dtype == pl.String]
    lists = [by_name(c).explode().unique().implode() for c, dtype in schema.items() if dtype == pl.List(pl.String)]
    each = rows.select(*plain, *lists).collect()
    found = [each.unpivot(variable_name="column", value_name="text").explode("text").cast(pl.String)]
    for column, dtype in schema.items():
        if dtype not in (pl.String, pl.List(pl.String)) and may_hold_text(dtype):
            values = rows.select(by_name(column).alias("text")).collect()
            found += [t.select(pl.lit(column).alias("column"), "text").unique() for _, t in _unpacked(column, values)]
    return pl.concat(found).drop_nulls()


def _readable_by_dictionary(path: Path, columns: list[str]) -> list[str]:
    """Those of ``columns`` that pyarrow reads into dictionaries: by their encodings, and a name that no other has."""
    metadata = pyarrow.parquet.read_metadata(path)
    groups = [metadata.row_group(number) for number in range(metadata.num_row_groups)]
    encodings: dict[str, set[str]] = {}
    for chunk in (group.column(number) for group in groups for number in range(metadata.num_columns)):
        encodings.setdefault(chunk.path_in_schema, set()).update(chunk.encodings)
    # The column `b` within `a` and a column `a.b` have one path.
    paths = [metadata.schema.column(number).path for number in range(metadata.num_columns)]
    alone = [c for c in columns if sum(f"{path}.".startswith(f"{c}.") for path in paths) == 1]
    return [column for column in alone if encodings.get(column, {""}) <= _READ_INTO_DICTIONARIES]


def _texts_of_dictionaries(path: Path, columns: list[str]) -> pl.DataFrame:
    """``column`` and ``text``: the texts in the dictionaries of a Parquet file, without reading its rows."""
    found: dict[str, list[pyarrow.Array]] = {}
    with pyarrow.parquet.ParquetFile(path, read_dictionary=columns) as file:
        for group in range(file.num_row_groups):
            part = file.read_row_group(group, columns=columns, use_threads=False)
            for column, values in zip(part.column_names, part.columns, strict=True):
                parts = [chunk.dictionary.cast(pyarrow.string()) for chunk in values.dictionary_encode().chunks]
                found.setdefault(column, []).extend(parts)
    texts = pyarrow.chunked_array([part for parts in found.values() for part in parts], pyarrow.string())
    texts.validate(full=True)
    names = pl.Series("column", list(found), dtype=pl.String)
    counts = pl.Series([sum(map(len, parts)) for parts in found.values()], dtype=pl.UInt32)
    return pl.DataFrame({"column": names.repeat_by(counts).explode(), "text": pl.from_arrow(texts)}, schema=_TEXTS)


def texts_of_column(values: pl.Series) -> Iterator[tuple[str, pl.DataFrame]]:
    """The texts of a column with their rows, down through lists and structs."""
    yield from _unpacked(
        values.name, pl.DataFrame({"row": pl.int_range(values.len(), dtype=pl.UInt32, eager=True), "text": values})
    )


def _unpacked(name: str, texts: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """A frame with a column ``text`` of any type, with texts there alone."""
    dtype = texts.schema["text"]
    if isinstance(dtype, pl.Array):
        texts = texts.with_columns(pl.col("text").arr.to_list())
        dtype = texts.schema["text"]
    if isinstance(dtype, pl.List):
        yield from _unpacked(name, texts.explode("text"))
    elif isinstance(dtype, pl.Struct):
        for inner in dtype.fields:
            if may_hold_text(inner.dtype):  # type: ignore[arg-type]
                part = texts.with_columns(pl.col("text").struct.field(inner.name).alias("text"))
                yield from _unpacked(f"{name}.{inner.name}", part)
    elif isinstance(dtype, pl.Binary):
        decoded = pl.col("text").map_elements(_decoded, return_dtype=pl.String)
        yield name, texts.with_columns(decoded).drop_nulls("text")
    else:
        yield name, texts.with_columns(pl.col("text").cast(pl.String)).drop_nulls("text")


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")
