"""Days, amounts, words for nothing and names of columns in claims: read by a rule that is stated, or refused."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Said
from small_version import SPANS, write_version

from hcpcs.annotate.amounts import amounts_of
from hcpcs.annotate.dates import days_of, stated_form

DAY = dt.date(2019, 1, 5)
Annotate = Callable[..., tuple[Said, dict[str, Any]]]


@pytest.fixture(scope="module")
def version(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_version(tmp_path_factory.mktemp("version"), SPANS)


@pytest.fixture
def annotate(hcpcs: Callable[..., Said], tmp_path: Path, version: Path) -> Annotate:
    """Sum claims up: a table is written as Parquet, a text as it is; the summary is empty where they were refused."""

    def call(claims: pa.Table | str, *options: str) -> tuple[Said, dict[str, Any]]:
        path = tmp_path / ("c.csv" if isinstance(claims, str) else "c.parquet")
        if isinstance(claims, str):
            path.write_text(claims, "utf-8")
        else:
            pq.write_table(claims, path)
        said = hcpcs("annotate", path, "--code", "code", "--version", version, "--json", *options)
        assert "Traceback" not in said.err
        return said, json.loads(said.out) if said.status == 0 else {}

    return call


def csv_of(name: str, values: Sequence[str]) -> str:
    return f"code,{name}\n" + "".join(f'J1100,"{value}"\n' for value in values)


def statuses(summary: dict[str, Any]) -> dict[str, int]:
    return {row["name"]: row["lines"] for row in summary["by_status"]}


# Days


@pytest.mark.parametrize(
    ("numbers", "form"),
    [
        ([190101 + n for n in range(30)], "YYMMDD"),
        ([1190101 + n for n in range(30)], "CYYMMDD"),
        ([2021001 + n for n in range(30)], "YYYYDDD"),
        ([201101 + n for n in range(12)], "YYYYMM"),
        ([21_550 + n for n in range(30)], "SAS-DAYS"),
        ([43_470 + n for n in range(30)], "EXCEL-DAYS"),
        ([17_900 + n for n in range(30)], "UNIX-DAYS"),
        ([1_546_646_400 + 86_400 * n for n in range(30)], "UNIX-SECONDS"),
        ([1_546_646_400_000 + n for n in range(30)], "UNIX-MILLISECONDS"),
        ([12_312_019, 11_302_019], "MMDDYYYY"),
        ([31_122_019, 30_112_019], "DDMMYYYY"),
        ([2019, 2020], "YYYY"),
    ],
)
def test_numbers_are_days_of_another_form_only_if_it_is_stated(
    annotate: Annotate, numbers: list[int], form: str
) -> None:
    codes = ["J1100"] * len(numbers)
    texts = csv_of("dos", [str(n) for n in numbers])
    for claims in (pa.table({"code": codes, "dos": numbers}), texts):
        said, _ = annotate(claims, "--date", "dos")
        assert said.status == 1
        assert "has no dates in a known format" in said.err
        assert form in said.err.partition("they may be")[2], said.err
    for kind in (pa.int64(), pa.float64(), pa.string()):
        days, valid = days_of(pa.array(numbers).cast(kind), stated_form(form.lower()))
        assert valid.all()
        assert {1970 + day // 365.25 for day in days.tolist()} <= set(range(2010, 2024))
    _, summary = annotate(texts, "--date", "dos", "--date-format", f"dos={form}")
    assert statuses(summary) == {"valid": len(numbers)}
    assert summary["dates_read_as"] == {"dos": f"stated: {form}"}


@pytest.mark.parametrize(
    ("text", "form", "day"),
    [
        ("190105", "YYMMDD", dt.date(2019, 1, 5)),
        ("680105", "YYMMDD", dt.date(2068, 1, 5)),
        ("690105", "YYMMDD", dt.date(1969, 1, 5)),
        ("0991231", "CYYMMDD", dt.date(1999, 12, 31)),
        ("2020366", "YYYYDDD", dt.date(2020, 12, 31)),
        ("2018-01", "YYYY-MM", dt.date(2018, 1, 1)),
        ("2018", "YYYY", dt.date(2018, 1, 1)),
        ("5.1.2019", "DD.MM.YYYY", dt.date(2019, 1, 5)),
        ("13/02/2019", "DD/MM/YYYY", dt.date(2019, 2, 13)),
        ("03-FEB-14", "DD-MON-YY", dt.date(2014, 2, 3)),
        ("21550.25", "SAS-DAYS", dt.date(2019, 1, 1)),
        ("1861920000", "SAS-SECONDS", dt.date(2019, 1, 1)),
        ("43466", "EXCEL-DAYS", dt.date(2019, 1, 1)),
    ],
)
def test_a_stated_form_gives_this_day(text: str, form: str, day: dt.date) -> None:
    days, valid = days_of(pa.array([text]), stated_form(form))
    assert valid.all()
    assert dt.date(1970, 1, 1) + dt.timedelta(days=int(days[0])) == day


@pytest.mark.parametrize("text", ["2021366", "2019000", "2019400"])
def test_a_day_of_the_year_that_is_none_is_counted(annotate: Annotate, text: str) -> None:
    _, summary = annotate(csv_of("dos", ["2021001", text]), "--date", "dos", "--date-format", "YYYYDDD")
    assert summary["odd"]["unreadable_dates"] == {"dos": 1}


@pytest.mark.parametrize("form", ["hello", "MM/DD", "YYYY-YYYY", " "])
def test_what_is_no_form_is_refused(annotate: Annotate, form: str) -> None:
    said, _ = annotate(csv_of("dos", ["2019-01-05"]), "--date", "dos", "--date-format", form)
    assert (said.status, "date format" in said.err or "2019-01-05" in said.err) == (1, True)


@pytest.mark.parametrize(
    "texts",
    [
        ["2019-01-05", "2019-1-5", "2019/01/05", "2019-01-05T00:00:00Z", "2019-01-05 23:59:59.0+05:00", "2019-01-05Z"],
        ["05-JAN-2019", "05JAN2019", "5 Jan 2019", "05JAN2019:00:00:00"],
        ["20190105", "20190105.0"],
        ["01/05/2019", "1/5/2019 12:00:00 AM"],
    ],
)
def test_days_as_text_are_read(annotate: Annotate, texts: list[str]) -> None:
    # J0570 is not valid in 2017.
    lines = [f'J0570,"{text.replace("2019", year)}"' for text in texts for year in ("2017", "2019")]
    _, summary = annotate("\n".join(["code,dos", *lines]), "--date", "dos")
    assert statuses(summary) == {"valid": len(texts), "expired": len(texts)}


def test_what_is_no_day_is_counted(annotate: Annotate) -> None:
    odd = ["2019-01-05 to 2019-01-07", "2019-01-05x", "0019-01-05", "1700-01-01", "2019-02-30", "05-JAN-2019"]
    days = [f"2019-01-{n:02}" for n in range(1, 20)]
    _, summary = annotate(csv_of("dos", [*days, *odd]), "--date", "dos")
    assert summary["odd"]["unreadable_dates"] == {"dos": len(odd)}


def test_days_before_months_are_not_read_as_months(annotate: Annotate) -> None:
    said, _ = annotate(csv_of("dos", ["01/02/2019", "02/02/2019", "13/02/2019"]), "--date", "dos")
    assert (said.status, "they may be DD/MM/YYYY" in said.err) == (1, True)


def test_texts_of_several_forms_are_refused_with_those_that_do_not_fit(annotate: Annotate) -> None:
    said, _ = annotate(csv_of("dos", ["2019-01-05", "01/13/2019", "13/01/2019"]), "--date", "dos")
    assert (said.status, "1 of 3 distinct values are days as text YYYY-MM-DD; others" in said.err) == (1, True), (
        said.err
    )
    assert "'01/13/2019', '13/01/2019'" in said.err


def test_a_file_of_one_column_has_another_delimiter_perhaps(annotate: Annotate) -> None:
    said, _ = annotate("code^dos\nJ1100^2019-01-05\n", "--date", "dos")
    assert (said.status, "their one column is 'code^dos'" in said.err, "--delimiter" in said.err) == (1, True, True)
    _, summary = annotate("code^dos\nJ1100^2019-01-05\n", "--date", "dos", "--delimiter", "^")
    assert statuses(summary) == {"valid": 1}


def test_one_number_that_is_no_day_has_a_way_out(annotate: Annotate) -> None:
    claims = pa.table({"code": ["J1100"] * 3, "dos": [20190105, 0, 20190106]})
    said, _ = annotate(claims, "--date", "dos")
    assert (said.status, "others, as 0, are not; --null 0 reads such a value as null" in said.err) == (1, True)
    _, summary = annotate(claims, "--date", "dos", "--null", "0")
    assert (statuses(summary), summary["null"]) == ({"valid": 2, "no_date": 1}, {"code": 0, "dos": 1})


def test_one_day_for_all_lines(annotate: Annotate, tmp_path: Path) -> None:
    claims = "code,year\nJ0570,2019\nJ1100,2019\n"
    _, summary = annotate(claims, "--on", "2017-06-01")
    assert statuses(summary) == {"expired": 1, "valid": 1}
    for options in ((), ("--on", "2017-06-01", "--date", "year")):
        said, _ = annotate(claims, *options)
        assert (said.status, "--date" in said.err) == (2, True)


# Nothing


@pytest.mark.parametrize("word", ["NULL", "na", "NaN", "\\N", ".", "~", "", " "])
def test_words_for_nothing_are_null(annotate: Annotate, word: str) -> None:
    lines = [f"J1100,{word},2019-01-0{n},~" for n in (1, 2, 3)]
    claims = "\n".join(["code,svc,frm,mod", *lines, f"{word},2019-01-01,,{word}"]) + "\n"
    _, summary = annotate(claims, "--date", "svc", "--date-else", "frm", "--modifier", "mod")
    assert statuses(summary) == {"valid": 3, "unknown_shape": 1}
    assert summary["null"] == {"code": 1, "svc": 3, "frm": 1}
    assert summary["odd"]["unreadable_dates"] == {}
    assert summary["odd"]["no_code"] == []
    assert summary["modifiers"] == {"mod": {}}


def test_a_word_for_nothing_may_be_stated(annotate: Annotate) -> None:
    claims = "code,dos\nJ1100,2019-01-05\nnot coded,pending\n"
    _, summary = annotate(claims, "--date", "dos", "--null", "not coded", "--null", "Pending")
    assert (summary["null"], summary["odd"]["no_code"]) == ({"code": 1, "dos": 1}, [])


def test_a_date_column_may_begin_with_any_number_of_words_for_nothing(annotate: Annotate) -> None:
    claims = pa.table({"code": ["J1100"] * 100_002, "dos": ["NULL"] * 100_001 + ["2019-01-05"]})
    _, summary = annotate(claims, "--date", "dos")
    assert statuses(summary) == {"no_date": 100_001, "valid": 1}


def test_texts_and_dates_guarded_for_a_spreadsheet_are_read(annotate: Annotate) -> None:
    claims = 'code,dos,amt\n"=""J1100""","=""2019-01-05""","=""5.50"""\nJ1100,\'2019-01-06,\'1\n'
    said, summary = annotate(claims, "--date", "dos", "--amount", "amt")
    assert (said.status, statuses(summary), total(summary)) == (0, {"valid": 2}, 6.5), said.err


