"""Assembles assets, checks, job and resources; tests, the command line and `dg` all call ``build_definitions``.

The environment is read here and in ``pipeline.cli`` only.
"""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg

from pipeline.assets import checks, staged, tables, version
from pipeline.intake import Intake
from pipeline.io import ParquetIOManager
from pipeline.layout import Outputs

DEFAULT_OUTPUTS = Path(__file__).resolve().parent.parent / "outputs"


def build_definitions(*, outputs: Path, intake: Intake | None = None) -> dg.Definitions:
    """The whole pipeline over one folder of outputs; ``intake`` is what a run takes in, by default what is held."""
    layout = Outputs(outputs)
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
        jobs=[refresh],
        executor=dg.in_process_executor,
        resources={
            "tables": ParquetIOManager(folder=str(layout.work)),
            "intake": intake or Intake.of_archive(layout),
        },
    )


defs = build_definitions(outputs=Path(os.environ.get("HCPCS_OUTPUTS", DEFAULT_OUTPUTS)))
