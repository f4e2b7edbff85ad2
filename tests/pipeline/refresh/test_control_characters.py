"""Control characters in CMS's texts and in file names: a finding, never printed raw, and no traceback."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import REPOSITORY, Version
from made_up import posting, record

from sources.sample.writer import release_zip

ODD = "Sample \x1b[2J\x1b]0;owned\x07 thing\x08 \x7f end"


def hcpcs(*arguments: bytes | str | os.PathLike[str]) -> tuple[int, bytes, bytes]:
    """The command in a process of its own, with its bytes: what a terminal would get."""
    done = subprocess.run(
        [sys.executable, "-m", "hcpcs.cli.main", *arguments], cwd=REPOSITORY, capture_output=True, timeout=120
    )
    return done.returncode, done.stdout, done.stderr


def assert_plain(*printed: bytes) -> None:
    for text in printed:
        raw = [byte for byte in text.decode() if (ord(byte) < 32 and byte not in "\n\t") or 127 <= ord(byte) < 160]
        assert not raw, (raw, text[:400])


@pytest.mark.parametrize("form", ["text", "workbook"])
def test_a_control_character_in_a_description_is_a_finding_and_a_blank(
    build: Callable[..., Version], form: str
) -> None:
    odd = ODD if form == "text" else ODD.replace("\x1b", "\x7f").replace("\x07", "\x9d").replace("\x08", "")
    version = build(posting("2025-01", record("A0001", long_description=odd), record("J1000"), form=form))
    codes = version.open("hcpcs_codes").filter(code="A0001")["long_description"]
    assert codes.str.contains(r"^Sample ").all() and not codes.str.contains(r"[\x00-\x1f\x7f]").any()
    (found,) = version.open("hcpcs_findings").filter(finding="control_character").rows(named=True)
    assert (found["code"], found["field"], found["severity"]) == ("A0001", "long_description", "warning")
    assert "\\u007f" in found["raw_value"] and found["raw_value"].isprintable()
    for command in (("findings", "2025-01"), ("lookup", "A0001"), ("lookup", "A0001", "--json"), ("status",)):
        status, out, err = hcpcs(*command, "--outputs", version.outputs.folder)
        assert status == 0, err
        assert_plain(out, err)


@pytest.mark.parametrize("name", [b"odd\x1b[31m.zip", b"caf\xe9.zip"])
def test_an_odd_file_name_is_reported_escaped_and_everything_else_is_loaded(tmp_path: Path, name: bytes) -> None:
    good = posting("2025-01", record("A0001"), record("J1000"))
    folder = tmp_path / "in" / "2025-01"
    folder.mkdir(parents=True)
    (folder / "release.zip").write_bytes(release_zip(good.members, comment=b""))
    (folder / os.fsdecode(name)).write_bytes(release_zip({"photo.jpg": b"sample"}))
    for options in ((), ("--json",)):
        status, out, err = hcpcs("refresh", "--from", tmp_path / "in", "--outputs", tmp_path / "outputs", *options)
        assert status == 0 and b"Traceback" not in err, err
        assert_plain(out, err)
        assert b"not HCPCS Level II" in out
    assert len(json.loads(out)["left"]) == 1


def test_a_release_in_a_file_whose_name_is_no_utf_8_is_loaded(tmp_path: Path) -> None:
    good = posting("2025-01", record("A0001"), record("J1000"))
    folder = tmp_path / "in" / "2025-01"
    folder.mkdir(parents=True)
    (folder / os.fsdecode(b"janvier-\xe9.zip")).write_bytes(release_zip(good.members, comment=b""))
    status, _, err = hcpcs("refresh", "--from", tmp_path / "in", "--outputs", tmp_path / "outputs")
    assert status == 0, err
    index = json.loads((tmp_path / "outputs/archive/index.json").read_text())
    assert [z["name"] for z in index["zips"].values()] == ["janvier-\\udce9.zip"]
    (folder / os.fsdecode(b"bad-\xe9-anweb.zip")).write_bytes(b"no zip")
    status, _, err = hcpcs("refresh", "--from", tmp_path / "in", "--outputs", tmp_path / "outputs")
    assert status == 1 and b"bad-\\udce9-anweb.zip" in err and b"Traceback" not in err
    status, _, err = hcpcs("refresh", "--skip-bad", "--from", tmp_path / "in", "--outputs", tmp_path / "outputs")
    assert status == 0, err
