"""Claims get what each code meant on its day: the same as a plain range join, whatever the claims look like."""

from __future__ import annotations

import datetime as dt
import json
import resource
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from small_version import SPANS, Span, write_version

from hcpcs.annotate.dates import days_of
from hcpcs.annotate.engine import annotate
from hcpcs.annotate.files import ClaimsUnreadable, OutputRefused
from hcpcs.annotate.lookup import DEFAULT_COLUMNS, Lookup, read_version
from hcpcs.annotate.parsing import keys_of_texts, read_codes, texts_of_keys
from hcpcs.annotate.sql import SqlNames, annotate_sql
from hcpcs.annotate.summary import Frequencies
from hcpcs.annotate.values import UnusableColumn
from hcpcs.errors import HcpcsError
from pipeline.transforms.classification import classify

DAY = dt.date(2020, 6, 1)


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_version(tmp_path_factory.mktemp("version"), SPANS)


def claims_of(path: Path, codes: Sequence[Any], days: Sequence[Any], **columns: Any) -> Path:
    pq.write_table(pa.table({"hcpcs_code": codes, "day": days, **columns}), path)
    return path


def annotated(claims: Path, version: Path, **options: Any) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    out = claims.with_name(f"{claims.stem}-annotated.parquet")
    out.unlink(missing_ok=True)
    summary = annotate(claims, out, version=version, **{"code": "hcpcs_code", "date": "day"} | options)
    return pq.read_table(out).to_pylist(), summary


def one(folder: Path, version: Path, code: Any, day: Any = DAY, **options: Any) -> dict[str, Any]:
    return annotated(claims_of(folder / "one.parquet", [code], [day]), version, **options)[0][0]


# What a line gets


@pytest.mark.parametrize(
    ("code", "day", "status"),
    [
        ("J1100", None, "no_date"),
        (None, None, "no_date"),
        (None, DAY, "unknown_shape"),
        ("", DAY, "unknown_shape"),
        ("99", DAY, "unknown_shape"),
        ("99213", DAY, "not_loaded"),
        ("0001U", DAY, "not_loaded"),
        ("D0120", DAY, "not_loaded"),
        ("W1234", DAY, "system_ended"),
        ("W1234", dt.date(2003, 12, 31), "not_loaded"),
        ("0001A", dt.date(2023, 11, 1), "system_ended"),
        ("0001T", dt.date(2001, 12, 31), "not_yet_valid"),
        ("J1101", DAY, "unknown_code"),
        ("J1100", dt.date(2009, 12, 31), "not_yet_valid"),
        ("J1100", dt.date(2010, 1, 1), "valid"),
        ("J1100", dt.date(2999, 1, 1), "valid"),
        ("J0570", dt.date(2016, 12, 31), "valid"),
        ("J0570", dt.date(2017, 1, 1), "expired"),
        ("J0570", dt.date(2018, 1, 1), "valid"),
        ("C9716", dt.date(2015, 12, 31), "valid"),
        ("C9716", dt.date(2016, 1, 1), "purged_unknown"),
    ],
)
def test_a_line_has_the_first_status_that_holds(
    tmp_path: Path, version: Path, code: str | None, day: dt.date | None, status: str
) -> None:
    claims = claims_of(tmp_path / "c.parquet", pa.array([code], pa.string()), pa.array([day], pa.date32()))
    assert annotated(claims, version)[0][0]["code_status_on_date"] == status


def test_an_expired_line_tells_what_the_code_meant_last_and_what_replaced_it(tmp_path: Path, version: Path) -> None:
    row = one(tmp_path, version, "J0570", dt.date(2017, 6, 1))
    assert (row["episode"], row["replaced_by"]) == (1, "A0001|A0002")
    assert row["short_description"] == "J0570 in its meaning 1 since 2015-01-01"


def test_a_line_before_the_code_began_has_no_meaning(tmp_path: Path, version: Path) -> None:
    row = one(tmp_path, version, "J0570", dt.date(2014, 6, 1))
    assert (row["episode"], row["short_description"], row["is_unlisted"]) == (None, None, None)
    assert row["section_id"] == "hcpcs-j-drugs"


def test_a_section_is_that_of_the_day(tmp_path: Path, version: Path) -> None:
    assert one(tmp_path, version, "98000", dt.date(2024, 12, 31))["section_id"] is None
    assert one(tmp_path, version, "99091", dt.date(2018, 12, 31))["section_id"] == "cpt-medicine"
    assert one(tmp_path, version, "99091", dt.date(2019, 1, 1))["section_id"] == "cpt-evaluation-management"
    assert one(tmp_path, version, "98000", dt.date(2025, 1, 1))["section_id"] == "cpt-evaluation-management"


