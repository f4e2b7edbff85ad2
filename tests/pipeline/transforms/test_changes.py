"""What counts as which change, and when CMS's action code tells it: on made-up lives and on the real releases."""

from __future__ import annotations

import datetime as dt
import json
import random
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from reconciliation import reconcile_with_cms

from pipeline.transforms.changes import (
    CHANGE_SCHEMA,
    changes_between_releases,
    transactions_unlike_records,
    with_current_episodes,
)
from pipeline.transforms.episodes import episodes_of_records
from pipeline.transforms.license_flags import with_license_flags
from schemas.columns import RecordContent
from schemas.hcpcs_changes import CHANGES
from schemas.registry import enforce
from sources.archive.zips import read_zip
from sources.curated.license_policy import load_license_policy
from sources.release.member_roles import member_role
from sources.side_files.kinds import read_side_files

SCHEMA: dict[str, Any] = {
    "release_id": pl.String,
    "revision": pl.Int32,
    "kind": pl.String,
    "code": pl.String,
    "episode": pl.Int32,
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
    did: str = "N",
    *,
    code: str = "Z0001",
    text: str = "Rubber duck, yellow",
    added: str | None = "2015-01-01",
    action: str | None = None,
    end: str | None = None,
    revision: int = 1,
    episode: int = 1,
    **content: Any,
) -> dict[str, Any]:
    lists = {c: [] for c, dtype in SCHEMA.items() if dtype == pl.List(pl.String)}
    return {
        "release_id": release,
        "revision": revision,
        "kind": "procedure",
        "code": code,
        "episode": episode,
        **lists,
        "long_description": text,
        "short_description": "Duck",
        "added_date": day(added),
        "action_effective_date": day(action),
        "termination_date": day(end),
        "action_code": did,
        **content,
    }


def frame(*records: dict[str, Any], held: tuple[str, ...] = ()) -> pl.DataFrame:
    postings = {(r["release_id"], r["revision"]) for r in records} | {(release, 1) for release in held}
    fillers = [record(r, revision=n, code=FILLER, added="2000-01-01") for r, n in sorted(postings)]
    return pl.DataFrame([*records, *fillers], schema=SCHEMA)


def changes(*records: dict[str, Any], held: tuple[str, ...] = ()) -> list[dict[str, Any]]:
    found = changes_between_releases(frame(*records, held=held))
    return found.filter(pl.col("code") != FILLER).rows(named=True)


def classes(*records: dict[str, Any], held: tuple[str, ...] = ()) -> set[tuple[str, str, bool | None]]:
    return {(c["change"], c["field"], c["agrees_with_cms"]) for c in changes(*records, held=held)}


# --- the record comes and goes ---------------------------------------------------------------------------------------


def test_the_first_release_held_has_no_changes():
    assert changes(record("2016-01", "A")) == []


def test_a_record_that_stays_the_same_is_no_change():
    assert changes(record("2016-01"), record("2017-01")) == []


def test_a_code_that_no_earlier_release_has_is_added():
    assert classes(record("2017-01", "A", added="2017-01-01"), held=("2016-01",)) == {("added", "record", True)}


def test_a_code_that_is_added_and_said_to_be_unchanged_disagrees():
    (change,) = changes(record("2017-01", "N", added="2016-07-01"), held=("2016-01",))
    assert (change["change"], change["agrees_with_cms"], change["disagreement"]) == ("added", False, "not_reported")


def test_a_code_that_comes_with_its_end_is_added_and_discontinued_and_one_letter_cannot_tell_both():
    found = classes(record("2017-01", "D", added="2016-04-01", end="2016-12-31"), held=("2016-01",))
    assert found == {("added", "record", None), ("discontinued", "termination_date", True)}


def test_a_code_gone_four_years_after_its_end_is_purged():
    ended = record("2016-01", "N", end="2012-12-31")
    (change,) = changes(ended, held=("2017-01",))
    assert (change["release_id"], change["change"], change["cms_action_code"]) == ("2017-01", "purged", None)
    assert change["agrees_with_cms"] is None


@pytest.mark.parametrize("end", [None, "2013-12-31"])
def test_a_code_gone_with_no_end_or_too_soon_after_it_has_vanished(end):
    assert classes(record("2016-01", end=end), held=("2017-01",)) == {("vanished", "record", None)}


def test_a_code_back_with_the_same_meaning_is_restored_and_no_letter_is_missed():
    found = classes(record("2016-01"), record("2018-01"), held=("2017-01",))
    assert found == {("vanished", "record", None), ("restored", "record", None)}


