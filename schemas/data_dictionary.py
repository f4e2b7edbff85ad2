"""Contract of ``data_dictionary``: every published column, described. Nothing here reads or writes."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import LICENSE_OURS, MADE_BY_US, column, table_facts, text_list


class DataDictionary(pa.DataFrameModel):
    """One row per table and column: type, key, meaning, source, license and lineage, as the contracts state them."""

    table_name: str = column("Table, and Parquet file.", source=MADE_BY_US, license_id=LICENSE_OURS)
    position: pl.Int32 = column(
        "Place of the column in its table, from 1.", source=MADE_BY_US, ge=1, license_id=LICENSE_OURS
    )
    column_name: str = column("Column.", source=MADE_BY_US, license_id=LICENSE_OURS)
    type: str = column("Arrow type.", source=MADE_BY_US, license_id=LICENSE_OURS)
    is_key: bool = column("Whether the column belongs to the primary key.", source=MADE_BY_US, license_id=LICENSE_OURS)
    nullable: bool = column("Whether it may be null.", source=MADE_BY_US, license_id=LICENSE_OURS)
    description: str = column("What it means.", source=MADE_BY_US, license_id=LICENSE_OURS)
    source: str = column(
        "Where CMS or another publisher states it; empty where this project makes it.",
        source=MADE_BY_US,
        license_id=LICENSE_OURS,
    )
    license: str = column(
        "License of the column's text, unless the row says otherwise.", source=MADE_BY_US, license_id=LICENSE_OURS
    )
    lineage: pl.List = text_list(
        "Columns (`table.column`) that it is made from.", source=MADE_BY_US, license_id=LICENSE_OURS
    )

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["table_name", "column_name"]
        metadata = table_facts("reference", made_from="contracts")
