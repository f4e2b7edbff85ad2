"""Asset checks: the contract of every published table, and the rules across releases. What was measured is metadata."""

from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg
import polars as pl

from pipeline.orchestration import asset_metadata as shown
from pipeline.orchestration.io_manager import Made, made
from schemas.contract import ContractViolation
from schemas.registry import contract, enforce

CONTRACT = "contract"
_MOST_SHOWN = 20
Results = Iterator[dg.Output[Made] | dg.AssetCheckResult]


def asset(table: str, *code: str, rules: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Arguments of ``dg.asset`` for a published table: those of ``shown.asset``, its contract and more as checks."""
    return shown.asset(table, *code) | {"check_specs": [*contract_specs(table), *specs(table, rules or {})]}


def contract_specs(table: str) -> list[dg.AssetCheckSpec]:
    """The check that a published table keeps its contract."""
    return specs(table, {CONTRACT: f"Every row keeps the contract of {table}: columns, types, nulls, keys and rules."})


def specs(table: str, rules: Mapping[str, str], *, blocking: bool = True) -> list[dg.AssetCheckSpec]:
    """Checks of a table by name and description; a blocking one that fails stops the run."""
    return [dg.AssetCheckSpec(name, asset=table, description=d, blocking=blocking) for name, d in rules.items()]


def published(table: str, frame: pl.DataFrame, output_name: str | None = None) -> Results:
    """The table and the result of its contract; raises ``ContractViolation``, so that nothing is written."""
    stated = contract(table)
    rules = (f"unique: {', '.join(stated.key)}", *stated.rules)
    more = {"columns": len(stated.columns), "rules": dg.MetadataValue.md("\n".join(f"- {rule}" for rule in rules))}
    try:
        kept = enforce(table, frame)
    except ContractViolation as violation:
        yield result(table, CONTRACT, violation.violations, "broken places", frame.height, more)
        raise
    yield made(kept, output_name)
    yield result(table, CONTRACT, pl.DataFrame(), "broken places", frame.height, more)


def result(
    table: str,
    name: str,
    violations: pl.DataFrame,
    what: str,
    measured: int,
    metadata: Mapping[str, Any] | None = None,
    severity: dg.AssetCheckSeverity = dg.AssetCheckSeverity.ERROR,
) -> dg.AssetCheckResult:
    """A check that passes without violations; the first of them become metadata."""
    first = violations.head(_MOST_SHOWN).write_json() if violations.height else "[]"
    return dg.AssetCheckResult(
        asset_key=table,
        check_name=name,
        passed=violations.is_empty(),
        severity=severity,
        description=f"{what}: {violations.height} of {measured}"
        + (f", such as {_first(violations)}" if violations.height else ""),
        metadata={
            "measured": measured,
            "violations": violations.height,
            "first": dg.MetadataValue.text(first),
            **(metadata or {}),
        },
    )


def _first(violations: pl.DataFrame) -> str:
    return ", ".join(f"{k} {v}" for k, v in violations.row(0, named=True).items() if v is not None)