def test_a_code_back_with_action_code_r_is_reactivated():
    back = record("2018-01", "R", action="2018-01-01")
    assert ("reactivated", "record", True) in classes(record("2016-01"), back, held=("2017-01",))


def test_a_code_back_with_another_meaning_is_reused():
    old = record("2016-01", end="2015-12-31")
    new = record("2018-01", "A", text="Glass eye", added="2018-01-01", episode=2)
    assert ("reused", "record", True) in classes(old, new, held=("2017-01",))


def test_every_difference_of_a_code_reused_from_one_release_to_the_next_is_reuse():
    old = record("2016-01", end="2015-12-31")
    new = record("2017-01", "A", text="Glass eye", added="2017-01-01", episode=2)
    found = changes(old, new)
    assert {c["change"] for c in found} == {"reused"}
    assert {c["field"] for c in found} == {"record", "long_description", "added_date", "termination_date"}
    assert all(c["agrees_with_cms"] for c in found)


# --- its dates -------------------------------------------------------------------------------------------------------


def test_an_end_that_comes_is_a_discontinuation_that_d_tells_and_n_denies():
    for letter, agrees in (("D", True), ("N", False)):
        (change,) = changes(record("2016-01"), record("2017-01", letter, end="2015-12-31"))
        assert (change["change"], change["new"], change["agrees_with_cms"]) == ("discontinued", "2015-12-31", agrees)


def test_an_end_taken_back_by_r_is_a_reactivation_and_without_r_a_correction():
    ended = record("2016-01", "D", end="2015-12-31")
    assert classes(ended, record("2017-01", "R")) == {("reactivated", "termination_date", True)}
    assert classes(ended, record("2017-01", "N")) == {("termination_corrected", "termination_date", False)}


def test_an_end_that_moves_is_a_correction():
    moved = classes(record("2016-01", "D", end="2015-12-31"), record("2017-01", "D", end="2016-02-29"))
    assert moved == {("termination_corrected", "termination_date", True)}


def test_an_added_date_that_moves_with_the_meaning_unchanged_is_corrected():
    assert classes(record("2016-01"), record("2017-01", added="2014-10-01")) == {
        ("added_date_corrected", "added_date", False)
    }


def test_a_date_left_blank_is_unknown_and_not_changed():
    stated, blank = {"action": "2015-01-01"}, {"action": None, "added": None}
    assert changes(record("2016-01", **stated), record("2017-01", **blank)) == []
    assert changes(record("2016-01", **blank), record("2017-01", **stated)) == []


def test_n_denies_a_new_action_date_only_if_that_dates_an_action_of_this_step():
    old = record("2016-01", action="1996-01-01")
    assert classes(old, record("2017-01", action="1986-01-01")) == {("action_date", "action_effective_date", None)}
    assert classes(old, record("2017-01", action="2016-07-01")) == {("action_date", "action_effective_date", False)}


# --- its content -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("field", "value", "change", "letter"),
    [
        ("pricing_indicators", ["57"], "payment", "P"),
        ("multiple_pricing_code", "A", "payment", "P"),
        ("asc_group", "YY", "payment", "P"),
        ("opps_group", "123", "payment", "P"),
        ("anesthesia_base_units", 3, "payment", "P"),
        ("coverage_code", "C", "administrative", "F"),
        ("coverage_code", "C", "administrative", "B"),
        ("crosswalk_targets", ["Z0002"], "administrative", "F"),
        ("processing_note", "0012", "administrative", "F"),
        ("betos_code", "D1E", "miscellaneous", "T"),
        ("type_of_service_codes", ["P"], "miscellaneous", "T"),
        ("long_description", "Rubber duck, blue", "text", "C"),
        ("long_description", "Rubber duck, blue", "text", "B"),
        ("short_description", "Blue duck", "text", "S"),
    ],
)
def test_each_field_has_a_class_which_its_letter_tells_and_n_denies(field, value, change, letter):
    new = record("2017-01", letter) | {field: value}
    assert classes(record("2016-01"), new) == {(change, field, True)}
    assert classes(record("2016-01"), new | {"action_code": "N"}) == {(change, field, False)}


def test_a_change_of_form_alone_is_told_apart_and_n_is_right_about_it():
    old, new = record("2016-01", text="RUBBER DUCK, YELLOW"), record("2017-01", text="Rubber duck , yellow")
    assert classes(old, new) == {("text_format_only", "long_description", True)}
    assert classes(old, new | {"action_code": "P", "asc_group": "YY"}) == {
        ("text_format_only", "long_description", None),
        ("payment", "asc_group", True),
    }


