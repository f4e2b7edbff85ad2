"""Contract of ``hcpcs_modifiers``: every HCPCS modifier that any release had. Nothing here reads or writes."""

from __future__ import annotations

from schemas.columns import LicenseColumns, RecordContent, column
from schemas.hcpcs_codes import LatestState


class HcpcsModifiers(LicenseColumns, LatestState, RecordContent):
    """One row per modifier, in its latest known state, of every release ever read."""

    code: str = column("The modifier.", source="CMS record, positions 4-5", str_matches=r"^[A-Z0-9]{2}$")

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["code"]
