"""``hcpcs export --csv``: every table as a CSV file."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pyarrow
import pyarrow.csv

from hcpcs.export.registry import ExportFormat
from hcpcs.version import Version


def write_csv(version: Version, folder: Path, options: Mapping[str, str]) -> list[str]:
    """Write every table as ``<folder>/<table>.csv``, UTF-8 with a header; returns the tables' names.

    Null is an empty field and an empty text is ``""``; a list is written as JSON, a date as YYYY-MM-DD.
    """
    folder.mkdir()
    for name in version.paths:
        pyarrow.csv.write_csv(_flat(version.table(name)), folder / f"{name}.csv")
    return list(version.paths)


def _flat(table: pyarrow.Table) -> pyarrow.Table:
    """The table with lists as JSON."""
    for i, field in enumerate(table.schema):
        if pyarrow.types.is_list(field.type):
            texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in table[i].to_pylist()]
            table = table.set_column(i, field.name, pyarrow.array(texts, pyarrow.string()))
    return table


FORMAT = ExportFormat(
    name="csv",
    summary="a folder of CSV files, one a table",
    read_by="spreadsheets, databases and dataframes",
    is_folder=True,
    write=write_csv,
)
