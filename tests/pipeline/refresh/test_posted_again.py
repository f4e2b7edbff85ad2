"""The same records posted in other bytes make no revision: through the command line, in whatever order they arrive."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from conftest import Said
from made_up import Posting, posting, record

from hcpcs.paths import Outputs

RECORDS = (
    record("A1000"),
    record("A1001"),
    record("KX", long_description="Sample: the thing that has many words " * 5),
)
OTHERS = (record("A1000", long_description="Sample: another thing"), *RECORDS[1:])
DECEMBER, MARCH, MAY = (dt.date(2024, 12, 17), dt.date(2025, 3, 1), dt.date(2025, 5, 1))
#: CMS's zip has both forms and a side file.
CMS = posting("2025-01", *RECORDS, form="both", date=DECEMBER, side={"HCPC2025_README.txt": b"Read me: HCPCS"})


def copied(one: Posting, name: str, date: dt.date) -> Posting:
    """The text of a posting alone, with other line ends."""
    texts = {n: data.replace(b"\r\n", b"\n") for n, data in one.members.items() if "ANWEB" in n and n.endswith(".txt")}
    assert texts and not texts.items() <= one.members.items()
    return replace(one, members=texts, name=name, date=date)


COPY = copied(CMS, "copy.zip", MAY)


@pytest.fixture
def refreshed(hcpcs: Callable[..., Said], tmp_path: Path) -> Callable[..., Path]:
    """`hcpcs refresh` from postings; gives the folder of the tables published."""
    runs = iter(range(100))

    def refresh_from(*postings: Posting, one_by_one: bool = False) -> Path:
        folder = tmp_path / str(next(runs))
        for number, one in enumerate(postings):
            offered = one.write(folder / f"offered-{number if one_by_one else 0}").parent.parent
            if one_by_one or one is postings[-1]:
                said = hcpcs("refresh", "--from", offered, "--outputs", folder / "outputs")
                assert (said.status, said.err) == (0, "")
        return folder / "outputs" / "latest" / "open"

    return refresh_from


def revisions(tables: Path) -> list[tuple[Any, ...]]:
    """Revision, whether it is current, its form."""
    releases = pl.read_parquet(tables / "hcpcs_releases.parquet").sort("revision")
    return releases.select("revision", "is_current", "form").rows()


def words(tables: Path) -> str:
    """The words of the code that changes."""
    return pl.read_parquet(tables / "hcpcs_codes.parquet").row(by_predicate=pl.col("code") == "A1000", named=True)[
        "long_description"
    ]


def test_a_text_alone_with_other_line_ends_is_no_revision(
    refreshed: Callable[..., Path], hcpcs: Callable[..., Said]
) -> None:
    tables = refreshed(CMS, COPY, one_by_one=True)
    assert revisions(tables) == [(1, True, "both")]
    assert pl.read_parquet(tables / "hcpcs_changes.parquet").is_empty()
    findings = pl.read_parquet(tables / "hcpcs_findings.parquet")
    (found,) = findings.filter(pl.col("finding") != "member_not_read").to_dicts()
    assert (found["finding"], found["severity"], found["revision"]) == ("posted_in_other_bytes", "info", 1)
    assert found["member"] == "HCPC2025_JAN_ANWEB.txt"
    assert set(pl.read_parquet(tables / "hcpcs_release_records.parquet")["source_member"]) == {"HCPC2025_JAN_ANWEB.txt"}

    said = hcpcs("rebuild", "--outputs", tables.parent.parent)
    assert (said.status, said.err) == (0, ""), said.out

    arrived_first = refreshed(COPY, CMS, one_by_one=True)
    for name in ("hcpcs_releases", "hcpcs_findings", "hcpcs_release_records", "hcpcs_changes"):
        assert pl.read_parquet(arrived_first / f"{name}.parquet").equals(pl.read_parquet(tables / f"{name}.parquet"))


def test_a_copy_of_an_earlier_posting_does_not_become_current(refreshed: Callable[..., Path]) -> None:
    newer = posting("2025-01", *OTHERS, form="both", date=MARCH, name="newer.zip")
    tables = refreshed(CMS, newer, COPY)
    assert revisions(tables) == [(1, False, "both"), (2, True, "both")]
    assert words(tables) == OTHERS[0].long_description


def test_a_posting_that_cms_takes_back_by_a_later_version_is_a_revision(refreshed: Callable[..., Path]) -> None:
    first = posting("2025-01", *RECORDS, version="_v2", form="workbook")
    second = posting("2025-01", *OTHERS, version="_v3", form="workbook")
    third = posting("2025-01", *RECORDS, version="_v4")
    tables = refreshed(first, second, third)
    assert revisions(tables) == [(1, False, "workbook"), (2, False, "workbook"), (3, True, "text")]
    assert words(tables) == RECORDS[0].long_description


def test_excluding_a_revision_excludes_its_copies(refreshed: Callable[..., Path], hcpcs: Callable[..., Said]) -> None:
    tables = refreshed(CMS, posting("2025-01", *OTHERS, form="workbook", version="_v2"), COPY)
    outputs = Outputs(tables.parent.parent)
    assert revisions(tables) == [(1, False, "both"), (2, True, "workbook")]

    def excluded() -> int:
        return len(json.loads((outputs.archive / "index.json").read_text())["excluded"])

    assert hcpcs("releases", "exclude", "2025-01/1", "--reason", "a test", "--outputs", outputs.folder).status == 0
    assert excluded() == 2
    assert hcpcs("refresh", "--offline", "--outputs", outputs.folder).status == 0
    assert revisions(tables) == [(1, True, "workbook")]

    assert hcpcs("releases", "include", "2025-01/1", "--outputs", outputs.folder).status == 0
    assert excluded() == 0