def test_base_units_of_none_and_zero_are_no_change():
    assert changes(record("2016-01", anesthesia_base_units=0), record("2017-01", anesthesia_base_units=None)) == []


def test_a_list_is_written_as_json():
    (change,) = changes(record("2016-01"), record("2017-01", "P", pricing_indicators=["51", '"']))
    assert json.loads(change["old"]) == [] and json.loads(change["new"]) == ["51", '"']


# --- what one letter can say -----------------------------------------------------------------------------------------


def test_a_letter_that_tells_one_change_does_not_deny_its_like():
    new = record("2017-01", "C", text="Rubber duck, blue", asc_group="YY")
    assert classes(record("2016-01"), new) == {("text", "long_description", True), ("payment", "asc_group", None)}


def test_a_letter_that_tells_a_lesser_change_fails_to_tell_the_end():
    new = record("2017-01", "C", text="Rubber duck, blue", end="2016-12-31")
    found = {c["change"]: (c["agrees_with_cms"], c["disagreement"]) for c in changes(record("2016-01"), new)}
    assert found == {"text": (True, None), "discontinued": (False, "reported_differently")}


def test_a_letter_that_claims_what_is_not_to_be_seen_gets_a_row_of_its_own():
    (change,) = changes(record("2016-01"), record("2017-01", "C", action="2017-01-01"))
    assert (change["change"], change["field"], change["old"], change["new"]) == (
        "claimed_not_seen",
        "action_code",
        "N",
        "C",
    )
    assert (change["agrees_with_cms"], change["disagreement"]) == (False, "not_observed")


def test_a_letter_that_repeats_an_action_of_an_earlier_release_was_left_standing():
    old = record("2016-01", "A", action="2016-01-01")
    (change,) = changes(old, record("2017-01", "A", action="2016-01-01"))
    assert (change["change"], change["disagreement"]) == ("claimed_not_seen", "stale_action_code")


def test_an_unknown_or_empty_letter_is_not_judged():
    for letter in (None, "Q"):
        assert classes(record("2016-01"), record("2017-01", letter, asc_group="YY")) == {("payment", "asc_group", None)}


# --- gaps ------------------------------------------------------------------------------------------------------------


def test_over_a_gap_n_says_nothing_of_changes_that_may_be_older():
    (change,) = changes(record("2016-01"), record("2018-01", "N", end="2016-12-31"))
    assert (change["observed_gap"], change["change"], change["agrees_with_cms"]) == (True, "discontinued", None)


def test_over_a_gap_a_letter_dated_after_the_release_not_held_tells_its_change():
    dated = record("2018-01", "D", end="2017-12-31", action="2018-01-01")
    stale = record("2018-01", "D", end="2016-12-31", action="2017-01-01")
    old = record("2016-01")
    assert ("discontinued", "termination_date", True) in classes(old, dated)
    assert ("discontinued", "termination_date", None) in classes(old, stale)


def test_over_a_gap_a_code_added_after_the_release_not_held_ought_to_be_told():
    late = record("2018-01", "N", added="2017-07-01")
    early = record("2018-01", "N", added="2016-07-01")
    assert classes(late, held=("2016-01",)) == {("added", "record", False)}
    assert classes(early, held=("2016-01",)) == {("added", "record", None)}


def test_over_a_gap_a_claim_that_is_not_seen_is_not_held_against_cms():
    (change,) = changes(record("2016-01"), record("2018-01", "C"))
    assert (change["change"], change["agrees_with_cms"], change["disagreement"]) == ("claimed_not_seen", None, None)


# --- revisions -------------------------------------------------------------------------------------------------------


def test_the_newest_revision_is_compared_with_the_release_before_and_each_with_the_posting_before_it():
    found = changes(
        record("2016-01"),
        record("2017-01", text="Rubber duck, blue"),
        record("2017-01", text="Rubber duck, green", revision=2),
    )
    steps = {(c["previous_release_id"], c["previous_revision"], c["revision"], c["old"], c["new"]) for c in found}
    assert steps == {
        ("2016-01", 1, 2, "Rubber duck, yellow", "Rubber duck, green"),
        ("2017-01", 1, 2, "Rubber duck, blue", "Rubber duck, green"),
    }


def test_what_a_repost_changed_is_not_held_against_the_action_code():
    found = changes(record("2017-01", "C"), record("2017-01", "C", text="Rubber duck, blue", revision=2))
    assert [(c["change"], c["agrees_with_cms"]) for c in found] == [("text", None)]


