"""Assets with a row per code or modifier and meaning, as last stated."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from pipeline.orchestration import asset_metadata as shown
from pipeline.transforms import published_tables as tables
from schemas.registry import enforce
from sources.curated.license_policy import load_license_policy

_TABLES = {"hcpcs_codes": "procedure", "hcpcs_modifiers": "modifier"}


@dg.multi_asset(name="codes", outs=shown.outs(_TABLES, __name__), **shown.made_from(_TABLES))
def codes(
    staged_states: pl.DataFrame, hcpcs_crosswalk: pl.DataFrame, hcpcs_unlisted_codes: pl.DataFrame
) -> Iterator[dg.Output[Any]]:
    """The latest state of every code and modifier that any release had."""
    for table, kind in _TABLES.items():
        made = tables.code_states(kind, staged_states, hcpcs_crosswalk, hcpcs_unlisted_codes, load_license_policy())
        yield dg.Output(enforce(table, made), output_name=table)
