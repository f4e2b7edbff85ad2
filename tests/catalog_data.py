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


def named_rows(columns: list[str], rows: list[list[Any]]) -> list[dict[str, Any]]:
    """Rows with the names of their columns."""
    return [dict(zip(columns, row, strict=True)) for row in rows]
