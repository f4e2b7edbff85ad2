"""Episodes, history, changes and crosswalk of many releases of 8,800 records, each count in a fresh process.

The records are those of real releases, in their order, repeated under made-up quarters.
"""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import polars as pl

from benchmarks.measure import peak_mb, run_command, show
from pipeline.transforms.batches import collected
from pipeline.transforms.changes import changes_between_releases, with_current_episodes
from pipeline.transforms.crosswalk import crosswalk_from_records
from pipeline.transforms.episodes import episodes_of_records
from pipeline.transforms.history import history_from_records, latest_states
from pipeline.transforms.published_tables import current

RELEASES, RECORDS = 100, 8_800


def repeated_records(staged: Path, releases: int, records: int = RECORDS) -> pl.DataFrame:
    """``releases`` releases of ``records`` records each, from the tables of real ones in the folder ``staged``.

    A release that is too small is filled up with records of the newest one that it has not.
    """
    real = [current(pl.scan_parquet(path)).collect() for path in sorted(staged.glob("*.parquet"))]
    key = ["kind", "code"]
    quarters = (f"{year}-{month:02}" for year in itertools.count(2005) for month in (1, 4, 7, 10))
    made = []
    for number, quarter in zip(range(releases), quarters, strict=False):
        own = real[number * len(real) // releases]
        filled = pl.concat([own, real[-1].join(own, on=key, how="anti")]).head(records)
        if filled.height < records:
            more = filled.head(records - filled.height).with_columns("9" + pl.col("code").str.slice(1))
            filled = pl.concat([filled, more.join(filled, on=key, how="anti").unique(key, maintain_order=True)])
        made.append(filled.with_columns(release_id=pl.lit(quarter), revision=pl.lit(1, pl.Int32)))
    return pl.concat(made)


def measure(staged: Path, releases: int) -> dict[str, float]:
    """In this process: records, seconds of the four steps together, and the peak of memory in MB."""
    records = repeated_records(staged, releases)
    start = time.perf_counter()
    episodes = episodes_of_records(collected(current(records.lazy())))
    history = history_from_records(episodes)
    states = latest_states(episodes, history)
    changes = changes_between_releases(with_current_episodes(records, episodes))
    crosswalk = crosswalk_from_records(episodes.lazy(), states)
    seconds = time.perf_counter() - start
    assert history.height and changes.height and crosswalk.height
    return {"records": records.height, "seconds": seconds, "memory": peak_mb()}


def run(folder: Path) -> bool:
    """Print the figures; returns whether all hold."""
    with tempfile.TemporaryDirectory() as scratch:
        run_command(["refresh", "--from", str(folder), "--outputs", scratch])
        staged = str(Path(scratch) / "work" / "staged_records")
        found = {}
        for releases in (RELEASES // 2, RELEASES):
            command = [sys.executable, "-m", "benchmarks.history", staged, str(releases)]
            found[releases] = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    half, whole = found.values()
    growth = whole["seconds"] / half["seconds"]
    name = f"history, changes, crosswalk of {RELEASES} releases"
    print(f"{whole['records']:,.0f} records; half of them {half['seconds']:.1f} s, {half['memory']:.0f} MB")
    return all(
        [
            show(f"{name}, seconds", f"{whole['seconds']:.1f} s", "< 20 s", whole["seconds"] < 20),
            show(f"{name}, memory", f"{whole['memory']:.0f} MB", "< 1500 MB", whole["memory"] < 1500),
            show(f"{name}, times the half of them", f"{growth:.2f} x", "<= 2.4 x (linear)", growth <= 2.4),
        ]
    )


if __name__ == "__main__":
    print(json.dumps(measure(Path(sys.argv[1]), int(sys.argv[2]))))
