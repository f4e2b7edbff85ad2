"""The episode rule, case by case on lives made up to show it, and on the real releases."""

from __future__ import annotations

import datetime as dt
from typing import Any

import polars as pl
import pytest
from conftest import REPOSITORY

from pipeline.transforms.comparison import content_forms, field_form, prose_form
from pipeline.transforms.episodes import (
    DECISIONS,
    episode_decisions,
    episodes_of_records,
    unmatched_overrides,
)
from schemas.columns import CONTENT_COLUMNS, RecordContent
from sources.curated.episode_overrides import load_episode_overrides
from sources.errors import CuratedFileError

DUCK = "Bath toy, duck, rubber, yellow, each"
WHISTLE = "Wind instrument, tin, key of D"


def stated(
    release: str, text: str | None = DUCK, added: str | None = "2010-01-01", end: str | None = None, **more: Any
) -> dict[str, Any]:
    return {
        "kind": "procedure",
        "code": "Z0001",
        "release_id": release,
        "long_description": text,
        "short_description": more.get("short", text[:28] if text else None),
        "added_date": dt.date.fromisoformat(added) if added else None,
        "termination_date": dt.date.fromisoformat(end) if end else None,
        "action_code": more.get("did", "N"),
    }


SCHEMA = {
    "kind": pl.String,
    "code": pl.String,
    "release_id": pl.String,
    "long_description": pl.String,
    "short_description": pl.String,
    "added_date": pl.Date,
    "termination_date": pl.Date,
    "action_code": pl.String,
}


def life(*records: dict[str, Any], held: tuple[str, ...] = ()) -> pl.DataFrame:
    others = [stated(r, "Filler") | {"code": "A9999"} for r in {*held, *(r["release_id"] for r in records)}]
    return pl.DataFrame([*records, *others], schema=SCHEMA)


def episodes(*records: dict[str, Any], held: tuple[str, ...] = ()) -> list[int]:
    return episodes_of_records(life(*records, held=held)).filter(pl.col("code") == "Z0001")["episode"].to_list()


def decision(*records: dict[str, Any], held: tuple[str, ...] = ()) -> tuple[str, set[str]] | None:
    rows = episode_decisions(life(*records, held=held)).rows(named=True)
    return (rows[0]["decision"], set(rows[0]["evidence"].split(", "))) if rows else None


# --- dates decide ---


@pytest.mark.parametrize("text", [DUCK, WHISTLE])
def test_an_added_date_after_a_stated_end_begins_an_episode_whatever_the_text(text):
    records = stated("2012-01", end="2010-12-31"), stated("2017-01", text, added="2017-01-01")
    assert episodes(*records) == [1, 2]
    assert decision(*records)[0] == "new_episode"


@pytest.mark.parametrize("text", [DUCK, WHISTLE])
def test_an_added_date_moved_earlier_is_a_correction_whatever_the_text(text):
    records = stated("2016-01", added="2016-01-01"), stated("2017-01", text, added="2015-11-02")
    assert episodes(*records) == [1, 1]
    assert decision(*records)[0] == "correction"


def test_an_added_date_moved_later_with_no_end_and_an_unlike_text_begins_an_episode():
    records = stated("2018-01", added="2018-01-01"), stated("2019-01", WHISTLE, added="2018-04-01")
    assert episodes(*records) == [1, 2]
    assert decision(*records) == ("new_episode", {"added_later", "listed_before", "unlike"})


def test_an_added_date_moved_later_with_no_end_and_a_like_text_is_a_correction():
    records = stated("2020-04", added="2020-01-01"), stated("2020-10", added="2020-02-15")
    assert episodes(*records) == [1, 1]
    assert decision(*records) == ("correction", {"added_later"})


def test_a_like_text_added_after_a_release_that_listed_the_code_is_uncertain():
    """J7322 would be such a case had its end been stated in a release not held: its two texts are 0.89 alike."""
    records = stated("2012-01", added="2008-01-01"), stated("2017-01", added="2017-01-01")
    assert episodes(*records) == [1, 1]
    assert decision(*records) == ("uncertain", {"added_later", "listed_before"})


def test_an_end_that_does_not_lie_before_the_added_date_leaves_the_text_to_decide():
    before = stated("2018-01", added="2010-01-01", end="2018-12-31")
    assert episodes(before, stated("2019-01", WHISTLE, added="2018-07-01")) == [1, 2]
    assert episodes(before, stated("2019-01", DUCK, added="2018-07-01")) == [1, 1]


def test_an_unlike_text_alone_stays_and_is_uncertain():
    records = stated("2019-01"), stated("2020-04", WHISTLE, did="C")
    assert episodes(*records) == [1, 1]
    assert decision(*records) == ("uncertain", {"unlike"})


def test_an_end_taken_back_begins_no_episode():
    assert episodes(stated("2024-01", end="2023-12-31"), stated("2025-10", did="R")) == [1, 1]