def test_texts_that_are_views_are_read_as_texts(annotate: Annotate) -> None:
    claims = {"code": ["99213", "j1100"], "dos": ["2019-01-05"] * 2, "amt": ["1", "$2"], "desc": ["secret", "stays"]}
    table = pa.table({name: pa.array(values, pa.string_view()) for name, values in claims.items()})
    said, summary = annotate(table, "--date", "dos", "--amount", "amt", "--redact", "desc")
    assert (said.status, summary["lines"], total(summary), summary["redacted"]["values"]) == (0, 2, 3, 1), said.err


# Amounts

AMOUNTS: list[tuple[str, float]] = [
    *(("$1,234.56", 1234.56), (" 5.00 ", 5), ("1,000.00", 1000), ("1 234.50", 1234.5), ("€5", 5), ("5 USD", 5)),
    *(("(5.25)", -5.25), ("($5.25)", -5.25), ("5.25-", -5.25), ("-$5", -5), ("$-5", -5), ("\u22125", -5)),
    *(("1e3", 1000), ("1.5E+02", 150), (".5", 0.5), ("5.", 5), ("1,234,567", 1_234_567), ("00012.50", 12.5)),
]
NO_AMOUNTS = [
    "five",
    "1e308",
    "1e15",
    "1" * 400,
    "12,34",
    "1.234,56",
    "(5",
    "-5-",
    "inf",
    "0x10",
    "1,2,3",
    "$",
    "5 5",
    "00123{",
]


