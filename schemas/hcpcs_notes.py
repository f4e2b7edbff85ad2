"""Contract of ``hcpcs_notes``: the processing notes that records point to. Nothing here reads or writes."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import SHA256, LicenseColumns, TableFacts, column, release_id


class ProcessingNote(pa.DataFrameModel):
    """A numbered note."""

    release_id: str = release_id("Release that the notes are posted with (YYYY-MM).")
    note_number: str = column(
        "The note's number, as `processing_note` of a record states it.",
        source="CMS processing notes",
        str_matches=r"^\d{4}$",
    )
    note_text: str = column("The note, its lines joined.", source="CMS processing notes", nullable=True)
    source_member: str = column("Member of CMS's zip that the note was read from.", source="CMS zip")
    source_member_sha256: str = column("SHA-256 of that member's bytes.", source="CMS zip", str_matches=SHA256)
    source_line: pl.Int32 = column("Line of the text on which the note starts, from 1.", source="CMS zip", ge=1)


class HcpcsNotes(LicenseColumns, ProcessingNote):
    """One row per processing note and release: how CMS wants a record that names its number to be handled."""

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["release_id", "note_number"]
        metadata = TableFacts("side_files", derived_from="staged_notes", code=None, texts=("note_text",))
