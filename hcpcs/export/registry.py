"""The formats that ``hcpcs export`` writes: one module a format in this folder, each with one ``FORMAT``.

Finding formats and putting what they wrote in its place belong here; a format itself belongs in its module.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import glob
import importlib
import os
import pkgutil
import re
import shutil
import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import hcpcs.export
from hcpcs.errors import HcpcsError, in_one_line
from hcpcs.export.notice import NOTICE
from hcpcs.files import sync
from hcpcs.manifest import NAME, OPEN, RESTRICTED
from hcpcs.version import Version


class ExportExists(HcpcsError):
    """The destination of an export exists already."""


class ExportFailed(HcpcsError):
    """An export cannot be written; what was at its destination is unchanged."""


@dataclass(frozen=True, slots=True)
class ExportOption:
    """A choice that one format offers: on the command line ``--<format>-<name>``."""

    name: str
    choices: tuple[str, ...]
    default: str
    help: str


@dataclass(frozen=True, slots=True)
class ExportFormat:
    """A format: its name (``--<name>``), what it writes, and how.

    ``write`` gets the version, a path that does not exist yet, and the value of every option; it makes the file or
    folder there and returns the names of what it wrote. Equal versions give equal bytes, unless ``is_reproducible``
    is false. ``shows`` names the published columns (``table.column``) whose values the files quote: the license gate
    applies the rules of those columns to them, to each table by its name first. ``numbers`` names columns of
    delimited files that are numbers and not codes, ``headers`` the columns of files that have no header, by the
    file's name (unpacked). ``suffix`` is what a single file is, whatever the user calls it: ``.duckdb``.
    """

    name: str
    summary: str
    is_folder: bool
    write: Callable[[Version, Path, Mapping[str, str]], list[str]]
    shows: tuple[str, ...] = ()
    options: tuple[ExportOption, ...] = ()
    numbers: tuple[str, ...] = ()
    headers: Mapping[str, Sequence[str]] = field(default_factory=dict)
    suffix: str = ""
    is_reproducible: bool = True


@cache
def formats() -> dict[str, ExportFormat]:
    """Every format by its name: one for each module in this folder that has a ``FORMAT``."""
    modules = (importlib.import_module(f"hcpcs.export.{m.name}") for m in pkgutil.iter_modules(hcpcs.export.__path__))
    found = [module.FORMAT for module in modules if hasattr(module, "FORMAT")]
    return {form.name: form for form in sorted(found, key=lambda form: form.name)}


def _is_version(folder: Path) -> bool:
    return (folder / NAME).exists() and any((folder / tier).is_dir() for tier in (OPEN, RESTRICTED))


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
    where something is there and ``overwrite`` is false, where a file would replace a folder or a folder a file, or a
    folder that no export made; ``ExportFailed`` where the disk is full, or the place cannot be written to or is a
    version's.
    """
    if re.match(r"\w{2,}:/", str(destination)):  # a path has one slash where a URL has two
        url = str(destination).replace(":/", "://", 1)
        raise ExportFailed(f"{url}: an export is a file or folder here; copy it to where it shall be")
    if any(_is_version(folder) for folder in (destination.resolve(), *destination.resolve().parents)):
        raise ExportFailed(
            f"{destination} lies in a version, which has its own files and no others; name another place"
        )
    if destination.exists():
        if destination.is_dir() != form.is_folder:
            raise ExportExists(f"{destination} is a {'folder' if destination.is_dir() else 'file'}; name another place")
        if not overwrite:
            raise ExportExists(f"{destination} exists; --overwrite replaces it")
        if form.is_folder and any(destination.iterdir()) and not (destination / NOTICE).exists():
            raise ExportExists(
                f"{destination} is no export, it has no {NOTICE}; name another place, or remove it yourself"
            )
    named, destination = destination, destination.resolve()
    partial = destination.with_name(f".{destination.name}.{os.getpid()}.part")
    chosen = {option.name: option.default for option in form.options} | dict(options or {})
    try:
        destination.parent.mkdir(parents=True, exist_ok=True)
        _clear_what_was_killed(destination)
        written = form.write(version, partial, chosen)
        if check is not None:
            check(partial)
        _sync(partial)
        _put_in_place(partial, destination)
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else in_one_line(error)
        _let_go(error)
        raise ExportFailed(f"{named} cannot be written: {why}; what was there is unchanged") from error
    except HcpcsError as error:
        _let_go(error)
        raise
    finally:
        for leftover in _leftovers(destination, f"{os.getpid()}.part*"):
            _remove(leftover)
    return written


def _let_go(error: BaseException) -> None:
    """Close what a failed writer left open: a library's file that cannot be closed either would report that later."""
    report, sys.unraisablehook = sys.unraisablehook, lambda _: None
    cause: BaseException | None = error
    try:
        while cause is not None:
            traceback.clear_frames(cause.__traceback__)
            cause = cause.__context__
        gc.collect()
    finally:
        sys.unraisablehook = report


def _put_in_place(partial: Path, destination: Path) -> None:
    """Let what was written take its place: at every moment the old or the new is there, whole."""
    if not destination.is_dir():
        partial.replace(destination)
    elif not _exchanged(partial, destination):
        replaced = partial.with_name(f"{partial.name}.replaced")
        destination.rename(replaced)
        try:
            partial.rename(destination)
        except BaseException:
            if not destination.exists():
                replaced.rename(destination)
            raise
    sync(destination.parent)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one step; false where the system or its file system cannot."""
    if not sys.platform.startswith("linux"):
        return False
    try:
        exchange = ctypes.CDLL(None, use_errno=True).renameat2
    except (AttributeError, OSError):
        return False
    here, flag = -100, 2  # AT_FDCWD, RENAME_EXCHANGE
    return bool(exchange(here, os.fsencode(one), here, os.fsencode(other), flag) == 0)


def _leftovers(destination: Path, pattern: str) -> list[Path]:
    return sorted(destination.parent.glob(f".{glob.escape(destination.name)}.{pattern}"))


def _clear_what_was_killed(destination: Path) -> None:
    """Remove what exports left that were killed; one that was killed between two renames is undone."""
    for leftover in _leftovers(destination, "*.part*"):
        found = re.search(r"\.([0-9]+)\.part(\.replaced)?", leftover.name)
        if found is None or _is_running(int(found[1])):
            continue
        if found[2] and not destination.exists():
            leftover.rename(destination)
        else:
            _remove(leftover)


def _is_running(process: int) -> bool:
    if os.name != "posix":  # elsewhere the question would end the process
        return True
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _remove(path: Path) -> None:
    with contextlib.suppress(FileNotFoundError):
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _sync(path: Path) -> None:
    """Let the disk have all that was written."""
    for one in [path, *path.rglob("*")] if path.is_dir() else [path]:
        sync(one)
