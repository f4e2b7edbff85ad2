"""The page of findings has every finding of the version, counts them by kind, and quotes nothing withheld."""

from __future__ import annotations

from pathlib import Path

from catalog_data import named_rows, read_data
from conftest import Version

from pipeline.catalog.findings import finding_counts
from pipeline.catalog.version_reader import read_versions


def test_every_finding_is_listed_the_newest_release_first(sample: Version, sample_catalog: Path) -> None:
    data = read_data(sample_catalog / "data" / "findings.js")
    rows = named_rows(data["findings"])
    keys = ("release_id", "revision", "finding_number", "finding", "message", "action", "raw_value")
    findings = sample.open("hcpcs_findings")
    assert {tuple(r[k] for k in keys) for r in rows} == set(findings.select(keys).iter_rows())
    assert len(rows) == findings.height
    releases = [r["release_id"] for r in rows]
    assert releases == sorted(releases, reverse=True) and len(set(releases)) > 1


def test_kinds_are_counted_with_their_places_and_releases(sample: Version) -> None:
    findings = sample.open("hcpcs_findings")
    counts = finding_counts(read_versions(sample.outputs).latest)
    assert sum(c.findings for c in counts) == findings.height
    assert sum(c.occurrences for c in counts) == findings["occurrences"].sum()
    for one in counts:
        of_kind = findings.filter(finding=one.finding)
        assert one.releases == of_kind["release_id"].n_unique()
        assert set(one.severities) == set(of_kind["severity"])
    assert [c.findings for c in counts] == sorted((c.findings for c in counts), reverse=True)


def test_a_withheld_value_is_not_quoted_but_said_to_be_withheld(sample: Version, sample_catalog: Path) -> None:
    data = read_data(sample_catalog / "data" / "findings.js")
    withheld = [r for r in named_rows(data["findings"]) if r["withheld_fields"]]
    assert (
        len(withheld)
        == sample.open("hcpcs_findings").filter(sample.open("hcpcs_findings")["withheld_fields"].list.len() > 0).height
    )
    assert all(r[field] in (None, "withheld", []) for r in withheld for field in r["withheld_fields"] if field in r)
