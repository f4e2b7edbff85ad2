"""Contract of ``hcpcs_crosswalk``: successors and cross-references that CMS names. Nothing here reads or writes."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import (
    DERIVED,
    LicenseColumns,
    TableFacts,
    column,
    derived,
    from_table,
    hcpcs_code,
    record_kind,
    release_id,
    text_list,
)

RELATIONS = ("replaced_by", "see_also")
TARGET_KINDS = ("procedure", "modifier", "none")
TARGET_SYSTEMS = ("HCPCS", "CPT", "CDT", "none")
#: What became of a target by the newest release: a state of its code, or why it has none.
TARGET_STATUS = ("active", "terminated", "purged", "never_seen", "not_ours", "no_code")
#: How the chain of replacements that starts at a target ends.
CHAIN_OUTCOMES = ("active", "not_ours", "dead_end", "loop", "never_seen", "no_code")


class HcpcsCrosswalk(LicenseColumns):
    """One row per code, episode and target that any release named."""

    kind: str = record_kind()
    code: str = hcpcs_code()
    episode: pl.Int32 = derived("Episode of the code, counted from 1.", ge=1)
    target_number: pl.Int32 = derived(
        "Counts the episode's targets by first release, then position; set before masking.",
        ge=1,
        lineage=from_table("staged_episodes", "crosswalk_targets", "release_id"),
    )
    target: str = column(
        "The cross-reference as CMS states it; null where it is another owner's to give.",
        source="CMS record, positions 205-229",
        nullable=True,
        lineage=("staged_episodes.crosswalk_targets",),
    )
    relation: str = derived(
        "`replaced_by` where the episode has ended, else `see_also`.", isin=RELATIONS, lineage=("staged_states.status",)
    )
    is_withdrawn: bool = derived(
        "Whether the episode's last record no longer names the target; a withdrawn one is part of no chain.",
        lineage=(
            "last_release",
            "staged_states.last_release",
        ),
    )
    target_kind: str = derived(
        "Kind of the target by its format: procedure code, modifier, or not a code (the literal `CPT`).",
        isin=TARGET_KINDS,
        lineage=(
            "target",
            "target_code_system",
        ),
    )
    target_system: str = derived(
        "Code set of the target by its format: HCPCS, CPT or CDT.",
        isin=TARGET_SYSTEMS,
        lineage=(
            "target",
            *from_table("curated_code_systems", "code_pattern", "system"),
        ),
    )
    target_code_system: str = derived(
        "Entry of `code_systems` with the target's format; null if none has it.",
        nullable=True,
        lineage=(
            "target",
            *from_table("curated_code_systems", "code_pattern", "code_system_id"),
        ),
    )
    target_episode: pl.Int32 = derived(
        "Episode of the target: the one in effect in the first release that names it, or before; if the target"
        " was added later, its first. Null if no loaded release has the target.",
        nullable=True,
        ge=1,
        lineage=(
            "target",
            "target_kind",
            "first_release",
            *from_table("staged_states", "kind", "code", "episode", "first_release"),
        ),
    )
    target_status: str = derived(
        "Status of that episode in the newest release; `never_seen`: in the format of HCPCS Level II, but in no"
        " loaded release; `not_ours`: a code of another owner; `no_code`: not a code.",
        isin=TARGET_STATUS,
        lineage=(
            "target_kind",
            "target_system",
            "target_episode",
            "staged_states.status",
        ),
    )
    first_release: str = release_id(
        "First loaded release that names the target.", lineage=("staged_episodes.release_id",)
    )
    last_release: str = release_id(
        "Last loaded release that names the target.", lineage=("staged_episodes.release_id",)
    )
    chain_ends: pl.List = text_list(
        "Where the chain of replacements ends that starts at the target: the target itself where it was not replaced;"
        " several where a code was divided; none for a loop.",
        source=DERIVED,
        lineage=(
            "kind",
            "code",
            "episode",
            "target",
            "target_kind",
            "target_episode",
            "relation",
            "is_withdrawn",
        ),
    )
    chain_outcome: str = derived(
        "How the chain ends: in an `active` code, in one of another owner (`not_ours`), in an ended code without a"
        " successor (`dead_end`), nowhere (`loop`), in what was `never_seen` or is `no_code`; the best where it"
        " divides.",
        isin=CHAIN_OUTCOMES,
        lineage=(
            "chain_ends",
            "target_status",
        ),
    )

    @pa.dataframe_check(name="episode_for_every_known_target")
    def episode_for_every_known_target(cls, data: pa.PolarsData) -> pl.LazyFrame:  # noqa: N805
        """A target has an episode if and only if a loaded release has it."""
        known = pl.col("target_status").is_in(["active", "terminated", "purged"])
        return data.lazyframe.select(known == pl.col("target_episode").is_not_null())

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["kind", "code", "episode", "target_number"]
        metadata = TableFacts("history", derived_from="staged_episodes")
