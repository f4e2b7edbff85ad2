"""Work that tests of one process would do again on the same bytes, done once: what passed passes again."""

from __future__ import annotations

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from dagster._core.storage.event_log.in_memory import InMemoryEventLogStorage

from pipeline.license_gate.gate import Gate
from pipeline.license_gate.tables import Table
from pipeline.orchestration.assets.reference import REFERENCE_TABLES
from schemas import registry
from schemas.contract import Contract

_enforce_contract = registry.enforce_contract
_look_at_file, _look_at_table = Gate.look_at_file, Gate.look_at_table

#: Frames that kept a contract, by model and content: the columns in the contract's order.
_kept_contracts: dict[tuple[Any, bytes], list[str]] = {}
#: Gates that looked at one file or table, by its name, its content and what may be in it.
_looked_at: dict[tuple[Any, ...], Gate] = {}


def _content(frame: pl.DataFrame) -> bytes:
    digest = hashlib.sha256(repr(list(frame.schema.items())).encode())
    digest.update(frame.hash_rows().to_numpy().tobytes() if frame.height else b"")
    return digest.digest()


def _enforce_once(contract: Contract, frame: pl.DataFrame) -> pl.DataFrame:
    if not isinstance(frame, pl.DataFrame):
        return _enforce_contract(contract, frame)
    key = (contract.model, _content(frame))
    if key not in _kept_contracts:
        _kept_contracts[key] = _enforce_contract(contract, frame).columns
    return frame.select(_kept_contracts[key])


def _once(gate: Gate, look: Callable[[Gate], None], *content: Any) -> None:
    """Let ``look`` look at this content, or add what it found when another gate of this policy looked at it."""
    policy = (repr(gate.policy._keep), gate.policy.tables, tuple(gate.forbidden), gate.numbers, repr(gate.headers))
    key = (*content, *policy)
    if key not in _looked_at:
        _looked_at[key] = Gate(gate.policy, gate.forbidden, gate.numbers, gate.headers)
        look(_looked_at[key])
    found = _looked_at[key]
    gate.values += found.values
    gate.kept += found.kept
    gate.kept_texts |= found.kept_texts
    gate.leaks += found.leaks


def _look_at_file_once(gate: Gate, path: Path, name: str) -> None:
    try:
        content = hashlib.sha256(path.read_bytes()).digest()
    except OSError:
        return _look_at_file(gate, path, name)
    _once(gate, lambda one: _look_at_file(one, path, name), path.name, name, content)


def _look_at_table_once(gate: Gate, table: Table) -> None:
    content = _content(table.read(list(table.schema)))
    # Files of equal rows may have other dictionaries, or be read in another way.
    texts = _content(table.texts.unique().sort("column", "text")) if table.file is not None else b""
    _once(gate, lambda one: _look_at_table(one, table), table.name, table.key, content, texts)


@contextmanager
def _connection_of_the_thread(storage: Any) -> Iterator[Any]:
    """One connection for each thread, where Dagster opens one for each event."""
    with storage._db_lock:
        own = vars(storage).setdefault("_connections_of_threads", threading.local())
        if not hasattr(own, "connection"):
            own.connection = storage._engine.connect()
        with own.connection.begin():
            yield own.connection


def do_once(patch: pytest.MonkeyPatch) -> None:
    """Remember, for as long as ``patch`` lasts."""
    patch.setattr(registry, "enforce_contract", _enforce_once)
    patch.setattr(Gate, "look_at_file", _look_at_file_once)
    patch.setattr(Gate, "look_at_table", _look_at_table_once)
    for table, make in REFERENCE_TABLES.items():
        patch.setitem(REFERENCE_TABLES, table, cache(make))  # type: ignore[arg-type]
    patch.setattr(InMemoryEventLogStorage, "_connect", _connection_of_the_thread)