def test_what_is_not_cms_may_not_be_passed_on(tmp_path: Path, version: Path) -> None:
    claims = claims_of(tmp_path / "c.parquet", ["99213", "D0120", "J1100", "W0001", "?"], [DAY] * 5)
    rows = annotated(claims, version)[0]
    assert [r["redistribution"] for r in rows] == ["withheld", "withheld", "open", "withheld", "withheld"]
    assert rows[4]["license_id"] == "LicenseRef-Unknown"


def test_modifiers_have_a_status_each_and_blank_ones_none(tmp_path: Path, version: Path) -> None:
    claims = claims_of(
        tmp_path / "c.parquet", ["J1100"] * 6, [DAY] * 6, mod_1=["RT", "xe", "25", "P1", "ZB", None], mod_2=[""] * 6
    )
    rows, summary = annotated(claims, version, modifiers=["mod_*"])
    assert [r["mod_1_status"] for r in rows] == ["valid", "expired", "not_loaded", "valid", "unknown_code", None]
    assert {r["mod_2_status"] for r in rows} == {None}
    assert summary["modifiers"] == {
        "mod_1": {"not_loaded": 1, "unknown_code": 1, "valid": 2, "expired": 1},
        "mod_2": {},
    }


def test_on_an_ambulances_line_two_letters_are_origin_and_destination(tmp_path: Path, version: Path) -> None:
    codes = ["A0429", "J1100", "S9960", "A0429", "A0429", "A0429", "A0429"]
    days = [DAY, DAY, DAY, dt.date(1990, 1, 1), DAY, DAY, None]
    mods = ["RH", "RH", "sx", "HH", "RT", "25", "RH"]
    claims = claims_of(tmp_path / "c.parquet", codes, days, mod=mods)
    rows, summary = annotated(claims, version, modifiers=["mod"])
    wanted = ["valid", "unknown_code", "valid", "valid", "valid", "not_loaded", "no_date"]
    assert [r["mod_status"] for r in rows] == wanted
    assert summary["modifiers"]["mod"] == {"no_date": 1, "not_loaded": 1, "unknown_code": 1, "valid": 4}
    table = pq.read_table(claims)
    assert [r["mod_status"] for r in joined_by_duckdb(version, table, date="day", modifiers=["mod"])] == wanted


def test_what_no_release_states_is_withheld(tmp_path: Path, version: Path) -> None:
    claims = claims_of(tmp_path / "c.parquet", ["J1101", "W0001", "F0001", "J1100"], [DAY] * 4)
    rows = annotated(claims, version)[0]
    assert [(r["license_id"], r["redistribution"]) for r in rows[:3]] == [("LicenseRef-Unknown", "withheld")] * 3
    assert rows[3]["redistribution"] == "open"


def test_other_columns_of_the_history_may_be_asked_for(tmp_path: Path, version: Path) -> None:
    columns = ["code_status_on_date", "type_of_service_codes", "valid_from", "steward", "normalized_code"]
    row = one(tmp_path, version, "j1100 ", columns=columns)
    assert list(row)[2:] == columns
    assert list(row.values())[2:] == ["valid", "1|9", dt.date(2010, 1, 1), "CMS", "J1100"]


def test_classes_of_codes_are_those_of_classify(version: Path) -> None:
    lookup = Lookup(read_version(version))
    keys = np.random.default_rng(0).integers(0, 36 * 1000 * 36, 4000)
    texts = texts_of_keys(keys).to_pylist()
    for day in ("1990-01-01", "2018-12-31", "2019-06-01", "2020-12-31", "2021-01-01", "2025-03-01"):
        places, valid = days_of(pa.array([dt.date.fromisoformat(day)] * len(keys)), "date")
        answers = lookup.answers(lookup.rows_of_keys(keys), lookup.periods_of_days(places, valid))
        theirs = classify(pl.DataFrame({"c": texts}), "c", date=day)
        # A column of procedure codes holds no modifiers; otherwise shape and section are the same.
        assert lookup.column("code_system").take(pa.array(answers)).to_pylist() == theirs["code_system"].to_list()
        assert lookup.column("section_id").take(pa.array(answers)).to_pylist() == theirs["section"].to_list()


# The same as a range join

_CODES = ["J1100", "J1101", "J1102", "G0001", "K0001", "99213", "98000", "10022", "0001U", "D0001", "W0001", "U0001"]
_MODIFIERS = ["RT", "LT", "P1", "25", "0A"]
_days = st.dates(dt.date(2008, 1, 1), dt.date(2027, 12, 31))


