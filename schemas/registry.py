"""The published tables: found by their modules' names, so that a new contract is published without a list to keep."""

from __future__ import annotations

import importlib
import pkgutil
from functools import cache

import pandera.polars as pa
import polars as pl

import schemas
from schemas.contract import Contract, enforce_contract

_NOT_TABLES = {"columns", "contract", "registry"}


@cache
def contracts() -> dict[str, Contract]:
    """Every table's contract by name, sorted; a table's module holds one model of the table's name in CamelCase."""
    found = {}
    for info in sorted(pkgutil.iter_modules(schemas.__path__), key=lambda i: i.name):
        # A subpackage holds contracts of another tier: what is never published beside these.
        if info.ispkg or info.name in _NOT_TABLES:
            continue
        module = importlib.import_module(f"schemas.{info.name}")
        model: type[pa.DataFrameModel] = getattr(module, "".join(part.title() for part in info.name.split("_")))
        found[info.name] = Contract(info.name, model)
    return found


@cache
def restricted_contracts() -> dict[str, Contract]:
    """The contracts of the restricted tier: those of the published tables, and of the licensee's own."""
    from schemas.restricted.cpt_codes import CptCodes

    return contracts() | {"cpt_codes": Contract("cpt_codes", CptCodes)}


def contract(table: str) -> Contract:
    """The contract of one table; raises ``KeyError`` for a table that is not published."""
    return contracts()[table]


def enforce(table: str, frame: pl.DataFrame) -> pl.DataFrame:
    """Hold ``frame`` against the contract of ``table``; raises ``ContractViolation`` with every broken place."""
    return enforce_contract(contract(table), frame)
