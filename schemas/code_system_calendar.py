"""Contract of ``code_system_calendar``: when code systems are released, and when that takes effect."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import TableFacts, curated, curated_confidence, curated_source

_DAY = r"^(0[1-9]|1[0-2])-(0[1-9]|[12][0-9]|3[01])$"


class CodeSystemCalendar(pa.DataFrameModel):
    """One row per code system, part of it, and day of the year on which changes take effect."""

    code_system_id: str = curated("The code system, see `code_systems`.")
    what: str = curated("The part that changes: all, or some codes only.")
    rule_number: pl.Int32 = curated("Counts the rules of one part.", ge=1)
    release_day: str = curated(
        "Day of the year (MM-DD) on which it is released, if it is fixed.", nullable=True, str_matches=_DAY
    )
    effective_day: str = curated(
        "Day of the year (MM-DD) on which it takes effect; null if there is none.", nullable=True, str_matches=_DAY
    )
    valid_from: pl.Date = curated("First day on which this rule applied, if known.", nullable=True)
    valid_to: pl.Date = curated("Last day on which this rule applied; null if it does.", nullable=True)
    note: str = curated("What else there is to know of the rule.", nullable=True)
    source: str = curated_source()
    date_checked: pl.Date = curated("Day on which it was checked.")
    confidence: str = curated_confidence()

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["code_system_id", "what", "rule_number"]
        metadata = TableFacts("reference", derived_from="curated_code_system_calendar")
