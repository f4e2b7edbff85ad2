"""A code is classified by its shape, whatever the string, and the documented SQL says the same."""

from __future__ import annotations

import csv
import datetime as dt
import itertools
import json
import re
import string
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from conftest import REPOSITORY, Said, Version, slow
from hypothesis import given
from hypothesis import strategies as st

from pipeline.transforms.classification import UNKNOWN_SHAPE, classify
from sources.curated.tables import (
    load_ambulance_locations,
    load_code_families,
    load_code_lookalikes,
    load_code_sections,
    load_code_systems,
)

Hcpcs = Callable[..., Said]
DOCUMENT = REPOSITORY / "docs" / "classify.md"
DAYS = [None, "2018-12-31", "2019-01-01", *slow("2003-12-31", "2004-01-01", "2024-12-31", "2025-01-01")]


def classes(*codes: str | None, date: str | None = None) -> list[dict[str, Any]]:
    return classify(pl.DataFrame({"code": codes}, schema={"code": pl.String}), "code", date=date).to_dicts()


def one(code: str | None, date: str | None = None) -> dict[str, Any]:
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
        ("39600", "cpt-category-1", None, "AMA"),
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
    assert found.pop("license_id") == ("LicenseRef-Unknown" if code else None)
    assert isinstance(found.pop("may_also_be"), list)
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
        ("10022", "2019-01-01", None),
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


@pytest.mark.parametrize(
    ("code", "date", "status", "days"),
    [
        ("W1234", "2003-12-31", "in_effect", (None, "2003-12-31")),
        ("W1234", "2004-01-01", "system_ended", (None, "2003-12-31")),
        ("W1234", None, "system_ended", (None, "2003-12-31")),
        ("ZY", "2002-01-01", "in_effect", (None, "2003-12-31")),
        ("0A", "2004-12-31", "not_yet_valid", ("2005-01-01", "2012-12-31")),
        ("0A", "2010-01-01", "in_effect", ("2005-01-01", "2012-12-31")),
        ("0A", "2013-01-01", "system_ended", ("2005-01-01", "2012-12-31")),
        ("0001A", "2020-12-10", "not_yet_valid", ("2020-12-11", "2023-10-31")),
        ("0001A", "2023-11-01", "system_ended", ("2020-12-11", "2023-10-31")),
        ("1000F", "2001-12-31", "not_yet_valid", ("2002-01-01", None)),
        ("0016T", "2002-01-01", "in_effect", ("2002-01-01", None)),
        ("0001U", "2015-12-31", "not_yet_valid", ("2016-02-01", None)),
        ("J1100", None, "in_effect", ("1982-01-01", None)),
    ],
)
def test_a_code_system_has_days(code: str, date: str | None, status: str, days: tuple[str | None, str | None]) -> None:
    found = one(code, date)
    assert found["system_status"] == status
    stated = found["system_valid_from"], found["system_valid_to"]
    assert tuple(day and day.isoformat() for day in stated) == days


@pytest.mark.parametrize(
    ("code", "date", "code_set"),
    [
        ("A0101", None, "IRF HIPPS"),
        ("D0501", None, "IRF HIPPS"),
        ("M1711", None, "ICD-10-CM"),
        ("V5869", None, "ICD-9-CM"),
        ("V5869", "2015-09-30", "ICD-9-CM"),
        ("HN", None, "ambulance pair"),
        ("IX", None, "ambulance pair"),
        ("1AA11", "2020-01-01", "HIPPS (home health)"),
        ("0450", None, "revenue code"),
        ("1001", None, "revenue code"),  # behavioral health
        ("2101", None, "revenue code"),  # alternative therapy
        ("3103", None, "revenue code"),  # adult care
        ("100434-0", None, "LOINC"),
        ("0093-7214", None, "NDC"),  # as openFDA has it, without the package
    ],
)
def test_another_code_set_may_have_the_format(code: str, date: str | None, code_set: str) -> None:
    assert code_set in one(code, date)["may_also_be"]


def test_a_code_set_that_had_ended_is_not_named() -> None:
    assert "ICD-9-CM" not in one("V5869", "2015-10-01")["may_also_be"]
    assert "ICD-10-CM" not in one("M1711", "2015-09-30")["may_also_be"]
    assert "ambulance pair" not in one("XH")["may_also_be"]


@pytest.mark.parametrize("day", ["2020-12-31", "2021-01-01", "2023-12-31", "2024-01-01"])
def test_ambulance_pairs_are_those_of_the_letters_on_that_day(day: str) -> None:
    on = dt.date.fromisoformat(day)
    letters = load_ambulance_locations().filter(
        pl.col("valid_from").fill_null(on) <= on, pl.col("valid_to").fill_null(on) >= on
    )
    origins = letters.filter("is_origin")["letter"]
    pairs = {a + b for a in origins for b in letters.filter("is_destination")["letter"]}
    every = ["".join(two) for two in itertools.product(string.ascii_uppercase, repeat=2)]
    named = {c["code"] for c in classes(*every, date=day) if "ambulance pair" in c["may_also_be"]}
    assert named == pairs
    assert ("RF" in pairs) == ("2021" <= day < "2024")


@pytest.mark.parametrize(
    ("code", "date", "family"),
    [
        ("99213", None, "em-office"),
        ("99201", "2020-12-31", "em-office"),
        ("99201", "2021-01-01", None),
        ("99220", "2023-01-01", None),
        ("A0427", None, "ambulance"),
        ("A2001", "2022-01-01", "skin-substitutes"),
        ("LT", None, "mod-side"),
        ("HN", None, "mod-behavioral-health"),
        ("D2391", None, "cdt-restorative"),
        ("J8999", None, "oral-drugs"),
        ("22", None, None),
    ],
)
def test_a_family_is_finer_than_a_section(code: str, date: str | None, family: str | None) -> None:
    assert one(code, date)["family"] == family


