"""Assets of CMS's side files, of all releases."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from pipeline.orchestration import asset_metadata as shown
from pipeline.orchestration.release_tables import inner_table
from pipeline.transforms import published_tables as tables
from pipeline.transforms.corrections import corrections_in_records
from schemas.registry import enforce
from sources.curated.license_policy import load_license_policy

_TABLES = ("hcpcs_transactions", "hcpcs_corrections", "hcpcs_unlisted_codes", "hcpcs_notes")


@dg.multi_asset(name="side_files", outs=shown.outs(_TABLES, __name__), **shown.made_from(_TABLES))
def side_files(staged_releases: pl.DataFrame, staged_records: pl.DataFrame) -> Iterator[dg.Output[Any]]:
    """Each kind of side file as a table; corrections are held against the records."""
    for table in _TABLES:
        rows = inner_table(staged_releases, table.removeprefix("hcpcs_"))
        if table == "hcpcs_corrections":
            rows = corrections_in_records(rows, tables.standing(staged_records))
        made = enforce(table, tables.side_table(table, rows, load_license_policy()))
        yield dg.Output(made, output_name=table)
