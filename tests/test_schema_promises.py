"""The promise of docs/versioning.md: what readers rely on is in a golden file, so that a rename is a decision.

``python tests/test_schema_promises.py`` writes the file anew, and refuses if the schema version was not raised enough.
"""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest

from hcpcs.manifest import SCHEMA_VERSION
from schemas.registry import contracts

GOLDEN = Path(__file__).resolve().parent / "golden" / "schemas.json"

Schemas = dict[str, Any]


def promised() -> Schemas:
    """What the contracts promise now."""
    return {
        "schema_version": SCHEMA_VERSION,
        "tables": {
            name: {
                "key": list(contract.key),
                "columns": {c.name: {"type": c.type, "nullable": c.nullable} for c in contract.columns},
            }
            for name, contract in contracts().items()
        },
    }


def breaks(before: Schemas, after: Schemas) -> list[str]:
    """What a reader of ``before`` can no longer rely on in ``after``: asks for a new major version."""
    found = []
    for table, old in before["tables"].items():
        new = after["tables"].get(table)
        if new is None:
            found.append(f"{table} is gone")
            continue
        if new["key"] != old["key"]:
            found.append(f"{table} has another primary key")
        for name, column in old["columns"].items():
            now = new["columns"].get(name)
            if now is None:
                found.append(f"{table}.{name} is gone")
            elif now["type"] != column["type"]:
                found.append(f"{table}.{name} is {now['type']}, no longer {column['type']}")
            elif now["nullable"] and not column["nullable"]:
                found.append(f"{table}.{name} may be null now")
    return found


def lowest_version(before: Schemas, after: Schemas) -> tuple[int, int]:
    """The lowest schema version that ``after`` may have."""
    major, minor = (int(part) for part in before["schema_version"].split("."))
    if breaks(before, after):
        return major + 1, 0
    return (major, minor + 1) if before["tables"] != after["tables"] else (major, minor)


def test_the_contracts_are_those_that_were_promised() -> None:
    golden = json.loads(GOLDEN.read_bytes())
    now = promised()
    lowest = ".".join(map(str, lowest_version(golden, now)))
    assert now == golden, (
        f"the contracts changed ({breaks(golden, now) or 'nothing that breaks readers'}): raise SCHEMA_VERSION to"
        f" {lowest} or more as docs/versioning.md says, then run `python tests/test_schema_promises.py`"
    )
    order = {t: list(c["columns"]) for t, c in golden["tables"].items()}
    assert {t: list(c["columns"]) for t, c in now["tables"].items()} == order


@pytest.mark.parametrize(
    ("change", "version"),
    [
        (lambda t: None, (1, 4)),
        (lambda t: t.update(more={"key": [], "columns": {}}), (1, 5)),
        (lambda t: t["codes"]["columns"].update(more={"type": "string", "nullable": True}), (1, 5)),
        (lambda t: t["codes"]["columns"]["text"].update(nullable=False), (1, 5)),
        (lambda t: t["codes"]["columns"]["code"].update(nullable=True), (2, 0)),
        (lambda t: t["codes"]["columns"]["code"].update(type="int32"), (2, 0)),
        (lambda t: t["codes"]["columns"].update(new_name=t["codes"]["columns"].pop("text")), (2, 0)),
        (lambda t: t["codes"].update(key=["code", "text"]), (2, 0)),
        (lambda t: t.pop("codes"), (2, 0)),
    ],
)
def test_what_breaks_a_reader_asks_for_a_new_major_version(change: Any, version: tuple[int, int]) -> None:
    columns = {"code": {"type": "string", "nullable": False}, "text": {"type": "string", "nullable": True}}
    before = {"schema_version": "1.4", "tables": {"codes": {"key": ["code"], "columns": columns}}}
    after = copy.deepcopy(before)
    change(after["tables"])
    assert lowest_version(before, after) == version


if __name__ == "__main__":
    now = promised()
    if GOLDEN.exists():
        lowest = lowest_version(json.loads(GOLDEN.read_bytes()), now)
        if tuple(int(part) for part in SCHEMA_VERSION.split(".")) < lowest:
            sys.exit(f"SCHEMA_VERSION is {SCHEMA_VERSION}; these changes ask for {'.'.join(map(str, lowest))} or more")
    GOLDEN.parent.mkdir(parents=True, exist_ok=True)
    GOLDEN.write_text(json.dumps(now, indent=1) + "\n", "utf-8")
