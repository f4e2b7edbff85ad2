"""Assembles assets, checks, job and resources; tests, the command line and `dg` all call ``build_definitions``.

The environment is read here and in ``hcpcs.cli.main`` only.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import dagster as dg

from hcpcs.paths import Outputs, default_outputs
from pipeline.orchestration import asset_metadata as shown
from pipeline.orchestration.assets import codes, history, records, reference, side_files, staged, version
from pipeline.orchestration.io_manager import ParquetIOManager
from pipeline.orchestration.openlineage import OpenLineageSettings, build_openlineage_resource
from pipeline.orchestration.run_context import RunContext
from pipeline.orchestration.sensors import (
    build_freshness_job,
    build_freshness_schedule,
    build_refresh_from_site_job,
    build_site_schedule,
    build_site_sensor,
)
from pipeline.refresh.notify import Notice, Notifier
from pipeline.versions.freshness import published_freshness
from pipeline.versions.publish import sweep
from pipeline.versions.writer import only_writer
from sources.site.polling import Poller, Site


def build_definitions(
    *,
    outputs: Path,
    run_context: RunContext | None = None,
    site: Site | None = None,
    dagster_home: Path | None = None,
    openlineage: OpenLineageSettings | None = None,
    notifier: Notifier | None = None,
) -> dg.Definitions:
    """The whole pipeline over one folder of outputs.

    ``run_context``: what a run loads, by default what the archive has. ``site``: what sensor and schedule poll, by
    default CMS's page. ``openlineage``: where events go, by default to a file. ``notifier``: sends notices, by default
    none. Without ``run_context`` a run of the job ``refresh`` leaves a summary and sends a notice itself.
    """
    layout = Outputs(outputs)
    site = site or Site()
    from_site = build_refresh_from_site_job()

    notifier = notifier or Notifier()

    def refresher(tell: Callable[[str], None]) -> dict[str, Any]:
        from pipeline.refresh.refresh import refresh as refresh_outputs

        with notifier.of_failure(layout, tell):
            done = refresh_outputs(
                layout, site=site, dagster_home=dagster_home, tell=tell, sends_lineage=openlineage is not None
            )
        notifier.send_of(done, tell)
        return done.summary()

    @dg.failure_hook
    def report_failure(context: dg.HookContext) -> None:
        from pipeline.refresh.refresh import refused_summary, write_run_summary

        error = context.op_exception or Exception(f"the step {context.step_key} failed")
        summary = refused_summary(layout, error)
        write_run_summary(layout, summary)
        notifier.send(Notice("refused", summary["error"], summary["version"], summary), context.log.warning)

    @dg.resource(description="What the run takes in. The run is the one that writes, unless its caller is.")
    def context_of_run(context: dg.InitResourceContext) -> Iterator[RunContext]:
        if run_context is not None:
            yield run_context
            return
        log = context.log
        with only_writer(layout, tell=log.info if log else lambda text: None):
            sweep(layout)
            made = RunContext.of_archive(layout)
            yield made
            if made.published is not None and made.published.is_new:
                version, warn = made.published.version, log.warning if log else lambda text: None
                notifier.send(Notice("published", f"published version {version}.", version), warn)

    @dg.io_manager(required_resource_keys={"run_context", "openlineage"})
    def io_of_reported_runs(_: dg.InitResourceContext) -> ParquetIOManager:
        # Every step reads or writes tables, so that every run is the one that writes, and is told.
        return ParquetIOManager(
            folder=str(layout.work), catalog=str(layout.folder / "catalog"), latest=str(layout.latest_link)
        )

    assets = dg.load_assets_from_modules([staged, records, side_files, history, codes, reference, version])
    refresh = dg.define_asset_job(
        "refresh",
        selection=dg.AssetSelection.all() - dg.AssetSelection.groups("source"),
        executor_def=dg.in_process_executor,
        hooks={report_failure} if run_context is None else None,
        description="Read the releases asked for, rebuild every table from all releases, publish a version.",
    )
    freshness = build_freshness_job()
    return dg.Definitions(
        assets=[*shown.sources(), *assets],
        asset_checks=[version.newest_release_is_current],
        jobs=[refresh, from_site, freshness],
        sensors=[build_site_sensor(from_site)],
        schedules=[build_site_schedule(from_site), build_freshness_schedule(freshness)],
        executor=dg.in_process_executor,
        resources={
            "tables": io_of_reported_runs,
            "run_context": context_of_run,
            "openlineage": build_openlineage_resource(openlineage or OpenLineageSettings(), layout),
            "poller": Poller(site, layout.archive, layout.site_state),
            "refresher": refresher,
            "published_freshness": lambda: published_freshness(layout, datetime.now(UTC).date()),
        },
    )


def openlineage_settings() -> OpenLineageSettings:
    """How runs are told, by the environment."""
    return OpenLineageSettings.of_environment(os.environ)


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster's own commands load, over the outputs, home and site that the environment names."""
    home, site = os.environ.get("DAGSTER_HOME"), os.environ.get("HCPCS_SITE")
    return build_definitions(
        outputs=Path(os.environ.get("HCPCS_OUTPUTS") or default_outputs()),
        site=Site(site) if site else None,
        dagster_home=Path(home) if home else None,
        openlineage=openlineage_settings(),
        notifier=Notifier.of_environment(os.environ),
    )
