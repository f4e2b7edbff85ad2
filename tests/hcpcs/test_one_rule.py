"""``lookup``, ``as_of`` and ``check`` answer by ``hcpcs_validity``, and that agrees with the spans it is made from."""

from __future__ import annotations

import csv
import datetime as dt
import io
import itertools
from typing import Any

import polars as pl
import pyarrow as pa
import pytest

import hcpcs
from hcpcs.check import check_codes
from hcpcs.lookup import code_on_day

DAY = dt.timedelta(days=1)
KEY = ["kind", "code", "episode", "span_number"]


@pytest.fixture(scope="module")
def version(sample) -> Any:
    return hcpcs.open(outputs=sample.outputs.folder)


@pytest.fixture(scope="module")
def history(sample) -> pl.DataFrame:
    return sample.open("hcpcs_history")


@pytest.fixture(scope="module")
def days(history) -> list[dt.date]:
    """The days on which an answer may change, and the day before each."""
    firsts = {*history["valid_from"], *(day + DAY for day in history["valid_to"].drop_nulls())}
    return sorted({day - offset for day in firsts for offset in (dt.timedelta(), DAY)})


def valid_on(history: pl.DataFrame, day: dt.date) -> pl.DataFrame:
    """The spans that include a day, by their own first and last days."""
    return history.filter(
        pl.col("valid_from") <= day, pl.col("valid_to").is_null() | (pl.col("valid_to") >= day)
    ).select(KEY)


def test_as_of_has_the_spans_that_include_the_day_in_the_tables_order(version, history, days):
    for day in days:
        assert pl.from_arrow(version.as_of(day)).select(KEY).equals(valid_on(history, day)), day
    assert version.as_of("2018-06-30").schema.equals(version.table("hcpcs_history").schema)


def test_lookup_and_check_have_the_span_that_includes_the_day(version, history, days):
    codes = history["code"].unique().sort().to_list()
    by_day = {day: {row["code"]: row for row in valid_on(history, day).to_dicts()} for day in days}
    for day in days[:: max(1, len(days) // 12)]:
        checked = {row["code"]: row for row in check_codes(version.folder, codes, day=day)}
        for code in codes:
            assert (checked[code]["status"] == "valid") == (code in by_day[day]), (code, day)
    for code, day in itertools.islice(itertools.product(codes, days), 0, None, 97):
        span = code_on_day(version.folder, code, day)["span"]
        assert (span and {name: span[name] for name in KEY}) == by_day[day].get(code), (code, day)


def test_changes_of_what_is_not_loaded_are_refused_as_by_the_command(version, sample, hcpcs):
    refused = hcpcs("changes", "2018-01", "--outputs", sample.outputs.folder)
    for options in ({"since": "2018-01"}, {"release": "2018-01"}, {"since": "2018.01.1"}):
        with pytest.raises(Exception, match="release 2018-01 is not loaded") as raised:
            version.changes(**options)
        assert refused.err.splitlines()[0] == f"hcpcs: error: {raised.value}"
    assert version.changes(since="2017.01.3").equals(version.changes(since="2017-01"))
    assert set(version.changes(release="latest")["release_id"].to_pylist()) <= {"2025-10"}


def test_check_reads_modifiers_and_codes_in_every_kind_of_list(version):
    given = ["j0570-jw", "QA", None, "QA", "99213"]
    rows = version.check(given, on="2014-06-30", since="2012-01")
    assert [(r["given"], r["code"], r["modifiers"], r["status"]) for r in rows] == [
        ("j0570-jw", "J0570", ["JW"], "expired"),
        ("QA", "QA", [], rows[1]["status"]),
        (None, None, [], "unknown_shape"),
        ("QA", "QA", [], rows[1]["status"]),
        ("99213", "99213", [], "not_loaded"),
    ]
    assert rows[1]["status"] in ("expired", "purged_unknown", "valid") and "reused" in rows[0]["changed"]
    assert version.check(pl.Series(given), on="2014-06-30", since="2012-01").to_dicts() == rows
    assert version.check(pa.array(given, pa.string()), on="2014-06-30", since="2012-01").to_pylist() == rows
    assert version.check([], on="2014-06-30") == []


@pytest.mark.parametrize("code", ["1234Z", "ZZ", "00"])
def test_a_format_of_no_code_system_is_one_line(sample, hcpcs, tmp_path, code):
    where = ("--outputs", sample.outputs.folder)
    refused = hcpcs("lookup", code, *where)
    assert (refused.status, refused.out) == (1, "")
    assert f"no loaded release states '{code}', and no known code system has codes of this format" in refused.err
    (tmp_path / "codes.txt").write_text(f"J0570\n{code}\n")
    checked = hcpcs("check", tmp_path / "codes.txt", "--csv", *where)
    rows = list(csv.DictReader(io.StringIO(checked.out)))
    assert (checked.status, checked.err) == (0, "")
    assert [(r["code"], r["status"]) for r in rows] == [("J0570", "valid"), (code, "unknown_code")]
