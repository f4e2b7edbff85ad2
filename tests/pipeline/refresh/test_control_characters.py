"""Control characters in CMS's texts and in file names: a finding, never printed raw, and no traceback."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Said, Version
from made_up import posting, record
from release_writer import release_zip
from warm_process import WarmProcess

ODD = "Sample \x1b[2J\x1b]0;owned\x07 thing\x08 \x7f end"


def assert_plain(*printed: bytes) -> None:
    for text in printed:
        raw = [byte for byte in text.decode() if (ord(byte) < 32 and byte not in "\n\t") or 127 <= ord(byte) < 160]
        assert not raw, (raw, text[:400])


@pytest.mark.parametrize("form", ["text", "workbook"])
def test_a_control_character_in_a_description_is_a_finding_and_a_blank(
    build: Callable[..., Version], warm: WarmProcess, form: str
) -> None:
    odd = ODD if form == "text" else ODD.replace("\x1b", "\x7f").replace("\x07", "\x9d").replace("\x08", "")
    version = build(posting("2025-01", record("A0001", long_description=odd), record("J1000"), form=form))
    codes = version.open("hcpcs_codes").filter(code="A0001")["long_description"]
    assert codes.str.contains(r"^Sample ").all() and not codes.str.contains(r"[\x00-\x1f\x7f]").any()
    (found,) = version.open("hcpcs_findings").filter(finding="control_character").rows(named=True)
    assert (found["code"], found["field"], found["severity"]) == ("A0001", "long_description", "warning")
    assert "\\u007f" in found["raw_value"] and found["raw_value"].isprintable()
    for command in (("findings", "2025-01"), ("lookup", "A0001"), ("lookup", "A0001", "--json"), ("status",)):
        done = warm.run(*command, "--outputs", version.outputs.folder)
        assert done.returncode == 0, done.stderr
        assert_plain(done.stdout, done.stderr)


def test_odd_file_names_are_reported_escaped_and_everything_else_is_loaded(
    tmp_path: Path, warm: WarmProcess, hcpcs: Callable[..., Said]
) -> None:
    good = posting("2025-01", record("A0001"), record("J1000"))
    folder = tmp_path / "in" / "2025-01"
    folder.mkdir(parents=True)
    (folder / os.fsdecode(b"janvier-\xe9.zip")).write_bytes(release_zip(good.members, comment=b""))
    for name in (b"odd\x1b[31m.zip", b"caf\xe9.zip"):
        (folder / os.fsdecode(name)).write_bytes(release_zip({"photo.jpg": b"sample"}))
    refresh = ("refresh", "--from", tmp_path / "in", "--outputs", tmp_path / "outputs")
    first = hcpcs(*refresh)
    assert first.status == 0, first.err
    again = warm.run(*refresh)
    assert again.returncode == 0 and b"Traceback" not in again.stderr, again.stderr
    as_json = hcpcs(*refresh, "--json")
    assert as_json.status == 0, as_json.err
    for printed in (first.out.encode(), again.stdout, as_json.out.encode()):
        assert printed.count(b"not HCPCS Level II") == 2
        assert_plain(printed)
    assert_plain(first.err.encode(), again.stderr, as_json.err.encode())
    assert len(json.loads(as_json.out)["not_loaded"]) == 2
    index = json.loads((tmp_path / "outputs/archive/index.json").read_text())
    assert [z["name"] for z in index["zips"].values()] == ["janvier-\\udce9.zip"]

    (folder / os.fsdecode(b"bad-\xe9-anweb.zip")).write_bytes(b"no zip")
    done = warm.run(*refresh)
    assert done.returncode == 1 and b"bad-\\udce9-anweb.zip" in done.stderr and b"Traceback" not in done.stderr
    skipped = hcpcs(*refresh, "--skip-bad")
    assert skipped.status == 0, skipped.err
