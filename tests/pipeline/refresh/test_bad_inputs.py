"""Bad input through the command line: the message, the exit status, and that what was published stays untouched."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import bad_inputs
import pytest
from conftest import Said, built_once, manifest_of, published
from made_up import posting, record
from release_writer import anweb_text, release_zip

from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.refresh.refresh import refresh

ZIP = bad_inputs.NAME.rsplit("/", 1)[-1]

#: What the message must name besides the file or the release: where it is, and the value.
REFUSED_ZIPS = {
    "not_a_zip": ["not a zip; it begins with"],
    "html_page": ["an HTML page", "Page not found"],
    "truncated_zip": ["cut or damaged"],
    "damaged_zip": [bad_inputs.TEXT, "damaged"],
    "wrong_checksum": [bad_inputs.TEXT, "damaged"],
    "encrypted_zip": [bad_inputs.TEXT, "encrypted"],
    "empty_zip": ["the zip is empty"],
    "empty_file": ["the file is empty"],
    "climbing_member": ["'../outside.txt'", "climbs out"],
    "absolute_member": ["'/outside.txt'", "climbs out"],
    "zip_bomb": [bad_inputs.TEXT, "past the bound"],
}
REFUSED_RELEASES = {
    "no_code_file": ["no member is a code file", "HCPC2019_README.txt"],
    "two_different_code_files": [bad_inputs.TEXT, "HCPC2019_CONTR_ANWEB_v2.txt", "two different code files"],
    "record_id_five": ["line 4 of", bad_inputs.TEXT, "record id 5 is none of 3, 4, 7, 8"],
    "continuation_without_record": ["line 2 of", bad_inputs.TEXT, "A0080 follows no record"],
    "same_code_twice": ["line 5 of", bad_inputs.TEXT, "V5364 is on lines 4, 5 with different content"],
    "impossible_date": ["line 1 of", bad_inputs.TEXT, "'20190231'"],
    "dates_out_of_order": ["line 4 of", bad_inputs.TEXT, "V5364", "2018-12-31", "2019-01-01"],
    "workbook_without_header": [bad_inputs.WORKBOOK, "header", "HCPC"],
    "text_of_blanks": [bad_inputs.TEXT, "neither lines of records"],
}


def test_every_bad_input_is_tried_here() -> None:
    assert REFUSED_ZIPS.keys() | REFUSED_RELEASES.keys() == bad_inputs.BAD_INPUTS.keys()


def offer(folder: Path, name: str) -> Path:
    path = folder / bad_inputs.NAME
    path.parent.mkdir(parents=True)
    path.write_bytes(bad_inputs.BAD_INPUTS[name]())
    return folder


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """Outputs with a small version of 2017-01 and 2020-04; tests change copies of it."""

    def build(folder: Path) -> Outputs:
        for release_id in ("2017-01", "2020-04"):
            posting(release_id, record("A1"), record("A0080"), record("V5364")).write(folder / "in")
        refresh(Outputs(folder / "outputs"), offered=folder / "in")
        return Outputs(folder / "outputs")

    return built_once(tmp_path_factory, "good", build)


@pytest.fixture
def outputs(good: Outputs, tmp_path: Path) -> Outputs:
    shutil.copytree(good.folder, tmp_path / "outputs", symlinks=True)
    return Outputs(tmp_path / "outputs")


@pytest.mark.parametrize("name", bad_inputs.BAD_INPUTS)
def test_bad_input_is_refused_with_where_what_and_what_next_and_nothing_changes(
    hcpcs: Callable[..., Said], outputs: Outputs, tmp_path: Path, name: str
) -> None:
    before = published(outputs)
    assert "latest.json" in before and "versions/2020.04.1/manifest.json" in before
    said = hcpcs("refresh", "--from", offer(tmp_path / "in", name), "--outputs", outputs.folder)
    assert said.status == 1
    assert said.out == ""
    first, *rest = said.err.splitlines()
    where = bad_inputs.NAME if name in REFUSED_ZIPS else "2019-01"
    assert first.startswith(f"hcpcs: error: {where}: ")
    for words in (REFUSED_ZIPS | REFUSED_RELEASES)[name]:
        assert words in first
    assert "Traceback" not in said.err
    advice = "\n".join(rest)
    assert "nothing was published, the newest version is still 2020.04.1" in advice
    assert "--skip-bad" in advice
    assert ("`hcpcs findings 2019-01`" in advice) == (name in REFUSED_RELEASES)
    assert published(outputs) == before
    assert not list(outputs.versions.glob(".partial-*"))


def newest_content(outputs: Outputs) -> dict[str, Any]:
    version = latest_version(outputs)
    assert version is not None
    content: dict[str, Any] = manifest_of(outputs.version(version))["content"]
    return content


def test_with_skip_bad_the_rest_is_published_and_the_manifest_says_what_is_missing(
    hcpcs: Callable[..., Said], outputs: Outputs, tmp_path: Path
) -> None:
    offered = offer(tmp_path / "in", "record_id_five")
    (offered / "2019-01" / "page.zip").write_bytes(bad_inputs.html_page())
    posting("2020-10", record("A1"), record("A0080"), record("V5364")).write(offered)
    said = hcpcs("refresh", "--from", offered, "--skip-bad", "--outputs", outputs.folder, "--json")
    assert said.status == 0
    assert json.loads(said.out)["version"] == "2020.10.1"
    content = newest_content(outputs)
    assert [r["release_id"] for r in content["releases"]] == ["2017-01", "2020-04", "2020-10"]
    assert sorted(content["missing"]) == ["2019-01", "2019-01/page.zip"]
    assert "record id 5" in content["missing"]["2019-01"]
    assert "an HTML page" in content["missing"]["2019-01/page.zip"]
    status = json.loads(hcpcs("status", "--json", "--outputs", outputs.folder).out)
    assert status["missing"] == content["missing"]
    assert hcpcs("findings", "2019-01", "--outputs", outputs.folder).out.count("not_a_record") == 1
    printed = hcpcs("status", "--outputs", outputs.folder).out
    assert "missing: 2019-01: " in printed and "2019-01: 2019-01" not in printed

    # A good zip comes: the release is missing no more, and nobody hears of its findings again.
    mended = tmp_path / "mended"
    for name in ("again.zip", "page.zip"):
        posting("2019-01", record("A1"), record("A0080"), record("V5364"), name=name).write(mended)
    assert hcpcs("refresh", "--from", mended, "--outputs", outputs.folder).status == 0
    content = newest_content(outputs)
    assert [r["release_id"] for r in content["releases"]] == ["2017-01", "2019-01", "2020-04", "2020-10"]
    assert content["missing"] == {}
    assert "not_a_record" not in hcpcs("findings", "2019-01", "--outputs", outputs.folder).out


def test_a_bad_posting_of_a_held_release_leaves_the_good_one_in_the_tables(
    hcpcs: Callable[..., Said], outputs: Outputs, tmp_path: Path
) -> None:
    lines = anweb_text((record("A1"), record("A0080"), record("V5364"))).split(b"\r\n")
    lines[1] = lines[1][:10] + b"5" + lines[1][11:]
    bad = posting("2020-04", side={"HCPC2020_APR_ANWEB_v2.txt": b"\r\n".join(lines)})
    replace(bad, members={n: d for n, d in bad.members.items() if "v2" in n}).write(tmp_path / "bad")
    said = hcpcs("refresh", "--from", tmp_path / "bad", "--skip-bad", "--outputs", outputs.folder)
    assert said.status == 0, said.err
    content = newest_content(outputs)
    assert [(r["release_id"], r["revision"]) for r in content["releases"]] == [("2017-01", 1), ("2020-04", 1)]
    assert list(content["missing"]) == ["2020-04"]
    assert "HCPC2020_APR_ANWEB_v2.txt" in content["missing"]["2020-04"]


def test_two_bad_zips_of_one_name_are_both_named(hcpcs: Callable[..., Said], outputs: Outputs, tmp_path: Path) -> None:
    for release in ("2018-01", "2019-01"):
        path = tmp_path / "in" / release / "a.zip"
        path.parent.mkdir(parents=True)
        path.write_bytes(bad_inputs.html_page())
    said = hcpcs("refresh", "--from", tmp_path / "in", "--outputs", outputs.folder)
    assert said.status == 1
    assert said.err.count("an HTML page") == 2
    assert "2018-01" in said.err and "2019-01" in said.err


def test_all_bad_releases_are_named_in_one_run(hcpcs: Callable[..., Said], outputs: Outputs, tmp_path: Path) -> None:
    offered = offer(tmp_path / "in", "record_id_five")
    empty = offered / "2020-10" / "2020-october-alpha-numeric-hcpcs-file.zip"
    empty.parent.mkdir()
    empty.write_bytes(bad_inputs.no_code_file())
    said = hcpcs("refresh", "--from", offered, "--outputs", outputs.folder)
    assert said.status == 1
    assert "2019-01: line 4" in said.err and "2020-10: " in said.err
    assert "`hcpcs findings 2019-01`" in said.err and "`hcpcs findings 2020-10`" in said.err


@pytest.mark.parametrize(("exists", "words"), [(False, "does not exist"), (True, "has no .zip")])
def test_a_folder_that_is_not_there_or_holds_nothing_is_refused(
    hcpcs: Callable[..., Said], outputs: Outputs, tmp_path: Path, exists: bool, words: str
) -> None:
    before = published(outputs)
    offered = tmp_path / "in"
    if exists:
        offered.mkdir()
    said = hcpcs("refresh", "--from", offered, "--outputs", outputs.folder)
    assert said.status == 1
    assert str(offered) in said.err and words in said.err
    assert published(outputs) == before


def test_a_refresh_with_nothing_held_and_nothing_offered_says_what_to_do(
    hcpcs: Callable[..., Said], tmp_path: Path
) -> None:
    said = hcpcs("refresh", "--offline", "--outputs", tmp_path / "outputs")
    assert said.status == 1 and "hcpcs refresh --from DIR" in said.err


def test_names_that_contradict_each_other_are_refused_with_both(
    hcpcs: Callable[..., Said], outputs: Outputs, tmp_path: Path
) -> None:
    before = published(outputs)
    path = tmp_path / "in" / "2018-01" / ZIP
    path.parent.mkdir(parents=True)
    path.write_bytes(bad_inputs.good_zip())
    said = hcpcs("refresh", "--from", tmp_path / "in", "--outputs", outputs.folder)
    assert said.status == 1
    assert "2018-01" in said.err and "2019" in said.err
    assert published(outputs) == before


def test_the_sample_does_not_mix_with_what_is_no_sample(
    hcpcs: Callable[..., Said], own_sample: Outputs, tmp_path: Path
) -> None:
    path = tmp_path / "in" / "2019-01" / ZIP
    path.parent.mkdir(parents=True)
    path.write_bytes(bad_inputs.good_zip())
    with zipfile.ZipFile(path, "a") as archive:
        archive.comment = b""
    before = published(own_sample)
    said = hcpcs("refresh", "--from", tmp_path / "in", "--outputs", own_sample.folder)
    assert said.status == 1 and "--outputs" in said.err
    assert published(own_sample) == before


def test_one_zip_offered_under_two_releases_is_refused(
    hcpcs: Callable[..., Said], outputs: Outputs, tmp_path: Path
) -> None:
    # Names without a year contradict no folder.
    same = release_zip({"anweb.txt": anweb_text([record("A0001")])})
    for release_id in ("2019-01", "2020-01"):
        path = tmp_path / "offered" / release_id / "hcpcs.zip"
        path.parent.mkdir(parents=True)
        path.write_bytes(same)
    before = published(outputs)
    said = hcpcs("refresh", "--from", tmp_path / "offered", "--outputs", outputs.folder)
    assert said.status == 1
    assert "2020-01/hcpcs.zip has the same bytes as a zip that is offered as 2019-01" in said.err
    assert published(outputs) == before


def test_a_held_zip_moves_to_another_release_only_on_the_callers_word(
    hcpcs: Callable[..., Said], tmp_path: Path
) -> None:
    outputs = Outputs(tmp_path / "outputs")
    same = release_zip({"anweb.txt": anweb_text([record("A0001")])})
    paths = {release_id: tmp_path / release_id / "hcpcs.zip" for release_id in ("2019-01", "2020-01")}
    for path in paths.values():
        path.parent.mkdir(parents=True)
        path.write_bytes(same)
    assert hcpcs("refresh", "--from", paths["2019-01"].parent, "--outputs", outputs.folder).status == 0
    before = published(outputs)
    said = hcpcs("refresh", "--from", paths["2020-01"].parent, "--outputs", outputs.folder)
    assert said.status == 1
    assert "2020-01/hcpcs.zip has the same bytes as a zip that is loaded as 2019-01" in said.err
    assert "--release 2020-01" in said.err
    assert published(outputs) == before
    said = hcpcs("refresh", "--from", paths["2020-01"].parent, "--release", "2020-01", "--outputs", outputs.folder)
    assert said.status == 0
    assert [r["release_id"] for r in newest_content(outputs)["releases"]] == ["2020-01"]
