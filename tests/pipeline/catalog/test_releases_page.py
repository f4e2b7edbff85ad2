"""The page of releases counts what the tables say, names what is uncertain, and has words for every class of change."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import polars as pl
import pytest
from catalog_data import named_rows, read_data
from conftest import Version

from pipeline.catalog.releases import (
    CHANGE_MEANINGS,
    DISAGREEMENT_MEANINGS,
    churn,
    codes_by_section,
    missing_between,
    release_facts,
    uncertain_days,
)
from pipeline.catalog.version_reader import PublishedVersion, read_versions
from schemas.hcpcs_changes import CHANGES, DISAGREEMENTS


@pytest.fixture(scope="module")
def version(sample: Version) -> PublishedVersion:
    return read_versions(sample.outputs).latest


def test_every_class_of_change_and_of_disagreement_has_words() -> None:
    assert sorted(CHANGE_MEANINGS) == sorted(CHANGES)
    assert sorted(DISAGREEMENT_MEANINGS) == sorted(DISAGREEMENTS)


def test_releases_between_are_those_of_the_calendar() -> None:
    assert missing_between("2016-01", "2017-01") == ()
    assert missing_between("2017-01", "2019-01") == ("2018-01",)
    assert missing_between("2020-01", "2020-10") == ("2020-04", "2020-07")
    assert missing_between("2019-01", "2020-07") == ("2020-01", "2020-04")


def test_days_are_uncertain_from_the_first_release_not_loaded_to_the_next_loaded(version: PublishedVersion) -> None:
    spans = uncertain_days(version)
    assert (date(2018, 1, 1), date(2019, 1, 1)) in spans
    assert all(first < after for first, after in spans)
    assert not any(first <= date(2016, 6, 1) < after for first, after in spans)


def test_the_overview_counts_changed_codes_since_the_release_before(version: PublishedVersion, sample: Version) -> None:
    changes = sample.open("hcpcs_changes").filter(pl.col("previous_release_id") != pl.col("release_id"))
    facts = release_facts(version)
    assert [f.release_id for f in facts] == version.releases
    for one in facts:
        step = changes.filter(release_id=one.release_id)
        for _, classes, number in one.overview:
            rows = step.filter(pl.col("change").is_in(classes))
            assert number == rows.select("kind", "code").n_unique()
        assert {c.change: c.reported + c.not_reported + c.unknown for c in one.changes} == dict(
            step.group_by("change").len().iter_rows()
        )
        assert one.disagreeing == step.filter(pl.col("agrees_with_cms").not_()).height
    assert sum(f.disagreeing for f in facts)


def test_the_first_release_is_compared_with_nothing(version: PublishedVersion, sample_catalog: Path) -> None:
    first = release_facts(version)[0]
    assert first.previous is None and first.changes == ()
    html = (sample_catalog / first.path).read_text("utf-8")
    assert "nothing to compare it with" in html and "What changed" not in html
    assert not (sample_catalog / "data" / "releases" / f"{first.release_id}.js").exists()


def test_a_second_posting_is_counted_and_marked_in_its_rows(version: PublishedVersion, sample_catalog: Path) -> None:
    twice = [f for f in release_facts(version) if f.postings > 1]
    assert twice
    data = read_data(sample_catalog / "data" / "releases" / f"{twice[0].release_id}.js")
    assert any(row["posting"] for row in named_rows(data["changes"]))


def test_the_rows_of_a_release_are_its_changes(
    version: PublishedVersion, sample: Version, sample_catalog: Path
) -> None:
    changes = sample.open("hcpcs_changes")
    for one in release_facts(version)[1:]:
        data = read_data(sample_catalog / "data" / "releases" / f"{one.release_id}.js")
        rows = named_rows(data["changes"])
        keys = ("kind", "code", "change", "field", "agrees_with_cms", "old", "new")
        # Of texts that differ in form alone the page says just that.
        stated = [
            str([*row[:-2], *(row[-2:] if row[2] != "text_format_only" else (None, None))])
            for row in changes.filter(release_id=one.release_id).select(keys).iter_rows()
        ]
        assert sorted(str([r[k] for k in keys]) for r in rows) == sorted(stated)


def test_what_is_withheld_of_a_change_is_not_among_its_rows(sample: Version, sample_catalog: Path) -> None:
    withheld = sample.open("hcpcs_changes").filter(pl.col("withheld_fields").list.len() > 0)
    assert withheld.height
    for release_id in withheld["release_id"].unique():
        data = read_data(sample_catalog / "data" / "releases" / f"{release_id}.js")
        marked = [r for r in named_rows(data["changes"]) if r["withheld"]]
        assert len(marked) == withheld.filter(release_id=release_id).height
        # Of a list those elements are left out that are another owner's.
        assert {value for r in marked for value in (r["old"], r["new"])} <= {None, "[]"}


def test_every_release_not_loaded_is_named(version: PublishedVersion, sample_catalog: Path) -> None:
    overview = (sample_catalog / "releases.html").read_text("utf-8")
    for one in release_facts(version):
        page = (sample_catalog / one.path).read_text("utf-8")
        assert all(missing in overview and missing in page for missing in one.missing)
        assert ("Uncertain:" in page) == bool(one.missing)


def test_the_chart_of_codes_counts_those_valid_on_each_day(version: PublishedVersion, sample: Version) -> None:
    spans = sample.open("hcpcs_history").filter(kind="procedure")
    chart = codes_by_section(version)
    assert [row[0] for row in chart.rows] == version.releases
    for release, *by_section, together in chart.rows:
        day = date(int(release[:4]), int(release[5:]), 1)
        valid = spans.filter((pl.col("valid_from") <= day) & (pl.col("valid_to") >= day).fill_null(True))
        assert sum(by_section) == together == valid["code"].n_unique()


def test_the_chart_of_churn_has_the_numbers_of_the_overview(version: PublishedVersion) -> None:
    facts = release_facts(version)[1:]
    for row, one in zip(churn(facts).rows, facts, strict=True):
        numbers = {heading: number for heading, _, number in one.overview}
        assert row[:5] == (one.release_id, *(numbers[h] for h in ("Added", "Ended", "Re-worded", "Re-used")))
        assert row[5] == numbers["Purged"] + numbers["Vanished"]
        assert row[6] == (", ".join(one.missing) or "none")
