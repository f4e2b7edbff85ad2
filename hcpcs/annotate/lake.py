"""Folders of Delta Lake and Iceberg: which files are the table is read from its log, not from the folder.

The log is read by ``deltalake`` and ``pyiceberg``, the extra ``lake``; without them such a folder is refused.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote, urlparse

from hcpcs.annotate.csv_text import ClaimsUnreadable

_METADATA = re.compile(r"(?:(?P<root>.*)/)?metadata/(?:v|0*)?(?P<number>[0-9]+)[^/]*\.metadata\.json")


def tables_in(names: Iterable[str]) -> dict[str, str]:
    """The folders among files' names that are tables with a log: their format by folder, ``""`` for the top."""
    found: dict[str, str] = {}
    for name in names:
        parts = name.split("/")
        for mark, kind in (("_delta_log", "Delta Lake"), (".hoodie", "Hudi")):
            if mark in parts[:-1]:
                found["/".join(parts[: parts.index(mark)])] = kind
        if match := _METADATA.fullmatch(name):
            found[match["root"] or ""] = "Iceberg"
    return found


def live_files(kind: str, place: str, names: Iterable[str]) -> list[str]:
    """Those of ``names``, files below ``place``, that the table's newest state consists of.

    Raises ``ClaimsUnreadable`` where the log cannot be read, or says more than which files are the table.
    """
    known = set(names)
    if kind == "Delta Lake":
        paths = _delta_files(place)
    elif kind == "Iceberg":
        matches = [(int(m["number"]), n) for n in known if (m := _METADATA.fullmatch(n)) and not m["root"]]
        paths = _iceberg_files(place, max(matches)[1])
    else:
        raise ClaimsUnreadable(f"{place}: is a table of {kind}; export its current state to Parquet, and name that")
    top = _path_of(place).rstrip("/") + "/"
    live = sorted(_path_of(path).removeprefix(top) for path in paths)
    if lost := [name for name in live if name not in known]:
        raise ClaimsUnreadable(f"{place}: the log of {kind} names {lost[0]}, which is not in the folder")
    return live


def _delta_files(place: str) -> list[str]:
    deltalake = _installed("deltalake", place, "Delta Lake")
    try:
        table = deltalake.DeltaTable(place)
        configuration = table.metadata().configuration
        if len(table.deletion_vectors().read_all()):
            raise _more(place, "deletion vectors")
        if configuration.get("delta.columnMapping.mode", "none") != "none":
            raise _more(place, "columns of other names than their files'")
        return list(table.file_uris())
    except deltalake.exceptions.DeltaError as error:
        raise ClaimsUnreadable(f"{place}: the log of Delta Lake cannot be read: {_first_line(error)}") from error


def _iceberg_files(place: str, metadata: str) -> list[str]:
    table = _installed("pyiceberg.table", place, "Iceberg")
    try:
        tasks = list(table.StaticTable.from_metadata(f"{place.rstrip('/')}/{metadata}").scan().plan_files())
    except (OSError, ValueError) as error:
        raise ClaimsUnreadable(f"{place}: the log of Iceberg cannot be read: {_first_line(error)}") from error
    if any(task.delete_files for task in tasks):
        raise _more(place, "deletes beside its files")
    return [task.file.file_path for task in tasks]


def _installed(module: str, place: str, kind: str) -> Any:
    try:
        return importlib.import_module(module)
    except ImportError:
        raise ClaimsUnreadable(
            f"{place}: is a table of {kind}, whose log says which files are its current state; "
            "install hcpcs[lake] to read it, or export it to Parquet"
        ) from None


def _more(place: str, what: str) -> ClaimsUnreadable:
    return ClaimsUnreadable(f"{place}: the table has {what}; export its current state to Parquet, and name that")


def _path_of(place: str) -> str:
    parsed = urlparse(place)
    return unquote(parsed.path) if parsed.scheme == "file" else place


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
