"""Contract of ``hcpcs_modifiers``: every HCPCS modifier that any release had. Nothing here reads or writes."""

from __future__ import annotations

import pandera.polars as pa

from schemas.columns import LicenseColumns, RecordContent, TableFacts, column
from schemas.hcpcs_codes import Episode, LatestState


class ModifierKey(pa.DataFrameModel):
    """The modifier itself."""

    code: str = column("The modifier.", source="CMS record, positions 4-5", str_matches=r"^[A-Z0-9]{2}$")


class HcpcsModifiers(LicenseColumns, LatestState, RecordContent, Episode, ModifierKey):
    """One row per modifier and episode in its latest known state, from all releases ever loaded."""

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["code", "episode"]
        metadata = TableFacts("codes", derived_from="staged_states", texts=("short_description", "long_description"))
