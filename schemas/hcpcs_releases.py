"""Contract of ``hcpcs_releases``: releases and revisions behind the tables. Nothing here reads or writes."""

from __future__ import annotations

import pandera.polars as pa
import polars as pl

from schemas.columns import TableFacts, column, derived, release_id, revision, text_list

FORMS = ("text", "workbook", "both")


class HcpcsReleases(pa.DataFrameModel):
    """One row per release and revision of its code file: what it was made of and whether the tables use it."""

    release_id: str = release_id()
    revision: pl.Int32 = revision()
    effective_date: pl.Date = column(
        "First day on which the release is in effect.", source="names of CMS's zip and members"
    )
    is_current: bool = derived("Whether the tables use this revision: the newest of its release.")
    form: str = column(
        "Format of the code file; `both`: the workbook was compared with the text.",
        source="CMS zip",
        isin=FORMS,
    )
    procedure_count: pl.Int32 = column("Procedure codes in the code file.", ge=0, source="CMS record, position 11")
    modifier_count: pl.Int32 = column("Modifiers in the code file.", ge=0, source="CMS record, position 11")
    finding_count: pl.Int32 = derived("Findings made on reading it, see `hcpcs_findings`.", ge=0)
    text_line_length: pl.Int32 = column(
        "Longest of the last lines of the text, in characters; null for a workbook alone.",
        source="CMS zip",
        nullable=True,
        ge=1,
    )
    workbook_columns: pl.Int32 = column(
        "Columns of the workbook that the record layout names; null for a text alone.",
        source="CMS zip",
        nullable=True,
        ge=1,
    )
    member_names: pl.List = text_list(
        "Names of the members: the revision's code files, then the release's side files.", source="CMS zip"
    )
    member_roles: pl.List = derived("What each member is, in the same order.", of=pl.String)
    member_sha256s: pl.List = text_list("SHA-256 of each member's bytes, in the same order.", source="CMS zip")
    member_bytes: pl.List = column("Size of each member in bytes, in the same order.", source="CMS zip", of=pl.Int64)
    is_sample: bool = derived("Whether it is of the made-up sample and not CMS's.")

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["release_id", "revision"]
        metadata = TableFacts("records", derived_from="staged_revisions")
