"""Assets that state what CMS stated: the records and the releases."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from pipeline.orchestration import asset_metadata as shown
from pipeline.orchestration.release_tables import inner_table
from pipeline.transforms import published_tables as tables
from schemas.registry import enforce
from sources.curated.license_policy import load_license_policy

_TABLES = ("hcpcs_releases", "hcpcs_release_records")


@dg.multi_asset(
    name="records",
    ins={"staged_records": dg.AssetIn(metadata={"lazy": True})},
    outs=shown.outs(_TABLES, __name__),
    **shown.made_from(_TABLES),
)
def records(staged_releases: pl.DataFrame, staged_records: pl.LazyFrame) -> Iterator[dg.Output[Any]]:
    """The releases, and every record of each release's newest revision."""
    releases = enforce("hcpcs_releases", inner_table(staged_releases, "revisions").sort("release_id", "revision"))
    yield dg.Output(releases, output_name="hcpcs_releases")
    stated = tables.release_records(staged_records, load_license_policy())
    yield dg.Output(enforce("hcpcs_release_records", stated), output_name="hcpcs_release_records")
