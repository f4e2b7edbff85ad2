"""``import hcpcs``: light, and the answers of the command line for every kind of frame."""

from __future__ import annotations

import doctest
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Version
from engines import engines_python

import hcpcs

OPTIONS: dict[str, Any] = {"code": "hcpcs_code", "date": "claim_start_date", "modifiers": ["hcpcs_modifier_1"]}


@pytest.fixture(scope="module")
def claims(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("claims") / "claims.parquet"
    pl.read_csv(shared / "claims" / "medical_claim_seed.csv", infer_schema=False).write_parquet(path)
    return path


@pytest.fixture(scope="module")
def expected(claims: Path, sample: Version) -> list[dict[str, Any]]:
    """What the command writes."""
    out = claims.with_name("annotated.parquet")
    command = [Path(sys.executable).with_name("hcpcs"), "annotate", claims, out, "--code", "hcpcs_code"]
    command += ["--date", "claim_start_date", "--modifier", "hcpcs_modifier_1", "--outputs", sample.outputs.folder]
    subprocess.run(command, check=True, capture_output=True)
    rows: list[dict[str, Any]] = pq.read_table(out).to_pylist()
    assert len(rows) == 2075
    return rows


def relation(path: Path) -> Any:
    return duckdb.connect().read_parquet(str(path))


KINDS: dict[str, tuple[Callable[[Path], Any], Callable[[Any], list[dict[str, Any]]]]] = {
    "polars": (pl.read_parquet, lambda f: f.to_dicts()),
    "polars lazy": (pl.scan_parquet, lambda f: f.collect().to_dicts()),
    "table": (pq.read_table, lambda f: f.to_pylist()),
    "batch": (lambda p: pq.read_table(p).combine_chunks().to_batches()[0], lambda f: f.to_pylist()),
    "reader": (lambda p: pq.read_table(p).to_reader(), lambda f: f.read_all().to_pylist()),
    "duckdb": (relation, lambda f: pa.table(f).to_pylist()),
}


@pytest.mark.parametrize("kind", KINDS)
def test_each_kind_of_frame_gets_the_columns_of_the_command_in_its_own_kind(
    kind: str, claims: Path, expected: list[dict[str, Any]], sample: Version
) -> None:
    read, rows_of = KINDS[kind]
    given = read(claims)
    answer = hcpcs.open(outputs=sample.outputs.folder).annotate(given, **OPTIONS)
    assert type(answer) is type(given)
    assert rows_of(answer) == expected


def pandas_2(folder: Path) -> Path:
    """An interpreter with pandas 2.2, installed for one test."""
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", folder], check=True)
    python, uv = folder / "bin" / "python", Path(sys.executable).with_name("uv")
    pins = ["--constraint", Path(hcpcs.__file__).parent.parent / "requirements.lock"]
    packages = ["pandas==2.2.*", "click", "platformdirs", "pyarrow"]
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *pins, *packages], check=True)
    return python


@pytest.mark.parametrize("release", ["3.", pytest.param("2.2.", marks=pytest.mark.slow)])
def test_pandas_frames_keep_their_index_and_get_the_same_columns(
    release: str, claims: Path, expected: list[dict[str, Any]], sample: Version, tmp_path: Path
) -> None:
    program = (
        "import hcpcs, json, pandas, sys\n"
        f"assert pandas.__version__.startswith({release!r}), pandas.__version__\n"
        "frame = pandas.read_parquet(sys.argv[1]).set_index(pandas.Index(range(5, 2080)))\n"
        f"out = hcpcs.open(outputs=sys.argv[2]).annotate(frame, **{OPTIONS!r})\n"
        "assert list(out.index) == list(range(5, 2080)) and type(out) is pandas.DataFrame\n"
        "print(out.astype(object).to_json(orient='records'))\n"
    )
    repository = Path(hcpcs.__file__).parent.parent
    python = pandas_2(tmp_path / "env") if release == "2.2." else engines_python("pandas", "pyarrow")
    command = [python, "-c", program, claims, sample.outputs.folder]
    done = subprocess.run(
        command, capture_output=True, text=True, check=False, env=os.environ | {"PYTHONPATH": str(repository)}
    )
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == expected


