"""Rules of verifying: whatever differs from what was published is found and named."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet
import pytest
from conftest import Said, Version, files_of
from hypothesis import given, settings
from hypothesis import strategies as st

from hcpcs.files import file_sha256
from hcpcs.manifest import Manifest, ManifestDamaged, ManifestTooNew, json_bytes, sealed
from pipeline.versions.parquet import logical_sha256
from pipeline.versions.store import read_manifest
from pipeline.versions.verify_content import verify_deeply
from sources.errors import SourceError


@pytest.fixture
def copy(sample: Version, tmp_path: Path) -> Path:
    """A copy of a version that a test may change."""
    return Path(shutil.copytree(sample.folder, tmp_path / sample.id))


def read(folder: Path) -> dict[str, Any]:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_bytes())
    return manifest


def reseal(folder: Path, change: Callable[[dict[str, Any], dict[str, Any]], None]) -> None:
    """Change a manifest as somebody would who knows how to seal one."""
    manifest = read(folder)
    change(manifest["content"], manifest["build"])
    (folder / "manifest.json").write_bytes(json_bytes(sealed(manifest["content"], manifest["build"])))


def rewrite(folder: Path, table: str, change: Callable[[pl.DataFrame], pl.DataFrame]) -> None:
    """Change a table's rows and let the manifest say so."""
    name = f"open/{table}.parquet"
    arrow = pyarrow.parquet.read_table(folder / name)
    frame = change(pl.read_parquet(folder / name))
    changed = frame.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(arrow.schema)
    pyarrow.parquet.write_table(changed, folder / name)
    entry = {
        "sha256": file_sha256(folder / name),
        "bytes": (folder / name).stat().st_size,
        "rows": frame.height,
        "logical_sha256": logical_sha256(frame),
    }
    reseal(folder, lambda content, build: content["files"].update({name: entry}))


def found(folder: Path) -> set[tuple[str, str]]:
    return {(p.check, p.file) for p in verify_deeply(folder).problems}


def test_a_version_as_it_was_published_has_no_problem(sample: Version) -> None:
    report = verify_deeply(sample.folder)
    assert report.ok, report.problems
    assert report.version == sample.id
    assert set(report.checks) == {"manifest", "files", "hashes", "schema", "rows", "contract", "license_gate"}
    assert set(report.checks.values()) == {"checked"}
    files = files_of(sample.manifest)
    assert report.files == len(files)
    assert report.rows == sum(f.get("rows", 0) for f in files.values())


def test_a_copy_without_archive_verifies_and_a_folder_of_outputs_means_its_latest(sample: Version, copy: Path) -> None:
    assert verify_deeply(copy).ok
    assert verify_deeply(sample.outputs.folder).version == sample.id


