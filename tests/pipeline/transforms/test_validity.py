"""``hcpcs_validity``: for every code and day exactly one row answers, and it says what the other tables say."""

from __future__ import annotations

import re
from typing import Any

import duckdb
import polars as pl
import pytest
from conftest import Version

from pipeline.transforms.validity import code_intervals, code_shape, curated_intervals, days_not_answered_once
from sources.curated.tables import load_code_families, load_code_sections, load_code_systems

SIGNS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
#: A code of every pair of first and last character, and every modifier.
PROCEDURES = [f"{first}{inner}{last}" for first in SIGNS for last in SIGNS for inner in ("000", "499", "999")]
MODIFIERS = [first + last for first in SIGNS for last in SIGNS]

#: One equality join, one interval join: which rows answer for the codes in ``asked``.
ANSWERS = """
    select asked.kind, asked.code, v.code_system, v.from_day, v.to_day
    from asked join validity as v on v.kind = asked.kind and v.first_code = asked.code
    where not v.is_interval
    union all
    select asked.kind, asked.code, v.code_system, v.from_day, v.to_day
    from (from asked anti join known on known.kind = asked.kind and known.first_code = asked.code) as asked
    left join (from validity where is_interval) as v
        on v.kind = asked.kind and v.code_shape = asked.shape and asked.code between v.first_code and v.last_code
"""


@pytest.fixture(scope="module")
def database(sample: Version) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect()
    for name in ("validity", "history", "codes"):
        connection.sql(f"create view {name} as from '{sample.folder}/open/hcpcs_{name}.parquet'")
    connection.sql("create view known as select distinct kind, first_code from validity where not is_interval")
    codes = pl.DataFrame(
        {
            "kind": ["procedure"] * len(PROCEDURES)
            + ["modifier"] * len(MODIFIERS)
            + ["ambulance_modifier"] * len(MODIFIERS),
            "code": PROCEDURES + MODIFIERS + MODIFIERS,
        }
    )
    listed = connection.sql("select kind, first_code as code from known").pl()
    asked = pl.concat([codes, listed]).unique().with_columns(shape=code_shape(pl.col("code")))
    connection.register("asked", asked.to_arrow())
    return connection


def test_each_code_that_has_a_systems_shape_is_answered_and_no_other(database: duckdb.DuckDBPyConnection) -> None:
    rows = database.sql(f"select distinct kind, code, code_system from ({ANSWERS})").fetchall()
    assert database.sql("select count(*) from asked").fetchall() == [(len(rows),)]
    shaped = load_code_systems().filter(pl.col("code_pattern").is_not_null())
    systems = shaped.select("kind", "code_pattern", "code_system_id").rows()
    pairs = re.compile("[DEGHIJNPRS][CDEFGHIJNOPRSUWX]")
    for kind, code, found in rows:
        if kind == "ambulance_modifier":
            kind = "modifier"
            if pairs.fullmatch(code):
                assert found == "hcpcs-level-2-modifier"
                continue
        assert [s for k, pattern, s in systems if k == kind and re.search(pattern, code)] == ([found] if found else [])


def test_for_each_code_shape_and_ten_thousand_days_exactly_one_row_answers(
    database: duckdb.DuckDBPyConnection,
) -> None:
    ((codes, days, pairs, fewest, most),) = database.sql(
        f"""
        with one_of_each as (
            select kind, shape, is_known, min(code) as code from (
                select asked.*, known.first_code is not null as is_known
                from asked left join known on known.kind = asked.kind and known.first_code = asked.code
            ) group by all
        ),
        answers as (select * from ({ANSWERS}) semi join one_of_each using (kind, code) where code_system is not null),
        days as (select unnest(generate_series(date '1999-12-31', date '2027-05-17', interval 1 day))::date as day),
        pairs as (select kind, code, day from (select distinct kind, code from answers) cross join days),
        counted as (
            select kind, code, day, count(*) as answers from pairs join answers using (kind, code)
            where day between from_day and to_day group by all
        )
        select count(distinct (kind, code)), count(distinct day), count(*), min(answers), max(answers) from counted
        """
    ).fetchall()
    assert (days, pairs, fewest, most) == (10_000, codes * 10_000, 1, 1)
    assert codes > 60