def total(summary: dict[str, Any]) -> float:
    return sum(row["amount"] for row in summary["by_status"])


def test_an_amount_is_read_as_people_write_it(annotate: Annotate) -> None:
    assert amounts_of(pa.array([text for text, _ in AMOUNTS]))[0].tolist() == [amount for _, amount in AMOUNTS]
    _, summary = annotate(csv_of("amt", [text for text, _ in AMOUNTS]), "--on", "2019-01-05", "--amount", "amt")
    assert total(summary) == round(sum(amount for _, amount in AMOUNTS), 2)
    assert summary["odd"]["unreadable_amounts"] == {"lines": 0, "examples": []}


def test_what_is_no_amount_is_counted_with_examples(annotate: Annotate) -> None:
    _, summary = annotate(csv_of("amt", [*NO_AMOUNTS, "five", "7"]), "--on", "2019-01-05", "--amount", "amt")
    assert total(summary) == 7
    found = summary["odd"]["unreadable_amounts"]
    assert (found["lines"], found["examples"][0]) == (len(NO_AMOUNTS) + 1, {"value": "five", "lines": 2})
    assert {e["value"] for e in found["examples"]} == set(NO_AMOUNTS)


def test_the_decimal_mark_is_that_of_the_dialect_or_stated(annotate: Annotate) -> None:
    for values, sum_ in ((["1.234,56", "7,50", "1.000"], 2242.06), (["1,234.56", "7.50", "2.00"], 1244.06)):
        claims = "code;amt\n" + "".join(f"J1100;{v}\n" for v in values)
        _, summary = annotate(claims, "--on", "2019-01-05", "--amount", "amt")
        assert round(total(summary), 2) == sum_
    _, summary = annotate(csv_of("amt", ["1.234,56"]), "--on", "2019-01-05", "--amount", "amt", "--decimal", ",")
    assert total(summary) == 1234.56


