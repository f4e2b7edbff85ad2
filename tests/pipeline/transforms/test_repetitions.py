"""Without the records that repeat, episodes, spans, states and changes are those of all records."""

from __future__ import annotations

import datetime as dt
import random

import polars as pl
import pytest

from pipeline.transforms import episodes, repetitions
from pipeline.transforms.changes import changes_between_releases, changes_from_records, with_current_episodes
from pipeline.transforms.episodes import OVERRIDE_SCHEMA, episode_decisions, episodes_of_records
from pipeline.transforms.history import departures, history_from_records, latest_states
from pipeline.transforms.published_tables import current
from pipeline.transforms.repetitions import CLAIMS, without_repetitions
from schemas.columns import CONTENT_COLUMNS, RecordContent

RELEASES = [f"{year}-{month}" for year in range(2008, 2020) for month in ("01", "07")]
REPOSTED = ("2010-01", "2015-07")
TEXTS = ("Sample: wool blanket", "Sample: Wool blanket,", "Sample: ride in a carriage")
DAYS = (None, dt.date(2008, 1, 1), dt.date(2012, 3, 1), dt.date(2014, 12, 31))


def random_records(seed: int) -> pl.DataFrame:
    """Records of a dozen codes that mostly say again what they said, some of them in releases posted twice."""
    draw = random.Random(seed)
    types = {name: c.dtype.type for name, c in RecordContent.to_schema().columns.items()}
    rows = []
    for number in range(12):
        said = {name: [] if dtype == pl.List(pl.String) else None for name, dtype in types.items()}
        said |= {"long_description": TEXTS[0], "short_description": "Sample", "added_date": DAYS[1], "action_code": "N"}
        for release in RELEASES:
            for revision in (1, 2) if release in REPOSTED else (1,):
                if draw.random() < 0.2:
                    field, values = draw.choice(
                        [("long_description", TEXTS), ("crosswalk_targets", ([], ["X1234"])), ("action_code", "NNARCD")]
                        + [(d, DAYS) for d in ("added_date", "action_effective_date", "termination_date")]
                    )
                    said = said | {field: draw.choice(values)}
                if draw.random() < 0.95:
                    key = {"kind": "procedure", "code": f"Z{number:04}", "release_id": release, "revision": revision}
                    rows.append(key | said)
    dates = dict.fromkeys(("added_date", "action_effective_date", "termination_date"), pl.Date)
    texts = dict.fromkeys(("kind", "code", "release_id", "action_code"), pl.String)
    return pl.DataFrame(rows, schema=texts | {"revision": pl.Int32} | types | dates)


@pytest.mark.parametrize(("seed", "part_rows"), [(0, 1), (0, 7), (1, 7), (2, 100_000)])
def test_spans_states_and_changes_are_those_of_all_records(
    seed: int, part_rows: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(repetitions, "_PART_ROWS", part_rows)
    records = random_records(seed)
    whole = episodes_of_records(current(records.lazy()).collect())

    some = without_repetitions(whole.lazy(), CLAIMS)

    assert some.height < whole.height * 0.8
    spans = history_from_records(whole)
    assert history_from_records(some, RELEASES).equals(spans)
    assert latest_states(some, spans, departures(whole)).equals(latest_states(whole, spans))
    changes = changes_between_releases(with_current_episodes(records, whole))
    assert changes_from_records(records.lazy(), whole.lazy()).equals(changes)
    assert set(changes["change"]) >= {"text", "restored", "vanished", "claimed_not_seen"}
    assert set(changes.filter(pl.col("revision") == 2)["release_id"]) == set(REPOSTED)


@pytest.mark.parametrize("seed", range(3))
def test_decisions_are_those_of_all_records(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    records = current(random_records(seed).lazy()).collect()
    rows = [("procedure", code, "2012-01", "new_episode") for code in ("Z0003", "Z0007")]
    overrides = pl.DataFrame(rows, schema=OVERRIDE_SCHEMA, orient="row")
    numbered, decisions = episodes_of_records(records, overrides), episode_decisions(records, overrides)

    def all_records(frame: pl.LazyFrame, keep: pl.Expr, *, place: tuple[str, ...]) -> pl.DataFrame:
        return frame.with_columns(repeats=pl.lit(False)).collect()

    monkeypatch.setattr(episodes, "without_repetitions", all_records)
    assert episodes_of_records(records, overrides).equals(numbered)
    assert episode_decisions(records, overrides).equals(decisions)
    assert decisions["is_overridden"].any() and {"absent_between", "added_later"} <= set(
        ", ".join(decisions["evidence"]).split(", ")
    )
    assert numbered["episode"].max() > 1  # type: ignore[operator]


@pytest.mark.parametrize("column", [*CONTENT_COLUMNS, "added_date", "termination_date", "action_code"])
def test_what_differs_in_one_column_is_no_repetition(column: str) -> None:
    record = random_records(0).head(1)
    values = {pl.String: "other", pl.Int32: 7, pl.Date: dt.date(2019, 9, 9)}
    other = pl.lit(values.get(type(record.schema[column]), ["other"]), record.schema[column]).alias(column)
    said = [record, record, record, record.with_columns(other), record, record]
    stated = pl.concat([r.with_columns(release_id=pl.lit(release)) for r, release in zip(said, RELEASES, strict=False)])

    found = without_repetitions(stated.lazy(), pl.lit(False))

    assert found["release_id"].to_list() == [RELEASES[n] for n in (0, 2, 3, 4, 5)]
    assert found["repeats"].to_list() == [False, True, False, False, True]


def test_a_code_that_a_release_between_lacks_begins_anew_and_no_records_are_none() -> None:
    record = random_records(0).head(1)
    stated = [record.with_columns(release_id=pl.lit(release)) for release in RELEASES[:6]]
    other = [r.with_columns(code=pl.lit("Z9999")) for r in (*stated[:2], *stated[4:])]
    some = without_repetitions(pl.concat([*stated, *other]).lazy(), pl.lit(False))
    assert some.select("code", "release_id", "repeats").rows() == [
        ("Z0000", RELEASES[0], False),
        ("Z0000", RELEASES[5], True),
        ("Z9999", RELEASES[0], False),
        ("Z9999", RELEASES[1], True),
        ("Z9999", RELEASES[4], False),
        ("Z9999", RELEASES[5], True),
    ]
    assert without_repetitions(record.clear().lazy(), CLAIMS).is_empty()
    assert without_repetitions(record.lazy(), pl.lit(False)).height == 1
