"""Small files that are damaged, from outside: commands say what is wrong, and a refresh mends what it can."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from conftest import Version
from test_cli import COMMANDS, Hcpcs

from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.versions.store import all_versions
from pipeline.versions.verify_content import verify_deeply

#: What a file may hold after a full disk, a merge, an editor, another program.
DAMAGE = {
    "empty": b"",
    "cut": b'{"version": "20',
    "other": b"[1, 2]\n",
    "values": b'{"version": 7, "builds": 3, "releases": [], "site": [], "2019-01": [4], "format": 1, "files": []}\n',
    "bytes": b"\xff\xfe\x00",
}
FILES = ["latest.json", "state.json", "refused.json", "site.json"]
#: Arguments with which a command asks the latest version.
ASKING: dict[tuple[str, ...], tuple[str, ...]] = {
    ("lookup",): ("J0570",),
    ("history",): ("J0570",),
    ("search",): ("bandage",),
    ("changes",): ("2017-01",),
    ("diff",): ("2025.10.1",),
    ("prune",): ("--keep", "8"),
}
QUIET = {
    *[("status",), ("releases",), ("versions",), ("findings",), ("licenses",), ("verify",)],
    *ASKING,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("file", FILES)
def test_no_command_ends_in_a_traceback_on_a_damaged_file(
    hcpcs: Hcpcs, sample: Version, tmp_path: Path, file: str, damage: str
) -> None:
    assert set(COMMANDS) >= QUIET
    for name in ("archive", "versions"):
        (tmp_path / name).symlink_to(sample.outputs.folder / name)
    for name in ("latest.json", "state.json"):
        shutil.copyfile(sample.outputs.folder / name, tmp_path / name)
    (tmp_path / file).write_bytes(DAMAGE[damage])
    needs_it = {"latest.json": QUIET, "refused.json": {("findings",)}}.get(file, set())
    # Of these files `verify`, the slowest, reads `latest.json` alone.
    for command in sorted(QUIET if file == "latest.json" or damage == "cut" else QUIET - {("verify",)}):
        said = hcpcs(*command, *ASKING.get(command, ()), "--outputs", tmp_path)  # raises what is a traceback
        assert said.status in (0, 1)
        if command in needs_it:
            assert said.status == 1 and file in said.err and "hcpcs refresh" in said.err, command
        elif file != "latest.json":
            assert said.status == 0, (command, said.err)


@pytest.fixture
def copied(sample: Version, tmp_path: Path) -> Outputs:
    """A copy of the sample's outputs, made as `cp -rL` makes it: links followed, `latest` a folder."""
    shutil.copytree(sample.outputs.folder, tmp_path / "copy", symlinks=False)
    assert not (tmp_path / "copy" / "latest").is_symlink()
    return Outputs(tmp_path / "copy")


def assert_whole(outputs: Outputs) -> None:
    version = latest_version(outputs)
    assert version is not None and verify_deeply(outputs.version(version)).ok
    assert outputs.latest_link.is_symlink()
    assert outputs.latest_link.resolve() == outputs.version(version).resolve()
    assert sorted(p.name for p in outputs.folder.glob(".latest*")) == []


@pytest.mark.parametrize("damage", ["cut", pytest.param("values", marks=pytest.mark.slow)])
@pytest.mark.parametrize("file", FILES)
def test_a_refresh_mends_a_damaged_file(hcpcs: Hcpcs, copied: Outputs, file: str, damage: str) -> None:
    before = latest_version(copied)
    (copied.folder / file).write_bytes(DAMAGE[damage])
    said = hcpcs("refresh", "--offline", "--outputs", copied.folder)
    assert (said.status, said.err) == (0, "")
    assert latest_version(copied) == before, "the content is the same: no new version"
    assert_whole(copied)
    for name in ("status", "findings", "releases"):
        assert hcpcs(name, "--outputs", copied.folder).status == 0


def damaged_manifest(folder: Path) -> None:
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text())
    manifest["build"]["commit"] = "edited"
    (folder / "manifest.json").write_text(json.dumps(manifest))


def damaged_table(folder: Path) -> None:
    path = folder / "open" / "hcpcs_codes.parquet"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(damaged_manifest, id="manifest edited"),
        pytest.param(damaged_table, id="bit flipped", marks=pytest.mark.slow),
        pytest.param(lambda folder: (folder / "manifest.json").unlink(), id="manifest lost", marks=pytest.mark.slow),
        pytest.param(lambda folder: os.truncate(folder / "open" / "hcpcs_changes.parquet", 100), id="table cut"),
    ],
)
def test_a_refresh_publishes_the_content_of_a_damaged_version_anew(hcpcs: Hcpcs, copied: Outputs, damage: Any) -> None:
    version = latest_version(copied)
    assert version is not None
    damage(copied.version(version))
    said = hcpcs("refresh", "--offline", "--outputs", copied.folder)
    assert (said.status, said.err) == (0, "")
    assert latest_version(copied) != version
    assert_whole(copied)


def test_a_number_is_not_used_again_where_the_state_and_a_version_are_lost(hcpcs: Hcpcs, copied: Outputs) -> None:
    version = latest_version(copied)
    assert version is not None
    shutil.rmtree(copied.version(version))
    copied.state.unlink()
    copied.latest.write_text("{")
    assert all_versions(copied) == []
    assert hcpcs("refresh", "--offline", "--outputs", copied.folder).status == 0
    assert latest_version(copied) == f"{version.rpartition('.')[0]}.{int(version.rpartition('.')[2]) + 1}"


def test_a_folder_in_the_place_of_latest_that_is_no_copy_of_a_version_stays(hcpcs: Hcpcs, copied: Outputs) -> None:
    shutil.rmtree(copied.latest_link)
    copied.latest_link.mkdir()
    (copied.latest_link / "mine").write_text("mine")
    assert hcpcs("refresh", "--offline", "--outputs", copied.folder).status == 0
    assert (copied.latest_link / "mine").read_text() == "mine"
