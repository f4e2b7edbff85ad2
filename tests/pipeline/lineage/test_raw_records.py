"""CMS's records for the catalog: what is withheld of them is not in them, text or workbook; the rest is CMS's bytes."""

from __future__ import annotations

import polars as pl
import pytest
from conftest import Version

from pipeline.lineage.provenance import raw_lines
from pipeline.lineage.raw_records import CELLS, with_raw_records


@pytest.fixture(scope="module")
def records(sample: Version) -> pl.DataFrame:
    return with_raw_records(sample.outputs, sample.open("hcpcs_release_records"))


@pytest.mark.parametrize("suffix", [".txt", ".xlsx"])
def test_a_field_that_is_withheld_is_no_part_of_a_record(records: pl.DataFrame, sample: Version, suffix: str) -> None:
    masked = records.filter(
        pl.col("redistribution") == "open",
        pl.col("withheld_fields").list.contains("crosswalk_targets"),
        pl.col("source_member").str.ends_with(suffix),
    )
    row = masked.row(0, named=True)
    assert [name for name, cell in row["record"].items() if cell is None] == ["crosswalk_targets"]
    lines = [p for p in raw_lines(sample.outputs, row["code"]) if p.release_id == row["release_id"]]
    stated = [text for p in lines if p.table == "hcpcs_release_records" for _, text in p.lines]
    before = list(row["record"].values())[1 : CELLS.index("crosswalk_targets")]
    parts = [part for cell in before for part in cell.split("\n") if "\t" not in cell]
    assert [part for part in parts if not any(part in line for line in stated)] == []


def test_a_record_of_another_owner_is_none(records: pl.DataFrame) -> None:
    others = records.filter(pl.col("redistribution") == "withheld")
    assert others.height and others["record"].null_count() == others.height
    assert records.filter(redistribution="open")["record"].null_count() == 0