def test_a_code_may_be_used_three_times():
    assert episodes(
        stated("2012-01", end="2010-12-31"),
        stated("2016-01", WHISTLE, added="2014-01-01", end="2015-12-31"),
        stated("2023-01", "Third thing", added="2022-07-01"),
        stated("2025-01", "Third thing", added="2022-07-01"),
    ) == [1, 2, 3, 3]


# --- absence ---


def test_an_added_date_after_the_code_was_gone_begins_an_episode_though_no_end_was_stated():
    records = stated("2016-01"), stated("2019-01", added="2018-01-01")
    assert episodes(*records, held=("2017-01",)) == [1, 2]
    assert "after_absence" in decision(*records, held=("2017-01",))[1]


def test_the_day_of_the_first_release_without_it_is_after_the_code_was_gone():
    records = stated("2016-01"), stated("2019-01", added="2017-01-01")
    assert episodes(*records, held=("2017-01",)) == [1, 2]
    records = stated("2016-01"), stated("2019-01", added="2016-12-31")
    assert episodes(*records, held=("2017-01",)) == [1, 1]


def test_an_absence_after_the_added_date_says_nothing_about_the_meaning():
    records = stated("2016-01"), stated("2019-01", added="2016-07-01")
    assert episodes(*records, held=("2017-01",)) == [1, 1]


def test_back_with_the_same_added_date_it_is_the_same_meaning():
    records = stated("2017-01"), stated("2020-04")
    assert episodes(*records, held=("2019-01",)) == [1, 1]
    assert decision(*records, held=("2019-01",)) == ("same", {"absent_between"})


def test_a_purged_code_that_comes_back_unchanged_is_the_same_meaning():
    records = stated("2012-01", end="2008-12-31"), stated("2017-01", end="2008-12-31")
    assert episodes(*records, held=("2016-01",)) == [1, 1]


def test_releases_not_held_between_are_no_absence():
    assert decision(stated("2012-01"), stated("2023-01")) is None


# --- texts ---


@pytest.mark.parametrize("text", [None, ""])
def test_a_missing_text_is_no_evidence(text):
    assert decision(stated("2016-01"), stated("2017-01", text)) is None


def test_a_text_changed_in_form_is_alike():
    assert decision(stated("2012-01", DUCK.upper()), stated("2016-01", DUCK)) is None


def test_a_text_that_grew_is_alike():
    assert decision(stated("2012-01"), stated("2016-01", DUCK + ", or any other water fowl that floats")) is None


def test_a_short_text_that_stayed_is_alike():
    assert decision(stated("2012-01", short="Duck"), stated("2016-01", WHISTLE, short="Duck")) is None


def test_where_a_long_text_is_missing_the_short_one_decides():
    records = stated("2018-01", None, short="Bath toy"), stated("2019-01", None, "2018-04-01", short="Tin whistle")
    assert episodes(*records) == [1, 2]


def test_an_unknown_added_date_is_no_evidence():
    assert episodes(stated("2016-01"), stated("2017-01", added=None), stated("2019-01")) == [1, 1, 1]
    # The last one known counts.
    later = stated("2019-01", WHISTLE, added="2018-01-01")
    assert episodes(stated("2016-01"), stated("2017-01", added=None), later) == [1, 1, 2]


# --- kinds, order, overrides ---


def test_a_modifier_and_a_code_do_not_share_episodes():
    records = pl.concat(
        [
            life(stated("2012-01", end="2010-12-31")),
            life(stated("2017-01", WHISTLE, added="2017-01-01") | {"kind": "modifier"}),
        ]
    )
    assert episodes_of_records(records)["episode"].to_list() == [1, 1, 1, 1]


def test_the_order_of_arrival_decides_nothing():
    records = life(stated("2012-01", end="2010-12-31"), stated("2017-01", WHISTLE, added="2017-01-01"))
    assert episodes_of_records(records.reverse()).equals(episodes_of_records(records))


def override(release: str, what: str) -> pl.DataFrame:
    return pl.DataFrame({"kind": ["procedure"], "code": ["Z0001"], "release_id": [release], "decision": [what]})


def test_an_override_decides_both_ways_and_is_told():
    unlike = life(stated("2019-01"), stated("2020-04", WHISTLE), stated("2023-01", WHISTLE))
    split = episodes_of_records(unlike, override("2020-04", "new_episode")).filter(pl.col("code") == "Z0001")
    assert split["episode"].to_list() == [1, 2, 2]
    told = episode_decisions(unlike, override("2020-04", "new_episode")).row(0, named=True)
    assert told["is_overridden"] and told["evidence"] == "unlike, override"

    reused = life(stated("2012-01", end="2010-12-31"), stated("2017-01", added="2017-01-01"))
    joined = episodes_of_records(reused, override("2017-01", "same")).filter(pl.col("code") == "Z0001")
    assert joined["episode"].to_list() == [1, 1]


