"""``hcpcs export --csv``: every table as a CSV file, as a Data Package."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.compute as pc
import pyarrow.csv

from hcpcs.errors import HcpcsError
from hcpcs.export.notice import license_notice
from hcpcs.export.registry import ExportFormat, ExportOption
from hcpcs.manifest import json_bytes
from hcpcs.version import Version

_DATAPACKAGE, _NOTICE, _LICENSES = "datapackage.json", "NOTICE.txt", "LICENSES"
#: How a cell begins that spreadsheets read as a formula, also after blanks and in the signs' full-width forms.
_FORMULA = r"^\s*[=+\-@＝＋－＠]|^[\t\r\n]"
_KEEP, _GUARD = "keep", "guard"


def write_csv(version: Version, folder: Path, options: Mapping[str, str]) -> list[str]:
    """Write every table as ``<folder>/<table>.csv`` with ``datapackage.json`` and licenses; returns the files' names.

    UTF-8 with a header. Null is an empty field and an empty text is ``""``; a list is written as JSON, a date as
    YYYY-MM-DD. ``NOTICE.txt`` counts the texts that spreadsheets read as formulas; an apostrophe is written before
    each, unless ``formulas=keep``. A version that has no ``datapackage.json``, as of the restricted tier, gives none.
    Raises ``HcpcsError`` where it is damaged.
    """
    is_guarded, package = options["formulas"] == _GUARD, _data_package(version)
    folder.mkdir()
    formulas: dict[str, int] = {}
    for name in version.paths:
        table, found = _flat(version.table(name), is_guarded)
        formulas |= {f"{name}.{column}": count for column, count in found.items()}
        pyarrow.csv.write_csv(table, folder / f"{name}.csv")
    if package is not None:
        for resource in package["resources"]:
            resource |= _file_of(folder / f"{resource['name']}.csv")
            resource["schema"]["fields"] = list(map(_field_of_text, resource["schema"]["fields"]))
        (folder / _DATAPACKAGE).write_bytes(json_bytes(package))
    (folder / _LICENSES).mkdir()
    for path in (version.folder / _LICENSES).glob("*.txt"):
        shutil.copyfile(path, folder / _LICENSES / path.name)
    (folder / _NOTICE).write_text(license_notice(version, _about(formulas, is_guarded)), encoding="utf-8")
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


def _data_package(version: Version) -> dict[str, Any] | None:
    """The version's own Data Package, whose resources are Parquet; None where it has none."""
    if _DATAPACKAGE not in version.manifest.files:
        return None
    try:
        found: dict[str, Any] = json.loads((version.folder / _DATAPACKAGE).read_bytes())
    except (FileNotFoundError, ValueError):
        place = version.folder / _DATAPACKAGE
        raise HcpcsError(f"{place} is missing or damaged; `hcpcs verify` lists all damage") from None
    return found


def _file_of(path: Path) -> dict[str, Any]:
    """What a resource of a Data Package says of a CSV file."""
    data = path.read_bytes()
    return {
        "path": path.name,
        "format": "csv",
        "mediatype": "text/csv",
        "encoding": "utf-8",
        "bytes": len(data),
        "hash": f"sha256:{hashlib.sha256(data).hexdigest()}",
    }


def _field_of_text(field: Mapping[str, Any]) -> dict[str, Any]:
    """A column's description for CSV: an empty field is no missing value where the column has none."""
    is_whole = field["type"] == "string" and field.get("constraints", {}).get("required")
    return {**field, "missingValues": []} if is_whole else dict(field)


def _flat(table: pyarrow.Table, is_guarded: bool) -> tuple[pyarrow.Table, dict[str, int]]:
    """The table with lists as JSON, and by column how many texts begin as formulas do."""
    found = {}
    for i, field in enumerate(table.schema):
        if pyarrow.types.is_list(field.type):
            texts = [None if value is None else json.dumps(value, ensure_ascii=False) for value in table[i].to_pylist()]
            table = table.set_column(i, field.name, pyarrow.array(texts, pyarrow.string()))
        elif pyarrow.types.is_string(field.type):
            is_formula = pc.fill_null(pc.match_substring_regex(table[i], _FORMULA), False)
            count = pc.sum(is_formula).as_py() or 0
            if count:
                found[field.name] = count
            if count and is_guarded:
                guarded = pc.binary_join_element_wise("'", table[i], "")
                table = table.set_column(i, field.name, pc.if_else(is_formula, guarded, table[i]))
    return table, found


def _about(formulas: Mapping[str, int], is_guarded: bool) -> str:
    texts = ", ".join(f"{column} ({count:,})" for column, count in formulas.items()) or "none"
    done = "Written with an apostrophe in front" if is_guarded else "Written as they are"
    return (
        "HCPCS Level II as a dated record, a CSV file for each table.\n"
        f"Texts that a spreadsheet reads as a formula: {texts}. {done}."
    )


FORMAT = ExportFormat(
    name="csv",
    summary="a folder of CSV files, one a table, as a Data Package",
    is_folder=True,
    write=write_csv,
    options=(
        ExportOption(
            "formulas",
            (_GUARD, _KEEP),
            _GUARD,
            "Texts that spreadsheets read as formulas: with an apostrophe in front, or as they are.",
        ),
    ),
)
