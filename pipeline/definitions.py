"""Assembles assets, checks, job and resources; tests, the command line and `dg` all call ``build_definitions``.

The environment is read here and in ``pipeline.cli`` only.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg

from pipeline.assets import checks, staged, tables, version
from pipeline.automation import build_refresh_from_site_job, build_site_schedule, build_site_sensor
from pipeline.intake import Intake
from pipeline.io import ParquetIOManager
from pipeline.layout import Outputs
from pipeline.polling import Poller, Site

DEFAULT_OUTPUTS = Path(__file__).resolve().parent.parent / "outputs"


def build_definitions(
    *, outputs: Path, intake: Intake | None = None, site: Site | None = None, dagster_home: Path | None = None
) -> dg.Definitions:
    """The whole pipeline over one folder of outputs.

    ``intake`` is what a run takes in, by default what is held; ``site`` is what sensor and schedule ask, by default
    CMS's page.
    """
    layout = Outputs(outputs)
    site = site or Site()
    from_site = build_refresh_from_site_job()

    def refresher(tell: Callable[[str], None]) -> dict[str, Any]:
        from pipeline.refresh import refresh as refresh_outputs

        return refresh_outputs(layout, site=site, dagster_home=dagster_home, tell=tell).summary()

    assets = dg.load_assets_from_modules([staged, tables, version])
    refresh = dg.define_asset_job(
        "refresh",
        selection=dg.AssetSelection.all(),
        executor_def=dg.in_process_executor,
        description="Read the releases asked for, rebuild every table from all releases, publish a version.",
    )
    return dg.Definitions(
        assets=assets,
        asset_checks=dg.load_asset_checks_from_modules([checks]),
        jobs=[refresh, from_site],
        sensors=[build_site_sensor(from_site)],
        schedules=[build_site_schedule(from_site)],
        executor=dg.in_process_executor,
        resources={
            "tables": ParquetIOManager(folder=str(layout.work)),
            "intake": intake or Intake.of_archive(layout),
            "poller": Poller(site, layout.archive, layout.site_state),
            "refresher": refresher,
        },
    )


_home = os.environ.get("DAGSTER_HOME")
_address = os.environ.get("HCPCS_SITE")
defs = build_definitions(
    outputs=Path(os.environ.get("HCPCS_OUTPUTS", DEFAULT_OUTPUTS)),
    site=Site(_address) if _address else None,
    dagster_home=Path(_home) if _home else None,
)
