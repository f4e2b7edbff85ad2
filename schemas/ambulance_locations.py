"""Contract of ``ambulance_locations``: where an ambulance can come from and go to."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import TableFacts, curated, curated_confidence, curated_source


class AmbulanceLocations(pa.DataFrameModel):
    """One row per letter and span of days: the place that a letter of an ambulance modifier means."""

    letter: str = curated("The letter, first (origin) or second (destination) of the pair.", str_matches=r"^[A-Z]$")
    is_origin: bool = curated("Whether it may be the first of the pair.")
    is_destination: bool = curated("Whether it may be the second of the pair.")
    meaning: str = curated("The place, in this project's words.")
    valid_from: pl.Date = curated("First day on which the letter is used, if it was not from the start.", nullable=True)
    valid_to: pl.Date = curated("Last day on which the letter is used; null if it still is.", nullable=True)
    note: str = curated("What else there is to know of the letter.", nullable=True)
    source: str = curated_source()
    date_checked: pl.Date = curated("Day on which it was checked.")
    confidence: str = curated_confidence()

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["letter"]
        metadata = TableFacts("reference", derived_from="curated_ambulance_locations")
