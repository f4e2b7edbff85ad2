"""Spark gives what the local engine gives, row for row."""

from __future__ import annotations

import datetime as dt
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.fs
import pyarrow.parquet as pq
import pytest
from conftest import REPOSITORY, Version
from servers import s3_server, served
from small_version import SPANS, write_version

from hcpcs.annotate.engine import annotate
from hcpcs.annotate.lookup import DEFAULT_COLUMNS
from hcpcs.annotate.values import UnusableColumn
from hcpcs.spark import annotate as annotate_on_spark
from pipeline.versions.upload import publish_to

pytestmark = pytest.mark.slow  # a further engine


def claims() -> pa.Table:
    rng = np.random.default_rng(5)
    codes = [
        "J1100",
        "j0570",
        " C9716",
        "J0570-RT",
        "99213",
        "98000",
        "10022",
        "D0120",
        "W0001",
        "J1101",
        "?",
        "",
        None,
    ]
    modifiers = ["RT", "xe", "25", "P1", "ZZ", "J1100", "", None]
    days = [dt.date(2010, 1, 1) + dt.timedelta(int(d)) for d in rng.integers(-400, 6500, 2000)]
    return pa.table(
        {
            "line": range(2000),
            "hcpcs_code": [codes[i] for i in rng.integers(0, len(codes), 2000)],
            "day": pa.array([None if i % 10 == 0 else d for i, d in enumerate(days)], pa.date32()),
            "other": pa.array([None if i % 20 == 0 else d for i, d in enumerate(days)], pa.date32()),
            "mod": [modifiers[i] for i in rng.integers(0, len(modifiers), 2000)],
            "words": ["words"] * 2000,
        }
    )


def test_spark_gives_what_the_local_engine_gives(spark: Any, tmp_path: Path) -> None:
    version = write_version(tmp_path / "version", SPANS)
    pq.write_table(claims(), tmp_path / "c.parquet")
    names = {"code": "hcpcs_code", "date": "day", "date_else": "other", "modifiers": ["mod"], "redact": ["words"]}
    annotate(tmp_path / "c.parquet", tmp_path / "out.parquet", version=version, **names)
    given = spark.read.parquet(str(tmp_path / "c.parquet"))
    # A version in object storage is read the same way, by its address.
    frame = annotate_on_spark(given, version=f"file://{version}", **names | {"modifiers": "mod", "redact": "words"})
    assert frame.columns == [*claims().schema.names, *DEFAULT_COLUMNS, "mod_status"]
    mine = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert [row.asDict() for row in frame.orderBy("line").collect()] == mine


def test_spark_neither_shuffles_nor_runs_python(spark: Any, tmp_path: Path) -> None:
    version = write_version(tmp_path / "version", SPANS)
    pq.write_table(claims(), tmp_path / "c.parquet")
    given = spark.read.parquet(str(tmp_path / "c.parquet"))
    frame = annotate_on_spark(given, version=version, code="hcpcs_code", date="day", modifiers=["mod"])
    plan = frame._jdf.queryExecution().executedPlan().toString()
    # One join for the code and one for each column of modifiers, each with a table that is sent to every executor.
    assert plan.count("BroadcastHashJoin") == plan.count("BroadcastExchange") == 2
    for costly in (
        "Exchange hashpartitioning",
        "SortMergeJoin",
        "ShuffledHashJoin",
        "Cartesian",
        "NestedLoop",
        "Python",
    ):
        assert costly not in plan
    # In the order in which the claims were read: nothing was moved.
    assert [row.line for row in frame.select("line").collect()] == [row.line for row in given.select("line").collect()]


def test_spark_reads_what_is_published_where_it_is(
    spark: Any, sample: Version, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    lines = [("J0570", dt.date(2018, 6, 30)), ("J1100", dt.date(2025, 1, 2)), ("99213", dt.date(2018, 6, 30))]
    given = spark.createDataFrame(lines, "hcpcs_code string, day date")
    names = {"code": "hcpcs_code", "date": "day"}
    with s3_server() as server, served(tmp_path / "target") as web:
        versions = [str(sample.folder), str(tmp_path / "target"), f"{server.bucket}/hcpcs", web]
        for target in versions[1:3]:
            publish_to(sample.folder, target)
        here, *elsewhere = [
            sorted(tuple(row) for row in annotate_on_spark(given, version=place, **names).collect())
            for place in versions
        ]
    assert elsewhere == [here] * 3
    assert [row[0] for row in here] == ["99213", "J0570", "J1100"]


_TWO_WORKERS = """
import datetime, json, sys
from pyspark.sql import SparkSession
from hcpcs.spark import annotate

builder = SparkSession.builder.master("local-cluster[2,1,600]").config("spark.executor.memory", "600m")
builder = builder.config("spark.ui.enabled", "false").config("spark.sql.session.timeZone", "UTC")
builder = builder.config("spark.driver.bindAddress", "127.0.0.1").config("spark.driver.host", "127.0.0.1")
spark = builder.getOrCreate()
claims = spark.read.parquet(sys.argv[1]).repartition(4)
frame = annotate(claims, version=sys.argv[2], code="hcpcs_code", date="day", modifiers=["mod"])
rows = [row.asDict() for row in frame.orderBy("line").collect()]
workers = spark.sparkContext._jsc.sc().getExecutorMemoryStatus().size() - 1
print(json.dumps({"rows": rows, "workers": workers}, default=datetime.date.isoformat))
spark.stop()
"""


def test_two_workers_give_what_the_local_engine_gives(spark: Any, tmp_path: Path) -> None:
    import pyspark

    version = write_version(tmp_path / "version", SPANS)
    pq.write_table(claims(), tmp_path / "c.parquet")
    names = {"code": "hcpcs_code", "date": "day", "modifiers": ["mod"]}
    annotate(tmp_path / "c.parquet", tmp_path / "out.parquet", version=version, **names)
    environment = os.environ | {
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
        "PYTHONPATH": str(REPOSITORY),
        "PYSPARK_PYTHON": sys.executable,
    }
    command = [sys.executable, "-c", _TWO_WORKERS, str(tmp_path / "c.parquet"), str(version)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    answer = json.loads(done.stdout.splitlines()[-1])
    expected = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert answer["rows"] == json.loads(json.dumps(expected, default=dt.date.isoformat))
    assert answer["workers"] == 2


def test_a_date_as_text_is_refused_on_spark(spark: Any, tmp_path: Path) -> None:
    version = write_version(tmp_path / "version", SPANS)
    frame = spark.createDataFrame([("J1100", "2020-01-01")], "hcpcs_code string, day string")
    with pytest.raises(UnusableColumn, match="cast it to a date first"):
        annotate_on_spark(frame, version=version, code="hcpcs_code", date="day")
