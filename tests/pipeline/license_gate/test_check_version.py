"""A version passes or is refused as a whole: what is kept, withheld everywhere, or let through by the policy."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import polars as pl
import pytest
from conftest import Version
from spoiled_version import SENTENCE, Rows, look, spoil, written

from pipeline.license_gate.check import check_version, inspect_version, withheld_texts
from pipeline.license_gate.report import LicenseLeak
from pipeline.transforms.license_flags import masked
from pipeline.versions.parquet import write_published_table
from schemas.registry import contract, contracts
from sources.curated.license_policy import load_license_policy


@pytest.fixture
def folder(sample: Version, tmp_path: Path) -> Path:
    """A copy of the published sample, for one test to spoil."""
    return shutil.copytree(sample.outputs.latest_link.resolve(), tmp_path / "version")


def test_the_sample_passes_and_says_what_was_kept(folder: Path) -> None:
    report = look(folder)
    assert report.leaks == ()
    assert report.files == sum(p.is_file() for p in folder.rglob("*"))
    assert report.kept["hcpcs_codes", "long_description", "cites_cpt_or_cdt"] > 0
    assert report.kept["code_sections", "first_code", "names_cpt_or_cdt_code"] > 40


def test_files_and_manifest_must_agree(folder: Path) -> None:
    (folder / "notes.txt").write_text("nothing in it")
    (folder / "LICENSES" / "CC0-1.0.txt").unlink()
    (folder / "open" / "link.txt").symlink_to("licenses.parquet")
    why = {leak.table: leak.why for leak in look(folder).leaks}
    assert set(why) == {"notes.txt", "LICENSES/CC0-1.0.txt", "open/link.txt"}
    assert "does not list" in why["notes.txt"]
    assert "not there" in why["LICENSES/CC0-1.0.txt"]
    assert "link" in why["open/link.txt"]


#: A withheld sentence in columns and files, in other dress.
SENTENCES = [
    ("hcpcs_notes.note_text", "Note: SAMPLE  STATUS\nTHREE, as ever."),
    ("data_dictionary.description", "sample-status-three"),
    ("data_dictionary.description", "Sam&shy;ple st\u200batus %54hree"),
    ("CHANGES.md", "- Ｓａｍｐｌｅ st&#97;tus <b>th</b>ree\n"),
    ("hcpcs_corrections.comment", "Sample status three"),
    ("CHANGES.md", "- the text was\n  Sample status\n  three\n"),
    ("page.html", "<p>Sample <b>status</b> three</p>"),
    ("datapackage.json", '{"description": "Sample status three"}'),
    ("search.js", "const words = ['three', 'Sample', 'status', 'three'];"),
]


def test_a_withheld_sentence_is_refused_wherever_and_however_it_stands(folder: Path) -> None:
    in_tables = [(*place.split("."), text) for place, text in SENTENCES if place.split(".")[0] in contracts()]
    in_files = [(place, text) for place, text in SENTENCES if place.split(".")[0] not in contracts()]
    assert (len(in_tables), len(in_files)) == (4, 5)
    for number, (table, column, text) in enumerate(in_tables):
        spoil(folder, table, lambda rows, n=number, c=column, t=text: rows[n].update({c: t}))  # type: ignore[misc]
    files = written(folder, in_files)
    report = look(folder, also=files, forbidden=(SENTENCE,))
    expected = [*((table, column) for table, column, _ in in_tables), *((file, None) for file in files)]
    found = [(leak.table, None if leak.table in files else leak.column) for leak in report.leaks]
    assert sorted(found, key=str) == sorted(expected, key=str)
    assert {leak.token for leak in report.leaks} == {"samplestatusthree"}


def test_withheld_texts_are_those_that_masking_must_take_out(sample: Version) -> None:
    work = sample.outputs.work
    tables = {path.stem: pl.read_parquet(path) for path in work.glob("*.parquet")}
    texts = withheld_texts(tables.items(), load_license_policy())
    assert SENTENCE in texts
    assert any("D0120" in text for text in texts)
    kept = pl.read_parquet(work / "hcpcs_codes.parquet").filter("cites_cpt")["long_description"].to_list()
    assert kept and not set(kept) & texts


def test_the_beginning_of_a_withheld_description_gives_it_away() -> None:
    words = "Sample: a status so grave that nobody would wish to have it"
    row = {"code": "P5", "long_description": words, "redistribution": "withheld"}
    texts = withheld_texts([("hcpcs_modifiers", pl.DataFrame([row]))], load_license_policy())
    assert any(len(t) < len(words) and "samplea" in t for t in texts)


def test_the_error_shows_some_leaks_and_holds_all(folder: Path) -> None:
    def plant(rows: Rows) -> None:
        for row in rows[:40]:
            row["note_text"] = "Sample: 99213"

    spoil(folder, "hcpcs_notes", plant)
    files = json.loads((folder / "manifest.json").read_text())["content"]["files"]
    with pytest.raises(LicenseLeak) as error:
        check_version(folder, load_license_policy(), [*files, "CHANGES.md"])
    assert len([leak for leak in error.value.leaks if leak.token == "99213"]) == 40
    assert "hcpcs_notes: note_text: release_id=2012-01, note_number=" in str(error.value)
    assert len(str(error.value).splitlines()) < 40


def test_a_condition_that_the_gate_does_not_know_keeps_nothing(folder: Path) -> None:
    odd = pl.DataFrame(
        {"table": ["t"], "column": ["c"], "condition": ["because"], "action": ["keep"], "reason": ["none"]}
    )
    with pytest.raises(ValueError, match="because"):
        check_version(folder, odd, [])


def test_without_the_policy_what_was_kept_is_refused(folder: Path) -> None:
    nothing_kept = load_license_policy().filter(pl.col("action") != "keep")
    report = inspect_version(folder, nothing_kept, [])
    assert ("hcpcs_codes", "long_description") in {(leak.table, leak.column) for leak in report.leaks}


def test_a_forgotten_mask_is_caught_by_the_gate(sample: Version, tmp_path: Path) -> None:
    policy = load_license_policy()
    tried = set()
    for number, rule in enumerate(policy.iter_rows(named=True)):
        if rule["action"] != "mask":
            continue
        table = rule["table"]
        whole = pl.read_parquet(sample.outputs.work / f"{table}.parquet")
        forgotten = masked(table, whole, policy.with_row_index("n").filter(pl.col("n") != number).drop("n"))
        if forgotten.equals(masked(table, whole, policy)):
            continue
        path = tmp_path / str(number) / f"{table}.parquet"
        path.parent.mkdir()
        write_published_table(path, contract(table), forgotten.select(list(contract(table).polars_schema)), {})
        leaks = inspect_version(path.parent, policy, [path.name]).leaks
        assert {(leak.table, leak.column) for leak in leaks} == {(table, rule["column"])}, rule
        tried.add(rule["condition"])
    assert {"row_of_ama_or_ada", "names_cpt_or_cdt_code", "cites_cpt_or_cdt"} <= tried


@pytest.mark.slow
def test_real_releases_pass(real_version: Version) -> None:
    tables = {path.stem: pl.read_parquet(path) for path in real_version.outputs.work.glob("*.parquet")}
    texts = withheld_texts(tables.items(), load_license_policy())
    assert len(texts) > 50
    report = look(real_version.folder, forbidden=tuple(texts))
    assert report.leaks == ()
    assert report.kept["hcpcs_release_records", "long_description", "cites_cpt_or_cdt"] > 100
