"""Contract of ``hcpcs_findings``: what was odd in CMS's bytes and what was done. Nothing here reads or writes."""

from __future__ import annotations

import polars as pl

from schemas.columns import LICENSE_OURS, RECORD_KINDS, LicenseColumns, column, release_id, revision, text_list

SEVERITIES = ("info", "warning", "error")


class HcpcsFindings(LicenseColumns):
    """One row per finding: something odd in what CMS posted, where it stands, and what was done about it."""

    release_id: str = release_id()
    revision: pl.Int32 = revision()
    finding_number: pl.Int32 = column("Counts the findings of a revision from 1.", ge=1, license_id=LICENSE_OURS)
    finding: str = column(
        "What kind of oddity it is, see docs/findings.md.", str_matches=r"^[a-z][a-z_]*$", license_id=LICENSE_OURS
    )
    severity: str = column(
        "`info`: nothing is lost; `warning`: look before you rely on it; `error`: the release would be refused.",
        isin=SEVERITIES,
        license_id=LICENSE_OURS,
    )
    member: str = column("Member of CMS's zip.", source="CMS zip", nullable=True)
    line: pl.Int32 = column("Line of the text or row of the workbook, from 1.", source="CMS zip", nullable=True, ge=1)
    kind: str = column("Procedure code or modifier, where it is about one record.", isin=RECORD_KINDS, nullable=True)
    code: str = column("The code, where it is about one record.", source="CMS record, positions 1-5", nullable=True)
    field: str = column("The record's field, where it is about one.", nullable=True, license_id=LICENSE_OURS)
    raw_value: str = column("What CMS wrote there, unless that may not be passed on.", source="CMS zip", nullable=True)
    message: str = column("What is odd, in words.", license_id=LICENSE_OURS)
    action: str = column("What was done.", license_id=LICENSE_OURS)
    occurrences: pl.Int32 = column("How many places share this one cause.", ge=1, license_id=LICENSE_OURS)
    examples: pl.List = text_list("Some of those places.", source="CMS zip")

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["release_id", "revision", "finding_number"]
