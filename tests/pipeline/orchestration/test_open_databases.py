"""Dagster's databases in a refresh: open until it ends, and whole however the process ends."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy as sa
from conftest import persistent_instance
from made_up import posting, record

from hcpcs.errors import HcpcsError
from hcpcs.paths import Outputs
from pipeline.orchestration.open_databases import kept_open
from pipeline.refresh.run_job import open_instance

#: A run over the log in the folder that is its argument, which is killed after its first asset.
KILLED = """
import os, sys
from pathlib import Path
import dagster as dg
from pipeline.refresh.run_job import open_instance

@dg.asset
def first(): ...

@dg.asset(deps=[first])
def second():
    os.kill(os.getpid(), 9)

with open_instance(Path(sys.argv[1])) as instance:
    dg.materialize([first, second], instance=instance)
"""


@pytest.fixture(autouse=True)
def on_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dg.DagsterInstance, "local_temp", staticmethod(persistent_instance))


def test_a_killed_run_leaves_its_events_and_a_log_that_goes_on(tmp_path: Path) -> None:
    done = subprocess.run([sys.executable, "-c", KILLED, tmp_path], capture_output=True, text=True, timeout=60)
    assert done.returncode == -9, done.stderr
    with open_instance(tmp_path) as instance:
        assert dg.materialize([_asset("third")], instance=instance).success
    assert not (tmp_path / "history" / "runs" / "index.db-wal").exists(), "not synced to the disk when the run ended"
    with dg.DagsterInstance.from_config(str(tmp_path)) as instance:  # with Dagster's own storage
        made = {
            name: instance.get_latest_materialization_event(dg.AssetKey(name)) for name in ("first", "second", "third")
        }
        assert [name for name, event in made.items() if event is not None] == ["first", "third"]
        assert sorted(r.dagster_run.status.value for r in instance.get_run_records()) == ["STARTED", "SUCCESS"]


def test_databases_stay_open_between_events_in_a_home_with_settings_of_its_own_too(tmp_path: Path) -> None:
    (tmp_path / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    log = tmp_path / "history" / "runs" / "index.db-wal"
    open_between_events: list[bool] = []

    @dg.asset
    def looks() -> None:
        open_between_events.append(log.exists())  # SQLite removes it when the last connection closes

    with open_instance(tmp_path) as instance:
        assert dg.materialize([looks], instance=instance).success
    assert open_between_events == [True]
    assert not log.exists()


def test_a_connection_is_lent_to_one_at_a_time_and_may_outlast_the_run(tmp_path: Path) -> None:
    def opened() -> sa.Connection:
        return sa.create_engine(f"sqlite:///{tmp_path / 'some.db'}", poolclass=sa.NullPool).connect()

    with kept_open():
        with opened() as connection:
            first = connection.connection.dbapi_connection
            connection.execute(sa.text("CREATE TABLE numbers (n)"))
        one, other = opened(), opened()
        assert one.connection.dbapi_connection is first, "kept and lent again"
        assert other.connection.dbapi_connection is not first, "two at once would share a transaction"
        one.execute(sa.text("INSERT INTO numbers VALUES (1)"))
        other.close()
        one.close()
    with opened() as connection:
        assert connection.execute(sa.text("SELECT count(*) FROM numbers")).scalar() == 0, "it was not committed"
    with kept_open():
        late = opened()
    assert late.execute(sa.text("SELECT count(*) FROM numbers")).scalar() == 0
    late.close()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["history/runs/index.db", "schedules/schedules.db", "history/runs.db"])
def test_a_damaged_database_is_named_with_the_way_out(own_sample: Outputs, tmp_path: Path, name: str) -> None:
    database = own_sample.dagster_home / name
    posting("2026-01", record("J0570")).write(tmp_path / "offered")

    def refreshed() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "hcpcs.cli.main", "refresh", "--from", tmp_path / "offered", "--accept-losses"]
        command += ["--outputs", own_sample.folder]
        return subprocess.run(command, capture_output=True, text=True, check=False)

    pages = database.read_bytes()
    for content in (b"no database", pages[:100] + b"\xff" * len(pages[100:])):
        database.write_bytes(content)
        said = refreshed()
        assert (said.returncode, f"; damaged: {database}: remove it" in said.stderr) == (1, True), said.stderr
    database.unlink()
    assert refreshed().returncode == 0


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ("storage: [bad\n", "expected ',' or ']'"),
        ("runs: 5\n", 'unexpected config entry "runs"'),
        ("run_storage: {module: not_installed, class: Any}\n", "not_installed"),
    ],
)
def test_settings_that_dagster_cannot_use_are_named(tmp_path: Path, settings: str, what: str) -> None:
    (tmp_path / "dagster.yaml").write_text(settings)
    # As `hcpcs refresh` opens it; an error of this kind is printed in one line.
    with pytest.raises(HcpcsError, match=re.escape(str(tmp_path / "dagster.yaml"))) as refused, open_instance(tmp_path):
        pass
    assert what in str(refused.value)
    assert "\n" not in str(refused.value)


def _asset(name: str) -> dg.AssetsDefinition:
    @dg.asset(name=name)
    def made() -> None: ...

    return made
