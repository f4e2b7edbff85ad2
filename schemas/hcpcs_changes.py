"""Contract of ``hcpcs_changes``: what changed between releases, beside CMS's word. Nothing here reads or writes."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import (
    DERIVED,
    RELEASE_ID,
    STATED_COLUMNS,
    LicenseColumns,
    TableFacts,
    column,
    derived,
    from_table,
    hcpcs_code,
    record_kind,
    release_id,
    revision,
)

#: Classes of change; docs/changes.md says what each means.
CHANGES = (
    "added",
    "discontinued",
    "reactivated",
    "termination_corrected",
    "added_date_corrected",
    "purged",
    "vanished",
    "restored",
    "reused",
    "text",
    "text_format_only",
    "administrative",
    "payment",
    "miscellaneous",
    "action_date",
    "claimed_not_seen",
)
#: How CMS's action code fails to tell a change, or claims one that is not there.
DISAGREEMENTS = ("not_reported", "reported_differently", "stale_action_code", "not_observed")

#: What of a record is compared.
_STATED = from_table("staged_records", *STATED_COLUMNS)


class HcpcsChanges(LicenseColumns):
    """One row per change between neighboring loaded releases, or between revisions of one: record, class and field."""

    release_id: str = release_id("Release that has the change.")
    revision: pl.Int32 = revision()
    previous_release_id: str = column(
        "Release compared with; the same one where a re-post is compared.",
        source="names of CMS's zip and members",
        str_matches=RELEASE_ID,
        lineage=("staged_records.release_id",),
    )
    previous_revision: pl.Int32 = column(
        "Revision compared with.", source=DERIVED, ge=1, lineage=("staged_records.revision",)
    )
    observed_gap: bool = derived(
        "Whether releases between the two are not loaded; its action code describes the last step alone.",
        lineage=("staged_records.release_id",),
    )
    kind: str = record_kind()
    code: str = hcpcs_code()
    episode: pl.Int32 = derived(
        "Episode of the record, counted from 1; for a code that disappeared, its last one.",
        ge=1,
        lineage=("staged_episodes.episode",),
    )
    change: str = derived(
        "Class of the change, see docs/changes.md.",
        isin=CHANGES,
        lineage=(*_STATED, "staged_records.release_id", "staged_episodes.episode"),
    )
    field: str = derived(
        "Column of `hcpcs_release_records` that changed; `record` where the whole record was added or removed.",
        str_matches=r"^[a-z][a-z_]*$",
        lineage=_STATED,
    )
    old: str = column(
        "Value before, as text: a date as YYYY-MM-DD, a list as JSON; null where there was none.",
        source="CMS record",
        nullable=True,
        lineage=_STATED,
    )
    new: str = column(
        "Value after, as text: a date as YYYY-MM-DD, a list as JSON; null where there is none.",
        source="CMS record",
        nullable=True,
        lineage=_STATED,
    )
    cms_action_code: str = column(
        "CMS's action code for the record in this release; null where the record was removed.",
        source="CMS record, positions 293",
        nullable=True,
        lineage=("staged_records.action_code",),
    )
    agrees_with_cms: bool = derived(
        "Whether CMS's action code reports this change; null where it cannot: it reports another change of the"
        " record, the record was removed, a release in between is not loaded, or revisions are compared.",
        nullable=True,
        lineage=(
            "change",
            "field",
            "cms_action_code",
            "observed_gap",
            *from_table("staged_records", "action_effective_date", "added_date"),
        ),
    )
    disagreement: str = derived(
        "Why it disagrees: `not_reported` (it reports no change), `reported_differently` (it reports something"
        " else), `stale_action_code` (it repeats an earlier release's action), `not_observed` (what it"
        " claims did not happen).",
        nullable=True,
        isin=DISAGREEMENTS,
        lineage=("agrees_with_cms",),
    )

    @pa.dataframe_check(name="disagreement_says_why")
    def disagreement_says_why(cls, data: pa.PolarsData) -> pl.LazyFrame:  # noqa: N805
        """A disagreement has a cause, and nothing else has."""
        disagrees = pl.col("agrees_with_cms").eq_missing(False)
        return data.lazyframe.select(disagrees == pl.col("disagreement").is_not_null())

    class Config:
        """Strict, ordered, keyed: a re-post is compared with the posting before it and with the release before."""

        strict, ordered, unique = (
            True,
            True,
            ["release_id", "revision", "previous_release_id", "kind", "code", "change", "field"],
        )
        metadata = TableFacts("history", derived_from="staged_records", texts=("old", "new"))
