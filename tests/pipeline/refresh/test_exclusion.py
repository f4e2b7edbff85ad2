"""Excluding a release or a posting: kept in the archive, out of the tables, named in the manifest; and taken back."""

from __future__ import annotations

import pytest
from conftest import manifest_of

from pipeline.refresh.exclusions import exclude, include
from pipeline.refresh.refresh import refresh
from sources.errors import SourceError
from sources.release.inspect import open_archive


def releases_in(outputs, version):
    """Release and revision of each posting that a version was made of, and the manifest's exclusions."""
    content = manifest_of(outputs.version(version))["content"]
    return [(r["release_id"], r["revision"]) for r in content["releases"]], content["excluded"]


def test_what_is_excluded_stays_in_the_archive_and_out_of_the_tables_and_comes_back_when_included(sample, own_sample):
    """A release is left out; a posting gives way to the one before."""
    held = set(open_archive(own_sample.archive).index().zips)
    before, _ = releases_in(own_sample, sample.id)
    assert ("2025-10", 2) in before
    exclude(own_sample, "2019-01", "posted under the wrong year")
    exclude(own_sample, "2025-10/2", "withdrawn")
    done = refresh(own_sample)
    assert done.is_new
    without, excluded = releases_in(own_sample, done.published.version)
    assert "2019-01" not in {release for release, _ in without}
    assert [r for r in without if r[0] == "2025-10"] == [("2025-10", 1)]
    assert excluded.pop("2019-01") == "posted under the wrong year"
    assert [which.split("/")[0] for which in excluded] == ["2025-10"]
    assert set(open_archive(own_sample.archive).index().zips) == held
    for which in open_archive(own_sample.archive).index().excluded:
        include(own_sample, which)
    again, excluded = releases_in(own_sample, refresh(own_sample).published.version)
    assert (again, excluded) == (before, {})


@pytest.mark.parametrize(
    ("which", "says"),
    [
        ("2018-01/1", "is not loaded"),
        ("2025-10/7", "has 2 revisions"),
        ("october", "names no release"),
    ],
)
def test_what_is_not_held_cannot_be_excluded(own_sample, which, says):
    with pytest.raises(SourceError, match=says):
        exclude(own_sample, which, "no reason")


def test_what_is_not_excluded_cannot_be_included(own_sample):
    with pytest.raises(SourceError, match="2019-01 is not excluded"):
        include(own_sample, "2019-01")


def test_an_exclusion_without_a_reason_is_refused(hcpcs, own_sample):
    archive = own_sample.archive / "index.json"
    before = archive.read_bytes()
    said = hcpcs("releases", "exclude", "2019-01", "--reason", " ", "--outputs", own_sample.folder)
    assert (said.status, "--reason: is empty" in said.err) == (2, True), said.err
    assert archive.read_bytes() == before


@pytest.mark.parametrize(
    ("which", "says"), [("2019-01", "`hcpcs refresh` publishes without it"), ("2018-01", "it is not loaded")]
)
def test_the_command_says_whether_what_it_excludes_is_loaded(hcpcs, own_sample, which, says):
    said = hcpcs("releases", "exclude", which, "--reason", "withdrawn", "--outputs", own_sample.folder)
    assert (said.status, f"{which} is excluded; {says}" in said.out) == (0, True), said
