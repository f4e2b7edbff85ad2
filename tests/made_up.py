"""Releases that tests make up: records, postings in CMS's layout, and folders of them. Nothing here is read back."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from release_writer import (
    SampleRecord,
    TextOptions,
    WorkbookOptions,
    anweb_text,
    anweb_workbook,
    release_zip,
)

LONG_AGO = dt.date(2010, 1, 1)
_MONTHS = ("JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC")


def record(code: str, **stated: Any) -> SampleRecord:
    """A code or modifier with words of its own, added long ago and not changed since, but for what is stated."""
    usual: dict[str, Any] = {
        "short_description": f"Sample thing {code}",
        "long_description": f"Sample: the thing that {code} stands for",
        "added_date": LONG_AGO,
        "action_effective_date": LONG_AGO,
        "action_code": "N",
    }
    return SampleRecord(code=code, **(usual | stated))


@dataclass(frozen=True, kw_only=True)
class Posting:
    """One zip of a release: in which folder and under which name, and its members."""

    release_id: str
    name: str
    members: Mapping[str, bytes]
    date: dt.date = dt.date(1980, 1, 1)
    is_sample: bool = True

    def write(self, folder: Path) -> Path:
        """Write it as ``<folder>/<release>/<name>``."""
        path = folder / self.release_id / self.name
        path.parent.mkdir(parents=True, exist_ok=True)
        comment = {} if self.is_sample else {"comment": b""}
        path.write_bytes(release_zip(self.members, date=self.date, **comment))
        return path


def posting(
    release_id: str,
    *records: SampleRecord,
    form: Literal["text", "workbook", "both"] = "text",
    version: str = "",
    name: str | None = None,
    date: dt.date = dt.date(1980, 1, 1),
    side: Mapping[str, bytes] | None = None,
    text: TextOptions | None = None,
    workbook: WorkbookOptions | None = None,
) -> Posting:
    """A posting of a release with these records; ``version`` ends the code members' names (``_v3``)."""
    stem = f"HCPC{release_id[:4]}_{_MONTHS[int(release_id[5:]) - 1]}_ANWEB{version}"
    members: dict[str, bytes] = {}
    if form != "workbook":
        members[f"{stem}.txt"] = anweb_text(records, options=text or TextOptions())
    if form != "text":
        members[f"{stem}.xlsx"] = anweb_workbook(records, options=workbook or WorkbookOptions())
    return Posting(
        release_id=release_id,
        name=name or f"{stem.lower()}{version}.zip",
        members=members | dict(side or {}),
        date=date,
    )


def zip_of_codes(release_id: str, *codes: str) -> bytes:
    """The bytes of a posting with these codes, without the sample's mark: no site is asked for the sample."""
    made = posting(release_id, *(record(code) for code in codes))
    return release_zip(made.members, date=made.date, comment=b"")
