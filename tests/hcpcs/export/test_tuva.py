"""Rules of Tuva's seed: DuckDB reads it with Tuva's options, and every code of the newest release is there once."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import duckdb
import polars as pl
import pytest
from conftest import REPOSITORY, Said, Version


@pytest.fixture(scope="module")
def page_query() -> str:
    page = (REPOSITORY / "docs" / "exports" / "tuva.md").read_text(encoding="utf-8")
    found = re.search(r"<!-- runs: tuva -->\n```sql\n(.*?)```", page, re.DOTALL)
    assert found is not None
    return found[1]


def test_duckdb_reads_tuvas_form_by_tuvas_options_and_the_notice_names_what_was_cut(
    sample: Version, tmp_path: Path, page_query: str, hcpcs: Callable[..., Said]
) -> None:
    said = hcpcs("export", "--tuva", tmp_path / "tuva", "--version", sample.folder)
    assert (said.status, said.err) == (0, "")
    newest = newest_records(sample)
    query = page_query.replace("'tuva/", f"'{tmp_path}/tuva/")
    connection = duckdb.connect()
    assert connection.sql(query).fetchall() == [(newest["code"].n_unique(),)]
    loaded = connection.sql(query.replace("count(distinct hcpcs)", "*")).fetchall()
    expected = [
        (
            r["code"],
            "0010",
            {"procedure": "3", "modifier": "7"}[r["kind"]],
            r["long_description"],
            r["short_description"],
        )
        for r in newest.sort("code").to_dicts()
    ]
    assert loaded == expected
    with (tmp_path / "tuva" / "seeds" / "terminology__hcpcs_level_2.csv").open(encoding="utf-8", newline="") as file:
        seed = list(csv.reader(file))
    assert seed[0] == ["hcpcs", "seqnum", "recid", "long_description", "short_description"]
    assert seed[1:] == [[value or "" for value in row] for row in expected]

    notice = (tmp_path / "tuva" / "NOTICE.txt").read_text("utf-8")
    long = newest.filter(pl.col("long_description").str.len_chars() > 2000)
    assert ("not cut: none." in notice) == long.is_empty()
    assert all(f"{code} (" in notice for code in long["code"])


def newest_records(version: Version) -> pl.DataFrame:
    records = version.open("hcpcs_release_records")
    current = version.open("hcpcs_releases").filter("is_current")["release_id"].max()
    return records.filter(pl.col("release_id") == current)
