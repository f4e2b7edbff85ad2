"""Publishing a version: what stops it before a file is written, how it is numbered, and what its files are."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet
import pytest
from conftest import Version, content_of, published

from hcpcs.paths import Outputs
from pipeline.versions import publish as publishing
from pipeline.versions.parquet import content_hash, logical_sha256, write_published_table, write_work_table
from pipeline.versions.store import (
    State,
    all_versions,
    latest_version,
    mend_latest_link,
    read_state,
    set_latest,
    write_state,
)
from schemas.contract import ContractViolation
from schemas.registry import contract
from sources.curated.license_policy import load_license_policy


@pytest.fixture
def tables(sample: Version) -> dict[str, pl.LazyFrame]:
    """The published tables of the sample, to be published again with a change."""
    return {p.stem: pl.scan_parquet(p) for p in (sample.folder / "open").glob("*.parquet")}


def publish(
    outputs: Outputs, sample: Version, tables: Mapping[str, pl.LazyFrame], **changed: Any
) -> publishing.PublishResult:
    content = content_of(sample.content)
    about = {name: getattr(content, name) for name in ("releases", "missing", "excluded", "is_sample")}
    return publishing.publish(outputs, tables, policy=load_license_policy(), **(about | changed))


def test_a_table_that_breaks_its_contract_stops_the_version(
    own_sample: Outputs, sample: Version, tables: dict[str, pl.LazyFrame]
) -> None:
    # The last table by name is spoiled: those before it are written by then, and must not stay.
    name = sorted(tables)[-1]
    spoiled = tables | {name: pl.concat([tables[name], tables[name].head(1)])}
    before = published(own_sample)
    # That what was there before kept its contract says nothing of what is there now.
    kept = {table: content_hash([frame.collect()]) for table, frame in tables.items()}
    with pytest.raises(ContractViolation, match=name):
        publish(own_sample, sample, spoiled, kept_contracts=kept)
    assert published(own_sample) == before
    assert [p.name for p in own_sample.versions.iterdir()] == [sample.id]


def test_what_kept_its_contract_is_not_checked_again(
    own_sample: Outputs, sample: Version, tables: dict[str, pl.LazyFrame], monkeypatch: pytest.MonkeyPatch
) -> None:
    checked: list[str] = []

    def enforce(name: str, frame: pl.DataFrame) -> pl.DataFrame:
        checked.append(name)
        return frame

    monkeypatch.setattr(publishing, "enforce", enforce)
    kept = {table: content_hash([frame.collect()]) for table, frame in tables.items() if table != "hcpcs_codes"}
    publish(own_sample, sample, tables, kept_contracts=kept)
    assert checked == ["hcpcs_codes"]


def test_the_same_content_is_no_new_version(
    own_sample: Outputs, sample: Version, tables: dict[str, pl.LazyFrame]
) -> None:
    done = publish(own_sample, sample, tables)
    assert (done.version, done.is_new) == (sample.id, False)
    assert all_versions(own_sample) == [sample.id]


def test_a_version_is_numbered_by_the_newest_release_and_no_number_is_used_twice(
    own_sample: Outputs, sample: Version, tables: dict[str, pl.LazyFrame]
) -> None:
    assert sample.id == "2025.10.1"
    second = publish(own_sample, sample, tables, missing={"2018-01": "for the test"})
    assert second.version == "2025.10.2" and latest_version(own_sample) == "2025.10.2"
    # Someone deletes the newest version, folder and all: its number stays used.
    shutil.rmtree(second.folder)
    own_sample.latest.write_text('{"version": "2025.10.1", "path": "versions/2025.10.1"}')
    third = publish(own_sample, sample, tables, missing={"2018-01": "for another test"})
    assert third.version == "2025.10.3"
    # The state is lost: the folders that are there still count.
    own_sample.state.unlink()
    fourth = publish(own_sample, sample, tables, missing={})
    assert fourth.version == "2025.10.4"


@pytest.mark.parametrize("is_pointed_at", [False, True])
def test_a_version_that_was_never_pointed_at_is_swept_and_its_number_stays_used(
    own_sample: Outputs,
    sample: Version,
    tables: dict[str, pl.LazyFrame],
    monkeypatch: pytest.MonkeyPatch,
    is_pointed_at: bool,
) -> None:
    def killed(outputs: Outputs, version: str) -> None:
        if is_pointed_at:
            set_latest(outputs, version)
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(publishing, "set_latest", killed)
        publish(own_sample, sample, tables, missing={"2018-01": "for the test"})
    assert all_versions(own_sample) == [sample.id, "2025.10.2"]
    publishing.sweep(own_sample)
    assert all_versions(own_sample) == ([sample.id, "2025.10.2"] if is_pointed_at else [sample.id])
    assert not list(own_sample.versions.glob(".partial-*"))
    publishing.sweep(own_sample)  # what was published stays, whatever latest.json names later
    own_sample.latest.write_text(f'{{"version": "{sample.id}", "path": "versions/{sample.id}"}}')
    publishing.sweep(own_sample)
    assert all_versions(own_sample) == ([sample.id, "2025.10.2"] if is_pointed_at else [sample.id])
    assert publish(own_sample, sample, tables, missing={"2018-01": "for another test"}).version == "2025.10.3"


def test_what_was_excluded_or_is_missing_decides_whether_a_version_is_new(
    own_sample: Outputs, sample: Version, tables: dict[str, pl.LazyFrame]
) -> None:
    assert publish(own_sample, sample, tables, excluded={"2018-01": "dated wrongly"}).is_new
    assert not publish(own_sample, sample, tables, excluded={"2018-01": "dated wrongly"}).is_new


def test_latest_is_named_by_a_file_and_followed_by_a_link(own_sample: Outputs, sample: Version) -> None:
    assert own_sample.latest_link.readlink() == Path("versions") / sample.id
    for damage in ("gone", "stale", "dangling"):
        own_sample.latest_link.unlink()
        if damage != "gone":
            own_sample.latest_link.symlink_to("versions" if damage == "stale" else "versions/1999.01.1")
        mend_latest_link(own_sample)
        assert own_sample.latest_link.resolve() == own_sample.version(sample.id).resolve()


def test_an_outputs_folder_can_be_moved(own_sample: Outputs, sample: Version, tmp_path: Path) -> None:
    own_sample.folder.rename(tmp_path / "moved")
    moved = Outputs(tmp_path / "moved")
    assert latest_version(moved) == sample.id
    assert (moved.latest_link / "open" / "hcpcs_codes.parquet").exists()


def test_the_state_keeps_what_a_change_does_not_name(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path)
    write_state(outputs, builds={"2025.10": 3})
    write_state(outputs, fingerprint="abc")
    assert read_state(outputs) == State(builds={"2025.10": 3}, fingerprint="abc")


# --- files -----------------------------------------------------------------------------------------------------------


def test_a_table_written_twice_is_the_same_bytes(sample: Version, tmp_path: Path) -> None:
    frame = sample.open("hcpcs_release_records")
    for name in ("a", "b"):
        write_published_table(tmp_path / f"{name}.parquet", contract("hcpcs_release_records"), frame, {})
    # Chunks are how a frame lies in memory, and say nothing of it.
    chunked = pl.concat([frame.head(7), frame.slice(7)], rechunk=False)
    write_published_table(tmp_path / "c.parquet", contract("hcpcs_release_records"), chunked, {})
    assert len({(tmp_path / f"{name}.parquet").read_bytes() for name in "abc"}) == 1
    assert logical_sha256(chunked) == logical_sha256(frame)


def test_a_logical_hash_knows_values_order_and_nulls_alone() -> None:
    frame = pl.DataFrame({"code": ["A1", "A2"], "words": [["a"], []], "n": [1, None]})
    other = [
        frame.with_columns(n=pl.lit(None, pl.Int64)),
        frame.reverse(),
        frame.with_columns(words=pl.Series([["a", ""], []])),
        frame.head(1),
    ]
    assert len({logical_sha256(f) for f in [frame, *other]}) == 5
    assert logical_sha256(frame.rechunk()) == logical_sha256(frame)


def test_published_files_are_compressed_and_sorted_with_a_page_index(sample: Version) -> None:
    path = sample.folder / "open" / "hcpcs_release_records.parquet"
    group = pyarrow.parquet.ParquetFile(path).metadata.row_group(0)
    column = group.column(0)
    assert column.compression == "ZSTD"
    assert column.has_column_index and column.has_offset_index
    assert column.statistics.has_min_max
    codes = sample.open("hcpcs_release_records")["code"]
    assert codes.is_sorted()


def test_a_work_table_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "table.parquet"
    write_work_table(path, pl.DataFrame({"a": [1]}))

    def fail(*_: object) -> None:
        raise OSError("disk full")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="disk full"):
        write_work_table(path, pl.DataFrame({"a": [1, 2]}))
    assert pl.read_parquet(path).height == 1
    assert [p.name for p in tmp_path.iterdir()] == ["table.parquet"]
