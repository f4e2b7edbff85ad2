"""What annotating on Spark costs beside ``hcpcs annotate``, on one machine and the same claims, to Parquet.

    python -m benchmarks.spark --version outputs/latest --lines 20_000_000

Needs `make spark` and a Java runtime. Both read the claims of `benchmarks.annotate` and add the same columns.
Seconds of processor count those of Java's process; its start is measured apart, by annotating a thousand lines.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.annotate import ADDED, generate
from benchmarks.measure import machine


def on_spark(claims: Path, version: Path, out: Path) -> None:
    """Annotate with as many threads as there are cores, in one Java process."""
    from pyspark import SparkContext
    from pyspark.sql import SparkSession

    from hcpcs.spark import annotate

    builder = SparkSession.builder.master("local[*]").config("spark.ui.enabled", "false")
    session = builder.config("spark.driver.memory", "4g").config("spark.sql.parquet.compression.codec", "zstd")
    lines = session.getOrCreate().read.parquet(str(claims))
    done = annotate(lines, version=version, code="hcpcs_code", date="service_date", columns=ADDED)
    done.write.parquet(str(out))
    # Java's process is waited for, so that its seconds are counted.
    gateway = SparkContext._gateway
    session.getOrCreate().stop()
    gateway.shutdown()
    gateway.proc.stdin.close()
    gateway.proc.wait()


def by_the_engine(claims: Path, version: Path, out: Path) -> None:
    """Annotate with ``hcpcs.annotate.engine``."""
    from hcpcs.annotate.engine import annotate

    annotate(claims, out, version=version, code="hcpcs_code", date="service_date", columns=ADDED)


CASES: dict[str, Callable[[Path, Path, Path], None]] = {"engine": by_the_engine, "spark": on_spark}


def cost(case: str, claims: Path, version: Path) -> tuple[float, float]:
    """Seconds on the clock and of processor that a fresh process takes for a case, its children included."""
    with tempfile.TemporaryDirectory() as scratch:
        run = "import sys, pathlib, benchmarks.spark as b; b.CASES[sys.argv[1]](*map(pathlib.Path, sys.argv[2:]))"
        before, start = os.times(), time.perf_counter()
        command = [sys.executable, "-c", run, case, str(claims), str(version), str(Path(scratch) / "out")]
        subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
        after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - start, used


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--version", type=Path, required=True, help="folder of a published version")
    parser.add_argument("--lines", type=lambda text: int(text.replace("_", "")), default=20_000_000)
    parser.add_argument("--folder", type=Path, default=Path("outputs/bench"), help="where claims are generated")
    given = parser.parse_args()
    if shutil.which("java") is None:
        sys.exit("Spark needs a Java runtime: none is on the path")
    given.folder.mkdir(parents=True, exist_ok=True)
    print(f"{given.lines:,} lines; {machine()}")
    processor: dict[str, float] = {}
    for case in CASES:
        costs = []
        for lines in (1_000, given.lines):
            claims = given.folder / f"claims-{lines}.parquet"
            if not claims.exists():
                generate(claims, given.version, lines)
            costs.append(min(cost(case, claims, given.version.resolve()) for _ in range(2)))
        (started, start), (seconds, used) = costs
        processor[case] = used - start
        spent = f"{seconds:7.1f} s on the clock, {used:7.1f} s of processor"
        print(f"{case:8} {spent}; {started:.1f} and {start:.1f} s of it are the start", flush=True)
    print(f"spark / engine, without the start: {processor['spark'] / processor['engine']:.1f} times the processor")


if __name__ == "__main__":
    main()
