"""The search and the histories of codes state what the tables of the version state, and nothing that is withheld."""

from __future__ import annotations

import re
from itertools import accumulate
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from catalog_data import named_rows, read_data
from conftest import Version
from selectolax.lexbor import LexborHTMLParser

from pipeline.transforms.license_flags import CITATION


@pytest.fixture(scope="module")
def search(sample_catalog: Path) -> dict[str, Any]:
    found: dict[str, Any] = read_data(sample_catalog / "data" / "codes" / "search.js")
    return found


@pytest.fixture(scope="module")
def histories(sample_catalog: Path) -> dict[tuple[str, str], dict[str, list[dict[str, Any]]]]:
    """Every history by its file's name and its code, with named columns."""
    others = ("search", "labels", "systems")
    found: dict[tuple[str, str], dict[str, list[dict[str, Any]]]] = {}
    for path in (sample_catalog / "data" / "codes").glob("*.js"):
        if path.stem not in others and not path.stem.startswith("texts-"):
            for part, table in read_data(path).items():
                for row in named_rows(table):
                    found.setdefault((path.stem, row["of"]), {}).setdefault(part, []).append(row)
    return found


def codes_with(search: dict[str, Any], word: str, when: str) -> set[str]:
    """Codes that the index has for a word, as the page reads it."""
    places = accumulate(search[when][search["words"].split(" ").index(word)])
    codes = search["codes"].split(" ")
    return {codes[place] for place in places}


def holders(frame: pl.DataFrame, word: str) -> set[str]:
    has = [pl.col(c).str.to_lowercase().str.contains(rf"\b{word}\b") for c in _TEXTS]
    return set(frame.filter(pl.any_horizontal(has).fill_null(False))["code"])


_TEXTS = ("short_description", "long_description")


def test_every_code_and_modifier_is_found_and_has_a_life(
    search: dict[str, Any], histories: dict[tuple[str, str], Any], sample: Version
) -> None:
    loaded = sample.open("hcpcs_history").select("kind", "code").unique()
    assert sorted(search["codes"].split(" ")) == sorted(loaded["code"])
    file_of = {code: "modifiers" if kind == "modifier" else code[:2] for kind, code in loaded.iter_rows()}
    assert set(histories) == {(file, code) for code, file in file_of.items()}
    assert search["modifiers"] == loaded.filter(kind="modifier").height


def test_a_life_has_every_meaning_and_span_of_the_history(
    histories: dict[tuple[str, str], Any], sample: Version
) -> None:
    found = {
        (code, s["episode"], s["valid_from"], s["valid_to"], s["short_description"])
        for (_, code), history_of_code in histories.items()
        for s in history_of_code["spans"]
    }
    history = sample.open("hcpcs_history").select(
        "code", "episode", pl.col("valid_from", "valid_to").cast(pl.String), "short_description"
    )
    assert found == set(history.iter_rows())
    assert all(
        sum(bool(m["is_current_episode"]) for m in history_of_code["episodes"]) == 1
        for history_of_code in histories.values()
    )


def test_each_span_names_member_and_line_of_cmss_file(histories: dict[tuple[str, str], Any], sample: Version) -> None:
    records = sample.open("hcpcs_release_records").select("code", "release_id", "source_member", "source_line")
    stated = set(records.iter_rows())
    found = {
        (code, s["first_release"], s["source_member"], s["source_line"])
        for (_, code), history_of_code in histories.items()
        for s in history_of_code["spans"]
    }
    assert found and found <= stated


def test_a_word_leads_to_the_codes_that_have_it_now_and_to_those_that_had_it(
    search: dict[str, Any], sample: Version
) -> None:
    history = sample.open("hcpcs_history")
    latest = pl.concat(
        sample.open(t).filter(pl.col("is_current_episode")).select("code", *_TEXTS)
        for t in ("hcpcs_codes", "hcpcs_modifiers")
    )
    words = [w for w in search["words"].split(" ") if w.isalpha()]
    assert len(words) > 100
    only_before = 0
    for word in words:
        now = holders(latest, word)
        before = holders(history, word) - now
        assert codes_with(search, word, "now") == now, word
        assert codes_with(search, word, "before") == before, word
        only_before += len(before)
    assert only_before


