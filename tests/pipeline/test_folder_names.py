"""Folders with names that a library takes for a pattern, a URL or SQL."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import duckdb
from conftest import Said
from made_up import posting, record


def test_outputs_in_a_folder_that_looks_like_a_pattern_are_like_others(
    hcpcs: Callable[..., Said], tmp_path: Path
) -> None:
    posting("2019-01", record("J0570")).write(tmp_path / "offered")
    posting("2020-01", record("J0570", long_description="Sample: another")).write(tmp_path / "later")
    codes, outputs = tmp_path / "codes.txt", tmp_path / "it's [old] *"
    codes.write_text("J0570\n")
    for command in (
        ["refresh", "--from", tmp_path / "offered"],
        ["refresh", "--from", tmp_path / "later"],
        ["catalog"],
        ["verify", "--deep"],
        ["diff", "2019.01.1"],
        ["changes", "latest"],
        ["watch", "add", "mine", codes],
        ["watch", "show", "mine"],
        ["rebuild"],
        ["publish", tmp_path / "[target]"],
    ):
        said = hcpcs(*command, "--outputs", outputs)
        assert said.status == 0, (command, said)
        if command[0] == "refresh":
            query = said.out.partition("With DuckDB:")[2]
            with duckdb.connect() as database:
                assert database.execute(query).fetchall() != []
    assert hcpcs("verify", "--deep", tmp_path / "[target]").status == 0


def test_a_folder_that_dagster_cannot_have_a_database_in_is_refused_with_the_way_out(
    hcpcs: Callable[..., Said], tmp_path: Path
) -> None:
    posting("2019-01", record("J0570")).write(tmp_path / "offered")
    arguments = ["refresh", "--from", tmp_path / "offered", "--outputs", tmp_path / "why?"]
    said = hcpcs(*arguments)
    assert said.status == 1
    assert "below a question mark; --dagster-home names a folder\n" in said.err
    assert hcpcs(*arguments, "--dagster-home", tmp_path / "home").status == 0
