"""The staged tables of one release: what each is called, and which part of what was read goes into it."""

from __future__ import annotations

import polars as pl

from sources.release.release import ReleaseRead
from sources.side_files.kinds import SIDE_TABLES

#: Every staged table, in order.
STAGED = (
    "staged_records",
    "staged_revisions",
    "staged_findings",
    *(f"staged_{table}" for table in SIDE_TABLES.values()),
)


def staged_tables(read: ReleaseRead) -> dict[str, pl.DataFrame]:
    """The tables of ``STAGED`` for one release."""
    side = {f"staged_{table}": read.side[role] for role, table in SIDE_TABLES.items()}
    return {
        "staged_records": read.records,
        "staged_revisions": read.revisions,
        "staged_findings": read.findings,
    } | side