def test_no_number_of_another_owner_is_a_word_to_search_for(search: dict[str, Any], sample: Version) -> None:
    assert sample.open("hcpcs_history")["cites_cpt"].any()
    assert [w for w in search["words"].split(" ") if re.search(CITATION, w)] == []


def test_a_withheld_text_is_in_neither_search_nor_life(
    search: dict[str, Any], histories: dict[tuple[str, str], Any], sample: Version
) -> None:
    withheld = sorted(sample.open("hcpcs_modifiers").filter(redistribution="withheld")["code"])
    assert search["withheld"].split(" ") == withheld
    for code in withheld:
        assert search["descriptions"].split("\n")[search["codes"].split(" ").index(code)] == ""
        history_of_code = histories["modifiers", code]
        assert all(span[text] is None for span in history_of_code["spans"] for text in _TEXTS)
        assert history_of_code["episodes"][0]["withheld_fields"] == list(_TEXTS)


def test_a_target_of_another_owner_is_listed_without_its_number(histories: dict[tuple[str, str], Any]) -> None:
    of_others = [
        t
        for history_of_code in histories.values()
        for t in history_of_code.get("targets", [])
        if t["target_status"] == "not_ours"
    ]
    assert of_others
    assert {t["target"] for t in of_others} == {None}
    assert {t["target_system"] for t in of_others} <= {"CPT", "CDT"}


def test_who_is_named_knows_by_whom(histories: dict[tuple[str, str], Any]) -> None:
    named = {
        (code, t["target"])
        for (_, code), history_of_code in histories.items()
        for t in history_of_code.get("targets", [])
        if t["target"] and t["target_episode"]
    }
    naming = {
        (s["code"], code)
        for (_, code), history_of_code in histories.items()
        for s in history_of_code.get("sources", [])
    }
    assert naming == named != set()


def test_a_life_has_every_change_of_its_code(histories: dict[tuple[str, str], Any], sample: Version) -> None:
    keys = ("release_id", "change", "field", "agrees_with_cms")
    found = sorted(
        (code, *(str(c[k]) for k in keys))
        for (_, code), history_of_code in histories.items()
        for c in history_of_code.get("changes", [])
    )
    changes = sample.open("hcpcs_changes").select("code", *keys)
    assert found == sorted((code, *map(str, row)) for code, *row in changes.iter_rows())


def test_the_plain_page_of_a_code_states_its_days_and_texts_without_a_script(
    sample_catalog: Path, sample: Version
) -> None:
    text = pl.coalesce("long_description", "short_description", pl.lit("withheld"))
    days = pl.col("valid_from", "valid_to").cast(pl.String).fill_null("–")
    spans = sample.open("hcpcs_history").sort("code", "valid_from")
    stated: dict[str, list[tuple[str, ...]]] = {}
    for code, *span in spans.select("code", days, pl.col("episode").cast(pl.String), text.alias("text")).iter_rows():
        stated.setdefault(code, []).append((span[0], span[1], "in effect", span[2], " ".join(span[3].split())))
    for code, of_code in stated.items():
        page = LexborHTMLParser((sample_catalog / "codes" / f"{code}.html").read_text("utf-8"))
        rows = [tuple(" ".join(c.text().split()) for c in r.css("td")) for r in page.css(".days-table tbody tr")]
        assert [row for row in rows if row[2] == "in effect"] == of_code, code
        assert page.css_first("h1").text().startswith(code) and page.css_first(".lead").text().strip()


def test_the_pages_of_codes_are_small(sample_catalog: Path) -> None:
    """There are thousands of them: what each has beside its own words is a good half of the catalog."""
    sizes = [p.stat().st_size for p in (sample_catalog / "codes").glob("*.html") if not p.stem.startswith("section-")]
    assert sizes and sum(sizes) / len(sizes) < 1_400
