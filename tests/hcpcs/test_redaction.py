"""With `--redact` words stay only beside codes that are CMS's on that day, on shifted lines as well."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Said
from small_version import SPANS, write_version

from benchmarks.redaction import survivors

NAMES = ("--code", "code", "--date", "dos")


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_version(tmp_path_factory.mktemp("version"), SPANS)


@pytest.fixture
def redacted(
    hcpcs: Callable[..., Said], version: Path, tmp_path: Path
) -> Callable[..., tuple[list[dict[str, Any]], dict[str, Any]]]:
    """Run `hcpcs annotate --redact` on CSV lines: the lines of OUT, and what the summary of OUT and of no OUT says."""

    def run(lines: Sequence[str], *options: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
        path = tmp_path / "c.csv"
        path.write_text("\n".join(lines) + "\n", "utf-8")
        command = ("annotate", path, "--version", f"{version}/", *NAMES, "--json", *options)
        written = hcpcs(*command[:2], tmp_path / "out.parquet", *command[2:])
        assert (written.status, written.err) == (0, "")
        counted = hcpcs(*command)
        summary = json.loads(written.out)["redacted"]
        assert json.loads(counted.out)["redacted"] == summary
        return pq.read_table(tmp_path / "out.parquet").to_pylist(), summary

    return run


def test_words_stay_only_beside_codes_that_are_of_cms_on_that_day(redacted: Callable[..., Any]) -> None:
    lines = ["code,dos,desc"]
    stay = ["J1100,2019-01-05", "J0570,2017-06-01", "C9716,2019-01-05", "J1100-RT,2019-01-05"]
    go = ["00142,2019-01-05", "O0142,2019-01-05", "B0048,2019-01-05", "W1234,2019-01-05", "D0120,2019-01-05"]
    go += ["F1234,2019-01-05", "J1101,2019-01-05", "J0570,2014-01-01", "J1100,", "J1100,never", ",2019-01-05"]
    rows, summary = redacted([*lines, *(f"{line},SECRET WORDS" for line in (*stay, *go))], "--redact", "desc")
    assert [row["desc"] for row in rows] == ["SECRET WORDS"] * len(stay) + [None] * len(go)
    assert summary["values"] == len(go) and summary["judged_by"] == {"desc": ["code"]}


def test_words_of_a_modifier_are_judged_by_the_modifier(redacted: Callable[..., Any]) -> None:
    modifiers = ["RT", "59", "P1", "ZZ", "", "rt", "NA", "XE"]
    lines = ["code,dos,mod,mod_desc,desc", *(f"J1100,2016-01-05,{m},SECRET WORDS,OPEN WORDS" for m in modifiers)]
    rows, summary = redacted(lines, "--modifier", "mod*", "--redact", "mod_desc=mod", "--redact", "desc")
    assert [row["mod_desc"] is not None for row in rows] == [m in ("RT", "rt", "XE") for m in modifiers]
    assert {row["desc"] for row in rows} == {"OPEN WORDS"}
    assert summary["values"] == 5 and {"mod_status"} <= set(rows[0]) and "mod_desc_status" not in rows[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--modifier", "mod", "--redact", "mod_desc"], "may describe a modifier or the code"),
        (["--redact", "mod_desc"], "may describe a modifier or the code"),
        (["--redact", "mod_desc=mod"], "cannot be judged by 'mod'"),
        (["--redact", "desc=other"], "cannot be judged by 'other'"),
        (["--redact", "nothing"], "no column 'nothing'"),
        (["--redact", "code"], "named to be read and to be redacted"),
        (["--redact", "dos"], "named to be read and to be redacted"),
        (["--modifier", "mod", "--redact", "desc", "--redact", "desc=mod"], "by 'code' and by 'mod'"),
    ],
)
def test_a_column_that_cannot_be_judged_is_refused(
    hcpcs: Callable[..., Said], version: Path, tmp_path: Path, options: list[str], message: str
) -> None:
    path = tmp_path / "c.csv"
    path.write_text("code,dos,mod,mod_desc,desc\nJ1100,2019-01-05,59,SECRET WORDS,words\n", "utf-8")
    said = hcpcs("annotate", path, tmp_path / "out", "--version", f"{version}/", *NAMES, *options)
    assert said.status == 1 and message in said.err and "Traceback" not in said.err
    assert not (tmp_path / "out").exists()


def test_words_of_a_shifted_line_are_blanked_where_they_are(redacted: Callable[..., Any]) -> None:
    lines = ["id,code,dos,desc,paid"] + [
        f"{i},J1100,2019-{1 + i % 12}-{1 + i % 28},some words,{i}.50" for i in range(60)
    ]
    lines += [
        "99214,2019-01-05,SECRET WORDS,61,0",
        "62,99214,2019-01-05,62.50,SECRET WORDS",
        "SECRET WORDS,63,99214,5,6",
    ]
    lines += ["64,SECRET WORDS,2019-01-05,x,7"]
    rows, summary = redacted(lines, "--redact", "desc")
    assert len(rows) == 64
    assert not [row for row in rows if "SECRET WORDS" in row.values()]
    assert summary["misplaced"] == {"dos": 1, "paid": 1, "id": 1, "code": 1}
    assert [row["desc"] for row in rows[:60]] == ["some words"] * 60


def test_a_text_that_shifted_from_a_codes_column_into_a_modifiers_is_blanked(redacted: Callable[..., Any]) -> None:
    lines = ["code,dos,desc,mod_desc,mod", "99213,2019-01-05,,SECRET WORDS,RT", "99213,2019-01-05,SECRET,Right,RT"]
    lines += ["J1100,2019-01-05,,Right,RT"]
    rows, _ = redacted(lines, "--modifier", "mod", "--redact", "mod_desc=mod", "--redact", "desc")
    assert [(row["desc"], row["mod_desc"]) for row in rows] == [(None, None), (None, "Right"), (None, "Right")]


def test_no_planted_text_survives_odd_lines(version: Path, tmp_path: Path) -> None:
    # The whole run, of 200,000 lines: python -m benchmarks.redaction
    found = survivors(version, tmp_path, lines=4_000, seed=random.Random(3).randrange(10**6))
    assert found.lines >= 4_000 and found.planted > 1_000
    assert found.read > 0 and found.refused > 0
    assert found.survived == []


def test_a_shifted_line_in_a_short_file_passes_no_words_on(redacted: Callable[..., Any]) -> None:
    fine = [f"J1100,2019-01-0{day},fine words,1," for day in range(1, 5)]
    lines = ["code,dos,desc,price,note", *fine, "99213,2019-01-05,SECRET ONE, SECRET TWO,1"]
    rows, _ = redacted(lines, "--redact", "desc")
    assert "SECRET" not in str(rows)
    assert [row["desc"] for row in rows] == ["fine words"] * 4 + [None]


def test_notes_on_the_file_and_its_columns_are_not_passed_on(
    hcpcs: Callable[..., Said], version: Path, tmp_path: Path
) -> None:
    noted = pa.field("desc", pa.string(), metadata={"note": "SECRET WORDS"})
    schema = pa.schema([("code", pa.string()), ("dos", pa.string()), noted], metadata={"pandas": "SECRET WORDS"})
    rows = [{"code": "00142", "dos": "2019-01-05", "desc": "SECRET WORDS"}]
    pq.write_table(pa.Table.from_pylist(rows, schema), tmp_path / "c.parquet")
    command = ("annotate", tmp_path / "c.parquet", tmp_path / "o.parquet", "--version", f"{version}/", *NAMES)
    assert hcpcs(*command, "--redact", "desc").status == 0
    written = pq.ParquetFile(tmp_path / "o.parquet")
    stated = [written.schema_arrow.metadata, *(f.metadata for f in written.schema_arrow)]
    assert (
        "SECRET" not in f"{stated}{written.read().to_pylist()}"
        and b"SECRET" not in (tmp_path / "o.parquet").read_bytes()
    )
