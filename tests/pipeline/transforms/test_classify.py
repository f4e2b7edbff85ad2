"""A code is classified by its shape, whatever the string, and the documented SQL says the same."""

from __future__ import annotations

import datetime as dt
import itertools
import re
import string
from pathlib import Path

import duckdb
import polars as pl
import pytest
from conftest import REPOSITORY
from hypothesis import given
from hypothesis import strategies as st

from pipeline.transforms.classification import CLASS_COLUMNS, UNKNOWN_SHAPE, classify
from sources.curated.tables import load_code_sections, load_code_systems

DOCUMENT = REPOSITORY / "docs" / "classify.md"
DAYS = [None, "2003-12-31", "2004-01-01", "2018-12-31", "2019-01-01", "2024-12-31", "2025-01-01"]


def classes(*codes: str | None, date: str | None = None) -> list[dict[str, str | None]]:
    return classify(pl.DataFrame({"code": codes}, schema={"code": pl.String}), "code", date=date).to_dicts()


def one(code: str | None, date: str | None = None) -> dict[str, str | None]:
    return classes(code, date=date)[0]


@pytest.mark.parametrize(
    ("code", "code_system", "section", "steward"),
    [
        ("99213", "cpt-category-1", "cpt-evaluation-management", "AMA"),
        ("00100", "cpt-category-1", "cpt-anesthesia", "AMA"),
        ("99140", "cpt-category-1", "cpt-anesthesia", "AMA"),
        ("99141", "cpt-category-1", "cpt-medicine", "AMA"),
        ("99099", "cpt-category-1", "cpt-medicine", "AMA"),
        ("99607", "cpt-category-1", "cpt-medicine", "AMA"),
        ("44950", "cpt-category-1", "cpt-surgery-digestive", "AMA"),
        ("39600", "cpt-category-1", "cpt-surgery", "AMA"),
        ("70010", "cpt-category-1", "cpt-radiology", "AMA"),
        ("80047", "cpt-category-1", "cpt-pathology-laboratory", "AMA"),
        ("00001", "cpt-category-1", None, "AMA"),
        ("0001A", "cpt-covid-vaccine-administration", "cpt-covid-vaccine-administration", "AMA"),
        ("4004F", "cpt-category-2", "cpt-2-intervention", "AMA"),
        ("0500F", "cpt-category-2", "cpt-2-patient-management", "AMA"),
        ("0042T", "cpt-category-3", "cpt-3", "AMA"),
        ("9999T", "cpt-category-3", "cpt-3", "AMA"),
        ("0001U", "cpt-pla", "cpt-pla", "AMA"),
        ("0004M", "cpt-maaa", "cpt-maaa", "AMA"),
        ("99", "cpt-modifier", None, "AMA"),
        ("1P", "cpt-modifier-category-2", None, "AMA"),
        ("P1", "cpt-modifier-physical-status", None, "AMA"),
        ("P6", "cpt-modifier-physical-status", None, "AMA"),
        ("ZY", "hcpcs-level-3-modifier", None, "local"),
        ("PT", "hcpcs-level-2-modifier", None, "CMS"),
        ("GY", "hcpcs-level-2-modifier", None, "CMS"),
        ("F1", "hcpcs-level-2-modifier", None, "CMS"),
        ("0A", "cpt-modifier-genetic-testing", None, "AMA"),
        ("U0001", "hcpcs-level-2", "hcpcs-u", "CMS"),
        ("J1100", "hcpcs-level-2", "hcpcs-j-drugs", "CMS"),
        ("J9000", "hcpcs-level-2", "hcpcs-j-chemotherapy", "CMS"),
        ("A3000", "hcpcs-level-2", "hcpcs-a", "CMS"),
        ("V5999", "hcpcs-level-2", "hcpcs-v-hearing", "CMS"),
        ("A2001", "hcpcs-level-2", "hcpcs-a-skin-substitutes", "CMS"),
        ("D0120", "cdt", "cdt-d", "ADA"),
        ("W1234", "hcpcs-level-3", "hcpcs-3-w", "local"),
    ],
)
def test_a_code_is_what_its_shape_says(code: str, code_system: str, section: str | None, steward: str) -> None:
    found = one(code)
    assert (found["code_system"], found["section"], found["steward"]) == (code_system, section, steward)


@pytest.mark.parametrize(
    "code",
    [
        None,
        "",
        " ",
        "9",
        "P7",
        "00",
        "9P",
        "F1234",
        "9921",
        "992133",
        "99213 ",
        " 99213",
        "99213\n",
        "j1100",
        "0001u",
        "J110O",
        "９９２１３",
        "A-001",
        "é1",
    ],
)
def test_what_has_no_shape_is_unknown_and_nothing_else(code: str | None) -> None:
    found = one(code)
    assert found.pop("code_system") == UNKNOWN_SHAPE
    assert found.pop("code") == code
    assert set(found.values()) == {None}


