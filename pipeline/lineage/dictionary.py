"""The data dictionary: what the contracts and the lineage say of every published column. Reads nothing else."""

from __future__ import annotations

import polars as pl

from pipeline.lineage.columns import column_inputs
from schemas.registry import contract, contracts


def dictionary() -> pl.DataFrame:
    """``data_dictionary``: one row per published table and column, from the contracts."""
    rows = [
        {
            "table_name": name,
            "position": position,
            "column_name": c.name,
            "type": c.type,
            "is_key": c.is_key,
            "nullable": c.nullable,
            "description": c.description,
            "source": c.source,
            "license": c.license_id,
            "lineage": [str(ref) for ref in column_inputs(name, c.name)],
        }
        for name, table in contracts().items()
        for position, c in enumerate(table.columns, 1)
    ]
    return pl.DataFrame(rows, schema=contract("data_dictionary").polars_schema)
