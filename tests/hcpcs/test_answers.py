"""What the command line answers of the sample: meanings on a day, histories, searches, a release's changes."""

from __future__ import annotations

import datetime as dt

import pytest

from hcpcs.errors import HcpcsError
from hcpcs.lookup import changes_of, code_on_day, code_states, history_of, normalized_code, search


@pytest.mark.parametrize(
    ("day", "episode"), [(dt.date(2009, 6, 30), 1), (dt.date(2018, 6, 30), 2), (dt.date(2014, 6, 30), None)]
)
def test_a_reused_code_means_on_each_day_what_it_meant_then(sample, day, episode):
    answer = code_on_day(sample.folder, "J0570", day)
    assert (answer["span"] or {"episode": None})["episode"] == episode


def test_a_day_without_a_meaning_is_answered_with_what_came_before_and_after(sample):
    answer = code_on_day(sample.folder, "j0570", dt.date(2014, 6, 30))
    assert answer["before"]["valid_to"] == dt.date(2010, 12, 31)
    assert answer["after"]["valid_from"] == dt.date(2017, 1, 1)


def test_a_search_finds_the_words_of_any_time_in_any_case(sample):
    states = code_states(sample.folder, "J0570")
    words = {s["episode"]: s["long_description"] for s in states}
    assert words[1] != words[2]
    for episode, text in words.items():
        found = search(sample.folder, text.upper())
        assert ("J0570", episode) in [(r["code"], r["episode"]) for r in found]


def test_a_history_has_every_meaning_with_its_spans_and_changes(sample):
    history = history_of(sample.folder, "J0570")
    assert [m["episode"] for m in history["episodes"]] == [1, 2]
    assert all(m["spans"] for m in history["episodes"])
    changes = {c["change"] for m in history["episodes"] for c in m["changes"]}
    assert {"reused", "discontinued", "reactivated"} <= changes


def test_disagreeing_changes_are_those_that_cms_action_codes_do_not_tell(sample):
    every = changes_of(sample.folder, "2017-01")
    disagreeing = changes_of(sample.folder, "2017-01", disagreeing=True)
    assert disagreeing
    assert all(r["agrees_with_cms"] is False for r in disagreeing)
    assert len(disagreeing) < len(every)


def test_a_release_that_is_not_held_is_named_with_those_that_are(sample):
    with pytest.raises(HcpcsError, match=r"2018-01 is not loaded; this version has 2012-01"):
        changes_of(sample.folder, "2018-01")


def test_a_code_that_no_release_has_is_no_traceback(sample):
    with pytest.raises(HcpcsError, match="no loaded release states 'J9998'"):
        code_states(sample.folder, "j9998")


@pytest.mark.parametrize(
    ("typed", "code"),
    [(" j0570 ", "J0570"), ("J05.70", "J0570"), ("qa", "QA"), ("J0570-JW", "J0570"), ("HC:J0570:JW", "J0570")],
)
def test_codes_are_taken_as_people_type_them(typed, code):
    assert normalized_code(typed) == code


@pytest.mark.parametrize("typed", ["", "J057", "J0570-ZZ", "ß1234"])
def test_what_can_be_no_code_is_refused(typed):
    with pytest.raises(HcpcsError, match="neither a five-character code"):
        normalized_code(typed)