def test_what_a_repost_leaves_out_has_vanished_however_old():
    found = changes_between_releases(
        frame(
            record("2017-01", end="2010-12-31"),
            record("2017-01", code="Z0002"),
            record("2017-01", code="Z0002", revision=2),
        )
    )
    assert found.select("code", "change").rows() == [("Z0001", "vanished")]


def test_what_a_repost_leaves_out_is_not_purged_by_the_purge_that_comes_later():
    old = {"end": "2010-12-31"}
    found = changes_between_releases(
        frame(
            record("2016-01", **old),
            record("2016-01", **old, revision=3),
            *(record("2016-01", code="Z0002", revision=revision) for revision in (1, 2, 3)),
            record("2017-01", code="Z0002"),
        )
    )
    gone = found.filter(pl.col("change").is_in(["vanished", "purged"]))
    assert gone.select("release_id", "revision", "change").rows() == [
        ("2016-01", 2, "vanished"),
        ("2017-01", 1, "purged"),
    ]


def test_records_of_older_revisions_take_the_episode_of_the_one_that_stands():
    records = frame(
        record("2016-01"),
        record("2017-01", added="2017-01-01"),
        record("2017-01", added="2017-01-01", revision=2),
        record("2017-01", code="Z0002"),
    ).drop("episode")
    current = pl.DataFrame(
        {
            "kind": ["procedure", "procedure"],
            "code": ["Z0001", "Z0001"],
            "release_id": ["2016-01", "2017-01"],
            "episode": pl.Series([1, 2], dtype=pl.Int32),
        }
    )
    found = with_current_episodes(records, current).filter(pl.col("code") != FILLER)
    assert found.select("code", "release_id", "revision", "episode").rows() == [
        ("Z0001", "2016-01", 1, 1),
        ("Z0001", "2017-01", 1, 2),
        ("Z0001", "2017-01", 2, 2),
        ("Z0002", "2017-01", 1, 1),
    ]


# --- the table -------------------------------------------------------------------------------------------------------


def contracted(changes: pl.DataFrame) -> pl.DataFrame:
    flagged = with_license_flags("hcpcs_changes", changes, load_license_policy(), texts=("old", "new"))
    return enforce("hcpcs_changes", flagged)


def test_one_release_alone_gives_an_empty_table_that_keeps_the_contract():
    found = changes_between_releases(frame(record("2017-01")))
    assert found.schema == CHANGE_SCHEMA
    assert contracted(found).is_empty()


def test_the_order_of_the_records_does_not_matter():
    rows = [
        record("2016-01"),
        record("2017-01", "C", text="Glass eye"),
        record("2018-01", "D", text="Glass eye", end="2017-12-31"),
        record("2018-01", "D", text="Glass eye", end="2017-11-30", revision=2),
    ]
    want = changes_between_releases(frame(*rows))
    assert want["change"].to_list() == ["text", "discontinued", "termination_corrected"]
    for seed in range(5):
        shuffled = frame(*random.Random(seed).sample(rows, len(rows))).sample(fraction=1, shuffle=True, seed=seed)
        assert changes_between_releases(shuffled).equals(want)


def test_a_report_line_is_held_against_the_changes_of_its_record():
    found = changes_between_releases(
        frame(
            record("2016-01"),
            record("2017-01", "N", end="2016-12-31"),
            record("2017-01", "A", code="Z0002"),
            record("2016-01", code="Z0003"),
            record("2017-01", code="Z0003"),
            record("2016-01", code="Z0004"),
            record("2017-01", "C", code="Z0004", text="Blue duck"),
        )
    )
    lines = pl.DataFrame(
        [
            ("2017-01", "procedure", "Z0001", "N"),
            ("2017-01", "procedure", "Z0002", "A"),
            ("2017-01", "procedure", "Z0003", "P"),
        ],
        schema={"release_id": pl.String, "kind": pl.String, "code": pl.String, "action_code": pl.String},
        orient="row",
    )
    result = reconcile_with_cms(found, lines)
    assert result.by_action_code.select("action_code", "lines", "told", "contradicted").rows() == [
        ("A", 1, 1, 0),
        ("N", 1, 0, 1),
        ("P", 1, 0, 1),
    ]
    assert result.disagreements.select("code", "cause").rows() == [
        ("Z0001", "not_reported"),
        ("Z0003", "no_record_says_so"),
        ("Z0004", "no_line"),
    ]


# --- the real releases -----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def members(shared_cms: Path) -> dict[str, list[tuple[str, bytes, str]]]:
    """Name, bytes and role of each release's members."""
    folders = sorted(p for p in shared_cms.iterdir() if p.is_dir())
    return {
        folder.name: [
            (m.name, m.data, member_role(m.name, m.data))
            for path in sorted(folder.glob("*.zip"))
            for m in read_zip(path)
        ]
        for folder in folders
    }


