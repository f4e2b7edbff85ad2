"""Rules of docs/consume.md, consume-more.md and publish.md: marked examples run, and all engines agree."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
import pytest
from conftest import REPOSITORY, Version, need_spark
from engines import engines_python

from pipeline.versions.upload import publish_to

_SNIPPET = re.compile(r"<!-- runs: (\w+) -->\n```(\w+)\n(.*?)```", re.DOTALL)
_SHOW = {
    "polars": "for d, text in meant.rows(): print(d, text, sep='\\t')",
    "pandas": "for d, text in zip(meant['service_date'], meant['short_description']): print(d, text, sep='\\t')",
    "pyarrow": "for row in meant.to_pylist(): print(row['service_date'], row['short_description'], sep='\\t')",
    "spark": "for row in meant.collect(): print(row.service_date, row.short_description, sep='\\t')",
}
_RUN_SQL = """
import sys, duckdb
con = duckdb.connect()
print(duckdb.__version__)
if sys.argv[1] == "sql":
    con.execute("create table hcpcs_history as from 'outputs/latest/open/hcpcs_history.parquet'")
for d, text in con.execute(sys.stdin.read()).fetchall():
    print(d, text, sep="\\t")
"""


@dataclass(frozen=True)
class Snippet:
    """An example of the page: what runs it, and its text."""

    engine: str
    language: str
    text: str


_PAGES = [REPOSITORY / "docs" / f"{name}.md" for name in ("consume", "consume-more", "publish")]
SNIPPETS = [Snippet(*found) for page in _PAGES for found in _SNIPPET.findall(page.read_text("utf-8"))]


@pytest.fixture(scope="module")
def place(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which ``outputs`` is the published sample, and ``published`` a target that it was sent to."""
    folder = tmp_path_factory.mktemp("consume")
    (folder / "outputs").symlink_to(sample.outputs.folder)
    publish_to(sample.folder, str(folder / "published"))
    return folder


@pytest.fixture(scope="module")
def answer(sample: Version) -> list[list[str]]:
    """What the code of the examples meant on either day."""
    spans = sample.open("hcpcs_history").filter(pl.col("code") == "J9380").sort("valid_from")
    first, second = spans["short_description"]
    assert first != second
    return [["2010-06-01", first], ["2024-03-01", second]]


def run(command: list[str | Path], place: Path, text: str | None = None) -> list[list[str]]:
    spark = "--master local[1] --conf spark.ui.enabled=false pyspark-shell"
    environment = os.environ | {"PYTHONWARNINGS": "ignore", "PYSPARK_SUBMIT_ARGS": spark}
    done = subprocess.run(
        command, cwd=place, input=text, capture_output=True, text=True, timeout=180, check=False, env=environment
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return [line.split("\t") for line in done.stdout.splitlines()]


def of(engine: str) -> list[str]:
    return [s.text for s in SNIPPETS if s.engine == engine]


def test_the_page_has_an_example_for_every_engine() -> None:
    assert {s.engine for s in SNIPPETS} == {"duckdb", "polars", "pandas", "pyarrow", "spark", "sql"}


@pytest.mark.parametrize("release", ["1", "2"])
@pytest.mark.parametrize("snippet", [s for s in SNIPPETS if s.language == "sql"], ids=lambda s: s.engine)
def test_sql_gives_the_meaning_on_the_day(snippet: Snippet, release: str, place: Path, answer: list[list[str]]) -> None:
    python = Path(sys.executable) if duckdb.__version__.startswith(f"{release}.") else engines_python("duckdb")
    version, *rows = run([python, "-c", _RUN_SQL, snippet.engine], place, snippet.text)
    assert version[0].startswith(f"{release}.")
    assert rows == answer


@pytest.mark.parametrize("engine", ["polars", "pandas", pytest.param("spark", marks=pytest.mark.slow)])
def test_frames_give_the_meaning_on_the_day(engine: str, place: Path, answer: list[list[str]]) -> None:
    python = Path(sys.executable)
    if engine == "pandas":
        python = engines_python("pandas")
    if engine == "spark":
        need_spark()
    (text,) = of(engine)
    assert run([python, "-c", text + _SHOW[engine]], place) == answer


def test_pyarrow_gives_the_meaning_on_the_day_and_what_a_column_means(
    place: Path, answer: list[list[str]], sample: Version
) -> None:
    meaning, metadata = of("pyarrow")
    assert run([sys.executable, "-c", meaning + _SHOW["pyarrow"]], place) == answer
    dictionary = sample.open("data_dictionary").filter(
        pl.col("table_name") == "hcpcs_codes", pl.col("column_name") == "status"
    )
    assert run([sys.executable, "-c", metadata + "print(about)"], place) == [[dictionary["description"][0]]]


def test_a_join_on_the_code_alone_fans_out_as_the_page_warns(sample: Version) -> None:
    claims = pl.DataFrame({"code": ["J9380"]})
    assert claims.join(sample.open("hcpcs_codes"), on="code").height == 2
    current = sample.open("hcpcs_codes").filter("is_current_episode")
    assert claims.join(current, on="code").height == 1
