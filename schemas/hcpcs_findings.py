"""Contract of ``hcpcs_findings``: what was odd in CMS's bytes and what was done. Nothing here reads or writes."""

from __future__ import annotations

import polars as pl

from schemas.columns import (
    RECORD_KINDS,
    LicenseColumns,
    TableFacts,
    column,
    derived,
    from_table,
    release_id,
    revision,
    text_list,
)

SEVERITIES = ("info", "warning", "error")

#: What shows an oddity only when releases are seen together; see ``pipeline.transforms.cross_release_findings``.
_ACROSS_RELEASES = (
    *from_table("staged_episodes", "release_id", "added_date", "termination_date"),
    *from_table("staged_episodes", "short_description", "long_description", "action_code"),
    *from_table("hcpcs_crosswalk", "relation", "is_withdrawn", "target_kind", "target_status", "chain_outcome"),
    "hcpcs_transactions.action_code",
    "curated_episodes.decision",
)


class HcpcsFindings(LicenseColumns):
    """One row per finding: something odd in what CMS posted, where it is, and what was done about it."""

    release_id: str = release_id(
        lineage=(
            "staged_findings.release_id",
            "staged_episodes.release_id",
        )
    )
    revision: pl.Int32 = revision(
        lineage=(
            "staged_findings.revision",
            "staged_episodes.revision",
        )
    )
    finding_number: pl.Int32 = derived(
        "Counts the findings of a revision from 1.",
        ge=1,
        lineage=(
            "finding",
            "member",
            "line",
            "field",
            "code",
            "raw_value",
            "message",
        ),
    )
    finding: str = derived(
        "What kind of oddity it is, see docs/findings.md.",
        str_matches=r"^[a-z][a-z_]*$",
        lineage=("staged_findings.finding", *_ACROSS_RELEASES),
    )
    severity: str = derived(
        "`info`: nothing is lost; `warning`: look before you rely on it; `error`: the release would be refused.",
        isin=SEVERITIES,
        lineage=("staged_findings.severity", *_ACROSS_RELEASES),
    )
    member: str = column("Member of CMS's zip.", source="CMS zip", nullable=True)
    line: pl.Int32 = column("Line of the text or row of the workbook, from 1.", source="CMS zip", nullable=True, ge=1)
    kind: str = column(
        "Procedure code or modifier, where it is about one record.",
        source="CMS record, position 11 (3 procedure, 7 modifier)",
        isin=RECORD_KINDS,
        nullable=True,
        lineage=(
            "staged_findings.kind",
            "staged_episodes.kind",
            "hcpcs_transactions.kind",
        ),
    )
    code: str = column(
        "The code, where it is about one record.",
        source="CMS record, positions 1-5",
        nullable=True,
        lineage=(
            "staged_findings.code",
            "staged_episodes.code",
            "hcpcs_transactions.code",
        ),
    )
    field: str = derived("The record's field, where it is about one.", nullable=True)
    raw_value: str = column(
        "CMS's value there, unless it may not be redistributed.",
        source="CMS zip",
        nullable=True,
        lineage=(
            "staged_findings.raw_value",
            "hcpcs_transactions.action_code",
        ),
    )
    message: str = derived(
        "Description of the problem.", lineage=("staged_findings.message", "staged_episodes.code", *_ACROSS_RELEASES)
    )
    action: str = derived("What was done.", lineage=("staged_findings.action", *_ACROSS_RELEASES))
    occurrences: pl.Int32 = derived(
        "How many places share this one cause.", ge=1, lineage=("staged_findings.occurrences", *_ACROSS_RELEASES)
    )
    examples: pl.List = text_list(
        "Some of those places.",
        source="CMS zip",
        lineage=(
            "staged_findings.examples",
            *from_table("hcpcs_crosswalk", "code", "target"),
            *_ACROSS_RELEASES,
        ),
    )

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["release_id", "revision", "finding_number"]
        metadata = TableFacts("history", derived_from="staged_findings", texts=("raw_value",))
