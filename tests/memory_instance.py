"""Dagster's instance for a refresh whose run nobody looks at afterwards: in memory, with partitions and no events."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import dagster as dg
import pytest
from dagster._core.instance.types import InstanceType
from dagster._core.launcher.sync_in_memory_run_launcher import SyncInMemoryRunLauncher
from dagster._core.run_coordinator import DefaultRunCoordinator
from dagster._core.snap import execution_plan_snapshot, job_snapshot
from dagster._core.storage.event_log import InMemoryEventLogStorage, in_memory
from dagster._core.storage.noop_compute_log_manager import NoOpComputeLogManager
from dagster._core.storage.root import TemporaryLocalArtifactStorage
from dagster._core.storage.runs import InMemoryRunStorage
from dagster._core.storage.runs import in_memory as runs_in_memory


class _NoEvents(InMemoryEventLogStorage):
    """Keeps partitions alone: half of a small refresh's time is the writing of events and the search for them.

    Who listens to a run's events (the reporter of lineage) gets them all the same.
    """

    asset_records_have_last_observation = True  # or each input's observations are asked for one by one

    def store_event(self, event: object) -> None:
        pass

    def store_event_batch(self, events: object) -> None:
        pass

    def get_asset_records(self, asset_keys: object = None) -> Sequence[Any]:
        return []

    def get_latest_tags_by_partition(self, *_: object, **__: object) -> dict[str, Any]:
        return {}


class _NoPlans(InMemoryRunStorage):
    """Keeps runs and, of their plans, the names: as JSON for the user interface each has half a megabyte."""

    def _add_snapshot(self, snapshot_id: str, snapshot_obj: object, snapshot_type: Any) -> str:
        return super()._add_snapshot(snapshot_id, [], snapshot_type)


def instance_in_memory(*_: object) -> dg.DagsterInstance:
    """As ``dg.DagsterInstance.ephemeral()``, whatever home is named."""
    return dg.DagsterInstance(
        instance_type=InstanceType.EPHEMERAL,
        local_artifact_storage=TemporaryLocalArtifactStorage(),
        run_storage=_NoPlans(),
        event_storage=_NoEvents(),
        compute_log_manager=NoOpComputeLogManager(),
        run_coordinator=DefaultRunCoordinator(),
        run_launcher=SyncInMemoryRunLauncher(),
    )


def forget_events(patch: pytest.MonkeyPatch) -> None:
    """Have this instance for every refresh, without plans' hashes and without a database's stamp of its migrations."""
    patch.setattr(dg.DagsterInstance, "local_temp", staticmethod(instance_in_memory))
    for module in (in_memory, runs_in_memory):
        patch.setattr(module, "stamp_alembic_rev", lambda *_: None)
    for module in (execution_plan_snapshot, job_snapshot):
        patch.setattr(module, "create_snapshot_id", lambda plan: type(plan).__name__)
