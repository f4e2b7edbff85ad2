"""The curated files hold their rules, and a file that breaks one is refused with its name and line."""

from __future__ import annotations

import csv
import itertools
import re
import string
import zipfile
from collections.abc import Callable
from pathlib import Path
from urllib.parse import urlsplit

import polars as pl
import pytest
from conftest import REPOSITORY

from hcpcs.annotate.parsing import modifier_pattern
from schemas.registry import contract, enforce
from sources.curated.tables import (
    CURATED,
    load_ambulance_locations,
    load_code_families,
    load_code_lookalikes,
    load_code_sections,
    load_code_system_calendar,
    load_code_system_identifiers,
    load_code_systems,
    load_codebook,
    load_licenses,
)
from sources.errors import CuratedFileError

LOADERS: dict[str, tuple[str, Callable[..., pl.DataFrame]]] = {
    "code_systems": ("code_systems.csv", load_code_systems),
    "code_sections": ("code_sections.csv", load_code_sections),
    "code_families": ("code_families.csv", load_code_families),
    "code_lookalikes": ("code_lookalikes.csv", load_code_lookalikes),
    "code_system_identifiers": ("code_system_identifiers.csv", load_code_system_identifiers),
    "code_system_calendar": ("code_system_calendar.csv", load_code_system_calendar),
    "ambulance_locations": ("ambulance_locations.csv", load_ambulance_locations),
    "licenses": ("licenses.csv", load_licenses),
    "hcpcs_codebook": ("codebook.csv", load_codebook),
}


