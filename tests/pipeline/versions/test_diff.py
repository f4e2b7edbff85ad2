"""Rules of comparing: every difference between two versions is told, and what is published of it gives nothing away."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet
import pytest
from conftest import Version, content_of

from hcpcs.manifest import SCHEMA_VERSION, Manifest, ManifestDamaged, json_bytes, sealed
from hcpcs.paths import Outputs
from pipeline.license_gate.check import check_version
from pipeline.versions.diff import changes_markdown, diff
from pipeline.versions.publish import publish
from sources.curated.license_policy import load_license_policy
from sources.errors import SourceError

Change = Callable[[pl.DataFrame], pl.DataFrame]


@pytest.fixture
def successor(sample: Version, own_sample: Outputs) -> Callable[..., tuple[Path, Path]]:
    """Publish the sample's tables again with some changed: the folders of both versions."""

    def make(**changes: Change) -> tuple[Path, Path]:
        frames = {t: sample.open(t) for t in map(_table, sample.content["files"]) if t}
        after = _publish(own_sample, frames | {t: c(frames[t]) for t, c in changes.items()}, sample.content)
        return own_sample.version(sample.id), after

    return make


def _table(name: str) -> str | None:
    return Path(name).stem if name.endswith(".parquet") else None


def _publish(outputs: Outputs, frames: dict[str, pl.DataFrame], content: dict[str, Any]) -> Path:
    done = publish(
        outputs,
        {name: frame.lazy() for name, frame in frames.items()},
        policy=load_license_policy(),
        releases=content_of(content).releases,
        missing={},
        excluded={},
        is_sample=True,
    )
    return done.folder


def test_a_version_differs_in_nothing_from_itself(sample: Version) -> None:
    same = diff(sample.folder, sample.folder)
    assert same.is_same
    assert "no differences" in same.as_text()
    assert same.codes == ()


def test_codes_that_came_went_and_changed_are_told_with_their_values(successor: Callable[..., Any]) -> None:
    def change(codes: pl.DataFrame) -> pl.DataFrame:
        first, second = codes["code"][0], codes["code"][1]
        new = (
            codes.filter(pl.col("code") == first)
            .head(1)
            .with_columns(code=pl.lit("Z9999"), episode=pl.lit(1, pl.Int32))
        )
        kept = codes.filter(pl.col("code") != second).with_columns(
            short_description=pl.when(pl.col("code") == first)
            .then(pl.lit("Other words"))
            .otherwise(pl.col("short_description"))
        )
        return pl.concat([kept, new]).sort("code", "episode")

    before, after = successor(hcpcs_codes=change)
    codes = pl.read_parquet(before / "open/hcpcs_codes.parquet")
    first, second = codes["code"][0], codes["code"][1]
    told = diff(before, after)
    assert {(c.code, c.change) for c in told.codes} == {("Z9999", "added"), (second, "gone"), (first, "changed")}
    changed = next(c for c in told.codes if c.change == "changed")
    assert changed.fields == {"short_description": (codes["short_description"][0], "Other words")}
    (table,) = [t for t in told.tables if not t.is_same]
    assert (table.table, table.added, table.changed) == ("hcpcs_codes", 1, 1)
    assert table.rows[1] == table.rows[0] + 1 - table.gone
    assert "Other words" in told.as_text()
    assert json.loads(json.dumps(told.as_json()))["tables"]["hcpcs_codes"]["added"] == 1


def test_a_code_that_only_stands_in_one_more_release_is_no_changed_code(successor: Callable[..., Any]) -> None:
    later = pl.lit("2031-01")
    before, after = successor(hcpcs_codes=lambda f: f.with_columns(last_release=later, action_code=pl.lit("N")))
    told = diff(before, after)
    assert told.codes == ()
    (table,) = [t for t in told.tables if not t.is_same]
    assert table.changed == table.rows[1]


def test_what_differs_in_case_or_spacing_alone_is_counted_and_listed_on_request(
    successor: Callable[..., Any], hcpcs: Callable[..., Any]
) -> None:
    def change(codes: pl.DataFrame) -> pl.DataFrame:
        text, row = pl.col("short_description"), pl.int_range(pl.len())
        spaced = pl.when(row == 0).then(text.str.to_uppercase().str.replace(" ", "  ")).otherwise(text)
        return codes.with_columns(short_description=pl.when(row == 1).then(pl.lit("Other words")).otherwise(spaced))

    before, after = successor(hcpcs_codes=change)
    codes = pl.read_parquet(before / "open/hcpcs_codes.parquet")["code"].to_list()
    outputs = ("--outputs", before.parent.parent)
    usual, every = (hcpcs("diff", before, after, *more, *outputs) for more in ((), ("--all",)))
    assert (usual.status, usual.err, every.status) == (0, "", 0)
    assert f"procedure {codes[1]} changed" in usual.out and f"procedure {codes[0]} changed" not in usual.out
    assert "codes that differ in case or spacing alone: 1; --all lists them" in usual.out
    assert f"procedure {codes[0]} changed" in every.out and "--all" not in every.out
    listed_out = hcpcs("diff", before, after, "--markdown", *outputs).out
    assert "Codes that differ in case or spacing alone: 1; `--all` lists them." in listed_out
    listed = [json.loads(hcpcs("diff", before, after, "--json", *more, *outputs).out) for more in ((), ("--all",))]
    assert [len(diff["codes"]) for diff in listed] == [1, 2]


