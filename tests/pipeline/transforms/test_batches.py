"""Batches: every record once, a code's records together, the result in order of codes."""

from __future__ import annotations

from functools import partial

import polars as pl
import pytest
from conftest import Version

from pipeline.transforms import cross_release_findings, history
from pipeline.transforms.batches import in_batches_of_codes

RECORDS = pl.DataFrame(
    {
        "kind": ["procedure"] * 6 + ["modifier"] * 3,
        "code": ["B", "A", "B", "C", "A", "B", "A", "Z", "A"],
        "release_id": ["1", "1", "2", "1", "2", "3", "1", "1", "2"],
    }
)


@pytest.mark.parametrize("most", [1, 2, 4, 100])
def test_batches_of_any_size_give_what_the_whole_gives(most: int) -> None:
    seen: list[int] = []

    def numbered(some: pl.DataFrame) -> pl.DataFrame:
        seen.append(some.height)
        return some.sort("kind", "code", "release_id").with_columns(times=pl.len().over("kind", "code"))

    assert in_batches_of_codes(numbered, RECORDS, most).equals(numbered(RECORDS))
    assert sum(seen[:-1]) == RECORDS.height


def test_a_batch_ends_where_a_code_ends_and_is_little_larger_than_requested() -> None:
    batches: list[set[tuple[str, str]]] = []

    def noted(some: pl.DataFrame) -> pl.DataFrame:
        batches.append(set(some.select("kind", "code").rows()))
        return some

    in_batches_of_codes(noted, RECORDS, 2)
    assert len(batches) > 2
    assert len(set().union(*batches)) == sum(map(len, batches)) == 5


def test_no_records_are_one_empty_batch() -> None:
    assert in_batches_of_codes(lambda some: some, RECORDS.clear(), 2).equals(RECORDS.clear())


def test_states_and_losses_are_the_same_in_batches_of_any_size(
    sample: Version, monkeypatch: pytest.MonkeyPatch
) -> None:
    records = pl.read_parquet(sample.outputs.work / "staged_episodes.parquet")
    records = records.filter((pl.col("release_id") != "2019-01") | ~pl.col("code").str.starts_with("J"))
    spans = sample.open("hcpcs_history")

    def made() -> list[pl.DataFrame]:
        return [history.latest_states(records, spans), cross_release_findings.release_losses(records)]

    whole = made()
    for module in (history, cross_release_findings):
        monkeypatch.setattr(module, "in_batches_of_codes", partial(in_batches_of_codes, most_records=50))
    assert whole[1].height
    assert all(one.equals(other) for one, other in zip(made(), whole, strict=True))
