"""The kinds of findings: how severe each is, what it means, and what is done about it. docs/findings.md follows.

``finding_kinds.csv`` has a row for each, in the order of reading. What a single finding says, with its value and place,
is written where it is found.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

Severity = Literal["info", "warning", "error"]


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of finding: ``where`` it is found, its ``severity``, its meaning, and the ``action`` where all have one.

    ``also`` is the severity that some have, else empty.
    """

    where: str
    severity: Severity
    also: Literal["", "info", "warning", "error"]
    meaning: str
    action: str


def _read(path: Path) -> dict[str, Kind]:
    with path.open(encoding="utf-8", newline="") as file:
        rows: Iterator[dict[str, Any]] = csv.DictReader(file)
        return {row.pop("finding"): Kind(**row) for row in rows}


KINDS = _read(Path(__file__).with_suffix(".csv"))
