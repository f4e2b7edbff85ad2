"""Dagster's SQLite databases, kept open for a run, so that not every event opens one and syncs it to the disk."""

from __future__ import annotations

import sqlite3
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import Dialect, Engine, event


class _Lent(sqlite3.Connection):
    """A connection that stays open when it is closed, and can be lent again."""

    give_back: Callable[[_Lent], None] | None = None

    def close(self) -> None:
        if self.give_back is None:
            super().close()
        else:
            self.rollback()
            self.give_back(self)


@contextmanager
def kept_open() -> Iterator[None]:
    """SQLite databases that SQLAlchemy opens meanwhile stay open, and are synced to the disk at the end.

    Dagster opens and closes a database 900 times in a run of 270 events: each time SQLite reads its schema, and
    whenever the last connection closes, it copies its log into the database and syncs both. A connection that is kept
    does neither. Each event is in its file as soon as Dagster stores it, so that a killed process loses none.
    """
    made: list[_Lent] = []
    free: dict[str, list[_Lent]] = defaultdict(list)

    def lend(dialect: Dialect, _record: Any, arguments: list[Any], options: dict[str, Any]) -> _Lent | None:
        if dialect.name != "sqlite" or (database := arguments[0]) == ":memory:":
            return None  # as it would without this: a home whose storage is PostgreSQL
        try:
            return free[database].pop()
        except IndexError:
            lent = sqlite3.connect(database, **options | {"factory": _Lent, "check_same_thread": False})
        made.append(lent)
        lent.give_back = free[database].append
        lent.execute("PRAGMA synchronous = NORMAL")
        return lent

    event.listen(Engine, "do_connect", lend)
    try:
        yield
    finally:
        event.remove(Engine, "do_connect", lend)
        for lent in made:
            lent.give_back = None
        for connections in free.values():  # one that is still lent closes when it is given back
            for connection in connections:
                connection.close()
