"""Which release should exist by CMS's calendar, and whether what is published is behind. No clock, no file."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta
from typing import Literal

from sources.release.names import effective_day

#: CMS posts a quarter's file about two weeks before it takes effect: 2025-01 is dated 17 December, 2026-07 17 June.
POSTED_DAYS_BEFORE = 14
#: Through 2020-01 one posting opened each year; quarters follow from 2020-04 on.
_FIRST_YEAR_OF_QUARTERS = 2020

FreshnessStatus = Literal["current", "due", "late", "nothing"]


@dataclass(frozen=True, slots=True)
class Freshness:
    """Whether the newest release held is the newest that should exist; ``words`` says it in a few words."""

    status: FreshnessStatus
    newest: str | None
    expected: str
    since: date | None
    days_late: int
    words: str


def next_release(release_id: str) -> str:
    """The release that follows by CMS's calendar: yearly to 2020-01, each quarter since."""
    year, month = int(release_id[:4]), int(release_id[5:7])
    if year < _FIRST_YEAR_OF_QUARTERS:
        return f"{year + 1}-01"
    first = (month - 1) // 3 * 3 + 4
    return f"{year + 1}-01" if first > 12 else f"{year}-{first:02d}"


def expected_release(today: date) -> str:
    """The newest release that should have been posted by ``today``."""
    ahead = today + timedelta(days=POSTED_DAYS_BEFORE)
    return f"{ahead.year}-{(ahead.month - 1) // 3 * 3 + 1:02d}"


def freshness(newest: str | None, today: date) -> Freshness:
    """Compare the newest release held with the calendar: current, due (posted, not yet in effect), or late."""
    expected = expected_release(today)
    if newest is None:
        return Freshness("nothing", None, expected, None, 0, f"nothing is held; {expected} should exist")
    if newest >= expected:
        return Freshness("current", newest, expected, None, 0, f"current: {newest} is the newest that should exist")
    missing = next_release(newest)
    effective = effective_day(missing)
    since = effective - timedelta(days=POSTED_DAYS_BEFORE)
    days = (today - effective).days
    if days <= 0:
        return Freshness("due", newest, expected, since, 0, f"due since {since.isoformat()}: {missing}")
    return Freshness("late", newest, expected, since, days, f"late by {days} day{'s' * (days > 1)}: {missing}")