def test_a_span_of_the_history_is_valid_on_its_days_and_on_no_other(database: duckdb.DuckDBPyConnection) -> None:
    differing = database.sql(
        """
        with days as (
            select kind, first_code as code, episode, span_number, min(from_day) as from_day, max(to_day) as to_day
            from validity where status = 'valid' and kind <> 'ambulance_modifier' group by all
        )
        select * from history full join days using (kind, code, episode, span_number)
        where from_day is distinct from valid_from or to_day is distinct from coalesce(valid_to, date '9999-12-31')
        """
    ).fetchall()
    assert differing == []


def test_what_is_said_after_an_end_is_what_held_last(database: duckdb.DuckDBPyConnection) -> None:
    rows = database.sql(
        """
        select v.first_code, h.valid_to, v.from_day, v.status, h.valid_to_basis
        from validity as v join history as h
            on h.kind = v.kind and h.code = v.first_code and h.episode = v.episode and h.span_number = v.span_number
        where v.status in ('expired', 'purged_unknown')
        """
    ).fetchall()
    assert {(basis, status) for *_, status, basis in rows} == {
        ("termination", "expired"),
        ("absence", "purged_unknown"),
    }
    assert all(valid_to < from_day for _, valid_to, from_day, *_ in rows)


@pytest.mark.parametrize(
    ("kind", "code", "day", "status", "license_id"),
    [
        ("procedure", "0001A", "2020-12-10", "not_yet_valid", "LicenseRef-AMA-CPT"),
        ("procedure", "0001A", "2020-12-11", "not_loaded", "LicenseRef-AMA-CPT"),
        ("procedure", "0001A", "2023-10-31", "not_loaded", "LicenseRef-AMA-CPT"),
        ("procedure", "0001A", "2023-11-01", "system_ended", "LicenseRef-AMA-CPT"),
        ("procedure", "W1234", "2003-12-31", "not_loaded", "LicenseRef-Unknown"),
        ("procedure", "W1234", "2004-01-01", "system_ended", "LicenseRef-Unknown"),
        ("procedure", "J0001", "2020-01-01", "unknown_code", "LicenseRef-Unknown"),
        ("procedure", "D0120", "2020-01-01", "not_loaded", "LicenseRef-ADA-CDT"),
        ("modifier", "25", "2020-01-01", "not_loaded", "LicenseRef-AMA-CPT"),
        ("modifier", "0A", "2020-01-01", "system_ended", "LicenseRef-AMA-CPT"),
        ("modifier", "BZ", "2020-01-01", "unknown_code", "LicenseRef-Unknown"),
        ("modifier", "WB", "2003-12-31", "not_loaded", "LicenseRef-Unknown"),
        ("modifier", "WB", "2004-01-01", "system_ended", "LicenseRef-Unknown"),
        ("procedure", "0001T", "2001-12-31", "not_yet_valid", "LicenseRef-AMA-CPT"),
    ],
)
def test_a_code_that_no_release_states_is_what_its_system_was_on_that_day(
    sample: Version, kind: str, code: str, day: str, status: str, license_id: str
) -> None:
    rows = sample.open("hcpcs_validity").filter(
        pl.col("is_interval"),
        kind=kind,
        code_shape=re.sub("^[A-Z]", "A", re.sub("[0-9]", "#", code)),
    )
    rows = rows.filter(
        pl.lit(code).is_between(pl.col("first_code"), pl.col("last_code")),
        pl.lit(day).str.to_date().is_between(pl.col("from_day"), pl.col("to_day")),
    )
    (row,) = rows.to_dicts()
    assert (row["status"], row["license_id"], row["redistribution"]) == (status, license_id, "withheld")
    assert row["episode"] is row["short_description"] is row["long_description"] is None


def test_a_text_of_another_owner_is_masked(sample: Version) -> None:
    rows = sample.open("hcpcs_validity").filter(kind="modifier", first_code="P1", status="valid")
    assert rows.height
    assert rows["short_description"].null_count() == rows["long_description"].null_count() == rows.height
    assert set(rows["license_id"]) == {"LicenseRef-AMA-CPT"}
    assert rows["withheld_fields"].to_list() == [["short_description", "long_description"]] * rows.height


