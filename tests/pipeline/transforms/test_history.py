"""Every rule of DESIGN's "How days are decided", on lives made up to show it and on the real releases."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.transforms.episodes import episodes_of_records
from pipeline.transforms.history import (
    codes_without_one_current_episode,
    departures,
    history_from_records,
    latest_states,
    overlapping_spans,
    records_unlike_span,
    uncovered_records,
    vanished_codes,
)
from schemas.columns import CONTENT_COLUMNS, RecordContent
from schemas.hcpcs_history import HcpcsHistory, HistorySpan

SCHEMA: dict[str, Any] = {
    "kind": pl.String,
    "code": pl.String,
    "release_id": pl.String,
    **{name: c.dtype.type for name, c in RecordContent.to_schema().columns.items()},
    "added_date": pl.Date,
    "action_effective_date": pl.Date,
    "termination_date": pl.Date,
    "action_code": pl.String,
}
#: A code that every made-up release has, so that a release without the code under test is held all the same.
FILLER = "A9999"


def day(text: str | None) -> dt.date | None:
    return dt.date.fromisoformat(text) if text else None


def record(
    release: str,
    text: str = "Rubber duck, yellow",
    *,
    code: str = "Z0001",
    added: str | None = "2015-01-01",
    action: str | None = None,
    end: str | None = None,
    did: str = "N",
    **content: Any,
) -> dict[str, Any]:
    lists = {c: [] for c, dtype in SCHEMA.items() if dtype == pl.List(pl.String)}
    return {
        "kind": "procedure",
        "code": code,
        "release_id": release,
        **lists,
        "long_description": text,
        "short_description": text[:28],
        "added_date": day(added),
        "action_effective_date": day(action),
        "termination_date": day(end),
        "action_code": did,
        **content,
    }


def frame(*records: dict[str, Any], held: tuple[str, ...] = ()) -> pl.DataFrame:
    releases = {r["release_id"] for r in records} | set(held)
    fillers = [record(r, "Filler", code=FILLER, added="2000-01-01") for r in sorted(releases)]
    return pl.DataFrame([*records, *fillers], schema=SCHEMA)


def spans(*records: dict[str, Any], held: tuple[str, ...] = (), code: str = "Z0001") -> list[dict[str, Any]]:
    history = history_from_records(episodes_of_records(frame(*records, held=held)))
    assert overlapping_spans(history).is_empty()
    return history.filter(pl.col("code") == code).rows(named=True)


def days(*records: dict[str, Any], held: tuple[str, ...] = ()) -> list[tuple[str, str | None]]:
    found = spans(*records, held=held)
    return [(str(s["valid_from"]), str(s["valid_to"]) if s["valid_to"] else None) for s in found]


def states(*records: dict[str, Any], held: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    histories = episodes_of_records(frame(*records, held=held))
    return latest_states(histories, history_from_records(histories)).filter(pl.col("code") == "Z0001").rows(named=True)


# --- where a span begins ---


def test_the_first_span_begins_at_the_added_date_and_is_open_without_an_end():
    (span,) = spans(record("2016-01"))
    assert (span["valid_from"], span["valid_from_basis"]) == (dt.date(2015, 1, 1), "added")
    assert (span["valid_to"], span["valid_to_basis"]) == (None, "open")


def test_a_later_span_begins_at_the_action_date_if_that_lies_between_the_two_releases():
    first, second = spans(record("2016-01"), record("2017-01", "Rubber duck, green", action="2016-07-01", did="C"))
    assert (first["valid_to"], first["valid_to_basis"]) == (dt.date(2016, 6, 30), "next_span")
    assert (second["valid_from"], second["valid_from_basis"]) == (dt.date(2016, 7, 1), "action")


@pytest.mark.parametrize("action", [None, "2015-06-01", "2016-01-01", "2017-02-01"])
def test_a_later_span_begins_with_its_release_if_no_action_date_lies_between(action):
    _, second = spans(record("2016-01"), record("2017-01", "Rubber duck, green", action=action))
    assert (second["valid_from"], second["valid_from_basis"]) == (dt.date(2017, 1, 1), "release")


def test_an_action_date_on_the_release_day_is_between():
    _, second = spans(record("2016-01"), record("2017-01", "Rubber duck, green", action="2017-01-01"))
    assert second["valid_from_basis"] == "action"


def test_an_action_date_left_blank_between_two_is_that_of_the_later_release():
    found = spans(
        record("2016-01", "Rubber duck", action="2015-01-01"),
        record("2017-01", "Tin whistle"),
        record("2018-01", "Tin whistle", action="2016-07-01"),
    )
    assert [(str(s["valid_from"]), s["valid_from_basis"]) for s in found][1] == ("2016-07-01", "action")


def test_an_action_date_that_a_workbook_leaves_blank_is_read_from_the_next_release():
    _, second = spans(
        record("2016-01"),
        record("2017-01", "Rubber duck, green", action=None, did="C"),
        record("2018-01", "Rubber duck, green", action="2016-07-01", did="N"),
    )
    assert second["valid_from"] == dt.date(2016, 7, 1)


def test_the_newest_added_date_wins():
    assert days(record("2016-01", added="2016-01-01"), record("2017-01", added="2015-11-02")) == [("2015-11-02", None)]


def test_without_an_added_date_the_first_span_begins_with_its_release():
    (span,) = spans(record("2016-01", added=None))
    assert (span["valid_from"], span["valid_from_basis"]) == (dt.date(2016, 1, 1), "release")


def test_content_from_before_a_corrected_added_date_has_no_span_of_its_own():
    (span,) = spans(
        record("2015-01", "Rubber duck, yellow, large", added="2014-01-01"),
        record("2016-01", "Rubber duck, yellow, huge", added="2016-01-01"),
    )
    assert (span["valid_from"], span["first_release"], span["last_release"]) == (
        dt.date(2016, 1, 1),
        "2015-01",
        "2016-01",
    )
    assert span["long_description"] == "Rubber duck, yellow, huge"


# --- where a span ends ---


def test_a_span_ends_at_the_termination_date():
    (span,) = spans(record("2016-01"), record("2017-01", end="2016-12-31", did="D"))
    assert (span["valid_to"], span["valid_to_basis"]) == (dt.date(2016, 12, 31), "termination")


@pytest.mark.parametrize("new_end", ["2016-02-29", "2015-06-30"])
def test_an_end_that_is_moved_was_never_so(new_end):
    assert days(record("2016-01", end="2015-12-31", did="D"), record("2017-01", end=new_end)) == [
        ("2015-01-01", new_end)
    ]


def test_an_end_taken_back_without_r_was_never_so():
    assert days(record("2016-01", end="2015-12-31", did="D"), record("2017-01")) == [("2015-01-01", None)]


def test_the_days_between_an_end_and_a_reactivation_stay_not_valid():
    first, second = spans(record("2016-01", end="2015-12-31", did="D"), record("2017-01", action="2016-07-01", did="R"))
    assert (first["valid_to"], first["valid_to_basis"]) == (dt.date(2015, 12, 31), "termination")
    assert (second["valid_from"], second["valid_from_basis"]) == (dt.date(2016, 7, 1), "action")
    assert (first["last_release"], second["first_release"]) == ("2016-01", "2017-01")


def test_a_reactivation_repeated_by_later_releases_leaves_one_gap():
    assert days(
        record("2016-01", end="2015-12-31", did="D"),
        record("2017-01", action="2016-07-01", did="R"),
        record("2018-01", action="2016-07-01", did="R"),
        record("2019-01", action="2016-07-01", end="2018-12-31", did="D"),
    ) == [("2015-01-01", "2015-12-31"), ("2016-07-01", "2018-12-31")]


def test_a_reactivation_from_the_day_after_the_end_leaves_no_gap():
    assert days(record("2016-01", end="2015-12-31"), record("2017-01", action="2016-01-01", did="R")) == [
        ("2015-01-01", None)
    ]


def test_a_record_that_changes_after_its_end_keeps_its_last_span():
    (span,) = spans(record("2016-01"), record("2017-01", "Rubber duck, green", end="2016-12-31", did="D"))
    assert span["long_description"] == "Rubber duck, yellow"
    assert (span["first_release"], span["last_release"]) == ("2016-01", "2017-01")
    (state,) = states(record("2016-01"), record("2017-01", "Rubber duck, green", end="2016-12-31", did="D"))
    assert state["long_description"] == "Rubber duck, green"


def test_gone_with_no_end_stated_ends_before_the_first_release_without_it():
    (span,) = spans(record("2016-01"), held=("2017-01", "2018-01"))
    assert (span["valid_to"], span["valid_to_basis"]) == (dt.date(2016, 12, 31), "absence")


def test_gone_before_its_stated_end_keeps_that_end():
    (span,) = spans(record("2016-01", end="2018-12-31"), held=("2017-01",))
    assert (span["valid_to"], span["valid_to_basis"]) == (dt.date(2018, 12, 31), "termination")


def test_back_with_the_same_added_date_it_was_never_gone():
    assert days(record("2016-01"), record("2018-01"), held=("2017-01",)) == [("2015-01-01", None)]


def test_back_by_a_reactivation_it_was_gone_meanwhile():
    first, second = spans(record("2016-01"), record("2018-01", action="2017-07-01", did="R"), held=("2017-01",))
    assert (first["valid_to"], first["valid_to_basis"]) == (dt.date(2016, 12, 31), "absence")
    assert second["valid_from"] == dt.date(2017, 7, 1)


# --- content ---


def test_content_changed_in_form_only_is_one_span_with_the_newest_wording():
    (span,) = spans(record("2016-01", "RX'D DUCK, 0.1 MG"), record("2017-01", "RxÆd duck, 0. 1 mg"))
    assert span["long_description"] == "RxÆd duck, 0. 1 mg"


@pytest.mark.parametrize(
    "change",
    [
        {"text": "Duck, 10 mg"},
        {"text": "Duck, 1.0 mg, >= 3"},
        {"coverage_code": "D"},
        {"crosswalk_targets": ["Z0002"]},
        {"asc_date": dt.date(2016, 4, 1)},
    ],
)
def test_a_change_of_content_begins_a_span(change):
    assert len(spans(record("2016-01", "Duck, 1.0 mg"), record("2017-01", **{"text": "Duck, 1.0 mg"} | change))) == 2


def test_dates_and_actions_are_no_content():
    assert len(spans(record("2016-01", did="A"), record("2017-01", action="2016-02-01", did="C"))) == 1


def test_base_units_of_nought_and_none_are_the_same():
    assert len(spans(record("2016-01", anesthesia_base_units=0), record("2017-01"))) == 1


def test_content_that_comes_back_has_a_span_again():
    texts = [
        s["long_description"] for s in spans(record("2016-01", "A"), record("2017-01", "B"), record("2018-01", "A"))
    ]
    assert texts == ["A", "B", "A"]


# --- episodes ---


def test_a_reused_code_was_not_valid_between_its_two_meanings():
    first, second = spans(
        record("2012-01", added="1982-01-01", end="2010-12-31"),
        record("2017-01", "Tin whistle", added="2017-01-01", did="A"),
        held=("2016-01",),
    )
    assert (first["episode"], first["valid_to"]) == (1, dt.date(2010, 12, 31))
    assert (second["episode"], second["span_number"], second["valid_from"]) == (2, 1, dt.date(2017, 1, 1))


def test_a_meaning_with_no_end_stated_ends_before_the_next_one():
    first, second = spans(record("2018-01"), record("2019-01", "Tin whistle", added="2018-04-01"))
    assert (first["valid_to"], first["valid_to_basis"]) == (dt.date(2018, 3, 31), "next_span")
    assert (second["episode"], second["valid_from"]) == (2, dt.date(2018, 4, 1))


def test_an_overridden_episode_with_the_same_added_date_begins_with_the_change():
    override = pl.DataFrame(
        {"kind": ["procedure"], "code": ["Z0001"], "release_id": ["2020-04"], "decision": ["new_episode"]}
    )
    records = frame(record("2019-01"), record("2020-04", "Tin whistle", action="2020-03-01", did="C"))
    history = history_from_records(episodes_of_records(records, override)).filter(pl.col("code") == "Z0001")
    assert history["valid_from"].to_list() == [dt.date(2015, 1, 1), dt.date(2020, 3, 1)]
    assert history["valid_to"].to_list() == [dt.date(2020, 2, 29), None]


def test_an_added_date_corrected_into_the_meaning_before_cuts_that_short():
    first, second = spans(
        record("2016-01", added="2010-01-01", end="2012-12-31"),
        record("2017-01", "Tin whistle", added="2016-06-01"),
        record("2018-01", "Tin whistle", added="2012-07-01"),
    )
    assert (first["valid_to"], second["valid_from"]) == (dt.date(2012, 6, 30), dt.date(2012, 7, 1))


# --- releases not held ---


@pytest.mark.parametrize(
    ("held", "added", "end", "gap"),
    [
        (("2016-01", "2017-01"), "2016-01-01", None, False),
        (("2016-01", "2017-01"), "2015-07-01", None, True),  # before the first release held
        (("2016-01", "2018-01"), "2016-01-01", None, True),
        (("2016-01", "2018-01"), "2016-01-01", "2016-12-31", False),
        (("2016-01", "2018-01"), "2016-01-01", "2017-01-01", True),
        (("2020-01", "2020-07"), "2020-01-01", "2020-04-01", True),
        (("2020-01", "2020-07"), "2020-01-01", "2020-03-31", False),
    ],
)
def test_a_span_says_whether_a_release_that_decides_one_of_its_days_is_not_held(held, added, end, gap):
    (span,) = spans(*(record(r, added=added, end=end) for r in held))
    assert span["observed_gap"] is gap


# --- latest states ---


def test_status_is_as_of_the_newest_release():
    active, ended_today = states(record("2016-01")), states(record("2016-01", end="2016-01-01"))
    ended = states(record("2016-01", end="2015-12-31"))
    assert [s[0]["status"] for s in (active, ended_today, ended)] == ["active", "active", "terminated"]


def test_a_code_dropped_four_years_after_its_end_is_purged():
    (state,) = states(record("2016-01", end="2012-12-31"), held=("2017-01",))
    assert state["status"] == "purged" and state["last_release"] == "2016-01"


def test_a_code_dropped_with_no_end_or_before_it_was_due_is_terminated():
    assert states(record("2016-01"), held=("2017-01",))[0]["status"] == "terminated"
    assert states(record("2016-01", end="2013-01-01"), held=("2017-01",))[0]["status"] == "terminated"


def test_one_old_code_missing_where_its_like_are_kept_is_no_purge():
    kept = [record(r, code=f"Z000{n}", end="2012-12-31") for r in ("2016-01", "2017-01") for n in (2, 3, 4)]
    histories = episodes_of_records(frame(record("2016-01", end="2012-12-31"), *kept))
    (row,) = vanished_codes(histories).rows(named=True)
    assert (row["code"], row["reason"], row["severity"]) == ("Z0001", "ended_not_due", "warning")


def test_a_purge_by_a_release_not_held_is_a_purge():
    """2017 and 2019 are held: codes ended in 2013 left with 2018, those ended in 2014 stayed."""
    kept = [record(r, code=f"Z000{n}", end="2014-12-31") for r in ("2017-01", "2019-01") for n in (2, 3)]
    histories = episodes_of_records(frame(record("2017-01", end="2013-12-31"), *kept))
    assert departures(histories)["is_purge"].to_list() == [True]


def test_exactly_the_last_episode_is_current():
    rows = states(record("2016-01", end="2015-12-31"), record("2017-01", "Tin whistle", added="2017-01-01"))
    assert [(s["episode"], s["is_current_episode"], s["status"]) for s in rows] == [
        (1, False, "terminated"),
        (2, True, "active"),
    ]


def test_a_latest_state_keeps_the_action_date_that_the_newest_release_leaves_blank():
    assert states(record("2016-01", action="2015-01-01"), record("2017-01", did="N"))[0]["action_effective_date"]
    assert not states(record("2016-01", action="2015-01-01"), record("2017-01", did="C"))[0]["action_effective_date"]


def test_why_a_code_vanished_is_told():
    histories = frame(
        record("2012-01", code="Z0001"),
        record("2012-01", code="Z0002"),
        record("2017-01", code="Z0002"),
        record("2012-01", code="Z0003", end="2013-01-01"),
        held=("2016-01",),
    )
    found = vanished_codes(episodes_of_records(histories)).select("code", "reason", "severity").rows()
    assert found == [
        ("Z0001", "no_end_stated", "warning"),
        ("Z0002", "restored", "info"),
        ("Z0003", "ended_not_due", "warning"),
    ]


def test_so_long_between_two_releases_a_code_may_have_ended_and_been_purged_unseen():
    histories = episodes_of_records(frame(record("2012-01"), held=("2017-01",)))
    assert vanished_codes(histories).select("reason", "severity").rows() == [("unseen_end", "info")]


# --- the checks can fail ---


@pytest.fixture
def two_spans() -> tuple[pl.DataFrame, pl.DataFrame]:
    histories = episodes_of_records(frame(record("2016-01"), record("2017-01", "Rubber duck, green")))
    return histories, history_from_records(histories)


def test_overlapping_spans_are_found(two_spans):
    _, history = two_spans
    assert overlapping_spans(history).is_empty()
    assert overlapping_spans(history.with_columns(valid_to=dt.date(2017, 1, 1))).height == 1
    assert overlapping_spans(history.with_columns(valid_to=pl.lit(None, pl.Date))).height == 1
    assert overlapping_spans(history.with_columns(episode=pl.col("span_number"), valid_to=None)).height == 1


def test_records_that_no_span_or_two_cover_are_found(two_spans):
    histories, history = two_spans
    assert uncovered_records(histories, history).is_empty()
    short = history.filter(~((pl.col("code") == "Z0001") & (pl.col("span_number") == 2)))
    assert uncovered_records(histories, short).select("release_id", "spans").rows() == [("2017-01", 0)]
    twice = history.with_columns(last_release=pl.lit("2017-01"))
    assert uncovered_records(histories, twice).select("release_id", "spans").rows() == [("2017-01", 2)]


def test_a_span_that_says_other_than_its_records_is_found(two_spans):
    histories, history = two_spans
    assert records_unlike_span(histories, history).is_empty()
    wrong = history.with_columns(pl.lit("Tin whistle").alias("long_description"))
    assert records_unlike_span(histories, wrong).filter(pl.col("code") == "Z0001").height == 2


def test_a_code_with_two_current_episodes_is_found(two_spans):
    histories, history = two_spans
    found = latest_states(histories, history)
    assert codes_without_one_current_episode(found).is_empty()
    assert codes_without_one_current_episode(pl.concat([found, found])).height == 2


# --- any life at all ---

RELEASES = ["2012-01", "2013-01", "2016-01", "2017-01", "2019-01", "2020-01", "2020-04", "2020-10"]
DAYS = st.integers(0, 40).map(lambda quarters: dt.date(2011 + quarters // 4, 1 + quarters % 4 * 3, 1))


@st.composite
def histories(draw: st.DrawFn) -> pl.DataFrame:
    rows = []
    for number in range(draw(st.integers(1, 4))):
        for release in RELEASES:
            if not draw(st.booleans()):
                continue
            added = draw(st.none() | DAYS)
            end = draw(st.none() | DAYS)
            if added and end and end < added:
                added, end = end, added
            text = draw(st.sampled_from(["Rubber duck", "rubber  DUCK", "Tin whistle, long", "Rubber duck, green"]))
            rows.append(
                record(release, text, code=f"Z000{number}", did=draw(st.sampled_from("ANCDRB")))
                | {
                    "added_date": added,
                    "termination_date": end,
                    "action_effective_date": draw(st.none() | DAYS),
                    "coverage_code": draw(st.sampled_from([None, "C", "D"])),
                }
            )
    return frame(*rows, held=tuple(RELEASES))


@settings(max_examples=40, deadline=None)
@given(histories())
def test_whatever_cms_states_spans_do_not_overlap_and_cover_every_record_once(records):
    assert_every_check_passes(records)


@pytest.mark.slow
@settings(max_examples=300, deadline=None)
@given(histories())
def test_whatever_cms_states_longer(records):
    assert_every_check_passes(records)


def assert_every_check_passes(records):
    numbered = episodes_of_records(records)
    history = history_from_records(numbered)
    assert overlapping_spans(history).is_empty()
    assert uncovered_records(numbered, history).is_empty()
    assert records_unlike_span(numbered, history).is_empty()
    found = latest_states(numbered, history)
    assert codes_without_one_current_episode(found).is_empty()
    assert found.height == numbered.select("kind", "code", "episode").n_unique()
    assert history.filter(pl.col("valid_to").is_null() != (pl.col("valid_to_basis") == "open")).is_empty()


@pytest.mark.slow
@settings(max_examples=50, deadline=None)
@given(histories(), st.randoms())
def test_the_order_in_which_records_arrive_changes_nothing(records, random):
    rows = records.rows()
    random.shuffle(rows)
    shuffled = pl.DataFrame(rows, schema=records.schema, orient="row")
    assert history_from_records(episodes_of_records(shuffled)).equals(
        history_from_records(episodes_of_records(records))
    )


def test_no_records_make_no_spans():
    empty = episodes_of_records(pl.DataFrame(schema=SCHEMA))
    history = history_from_records(empty)
    assert history.is_empty() and latest_states(empty, history).is_empty() and vanished_codes(empty).is_empty()


def test_the_transform_gives_the_contract_its_columns_and_types():
    history = history_from_records(episodes_of_records(frame(record("2016-01"))))
    fields = {**HistorySpan.to_schema().columns, **RecordContent.to_schema().columns}
    assert dict(history.schema) == {name: c.dtype.type for name, c in fields.items()}
    assert list(HcpcsHistory.to_schema().columns)[: history.width] == history.columns


# --- the real releases ---


@pytest.fixture(scope="session")
def real(real_records: pl.DataFrame) -> pl.DataFrame:
    """Records of every real release at hand, with episodes."""
    return episodes_of_records(real_records.drop("revision"))


@pytest.fixture(scope="session")
def real_history(real: pl.DataFrame) -> pl.DataFrame:
    return history_from_records(real)


def on(history: pl.DataFrame, code: str, text: str) -> list[int]:
    """Episodes of the code that are valid on a day."""
    valid = (pl.col("valid_from") <= day(text)) & (pl.col("valid_to").is_null() | (pl.col("valid_to") >= day(text)))
    return history.filter((pl.col("code") == code) & valid)["episode"].to_list()


def test_real_spans_pass_every_check(real, real_history):
    assert overlapping_spans(real_history).is_empty()
    assert uncovered_records(real, real_history).is_empty()
    assert records_unlike_span(real, real_history).is_empty()
    assert codes_without_one_current_episode(latest_states(real, real_history)).is_empty()


def test_j0570_has_two_meanings_with_years_between_and_a_gap_in_the_second(real_history):
    assert on(real_history, "J0570", "2009-06-30") == [1]
    assert on(real_history, "J0570", "2014-06-30") == []
    assert on(real_history, "J0570", "2018-06-30") == [2]
    assert on(real_history, "J0570", "2024-12-31") == [2]
    assert on(real_history, "J0570", "2025-01-01") == on(real_history, "J0570", "2025-09-30") == []
    assert on(real_history, "J0570", "2025-10-01") == [2]


def test_s3854_was_not_valid_in_the_half_year_before_its_reactivation(real_history):
    assert on(real_history, "S3854", "2015-12-31") == on(real_history, "S3854", "2016-07-01") == [1]
    assert on(real_history, "S3854", "2016-01-01") == on(real_history, "S3854", "2016-06-30") == []


def test_real_ends_that_moved_later_held_until_then(real_history):
    assert on(real_history, "G0154", "2016-02-29") == on(real_history, "G8675", "2012-12-31") == [1]
    assert on(real_history, "G0154", "2016-03-01") == on(real_history, "G8675", "2013-01-01") == []


def test_exactly_the_known_codes_vanished_unexplained(real):
    found = vanished_codes(real)
    assert set(found.filter(severity="warning")["code"]) == {"C9716", "G0298", "G0449", "G0450", "G9668"}
    assert found.filter(severity="info").select("code", "reason").rows() == [("DA", "restored")]


def test_cms_purged_until_2018_and_never_since(real):
    purges = departures(real).filter("is_purge").group_by("gone_release_id").len().sort("gone_release_id").rows()
    assert purges == [("2012-01", 224), ("2016-01", 506), ("2017-01", 96), ("2019-01", 107)]


def test_content_columns_are_those_of_the_record():
    assert set(CONTENT_COLUMNS) <= set(SCHEMA)
