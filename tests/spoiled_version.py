"""A published version that a test spoils, and what the license gate then finds in it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.parquet

from pipeline.license_gate.check import inspect_version
from pipeline.license_gate.report import GateReport
from sources.curated.license_policy import load_license_policy

Rows = list[dict[str, Any]]


SENTENCE = "Sample status three"


def look(folder: Path, *, also: tuple[str, ...] = (), forbidden: tuple[str, ...] = ()) -> GateReport:
    listed = json.loads((folder / "manifest.json").read_text())
    files = [*listed["content"]["files"], *listed["build"].get("files", {}), *also]
    return inspect_version(folder, load_license_policy(), files, forbidden_texts=forbidden)


def spoil(folder: Path, table: str, change: Callable[[Rows], None]) -> None:
    """Write a table again with its rows changed, its schema and metadata as they were."""
    path = folder / "open" / f"{table}.parquet"
    whole = pyarrow.parquet.read_table(path)
    rows = whole.to_pylist()
    change(rows)
    pyarrow.parquet.write_table(pyarrow.Table.from_pylist(rows, schema=whole.schema), path)


def respell(folder: Path, table: str, change: Callable[[pyarrow.Schema], pyarrow.Schema]) -> None:
    path = folder / "open" / f"{table}.parquet"
    whole = pyarrow.parquet.read_table(path)
    pyarrow.parquet.write_table(whole.cast(change(whole.schema)), path)


def written(folder: Path, files: list[tuple[str, str]]) -> tuple[str, ...]:
    """Write files of any names, each in a folder of its own; returns their paths in the version."""
    names = tuple(f"{number}/{name}" for number, (name, _) in enumerate(files))
    for file, (_, content) in zip(names, files, strict=True):
        (folder / file).parent.mkdir(parents=True)
        (folder / file).write_text(content, "utf-8")
    return names


def only_leak(report: GateReport) -> tuple[str, str, str, str]:
    assert len(report.leaks) == 1, report.leaks
    leak = report.leaks[0]
    return leak.table, leak.column, leak.key, leak.token
