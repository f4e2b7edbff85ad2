"""The data dictionary: what the contracts and the lineage say of every published column. Reads nothing else."""

from __future__ import annotations

import polars as pl

from pipeline.lineage.columns import SOURCES, column_inputs, direct_sources
from schemas.registry import contract, contracts

#: Columns that a source names; all are in the row's lineage.
_MOST_NAMED = 3


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
            "source": c.source or _source(name, c.name),
            "license": c.license_id,
            "lineage": [str(ref) for ref in column_inputs(name, c.name)],
        }
        for name, table in contracts().items()
        for position, c in enumerate(table.columns, 1)
    ]
    return pl.DataFrame(rows, schema=contract("data_dictionary").polars_schema)


def _source(table: str, column: str) -> str:
    """Where a column comes from whose contract names no place: fields that are read, or columns it is derived from."""
    read = sorted(
        {
            f"{SOURCES[f.source].title}, {f.field}" if f.field else SOURCES[f.source].title
            for f in direct_sources(table, column)
        }
    )
    inputs = [str(ref) for ref in column_inputs(table, column)]
    if read and not inputs:
        return "; ".join(read)
    if not read and not inputs:
        return "hcpcs: the same in every row"
    return f"hcpcs: derived from {'; '.join([*read, *inputs][:_MOST_NAMED])}" + (
        f" and {len(read) + len(inputs) - _MOST_NAMED} more" if len(read) + len(inputs) > _MOST_NAMED else ""
    )