def test_a_section_is_the_deepest_and_newest_of_the_day() -> None:
    sections = load_code_sections().head(0)
    stated = [
        ("all", 1, "J0000", "J9999", None, None),
        ("old", 2, "J1000", "J1999", None, "2009-12-31"),
        ("new", 2, "J1500", "J2999", "2010-01-01", None),
    ]
    made = pl.DataFrame(
        [
            {
                "section_id": name,
                "depth": depth,
                "first_code": first,
                "last_code": last,
                "valid_from": valid_from,
                "valid_to": valid_to,
                "code_system_id": "hcpcs-level-2",
            }
            for name, depth, first, last, valid_from, valid_to in stated
        ]
    ).with_columns(pl.col("valid_from", "valid_to").str.to_date(), pl.col("depth").cast(pl.Int32))
    intervals = code_intervals(load_code_systems(), pl.concat([sections, made], how="diagonal"), load_code_families())
    ours = intervals.filter(pl.col("first_code").str.starts_with("J"), kind="procedure", status="unknown_code")
    assert ours.select(
        "first_code", "last_code", pl.col("to_day").cast(pl.String), "section_id", "undated_section_id"
    ).rows() == [
        ("J0000", "J0999", "9999-12-31", "all", "all"),
        ("J1000", "J1499", "2009-12-31", "old", "old"),
        ("J1000", "J1499", "9999-12-31", "all", "old"),
        ("J1500", "J1999", "2009-12-31", "old", "new"),
        ("J1500", "J1999", "9999-12-31", "new", "new"),
        ("J2000", "J2999", "2009-12-31", "all", "new"),
        ("J2000", "J2999", "9999-12-31", "new", "new"),
        ("J3000", "J9999", "9999-12-31", "all", "all"),
    ]


@pytest.mark.parametrize(
    ("code", "day", "status"),
    [
        ("RH", "1995-01-01", "valid"),
        ("IH", "2020-01-01", "valid"),
        ("SX", "2020-01-01", "valid"),
        ("RW", "2020-12-31", "unknown_code"),
        ("RW", "2021-01-01", "valid"),
        ("RW", "2024-01-01", "unknown_code"),
        ("BZ", "2020-01-01", "unknown_code"),
        ("25", "2020-01-01", "not_loaded"),
    ],
)
def test_on_an_ambulances_line_two_letters_are_origin_and_destination(
    sample: Version, code: str, day: str, status: str
) -> None:
    rows = sample.open("hcpcs_validity").filter(
        pl.lit(day).str.to_date().is_between(pl.col("from_day"), pl.col("to_day")), kind="ambulance_modifier"
    )
    own = rows.filter(~pl.col("is_interval"), first_code=code)
    shape = re.sub("^[A-Z]", "A", re.sub("[0-9]", "#", code))
    within = rows.filter(pl.lit(code).is_between("first_code", "last_code"), is_interval=True, code_shape=shape)
    (row,) = (own if own.height else within).to_dicts()
    assert row["status"] == status
    assert (row["long_description"] is not None) == (status == "valid")


def test_a_modifier_that_is_no_pair_is_on_an_ambulances_line_what_it_is_elsewhere(sample: Version) -> None:
    by_kind = sample.open("hcpcs_validity").filter(~pl.col("is_interval")).partition_by("kind", as_dict=True)
    usual, on_ambulance = by_kind["modifier",], by_kind["ambulance_modifier",]
    no_pairs = usual.filter(~pl.col("first_code").str.contains("^[DEGHIJNPRS][CDEFGHIJNOPRSUWX]$"))
    same = on_ambulance.filter(pl.col("first_code").is_in(no_pairs["first_code"].implode()))
    assert no_pairs.height and same.drop("kind").equals(no_pairs.drop("kind"))


def test_the_codes_of_ambulances_say_so(sample: Version) -> None:
    rows = sample.open("hcpcs_validity").filter(modifier_kind="ambulance_modifier", is_interval=True)
    assert {"A0021", "Q3019", "S9960"} <= set(rows["first_code"])
    assert set(sample.open("hcpcs_validity").filter(kind="modifier")["modifier_kind"]) == {None}


def _broken(rows: pl.DataFrame, change: str) -> pl.DataFrame:
    at: Any = (pl.col("first_code") == "B0000") & (pl.col("from_day").dt.year() == 1)
    if change == "missing":
        return rows.filter(~at)
    if change == "twice":
        return pl.concat([rows, rows.filter(at)])
    if change == "day":
        return rows.with_columns(to_day=pl.when(at).then(pl.col("to_day") - pl.duration(days=1)).otherwise("to_day"))
    return rows.with_columns(
        last_code=pl.when(pl.col("first_code") == "B0000").then(pl.lit("C0001")).otherwise("last_code")
    )


@pytest.mark.parametrize("change", ["missing", "twice", "day", "code"])
def test_the_check_finds_a_gap_and_an_overlap(change: str) -> None:
    rows = curated_intervals().with_columns(is_interval=True)
    assert days_not_answered_once(rows).is_empty()
    assert days_not_answered_once(_broken(rows, change)).height