@pytest.mark.parametrize(
    ("code", "date", "section"),
    [
        ("99201", "2020-12-31", "cpt-evaluation-management"),
        ("99201", "2021-01-01", None),
        ("99201", None, "cpt-evaluation-management"),
        ("98005", "2024-12-31", None),
        ("99091", "2018-12-31", "cpt-medicine"),
        ("99091", "2019-01-01", "cpt-evaluation-management"),
        ("98005", "2025-01-01", "cpt-evaluation-management"),
        ("98005", None, "cpt-evaluation-management"),
        ("10022", "2018-12-31", "cpt-surgery-general"),
        ("10022", "2019-01-01", "cpt-surgery"),
        ("W1234", "2003-12-31", "hcpcs-3-w"),
        ("W1234", "2004-01-01", None),
        ("0001A", "2023-10-31", "cpt-covid-vaccine-administration"),
        ("0001A", "2023-11-01", None),
    ],
)
def test_a_date_chooses_the_section_and_not_the_code_system(code: str, date: str | None, section: str | None) -> None:
    found = one(code, date)
    assert found["section"] == section
    assert found["code_system"] == one(code)["code_system"]


@given(st.lists(st.one_of(st.none(), st.text(), st.from_regex(r"[A-Z0-9]{2}|[A-Z0-9]{5}", fullmatch=True))))
def test_classify_is_total_and_keeps_rows_and_order(codes: list[str | None]) -> None:
    found = classes(*codes)
    assert [row["code"] for row in found] == codes
    assert all(row["code_system"] is not None for row in found)
    assert all((row["license_id"] is None) == (row["code_system"] == UNKNOWN_SHAPE) for row in found)


def test_a_lazy_frame_stays_lazy_and_says_the_same() -> None:
    frame = pl.DataFrame({"n": range(6), "code": ["99213", None, "J1100", "x", "99213", "P3"]})
    lazy = classify(frame.lazy(), "code")
    assert isinstance(lazy, pl.LazyFrame)
    assert lazy.collect().equals(classify(frame, "code"))
    assert classify(frame, "code").columns == ["n", "code", *CLASS_COLUMNS]


def test_columns_that_are_there_are_not_overwritten() -> None:
    frame = pl.DataFrame({"code": ["J1100"], "steward": ["me"]})
    with pytest.raises(ValueError, match="steward already"):
        classify(frame, "code")
    found = classify(frame, "code", prefix="code_").row(0, named=True)
    assert (found["steward"], found["code_steward"]) == ("me", "CMS")


def test_numbers_are_refused_as_codes() -> None:
    with pytest.raises(TypeError, match="leading zeros"):
        classify(pl.DataFrame({"code": [100]}), "code")


def test_a_date_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="2024-13-01"):
        classes("99213", date="2024-13-01")


def _neighbors(code: str) -> list[str]:
    digits = re.search(r"[0-9]+", code)
    assert digits is not None
    around = [int(digits[0]) + step for step in (-1, 0, 1)]
    return [code[: digits.start()] + f"{n:0{len(digits[0])}d}" + code[digits.end() :] for n in around if n >= 0]


def _broad() -> list[str | None]:
    """Both ends of every interval with their neighbors, every pair of letters and digits, and noise."""
    sections = load_code_sections()
    ends = {c for column in ("first_code", "last_code") for c in sections[column].drop_nulls()}
    codes = {n for end in ends for n in _neighbors(end)}
    signs = string.ascii_uppercase + string.digits
    codes |= {"".join(pair) for pair in itertools.product(signs, repeat=2)}
    codes |= {f"{a}123{b}" for a, b in itertools.product(signs, repeat=2)}
    codes |= {"", " ", "j1100", "99213 ", "992131", "é9213", "９９２１３", "99213\n", "'; DROP TABLE codes"}
    return [*sorted(codes), None]


@pytest.mark.parametrize("day", DAYS)
def test_the_documented_sql_says_the_same(day: str | None) -> None:
    (sql,) = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    codes = pl.DataFrame({"code": _broad()}, schema={"code": pl.String})
    tables = {"codes": codes, "code_systems": load_code_systems(), "code_sections": load_code_sections()}
    with duckdb.connect() as connection:
        for name, frame in tables.items():
            connection.register(name, frame.to_arrow())
        cursor = connection.execute(sql, {"day": dt.date.fromisoformat(day) if day else None})
        names = [column[0] for column in cursor.description]
        found = {row[names.index("code")]: dict(zip(names, row, strict=True)) for row in cursor.fetchall()}
    expected = classify(codes, "code", date=day)
    assert found == {row["code"]: row for row in expected.iter_rows(named=True)}
    assert expected["code_system"].n_unique() == load_code_systems()["code_pattern"].count() + 1


def test_the_documented_table_is_what_classify_says() -> None:
    rows = [
        [cell.strip(" `") or None for cell in line.strip("|").split("|")]
        for line in DOCUMENT.read_text(encoding="utf-8").splitlines()
        if line.startswith("| `")
    ]
    fields = ("code", "code_system", "level", "category", "section", "steward")
    assert len(rows) == 9
    assert rows == [[found[f] for f in fields] for found in classes(*[row[0] for row in rows])]


def test_claims_that_no_one_here_wrote_have_known_shapes(shared: Path) -> None:
    claims = pl.read_csv(shared / "claims" / "medical_claim_seed.csv", infer_schema=False)
    found = classify(claims.select("hcpcs_code").drop_nulls(), "hcpcs_code")
    counts = dict(found["code_system"].value_counts().iter_rows())
    assert {"cpt-category-1", "cpt-category-2", "hcpcs-level-2"} <= set(counts)
    assert counts.get(UNKNOWN_SHAPE, 0) == 0