@st.composite
def histories(draw: st.DrawFn) -> list[Span]:
    spans: list[Span] = []
    for kind, codes in (("procedure", _CODES), ("modifier", _MODIFIERS)):
        for code in draw(st.lists(st.sampled_from(codes), unique=True, max_size=6)):
            bounds = sorted(draw(st.lists(_days, unique=True, min_size=1, max_size=6)))
            for i, first in enumerate(bounds):
                before_next = bounds[i + 1] - dt.timedelta(1) if i + 1 < len(bounds) else None
                last = draw(st.sampled_from([before_next, first]))
                basis = "open" if last is None else draw(st.sampled_from(["termination", "next_span", "absence"]))
                spans.append((kind, code, i + 1, first, last, basis))
    return spans


_odd = st.one_of(
    st.none(),
    st.text("J10- .jXé9", max_size=9),
    st.sampled_from(
        ["", "J1100-RT", "j1100rt", " J1100 RT LT ", "J11.00", "99213-25:59", "99213_", "J1100--RT", "\tJ1100"]
    ),
)
_lines = st.lists(
    st.tuples(
        st.one_of(st.sampled_from(_CODES), _odd),
        st.one_of(st.none(), _days),
        st.one_of(st.none(), _days),
        st.one_of(st.none(), st.sampled_from([*_MODIFIERS, "", "rt", "R T", "RTX", "J1100"])),
    ),
    max_size=40,
)


def joined_by_duckdb(version: Path, claims: pa.Table, **names: Any) -> list[dict[str, Any]]:
    connection = duckdb.connect()
    connection.register("claims", claims.append_column("line", pa.array(range(claims.num_rows), pa.int64())))
    statement = annotate_sql("duckdb", SqlNames(folder=str(version), **names))
    return connection.sql(f"select * exclude (line) from ({statement}) order by line").to_arrow_table().to_pylist()


@pytest.mark.slow
@settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
@given(histories(), _lines, st.sampled_from([1, 3, 1000]), st.booleans())
def test_any_claims_and_any_history_give_what_a_range_join_gives(
    tmp_path_factory: pytest.TempPathFactory,
    spans: list[Span],
    lines: list[tuple[Any, ...]],
    row_group: int,
    as_dictionary: bool,
) -> None:
    folder = tmp_path_factory.mktemp("any")
    version = write_version(folder / "version", spans)
    code, day, other, modifier = (list(column) for column in zip(*lines, strict=True)) if lines else ([], [], [], [])
    claims = pa.table(
        {
            "hcpcs_code": pa.array(code, pa.string()),
            "day": pa.array(day, pa.date32()),
            "other": pa.array(other, pa.date32()),
            "mod": pa.array(modifier, pa.string()),
        }
    )
    pq.write_table(claims, folder / "c.parquet", row_group_size=row_group, use_dictionary=as_dictionary)
    rows, summary = annotated(folder / "c.parquet", version, date_else="other", modifiers=["mod"])
    wanted = joined_by_duckdb(version, claims, date="day", date_else="other", modifiers=["mod"])
    for line, mine, theirs in zip(lines, rows, wanted, strict=True):
        assert {k: (v, theirs[k]) for k, v in mine.items() if v != theirs[k]} == {}, line
    counted = {r["name"]: r["lines"] for r in summary["by_status"]}
    assert sum(counted.values()) == summary["lines"] == len(wanted)
    assert all(n == sum(r["code_status_on_date"] == s for r in wanted) for s, n in counted.items())


@pytest.fixture(scope="session")
def claims_csv(shared: Path) -> Path:
    return shared / "claims" / "medical_claim_seed.csv"


def test_the_shared_claims_get_what_a_plain_range_join_gives(claims_csv: Path, version: Path, tmp_path: Path) -> None:
    summary = annotate(
        claims_csv,
        tmp_path / "out",
        version=version,
        code="hcpcs_code",
        date="claim_line_start_date",
        date_else="claim_start_date",
        modifiers=["hcpcs_modifier_*"],
    )
    table = pq.read_table(tmp_path / "out")
    given = pl.read_csv(claims_csv, infer_schema=False).with_row_index("n")
    assert table.select(given.columns[1:]).to_pylist() == given.drop("n").to_dicts()
    plain = (
        duckdb.connect()
        .sql(
            f"""
        select c.n, h.episode, h.short_description
        from given as c
        left join '{version}/open/hcpcs_history.parquet' as h
            on h.kind = 'procedure' and h.code = c.hcpcs_code
            and coalesce(c.claim_line_start_date, c.claim_start_date)::date >= h.valid_from
            and (h.valid_to is null or coalesce(c.claim_line_start_date, c.claim_start_date)::date <= h.valid_to)
        order by c.n
        """
        )
        .fetchall()
    )
    assert len(plain) == table.num_rows
    for (_, episode, words), row in zip(plain, table.select(list(DEFAULT_COLUMNS)).to_pylist(), strict=True):
        assert (row["code_status_on_date"] == "valid") == (episode is not None)
        if episode is not None:
            assert (row["episode"], row["short_description"]) == (episode, words)
    assert summary["lines"] == 2075
    assert summary["null"]["claim_line_start_date"] == 500


