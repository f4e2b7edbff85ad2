"""Contract of ``data_dictionary``: every published column, described. Nothing here reads or writes."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import DERIVED, LICENSE_CC0, column, table_facts, text_list


class DataDictionary(pa.DataFrameModel):
    """One row per table and column: type, key, description, source, license and lineage, from the contracts."""

    table_name: str = column("Table, and Parquet file.", source=DERIVED, license_id=LICENSE_CC0)
    position: pl.Int32 = column(
        "Place of the column in its table, from 1.", source=DERIVED, ge=1, license_id=LICENSE_CC0
    )
    column_name: str = column("Column.", source=DERIVED, license_id=LICENSE_CC0)
    type: str = column("Arrow type.", source=DERIVED, license_id=LICENSE_CC0)
    is_key: bool = column("Whether the column belongs to the primary key.", source=DERIVED, license_id=LICENSE_CC0)
    nullable: bool = column("Whether it may be null.", source=DERIVED, license_id=LICENSE_CC0)
    description: str = column("What it means.", source=DERIVED, license_id=LICENSE_CC0)
    source: str = column(
        "Where CMS, another publisher or a curated file states it, or what this project derives it from; never empty.",
        source=DERIVED,
        license_id=LICENSE_CC0,
    )
    license: str = column(
        "License of the column's text, unless the row states another.", source=DERIVED, license_id=LICENSE_CC0
    )
    lineage: pl.List = text_list(
        "Columns (`table.column`) that it is made from.", source=DERIVED, license_id=LICENSE_CC0
    )

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["table_name", "column_name"]
        metadata = table_facts("reference", derived_from="contracts")
