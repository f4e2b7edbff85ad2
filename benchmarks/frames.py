"""How long annotating a frame in memory takes, against the engine alone on the same columns as Arrow.

    python -m benchmarks.frames --version outputs/latest --lines 1_000_000

The claims are those of ``benchmarks.annotate``. The engine's own time is opening the version and annotating the Arrow
table in parts, on all processors; each kind of frame that is installed does the same by ``Version.annotate``. Processor
time counts, of the best of a few runs, so that a busy machine changes little. Prints seconds and the ratio to the
engine alone, and exits with status 1 where one is above ``--most``.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

import hcpcs
from benchmarks.annotate import generate
from hcpcs.annotate.annotator import Annotator
from hcpcs.annotate.engine import open_version
from hcpcs.annotate.files import claims_in_memory
from hcpcs.annotate.lookup import DEFAULT_COLUMNS
from hcpcs.annotate.request import checked_request

OPTIONS = {"code": "hcpcs_code", "date": "service_date"}


def engine_alone(version: Path, table: pa.Table) -> pa.Table:
    """The added columns, by the engine's own parts."""
    claims = claims_in_memory(table, table.column_names)
    request = checked_request(claims.schema, **OPTIONS, columns=DEFAULT_COLUMNS)
    annotator = Annotator(open_version(version, DEFAULT_COLUMNS), request, claims)
    workers = os.cpu_count() or 1
    size = -(-table.num_rows // workers)
    with ThreadPoolExecutor(workers) as pool:
        parts = pool.map(annotator.annotate, [table.slice(i, size) for i in range(0, table.num_rows, size)])
        return pa.concat_tables(parts).unify_dictionaries()


def frames(table: pa.Table) -> dict[str, Any]:
    """The table as each kind of frame that is installed."""
    made: dict[str, Any] = {"pyarrow": table}
    if importlib.util.find_spec("polars"):
        import polars as pl

        made["polars"] = pl.from_arrow(table)
    if importlib.util.find_spec("duckdb"):
        import duckdb

        connection = duckdb.connect()
        connection.register("given", table)
        connection.execute("create table claims as from given")
        made["duckdb"] = connection.table("claims")
    if importlib.util.find_spec("pandas"):
        made["pandas"] = table.to_pandas(date_as_object=False)
        made["pandas, Arrow's types"] = table.to_pandas(types_mapper=_arrow_dtype())
    return made


def _arrow_dtype() -> Callable[[pa.DataType], Any]:
    import pandas

    dtype: Callable[[pa.DataType], Any] = pandas.ArrowDtype
    return dtype


def best(run: Callable[[], Any], times: int) -> float:
    """Processor seconds of the best of a few runs."""
    seconds = []
    for _ in range(times):
        start = time.process_time()
        answer = run()
        if hasattr(answer, "fetchall"):  # a relation of DuckDB runs when it is read
            answer.aggregate("count(short_description), count(license_id)").fetchall()
        seconds.append(time.process_time() - start)
    return min(seconds)


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", required=True, type=Path)
    parser.add_argument("--lines", type=lambda text: int(text.replace("_", "")), default=1_000_000)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--most", type=float, default=1.5)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        path = Path(scratch) / "claims.parquet"
        generate(path, asked.version, asked.lines)
        table = pq.read_table(path)
    engine = best(lambda: engine_alone(asked.version, table), asked.runs)
    print(f"{asked.lines:,} lines, {os.cpu_count()} processors; engine alone {engine:.3f} s of one")
    opened, highest = hcpcs.open(asked.version), 0.0
    for kind, frame in frames(table).items():
        seconds = best(lambda frame=frame: opened.annotate(frame, **OPTIONS), asked.runs)
        library = kind.partition(",")[0]
        highest = max(highest, seconds / engine)
        name = f"{kind} ({importlib.metadata.version(library)})"
        print(f"{name:<32} {seconds:.3f} s  {seconds / engine:.2f} ×")
    return int(highest > asked.most)


if __name__ == "__main__":
    sys.exit(main())
