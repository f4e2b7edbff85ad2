"""Assets with a row per code: its latest state by episode, and what any code means on any day."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from pipeline.orchestration import asset_metadata as shown
from pipeline.orchestration.assets.history import check_result, check_specs
from pipeline.transforms import published_tables as tables
from pipeline.transforms.validity import days_not_answered_once
from schemas.registry import enforce
from sources.curated.license_policy import load_license_policy

_TABLES = {"hcpcs_codes": "procedure", "hcpcs_modifiers": "modifier"}
_VALIDITY = shown.outs(["hcpcs_validity"], __name__, "pipeline.transforms.validity", "sources.curated.tables")


@dg.multi_asset(
    name="codes",
    outs={**shown.outs(_TABLES, __name__), **_VALIDITY},
    check_specs=check_specs("hcpcs_validity", one_row_answers="For every code and day exactly one row answers."),
    **shown.made_from([*_TABLES, *_VALIDITY]),
)
def codes(
    staged_states: pl.DataFrame,
    hcpcs_history: pl.DataFrame,
    hcpcs_crosswalk: pl.DataFrame,
    hcpcs_unlisted_codes: pl.DataFrame,
) -> Iterator[dg.Output[Any] | dg.AssetCheckResult]:
    """The latest state of every code and modifier that any release had, and what every code means on every day."""
    policy = load_license_policy()
    states = []
    for table, kind in _TABLES.items():
        made = tables.code_states(kind, staged_states, hcpcs_crosswalk, hcpcs_unlisted_codes, policy)
        states.append(enforce(table, made))
        yield dg.Output(states[-1], output_name=table)
    rows = enforce("hcpcs_validity", tables.code_validity(hcpcs_history, states[0], states[1], policy))
    yield dg.Output(rows, output_name="hcpcs_validity")
    wrong = days_not_answered_once(rows)
    yield check_result("one_row_answers", wrong, "codes with days not answered once", rows.height)
