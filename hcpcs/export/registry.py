"""The formats that ``hcpcs export`` writes: one module a format in this folder, each with one ``FORMAT``.

Finding formats and putting what they wrote in its place belong here; a format itself belongs in its module.
"""

from __future__ import annotations

import importlib
import os
import pkgutil
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import hcpcs.export
from hcpcs.errors import HcpcsError
from hcpcs.version import Version


class ExportExists(HcpcsError):
    """The destination of an export exists already."""


@dataclass(frozen=True, slots=True)
class ExportOption:
    """A choice that one format offers: on the command line ``--<format>-<name>``."""

    name: str
    choices: tuple[str, ...]
    default: str
    help: str


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """A format: its name (``--<name>``), what it writes, what reads that, and how.

    ``write`` gets the version, a path that does not exist yet, and the value of every option; it makes the file or
    folder there and returns the names of what it wrote. Equal versions give equal bytes. ``shows`` names the
    published columns (``table.column``) whose values the files quote: the license gate applies the rules of those
    columns to them, to each table by its name first. ``numbers`` names columns of delimited files that are numbers
    and not codes, ``headers`` the columns of files that have no header, by the file's name (unpacked). ``suffix`` is
    what a single file is, whatever the user calls it: ``.duckdb``.
    """

    name: str
    summary: str
    read_by: str
    is_folder: bool
    write: Callable[[Version, Path, Mapping[str, str]], list[str]]
    shows: tuple[str, ...] = ()
    options: tuple[ExportOption, ...] = ()
    numbers: tuple[str, ...] = ()
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    suffix: str = ""


@cache
def formats() -> dict[str, ExportFormat]:
    """Every format by its name: one for each module in this folder that has a ``FORMAT``."""
    modules = (importlib.import_module(f"hcpcs.export.{m.name}") for m in pkgutil.iter_modules(hcpcs.export.__path__))
    found = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {form.name: form for form in sorted(found, key=lambda form: form.name)}


def export(
    version: Version,
    form: ExportFormat,
    destination: Path,
    options: Mapping[str, str] | None = None,
    *,
    overwrite: bool = False,
    check: Callable[[Path], object] | None = None,
) -> list[str]:
    """Write ``version`` in one format to ``destination``, whole or not at all; returns what was written.

    ``check`` reads what was written before it takes its place, and raises to refuse it. Raises ``ExportExists``
    where something is there and ``overwrite`` is false, or where a file would replace a folder or a folder a file.
    """
    if destination.exists():
        if destination.is_dir() != form.is_folder:
            raise ExportExists(f"{destination} is a {'folder' if destination.is_dir() else 'file'}; name another place")
        if not overwrite:
            raise ExportExists(f"{destination} exists; --overwrite replaces it")
    destination.parent.mkdir(parents=True, exist_ok=True)
    partial = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    chosen = {option.name: option.default for option in form.options} | dict(options or {})
    try:
        written = form.write(version, partial, chosen)
        if check is not None:
            check(partial)
        _put_in_place(partial, destination)
    finally:
        for leftover in destination.parent.glob(f"{partial.name}*"):
            shutil.rmtree(leftover) if leftover.is_dir() else leftover.unlink()
    return written


def _put_in_place(partial: Path, destination: Path) -> None:
    if not destination.is_dir():
        partial.replace(destination)
        return
    replaced = destination.with_name(f"{partial.name}.replaced")
    destination.rename(replaced)
    partial.rename(destination)
