"""Whatever set of releases is loaded, it publishes and its tables agree: through the command line, from zips."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from pathlib import Path

import polars as pl
import pytest
from conftest import Said
from made_up import Posting, posting, record
from release_writer import SampleRecord

from benchmarks.subsets import all_pairs, random_subsets, refusals

SEED = 13
#: A code that never changes, so that a release is never empty.
FILLER = record("A9999")


@pytest.fixture
def refreshed(hcpcs: Callable[..., Said], tmp_path: Path) -> Callable[..., Path]:
    """Write postings, `hcpcs refresh` from them, and give the folder of the tables published."""

    def refresh_from(*postings: Posting) -> Path:
        for one in postings:
            one.write(tmp_path / "offered")
        said = hcpcs("refresh", "--from", tmp_path / "offered", "--outputs", tmp_path / "outputs")
        assert (said.status, said.err) == (0, "")
        return tmp_path / "outputs" / "latest" / "open"

    return refresh_from


@pytest.mark.parametrize("end_before", [dt.date(2017, 12, 31), dt.date(2018, 6, 30)])
def test_a_code_reused_with_a_stated_end_is_discontinued_once(
    refreshed: Callable[..., Path], end_before: dt.date
) -> None:
    old = record("J1000", long_description="Sample: wool blanket for a cold ward", termination_date=end_before)
    new = record(
        "J1000",
        long_description="Sample: injection of imaginary protein, 5 mg",
        short_description="Imaginary protein",
        added_date=dt.date(2018, 7, 1),
        action_effective_date=dt.date(2018, 7, 1),
        termination_date=dt.date(2018, 12, 31),
        action_code="D",
    )
    tables = refreshed(posting("2018-01", old, FILLER), posting("2019-01", new, FILLER))

    changes = pl.read_parquet(tables / "hcpcs_changes.parquet").filter(code="J1000")
    ends = changes.filter(change="discontinued").select("episode", "field", "old", "new")
    assert ends.rows() == [(2, "termination_date", f"{end_before}", "2018-12-31")]
    assert changes.filter(change="reused", field="record").height == 1


def ridden(code: str, action_code: str, action_day: dt.date | None, text: str = "a horse") -> SampleRecord:
    """A record that states this action, and its day unless the cell is blank."""
    return record(
        code,
        long_description=f"Sample: ride on {text}",
        action_code=action_code,
        action_effective_date=action_day,
    )


def dated(release_id: str, action_code: str, action_day: dt.date | None, text: str = "a horse") -> Posting:
    """A workbook with one such record."""
    return posting(release_id, ridden("J1000", action_code, action_day, text), FILLER, form="workbook")


#: Actions and days of a code in four releases, and which day is that of its newest state.
BLANK_DAYS: dict[str, tuple[list[str], int | None]] = {
    "J1001": (["A1", "N-", "N-", "N-"], 1),  # one record of the run states it
    "J1002": (["A1", "N2", "N-", "N-"], 2),  # the newest that does
    "J1003": (["A1", "N-", "C-", "N-"], None),  # CMS did something since, and no record states when
    "J1004": (["A1", "C-", "N3", "N-"], 3),
}


def test_an_action_date_left_blank_by_several_releases_is_that_of_its_run(refreshed: Callable[..., Path]) -> None:
    days = {"-": None} | {str(n): dt.date(2015, n, 15) for n in (1, 2, 3)}
    tables = refreshed(
        *(
            posting(
                f"{2016 + n}-01",
                *(ridden(code, *(actions[n][0], days[actions[n][1]])) for code, (actions, _) in BLANK_DAYS.items()),
                FILLER,
                form="workbook",
            )
            for n in range(4)
        )
    )
    rows = pl.read_parquet(tables / "hcpcs_codes.parquet").filter(pl.col("code").is_in(list(BLANK_DAYS)))
    found = dict(rows.select("code", "action_effective_date").iter_rows())
    assert found == {code: None if day is None else days[str(day)] for code, (_, day) in BLANK_DAYS.items()}


def test_a_span_begins_on_the_action_date_that_only_a_later_record_of_the_run_states(
    refreshed: Callable[..., Path],
) -> None:
    changed = dt.date(2016, 7, 1)
    tables = refreshed(
        dated("2016-01", "A", dt.date(2015, 1, 1)),
        dated("2017-01", "C", None, "a mule"),
        dated("2018-01", "N", None, "a mule"),
        dated("2019-01", "N", changed, "a mule"),
    )

    spans = pl.read_parquet(tables / "hcpcs_history.parquet").filter(code="J1000").sort("valid_from")
    assert spans.select("valid_from", "valid_from_basis").rows()[1] == (changed, "action")


@pytest.mark.slow
def test_a_sample_of_sets_of_real_releases_publishes(shared_cms: Path) -> None:
    """`python -m benchmarks.subsets` tries all pairs and 200 sets; two by two, and the pair that was refused once."""
    subsets = [("2012-01", "2019-01"), *random_subsets(shared_cms, 2, SEED)]
    assert set(subsets[:1]) < set(all_pairs(shared_cms))
    assert dict(refusals(shared_cms, subsets)) == dict.fromkeys(subsets, "")