def test_a_flipped_bit_in_each_file_is_found_and_each_named(copy: Path, hcpcs: Callable[..., Said]) -> None:
    assert (said := hcpcs("verify", copy)).status == 0 and "no differences" in said.out, said
    names = [*files_of(read(copy))]
    for name in names:
        content = bytearray((copy / name).read_bytes())
        content[len(content) // 2] ^= 1
        (copy / name).write_bytes(content)
    assert {("hashes", name) for name in names} <= found(copy)
    said = hcpcs("verify", copy, "--json")
    assert said.status == 1
    assert {(p["check"], p["file"]) for p in json.loads(said.out)["problems"]} == {("hashes", name) for name in names}


@settings(max_examples=100, deadline=None)
@given(data=st.data())
def test_no_bit_of_the_manifest_can_be_flipped(data: st.DataObject, sample: Version) -> None:
    content = bytearray((sample.folder / "manifest.json").read_bytes())
    content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    with pytest.raises((ManifestDamaged, ManifestTooNew)):
        Manifest.from_json(bytes(content), "here")


def test_missing_extra_cut_and_linked_files_are_named(copy: Path, tmp_path: Path) -> None:
    (copy / "open/hcpcs_notes.parquet").unlink()
    (copy / "open/more.parquet").write_bytes(b"PAR1")
    (copy / "LICENSES/CC0-1.0.txt").write_bytes(b"")
    (copy / "CHANGES.md").unlink()
    (copy / "datapackage.json").rename(tmp_path / "elsewhere.json")
    (copy / "datapackage.json").symlink_to(tmp_path / "elsewhere.json")
    assert found(copy) >= {
        ("files", "open/hcpcs_notes.parquet"),
        ("files", "open/more.parquet"),
        ("hashes", "LICENSES/CC0-1.0.txt"),
        ("files", "CHANGES.md"),
        ("files", "datapackage.json"),
    }
    assert not {name for _, name in found(copy)} & {"open/hcpcs_codes.parquet", "manifest.json", "croissant.json"}


def test_a_manifest_of_a_newer_schema_is_refused_with_what_to_do(copy: Path) -> None:
    reseal(copy, lambda content, build: content.update(schema_version="97.0"))
    with pytest.raises(ManifestTooNew, match=r"schema 97\.0, newer than .* install the newer hcpcs"):
        verify_deeply(copy)


def test_a_version_of_an_older_schema_is_not_held_against_contracts_it_never_had(copy: Path) -> None:
    reseal(copy, lambda content, build: content.update(schema_version="0.1"))
    report = verify_deeply(copy)
    assert report.checks["contract"] == "not checked: of the older schema 0.1"
    assert {p.check for p in report.problems} == {"schema"}  # the files say another


def test_a_manifest_of_schema_1_is_read_by_the_words_it_had(copy: Path, hcpcs: Callable[..., Said]) -> None:
    def older(content: dict[str, Any], build: dict[str, Any]) -> None:
        content["schema_version"] = "1.0"
        del content["accepted_losses"]
        content["releases"] = [
            {"stands": r["is_current"]} | {k: v for k, v in r.items() if k != "is_current"} for r in content["releases"]
        ]

    releases = read_manifest(copy).content.releases
    reseal(copy, older)
    content = read_manifest(copy).content
    assert (content.releases, content.accepted_losses) == (releases, {})
    assert {p.check for p in verify_deeply(copy).problems} == {"schema"}
    said = hcpcs("changes", "latest", "--version", copy)
    assert (said.status, said.err) == (0, "")


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"content": {}}', b'{"content": {"schema_version": "x"}}'])
def test_a_broken_manifest_is_a_problem_and_no_traceback(copy: Path, data: bytes) -> None:
    (copy / "manifest.json").write_bytes(data)
    assert found(copy) == {("manifest", "manifest.json")}


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (lambda content, build: content.pop("tier"), "`content.tier` is missing"),
        (lambda content, build: content.update(releases={}), "`content.releases` is of another type"),
        (lambda content, build: content["releases"][0].pop("members"), "hcpcs_releases"),
        (lambda content, build: content["releases"][0].update(revision="1"), "`content.releases[0].revision`"),
        (lambda content, build: content["files"].update({"open/x.parquet": 3}), "`content.files.open/x.parquet`"),
        (lambda content, build: content["files"]["croissant.json"].update(bytes=True), "croissant.json.bytes`"),
        (lambda content, build: content.update(missing={"2019-01": [4]}), "`content.missing.2019-01`"),
        (lambda content, build: build.clear(), "`build.version` is missing"),
    ],
)
def test_a_sealed_manifest_whose_values_are_not_ours_is_one_problem(
    copy: Path, hcpcs: Callable[..., Any], change: Callable[..., Any], named: str
) -> None:
    reseal(copy, change)
    said = hcpcs("verify", "--deep", copy)
    assert said.status == 1 and named in said.out + said.err
    assert hcpcs("annotate", "-", "--code", "c", "--on", "2025-01-01", "--version", copy).status == 1


def test_a_manifest_cannot_lead_out_of_its_version(copy: Path) -> None:
    reseal(copy, lambda content, build: content["files"].update({"../../secret": {"sha256": "", "bytes": 0}}))
    (problem,) = verify_deeply(copy).problems
    assert "outside" in problem.what


def test_an_edited_table_with_a_matching_manifest_still_breaks_its_contract(copy: Path) -> None:
    rewrite(copy, "hcpcs_codes", lambda frame: pl.concat([frame, frame.head(1)]))
    assert ("contract", "open/hcpcs_codes.parquet") in found(copy)


def test_a_leak_is_found_though_every_hash_is_right(copy: Path, hcpcs: Callable[..., Said]) -> None:
    rewrite(copy, "hcpcs_notes", lambda f: f.with_columns(note_text=pl.lit("see also 12345 for this")))
    assert ("license_gate", "open/hcpcs_notes.parquet") in found(copy)
    bytes_alone, deep = (hcpcs("verify", copy, *options, "--json") for options in ((), ("--deep",)))
    assert (bytes_alone.status, deep.status) == (0, 1)
    assert json.loads(bytes_alone.out)["checks"]["license_gate"] == "not checked: `hcpcs verify --deep` does"


def test_a_manifest_that_lacks_a_table_or_names_other_releases_is_found(copy: Path) -> None:
    (copy / "open/licenses.parquet").unlink()

    def change(content: dict[str, Any], build: dict[str, Any]) -> None:
        del content["files"]["open/licenses.parquet"]
        content["releases"].pop()

    reseal(copy, change)
    assert found(copy) == {("contract", "open/licenses.parquet"), ("rows", "manifest.json")}


def test_a_version_in_the_place_of_another_is_told(sample: Version, tmp_path: Path) -> None:
    shutil.copytree(sample.folder, tmp_path / "versions" / "2011.01.1")
    (problem,) = verify_deeply(tmp_path / "versions" / "2011.01.1").problems
    assert (problem.check, problem.file) == ("manifest", "manifest.json")
    assert sample.id in problem.what


def test_what_is_no_version_is_refused(tmp_path: Path) -> None:
    for path in (tmp_path / "nothing", tmp_path):
        with pytest.raises(SourceError):
            verify_deeply(path)
