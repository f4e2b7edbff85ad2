"""Contract of ``hcpcs_corrections``: corrections that CMS posted for a release. Nothing here reads or writes."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import (
    DERIVED,
    STATED_COLUMNS,
    LicenseColumns,
    SideFileLine,
    TableFacts,
    column,
    from_table,
    hcpcs_code,
    record_kind,
    release_id,
)

#: What a correction does to a code, or to one field of its record.
CORRECTION_ACTIONS = ("add", "terminate", "do_not_terminate", "delete", "restore", "revise", "clear", "other")
#: Whether the records state what a correction states.
STATES_IN_RECORDS = ("already", "later", "never", "unclear")

#: What a correction states, and the records that are held against it.
_STATED = ("release_id", "action", "field", "new_value", "old_value")
_HELD = from_table("staged_records", "release_id", *STATED_COLUMNS)


class CorrectionChange(pa.DataFrameModel):
    """One change stated by a line of a corrections file."""

    code: str = hcpcs_code(source="CMS corrections, code")
    kind: str = record_kind(source="CMS corrections, code (its length)")
    release_id: str = release_id("Release that the correction is posted with (YYYY-MM).")
    number: pl.Int32 = column(
        "Number of the change among the code's changes in the release's corrections files, older files first.",
        source=DERIVED,
        ge=1,
    )
    action_text: str = column("The text of the correction, unchanged.", source="CMS corrections, action", nullable=True)
    action: str = column(
        "How the text was interpreted: `add`, `terminate`, `do_not_terminate`, `delete`, `restore` of the code;"
        " `revise` (gets `new_value`) or `clear` (loses `old_value`) of one field; `other`: neither.",
        source="CMS corrections, action",
        isin=CORRECTION_ACTIONS,
    )
    field: str = column(
        "Column of `hcpcs_release_records` that the change is about; null for a change of the code as a whole.",
        source="CMS corrections, action and the columns beside it",
        nullable=True,
    )
    new_value: str = column(
        "The field's new value, from the text or the column beside it, as CMS writes it; dates as YYYY-MM-DD.",
        source="CMS corrections, action and the columns beside it",
        nullable=True,
    )
    old_value: str = column(
        "The value that is taken away; dates as YYYY-MM-DD.", source="CMS corrections, action", nullable=True
    )
    effective_date: pl.Date = column(
        "First day of the correction; null where none is stated or readable.",
        source="CMS corrections, effective date",
        nullable=True,
    )
    short_description: str = column(
        "Short description in the correction's line.", source="CMS corrections, short description", nullable=True
    )
    long_description: str = column(
        "Long description in the correction's line.", source="CMS corrections, long description", nullable=True
    )
    comment: str = column("CMS's comment in the correction's line.", source="CMS corrections, comments", nullable=True)
    state_in_records: str = column(
        "Whether the release's records have the change (`already`), a later loaded release has it (`later`), none"
        " has it (`never`), or this is unknown (`unclear`). Corrections never alter records.",
        source=DERIVED,
        isin=STATES_IN_RECORDS,
        lineage=(*_STATED, *_HELD),
    )
    in_records_since: str = column(
        "First release, from the corrected one on, whose records have the change.",
        source=DERIVED,
        nullable=True,
        lineage=(*_STATED, *_HELD),
    )


class HcpcsCorrections(LicenseColumns, SideFileLine, CorrectionChange):
    """One row per change that a release's corrections files state, read from their prose, which stays beside it."""

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["code", "kind", "release_id", "number"]
        metadata = TableFacts(
            "side_files",
            derived_from="staged_corrections",
            texts=("action_text", "short_description", "long_description"),
        )
