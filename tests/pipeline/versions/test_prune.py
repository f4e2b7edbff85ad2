"""Rules of keeping: nothing goes unsaid, the latest never goes, and the same bytes are kept once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
from conftest import Version
from filelock import FileLock

from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.versions.prune import link_unchanged, prune
from pipeline.versions.publish import sweep
from pipeline.versions.store import all_versions, set_latest
from pipeline.versions.writer import BeingWritten
from sources.errors import SourceError


@pytest.fixture
def outputs(sample: Version, tmp_path: Path) -> Outputs:
    """Four versions, the last of them the latest; the second and third share their tables."""
    outputs = Outputs(tmp_path / "outputs")
    for version in ("2019.01.2", "2019.01.10", "2020.01.1", "2025.10.1"):
        shutil.copytree(sample.folder, outputs.version(version))
    link_unchanged(outputs.version("2020.01.1"), outputs.version("2019.01.10"), sample.content["files"])
    set_latest(outputs, "2025.10.1")
    return outputs


def test_without_being_told_to_it_only_says_what_would_go(outputs: Outputs) -> None:
    would = prune(outputs, keep=2)
    assert list(would.removed) == ["2019.01.2", "2019.01.10"]
    assert (would.kept, would.is_done) == (("2020.01.1", "2025.10.1"), False)
    assert len(all_versions(outputs)) == 4


def test_the_oldest_go_by_number_and_only_what_no_other_shares_is_freed(outputs: Outputs, sample: Version) -> None:
    tables = sum(f["bytes"] for f in sample.content["files"].values())
    done = prune(outputs, keep=2, remove=True)
    assert all_versions(outputs) == ["2020.01.1", "2025.10.1"]
    assert done.removed["2019.01.2"] > tables
    assert done.removed["2019.01.10"] < tables  # its tables stay with 2020.01.1


def test_the_latest_and_those_named_stay_whatever_is_kept(outputs: Outputs) -> None:
    set_latest(outputs, "2019.01.2")
    prune(outputs, keep=1, also=["2019.01.10"], remove=True)
    assert all_versions(outputs) == ["2019.01.2", "2019.01.10", "2025.10.1"]
    assert latest_version(outputs) == "2019.01.2"
    assert (outputs.latest_link / "manifest.json").exists()


def test_a_wrong_wish_removes_nothing(outputs: Outputs) -> None:
    with pytest.raises(SourceError, match="keep at least 1"):
        prune(outputs, keep=0, remove=True)
    with pytest.raises(SourceError, match=r"no version 1999\.01\.1"):
        prune(outputs, keep=1, also=["1999.01.1"], remove=True)
    with FileLock(outputs.lock), pytest.raises(BeingWritten, match="being written"):
        prune(outputs, keep=1, remove=True, wait=0)
    assert len(all_versions(outputs)) == 4


def test_an_interrupted_removal_is_swept_by_the_next_refresh(outputs: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("pipeline.versions.prune.shutil.rmtree", interrupted)
        with pytest.raises(KeyboardInterrupt):
            prune(outputs, keep=3, remove=True)
    assert all_versions(outputs) == ["2019.01.10", "2020.01.1", "2025.10.1"]
    sweep(outputs)
    assert sorted(p.name for p in outputs.versions.iterdir()) == ["2019.01.10", "2020.01.1", "2025.10.1"]


def test_only_files_of_the_same_bytes_become_one(sample: Version, tmp_path: Path) -> None:
    before, after = (Path(shutil.copytree(sample.folder, tmp_path / n)) for n in ("before", "after"))
    changed = "open/hcpcs_codes.parquet"
    (before / changed).write_bytes(b"another")
    files = sample.content["files"]
    assert link_unchanged(after, before, files) == len(files) - 1
    assert not (after / changed).samefile(before / changed)
    assert (after / "open/licenses.parquet").samefile(before / "open/licenses.parquet")
    assert (after / changed).read_bytes() == (sample.folder / changed).read_bytes()


def test_a_file_system_without_hard_links_keeps_copies(
    sample: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    after = Path(shutil.copytree(sample.folder, tmp_path / "after"))

    def refuse(*_: object) -> None:
        raise OSError("no hard links here")

    monkeypatch.setattr(os, "link", refuse)
    assert link_unchanged(after, sample.folder, sample.content["files"]) == 0
    assert sorted(p.name for p in (after / "open").iterdir()) == sorted(
        p.name for p in (sample.folder / "open").iterdir()
    )
