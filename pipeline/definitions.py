"""What Dagster loads: the pipeline with its site, schedules, notices and lineage; tests and `dg` call it too.

The environment is read here and in the command line only. Nothing but Dagster's own commands imports this module.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import dagster as dg

from hcpcs.paths import Outputs, default_outputs
from pipeline.orchestration.assemble import assemble
from pipeline.orchestration.openlineage_settings import OpenLineageSettings
from pipeline.orchestration.run_context import RunContext
from pipeline.orchestration.sensors import (
    build_freshness_job,
    build_freshness_schedule,
    build_refresh_from_site_job,
    build_site_schedule,
    build_site_sensor,
)
from pipeline.refresh.notify import Notice, Notifier
from pipeline.refresh.refresh import refresh, refused_summary
from pipeline.versions.publish import sweep
from pipeline.versions.writer import only_writer
from sources.site.polling import Poller, Site


def build_definitions(
    *,
    outputs: Path,
    site: Site | None = None,
    dagster_home: Path | None = None,
    openlineage: OpenLineageSettings | None = None,
    notifier: Notifier | None = None,
) -> dg.Definitions:
    """The whole pipeline over one folder of outputs.

    ``site``: what sensor and schedule poll, by default CMS's page. ``openlineage``: where events go, by default to a
    file. ``notifier``: sends notices, by default none. A run of the job ``refresh`` builds from what the archive has,
    leaves a summary and sends a notice.
    """
    layout = Outputs(outputs)
    site = site or Site()
    from_site = build_refresh_from_site_job()

    notifier = notifier or Notifier()

    def refresher(progress: Callable[[str], None]) -> dict[str, Any]:
        with notifier.of_failure(layout, progress):
            done = refresh(layout, site=site, dagster_home=dagster_home, progress=progress, openlineage=openlineage)
        notifier.send_of(done, layout, progress)
        return done.summary().as_json()

    reported: set[str] = set()

    @dg.failure_hook
    def report_failure(context: dg.HookContext) -> None:
        if context.run_id in reported:  # several steps may fail for one cause: one notice a run
            return
        reported.add(context.run_id)
        error = context.op_exception or Exception(f"the step {context.step_key} failed")
        summary = refused_summary(layout, error)
        summary.write(layout)
        notice = Notice("refused", summary.error or "", summary.version, summary.as_json())
        notifier.send(notice, layout, context.log.warning)

    @dg.resource(description="What the run loads: the releases of the archive. The run holds the lock of the writer.")
    def context_of_archive(context: dg.InitResourceContext) -> Iterator[RunContext]:
        log = context.log
        with only_writer(layout, progress=log.info if log else lambda text: None):
            sweep(layout)
            made = RunContext.of_archive(layout)
            yield made
            if made.published is not None and made.published.is_new:
                version, warn = made.published.version, log.warning if log else lambda text: None
                notifier.send(Notice("published", f"published version {version}.", version), layout, warn)

    tables = assemble(
        outputs=outputs,
        run_context=context_of_archive,
        openlineage=openlineage,
        hooks={report_failure},
        code_references=True,
    )
    freshness = build_freshness_job()
    by_itself = dg.Definitions(
        jobs=[from_site, freshness],
        sensors=[build_site_sensor(from_site)],
        schedules=[build_site_schedule(from_site), build_freshness_schedule(freshness)],
        resources={"poller": Poller(site, layout.archive, layout.site_state), "refresher": refresher},
    )
    return dg.Definitions.merge(tables, by_itself)


@dg.definitions
def defs() -> dg.Definitions:
    """What Dagster's own commands load, over the outputs, home and site that the environment names."""
    home, site = os.environ.get("DAGSTER_HOME"), os.environ.get("HCPCS_SITE")
    return build_definitions(
        outputs=Path(os.environ.get("HCPCS_OUTPUTS") or default_outputs()),
        site=Site(site) if site else None,
        dagster_home=Path(home) if home else None,
        openlineage=OpenLineageSettings.of_environment(os.environ),
        notifier=Notifier.of_environment(os.environ),
    )
