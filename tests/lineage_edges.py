"""The steps of a column's lineage, walked one by one: what a drawing must have."""

from __future__ import annotations

from pipeline.lineage.columns import ColumnRef, SourceField, column_inputs, direct_sources


def edges_to_sources(table: str, column: str) -> tuple[tuple[ColumnRef | SourceField, ColumnRef], ...]:
    """Every step behind a column as (from, to), those nearest to the column first, each once."""
    edges: dict[tuple[ColumnRef | SourceField, ColumnRef], None] = {}
    way = [ColumnRef(table, column)]
    for to in way:
        for found in (*column_inputs(to.table, to.column), *direct_sources(to.table, to.column)):
            edges[found, to] = None
            if isinstance(found, ColumnRef) and found not in way:
                way.append(found)
    return tuple(edges)
