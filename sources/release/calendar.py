"""Which release should exist by CMS's calendar, and whether what is published is behind. No clock.

The calendar is the curated table ``code_system_calendar``, part ``all`` of HCPCS Level II.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from functools import cache
from typing import Any, Literal

import polars as pl

from hcpcs.lookup import days_of_rules
from sources.curated.tables import load_code_system_calendar
from sources.release.names import effective_day

#: CMS posts a quarter's file about two weeks before it takes effect: 2025-01 is dated 17 December, 2026-07 17 June.
POSTED_DAYS_BEFORE = 14

FreshnessStatus = Literal["current", "due", "late", "nothing", "sample"]


@dataclass(frozen=True, slots=True)
class Freshness:
    """Whether the newest loaded release is the newest that should exist; ``words`` states it for people.

    ``since`` is the day on which CMS should have posted the first release that is missing.
    """

    status: FreshnessStatus
    newest: str | None
    expected: str
    since: date | None
    days_late: int
    words: str

    @property
    def is_overdue(self) -> bool:
        """Whether a release that is in effect is not loaded."""
        return self.status in ("late", "nothing")

    def summary(self) -> dict[str, Any]:
        """The same as JSON."""
        return {
            "status": self.status,
            "is_overdue": self.is_overdue,
            "newest_release": self.newest,
            "expected_release": self.expected,
            "posted_about": self.since.isoformat() if self.since else None,
            "days_late": self.days_late,
            "message": self.words,
        }


def next_release(release_id: str) -> str:
    """The release that follows by CMS's calendar: yearly to 2020-01, each quarter since."""
    day = effective_day(release_id)
    return min(d for d in _effective_days(day.year, day.year + 1) if d > day).strftime("%Y-%m")


def releases_between(first: str, last: str) -> list[str]:
    """The releases of CMS's calendar from ``first`` to ``last``, both included."""
    days = _effective_days(*range(int(first[:4]), int(last[:4]) + 1))
    return sorted(r for r in (f"{day:%Y-%m}" for day in days) if first <= r <= last)


def previous_release(release_id: str) -> str:
    """The release that CMS posted last before this one, by its calendar."""
    return [r for r in releases_between(f"{int(release_id[:4]) - 1}-01", release_id) if r < release_id][-1]


def expected_release(today: date) -> str:
    """The newest release that should have been posted by ``today``."""
    ahead = today + timedelta(days=POSTED_DAYS_BEFORE)
    return max(d for d in _effective_days(ahead.year - 1, ahead.year) if d <= ahead).strftime("%Y-%m")


def _effective_days(*years: int) -> Iterator[date]:
    """Days of these years on which a release takes effect."""
    return days_of_rules(_rules(), *years)


@cache
def _rules() -> tuple[dict[str, Any], ...]:
    calendar = load_code_system_calendar()
    return tuple(calendar.filter(pl.col("code_system_id") == "hcpcs-level-2", pl.col("what") == "all").to_dicts())


def freshness(newest: str | None, today: date) -> Freshness:
    """Compare the newest loaded release with the calendar: current, due (posted, not yet in effect), or late."""
    expected = expected_release(today)
    if newest is None:
        return Freshness("nothing", None, expected, None, 0, f"no release is loaded; CMS posted {expected}")
    if newest >= expected:
        return Freshness("current", newest, expected, None, 0, f"current: {newest} is CMS's newest release")
    missing = next_release(newest)
    effective = effective_day(missing)
    since = effective - timedelta(days=POSTED_DAYS_BEFORE)
    days = (today - effective).days
    if days <= 0:
        return Freshness(
            "due",
            newest,
            expected,
            since,
            0,
            f"due: CMS's release {missing} was posted about {since} and is not loaded; run `hcpcs refresh`",
        )
    ago = f"{days} day{'s' * (days > 1)} ago"
    words = f"OVERDUE: CMS's {effective:%B %Y} release took effect {ago} and is not loaded; run `hcpcs refresh`"
    return Freshness("late", newest, expected, since, days, words)


def sample_freshness(newest: str, today: date) -> Freshness:
    """Freshness of the made-up sample, which no calendar makes late."""
    words = "the releases are the made-up sample: CMS's calendar does not apply"
    return Freshness("sample", newest, expected_release(today), None, 0, words)
