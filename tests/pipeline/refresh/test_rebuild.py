"""Rules of rebuilding: the archive gives the same version again, and what differs is named."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import pytest
from conftest import Version, content_of, published

from hcpcs.paths import Outputs
from pipeline.refresh.rebuild import DIFFERENT, IDENTICAL, SAME_ROWS, RebuildResult, compare_contents, rebuild
from sources.errors import SourceError


def test_the_archive_gives_the_same_bytes_again_and_the_outputs_stay_as_they_are(
    sample: Version, tmp_path: Path
) -> None:
    before = published(sample.outputs)
    again = rebuild(sample.outputs, sample.id, tmp_path / "again")
    assert (again.outcome, again.differences, again.libraries) == (IDENTICAL, (), {})
    assert again.ok
    assert published(sample.outputs) == before
    assert again.folder is not None
    for name in sample.content["files"]:
        assert (again.folder / name).read_bytes() == (sample.folder / name).read_bytes()


def test_other_bytes_of_the_same_rows_will_do_only_under_other_libraries(sample: Version) -> None:
    made = copy.deepcopy(sample.content)
    made["files"]["open/hcpcs_codes.parquet"]["sha256"] = "0" * 64
    made["files"]["datapackage.json"]["sha256"] = "0" * 64
    outcome, differences = compare_contents(content_of(sample.content), content_of(made))
    assert outcome == SAME_ROWS
    assert "open/hcpcs_codes.parquet has the same rows in other bytes" in differences
    same = RebuildResult("2025.10.1", outcome, tuple(differences), {}, (None, None), None)
    assert not same.ok
    assert RebuildResult("2025.10.1", outcome, (), {"pyarrow": ("26", "27")}, (None, None), None).ok
    assert json.loads(json.dumps(same.as_json()))["outcome"] == "same_rows"


def test_other_rows_files_and_releases_are_different_and_named(sample: Version) -> None:
    def changed(change: Any) -> tuple[str, list[str]]:
        made = copy.deepcopy(sample.content)
        change(made)
        return compare_contents(content_of(sample.content), content_of(made))

    codes = "open/hcpcs_codes.parquet"
    assert changed(lambda c: c["files"][codes].update(logical_sha256="x")) == (
        DIFFERENT,
        [f"{codes} has other content"],
    )
    assert changed(lambda c: c["files"].pop(codes)) == (DIFFERENT, [f"{codes} is missing"])
    assert changed(lambda c: c["files"].update(more={"sha256": "0", "bytes": 0})) == (DIFFERENT, ["more is extra"])
    assert changed(lambda c: c["releases"].pop()) == (DIFFERENT, ["releases is not the same"])


def test_a_lost_member_and_a_folder_in_the_way_are_refused(own_sample: Outputs, tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="exists"):
        rebuild(own_sample, None, tmp_path)
    index = own_sample.archive / "index.json"
    held = json.loads(index.read_bytes())
    lost = held["zips"].pop(next(iter(held["zips"])))
    index.write_text(json.dumps(held))
    with pytest.raises(SourceError, match=f"no longer has .* of {lost['release_id']}"):
        rebuild(own_sample)