# Codes and dates as people have them


@pytest.mark.parametrize(
    ("given", "code", "modifiers"),
    [
        ("J1100", "J1100", None),
        ("j1100", "J1100", None),
        ("  J1100\t", "J1100", None),
        ("\u00a0J1100", "J1100", None),
        ("J11.00", "J1100", None),
        ("J 1100.", "J1100", None),
        ("J1100-JW", "J1100", "JW"),
        ("J1100JW", "J1100", "JW"),
        ("j1100 jw, kx", "J1100", "JW KX"),
        ("99213-25:59", "99213", "25 59"),
        ("142", None, None),
        ("00002143380", None, None),
        ("J1100JWKX", None, None),
        ("J1100-J", None, None),
        ("", None, None),
        (None, None, None),
    ],
)
def test_a_code_is_read_by_the_stated_rules(given: str | None, code: str | None, modifiers: str | None) -> None:
    read = read_codes(pa.array([given], pa.string()))
    assert (read.texts()[0].as_py(), read.modifiers[0].as_py()) == (code, modifiers)


@given(st.lists(st.one_of(st.none(), st.text("AJZ0159", max_size=7)), max_size=30), st.integers(0, 5))
def test_numbers_of_codes_are_their_texts(values: list[str | None], start: int) -> None:
    texts = pa.array(values, pa.string()).slice(start)
    keys = keys_of_texts(texts)
    shaped = [v if v and len(v) == 5 and v[1:4].isdigit() else None for v in texts.to_pylist()]
    assert texts_of_keys(keys).to_pylist() == shaped


@pytest.mark.parametrize("kind", [pa.int32(), pa.int64(), pa.float64()])
def test_a_column_of_numbers_gets_its_zeros_back(tmp_path: Path, version: Path, kind: pa.DataType) -> None:
    claims = claims_of(tmp_path / "c.parquet", pa.array([142, 99213, None], kind), [DAY] * 3)
    rows, summary = annotated(claims, version, columns=["normalized_code"])
    assert [r["normalized_code"] for r in rows] == ["00142", "99213", None]
    assert [r["hcpcs_code"] for r in rows] == [142, 99213, None]
    assert summary["odd"]["codes_read_by_rule"] == {"zeros_restored": 1}


def test_a_csv_column_that_is_all_numbers_gets_its_zeros_back(tmp_path: Path, version: Path) -> None:
    (tmp_path / "c.csv").write_text("hcpcs_code,day\n142,2020-01-01\n99213,2020-01-01\n", "utf-8")
    rows, summary = annotated(tmp_path / "c.csv", version, columns=["normalized_code"])
    assert [r["normalized_code"] for r in rows] == ["00142", "99213"]
    assert summary["codes_read_as_numbers"] == ["hcpcs_code"]


@pytest.mark.parametrize("codes", [["0636", "0510", "99213"], ["0250", "142"]])
def test_numbers_that_have_their_zeros_are_no_codes_that_lost_them(
    tmp_path: Path, version: Path, codes: list[str]
) -> None:
    (tmp_path / "c.csv").write_text("hcpcs_code,day\n" + "".join(f"{c},2020-01-01\n" for c in codes), "utf-8")
    rows, summary = annotated(tmp_path / "c.csv", version, columns=["normalized_code"])
    assert [r["normalized_code"] for r in rows] == [c if len(c) == 5 else None for c in codes]
    assert summary["codes_read_as_numbers"] == []


def test_a_number_with_its_zeros_behind_the_first_lines_is_not_padded(tmp_path: Path, version: Path) -> None:
    codes = [*(str(142 + i) for i in range(100)), "0636"]
    (tmp_path / "c.csv").write_text("hcpcs_code,day\n" + "".join(f"{c},2020-01-01\n" for c in codes), "utf-8")
    rows, _ = annotated(tmp_path / "c.csv", version, columns=["normalized_code"])
    assert [r["normalized_code"] for r in (rows[0], rows[-1])] in (["00142", None], [None, None])


