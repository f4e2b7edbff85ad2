"""Assets of CMS's side files, of all releases."""

import dagster as dg
import polars as pl

from pipeline.orchestration.assets import checked
from pipeline.transforms import published_tables as tables
from pipeline.transforms.corrections import corrections_in_records
from sources.curated.license_policy import load_license_policy


@dg.asset(**checked.asset("hcpcs_transactions", __name__))
def hcpcs_transactions(staged_transactions: pl.DataFrame) -> checked.Results:
    yield from _side_table("hcpcs_transactions", staged_transactions)


@dg.asset(**checked.asset("hcpcs_corrections", __name__))
def hcpcs_corrections(staged_corrections: pl.DataFrame, staged_records: pl.DataFrame) -> checked.Results:
    against_records = corrections_in_records(staged_corrections, tables.standing(staged_records))
    yield from _side_table("hcpcs_corrections", against_records)


@dg.asset(**checked.asset("hcpcs_unlisted_codes", __name__))
def hcpcs_unlisted_codes(staged_unlisted_codes: pl.DataFrame) -> checked.Results:
    yield from _side_table("hcpcs_unlisted_codes", staged_unlisted_codes)


@dg.asset(**checked.asset("hcpcs_notes", __name__))
def hcpcs_notes(staged_notes: pl.DataFrame) -> checked.Results:
    yield from _side_table("hcpcs_notes", staged_notes)


def _side_table(table: str, rows: pl.DataFrame) -> checked.Results:
    yield from checked.published(table, tables.side_table(table, rows, load_license_policy()))
