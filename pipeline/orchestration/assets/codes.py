"""Assets with a row per code: its latest state by episode, and what any code means on any day."""

import dagster as dg
import polars as pl

from pipeline.orchestration.assets import checked
from pipeline.transforms import published_tables as tables
from pipeline.transforms.validity import days_not_answered_once
from sources.curated.license_policy import load_license_policy


@dg.asset(**checked.asset("hcpcs_codes", __name__))
def hcpcs_codes(
    staged_states: pl.DataFrame, hcpcs_crosswalk: pl.DataFrame, hcpcs_unlisted_codes: pl.DataFrame
) -> checked.Results:
    policy = load_license_policy()
    codes = tables.code_states("procedure", staged_states, hcpcs_crosswalk, hcpcs_unlisted_codes, policy)
    yield from checked.published("hcpcs_codes", codes)


@dg.asset(**checked.asset("hcpcs_modifiers", __name__))
def hcpcs_modifiers(staged_states: pl.DataFrame, hcpcs_crosswalk: pl.DataFrame) -> checked.Results:
    modifiers = tables.code_states("modifier", staged_states, hcpcs_crosswalk, None, load_license_policy())
    yield from checked.published("hcpcs_modifiers", modifiers)


@dg.asset(
    **checked.asset(
        "hcpcs_validity",
        __name__,
        "pipeline.transforms.validity",
        "sources.curated.tables",
        rules={"one_row_answers": "For every code and day exactly one row answers."},
    )
)
def hcpcs_validity(
    hcpcs_history: pl.DataFrame, hcpcs_codes: pl.DataFrame, hcpcs_modifiers: pl.DataFrame
) -> checked.Results:
    rows = tables.code_validity(hcpcs_history, hcpcs_codes, hcpcs_modifiers, load_license_policy())
    yield from checked.published("hcpcs_validity", rows)
    wrong = days_not_answered_once(rows)
    yield checked.result("hcpcs_validity", "one_row_answers", wrong, "codes with days not answered once", rows.height)