@given(st.lists(st.one_of(st.none(), st.text(), st.from_regex(r"[A-Z0-9]{2}|[A-Z0-9]{5}", fullmatch=True))))
def test_classify_is_total_and_keeps_rows_and_order(codes: list[str | None]) -> None:
    found = classes(*codes)
    assert [row["code"] for row in found] == codes
    assert all(row["code_system"] is not None for row in found)
    assert all((row["steward"] is None) == (row["code_system"] == UNKNOWN_SHAPE) for row in found)
    assert all((row["license_id"] is None) == (not row["code"]) for row in found)


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
    tables = (load_code_sections(), load_code_families().filter(pl.col("kind") == "procedure"))
    ends = {c for table in tables for column in ("first_code", "last_code") for c in table[column].drop_nulls()}
    codes = {n for end in ends for n in _neighbors(end)}
    codes |= {"1AA11", "KAXD1", "ZZZZZ", "0450", "470", "E11.9", "S72001A", "02703DZ", "4548-4", "99213-25"}
    signs = string.ascii_uppercase + string.digits
    codes |= {"".join(pair) for pair in itertools.product(signs, repeat=2)}
    codes |= {f"{a}123{b}" for a, b in itertools.product(signs, repeat=2)}
    codes |= {"", " ", "j1100", "99213 ", "992131", "é9213", "９９２１３", "99213\n", "'; DROP TABLE codes"}
    return [*sorted(codes), None]


@pytest.mark.parametrize("day", DAYS)
def test_the_documented_sql_says_the_same(day: str | None) -> None:
    (sql,) = re.findall(r"```sql\n(.*?)```", DOCUMENT.read_text(encoding="utf-8"), re.DOTALL)
    codes = pl.DataFrame({"code": _broad()}, schema={"code": pl.String})
    tables = {
        "codes": codes,
        "code_systems": load_code_systems(),
        "code_sections": load_code_sections(),
        "code_families": load_code_families(),
        "code_lookalikes": load_code_lookalikes(),
    }
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
        if re.match(r"\| `[0-9A-Z]+` \|", line)
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


def _agrees(case: dict[str, str], found: dict[str, Any]) -> bool:
    """Whether an answer is what an expert expects: a code system, `none`, or in words what else the code may be."""
    expected, section = case["expected_system"], case["expected_section_or_remark"]
    if expected in SYSTEMS:
        if found["code_system"] != expected:
            return False
        if "subsection" in section:
            return found["section"] not in (None, "hcpcs-a")
        if section.startswith("-"):
            return found["section"] is None
        if section.startswith("ended"):
            return found["system_status"] == "system_ended" and str(found["system_valid_to"]) in section
        return not section or found["section"] == section
    if expected == "none":
        return found["code_system"] == UNKNOWN_SHAPE or found["system_status"] == "system_ended"
    if expected.startswith("local modifier"):
        return found["code_system"] == "hcpcs-level-3-modifier" and found["system_status"] == "in_effect"
    names = {*found["may_also_be"], found["system"]}
    # The table may hold no CPT code, so it names this one without.
    names |= {"CPT 00100 without zeros"} if "CPT without leading zeros" in names else set()
    return set(expected.split(" or ")) <= names


SYSTEMS = set(load_code_systems()["code_system_id"])


def test_an_experts_codes_and_days_are_classified_as_expected(shared: Path, sample: Version, hcpcs: Hcpcs) -> None:
    """Through the command, one call a day."""
    with (shared / "cases" / "classify.csv").open(encoding="utf-8", newline="") as file:
        cases = list(csv.DictReader(file))
    by_day: dict[str, list[dict[str, str]]] = defaultdict(list)
    for case in cases:
        by_day[case["day"]].append(case)
    place = ["--outputs", str(sample.outputs.folder)]
    wrong = []
    for day, several in by_day.items():
        on = ["--on", day] if day else []
        run = hcpcs("classify", *place, *on, "--json", *(case["code"] for case in several))
        assert run.status == 0, run.err
        answers = json.loads(run.out)
        assert len(answers) == len(several)
        wrong += [(case, found) for case, found in zip(several, answers, strict=True) if not _agrees(case, found)]
    assert len(cases) > 200
    assert wrong == []


def test_a_code_is_read_as_annotate_reads_it_and_what_was_cut_off_is_said(sample: Version, hcpcs: Hcpcs) -> None:
    place = ["--outputs", str(sample.outputs.folder)]
    run = hcpcs("classify", *place, "--json", "J11.00", "99213-25", "J1100JW", "j1100", "HC:J1100", "5880005")
    assert run.status == 0, run.err
    rows = json.loads(run.out)
    assert [(row["code"], row["cut_off"]) for row in rows] == [
        ("J1100", None),
        ("99213", "25"),
        ("J1100", "JW"),
        ("J1100", None),
        ("J1100", None),
        ("5880005", None),
    ]
    assert rows[-1]["code_system"] == UNKNOWN_SHAPE
    assert "ICD-10-CM" in rows[0]["may_also_be"] and "CPT with modifier" in rows[1]["may_also_be"]
    assert "J1100-JW: read as J1100, with modifiers JW behind it" in hcpcs("classify", *place, "J1100-JW").out