@pytest.fixture(scope="module")
def real(real_records: pl.DataFrame) -> pl.DataFrame:
    """Records of every real release at hand, with episodes."""
    return episodes_of_records(real_records)


@pytest.fixture(scope="module")
def seen(real: pl.DataFrame) -> pl.DataFrame:
    return changes_between_releases(real)


@pytest.fixture(scope="module")
def reports(members: dict[str, list[tuple[str, bytes, str]]]) -> pl.DataFrame:
    found = []
    for release_id, held in members.items():
        of_role = [(name, data) for name, data, role in held if role == "transaction_report"]
        if of_role:
            lines, _ = read_side_files("transaction_report", of_role)
            found.append(lines.with_columns(release_id=pl.lit(release_id)))
    return pl.concat(found)


def codes(frame: pl.DataFrame, *conditions: pl.Expr, **values: Any) -> set[str]:
    return set(frame.filter(*conditions, **values)["code"])


def test_real_changes_keep_the_contract_and_every_class_is_seen(seen):
    assert contracted(seen).height == seen.height
    assert set(seen["change"]) == set(CHANGES)


def test_of_2017_cms_left_29_ends_and_8_new_codes_untold(seen):
    untold = seen.filter(release_id="2017-01", disagreement="not_reported")
    assert untold.filter(change="discontinued").height == 29
    assert untold.filter(change="added").height == 8
    assert seen.filter(release_id="2017-01", disagreement="reported_differently").is_empty()


def test_of_2025_10_twenty_ends_lie_in_the_past(seen):
    late = seen.filter(pl.col("new") < "2024-12-31", release_id="2025-10", change="discontinued")
    assert late.height == 20 and set(late["cms_action_code"]) == {"N"}


def test_real_ends_that_changed(seen):
    moved = seen.filter(change="termination_corrected")
    assert codes(moved) == {"G8675", "G8676", "G8677", "G8678", "G8679", "G8680", "G0154"}
    assert moved.filter(pl.col("new") <= pl.col("old")).is_empty()
    assert codes(seen, change="reactivated") == {"S3854", "J0570"}
    assert seen.filter(code="J0570", change="reactivated").select(
        "release_id", "old", "new", "agrees_with_cms"
    ).rows() == [("2025-10", "2024-12-31", None, True)]


def test_real_departures(seen):
    assert codes(seen, change="vanished") == {"C9716", "G0449", "G0450", "G0298", "G9668", "DA"}
    assert seen.filter(change="restored").select("release_id", "kind", "code").rows() == [("2020-04", "modifier", "DA")]
    assert set(seen.filter(change="purged")["release_id"]) == {"2012-01", "2016-01", "2017-01", "2019-01"}


def test_real_codes_used_again(seen):
    reused = codes(seen, change="reused", field="record")
    assert {"J9380", "J0570", "Q2040", "G0308", "G0327", "QA", "QR", "J7322"} <= reused
    assert len(reused) == 40


def test_real_added_dates_corrected(seen):
    corrected = codes(seen, change="added_date_corrected")
    assert corrected == {"G0442", "G0443", "K0743", "G0299", "G0300", "C9058"}


def test_every_letter_of_2017_that_claims_a_change_is_right(seen, reports):
    result = reconcile_with_cms(seen, reports).by_action_code.filter(release_id="2017-01")
    claims = result.filter(pl.col("action_code") != "N")
    assert claims["lines"].sum() == 596
    assert claims["told"].to_list() == claims["lines"].to_list()
    assert result.filter(action_code="N").select("lines", "contradicted").row(0) == (5902, 57)


def test_the_letters_that_2012_left_standing_are_told_from_those_that_claim_too_much(seen, real):
    wrong = reconcile_with_cms(seen, real.filter(release_id="2012-01"))
    claimed = seen.filter(release_id="2012-01", change="claimed_not_seen")
    assert claimed.height == 494 and set(claimed["disagreement"]) == {"stale_action_code"}
    assert wrong.by_action_code.filter(action_code="A").select("lines", "told", "contradicted").row(0) == (
        441,
        305,
        136,
    )
    untold = seen.filter(release_id="2012-01", disagreement="not_reported")
    assert untold["code"].n_unique() == 57 and set(untold["change"]) == {"payment"}


def test_real_reports_and_records_agree_but_for_one_modifier(real, reports):
    unlike = transactions_unlike_records(real, reports)
    assert unlike.select("release_id", "code", "report_action_code").rows() == [("2016-01", "DA", None)]
