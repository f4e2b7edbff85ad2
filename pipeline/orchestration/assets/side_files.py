"""Assets of CMS's side files, of all releases."""

import dagster as dg
import polars as pl

from pipeline.orchestration.assets import checked
from pipeline.transforms import published_tables as tables
from pipeline.transforms.batches import collected
from pipeline.transforms.corrections import corrections_in_records
from sources.curated.license_policy import load_license_policy
from sources.side_files.kinds import SIDE_TABLES


def _side_asset(name: str) -> dg.AssetsDefinition:
    """The published table of a kind of side file whose rows are not compared with records."""
    table = f"hcpcs_{name}"

    @dg.asset(**checked.asset(table, __name__), ins={"rows": dg.AssetIn(f"staged_{name}")})
    def side_table(rows: pl.LazyFrame) -> checked.Results:
        yield from _side_table(table, collected(rows))

    return side_table


@dg.asset(**checked.asset("hcpcs_corrections", __name__))
def hcpcs_corrections(staged_corrections: pl.DataFrame, staged_records: pl.LazyFrame) -> checked.Results:
    against_records = corrections_in_records(staged_corrections, tables.current(staged_records))
    yield from _side_table("hcpcs_corrections", against_records)


SIDE_ASSETS = [_side_asset(name) for name in SIDE_TABLES.values() if name != "corrections"]


def _side_table(table: str, rows: pl.DataFrame) -> checked.Results:
    yield from checked.published(table, tables.side_table(table, rows, load_license_policy()))
