"""Contract of ``data_dictionary``: every published column, described. Nothing here reads or writes."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import LICENSE_OURS, column, text_list


class DataDictionary(pa.DataFrameModel):
    """One row per table and column: type, key, meaning, source, license and lineage, as the contracts state them."""

    table_name: str = column("Table, and Parquet file.", license_id=LICENSE_OURS)
    position: pl.Int32 = column("Place of the column in its table, from 1.", ge=1, license_id=LICENSE_OURS)
    column_name: str = column("Column.", license_id=LICENSE_OURS)
    type: str = column("Arrow type.", license_id=LICENSE_OURS)
    is_key: bool = column("Whether the column belongs to the primary key.", license_id=LICENSE_OURS)
    nullable: bool = column("Whether it may be null.", license_id=LICENSE_OURS)
    description: str = column("What it means.", license_id=LICENSE_OURS)
    source: str = column(
        "Where CMS or another publisher states it; empty where this project makes it.", license_id=LICENSE_OURS
    )
    license: str = column("License of the column's text, unless the row says otherwise.", license_id=LICENSE_OURS)
    lineage: pl.List = text_list("Columns (`table.column`) that it is made from.", license_id=LICENSE_OURS)

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["table_name", "column_name"]