@pytest.mark.parametrize(
    ("days", "form"),
    [
        (pa.array([dt.date(2016, 12, 31), None]), "a date"),
        (pa.array([dt.datetime(2016, 12, 31, 23, 59), None]), "a time stamp, its day taken"),
        (pa.array([20161231, None], pa.int32()), "a number YYYYMMDD"),
        (pa.array([20161231.0, None]), "a number YYYYMMDD"),
        (pa.array(["2016-12-31", None]), "text YYYY-MM-DD"),
        (pa.array(["2016-12-31 10:00:00", " "]), "text YYYY-MM-DD"),
        (pa.array(["20161231", ""]), "text YYYYMMDD"),
        (pa.array(["12/31/2016", None]), "text MM/DD/YYYY"),
    ],
)
def test_every_form_of_date_is_read(tmp_path: Path, version: Path, days: pa.Array, form: str) -> None:
    rows, summary = annotated(claims_of(tmp_path / "c.parquet", ["J0570", "J0570"], days), version)
    assert [r["code_status_on_date"] for r in rows] == ["valid", "no_date"]
    assert summary["dates_read_as"] == {"day": form}
    assert (summary["null"]["day"], summary["odd"]["unreadable_dates"]) == (1, {})


def test_a_date_in_another_form_than_its_column_is_no_date_and_counted(tmp_path: Path, version: Path) -> None:
    days = ["2016-12-31", "2016-12-30", "2016-1-2", "12/31/2016", "2016-02-30", "soon", None]
    rows, summary = annotated(claims_of(tmp_path / "c.parquet", ["J0570"] * 7, days), version)
    assert [r["code_status_on_date"] for r in rows] == [*["valid"] * 3, *["no_date"] * 4]
    assert summary["odd"]["unreadable_dates"] == {"day": 3}


def test_a_time_stamp_has_the_day_of_its_own_zone(tmp_path: Path, version: Path) -> None:
    late = pa.array([dt.datetime(2017, 1, 1, 3, tzinfo=dt.UTC)], pa.timestamp("us", "America/New_York"))
    assert (
        annotated(claims_of(tmp_path / "c.parquet", ["J0570"], late), version)[0][0]["code_status_on_date"] == "valid"
    )


# Files


def many(lines: int) -> pa.Table:
    rng = np.random.default_rng(1)
    codes = rng.choice(["J1100", "J0570", "C9716", "99213", "j1100", "J1100-RT", "nothing", ""], lines)
    days = rng.integers(14_000, 20_000, lines).astype("int32")
    return pa.table({"hcpcs_code": codes, "day": pa.array(days).cast(pa.date32()), "n": np.arange(lines)})


