"""Contract of ``hcpcs_release_records``: what CMS stated, release by release. Nothing here reads or writes."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import (
    SHA256,
    LicenseColumns,
    RecordContent,
    TableFacts,
    column,
    hcpcs_code,
    record_kind,
    release_id,
    revision,
)


class RecordKey(pa.DataFrameModel):
    """Which record of which release."""

    code: str = hcpcs_code()
    kind: str = record_kind()
    release_id: str = release_id()
    revision: pl.Int32 = revision()


class RecordDates(pa.DataFrameModel):
    """The dates and the action that a record states."""

    added_date: pl.Date = column(
        "Day on which the code was added.", source="CMS record, positions 269-276", nullable=True
    )
    action_effective_date: pl.Date = column(
        "First day of the last action; null where the release leaves it blank.",
        source="CMS record, positions 277-284",
        nullable=True,
    )
    termination_date: pl.Date = column(
        "Last day on which the code may be used.", source="CMS record, positions 285-292", nullable=True
    )
    action_code: str = column(
        "CMS's code for what it changed in this release, see `hcpcs_codebook`.",
        source="CMS record, positions 293",
        nullable=True,
    )


class RecordSource(pa.DataFrameModel):
    """Where the record is used in CMS's bytes."""

    source_member: str = column("Member of CMS's zip that the record was read from.", source="CMS zip")
    source_member_sha256: str = column("SHA-256 of that member's bytes.", source="CMS zip", str_matches=SHA256)
    source_line: pl.Int32 = column(
        "Line of the text, or row of the workbook's first sheet, where the record starts, counted from 1.",
        source="CMS zip",
        ge=1,
    )


class HcpcsReleaseRecords(LicenseColumns, RecordSource, RecordDates, RecordContent, RecordKey):
    """One row per record of every release: what CMS stated, typed, from each release's newest revision."""

    @pa.dataframe_check(name="dates_in_order")
    def dates_in_order(cls, data: pa.PolarsData) -> pl.LazyFrame:  # noqa: N805
        """A code ends on or after the day it was added."""
        return data.lazyframe.select((pl.col("termination_date") >= pl.col("added_date")).fill_null(True))

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["code", "kind", "release_id"]
        metadata = TableFacts("records", derived_from="staged_records", texts=("short_description", "long_description"))
