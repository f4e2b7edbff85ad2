"""What follows from a contract: enforcement, the Arrow schema with its metadata, the dictionary.

Nothing here knows any single table; ``schemas.registry`` lists them.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from dataclasses import dataclass
from functools import cache
from re import _parser  # type: ignore[attr-defined]  # the one place that knows the width of a pattern
from typing import Any

import pandera.polars as pa
import polars as pl
import pyarrow

from hcpcs.errors import HcpcsError
from hcpcs.manifest import SCHEMA_VERSION
from schemas.columns import DERIVED, LicenseColumns, TableFacts

_ARROW = {
    pl.String: pyarrow.string(),
    pl.Boolean: pyarrow.bool_(),
    pl.Int32: pyarrow.int32(),
    pl.Int64: pyarrow.int64(),
    pl.Float64: pyarrow.float64(),
    pl.Date: pyarrow.date32(),
}
_UNBOUNDED = 10_000


class ContractViolation(HcpcsError):
    """Rows break a table's contract; ``violations`` is the table of all of them."""

    def __init__(self, table: str, violations: pl.DataFrame) -> None:
        self.table = table
        self.violations = violations
        shown = [
            f"  {r['column']}: {r['check']}: {r['value']}" + (f" ({r['row']})" if r["row"] else "")
            for r in violations.head(20).iter_rows(named=True)
        ]
        if violations.height > 20:
            shown.append(f"  … and {violations.height - 20} more")
        super().__init__(f"{table} breaks its contract in {violations.height} places:\n" + "\n".join(shown))


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a contract, as the dictionary, the Parquet metadata and the catalog need it."""

    name: str
    type: str
    polars_type: pl.DataType
    nullable: bool
    is_key: bool
    description: str
    source: str
    lineage: tuple[str, ...]
    license_id: str
    constraints: tuple[str, ...]
    #: Those that a value may have; empty where any may be.
    allowed_values: tuple[str, ...] = ()
    #: Of a text that has a format of bounded length.
    max_length: int | None = None

    @property
    def about(self) -> dict[str, Any]:
        """What the Parquet metadata states of it."""
        stated = {"description": self.description, "source": self.source, "license": self.license_id}
        return stated if self.max_length is None else stated | {"max_length": self.max_length}

    @property
    def is_derived(self) -> bool:
        """Whether no publisher states the value: this project decides, counts or writes it."""
        return self.source == DERIVED


@dataclass(frozen=True, slots=True)
class Contract:
    """A table's contract: name, model, key and columns."""

    table: str
    model: type[pa.DataFrameModel]

    @property
    def description(self) -> str:
        """The model's docstring, as one paragraph."""
        return " ".join((self.model.__doc__ or "").split())

    @property
    def key(self) -> tuple[str, ...]:
        """The primary key."""
        return tuple(self.model.to_schema().unique or ())

    @property
    def facts(self) -> TableFacts:
        """What the table says of itself; nothing for a table that is not published."""
        return getattr(self.model.Config, "metadata", None) or TableFacts("", derived_from="")

    @property
    def has_license_columns(self) -> bool:
        """Whether its rows say whose they are."""
        return issubclass(self.model, LicenseColumns)

    @property
    def license_ids(self) -> tuple[str, ...]:
        """The licenses of its columns, sorted."""
        return tuple(sorted({c.license_id for c in self.columns}))

    @property
    def columns(self) -> tuple[Column, ...]:
        """The columns in order."""
        return _columns_of(self.model)

    @property
    def rules(self) -> tuple[str, ...]:
        """What must hold of whole rows, in words."""
        return tuple(check.description or str(check.name) for check in self.model.to_schema().checks)

    @property
    def polars_schema(self) -> dict[str, pl.DataType]:
        """Column names and polars types, in order."""
        return {c.name: c.polars_type for c in self.columns}

    def arrow_schema(self, extra: dict[str, str] | None = None) -> pyarrow.Schema:
        """The Arrow schema, with field metadata and, since readers drop that, the same at file level."""
        fields = [
            pyarrow.field(
                c.name,
                _arrow_type(c.polars_type),
                nullable=c.nullable,
                metadata={name: str(value) for name, value in c.about.items()},
            )
            for c in self.columns
        ]
        columns = {c.name: c.about for c in self.columns}
        metadata = {
            "table": self.table,
            "description": self.description,
            "primary_key": json.dumps(list(self.key)),
            "schema_version": SCHEMA_VERSION,
            "columns": json.dumps(columns, ensure_ascii=False, sort_keys=True),
        } | (extra or {})
        if (spans := self.facts.spans) is not None:
            metadata["spans"] = json.dumps(dict(zip(("of", "first_day", "last_day"), spans, strict=True)))
        return pyarrow.schema(fields, metadata={f"hcpcs.{k}": v for k, v in sorted(metadata.items())})


