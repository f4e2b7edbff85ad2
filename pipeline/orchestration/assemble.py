"""Assembles what builds a version: assets with their checks, the job ``refresh``, and what every run of it needs.

What starts a run by itself, and what is sent when it ends, is added in ``pipeline.definitions``.
"""

from __future__ import annotations

import warnings
from collections.abc import Set
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg

from hcpcs.paths import Outputs
from pipeline.orchestration import asset_metadata
from pipeline.orchestration.assets import codes, history, records, reference, side_files, staged, version
from pipeline.orchestration.io_manager import ParquetIOManager
from pipeline.orchestration.openlineage import build_openlineage_resource
from pipeline.orchestration.openlineage_settings import OpenLineageSettings
from pipeline.orchestration.staged_tables import StagedTables
from pipeline.versions.freshness import published_freshness


def assemble(
    *,
    outputs: Path,
    run_context: dg.ResourceDefinition,
    openlineage: OpenLineageSettings | None = None,
    hooks: Set[dg.HookDefinition] = frozenset(),
    code_references: bool = False,
) -> dg.Definitions:
    """The assets and the job ``refresh`` over one folder of outputs.

    ``run_context`` gives each run what it takes in; ``openlineage`` says how runs are reported, by default to a file;
    ``hooks`` are called at each step of the job; with ``code_references`` each asset names file and line of its code,
    which only Dagster's user interface displays.
    """
    layout = Outputs(outputs)

    @dg.io_manager(required_resource_keys={"run_context", "openlineage"})
    def io_of_reported_runs(context: dg.InitResourceContext) -> ParquetIOManager:
        # Every step reads or writes tables, so that every run is the one that writes, and is reported.
        staged_tables = StagedTables(layout, context.resources.run_context)
        return ParquetIOManager(layout.work, layout.folder / "catalog", layout.latest_link, staged_tables)

    assets = dg.load_assets_from_modules([staged, records, side_files, history, codes, reference, version])
    if code_references:
        with warnings.catch_warnings():
            # The function and its classes are marked beta in dagster 1.13.
            warnings.simplefilter("ignore", dg.BetaWarning)
            assets = dg.with_source_code_references(assets)
    refresh = dg.define_asset_job(
        "refresh",
        selection=dg.AssetSelection.all() - dg.AssetSelection.groups("source"),
        executor_def=dg.in_process_executor,
        hooks=hooks,
        description="Read the requested releases, rebuild every table from all releases, publish a version.",
    )
    return dg.Definitions(
        assets=[*asset_metadata.sources(), *assets],
        asset_checks=[version.newest_release_is_current],
        jobs=[refresh],
        executor=dg.in_process_executor,
        resources={
            "tables": io_of_reported_runs,
            "run_context": run_context,
            "openlineage": build_openlineage_resource(openlineage or OpenLineageSettings(), layout),
            "published_freshness": lambda: published_freshness(layout, datetime.now(UTC).date()),
        },
    )
