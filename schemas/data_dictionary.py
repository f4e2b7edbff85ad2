"""Contract of ``data_dictionary``: every published column, described. Nothing here reads or writes."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import TableFacts, derived


class DataDictionary(pa.DataFrameModel):
    """One row per table and column: type, key, description, source, license and lineage, from the contracts."""

    table_name: str = derived("Table, and Parquet file.")
    position: pl.Int32 = derived("Place of the column in its table, from 1.", ge=1)
    column_name: str = derived("Column.")
    type: str = derived("Arrow type.")
    is_key: bool = derived("Whether the column belongs to the primary key.")
    nullable: bool = derived("Whether it may be null.")
    description: str = derived("What it means.")
    source: str = derived(
        "Where CMS, another publisher or a curated file states it, or what this project derives it from; never empty."
    )
    license: str = derived("License of the column's text, unless the row states another.")
    lineage: pl.List = derived("Columns (`table.column`) that it is made from.", of=pl.String)

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["table_name", "column_name"]
        metadata = TableFacts("reference", derived_from="contracts")
