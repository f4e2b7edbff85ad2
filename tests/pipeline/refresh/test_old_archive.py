"""An archive that an older commit made gives what a fresh one gives: what follows from bytes and code is derived."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Said, Version, slow

from hcpcs.paths import Outputs


def members_as_before(outputs: Outputs) -> dict[str, list[dict[str, Any]]]:
    """Members by zip as a commit saw them that read no side files, and took what a Mac adds for a member."""
    kept = json.loads((outputs.archive / "members.json").read_text("utf-8"))
    junk = {"name": "__MACOSX/._a", "sha256": "0" * 64, "bytes": 1, "date": None, "role": "other"}
    before = {
        sha: [*(m | {"role": m["role"] if m["role"].startswith("code_") else "other"} for m in members), junk]
        for sha, (_, members) in kept.items()
    }
    assert {m["role"] for of in before.values() for m in of} == {"code_text", "code_workbook", "other"}
    return before


def written_by_format_1(outputs: Outputs) -> None:
    """The index had the members, and there was no file beside it."""
    index = json.loads((outputs.archive / "index.json").read_text("utf-8"))
    members = members_as_before(outputs)
    zips = {sha: held | {"members": members[sha]} for sha, held in index["zips"].items()}
    (outputs.archive / "index.json").write_text(json.dumps(index | {"format": 1, "zips": zips}), "utf-8")
    (outputs.archive / "members.json").unlink()


def with_members_of_other_code(outputs: Outputs) -> None:
    other = {sha: ("0" * 64, members) for sha, members in members_as_before(outputs).items()}
    (outputs.archive / "members.json").write_text(json.dumps(other), "utf-8")


def with_damaged_members(outputs: Outputs) -> None:
    (outputs.archive / "members.json").write_text('{"0', "utf-8")


@pytest.mark.parametrize("made_old", [written_by_format_1, *slow(with_members_of_other_code, with_damaged_members)])
def test_an_archive_of_an_older_commit_gives_the_tables_of_a_fresh_one(
    sample: Version, hcpcs: Callable[..., Said], tmp_path: Path, made_old: Callable[[Outputs], None]
) -> None:
    old = Outputs(tmp_path / "outputs")
    shutil.copytree(sample.outputs.archive, old.archive)
    made_old(old)
    said = hcpcs("refresh", "--offline", "--outputs", old.folder)
    assert (said.status, said.err) == (0, "")

    (version,) = old.versions.iterdir()
    tables = {path.name: path.read_bytes() for path in (version / "open").glob("*.parquet")}
    assert tables == {path.name: path.read_bytes() for path in (sample.folder / "open").glob("*.parquet")}
    assert len(tables) > 20
    for name in ("index.json", "members.json"):
        assert (old.archive / name).read_bytes() == (sample.outputs.archive / name).read_bytes()


def test_the_index_has_what_the_bytes_do_not_say(sample: Version) -> None:
    index = json.loads((sample.outputs.archive / "index.json").read_text("utf-8"))
    assert {key for held in index["zips"].values() for key in held} == {
        *("sha256", "name", "bytes", "release_id", "is_sample", "origins")
    }