@pytest.mark.parametrize("kind", [pa.float64(), pa.decimal128(12, 2), pa.int32(), pa.string()])
def test_no_amount_leaves_json_json(annotate: Annotate, kind: pa.DataType) -> None:
    values: list[Any] = [5, None, 7]
    if pa.types.is_floating(kind):
        values += [float("nan"), float("inf")]
    if pa.types.is_decimal(kind):
        values = [Decimal(5), None, Decimal(7)]
    if pa.types.is_string(kind):
        values = ["5", None, "7", "NaN", "NULL"]
    claims = pa.table({"code": ["J1100"] * len(values), "amt": pa.array(values, kind)})
    said, summary = annotate(claims, "--on", "2019-01-05", "--amount", "amt")
    assert total(summary) == 12
    assert "NaN" not in said.out
    assert summary["odd"]["unreadable_amounts"]["lines"] == int(pa.types.is_floating(kind))


# Names of columns


@pytest.mark.parametrize("twice", ["code", "dos", "x"])
def test_columns_of_one_name_are_refused(annotate: Annotate, twice: str) -> None:
    names = ["code", "dos", "x", twice]
    said, _ = annotate(pa.Table.from_arrays([pa.array(["J1100"])] * len(names), names), "--date", "dos")
    assert (said.status, f"several columns named {twice!r}" in said.err) == (1, True)


@pytest.mark.parametrize("name", ["SHORT_DESCRIPTION", "Episode", "short_description"])
def test_a_column_that_differs_from_an_added_one_by_case_is_refused(annotate: Annotate, name: str) -> None:
    claims = pa.table({"code": ["J1100"], "dos": [DAY], name: ["x"]})
    said, _ = annotate(claims, "--date", "dos")
    assert (said.status, f"the claims have {name} already" in said.err) == (1, True)


# Several columns of codes


