"""Contract of ``hcpcs_codes``: every HCPCS Level II code that any release had. Nothing here reads or writes."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import (
    DERIVED,
    LicenseColumns,
    RecordContent,
    TableFacts,
    column,
    derived,
    from_table,
    release_id,
    text_list,
)
from schemas.hcpcs_release_records import RecordDates

CODE = r"^[A-Z0-9][0-9]{3}[A-Z0-9]$"


STATUS = ("active", "terminated", "purged")


class Episode(pa.DataFrameModel):
    """Episode and status of a code."""

    episode: pl.Int32 = derived("Episode of the code, counted from 1; see docs/episodes.md.", ge=1)
    is_current_episode: bool = derived(
        "True for the newest episode, once per code. Without this filter, a join on the code alone multiplies rows."
    )
    status: str = derived(
        "Status on the newest release's first day: `active`, `terminated`, or `purged` (removed when due).", isin=STATUS
    )


class LatestState(RecordDates):
    """Days and releases of an episode, by its latest record."""

    first_release: str = release_id("First loaded release with the code in this episode.")
    last_release: str = release_id("Last loaded release with it; the row has that release's content.")
    replaced_by: pl.List = text_list(
        "Successors that CMS names for an ended episode, without codes of other owners. See `hcpcs_crosswalk`.",
        source="CMS record, positions 205-229",
        lineage=from_table("hcpcs_crosswalk", "target", "target_number", "relation", "is_withdrawn", "target_kind"),
    )


class CodeKey(pa.DataFrameModel):
    """The code itself."""

    code: str = column("The HCPCS Level II code.", source="CMS record, positions 1-5", str_matches=CODE)


class Placement(pa.DataFrameModel):
    """The section of a code, and whether it is unlisted."""

    section_id: str = derived(
        "Section of HCPCS by the code's letter, see `code_sections`; null for a code in another owner's format.",
        nullable=True,
        lineage=(
            "staged_states.code",
            *from_table("curated_code_sections", "section_id", "code_system_id", "depth"),
            *from_table("curated_code_sections", "first_code", "last_code", "valid_from"),
            *from_table("curated_code_systems", "code_system_id", "code_pattern"),
        ),
    )
    is_unlisted: bool = column(
        "Whether it is on a list of unlisted (NOC) codes that CMS posted during the episode.",
        source=DERIVED,
        lineage=(
            *from_table("hcpcs_unlisted_codes", "code", "kind", "release_id"),
            "code",
            "first_release",
            "last_release",
        ),
    )


class HcpcsCodes(LicenseColumns, LatestState, RecordContent, Placement, Episode, CodeKey):
    """One row per procedure code and episode in its latest known state, from all releases ever loaded."""

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["code", "episode"]
        metadata = TableFacts("codes", derived_from="staged_states", texts=("short_description", "long_description"))