def schema_of(model: type[pa.DataFrameModel], *, without: Collection[str] = ()) -> dict[str, pl.DataType]:
    """Names and types of a table's columns as they are read: all but ``without`` and the license columns.

    The license columns are set when the table is published.
    """
    later = LicenseColumns.to_schema().columns if issubclass(model, LicenseColumns) else ()
    return {c.name: c.polars_type for c in _columns_of(model) if c.name not in later and c.name not in without}


def enforce_contract(contract: Contract, frame: pl.DataFrame) -> pl.DataFrame:
    """Return ``frame`` in the contract's column order, or raise ``ContractViolation`` with every broken place.

    Raises ``TypeError`` for a LazyFrame: pandera would check only its names and types, and say nothing.
    """
    if not isinstance(frame, pl.DataFrame):
        raise TypeError(f"{contract.table}: validate an eager DataFrame, not {type(frame).__name__}")
    present = [name for name in contract.polars_schema if name in frame.columns]
    ordered = frame.select(*present, *(c for c in frame.columns if c not in present))
    try:
        return contract.model.validate(ordered, lazy=True)
    except pa.errors.SchemaErrors as error:
        raise ContractViolation(contract.table, _violations(contract, ordered, error.failure_cases)) from None


def _violations(contract: Contract, frame: pl.DataFrame, cases: pl.DataFrame) -> pl.DataFrame:
    """Pandera's failure cases with the key of the row that each one is in."""
    keys = [k for k in contract.key if k in frame.columns]

    def row_key(index: int | None) -> str:
        if index is None or not keys or index >= frame.height:
            return ""
        return ", ".join(f"{k}={v}" for k, v in frame.select(keys).row(index, named=True).items())

    rows = [
        {
            "column": "the row" if c["schema_context"] == "DataFrameSchema" else str(c["column"]),
            "check": str(c["check"]),
            "value": str(c["failure_case"])[:120],
            "row": row_key(c["index"]),
        }
        for c in cases.iter_rows(named=True)
    ]
    return pl.DataFrame(rows, schema={"column": pl.String, "check": pl.String, "value": pl.String, "row": pl.String})


@cache
def _columns_of(model: type[pa.DataFrameModel]) -> tuple[Column, ...]:
    schema = model.to_schema()
    key = schema.unique or ()
    return tuple(
        Column(
            name=name,
            type=_type_name(c.dtype.type),
            polars_type=c.dtype.type,
            nullable=c.nullable,
            is_key=name in key,
            description=c.description or "",
            source=(c.metadata or {}).get("source", ""),
            lineage=tuple((c.metadata or {}).get("lineage", ())),
            license_id=(c.metadata or {}).get("license", ""),
            constraints=tuple(_in_words(check) for check in c.checks),
            allowed_values=tuple(v for check in c.checks for v in (check.statistics or {}).get("allowed_values", ())),
            max_length=min((n for check in c.checks if (n := _max_length(check)) is not None), default=None),
        )
        for name, c in schema.columns.items()
    )


def _in_words(check: pa.Check) -> str:
    stated = check.statistics or {}
    if "allowed_values" in stated:
        return f"one of {', '.join(map(str, stated['allowed_values']))}"
    if "min_value" in stated:
        return f"at least {stated['min_value']}"
    if "pattern" in stated:
        return f"matches {stated['pattern']}"
    return str(check.name)


def _max_length(check: pa.Check) -> int | None:
    """The length of the longest text of a format, where it is bounded; a list of values may grow, so it has none."""
    pattern = str((check.statistics or {}).get("pattern", ""))
    if not pattern.endswith("$"):
        return None
    _, longest = _parser.parse(pattern).getwidth()
    return longest if longest < _UNBOUNDED else None


def _type_name(dtype: pl.DataType) -> str:
    if isinstance(dtype, pl.List):
        return f"list<{_type_name(dtype.inner)}>"  # type: ignore[arg-type]
    return str(_ARROW[type(dtype) if isinstance(dtype, pl.DataType) else dtype])


def _arrow_type(dtype: pl.DataType) -> pyarrow.DataType:
    if isinstance(dtype, pl.List):
        return pyarrow.list_(_arrow_type(dtype.inner))  # type: ignore[arg-type]
    return _ARROW[type(dtype) if isinstance(dtype, pl.DataType) else dtype]
