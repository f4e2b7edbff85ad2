"""Dagster's runs on a PostgreSQL server, set up as `docs/deploy.md` says."""

from __future__ import annotations

import re
from pathlib import Path

import dagster as dg
import pytest
import sqlalchemy
from conftest import REPOSITORY, Version, manifest_of, persistent_instance

from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.refresh.failed_writes import StorageFailed
from pipeline.refresh.refresh import refresh

pytestmark = pytest.mark.slow  # a further place of what runs in SQLite in every other test


def settings_of_the_documentation() -> str:
    """The `dagster.yaml` for teams, as it stands in the documentation."""
    blocks = re.findall(r"```yaml\n(.*?)```", (REPOSITORY / "docs" / "deploy.md").read_text("utf-8"), re.DOTALL)
    (found,) = [block for block in blocks if "postgres_url" in block]
    return str(found)


def test_a_refresh_on_postgresql_leaves_its_run_and_materializations_there(
    postgres_url: str, sample: Version, sample_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, outputs = tmp_path / "dagster", Outputs(tmp_path / "outputs")
    home.mkdir()
    (home / "dagster.yaml").write_text(settings_of_the_documentation())
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", postgres_url)
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")  # as the command line has it
    monkeypatch.setattr(dg.DagsterInstance, "local_temp", staticmethod(persistent_instance))
    done = refresh(outputs, offered=sample_folder, dagster_home=home)

    assert manifest_of(outputs.version(latest_version(outputs) or ""))["content"] == sample.content
    assert not list(home.rglob("*.db")) and not outputs.dagster_home.exists()
    with dg.DagsterInstance.from_config(str(home)) as instance:
        (run,) = instance.get_runs()
        assert (run.job_name, run.status) == ("refresh", dg.DagsterRunStatus.SUCCESS)
        assert sorted(instance.get_dynamic_partitions("releases")) == list(done.read)
        assert instance.get_materialized_partitions(dg.AssetKey("staged_records")) == set(done.read)
        event = instance.get_latest_materialization_event(dg.AssetKey("published_version"))
        assert event is not None and event.asset_materialization is not None
        assert event.asset_materialization.metadata["version"].value == done.published.version
    engine = sqlalchemy.create_engine(postgres_url)
    with engine.connect() as connection:
        assert connection.execute(sqlalchemy.text("SELECT run_id, status FROM runs")).all() == [(run.run_id, "SUCCESS")]
    engine.dispose()


def test_a_postgresql_server_that_is_away_is_said_and_nothing_is_published(
    sample_folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, outputs = tmp_path / "dagster", Outputs(tmp_path / "outputs")
    home.mkdir()
    (home / "dagster.yaml").write_text(settings_of_the_documentation())
    monkeypatch.setenv("DAGSTER_POSTGRES_URL", f"postgresql+psycopg2://postgres@/postgres?host={tmp_path / 'nowhere'}")
    monkeypatch.setattr(dg.DagsterInstance, "local_temp", staticmethod(persistent_instance))
    with pytest.raises(StorageFailed, match=r"Dagster's storage.*nowhere") as refused:
        refresh(outputs, offered=sample_folder, dagster_home=home)
    assert "nothing was published" in str(refused.value)
    assert latest_version(outputs) is None