def test_the_other_way_round_tells_the_opposite(successor: Callable[..., Any]) -> None:
    before, after = successor(hcpcs_modifiers=lambda f: f.slice(1))
    there, back = diff(before, after), diff(after, before)
    assert [c.change for c in there.codes] == ["gone"]
    assert [c.change for c in back.codes] == ["added"]
    assert [(c.code, c.kind) for c in there.codes] == [(c.code, c.kind) for c in back.codes]


def test_tables_columns_and_releases_are_compared(sample: Version, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(sample.folder, tmp_path / "older"))
    manifest = sample.manifest
    content = manifest["content"]
    del content["files"]["open/hcpcs_notes.parquet"]
    gone = content["releases"].pop(0)
    content["schema_version"] = "0.9"
    path = copy / "open/hcpcs_codes.parquet"
    narrower = pyarrow.parquet.read_table(path).drop_columns(["is_unlisted"])
    pyarrow.parquet.write_table(narrower, path)
    content["files"]["open/hcpcs_codes.parquet"]["logical_sha256"] = "another"
    (copy / "manifest.json").write_bytes(json_bytes(sealed(content, manifest["build"])))
    told = diff(copy, sample.folder)
    assert told.tables_added == ("hcpcs_notes",)
    assert told.releases_added == (f"{gone['release_id']} posting {gone['revision']}",)
    codes = next(t for t in told.tables if t.table == "hcpcs_codes")
    assert (codes.columns_added, codes.changed) == (("is_unlisted",), 0)
    assert f"schema version 0.9 → {SCHEMA_VERSION}" in told.as_text()
    assert "- column hcpcs_codes.is_unlisted added" in told.as_markdown()


def test_changes_md_of_a_first_version_lists_its_tables_and_belongs_to_build(sample: Version) -> None:
    text = (sample.folder / "CHANGES.md").read_text("utf-8")
    assert text == changes_markdown(None, sample.folder, content_of(sample.content), sample.id)
    assert f"| hcpcs_codes | {sample.open('hcpcs_codes').height:,} |" in text
    assert "CHANGES.md" not in sample.content["files"]
    assert "CHANGES.md" in sample.manifest["build"]["files"]


def test_changes_md_names_codes_and_fields_but_gives_no_value_and_no_code_of_others(
    successor: Callable[..., Any],
) -> None:
    def with_foreign_rows(codes: pl.DataFrame) -> pl.DataFrame:
        foreign = codes.head(1).with_columns(
            code=pl.lit("D1234"),
            episode=pl.lit(1, pl.Int32),
            license_id=pl.lit("LicenseRef-ADA-CDT"),
            steward=pl.lit("ADA"),
            redistribution=pl.lit("withheld"),
            short_description=pl.lit("withheld words"),
            long_description=pl.lit("withheld words"),
        )
        described = codes.with_columns(short_description=pl.lit("Cites 12345 itself"), cites_cpt=pl.lit(True))
        return pl.concat([described, foreign]).sort("code", "episode")

    before, after = successor(hcpcs_codes=with_foreign_rows)
    text = (after / "CHANGES.md").read_text("utf-8")
    code = pl.read_parquet(before / "open/hcpcs_codes.parquet")["code"][0]
    assert f"- {code}: short_description" in text
    assert "D1234" not in text
    assert "- and 1 of other owners" in text
    for words in ("12345", "withheld words", "Cites"):
        assert words not in text
    manifest = Manifest.from_json((after / "manifest.json").read_bytes(), "after")
    check_version(after, load_license_policy(), manifest.files)


def test_a_damaged_predecessor_keeps_nothing_from_being_published(
    successor: Callable[..., Any], sample: Version
) -> None:
    before, after = successor(hcpcs_modifiers=lambda f: f.slice(1))
    (before / "manifest.json").write_bytes(b"{")
    text = changes_markdown(before, after, content_of(sample.content), "2099.01.1")
    assert "damaged" in text


def test_only_whole_versions_are_compared(sample: Version, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="is not a version"):
        diff(tmp_path, sample.folder)
    copy = Path(shutil.copytree(sample.folder, tmp_path / "edited"))
    edited = (copy / "manifest.json").read_bytes().replace(b'"open"', b'"shut"')
    (copy / "manifest.json").write_bytes(edited)
    with pytest.raises(ManifestDamaged, match="edited"):
        diff(copy, sample.folder)
