"""Rules of provenance: from any row about a code one gets to the bytes that CMS posted."""

from __future__ import annotations

import io
import json
import zipfile

import polars as pl
import pytest
from conftest import Version

from hcpcs.files import file_sha256
from hcpcs.paths import Outputs
from pipeline.lineage.provenance import raw_lines
from sources.errors import SourceError, ZipRefused
from sources.release.inspect import open_archive


def test_every_record_of_a_code_leads_to_lines_that_hold_the_code(sample: Version) -> None:
    records = sample.open("hcpcs_release_records")
    for code in records["code"].unique().sort()[::6]:
        found = [r for r in raw_lines(sample.outputs, code) if r.table == "hcpcs_release_records"]
        rows = records.filter(pl.col("code") == code)
        assert [(r.release_id, r.lines[0][0]) for r in found] == list(rows.select("release_id", "source_line").rows())
        assert all(code in text for r in found for _, text in r.lines)


def test_the_lines_are_those_of_the_member_in_the_archive(sample: Version) -> None:
    code = sample.open("hcpcs_release_records")["code"][0]
    texts = [r for r in raw_lines(sample.outputs, code) if r.member.endswith(".txt")]
    assert texts
    for place in texts:
        path = open_archive(sample.outputs.archive).zip_path(place.zip_sha256)
        assert file_sha256(path) == place.zip_sha256
        with zipfile.ZipFile(io.BytesIO(path.read_bytes())) as archive:
            lines = archive.read(place.member).decode("cp1252").splitlines()
        for number, text in place.lines:
            assert lines[number - 1] == text


def test_a_record_over_several_lines_is_shown_whole(sample: Version) -> None:
    records = sample.open("hcpcs_release_records").filter(pl.col("source_member").str.ends_with(".txt"))
    longest = records.sort(pl.col("long_description").str.len_chars(), descending=True, nulls_last=True).row(
        0, named=True
    )
    place = next(
        r
        for r in raw_lines(sample.outputs, longest["code"])
        if (r.table, r.release_id) == ("hcpcs_release_records", longest["release_id"])
    )
    assert len(place.lines) > 1
    shown = " ".join(text[11:91].rstrip() for _, text in place.lines)
    assert shown == longest["long_description"]


def test_a_row_of_a_workbook_is_found_on_its_sheet(sample: Version) -> None:
    records = sample.open("hcpcs_release_records").filter(pl.col("source_member").str.ends_with(".xlsx"))
    row = records.filter(pl.col("short_description").is_not_null()).row(0, named=True)
    place = next(
        r
        for r in raw_lines(sample.outputs, row["code"])
        if (r.table, r.release_id) == ("hcpcs_release_records", row["release_id"])
    )
    assert place.sheet is not None
    assert row["short_description"] in place.lines[0][1].split("\t")


def test_side_files_are_shown_too_and_all_of_it_is_json(sample: Version) -> None:
    code = sample.open("hcpcs_transactions")["code"][0]
    found = raw_lines(sample.outputs, code)
    assert "hcpcs_transactions" in {r.table for r in found}
    assert json.loads(json.dumps([r.as_json() for r in found]))[0]["lines"]


def test_an_unknown_code_and_an_archive_that_lost_or_changed_a_zip_are_told(
    sample: Version, own_sample: Outputs
) -> None:
    with pytest.raises(SourceError, match="no loaded release has 'Q9999'"):
        raw_lines(own_sample, "Q9999")
    code = sample.open("hcpcs_codes")["code"][0]
    zips = sorted((own_sample.archive / "zips").iterdir())
    for path in zips:
        path.write_bytes(path.read_bytes()[:-1] + b"x")
    with pytest.raises(ZipRefused, match="damaged"):
        raw_lines(own_sample, code)
    for path in zips:
        path.unlink()
    with pytest.raises(ZipRefused, match="is missing: it was"):
        raw_lines(own_sample, code)
    (own_sample.archive / "index.json").unlink()
    with pytest.raises(SourceError, match="no longer has"):
        raw_lines(own_sample, code)


def test_a_field_is_marked_where_each_form_of_the_file_has_it(sample: Version, hcpcs) -> None:
    records = sample.open("hcpcs_release_records").filter(pl.col("termination_date").is_not_null())
    forms = [records.filter(pl.col("source_member").str.ends_with(f)).row(0, named=True) for f in (".txt", ".xlsx")]
    for row in forms:
        said = hcpcs(
            *("lookup", row["code"], "--source", "--field", "termination_date", "--json"),
            *("--outputs", sample.outputs.folder),
        )
        assert said.status == 0, said.err
        places = json.loads(said.out)
        assert {p["table"] for p in places} == {"hcpcs_release_records"}
        place = next(p for p in places if p["release_id"] == row["release_id"])
        first = place["lines"][0]
        assert first["number"] == row["source_line"]
        assert f"[{row['termination_date']:%Y%m%d}]" in first["text"]
        assert not any("[" in line["text"] for line in place["lines"][1:])
    said = hcpcs("lookup", forms[0]["code"], "--source", "--field", "price", "--outputs", sample.outputs.folder)
    assert said.status == 1 and "has no field 'price'; it has long_description" in said.err
    said = hcpcs("lookup", forms[0]["code"], "--field", "betos_code", "--outputs", sample.outputs.folder)
    assert said.status == 2 and "--source" in said.err
