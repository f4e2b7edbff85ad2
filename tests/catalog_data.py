"""Reads back what the catalog writes as data, for tests."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

_SCRIPT = re.compile(r'\(window\.hcpcs=window\.hcpcs\|\|\{\}\)\["([^"]+)"\]=(.*);\n', re.DOTALL)


def read_data(path: Path) -> Any:
    """The value that a script of data sets."""
    found = _SCRIPT.fullmatch(path.read_text("utf-8"))
    assert found is not None, f"{path.name} is no script of data"
    return json.loads(found[2])


def named_rows(table: dict[str, Any]) -> list[dict[str, Any]]:
    """The rows of a table of data, with the names of their columns, as the pages read it."""
    columns = {column["name"]: _cells(column) for column in table["columns"]}
    return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]


def _cells(column: dict[str, Any]) -> list[Any]:
    values, at = column["values"], column.get("at")
    if at is None:
        return list(values)
    return [
        values[place]
        for place, length in zip(at, column.get("runs", [1] * len(at)), strict=True)
        for _ in range(length)
    ]
