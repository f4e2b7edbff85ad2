"""The license gate over exports: which columns a format quotes, and what is known of published tables."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from hcpcs.export.registry import ExportFormat
from pipeline.license_gate.check import check_files
from pipeline.license_gate.report import GateReport
from schemas.registry import contracts
from sources.curated.license_policy import load_license_policy


def check_export(path: Path, form: ExportFormat) -> GateReport:
    """Read every file of an export in a format; raises ``LicenseLeak`` with every place."""
    return check_files(
        path,
        load_license_policy(),
        name=f"{form.name}{form.suffix}",
        shows=form.shows,
        numbers=_number_columns() | set(form.numbers),
        headers=form.headers,
        tables=contracts(),
    )


@cache
def _number_columns() -> frozenset[str]:
    """Columns that are numbers in every published table that has them."""
    columns = [one for contract in contracts().values() for one in contract.polars_schema.items()]
    others = {name for name, dtype in columns if not dtype.is_numeric()}
    return frozenset(name for name, _ in columns if name not in others)
