"""The dbt package: dbt builds it and writes its documentation, and its tests find what they are for."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from conftest import REPOSITORY, Version
from engines import engines_python

from schemas.registry import contracts

#: Runs dbt's commands in one process, whose start takes the most time: argv is, as JSON, for each command its words
#: joined by blanks, the project's folder and the version's.
_DBT = """
import json, os, sys
from dbt.cli.main import dbtRunner
told = []
for command, project, version in json.loads(sys.argv[1]):
    os.chdir(project)
    variables = json.dumps({"hcpcs_version": version})
    done = dbtRunner().invoke([*command.split(), "--vars", variables, "--quiet", "--no-use-colors"])
    results = getattr(done.result, "results", None) or []
    failed = sorted(r.node.name for r in results if str(getattr(r, "status", "")) in ("fail", "error"))
    told.append({"success": done.success, "results": len(results), "failed": failed, "error": str(done.exception)})
print()
print(json.dumps(told))
"""


def copied_project(folder: Path) -> Path:
    shutil.copytree(REPOSITORY / "dbt", folder, ignore=shutil.ignore_patterns("target", "logs"))
    return folder


@dataclass(frozen=True)
class Built:
    """What dbt did of the sample, of which it writes the documentation too, and of a damaged copy of it."""

    project: Path
    database: Path
    of_damaged: dict[str, Any]
    of_sample: dict[str, Any]
    documented: dict[str, Any]


@pytest.fixture(scope="module")
def built(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> Built:
    folder = tmp_path_factory.mktemp("dbt")
    good, bad = (copied_project(folder / name) for name in ("good", "bad"))
    damaged = damaged_copy(sample, folder / "version")
    # dbt's process has one database for all projects: what the documentation looks at is built last.
    commands = [("build", bad, damaged), ("build", good, sample.folder), ("docs generate", good, sample.folder)]
    done = subprocess.run(
        [engines_python("dbt"), "-c", _DBT, json.dumps(commands, default=str)],
        env={
            **os.environ,
            "DBT_PROFILES_DIR": ".",
            "DO_NOT_TRACK": "1",
            "HCPCS_DBT_DATABASE": str(folder / "hcpcs.duckdb"),
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    return Built(good, folder / "hcpcs.duckdb", *json.loads(done.stdout.splitlines()[-1]))


def test_dbt_builds_the_package_and_documents_every_column(sample: Version, built: Built) -> None:
    project = built.project
    assert (built.of_sample["success"], built.of_sample["failed"]) == (True, []), built.of_sample
    assert built.documented["success"], built.documented
    manifest = json.loads((project / "target" / "manifest.json").read_bytes())
    told = {
        s["name"]: {c["name"]: c["description"] for c in s["columns"].values()} for s in manifest["sources"].values()
    }
    assert told == {n: {c.name: c.description for c in table.columns} for n, table in contracts().items()}
    dimension = manifest["nodes"]["model.hcpcs.hcpcs_dim_code"]
    catalog = json.loads((project / "target" / "catalog.json").read_bytes())
    assert set(catalog["nodes"]["model.hcpcs.hcpcs_dim_code"]["columns"]) == set(dimension["columns"])
    assert all(column["description"] for column in dimension["columns"].values())
    with duckdb.connect(str(built.database), read_only=True) as database:
        rows = database.execute("select count(*) from hcpcs_dim_code").fetchone()
    assert rows == (sample.open("hcpcs_history").height,)


def damaged_copy(sample: Version, folder: Path) -> Path:
    """The sample with one span that begins a day before the one before it ends, and one code twice."""
    shutil.copytree(sample.folder, folder)
    path = folder / "open" / "hcpcs_history.parquet"
    history = pl.read_parquet(path)
    ended = history.filter(pl.col("valid_to").is_not_null())[:1]
    overlapping = ended.with_columns(pl.col("valid_to").alias("valid_from"), span_number=pl.lit(99, pl.Int32))
    path.unlink()
    pl.concat([history, overlapping.select(history.columns)]).write_parquet(path)
    codes = folder / "open" / "hcpcs_codes.parquet"
    frame = pl.read_parquet(codes)
    codes.unlink()
    pl.concat([frame, frame[:1]]).write_parquet(codes)
    return folder


def test_its_tests_find_a_key_twice_an_overlap_and_a_fan_out(built: Built) -> None:
    assert not built.of_damaged["success"]
    kinds = {re.sub("_(?:hcpcs_dim_code|hcpcs_codes)_.*", "", name) for name in built.of_damaged["failed"]}
    assert {"hcpcs_no_overlap", "hcpcs_no_fan_out", "source_hcpcs_unique_key_hcpcs"} <= kinds


def test_the_sources_are_those_of_the_contracts() -> None:
    code = "import sys; from pipeline.reference import dbt_sources as made; sys.stdout.write(made())"
    made = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    page = (REPOSITORY / "dbt" / "models" / "hcpcs_sources.yml").read_text("utf-8")
    assert page == made.stdout, "run `python -m pipeline.reference`"
