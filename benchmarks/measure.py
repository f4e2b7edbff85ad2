"""How things are measured here: the machine, wall time, and the largest memory of a fresh process."""

from __future__ import annotations

import os
import platform
import re
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")


def machine() -> str:
    """The machine in one line: cores, memory, Python and the libraries that count."""
    pages = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / 1024**3
    libraries = ", ".join(f"{name} {version(name)}" for name in ("polars", "pyarrow", "dagster", "fastexcel"))
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {pages:.0f} GiB, Python {platform.python_version()}, {libraries}; load {load:.1f}"


def best_of(times: int, function: Callable[[], T]) -> tuple[float, T]:
    """Seconds of the fastest of several calls, and what it returned."""
    best = float("inf")
    for _ in range(times):
        start = time.perf_counter()
        result = function()
        best = min(best, time.perf_counter() - start)
    return best, result


def peak_mb() -> int:
    """The largest memory of this process in MB. (`getrusage` begins a child's count at what its parent had.)"""
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    return int(found[1]) // 1024 if found else 0


@dataclass(frozen=True, slots=True)
class Cost:
    """What a command took: seconds on the clock, of processor (user and system), and MB of memory at its largest."""

    wall: float
    processor: float
    memory: float


def run_command(arguments: Sequence[str]) -> Cost:
    """Run `hcpcs` in a fresh process of the project's own environment; raises ``CalledProcessError``.

    Not of this one: pandas, the rival, makes pandera's import three times as long wherever it is installed.
    """
    own = Path(__file__).resolve().parent.parent / ".venv" / "bin" / "python"
    python = str(own) if own.exists() else sys.executable
    start = time.perf_counter()
    pid = os.fork()
    if pid == 0:
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, 1)
        os.execv(python, [python, "-m", "hcpcs.cli.main", *arguments])
    _, status, usage = os.wait4(pid, 0)
    seconds = time.perf_counter() - start
    if os.waitstatus_to_exitcode(status) != 0:
        raise subprocess.CalledProcessError(os.waitstatus_to_exitcode(status), list(arguments))
    return Cost(seconds, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024)


def show(name: str, value: str, bound: str, holds: bool) -> bool:
    """Print one figure beside its bound; returns whether it holds."""
    print(f"{'ok  ' if holds else 'MISS'}  {name:<58} {value:>18}   bound {bound}", flush=True)
    return holds


def releases_folder(given: Path | None) -> Path:
    """The folder of real releases to measure on."""
    folder = given or Path(__file__).resolve().parent.parent.parent / "shared" / "cms"
    if not folder.is_dir():
        sys.exit(f"{folder} does not exist: give a folder of CMS releases with --from")
    return folder