@pytest.mark.parametrize("release", ["3.", pytest.param("2.2.", marks=pytest.mark.slow)])
def test_pandas_columns_as_a_workbook_gives_them_are_read(release: str, sample: Version, tmp_path: Path) -> None:
    program = (
        "import datetime as dt, hcpcs, pandas, sys\n"
        f"assert pandas.__version__.startswith({release!r}), pandas.__version__\n"
        "version = hcpcs.open(outputs=sys.argv[1])\n"
        "days = [dt.date(2018, 6, 30), '2018-06-30', pandas.Timestamp('2018-06-30'), '2018-06-30', None]\n"
        "codes = ['J0570', 99213, 99213.0, None, 'J0570']\n"
        "frame = pandas.DataFrame({'code': codes, 'day': days}, index=[7, 5, 3, 9, 1])\n"
        "print(version.annotate(frame, code='code', date='day', columns='code_status_on_date').iloc[:, 2].to_dict())\n"
        "texts = frame['code'].astype('string')\n"
        "checked = version.check(texts, on='2018-06-30')\n"
        "print(version.classify(texts)['code'].fillna('').to_dict(), checked.index.to_list())\n"
        "try:\n"
        "    version.annotate(frame.assign(code=[b'J0570', 1, [], {}, 'x']), code='code', date='day')\n"
        "except hcpcs.HcpcsError as error:\n"
        "    print(error)\n"
    )
    repository = Path(hcpcs.__file__).parent.parent
    python = pandas_2(tmp_path / "env") if release == "2.2." else engines_python("pandas", "pyarrow")
    command, path = [python, "-c", program, sample.outputs.folder], {"PYTHONPATH": str(repository)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | path)
    assert done.returncode == 0, done.stderr
    annotated, classified, refused = done.stdout.splitlines()
    assert annotated == "{7: 'valid', 5: 'not_loaded', 3: 'not_loaded', 9: 'unknown_shape', 1: 'no_date'}"
    assert classified == "{7: 'J0570', 5: '99213', 3: '99213', 9: '', 1: 'J0570'} [7, 5, 3, 9, 1]"
    assert "column of mixed values" in refused and "code" in refused and "make it one type" in refused


def test_one_name_is_as_good_as_a_list_of_one(sample: Version) -> None:
    claims = pa.table({"code": ["J0570"], "day": ["2018-06-30"], "mod_1": ["RT"], "words": ["x"]})
    version = hcpcs.open(outputs=sample.outputs.folder)
    names = {
        "modifiers": "mod_1",
        "columns": "episode",
        "redact": "words",
        "nulls": "none",
        "date_formats": "YYYY-MM-DD",
    }
    one, several = (
        version.annotate(claims, code="code", date="day", **n) for n in (names, {k: [v] for k, v in names.items()})
    )
    assert one.equals(several) and one.column_names[-2:] == ["episode", "mod_1_status"]


