"""Writes that fail, of the outputs or of Dagster's storage, reported with what was published by then."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from hcpcs.version_files import FileDamaged
from sources.errors import SourceError

#: What the system says where nothing more can be written: no room, a quota, a limit on the size of files.
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}

#: Modules whose errors come from the database that Dagster keeps its runs in.
DATABASES = ("sqlalchemy.", "dagster_postgres.", "sqlite3", "psycopg2")


class StorageFailed(SourceError):
    """The folder of outputs cannot be written, or Dagster's storage cannot be set up or written: full, most often."""


@contextlib.contextmanager
def failed_writes_reported(outputs: Outputs, home: Path) -> Iterator[None]:
    """Say of a full disk or a failing database which it is and what was published, whichever write met it."""
    try:
        before = latest_version(outputs)
    except FileDamaged:  # the refresh mends it
        before = None
    try:
        yield
    except Exception as error:
        if (number := _errno_of(error)) in _FULL:
            why = f"{outputs.folder} cannot be written: {os.strerror(number)}; make room and refresh again"
        elif type(error).__module__.startswith(DATABASES):  # by name: Dagster, which brings them, may not be imported
            cause = error.__cause__ if isinstance(error.__cause__, Exception) else error
            why = f"Dagster's storage, set up in {home}, fails: {getattr(cause, 'orig', None) or cause}"
            if damaged := ", ".join(map(str, _damaged_databases(home))):
                why += f"; damaged: {damaged}: remove it, Dagster begins a new record of its runs"
        else:
            raise
        now = latest_version(outputs)
        if now == before:
            done = "nothing was published" + (f", the newest version is still {now}" if now else "")
        else:
            done = f"version {now} was published before that"
        raise StorageFailed(f"{why}\n  {done}") from error


def _damaged_databases(home: Path) -> Iterator[Path]:
    """The databases in Dagster's home that SQLite cannot read."""
    import sqlite3

    for file in sorted(home.rglob("*.db")):
        try:
            with contextlib.closing(sqlite3.connect(file)) as database:
                is_whole = database.execute("PRAGMA quick_check").fetchone() == ("ok",)
        except sqlite3.DatabaseError as error:
            is_whole = isinstance(error, sqlite3.OperationalError)  # in use by another process
        if not is_whole:
            yield file


def _errno_of(error: Exception) -> int:
    """The system's number of an error, which polars has in words alone; 0 if there is none."""
    if isinstance(error, OSError):
        return error.errno or 0
    found = re.search(r"\(os error (\d+)\)", str(error)) if isinstance(error, pl.exceptions.PolarsError) else None
    return int(found[1]) if found else 0
