"""Contract of ``hcpcs_codes``: every HCPCS Level II code that any release had. Nothing here reads or writes."""

from __future__ import annotations

from schemas.columns import LicenseColumns, RecordContent, column, release_id
from schemas.hcpcs_release_records import RecordDates

CODE = r"^[A-Z0-9][0-9]{3}[A-Z0-9]$"


class LatestState(RecordDates):
    """When a code held, by its latest record, and in which releases it stood."""

    first_release: str = release_id("First release held that has the code.")
    last_release: str = release_id("Last release held that has the code; the row says what that release says.")


class HcpcsCodes(LicenseColumns, LatestState, RecordContent):
    """One row per procedure code, in its latest known state, of every release ever read."""

    code: str = column("The HCPCS Level II code.", source="CMS record, positions 1-5", str_matches=CODE)

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["code"]