def test_import_is_light_and_imports_no_frames_of_its_own() -> None:
    program = (
        "import sys, time; start = time.process_time(); import hcpcs; seconds = time.process_time() - start\n"
        "print({'pyarrow', 'numpy', 'polars', 'pandera', 'dagster', 'pipeline'} & set(sys.modules), seconds < 0.15)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "set() True\n"


def test_the_library_answers_without_the_pipelines_packages(sample: Version) -> None:
    program = (
        "import sys, hcpcs; v = hcpcs.open(outputs=sys.argv[1])\n"
        "v.classify(['99213']); v.check(['J0570'], on='2018-06-30')\n"
        "print({'polars', 'pandera', 'dagster', 'pipeline', 'pandas', 'sqlglot'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, sample.outputs.folder], capture_output=True, text=True, check=False
    )
    assert (done.stdout, done.stderr) == ("set()\n", "")


def with_examples() -> list[str]:
    """The library's modules that have an example."""
    package = Path(hcpcs.__file__).parent
    paths = [p for p in sorted(package.rglob("*.py")) if ">>> " in p.read_text("utf-8")]
    names = [".".join(p.relative_to(package.parent).with_suffix("").parts) for p in paths]
    return [name.removesuffix(".__init__") for name in names]


@pytest.mark.parametrize("module", with_examples())
def test_the_examples_of_the_docstrings_run(module: str, sample: Version, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HCPCS_OUTPUTS", str(sample.outputs.folder))
    done = doctest.testmod(importlib.import_module(module), extraglobs={"hcpcs": hcpcs, "pyarrow": pa})
    assert done.attempted and not done.failed


@pytest.mark.parametrize("name", [n for n in vars(hcpcs.Version) if n.islower() and n[0] != "_"])
def test_every_method_that_answers_has_an_example(name: str) -> None:
    member = getattr(hcpcs.Version, name)
    if callable(member):
        assert ">>> " in (member.__doc__ or "")


def test_what_cannot_be_used_is_one_error(sample: Version, tmp_path: Path) -> None:
    version = hcpcs.open(outputs=sample.outputs.folder)
    with pytest.raises(TypeError, match="int is not a frame"):
        version.annotate(1, code="c", date="d")
    with pytest.raises(hcpcs.HcpcsError, match="no column 'day'"):
        version.annotate(pa.table({"code": ["J0570"]}), code="code", date="day")
    with pytest.raises(TypeError, match="leading zeros"):
        version.classify([99213])
    with pytest.raises(ValueError, match="YYYY-MM-DD"):
        version.as_of("06/30/2018")
    with pytest.raises(hcpcs.HcpcsError, match="has no version yet"):
        hcpcs.open(outputs=tmp_path)


def test_an_empty_frame_gets_the_columns(sample: Version) -> None:
    empty = pl.DataFrame(schema={"c": pl.String, "d": pl.Date})
    assert (
        "code_status_on_date" in hcpcs.open(outputs=sample.outputs.folder).annotate(empty, code="c", date="d").columns
    )


def test_a_version_without_hcpcs_validity_is_one_clear_error(own_sample: Any, hcpcs: Callable[..., Any]) -> None:
    (own_sample.folder / "latest" / "open" / "hcpcs_validity.parquet").unlink()
    claims = own_sample.folder / "claims.csv"
    claims.write_text("code,day\nJ0570,2018-06-30\n")
    said = hcpcs("annotate", claims, "--code", "code", "--date", "day", "--outputs", own_sample.folder)
    assert said.status == 1
    assert "has no table hcpcs_validity" in said.err and "hcpcs refresh --offline" in said.err


@pytest.mark.parametrize("kind", [pa.null(), pa.string()])
def test_a_frame_that_a_filter_left_empty_gets_the_columns_whatever_its_types(
    kind: pa.DataType, sample: Version
) -> None:
    empty = pa.table({name: pa.chunked_array([pa.array([], kind)]) for name in ("code", "day", "mod")})
    answer = hcpcs.open(outputs=sample.outputs.folder).annotate(empty, code="code", date="day", modifiers="mod")
    assert answer.num_rows == 0 and {"code_status_on_date", "mod_status"} <= set(answer.column_names)


@pytest.mark.parametrize("codes", [99213, None, "99213", ["\ud800"], pl.Series([99213], dtype=pl.Int128)])
def test_what_holds_no_texts_is_a_type_error_that_says_so(codes: Any, sample: Version) -> None:
    with pytest.raises(TypeError, match=r"^(pass a list or column of codes|the codes are not all texts)"):
        hcpcs.open(outputs=sample.outputs.folder).classify(codes)


def test_a_missing_text_of_pandas_is_a_missing_code(sample: Version) -> None:
    version = hcpcs.open(outputs=sample.outputs.folder)
    assert version.classify(["J0570", float("nan")]) == version.classify(["J0570", None])


def test_a_column_that_arrow_has_no_type_for_is_named(sample: Version) -> None:
    claims = pl.DataFrame({"day": ["2018-06-30"], "code": pl.Series([99213], dtype=pl.Int128)})
    with pytest.raises(hcpcs.HcpcsError, match=r"^code: Arrow cannot read the column: "):
        hcpcs.open(outputs=sample.outputs.folder).annotate(claims, code="code", date="day")


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["99213", "J0570"])])
def test_categories_and_enums_of_polars_are_texts(kind: Any, sample: Version) -> None:
    version = hcpcs.open(outputs=sample.outputs.folder)
    codes = ["J0570", None, "99213", "J0570"]
    column = pl.Series(codes, dtype=kind)
    assert version.classify(column).to_dicts() == version.classify(pl.Series(codes)).to_dicts()
    answer = version.check(column, on="2018-06-30")
    assert answer["code"].to_list() == codes
    assert answer["status"].to_list()[::2] == ["valid", "not_loaded"]
