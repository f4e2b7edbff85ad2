"""Findings and checks that need several releases: codes that vanish, sections that shrink, corrections, reports."""

from __future__ import annotations

import datetime as dt

import polars as pl
import pytest
from made_up import posting, record

from pipeline.refresh.refresh import ChecksFailed
from pipeline.transforms.corrections import corrections_in_records
from pipeline.transforms.cross_release_findings import section_losses

DAY = dt.date(2010, 1, 1)


def held(release_id: str, codes: list[str], end: dt.date | None = None) -> pl.DataFrame:
    """Standing records of one release, as far as the checks look at them."""
    rows = [("procedure", c, release_id, 1, 1, end) for c in codes]
    names = ["kind", "code", "release_id", "revision", "episode", "termination_date"]
    return pl.DataFrame(rows, schema=names, orient="row", schema_overrides={"termination_date": pl.Date})


def test_a_section_of_note_that_loses_a_quarter_is_too_much():
    before = held("2019-01", [f"A{n:04}" for n in range(200)] + [f"B{n:04}" for n in range(900)])
    after = held("2020-01", [f"A{n:04}" for n in range(149)] + [f"B{n:04}" for n in range(900)])
    losses = section_losses(pl.concat([before, after]))
    assert losses.filter("is_too_many").select("section", "before", "now", "lost").rows() == [("A", 200, 149, 51)]


def test_a_tenth_of_the_file_is_too_much_though_no_section_loses_a_quarter():
    letters = "ABCDE"
    before = held("2019-01", [f"{x}{n:04}" for x in letters for n in range(200)])
    after = held("2020-01", [f"{x}{n:04}" for x in letters for n in range(179)])
    losses = section_losses(pl.concat([before, after]))
    assert losses.filter("is_too_many")["section"].to_list() == ["*"]


def test_a_due_purge_is_no_loss():
    ended = [f"A{n:04}" for n in range(150)]
    before = pl.concat([held("2016-01", ended, dt.date(2012, 12, 31)), held("2016-01", ["B0001"])])
    after = held("2018-01", ["B0001"])
    losses = section_losses(pl.concat([before, after]))
    assert losses.filter("is_too_many").is_empty()
    assert losses.filter(pl.col("section") == "A")["lost"].to_list() == [0]


def test_a_release_that_lost_its_codes_blocks_the_version_and_says_how_many(build):
    many = [record(f"A{n:04}") for n in range(150)]
    first = build(posting("2016-01", *many))
    with pytest.raises(ChecksFailed, match=r"sections_keep_their_codes: sections that lost too many codes: 2 of"):
        build(posting("2017-01", *many[:50]))
    assert first.folder.exists()


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
    found = corrections_in_records(stated, records)
    assert found.select("state_in_records", "in_records_since").rows() == [(state, since)]


def test_an_end_that_a_correction_states_is_looked_for_in_the_termination_date():
    records = pl.concat([coverage("2017-01", "C"), coverage("2018-01", "C", dt.date(2016, 12, 31))])
    found = corrections_in_records(correction("terminate"), records)
    assert found.select("state_in_records", "in_records_since").rows() == [("later", "2018-01")]


def test_words_that_were_not_understood_leave_it_unclear():
    found = corrections_in_records(correction("other"), coverage("2017-01", "C"))
    assert found["state_in_records"].to_list() == ["unclear"]
