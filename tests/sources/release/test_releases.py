"""Which release a posting is: every form of CMS's names, and names that contradict each other."""

from __future__ import annotations

import datetime as dt

import pytest

from sources.errors import ReleaseUnclear
from sources.release.calendar import previous_release, releases_between
from sources.release.names import effective_day, release_in_name, resolve_release


@pytest.mark.parametrize(
    ("name", "year", "month"),
    [
        ("2019-01", 2019, 1),
        ("11anweb_V3.txt", 2011, None),
        ("12anweb.txt", 2012, None),
        ("11anweb.zip", 2011, None),
        ("HCPC2013_A-N.txt", 2013, None),
        ("14_anweb_0.zip", 2014, None),
        ("2015_anweb_0.zip", 2015, None),
        ("HCPC17_CONTR_ANWEB.txt", 2017, None),
        ("HCPC2018_CONTR_ANWEB_disc.txt", 2018, None),
        ("HCPC2020_APRIL_ANWEB_w_disclaimer_v5.xlsx", 2020, 4),
        ("HCPC2023_JAN_ANWEB_v3.xlsx", 2023, 1),
        ("HCPC2025_JAN_ANWEB_12172024.txt", 2025, 1),
        ("HCPC2025_JAN_ANWEB_20241217.txt", 2025, 1),
        ("HCPC2025_OCT_ANWEB_v4.xlsx", 2025, 10),
        ("2019-Alpha-Numeric-HCPCS-File.zip", 2019, None),
        ("2016-alpha-numeric-hcpcs-file.zip", 2016, None),
        ("2020-october-alpha-numeric-hcpcs-file.zip", 2020, 10),
        ("january-2025-alpha-numeric-hcpcs-file.zip", 2025, 1),
        ("october-2025-alpha-numeric-hcpcs-files.zip", 2025, 10),
        ("july-2022-alpha-numeric-hcpcs-file-updated-06172022.zip", 2022, 7),
        ("NOC codes_JAN2025.xlsx", 2025, 1),
        ("HCPC2021/HCPC2021_JUL_ANWEB.XLSX", 2021, 7),
    ],
)
def test_every_form_of_cmss_names_says_its_release(name: str, year: int, month: int | None) -> None:
    said = release_in_name(name)
    assert said is not None
    assert (said.year, said.month) == (year, month)


@pytest.mark.parametrize(
    "name",
    ["anweb.zip", "download.zip", "record layout.txt", "notes 12172024.txt", "2019-to-2020.zip", "jan-and-april-2021"],
)
def test_a_name_that_says_no_one_release_says_nothing(name: str) -> None:
    assert release_in_name(name) is None


def test_names_that_agree_say_the_release() -> None:
    assert resolve_release(["2025-10", "october-2025-alpha-numeric-hcpcs-files.zip", "HCPC2025_OCT_ANWEB_v4.xlsx"]) == (
        "2025-10"
    )


def test_a_year_alone_agrees_with_any_month_of_it() -> None:
    assert resolve_release(["2020-04", "2020-Alpha-Numeric-HCPCS-File.zip"]) == "2020-04"


def test_a_year_alone_means_january_while_releases_were_yearly() -> None:
    assert resolve_release(["2019-Alpha-Numeric-HCPCS-File.zip", "HCPC2019_CONTR_ANWEB.txt"]) == "2019-01"
    assert resolve_release(["2020-Alpha-Numeric-HCPCS-File.zip"]) == "2020-01"


def test_a_year_alone_is_not_enough_once_releases_are_quarterly() -> None:
    with pytest.raises(ReleaseUnclear, match=r"no month.*--release YYYY-MM"):
        resolve_release(["2024-Alpha-Numeric-HCPCS-File.zip"])


@pytest.mark.parametrize(
    "names",
    [
        ["2019-01", "HCPC2017_CONTR_ANWEB.txt"],
        ["2025-01", "HCPC2025_OCT_ANWEB_v4.xlsx"],
        ["january-2025-alpha-numeric-hcpcs-file.zip", "HCPC2025_APR_ANWEB.xlsx"],
        ["11anweb.zip", "12anweb.txt"],
    ],
)
def test_names_that_contradict_each_other_are_an_error_that_names_both(names: list[str]) -> None:
    with pytest.raises(ReleaseUnclear) as refusal:
        resolve_release(names)
    assert all(name in str(refusal.value) for name in names)


def test_the_callers_word_counts_where_names_say_nothing_and_must_agree_where_they_do() -> None:
    assert resolve_release(["download.zip"], stated="2021-07") == "2021-07"
    assert resolve_release(["HCPC2021_JUL_ANWEB.xlsx"], stated="2021-07") == "2021-07"
    with pytest.raises(ReleaseUnclear, match="--release 2021-10"):
        resolve_release(["HCPC2021_JUL_ANWEB.xlsx"], stated="2021-10")


def test_names_that_say_nothing_are_an_error_with_the_way_out() -> None:
    with pytest.raises(ReleaseUnclear, match=r"download\.zip.*YYYY-MM"):
        resolve_release(["download.zip", "codes.txt"])


def test_a_release_holds_from_the_first_of_its_month() -> None:
    assert effective_day("2025-10") == dt.date(2025, 10, 1)


def test_releases_are_expected_in_january_and_every_quarter_since_2020():
    assert releases_between("2018-01", "2020-10") == ["2018-01", "2019-01", "2020-01", "2020-04", "2020-07", "2020-10"]


@pytest.mark.parametrize(
    ("release", "before"),
    [
        ("2016-01", "2015-01"),
        ("2020-01", "2019-01"),
        ("2020-04", "2020-01"),
        ("2021-01", "2020-10"),
        ("2025-10", "2025-07"),
        ("2018-07", "2018-01"),
        ("2025-02", "2025-01"),
    ],
)
def test_cms_posts_each_january_to_2020_and_each_quarter_since(release, before):
    assert previous_release(release) == before
