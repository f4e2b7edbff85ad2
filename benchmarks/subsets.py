"""Any set of releases publishes: all pairs of real releases, and random sets of them, each into an empty folder.

Run with `python -m benchmarks.subsets`. A set that is refused is printed with its error; the exit status is then 1.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import itertools
import multiprocessing
import os
import random
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from unittest import mock

from benchmarks.measure import releases_folder
from hcpcs.cli.main import main

Subset = tuple[str, ...]


def all_pairs(folder: Path) -> list[Subset]:
    """Every two releases of the folder."""
    return list(itertools.combinations(_releases(folder), 2))


def random_subsets(folder: Path, count: int, seed: int) -> list[Subset]:
    """``count`` sets of two releases or more, the same for the same seed."""
    chance, releases = random.Random(seed), _releases(folder)
    return [tuple(sorted(chance.sample(releases, chance.randint(2, len(releases) - 1)))) for _ in range(count)]


def refusals(folder: Path, subsets: Sequence[Subset], workers: int = 1) -> Iterator[tuple[Subset, str]]:
    """Refresh from each set into an empty folder of outputs; yields each set with its error, ``""`` if it published."""
    attempt = partial(_refusal, folder)
    if workers == 1:
        yield from zip(subsets, map(attempt, subsets), strict=True)
        return
    with ProcessPoolExecutor(workers, multiprocessing.get_context("spawn")) as pool:
        yield from zip(subsets, pool.map(attempt, subsets), strict=True)


def _refusal(folder: Path, subset: Subset) -> str:
    with tempfile.TemporaryDirectory() as scratch:
        offered, outputs = Path(scratch) / "offered", Path(scratch) / "outputs"
        for release in subset:
            (offered / release).mkdir(parents=True)
            for path in (folder / release).glob("*.zip"):
                (offered / release / path.name).symlink_to(path)
        return _refresh("--from", str(offered), "--outputs", str(outputs))


def _refresh(*arguments: str) -> str:
    """Run `hcpcs refresh` in this process: no fresh one spends its first seconds on imports. Returns its error."""
    told = io.StringIO()
    with (
        mock.patch.object(sys, "argv", ["hcpcs", "refresh", *arguments]),
        contextlib.redirect_stdout(io.StringIO()),
        contextlib.redirect_stderr(told),
    ):
        try:
            main()
        except SystemExit as end:
            return told.getvalue() or f"exit status {end.code}" if end.code else ""
    return ""


def _releases(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir() if any(p.glob("*.zip")))


def run(folder: Path, count: int, seed: int, workers: int) -> bool:
    """Print every set that is refused, and how many published; returns whether all did."""
    subsets = [*all_pairs(folder), *random_subsets(folder, count, seed)]
    start, refused = time.perf_counter(), 0
    for done, (subset, error) in enumerate(refusals(folder, subsets, workers), 1):
        if error:
            refused += 1
            print(f"MISS  {' '.join(subset)}\n{error}", flush=True)
        if done % 20 == 0 or done == len(subsets):
            print(f"{done} of {len(subsets)} sets, {refused} refused, {time.perf_counter() - start:.0f} s", flush=True)
    return not refused


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--from", dest="folder", type=Path, help="folder of CMS releases, by default ../shared/cms")
    parser.add_argument("--random", type=int, default=200, help="how many random sets (200)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count(), help="sets at a time, by default one a core")
    given = parser.parse_args()
    sys.exit(0 if run(releases_folder(given.folder), given.random, given.seed, given.workers) else 1)
