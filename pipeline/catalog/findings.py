"""The catalog's page Findings: what was odd in CMS's files, and what was done about it."""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from pipeline.catalog.site import Site
from pipeline.catalog.table_rows import by_column
from pipeline.catalog.version_reader import PublishedVersion, PublishedVersions
from schemas.hcpcs_findings import SEVERITIES

_ROW = (
    "release_id",
    "revision",
    "finding_number",
    "finding",
    "severity",
    "member",
    "line",
    "kind",
    "code",
    "field",
    "raw_value",
    "message",
    "action",
    "occurrences",
    "examples",
    "withheld_fields",
)


@dataclass(frozen=True, slots=True)
class FindingCount:
    """How often a kind of finding was made, at how many places, and in how many releases."""

    finding: str
    severities: tuple[str, ...]
    findings: int
    occurrences: int
    releases: int


def write(site: Site, published: PublishedVersions) -> None:
    """Write ``findings.html`` and the findings as data."""
    version = published.latest
    counts = finding_counts(version)
    findings = version.frame("hcpcs_findings")
    rows = findings.sort("release_id", "revision", "finding_number", descending=[True, True, False]).select(_ROW)
    by_severity = dict(findings.group_by("severity").agg(pl.len()).iter_rows())
    site.page(
        "findings.html",
        "findings.html",
        "Findings",
        scripts=("static/rows.js", "data/findings.js", "static/findings.js") if rows.height else (),
        counts=counts,
        total=rows.height,
        severities=[(severity, by_severity.get(severity, 0)) for severity in reversed(SEVERITIES)],
        releases=version.releases,
        shows=("hcpcs_findings.finding",),
    )
    site.data(
        "data/findings.js",
        "findings",
        {"findings": by_column(rows), "severities": SEVERITIES[::-1]},
        shows=[f"hcpcs_findings.{column}" for column in _ROW],
    )


def finding_counts(version: PublishedVersion) -> list[FindingCount]:
    """Kinds of findings, the most frequent first."""
    counts = (
        version.frame("hcpcs_findings")
        .group_by("finding")
        .agg(
            pl.col("severity").unique().sort(),
            pl.len().alias("findings"),
            pl.col("occurrences").sum(),
            pl.col("release_id").n_unique().alias("releases"),
        )
        .sort(["findings", "finding"], descending=[True, False])
    )
    return [
        FindingCount(finding, tuple(s for s in SEVERITIES[::-1] if s in severities), *numbers)
        for finding, severities, *numbers in counts.iter_rows()
    ]
