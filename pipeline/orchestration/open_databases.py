"""Dagster's SQLite databases, kept open for a run, so that not every event is synced to the disk."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Engine, event


@contextmanager
def kept_open() -> Iterator[None]:
    """SQLite databases that SQLAlchemy opens meanwhile stay open, and are synced to the disk at the end.

    Dagster opens and closes a database 900 times in a run of 270 events. Whenever the last connection closes, SQLite
    copies its log into the database and syncs both; with one connection more that happens once. Each event is in its
    file as soon as Dagster stores it, so that a killed process loses none.
    """
    kept: dict[str, sqlite3.Connection] = {}

    def keep(connection: Any, _record: Any) -> None:
        if not isinstance(connection, sqlite3.Connection):  # a home whose storage is PostgreSQL
            return
        connection.execute("PRAGMA synchronous = NORMAL")
        database = connection.execute("PRAGMA database_list").fetchone()[2]
        if database not in kept:
            kept[database] = sqlite3.connect(database, check_same_thread=False)
        kept[database].execute("SELECT count(*) FROM sqlite_schema").fetchone()  # what opens its log, once there is one

    event.listen(Engine, "connect", keep)
    try:
        yield
    finally:
        event.remove(Engine, "connect", keep)
        for connection in kept.values():
            connection.close()
