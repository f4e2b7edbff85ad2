"""What a published version holds, by table and license, with what is withheld: for ``hcpcs licenses``.

Read by pyarrow alone, so that it answers at once; it counts what the files say and judges nothing.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pyarrow.compute
import pyarrow.parquet


def licenses_of_version(folder: Path) -> list[dict[str, Any]]:
    """One row per table and license, sorted: how many columns and rows are under it, and what is left out.

    ``columns``: columns of that license. ``rows``: rows whose own text is under it; of a table without
    ``license_id``, all rows, under each license of its columns. ``withheld_rows``: rows marked `withheld`.
    ``masked_fields``: fields left null or short of elements, all together; ``masked`` counts them by column.
    """
    found = []
    for path in sorted(folder.glob("*/*.parquet")):
        with pyarrow.parquet.ParquetFile(path) as file:
            schema, rows = file.schema_arrow, file.metadata.num_rows
            flags = [n for n in ("license_id", "redistribution", "withheld_fields") if n in schema.names]
            table = file.read(columns=flags)
        columns = Counter((one.metadata or {}).get(b"license", b"").decode() for one in schema)
        columns.pop("", None)
        has_flags = len(flags) == 3
        by_row = _by_license(table) if has_flags else {}
        for license_id in sorted({*columns, *by_row}):
            counted = by_row.get(license_id, {} if has_flags else {"rows": rows})
            found.append(
                {
                    "table": path.stem,
                    "license_id": license_id,
                    "columns": columns.get(license_id, 0),
                    "rows": counted.get("rows", 0),
                    "withheld_rows": counted.get("withheld_rows", 0),
                    "masked_fields": sum(counted.get("masked", {}).values()),
                    "masked": dict(sorted(counted.get("masked", {}).items())),
                }
            )
    return found


def _by_license(table: pyarrow.Table) -> dict[str, dict[str, Any]]:
    counted: dict[str, dict[str, Any]] = {}
    for license_id in pyarrow.compute.unique(table["license_id"]).to_pylist():
        rows = table.filter(pyarrow.compute.equal(table["license_id"], license_id))
        withheld = pyarrow.compute.sum(pyarrow.compute.equal(rows["redistribution"], "withheld")).as_py()
        names = pyarrow.compute.value_counts(pyarrow.compute.list_flatten(rows["withheld_fields"])).to_pylist()
        counted[license_id] = {
            "rows": rows.num_rows,
            "withheld_rows": withheld or 0,
            "masked": {name["values"]: name["counts"] for name in names},
        }
    return counted
