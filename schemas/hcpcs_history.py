"""Contract of ``hcpcs_history``: what every code meant on any day. Nothing here reads or writes."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import (
    CONTENT_COLUMNS,
    DERIVED,
    LicenseColumns,
    RecordContent,
    TableFacts,
    column,
    derived,
    from_table,
    hcpcs_code,
    record_kind,
    release_id,
)

VALID_FROM_BASES = ("added", "action", "release")
VALID_TO_BASES = ("termination", "next_span", "absence", "open")

#: What decides the days of spans; which content a record states decides where one span ends and the next begins.
_DAYS = from_table(
    "staged_episodes", "added_date", "action_effective_date", "termination_date", "action_code", "release_id"
)
_CONTENT = from_table("staged_episodes", *CONTENT_COLUMNS)


class HistorySpan(pa.DataFrameModel):
    """Days of a span, their basis, and the releases that state it."""

    kind: str = record_kind()
    code: str = hcpcs_code()
    episode: pl.Int32 = derived("Episode of the code, counted from 1; see docs/episodes.md.", ge=1)
    span_number: pl.Int32 = derived("Counts the spans of the episode from 1.", ge=1, lineage=(*_CONTENT, *_DAYS))
    valid_from: pl.Date = column("First day on which the content was in effect.", source=DERIVED, lineage=_DAYS)
    valid_to: pl.Date = column(
        "Last day on which the content was in effect; null if still in effect.",
        source=DERIVED,
        nullable=True,
        lineage=_DAYS,
    )
    valid_from_basis: str = derived(
        "Why that first day: `added`, the code's added date; `action`, the action effective date of the change; "
        "`release`, the day on which the first release with the content takes effect.",
        isin=VALID_FROM_BASES,
        lineage=_DAYS,
    )
    valid_to_basis: str = derived(
        "Basis of the last day: `termination`, the end that CMS states, or stated before it reinstated the code;"
        " `next_span`, the day before the next span; `absence`, the day before the first loaded release without"
        " the code, where no release states an end; `open`, still in effect.",
        isin=VALID_TO_BASES,
        lineage=_DAYS,
    )
    observed_gap: bool = derived(
        "Whether CMS posted a release for one of the span's days that is not loaded.",
        lineage=(
            "valid_from",
            "valid_to",
            "staged_episodes.release_id",
        ),
    )
    first_release: str = release_id(
        "First loaded release that states the span.", lineage=("staged_episodes.release_id",)
    )
    last_release: str = release_id(
        "Last loaded release that states the span, or that changed the record after the span had ended.",
        lineage=("staged_episodes.release_id",),
    )


class HcpcsHistory(LicenseColumns, RecordContent, HistorySpan):
    """One row per code, episode and span of unchanged content: what the code meant on any day, up to form."""

    @pa.dataframe_check(name="days_in_order")
    def days_in_order(cls, data: pa.PolarsData) -> pl.LazyFrame:  # noqa: N805
        """A span ends on or after the day on which it begins."""
        return data.lazyframe.select((pl.col("valid_to") >= pl.col("valid_from")).fill_null(True))

    @pa.dataframe_check(name="open_means_no_last_day")
    def open_means_no_last_day(cls, data: pa.PolarsData) -> pl.LazyFrame:  # noqa: N805
        """A span has no last day exactly where its basis is `open`."""
        return data.lazyframe.select(pl.col("valid_to").is_null() == (pl.col("valid_to_basis") == "open"))

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["kind", "code", "episode", "span_number"]
        metadata = TableFacts(
            "history",
            derived_from="staged_episodes",
            texts=("short_description", "long_description"),
            spans=(("kind", "code"), "valid_from", "valid_to"),
        )
