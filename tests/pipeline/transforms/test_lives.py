"""Made-up lives of codes, written out as CMS releases and read back, give the lives that were made up."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from release_writer import SampleRecord, anweb_text, anweb_workbook

from pipeline.transforms.changes import changes_between_releases
from pipeline.transforms.episodes import episodes_of_records
from pipeline.transforms.history import history_from_records
from sources.code_file.records import typed_records
from sources.code_file.text import read_anweb_text
from sources.code_file.workbook import read_anweb_workbook

FIRST_YEAR, LAST_YEAR = 2011, 2019
#: To 2018 CMS dropped a code when more than four years had gone by since its end.
KEPT_YEARS = 4
SUBJECTS = (
    "Sample: wool blanket for a cold ward",
    "Sample: test strip reader, battery powered",
    "Sample: injection of imaginary protein, 5 mg",
    "Sample: ride in a three-wheeled carriage",
)


@dataclass(frozen=True)
class Meaning:
    """One meaning of a code: its subject, the days on which its wording begins, its last day."""

    subject: str
    begins: tuple[dt.date, ...]
    end: dt.date | None

    def wording(self, number: int) -> str:
        return f"{self.subject}, wording {number}"

    def days(self) -> list[tuple[int, dt.date, dt.date | None]]:
        """Number, first and last day of every wording."""
        nexts = [*(b - dt.timedelta(days=1) for b in self.begins[1:]), self.end]
        return [(n, first, last) for n, (first, last) in enumerate(zip(self.begins, nexts, strict=True), 1)]


@st.composite
def histories(draw: st.DrawFn) -> list[Meaning]:
    """One to three meanings, one after the other; each year's release sees at most one change."""
    meanings: list[Meaning] = []
    year = draw(st.integers(FIRST_YEAR, FIRST_YEAR + 3))
    for subject in draw(st.permutations(SUBJECTS))[: draw(st.integers(1, 3))]:
        years = [year]
        for step in draw(st.lists(st.integers(1, 2), max_size=2)):
            if years[-1] + step <= LAST_YEAR:
                years.append(years[-1] + step)
        begins = tuple(draw(st.sampled_from([dt.date(y, 1, 1), dt.date(y - 1, 7, 1)])) for y in years)
        # The release of the year after states the end, before the code may mean something else.
        end_year = years[-1] + draw(st.integers(0, 1))
        is_ended = draw(st.booleans()) and end_year < LAST_YEAR
        end = draw(st.sampled_from([dt.date(end_year, 12, 31), dt.date(end_year, 6, 30)])) if is_ended else None
        # Begun in summer and over by winter: the first release that has this meaning states its end as well.
        if is_ended and len(begins) == 1 and begins[0].month == 7 and draw(st.booleans()):
            end_year = begins[0].year
            end = dt.date(end_year, 12, 31)
        meanings.append(Meaning(subject, begins, end))
        year = end_year + draw(st.integers(2, 3))
        if end is None or year > LAST_YEAR:
            break
    return meanings


def stated(code: str, life: list[Meaning], year: int) -> SampleRecord | None:
    """The record that CMS's release of January of a year has of a code with this life, if it has one."""
    day = dt.date(year, 1, 1)
    begun = [m for m in life if m.begins[0] <= day]
    if not begun:
        return None
    meaning = begun[-1]
    end = meaning.end if meaning.end is not None and meaning.end < day else None
    if end is not None and end.replace(year=end.year + KEPT_YEARS) < day:
        return None
    number = max(n for n, first, _ in meaning.days() if first <= day)
    return SampleRecord(
        code=code,
        long_description=meaning.wording(number),
        short_description=f"{meaning.subject[8:20]} {number}",
        added_date=meaning.begins[0],
        action_effective_date=meaning.begins[number - 1],
        termination_date=end,
        action_code="N",
    )


def released(lives_by_code: dict[str, list[Meaning]], *, as_text: bool) -> pl.DataFrame:
    """The lives as our readers read them from releases of every year."""
    frames = []
    for year in range(FIRST_YEAR, LAST_YEAR + 1):
        records = [r for code, life in lives_by_code.items() if (r := stated(code, life, year)) is not None]
        if not records:
            continue
        if as_text:
            cells, findings = read_anweb_text("anweb.txt", anweb_text(records))
        else:
            cells, findings = read_anweb_workbook("anweb.xlsx", anweb_workbook(records))
        typed, more = typed_records("anweb", cells)
        assert [f for f in findings + more if f.severity == "error"] == []
        frames.append(typed.with_columns(release_id=pl.lit(f"{year}-01")))
    return pl.concat(frames)


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(st.lists(histories(), min_size=1, max_size=8), st.booleans())
def test_lives_written_as_releases_are_read_back_as_they_were_made_up(made_up, as_text):
    by_code = {f"J{1000 + n}": life for n, life in enumerate(made_up)}
    # A code that never changes stands in every release, so that each year has one.
    by_code["A0001"] = [Meaning(SUBJECTS[0], (dt.date(FIRST_YEAR, 1, 1),), None)]
    records = released(by_code, as_text=as_text)

    records = episodes_of_records(records)
    history = history_from_records(records)

    found = {
        code: [
            (row["episode"], row["long_description"], row["valid_from"], row["valid_to"])
            for row in history.filter(pl.col("code") == code).sort("valid_from").iter_rows(named=True)
        ]
        for code in by_code
    }
    expected = {
        code: [
            (episode, meaning.wording(number), first, last)
            for episode, meaning in enumerate(life, 1)
            for number, first, last in meaning.days()
        ]
        for code, life in by_code.items()
    }
    assert found == expected

    # An end is reported once, whether the meaning came with it or got it later; so is each further meaning.
    ends = changes_between_releases(records.with_columns(revision=pl.lit(1, pl.Int32)))
    first_release = f"{records['release_id'].min()}"
    stated_later = [
        (code, episode)
        for code, life in by_code.items()
        for episode, meaning in enumerate(life, 1)
        if meaning.end is not None and meaning.end.year < LAST_YEAR and f"{meaning.end.year + 1}-01" > first_release
    ]
    key = ["code", "episode"]
    assert sorted(ends.filter(change="discontinued").select(key).rows()) == sorted(stated_later)
    reused = ends.filter(change="reused", field="record")
    further = [(code, episode) for code, life in by_code.items() for episode in range(2, len(life) + 1)]
    assert sorted(reused.select(key).rows()) == sorted(further)
