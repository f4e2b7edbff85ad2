"""Rules of the SQLite export: every row with its key, found by full-text search, and served by Datasette."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest
from conftest import REPOSITORY, Said, Version
from engines import engines_python

from schemas.registry import contracts

Call = Callable[..., Said]


@pytest.fixture(scope="module")
def folder(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> Path:
    target = tmp_path_factory.mktemp("sqlite") / "export"
    command = [REPOSITORY / ".venv" / "bin" / "hcpcs", "export", "--sqlite", target, "--version", sample.folder]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return target


@pytest.fixture
def database(folder: Path) -> Iterator[sqlite3.Connection]:
    with closing(sqlite3.connect(f"file:{folder}/hcpcs.db?mode=ro", uri=True)) as connection:
        yield connection


def test_every_table_has_its_rows_its_key_and_no_dangling_reference(
    sample: Version, database: sqlite3.Connection
) -> None:
    for name, contract in contracts().items():
        stored = sample.open(name)
        columns = database.execute(f"pragma table_info({name})").fetchall()
        assert [c[1] for c in columns] == stored.columns
        assert {c[1] for c in columns if c[5]} == set(contract.key), name
        assert database.execute(f"select count(*) from {name}").fetchone() == (stored.height,)
    assert database.execute("pragma foreign_key_check").fetchall() == []
    assert database.execute("pragma integrity_check").fetchall() == [("ok",)]
    references = {row[2:4] for row in database.execute("pragma foreign_key_list(code_sections)")}
    assert references == {("licenses", "license_id"), ("code_systems", "code_system_id")}
    plan = database.execute("explain query plan select * from hcpcs_history where code = 'J0570'").fetchall()
    assert "hcpcs_history_code" in plan[0][3]


def test_values_keep_their_zeros_dates_and_lists(sample: Version, database: sqlite3.Connection) -> None:
    stored = sample.open("hcpcs_codes")
    columns = "code, added_date, pricing_indicators, is_current_episode, statute_ref"
    found = database.execute(f"select {columns} from hcpcs_codes order by code, episode").fetchall()
    assert found == [
        (
            row["code"],
            row["added_date"].isoformat() if row["added_date"] else None,
            json.dumps(row["pricing_indicators"]),
            int(row["is_current_episode"]),
            row["statute_ref"],
        )
        for row in stored.to_dicts()
    ]


def test_the_pages_queries_answer(database: sqlite3.Connection) -> None:
    page = (REPOSITORY / "docs" / "exports" / "sqlite.md").read_text(encoding="utf-8")
    queries = re.findall(r"<!-- runs: sqlite -->\n```sql\n(.*?)```", page, re.DOTALL)
    answers = [database.execute(query).fetchall() for query in queries]
    assert answers == [[("J0570", "Sample rod under the skin")], [(2, "Sample rod under the skin")]]


def test_datasette_searches_by_its_json_api(folder: Path) -> None:
    python = engines_python("datasette")

    def get(path: str) -> object:
        command = [python, "-m", "datasette", "hcpcs.db", "-m", "metadata.json", "--get", path]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    found = get("/hcpcs/hcpcs_codes.json?_search=rod+skin&_shape=array&_col=code")
    assert [row["code"] for row in found] == ["J0570"]  # type: ignore[attr-defined]
    meant = get("/hcpcs/code_on_day.json?code=J9380&day=2010-06-30&_shape=array")
    assert [row["short_description"] for row in meant] == ["Sample plant drug, 5 mg"]  # type: ignore[attr-defined]
    table = get("/hcpcs/hcpcs_codes.json?_size=0&_extra=metadata")
    assert table["license"].startswith("by row")  # type: ignore[index]


def test_a_full_disk_is_one_error(
    sample: Version, folder: Path, tmp_path: Path, hcpcs: Call, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert {path.name for path in folder.iterdir()} == {"hcpcs.db", "metadata.json", "NOTICE.txt"}

    def full(*_: object, **__: object) -> sqlite3.Connection:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr("hcpcs.export.sqlite.sqlite3.connect", full)
    said = hcpcs("export", "--sqlite", tmp_path / "more", "--version", sample.folder)
    assert said.status == 1 and said.err.count("\n") == 1
    assert "cannot write hcpcs.db: database or disk is full" in said.err
    assert [p.name for p in tmp_path.iterdir()] == []
