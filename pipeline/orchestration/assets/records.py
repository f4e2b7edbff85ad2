"""Assets that state what CMS stated: the records and the releases."""

import dagster as dg
import polars as pl

from pipeline.orchestration.assets import checked
from pipeline.transforms import published_tables as tables
from sources.curated.license_policy import load_license_policy


@dg.asset(**checked.asset("hcpcs_releases", __name__))
def hcpcs_releases(staged_revisions: pl.DataFrame) -> checked.Results:
    yield from checked.published("hcpcs_releases", staged_revisions.sort("release_id", "revision"))


@dg.asset(**checked.asset("hcpcs_release_records", __name__))
def hcpcs_release_records(staged_records: pl.LazyFrame) -> checked.Results:
    yield from checked.published("hcpcs_release_records", tables.release_records(staged_records, load_license_policy()))