@pytest.mark.parametrize("options", [("--code", "HCPCS_CD_*"), ("--code", "HCPCS_CD_1", "--code", "HCPCS_CD_2")])
def test_several_columns_of_codes_have_an_answer_each(
    hcpcs: Callable[..., Said], tmp_path: Path, version: Path, options: Sequence[str]
) -> None:
    """The layout of DE-SynPUF's outpatient claims: a claim a line, its codes side by side."""
    lines = [
        "c1,20190105,J1100,99213,not",
        "c2,20190105,j1100,,keep",
        "c3,20170105,J0570,J1100,keep",
        "c4,20190105,,,no",
    ]
    (tmp_path / "c.csv").write_text("\n".join(["CLM_ID,CLM_FROM_DT,HCPCS_CD_1,HCPCS_CD_2,TEXT", *lines]), "utf-8")
    out = tmp_path / "out.parquet"
    usual = ["--date", "CLM_FROM_DT", "--version", version, "--redact", "TEXT", "--json"]
    said = hcpcs("annotate", tmp_path / "c.csv", out, *options, *usual)
    assert said.status == 0, said.err
    rows = pq.read_table(out).to_pylist()
    assert [r["HCPCS_CD_1_status"] for r in rows] == ["valid", "valid", "expired", "unknown_shape"]
    assert [r["HCPCS_CD_2_status"] for r in rows] == ["not_loaded", "unknown_shape", "valid", "unknown_shape"]
    assert [r["HCPCS_CD_2_section_id"] for r in rows] == ["cpt-evaluation-management", None, "hcpcs-j-drugs", None]
    assert [r["TEXT"] for r in rows] == [None, "keep", "keep", None]
    summary = json.loads(said.out)
    assert (summary["lines"], statuses(summary)) == (4, {"valid": 3, "not_loaded": 1, "expired": 1})


def test_a_second_column_of_codes_never_silently_wins(annotate: Annotate) -> None:
    said, _ = annotate("code,other,amt\nJ1100,99213,5\n", "--code", "other", "--on", "2019-01-05", "--amount", "amt")
    assert (said.status, "name one column of codes" in said.err) == (1, True)
    said, _ = annotate("code,other\nJ1100,99213\n", "--code", "OTHER_*", "--on", "2019-01-05")
    assert (said.status, "no column 'OTHER_*'" in said.err) == (1, True)


def test_decimals_are_codes(annotate: Annotate) -> None:
    claims = pa.table({"code": pa.array([Decimal(99213), Decimal(142), None], pa.decimal128(9, 2))})
    _, summary = annotate(claims, "--on", "2019-01-05")
    assert statuses(summary) == {"not_loaded": 2, "unknown_shape": 1}
    assert summary["null"] == {"code": 1}


def test_an_infinite_sum_is_never_printed(annotate: Annotate) -> None:
    claims = pa.table({"code": ["J1100"] * 3, "amt": [1e308, 1e308, 2.5]})
    said, summary = annotate(claims, "--on", "2019-01-05", "--amount", "amt")
    assert "Infinity" not in said.out
    assert (total(summary), summary["odd"]["unreadable_amounts"]["lines"]) == (2.5, 2)


@pytest.mark.parametrize(
    "option", ["--date", "--date-else", "--amount", "--on", "--columns", "--version", "--delimiter"]
)
def test_an_option_of_one_value_is_not_taken_twice(annotate: Annotate, option: str) -> None:
    said, _ = annotate("code,dos,paid\nJ1100,2019-01-05,2019-01-06\n", option, "dos", option, "paid")
    assert (said.status, f"{option} is given twice" in said.err, "hcpcs annotate --help" in said.err) == (2, True, True)


def test_a_key_of_folders_is_named_as_such(hcpcs: Callable[..., Said], tmp_path: Path, version: Path) -> None:
    folder = tmp_path / "claims" / "dos=2019-01-05"
    folder.mkdir(parents=True)
    pq.write_table(pa.table({"code": ["J1100"]}), folder / "a.parquet")
    said = hcpcs("annotate", folder.parent, "--code", "code", "--date", "dos", "--version", version)
    assert (said.status, "'dos' is in the names of folders (dos=2019-01-05)" in said.err) == (1, True), said.err
    assert "--on" in said.err
    assert "--delimiter" not in said.err