@pytest.mark.parametrize("row_group", [50_000, 700, pytest.param(13, marks=pytest.mark.slow)])
def test_the_size_of_row_groups_changes_nothing(
    tmp_path: Path, version: Path, row_group: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hcpcs.annotate.files._PART_LINES", 5_000)
    monkeypatch.setattr("hcpcs.annotate.files._PART_BYTES", 1 << 18)
    table = many(20_000)
    pq.write_table(table, tmp_path / "c.parquet", row_group_size=row_group)
    whole = joined_by_duckdb(version, table, date="day")
    for out in (tmp_path / "folder", tmp_path / "file.parquet"):
        annotate(tmp_path / "c.parquet", out, version=version, code="hcpcs_code", date="day", threads=3)
        assert pq.read_table(out).to_pylist() == whole


def test_a_folder_keeps_its_partitions_and_the_file_tells_its_version(tmp_path: Path, version: Path) -> None:
    for year in (2019, 2020):
        (tmp_path / "in" / f"year={year}").mkdir(parents=True)
        claims_of(tmp_path / "in" / f"year={year}" / "part.parquet", ["J1100"], [dt.date(year, 1, 1)])
    annotate(tmp_path / "in", tmp_path / "out", version=version, code="hcpcs_code", date="day")
    written = sorted(str(p.relative_to(tmp_path / "out")) for p in (tmp_path / "out").rglob("*.parquet"))
    assert written == ["year=2019/part-00000.parquet", "year=2020/part-00000.parquet"]
    metadata = pq.read_schema(tmp_path / "out" / written[0]).metadata
    assert metadata[b"hcpcs.version"] == b"2025.10.7"


@pytest.mark.parametrize("place", ["in/*/*.parquet", "in/**/*.parquet", "in"])
def test_claims_are_found_by_folder_glob_and_address(tmp_path: Path, version: Path, place: str) -> None:
    (tmp_path / "in" / "a").mkdir(parents=True)
    claims_of(tmp_path / "in" / "a" / "x.parquet", ["J1100"], [DAY])
    (tmp_path / "in" / "a" / "_SUCCESS").touch()
    for address in (f"{tmp_path}/{place}", f"file://{tmp_path}/{place}"):
        summary = annotate(address, version=f"file://{version}", code="hcpcs_code", date="day")
        assert (summary["lines"], summary["by_status"]) == (1, [{"name": "valid", "lines": 1}])


@pytest.mark.parametrize("kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int8(), pa.string())])
def test_the_columns_of_the_claims_stay_what_they_were(tmp_path: Path, version: Path, kind: pa.DataType) -> None:
    table = pa.table(
        {
            "hcpcs_code": pa.array(["j1100", None, "x"]).cast(kind),
            "day": pa.array([DAY, None, DAY]),
            "at": pa.array([1, 2, None], pa.timestamp("us", "UTC")),
            "list": [[1], [], None],
        },
    )
    pq.write_table(table, tmp_path / "c.parquet")
    annotated(tmp_path / "c.parquet", version)
    out = pq.read_table(tmp_path / "c-annotated.parquet").select(table.schema.names)
    before = pq.read_table(tmp_path / "c.parquet")
    assert out.schema.equals(before.schema)
    assert out.to_pylist() == before.to_pylist()


def test_added_texts_stay_dictionary_encoded(tmp_path: Path, version: Path) -> None:
    pq.write_table(many(5000), tmp_path / "c.parquet")
    annotated(tmp_path / "c.parquet", version)
    file = pq.ParquetFile(tmp_path / "c-annotated.parquet")
    added = [f for f in file.schema_arrow if f.name not in ("hcpcs_code", "day", "n", "is_unlisted", "episode")]
    assert added and all(pa.types.is_dictionary(f.type) for f in added)
    group = file.metadata.row_group(0)
    encodings = {group.column(i).path_in_schema: group.column(i).encodings for i in range(group.num_columns)}
    assert all("RLE_DICTIONARY" in encodings[f.name] for f in added)


def test_columns_whose_values_differ_are_written_without_a_dictionary(tmp_path: Path, version: Path) -> None:
    claims = many(5000).append_column("id", pa.array([f"claim {i}" for i in range(5000)]))
    claims = claims.append_column("payer", pa.array([f"payer {i % 7}" for i in range(5000)]))
    for name, write in (("c.parquet", pq.write_table), ("c.csv", pyarrow.csv.write_csv)):
        write(claims, tmp_path / name)
        annotate(tmp_path / name, tmp_path / f"{name}.parquet", version=version, code="hcpcs_code", date="day")
        group = pq.read_metadata(tmp_path / f"{name}.parquet").row_group(0)
        encodings = {group.column(i).path_in_schema: group.column(i).encodings for i in range(group.num_columns)}
        assert "RLE_DICTIONARY" not in encodings["id"] and "RLE_DICTIONARY" in encodings["payer"], name


def test_no_lines_give_a_file_without_lines(tmp_path: Path, version: Path) -> None:
    claims = claims_of(tmp_path / "c.parquet", pa.array([], pa.string()), pa.array([], pa.date32()))
    rows, summary = annotated(claims, version)
    assert (rows, summary["lines"], summary["by_status"]) == ([], 0, [])
    annotate(claims, tmp_path / "out", version=version, code="hcpcs_code", date="day")
    assert pq.read_table(tmp_path / "out").schema.names[-1] == DEFAULT_COLUMNS[-1]


def test_any_number_of_distinct_odd_codes_is_borne(tmp_path: Path, version: Path) -> None:
    codes = [f"odd number {i}" for i in range(60_000)] + ["J1100"] * 2
    rows, summary = annotated(claims_of(tmp_path / "c.parquet", codes, [DAY] * len(codes)), version)
    assert {r["name"]: r["lines"] for r in summary["by_status"]} == {"unknown_shape": 60_000, "valid": 2}
    assert summary["odd"]["no_code_is_partial"] is True
    assert rows[-1]["code_status_on_date"] == "valid"


@given(st.lists(st.lists(st.sampled_from("abcdef"), unique=True), max_size=12), st.integers(1, 30))
def test_lines_by_value_are_the_same_however_often_they_are_added_up(parts: list[list[str]], rows: int) -> None:
    found, wanted = Frequencies(), Counter[str]()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("hcpcs.annotate.summary._MOST_ROWS", rows)
        patch.setattr("hcpcs.annotate.summary._MOST_PIECES", 3)
        for part in parts:
            own = Frequencies()
            own.count(pa.array(part, pa.string()), np.arange(1, len(part) + 1))
            found.add(own)
            wanted.update(dict(zip(part, range(1, len(part) + 1), strict=True)))
        most = sorted(wanted.items(), key=lambda item: (-item[1], item[0]))
        assert found.most_common(3) == most[:3]
        assert (found.most_common(9), found.is_partial) == (most, False)


# Redaction and the summary


def test_redaction_blanks_what_is_withheld_and_counts_it(tmp_path: Path, version: Path) -> None:
    codes = ["99213", "99213", "J1100", "d0120", "??", "99214"]
    words = ["a", "b", "c", "d", "e", None]
    rows, summary = annotated(
        claims_of(tmp_path / "c.parquet", codes, [DAY] * 6, words=words), version, redact=["words"]
    )
    assert [r["words"] for r in rows] == [None, None, "c", None, None, None]
    assert summary["redacted"] == {
        "columns": ["words"],
        "judged_by": {"words": ["hcpcs_code"]},
        "misplaced": {},
        "values": 4,
        "by_license": {"LicenseRef-AMA-CPT": 2, "LicenseRef-ADA-CDT": 1, "LicenseRef-Unknown": 1},
        "by_code": [
            {"license_id": "LicenseRef-AMA-CPT", "code": "99213", "values": 2},
            {"license_id": "LicenseRef-ADA-CDT", "code": "D0120", "values": 1},
            {"license_id": "LicenseRef-Unknown", "code": None, "values": 1},
        ],
    }
    assert b"words" in (tmp_path / "c-annotated.parquet").read_bytes()
    assert b"99213" in (tmp_path / "c-annotated.parquet").read_bytes()


def test_the_summary_names_invalid_codes_with_their_successors(tmp_path: Path, version: Path) -> None:
    codes = ["J0570"] * 3 + ["J5555"] * 2 + ["j1100", "J1100-RT", "zz", "", None]
    days = [dt.date(2017, 1, 1)] * 3 + [DAY, None] + [DAY] * 4 + [dt.date(2026, 1, 1)]
    claims = claims_of(tmp_path / "c.parquet", codes, days, paid=[1.5] * 10)
    summary = annotate(claims, version=version, code="hcpcs_code", date="day", amount="paid")
    assert summary["invalid_codes"] == [
        {
            "code": "J0570",
            "status": "expired",
            "lines": 3,
            "replaced_by": ["A0001", "A0002"],
            "short_description": "J0570 in its meaning 1 since 2015-01-01",
        },
        {"code": "J5555", "status": "unknown_code", "lines": 1, "replaced_by": [], "short_description": None},
    ]
    assert {r["name"]: (r["lines"], r["amount"]) for r in summary["by_status"]} == {
        "expired": (3, 4.5),
        "unknown_shape": (3, 4.5),
        "valid": (2, 3.0),
        "unknown_code": (1, 1.5),
        "no_date": (1, 1.5),
    }
    assert summary["null"] == {"code": 2, "day": 1}
    assert summary["odd"] == {
        "codes_read_by_rule": {"upper_cased": 1, "modifier_cut_off": 1},
        "no_code": [{"value": "zz", "lines": 1}],
        "no_code_is_partial": False,
        "unreadable_dates": {},
        "after_newest_release": 1,
        "unreadable_amounts": {"lines": 0, "examples": []},
        "blank_lines": 0,
    }
    json.dumps(summary)


# Bad input


@pytest.fixture
def two(tmp_path: Path) -> Iterator[Path]:
    """A folder of two files, and afterwards: nothing may be left of what failed."""
    (tmp_path / "in").mkdir()
    for name in "ab":
        pq.write_table(many(3000), tmp_path / "in" / f"{name}.parquet", row_group_size=1000)
    yield tmp_path
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]


def refused(two: Path, version: Path, error: type[HcpcsError], what: str, **options: Any) -> None:
    for out in ("out", "out.parquet"):
        with pytest.raises(error, match=what):
            annotate(two / "in", two / out, version=version, **{"code": "hcpcs_code", "date": "day"} | options)


def test_a_column_that_is_not_there_is_an_error(two: Path, version: Path) -> None:
    refused(two, version, UnusableColumn, "no column 'hcpc'; they have: hcpcs_code, day, n", code="hcpc")
    refused(two, version, UnusableColumn, "no column 'mod_.'", modifiers=["mod_*"])
    refused(two, version, UnusableColumn, "no column 'price' can be added; there are: code_system", columns=["price"])


def test_of_many_columns_those_alike_are_named(claims_csv: Path, version: Path) -> None:
    with pytest.raises(UnusableColumn, match=r"no column 'hcpcs_codes'; of their 148 columns .*: hcpcs_code\b"):
        annotate(claims_csv, version=version, code="hcpcs_codes", date="claim_start_date")


def test_a_date_column_of_another_kind_is_an_error(two: Path, version: Path) -> None:
    refused(two, version, UnusableColumn, "'n' has no dates in a known format .a number YYYYMMDD.: 0, 1, 2", date="n")
    refused(two, version, UnusableColumn, "'hcpcs_code' has no dates", date="hcpcs_code")
    refused(two, version, UnusableColumn, "'day' is date32.day.: neither text nor a number", code="day")


def test_a_column_that_would_be_doubled_is_an_error(two: Path, version: Path) -> None:
    for file in (two / "in").iterdir():
        pq.write_table(pq.read_table(file).append_column("episode", [[1] * 3000]), file)
    refused(two, version, UnusableColumn, "have episode already")


def test_a_corrupt_row_group_is_an_error_that_names_it(two: Path, version: Path) -> None:
    file = two / "in" / "b.parquet"
    place = pq.read_metadata(file).row_group(1).column(0)
    start = place.dictionary_page_offset or place.data_page_offset
    data = bytearray(file.read_bytes())
    data[start : start + place.total_compressed_size] = b"\xff" * place.total_compressed_size
    file.write_bytes(data)
    refused(two, version, ClaimsUnreadable, r"b\.parquet, row groups? .*1.*cannot be read")


def test_a_file_that_is_no_parquet_is_an_error(two: Path, version: Path) -> None:
    (two / "in" / "b.parquet").write_bytes(b"<html>")
    refused(two, version, ClaimsUnreadable, r"b\.parquet: cannot be read")


def test_a_file_with_other_columns_is_an_error_that_names_them(two: Path, version: Path) -> None:
    table = many(10)
    pq.write_table(table.set_column(2, "n", table["n"].cast(pa.string())), two / "in" / "b.parquet")
    refused(
        two, version, ClaimsUnreadable, "b.parquet does not have the columns of a.parquet: 'n' is string, and int64"
    )


def test_claims_that_are_not_there_are_an_error(two: Path, version: Path) -> None:
    with pytest.raises(ClaimsUnreadable, match="there is no such file or folder"):
        annotate(two / "nowhere", two / "out", version=version, code="hcpcs_code", date="day")
    with pytest.raises(ClaimsUnreadable, match="there is no Parquet or CSV file"):
        annotate(two / "in" / "*.orc", two / "out", version=version, code="hcpcs_code", date="day")
    with pytest.raises(HcpcsError, match="is not a version"):
        annotate(two / "in", two / "out", version=two, code="hcpcs_code", date="day")


def test_out_is_never_overwritten_nor_within_the_claims(two: Path, version: Path) -> None:
    with pytest.raises(OutputRefused, match="is inside the claims"):
        annotate(two / "in", two / "in" / "out", version=version, code="hcpcs_code", date="day")
    with pytest.raises(OutputRefused, match="exists"):
        annotate(two / "in" / "a.parquet", two / "in" / "b.parquet", version=version, code="hcpcs_code", date="day")
    with pytest.raises(OutputRefused, match="exists"):
        annotate(two / "in" / "a.parquet", two / "in", version=version, code="hcpcs_code", date="day")


def test_a_broken_csv_is_an_error(tmp_path: Path, version: Path) -> None:
    for text, what in ((b"hcpcs_code,day\nJ1100\n", "line 2: 1 fields"), (b"", "is empty"), (b"a,a\n1,2\n", "several")):
        (tmp_path / "c.csv").write_bytes(text)
        with pytest.raises(ClaimsUnreadable, match=what):
            annotate(tmp_path / "c.csv", tmp_path / "out", version=version, code="hcpcs_code", date="day")
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_an_error_and_leaves_nothing(two: Path, version: Path) -> None:
    # A limit on the size of a file ends writing as a full disk does.
    script = (
        "import resource, sys; from hcpcs.annotate.engine import annotate\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4000, 4000))\n"
        "try: annotate(sys.argv[1], sys.argv[2], version=sys.argv[3], code='hcpcs_code', date='day')\n"
        "except Exception as error: print(type(error).__name__, error)"
    )
    assert resource.RLIMIT_FSIZE is not None
    for out in ("out", "out.parquet"):
        done = subprocess.run(
            [sys.executable, "-c", script, two / "in", two / out, version], capture_output=True, text=True, check=True
        )
        assert done.stdout.startswith("OutputRefused") and "could not be written" in done.stdout, done.stderr