class Copy:
    """A copy of a curated file in which a test breaks something."""

    def __init__(self, name: str, folder: Path) -> None:
        self.path = folder / name
        self.name = name
        with (CURATED / name).open(encoding="utf-8", newline="") as file:
            self.rows = list(csv.DictReader(file))

    def line(self, **where: str) -> int:
        """The line of the one row that has these values."""
        (number,) = [n for n, row in enumerate(self.rows, 2) if where.items() <= row.items()]
        return number

    def change(self, where: dict[str, str], **cells: str) -> int:
        """Change a row; returns its line."""
        number = self.line(**where)
        self.rows[number - 2].update(cells)
        return number

    def load(self) -> pl.DataFrame:
        with self.path.open("w", encoding="utf-8", newline="") as file:
            writer = csv.DictWriter(file, list(self.rows[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(self.rows)
        return next(loader for name, loader in LOADERS.values() if name == self.name)(self.path)

    def refusal(self) -> list[str]:
        """The lines of the error, without the folder."""
        with pytest.raises(CuratedFileError) as refused:
            self.load()
        return str(refused.value).replace(f"{self.path.parent}/", "").splitlines()


@pytest.fixture
def copy(tmp_path: Path) -> Callable[[str], Copy]:
    return lambda name: Copy(name, tmp_path)


@pytest.mark.parametrize("table", LOADERS)
def test_a_shipped_file_keeps_its_contract(table: str) -> None:
    frame = LOADERS[table][1]()
    assert enforce(table, frame).equals(frame)
    assert frame.columns == list(contract(table).polars_schema)
    assert frame.height > 0


def test_every_license_has_its_text() -> None:
    for license_id, text_file in load_licenses().select("license_id", "text_file").iter_rows():
        assert text_file == f"LICENSES/{license_id}.txt"
        assert len((REPOSITORY / text_file).read_text(encoding="utf-8")) > 1000


def test_no_string_has_the_shape_of_two_code_systems() -> None:
    patterns = load_code_systems().drop_nulls("code_pattern")["code_pattern"].to_list()
    signs = string.ascii_uppercase + string.digits
    strings = ["".join(pair) for pair in itertools.product(signs, repeat=2)]
    strings += [f"{first}123{last}" for first, last in itertools.product(signs, repeat=2)]
    matches = {s: sum(bool(re.fullmatch(p, s, re.ASCII)) for p in patterns) for s in strings}
    assert max(matches.values()) == 1
    # No release has a code that begins with F, I, N or O, or a modifier that begins with I or O. CPT's modifiers are
    # 21 to 33, 47 to 66, 73 to 82 and 90 to 99, of performance measures 1P, 2P, 3P and 8P, and P1 to P6.
    unused = {m for m in strings if not matches[m]}
    assert unused == (
        {f"{letter}123{digit}" for letter in "FINO" for digit in string.digits}
        | {s for s in strings if len(s) == 5 and not re.fullmatch(r"[A-Z]1234?[0-9]|[0-9]123[0-9AFMTU]", s)}
        | {f"{letter}{sign}" for letter in "IO" for sign in signs}
        | {"P0", "P7", "P8", "P9"}
        | {f"{letter}{digit}" for letter in "WXYZ" for digit in string.digits} - {"X1", "X2", "X3", "X4", "X5"}
        | {"ZZ"}
        | {f"{number:02}" for number in [*range(21), *range(34, 47), *range(67, 73), *range(83, 90)]}
        | {f"{digit}P" for digit in "045679"}
    )


def test_a_modifier_of_cpt_is_the_same_in_its_own_column_and_behind_a_code() -> None:
    systems = load_code_systems().filter(
        pl.col("code_system_id").str.starts_with("cpt-modifier"), pl.col("valid_to").is_null()
    )
    in_a_column = re.compile("|".join(systems["code_pattern"]))
    signs = string.ascii_uppercase + string.digits
    for sign, other in itertools.product(signs, repeat=2):
        behind_a_code = re.fullmatch(modifier_pattern([]), sign + other)
        assert bool(in_a_column.fullmatch(sign + other)) == bool(behind_a_code), sign + other


def test_every_record_of_a_release_has_the_shape_of_a_code_system_of_cms_or_the_ama(shared_cms: Path) -> None:
    patterns = load_code_systems().filter(pl.col("steward").is_in(["CMS", "AMA"])).drop_nulls("code_pattern")
    known = re.compile("|".join(patterns["code_pattern"]))
    codes = set()
    for path in sorted(shared_cms.glob("*/*.zip")):
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if re.search(r"(?i)an.?web.*\.txt$|a-n\.txt$", member):
                    lines = archive.read(member).decode("latin-1").splitlines()
                    codes |= {line[:5].strip(" `") for line in lines if line[10:11] in ("3", "7")}
    assert len(codes) > 8_000
    assert [code for code in sorted(codes) if not known.fullmatch(code)] == []


def test_the_pattern_of_ambulance_pairs_is_that_of_the_letters() -> None:
    letters = load_ambulance_locations().filter(pl.col("valid_to").is_null())
    origins, destinations = (
        letters.filter(pl.col(column))["letter"].to_list() for column in ("is_origin", "is_destination")
    )
    (pattern,) = load_code_lookalikes().filter(pl.col("lookalike_id") == "ambulance-pair")["code_pattern"]
    pairs = {a + b for a, b in itertools.product(string.ascii_uppercase, repeat=2) if re.fullmatch(pattern, a + b)}
    assert pairs == {a + b for a, b in itertools.product(origins, destinations)}
    assert "".join(origins) == "DEGHIJNPRS" and set(destinations) - set(origins) == {"X"}


def test_the_confidence_of_a_row_follows_from_the_kind_of_its_source(copy: Callable[[str], Copy]) -> None:
    file = copy("code_system_identifiers.csv")
    file.rows[0].update(source="https://www.aapc.com/x", confidence="high")
    expected = "code_system_identifiers.csv:2: confidence is high, but www.aapc.com is a coders' reference"
    assert file.refusal() == [expected]


def test_every_cited_host_is_of_an_accepted_kind_and_every_accepted_host_is_cited() -> None:
    with (CURATED / "source_hosts.csv").open(encoding="utf-8", newline="") as lines:
        accepted = {row["host"]: row["kind"] for row in csv.DictReader(lines)}
    cited = set()
    for _, loader in LOADERS.values():
        frame = loader()
        if "confidence" in frame.columns:
            cited |= {urlsplit(source).netloc for source in frame["source"]}
    assert cited == set(accepted)
    assert not {"essay", "flash card", "exercise", "blog"} & set(accepted.values())


def test_a_code_system_has_the_identifiers_that_it_prefers() -> None:
    preferred = load_code_system_identifiers().filter("is_preferred")
    names = {(r["code_system_id"], r["identifier_type"]): r["identifier"] for r in preferred.iter_rows(named=True)}
    assert preferred.height == len(names), "one is preferred of each standard"
    for system in load_code_systems().filter(pl.col("kind") == "procedure").iter_rows(named=True):
        owner = system["code_system_id"] if system["steward"] != "AMA" else "hcpcs-level-1"
        assert system["fhir_uri"] == names.get((owner, "fhir_uri"))
        assert system["oid"] == names.get((owner, "oid"))


def test_a_system_lies_within_the_days_of_the_one_it_is_part_of() -> None:
    systems = {r["code_system_id"]: r for r in load_code_systems().iter_rows(named=True)}
    for system in systems.values():
        parent = systems.get(system["parent_id"])
        if parent and parent["code_system_id"] != "hcpcs-level-1":  # CPT is older than HCPCS
            for days in (system, parent):
                assert not (days["valid_from"] and days["valid_to"]) or days["valid_from"] < days["valid_to"]
            assert not parent["valid_to"] or system["valid_to"] <= parent["valid_to"]
    assert {i for i, s in systems.items() if s["valid_to"]} == {
        "cpt-covid-vaccine-administration",
        "cpt-modifier-genetic-testing",
        "hcpcs-level-3",
        "hcpcs-level-3-modifier",
    }


def test_only_the_columns_of_intervals_hold_numbers_shaped_like_cpt_or_cdt() -> None:
    shaped = re.compile(r"\b([0-9]{5}|[0-9]{4}[AFMTU]|D[0-9]{4})\b")
    allowed = {"first_code", "last_code", "guide_first_code", "guide_last_code"}
    for _, loader in LOADERS.values():
        for column in loader().select(pl.col(pl.String).exclude(allowed)).iter_columns():
            assert [v for v in column.drop_nulls() if shaped.search(v)] == [], column.name


def test_the_codebook_has_every_value_that_a_record_layout_states(shared_cms: Path) -> None:
    known = set(load_codebook()["value"])
    misprinted = {
        "01L"
    }  # the layout of 2025 prints a zero; the records have the letter, as the other BETOS of equipment
    layouts = 0
    for path in sorted(shared_cms.glob("*/*.zip")):
        with zipfile.ZipFile(path) as archive:
            for member in archive.namelist():
                if member.lower().endswith("recordlayout.txt"):
                    text = archive.read(member).decode("cp1252")
                    stated = re.findall(r"(?m)^\s+([0-9A-Z]{1,3})\s+= ", text)
                    assert len(stated) > 300
                    assert set(stated) <= known | misprinted, member
                    layouts += 1
    assert layouts >= 3


def test_a_value_has_a_span_where_cms_states_one() -> None:
    spans = {(f, v): (a, b) for f, v, _, a, b, _ in load_codebook().cast(pl.String).iter_rows()}
    assert spans["pricing_indicators", "40"] == ("2024-01-01", None)
    assert spans["pricing_indicators", "55"] == ("2014-10-01", None)
    assert spans["type_of_service_codes", "B"] == (None, "1997-12-31")
    assert spans["type_of_service_codes", "1"] == (None, None)


def test_an_overlap_of_sections_is_refused(copy: Callable[[str], Copy]) -> None:
    file = copy("code_sections.csv")
    line = file.change({"section_id": "cpt-radiology"}, last_code="80050")
    other = file.line(section_id="cpt-pathology-laboratory")
    expected = f"code_sections.csv:{other}: cpt-pathology-laboratory overlaps cpt-radiology on line {line}"
    assert file.refusal() == [expected]


def test_an_overlap_in_time_only_needs_the_same_codes(copy: Callable[[str], Copy]) -> None:
    file = copy("code_sections.csv")
    line = file.change({"section_id": "cpt-medicine", "first_code": "99091"}, valid_to="2019-01-01")
    (refusal,) = file.refusal()
    assert "cpt-evaluation-management overlaps cpt-medicine" in refusal and f"on line {line}" in refusal


def test_a_gap_in_a_parent_that_is_filled_whole_is_refused(copy: Callable[[str], Copy]) -> None:
    file = copy("code_sections.csv")
    file.change({"section_id": "cpt-2-patient-safety"}, last_code="6998F")
    parent = file.line(section_id="cpt-2", interval_number="1")
    assert file.refusal() == [f"code_sections.csv:{parent}: the children of cpt-2 leave a gap in it"]


def test_a_gap_on_some_days_is_a_gap(copy: Callable[[str], Copy]) -> None:
    file = copy("code_sections.csv")
    file.change({"section_id": "hcpcs-l-orthotics"}, valid_from="2015-01-01")
    assert "the children of hcpcs-l leave a gap in it" in file.refusal()[0]


def test_a_child_outside_its_parent_is_refused(copy: Callable[[str], Copy]) -> None:
    file = copy("code_sections.csv")
    line = file.change({"section_id": "cpt-surgery-operating-microscope"}, last_code="69991")
    expected = f"code_sections.csv:{line}: cpt-surgery-operating-microscope lies outside its parent cpt-surgery"
    assert file.refusal() == [expected]


def test_a_child_outside_its_parents_days_is_refused(copy: Callable[[str], Copy]) -> None:
    file = copy("code_sections.csv")
    line = file.change({"section_id": "cpt-surgery-general", "first_code": "10004"}, valid_from="2018-06-01")
    refusal = file.refusal()
    assert f"code_sections.csv:{line}: cpt-surgery-general lies outside its parent cpt-surgery" in refusal


def test_a_code_of_another_shape_is_refused(copy: Callable[[str], Copy]) -> None:
    file = copy("code_sections.csv")
    line = file.change({"section_id": "cpt-pla"}, first_code="U0001")
    assert file.refusal() == [f"code_sections.csv:{line}: first_code 'U0001' has another code system's format"]


@pytest.mark.parametrize(
    ("name", "column", "value", "message"),
    [
        ("code_systems.csv", "license_id", "GPL-3.0", "unknown license_id 'GPL-3.0'"),
        ("code_systems.csv", "steward", "WHO", "unknown steward 'WHO'"),
        ("code_systems.csv", "parent_id", "cpt", "unknown parent 'cpt'"),
        ("code_systems.csv", "source", "", "source is missing"),
        ("code_systems.csv", "source", "a book", "source is not a URL"),
        ("code_systems.csv", "source", "https://brainmass.com/x", "source is on brainmass.com, which source_hosts.csv"),
        (
            "ambulance_locations.csv",
            "source",
            "https://quizwizapp.com/x",
            "source is on quizwizapp.com, which source_h",
        ),
        ("code_families.csv", "first_code", "J1100", "first_code 'J1100' has another code system's format"),
        ("code_families.csv", "section_id", "em", "unknown section 'em'"),
        ("code_lookalikes.csv", "code_pattern", "[0-9]{5}", "code_pattern is no ^…$ pattern"),
        ("code_system_identifiers.csv", "code_system_id", "snomed", "unknown code system 'snomed'"),
        ("code_system_calendar.csv", "confidence", "sure", "unknown confidence 'sure'"),
        ("code_systems.csv", "code_pattern", "[0-9]{5}", "code_pattern is no ^…$ pattern"),
        ("code_systems.csv", "date_checked", "23.11.2026", "date_checked '23.11.2026' is no date (YYYY-MM-DD)"),
        ("code_systems.csv", "confidence", "sure", "unknown confidence 'sure'"),
        ("code_sections.csv", "license_id", "GPL-3.0", "unknown license_id 'GPL-3.0'"),
        ("code_sections.csv", "code_system_id", "snomed", "unknown code system 'snomed'"),
        ("code_sections.csv", "parent_section_id", "cpt-nowhere", "unknown parent 'cpt-nowhere'"),
        ("code_sections.csv", "source", "", "source is missing"),
        ("code_sections.csv", "valid_from", "2025-02-30", "valid_from '2025-02-30' is no date (YYYY-MM-DD)"),
        ("code_sections.csv", "depth", "one", "depth 'one' is no whole number"),
        ("code_sections.csv", "is_temporary", "yes", "is_temporary 'yes' is no true or false"),
        ("licenses.csv", "source", "", "source is missing"),
        ("licenses.csv", "notice", " ", "notice is missing"),
        ("codebook.csv", "field", "price", "unknown field 'price'"),
        ("codebook.csv", "source", "", "source is missing"),
    ],
)
def test_a_bad_cell_is_refused_with_file_and_line(
    copy: Callable[[str], Copy], name: str, column: str, value: str, message: str
) -> None:
    file = copy(name)
    file.rows[2][column] = value
    assert any(line.startswith(f"{name}:4: {message}") for line in file.refusal())


@pytest.mark.parametrize("name", [name for name, _ in LOADERS.values()])
def test_a_key_that_stands_twice_is_refused(copy: Callable[[str], Copy], name: str) -> None:
    file = copy(name)
    file.rows.append(dict(file.rows[0]))
    refusal = file.refusal()
    assert any(line.startswith(f"{name}:{len(file.rows) + 1}: ") and "is on line 2" in line for line in refusal)


def test_a_span_that_ends_before_it_begins_is_refused(copy: Callable[[str], Copy]) -> None:
    file = copy("codebook.csv")
    line = file.change({"field": "betos_code", "value": "O1L"}, valid_to="2023-12-31")
    assert file.refusal() == [f"codebook.csv:{line}: ends 2023-12-31, before it begins 2024-01-01"]


def test_every_broken_line_is_named_at_once(copy: Callable[[str], Copy]) -> None:
    file = copy("code_systems.csv")
    file.rows[0]["steward"] = "WHO"
    file.rows[4]["source"] = ""
    assert [line.split(": ")[0] for line in file.refusal()] == ["code_systems.csv:2", "code_systems.csv:6"]


def test_other_columns_are_refused(copy: Callable[[str], Copy]) -> None:
    file = copy("licenses.csv")
    for row in file.rows:
        row["extra"] = ""
    assert file.refusal()[0].startswith("licenses.csv:1: the columns are ")


def test_a_row_with_too_few_cells_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "codebook.csv"
    path.write_text("field,value,label,valid_from,valid_to,source\nkind,procedure,Procedure\n", encoding="utf-8")
    with pytest.raises(CuratedFileError, match=r"codebook\.csv:2: 3 cells, expected 6"):
        load_codebook(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b'field,"value\n'])
def test_a_file_that_is_no_csv_text_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "codebook.csv"
    path.write_bytes(content)
    with pytest.raises(CuratedFileError, match=r"codebook\.csv"):
        load_codebook(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CuratedFileError, match="cannot be read"):
        load_licenses(tmp_path / "licenses.csv")