def test_an_override_that_decides_nothing_is_found():
    records = life(stated("2019-01"), stated("2020-04"))
    for release, count in (("2019-01", 1), ("2020-01", 1), ("2020-04", 0)):
        assert unmatched_overrides(records, override(release, "new_episode")).height == count


def test_the_curated_overrides_are_sound():
    assert set(load_episode_overrides().columns) >= {"kind", "code", "release_id", "decision", "reason", "source"}


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("modifier,CS,2020-4,new_episode,why,where", "line 3: release '2020-4'"),
        ("modifier,CS,2020-04,split,why,where", "line 3: decision 'split'"),
        ("modifier,CS,2020-04,same,,where", "line 3: reason ''"),
        ("procedure,Z0001,2020-04,same,why,where", "line 3: procedure Z0001 of 2020-04 appears twice"),
    ],
)
def test_a_broken_override_is_refused_with_file_and_line(tmp_path, line, message):
    path = tmp_path / "episodes.csv"
    path.write_text(
        f"kind,code,release,decision,reason,source\nprocedure,Z0001,2020-04,same,why,where\n{line}\n", encoding="utf-8"
    )
    with pytest.raises(CuratedFileError) as refused:
        load_episode_overrides(path)
    assert "episodes.csv: " in str(refused.value) and message in str(refused.value)


def test_an_override_file_with_other_columns_is_refused(tmp_path):
    path = tmp_path / "episodes.csv"
    path.write_text("code,release\n", encoding="utf-8")
    with pytest.raises(CuratedFileError, match="line 1"):
        load_episode_overrides(path)


# --- form ---


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("EACH  DUCK", "each duck", True),
        ("duck, 0. 1 mg (e. G. , this)", "Duck, 0.1 mg (e.g., this)", True),
        ("rxÆd", "rx'd", True),
        ("70?189", "70-189", True),
        ("baseline = 4.0", "baseline >= 4.0", False),
        ("1.5 mg", "15 mg", False),
        ("5 %", "5", False),
        ("a/b", "a b", False),
        ("duck 1", "duck 2", False),
    ],
)
def test_what_counts_in_a_text_and_what_does_not(one, other, same):
    forms = pl.DataFrame({"text": [one, other]}).select(prose_form("text"))["text"]
    assert (forms[0] == forms[1]) is same


def test_in_a_reference_punctuation_counts_and_case_does_not():
    forms = pl.DataFrame({"statute_ref": ["1833(t)", "1833(T)", "1833T"]}).select(field_form("statute_ref"))
    assert forms["statute_ref"].n_unique() == 2


def test_values_do_not_run_into_their_neighbors():
    empty = {name: [None, None] for name in CONTENT_COLUMNS}
    schema = {name: c.dtype.type for name, c in RecordContent.to_schema().columns.items()}
    moved = pl.DataFrame(empty | {"asc_group": ["YY", None], "opps_group": [None, "YY"]}, schema=schema)
    listed = pl.DataFrame(empty | {"crosswalk_targets": [["AB", "C"], ["A", "BC"]]}, schema=schema)
    assert content_forms(moved).n_unique() == 2
    assert content_forms(listed).n_unique() == 2


# --- the real releases ---


@pytest.fixture(scope="session")
def real(real_records: pl.DataFrame) -> pl.DataFrame:
    """Records of every real release at hand."""
    return real_records.drop("revision")


def test_forty_codes_and_modifiers_are_reused(real):
    reused = set(episodes_of_records(real).filter(pl.col("episode") > 1)["code"])
    assert len(reused) == 40
    assert reused >= {"J9380", "J0570", "Q2040", "G0308", "G0327", "QA", "QR", "J7322"}


def test_real_corrections_begin_no_episode(real):
    decisions = episode_decisions(real)
    corrected = set(decisions.filter(decision="correction")["code"])
    assert corrected == {"G0442", "G0443", "K0743", "G0299", "G0300", "C9058"}
    numbered = episodes_of_records(real)
    assert set(numbered.filter(pl.col("code").is_in(["G9157", "K0743"]))["episode"]) == {1}


def test_modifier_cs_is_uncertain(real):
    row = episode_decisions(real).filter(code="CS").row(0, named=True)
    assert (row["release_id"], row["decision"], row["episode"]) == ("2020-04", "uncertain", 1)


def as_markdown(decisions: pl.DataFrame) -> str:
    """The frame of ``episode_decisions`` as the table in docs/episodes.md: no text of CMS's is in it."""
    head = "| kind | code | from | to | decision | evidence | similarity |\n|---|---|---|---|---|---|---|\n"
    rows = decisions.select(
        "kind", "code", "previous_release_id", "release_id", "decision", "evidence", pl.format("{}", "similarity")
    )
    return head + "".join("| " + " | ".join(row) + " |\n" for row in rows.rows())


def test_the_documented_decisions_are_the_ones_taken(real):
    document = (REPOSITORY / "docs" / "episodes.md").read_text(encoding="utf-8")
    assert as_markdown(episode_decisions(real)) in document
    assert all(f"`{d}`" in document for d in DECISIONS)
