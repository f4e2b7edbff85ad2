"""Findings and checks that need several releases: codes that vanish, sections that shrink, corrections, reports."""

from __future__ import annotations

import datetime as dt
import shutil
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from conftest import Said, built_once, manifest_of, published
from made_up import Posting, posting, record
from release_writer import SampleRecord

from hcpcs.paths import Outputs
from pipeline.refresh.refresh import refresh
from pipeline.transforms.corrections import corrections_in_records
from pipeline.versions.store import latest_version

DAY_AFTER = dt.date(2016, 7, 1)


ALL = [record(f"{letter}{n:04}") for letter in "AB" for n in range(120)] + [record(c) for c in ("U0001", "U0002")]
MODIFIERS = [record(f"{first}{second}") for first in "KLJ" for second in "TWXY"]


FULL = posting("2016-01", *ALL, *MODIFIERS)


@pytest.fixture(scope="module")
def outputs_with_2016(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def build(folder: Path) -> Path:
        FULL.write(folder / "in")
        refresh(Outputs(folder / "outputs"), offered=folder / "in")
        return folder / "outputs"

    return built_once(tmp_path_factory, "outputs-with-2016", build)


@pytest.fixture
def full(outputs_with_2016: Path, tmp_path: Path) -> Outputs:
    """Outputs with all codes and modifiers in one release, for one test to change."""
    shutil.copytree(outputs_with_2016, tmp_path / "outputs", symlinks=True)
    return Outputs(tmp_path / "outputs")


def refused_for_losses(hcpcs: Callable[..., Said], outputs: Outputs, offered: Path, *now: Posting) -> Said:
    """Offer postings that are refused for what they lack; what was published stays."""
    before = published(outputs)
    for one in now:
        one.write(offered)
    said = hcpcs("refresh", "--from", offered, "--outputs", outputs.folder)
    assert said.status == 1 and published(outputs) == before
    assert "`--accept-losses`" in said.err and "`hcpcs releases exclude" in said.err and "`--skip-bad`" in said.err
    return said


@pytest.mark.parametrize(
    ("kept", "lacking"),
    [
        (MODIFIERS, "2017-01 lacks 242 of the 242 procedures of 2016-01, 120 of the 120 procedures A"),
        (ALL, "2017-01 lacks 12 of the 12 modifiers of 2016-01, 4 of the 4 modifiers J"),
        (ALL[:240] + MODIFIERS, "2017-01 lacks 2 of the 2 procedures U of 2016-01"),
        (ALL[30:] + MODIFIERS, "2017-01 lacks 30 of the 242 procedures of 2016-01, 30 of the 120 procedures A"),
        (ALL + MODIFIERS[2:], "2017-01 lacks 2 of the 4 modifiers K of 2016-01"),
    ],
    ids=["modifiers only", "no modifiers", "a small letter", "a quarter of a letter", "half of a modifier letter"],
)
def test_a_release_that_lacks_a_kind_a_letter_or_a_quarter_is_refused(
    hcpcs: Callable[..., Said], full: Outputs, tmp_path: Path, kept: list[SampleRecord], lacking: str
) -> None:
    said = refused_for_losses(hcpcs, full, tmp_path / "second", posting("2017-01", *kept))
    assert lacking in said.err


def test_an_older_release_that_lacks_what_the_next_one_has_is_refused_too(
    hcpcs: Callable[..., Said], tmp_path: Path
) -> None:
    newer = posting("2017-01", *ALL, *MODIFIERS, *[record(f"V{n:04}", added_date=DAY_AFTER) for n in range(9)])
    newer.write(tmp_path / "first")
    outputs = Outputs(tmp_path / "outputs")
    refresh(outputs, offered=tmp_path / "first")
    said = refused_for_losses(hcpcs, outputs, tmp_path / "second", posting("2016-01", *MODIFIERS))
    # Codes that were added since are no loss: no V.
    assert "2016-01 lacks 242 of the 242 procedures of 2017-01" in said.err and "procedures V" not in said.err


def test_losses_are_accepted_once_and_for_all_later_refreshes_and_the_manifest_says_so(
    hcpcs: Callable[..., Said], full: Outputs, tmp_path: Path
) -> None:
    outputs = full
    refused_for_losses(hcpcs, outputs, tmp_path / "second", posting("2017-01", *ALL))
    accepted = hcpcs("refresh", "--from", tmp_path / "second", "--outputs", outputs.folder, "--accept-losses")
    assert (accepted.status, accepted.err) == (0, "")
    (words,) = manifest_of(outputs.latest_link)["content"]["accepted_losses"].values()
    assert words.startswith("2017-01 lacks 12 of the 12 modifiers of 2016-01")

    # The release stays accepted beside the next one, which has the modifiers again.
    posting("2018-01", *ALL, *MODIFIERS).write(tmp_path / "third")
    later = hcpcs("refresh", "--from", tmp_path / "third", "--outputs", outputs.folder)
    assert (later.status, later.err) == (0, "")
    assert latest_version(outputs) == "2018.01.1"


def test_skip_bad_leaves_out_every_release_that_lacks_codes(hcpcs: Callable[..., Said], tmp_path: Path) -> None:
    for one in (
        FULL,
        posting("2017-01", *ALL),
        posting("2018-01", *ALL),  # lacks nothing of 2017-01
        posting("2019-01", *ALL, *MODIFIERS),
    ):
        one.write(tmp_path / "offered")
    outputs = Outputs(tmp_path / "outputs")
    said = hcpcs("refresh", "--from", tmp_path / "offered", "--outputs", outputs.folder, "--skip-bad")
    assert said.status == 0 and "not loaded: 2017-01 lacks" in said.out
    content = manifest_of(outputs.latest_link)["content"]
    assert [r["release_id"] for r in content["releases"]] == ["2016-01", "2019-01"]
    assert set(content["missing"]) == {"2017-01", "2018-01"}


def test_a_due_purge_is_no_loss(hcpcs: Callable[..., Said], tmp_path: Path) -> None:
    ended = [record(f"A{n:04}", termination_date=dt.date(2012, 12, 31)) for n in range(150)]
    posting("2016-01", *ended, record("B0001")).write(tmp_path / "offered")
    posting("2018-01", record("B0001")).write(tmp_path / "offered")
    said = hcpcs("refresh", "--from", tmp_path / "offered", "--outputs", tmp_path / "outputs")
    assert (said.status, said.err) == (0, "")


def test_two_of_several_codes_that_may_have_ended_in_between_are_no_sign_of_a_partial_release(
    hcpcs: Callable[..., Said], tmp_path: Path
) -> None:
    few = [record(f"C{n:04}") for n in range(4)]
    posting("2012-01", *few, record("B0001")).write(tmp_path / "offered")
    posting("2017-01", *few[2:], record("B0001")).write(tmp_path / "offered")
    said = hcpcs("refresh", "--from", tmp_path / "offered", "--outputs", tmp_path / "outputs")
    assert (said.status, said.err) == (0, "")
    posting("2018-01", *few[:2], record("B0001")).write(tmp_path / "later")
    said = hcpcs("refresh", "--from", tmp_path / "later", "--outputs", tmp_path / "outputs")
    assert said.status == 1 and "2 of the 2 procedures C of 2017-01" in said.err


def correction(action: str, **stated: str | None) -> pl.DataFrame:
    """One change that a corrections file of 2017-01 states."""
    row = {"release_id": "2017-01", "kind": "procedure", "code": "A1000", "action": action}
    row |= {"field": None, "new_value": None, "old_value": None} | stated
    return pl.DataFrame([row], schema=dict.fromkeys(row, pl.String))


def coverage(release_id: str, value: str | None, end: dt.date | None = None) -> pl.DataFrame:
    """The record of A1000 that a release has."""
    row = ("procedure", "A1000", release_id, 1, value, end)
    names = ["kind", "code", "release_id", "revision", "coverage_code", "termination_date"]
    return pl.DataFrame(
        [row], schema=names, orient="row", schema_overrides={"termination_date": pl.Date, "coverage_code": pl.String}
    )


@pytest.mark.parametrize(
    ("values", "state", "since"),
    [
        (("C", "C"), "already", "2017-01"),
        (("D", "C"), "later", "2018-01"),
        (("D", "D"), "never", None),
    ],
)
def test_a_correction_says_whether_the_records_have_it(values, state, since):
    records = pl.concat([coverage("2017-01", values[0]), coverage("2018-01", values[1])])
    stated = correction("revise", field="coverage_code", new_value="C")
    found = corrections_in_records(stated, records.lazy())
    assert found.select("state_in_records", "in_records_since").rows() == [(state, since)]


def test_an_end_that_a_correction_states_is_looked_for_in_the_termination_date():
    records = pl.concat([coverage("2017-01", "C"), coverage("2018-01", "C", dt.date(2016, 12, 31))])
    found = corrections_in_records(correction("terminate"), records.lazy())
    assert found.select("state_in_records", "in_records_since").rows() == [("later", "2018-01")]


def test_words_that_were_not_understood_leave_it_unclear():
    found = corrections_in_records(correction("other"), coverage("2017-01", "C").lazy())
    assert found["state_in_records"].to_list() == ["unclear"]
