"""The job ``refresh``, run in this process on Dagster's persistent instance: its home, its partitions, its errors."""

from __future__ import annotations

import gc
import textwrap
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hcpcs.errors import HcpcsError
from hcpcs.paths import Outputs
from pipeline.lineage.columns import tables
from pipeline.orchestration.fingerprints import reference_fingerprint
from pipeline.orchestration.run_context import RunContext
from pipeline.orchestration.staged_tables import StagedTables
from pipeline.refresh.failed_writes import DATABASES, StorageFailed
from pipeline.versions.parquet import content_hash, read_table
from pipeline.versions.store import read_state, write_state
from schemas.contract import ContractViolation

if TYPE_CHECKING:
    import dagster as dg

    from pipeline.orchestration.openlineage_settings import OpenLineageSettings

_DAGSTER_SETTINGS = """\
telemetry: {enabled: false}
nux: {enabled: false}
# Runs are made in process by `hcpcs refresh`, which prints its own progress.
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


class ChecksFailed(HcpcsError):
    """Checks across releases failed; ``failed`` names each, with what it measured."""

    def __init__(self, failed: Mapping[str, str]) -> None:
        self.failed = dict(failed)
        super().__init__("\n".join(f"{name}: {text}" for name, text in self.failed.items()))


def run_job(
    outputs: Outputs, run_context: RunContext, home: Path, openlineage: OpenLineageSettings | None
) -> list[str]:
    """Run the job ``refresh`` on the persistent instance; returns the releases it read."""
    stale = StagedTables(outputs, run_context).stale_releases()
    with run_context.reading_in_advance(stale):
        return _run_job_on(stale, outputs, run_context, home, openlineage)


def _run_job_on(
    stale: list[str], outputs: Outputs, run_context: RunContext, home: Path, openlineage: OpenLineageSettings | None
) -> list[str]:
    run_context.progress("starting Dagster")
    warnings.filterwarnings("ignore", module="dagster")
    import dagster as dg

    from pipeline.orchestration.assemble import assemble
    from pipeline.orchestration.assets.reference import REFERENCE_TABLES

    errors: list[BaseException] = []

    @dg.failure_hook
    def keep_error(context: dg.HookContext) -> None:
        if context.op_exception is not None:
            errors.append(context.op_exception)

    given = dg.ResourceDefinition.hardcoded_resource(run_context)
    definitions = assemble(outputs=outputs.folder, run_context=given, openlineage=openlineage, hooks={keep_error})
    job = definitions.resolve_job_def("refresh")
    gc.freeze()  # until the end of the refresh: what was imported stays
    with open_instance(home) as instance:
        keys = _align_partitions(instance, list(run_context.releases()))
        kept = _kept_reference_tables(outputs, run_context)
        quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
        chosen: dict[str, Any] = {"asset_selection": _to_build(kept, with_staged=bool(stale))}
        read: list[str] = []
        if stale:
            # Dagster knows ranges in the order of insertion: from the first stale release to the last, all are read.
            places = [keys.index(release_id) for release_id in stale]
            read = keys[min(places) : max(places) + 1]
            ends = {"dagster/asset_partition_range_start": read[0], "dagster/asset_partition_range_end": read[-1]}
            chosen["tags"] = ends
        result = job.execute_in_process(instance=instance, run_config=quiet, raise_on_error=False, **chosen)
        if not result.success:
            _show_only_loaded_releases(instance, run_context)
            _raise_cause(errors, result)
        for release_id in run_context.left_out:
            instance.delete_dynamic_partition("releases", release_id)
            StagedTables(outputs, run_context).forget(release_id)
        if not kept:
            made = {table: reference_fingerprint(outputs.work / f"{table}.parquet") for table in REFERENCE_TABLES}
            write_state(outputs, reference=made)
    return [r for r in read if r not in run_context.refused]


def _show_only_loaded_releases(instance: dg.DagsterInstance, run_context: RunContext) -> None:
    """After a failed run: partitions as the archive holds them, so that the UI shows only loaded releases."""
    loaded = set(run_context.archive.index().releases_to_build())
    for key in instance.get_dynamic_partitions("releases"):
        if key not in loaded:
            instance.delete_dynamic_partition("releases", key)


def _align_partitions(instance: dg.DagsterInstance, releases: list[str]) -> list[str]:
    """Make Dagster's partitions the releases to build from; returns them in the order of insertion."""
    known = list(instance.get_dynamic_partitions("releases"))
    for key in set(known) - set(releases):
        instance.delete_dynamic_partition("releases", key)
    instance.add_dynamic_partitions("releases", [r for r in releases if r not in known])
    keys = list(instance.get_dynamic_partitions("releases"))
    if sorted(keys) != sorted(releases):
        raise HcpcsError("another program changed Dagster's partitions meanwhile; nothing was published, refresh again")
    return keys


def _kept_reference_tables(outputs: Outputs, run_context: RunContext) -> list[str]:
    """The tables that no release is in, if all are as this code made them, and so kept their contracts; else none."""
    noted = read_state(outputs).reference
    files = {table: outputs.work / f"{table}.parquet" for table in noted}
    if any(reference_fingerprint(file) != noted[table] for table, file in files.items()):
        return []
    for table, file in files.items():
        run_context.kept_contracts[table] = content_hash([read_table(file)])
    return list(files)


def _to_build(kept: Sequence[str], *, with_staged: bool) -> list[dg.AssetKey]:
    import dagster as dg

    left_out = {"source"} if with_staged else {"source", "staged"}
    return [dg.AssetKey(t.name) for t in tables() if t.group not in left_out and t.name not in kept]


def _raise_cause(errors: list[BaseException], result: Any) -> None:
    failed = {
        f"{c.asset_key.to_user_string()}.{c.check_name}": str(c.description or "failed")
        for c in result.get_asset_check_evaluations()
        if not c.passed and c.blocking
    }
    contract = [e for e in errors if isinstance(e, ContractViolation)]  # its own words say more than its check's
    if failed and not contract:
        raise ChecksFailed(failed)
    if not errors:
        raise HcpcsError("the run was stopped before it ended; nothing was published, run `hcpcs refresh` again")
    raise errors[0]


def prepare_home(home: Path) -> None:
    """Make ``home`` a home of Dagster with our settings, unless it has its own.

    Raises ``StorageFailed`` for a path that SQLAlchemy's URLs end at: what follows ``?`` are options of the database.
    """
    if "?" in str(home):
        raise StorageFailed(f"{home}: Dagster keeps no database below a question mark; --dagster-home names a folder")
    home.mkdir(parents=True, exist_ok=True)
    settings = home / "dagster.yaml"
    if not settings.exists():
        settings.write_text(_DAGSTER_SETTINGS, "utf-8")


@contextmanager
def open_instance(home: Path) -> Iterator[dg.DagsterInstance]:
    """Dagster's instance of a refresh, with its home, whose databases stay open meanwhile.

    Raises ``StorageFailed`` where the home's ``dagster.yaml`` cannot be used.
    """
    import dagster as dg

    from pipeline.orchestration.open_databases import kept_open

    prepare_home(home)
    with kept_open():
        try:
            opened = dg.DagsterInstance.local_temp(str(home))  # "temp", but the folder stays
        except Exception as error:
            if isinstance(error, OSError) or type(error).__module__.startswith(DATABASES):
                raise
            why = textwrap.shorten(str(error), 400, placeholder=" ...")
            raise StorageFailed(f"Dagster cannot be set up by {home / 'dagster.yaml'}: {why}") from error
        with opened as instance:
            yield instance
