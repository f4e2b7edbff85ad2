"""The small tables of a release as one table of one row, and back: each of them is a list of rows within it.

Dagster keeps two events for each table and release, which takes longer than reading these tables does: one file and
one asset hold all that a release says beside its records.
"""

from __future__ import annotations

import polars as pl

from sources.release.release import ReleaseRead

#: The table within the table, by the role of the side files that it is read from.
SIDE_TABLES = {
    "transaction_report": "transactions",
    "corrections": "corrections",
    "noc_codes": "unlisted_codes",
    "processing_notes": "notes",
}


def nested_tables(read: ReleaseRead) -> pl.DataFrame:
    """One row: ``revisions``, ``findings`` and each of ``SIDE_TABLES``, a list of that table's rows."""
    inner = {"revisions": read.revisions, "findings": read.findings}
    inner |= {SIDE_TABLES[role]: frame for role, frame in read.side.items()}
    return pl.DataFrame({name: frame.to_struct(name).implode() for name, frame in inner.items()})


def inner_table(nested: pl.DataFrame, name: str) -> pl.DataFrame:
    """One of the tables of ``nested_tables``, the rows of all releases together, in order."""
    return nested.select(pl.col(name)).filter(pl.col(name).list.len() > 0).explode(name).unnest(name)
