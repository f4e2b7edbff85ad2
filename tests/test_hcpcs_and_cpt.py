"""The comparison of HCPCS and CPT: each statement has a query, and each query gives what the page prints."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import duckdb
import pytest
from conftest import Version

DOCS = Path(__file__).resolve().parent.parent / "docs"
#: The page with the corrections, whose heading is the last, comes second.
PAGE = "".join((DOCS / f"{name}.md").read_text("utf-8") for name in ("hcpcs-and-cpt-rules", "hcpcs-and-cpt"))
BLOCKS = re.findall(r"## ([^\n]+)\n(?:(?!## ).)*?```sql\n(.*?)```\n\n((?:\|[^\n]*\n)+)", PAGE, re.DOTALL)


def _printed(cell: Any) -> str:
    return "" if cell is None else str(cell)


@pytest.mark.parametrize(("query", "printed"), [block[1:] for block in BLOCKS], ids=[block[0] for block in BLOCKS])
def test_the_page_prints_what_the_query_gives_of_a_published_version(sample: Version, query: str, printed: str) -> None:
    with duckdb.connect() as connection:
        for table in set(re.findall(r"FROM (\w+)", query)):
            connection.execute(f"CREATE VIEW {table} AS FROM '{sample.folder / 'open' / table}.parquet'")
        result = connection.execute(query)
        header = [column[0] for column in result.description]
        rows = [[_printed(cell) for cell in row] for row in result.fetchall()]
    lines = [[cell.strip() for cell in line.strip("|").split("|")] for line in printed.splitlines()]
    assert rows
    assert lines == [header, ["---"] * len(header), *rows]


def test_every_statement_but_the_corrections_has_its_query() -> None:
    headings = re.findall(r"^## (.+)$", PAGE, re.MULTILINE)
    assert [block[0] for block in BLOCKS] == headings[:-1]
    assert len(BLOCKS) >= 10
