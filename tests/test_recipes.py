"""The commands and queries of docs/recipes.md run from top to bottom, with the output that the page states."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from conftest import REPOSITORY

RECIPES = re.split(r"(?m)^## ", (REPOSITORY / "docs" / "recipes.md").read_text("utf-8"))[1:]
BLOCK = re.compile(r"```(sh|sql|text)\n(.*?)```|((?:^\|[^\n]*\n)+)", re.S | re.M)


def query_result(text: str, cwd: Path, outputs: Path) -> list[list[str]]:
    """The header and rows of a query, as a Markdown table prints them; empty for a statement without rows."""
    with duckdb.connect() as connection:
        connection.execute(f"set file_search_path = '{cwd}'")
        text = text.replace("'outputs/sample/", f"'{outputs}/").replace("to 'j", f"to '{cwd}/j")
        found = connection.execute(text)
        rows = [
            ["" if v is None else ", ".join(v) if isinstance(v, list) else str(v) for v in r] for r in found.fetchall()
        ]
        return [[d[0] for d in found.description], *rows]


def table_rows(text: str) -> list[list[str]]:
    """The cells of a Markdown table, without the line below its header."""
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines()]
    return [rows[0], *rows[2:]]


def is_printed(line: str, output: str) -> bool:
    """Whether a line of the page is in the output; ``…`` stands for any text."""
    return re.search(".*".join(re.escape(part.rstrip()) for part in line.split("…")), output) is not None


@pytest.mark.slow
def test_ten_recipes_run_as_written(tmp_path: Path, own_sample):
    folder = tmp_path
    assert len(RECIPES) == 10
    env = os.environ | {
        "HCPCS_OUTPUTS": str(own_sample.folder),
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
    }
    for recipe in RECIPES:
        title = recipe.splitlines()[0]
        output, rows, ran = "", [], 0
        for kind, block, table in BLOCK.findall(recipe):
            if kind == "sh":
                block = re.sub(r"(?m)# exit status 1$", "&& exit 9 || true", block)
                done = subprocess.run(["sh", "-ec", block], cwd=folder, env=env, capture_output=True, text=True)
                assert done.returncode == 0, f"{title}: {done.stderr}"
                output, ran = done.stdout, ran + 1
            elif kind == "sql":
                rows, ran = query_result(block, folder, own_sample.folder), ran + 1
            elif kind == "text":
                assert [x for x in block.splitlines() if not is_printed(x, output)] == [], f"{title}\n{output}"
            else:
                assert table_rows(table) == rows, title
        assert ran, title
    proof = (folder / "proof.json").read_text("utf-8")
    assert '"LicenseRef-AMA-CPT": 1' in proof
    assert b"text of the AMA" not in (folder / "open.parquet").read_bytes()
    assert "J0588" in (folder / "j-codes.csv").read_text("utf-8")
