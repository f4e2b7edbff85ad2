"""Dagster's event log while a refresh writes it: in the same files, through one connection to each for the run."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.pool import StaticPool


class OneConnectionEventLog(SqliteEventLogStorage):
    """Dagster's own event log in SQLite, which opens and closes a database for each event, and so syncs it to the disk.

    A refresh has some 270 events: that is 2,000 syncs and a tenth of its processor time. With one connection the log is
    whole whenever the process or the machine stops, and is synced when the run ends; only then do pages of the user
    interface that are open on the run see its events.
    """

    def __init__(self, base_dir: str, **more: Any) -> None:
        self._engines: dict[str, Engine] = {}
        self._one_at_a_time = Lock()
        super().__init__(base_dir, **more)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> OneConnectionEventLog:
        """What Dagster calls with the settings of the instance."""
        return cls(inst_data=inst_data, **config_value)

    @contextmanager
    def run_connection(self, run_id: str | None = None) -> Iterator[Connection]:
        """The connection to a run's database, in a transaction of its own."""
        database = str(run_id)
        if database not in self._engines:
            with super().run_connection(database):  # makes what is not there yet
                pass
            self._engines[database] = create_engine(
                self.conn_string_for_shard(database),
                poolclass=StaticPool,
                connect_args={"check_same_thread": False, "timeout": 30},
            )
            with self._engines[database].connect() as connection:
                connection.exec_driver_sql("PRAGMA synchronous = NORMAL")
        with self._one_at_a_time, self._engines[database].begin() as connection:
            yield connection

    def index_connection(self) -> Any:
        """The connection to the database of what all runs have together."""
        return self.run_connection("index")

    def dispose(self) -> None:
        """Close the connections, which syncs the log to the disk."""
        super().dispose()
        for engine in self._engines.values():
            engine.dispose()
