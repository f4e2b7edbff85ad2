"""One way to name a version, the same in every command that reads one."""

from __future__ import annotations

import functools
import http.server
import json
import shutil
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from conftest import Said, Version, slow
from test_cli import Hcpcs

from pipeline.versions.upload import publish_to

#: A question for each command that reads a version.
ASKING = {
    "lookup": ("J0570",),
    "history": ("J0570",),
    "search": ("bandage",),
    "changes": ("2017-01",),
    "findings": ("2012-01",),
    "licenses": (),
}


@pytest.fixture(scope="module")
def target(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published with a space") / "target"
    publish_to(sample.folder, str(folder))
    return folder


@pytest.fixture(scope="module")
def web(target: Path) -> Iterator[str]:
    """A plain web server on the published target."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=str(target))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


#: How a version may be named.
KINDS = ["id", "latest", "folder", "link", "outputs", "target", "file URL", "file URL of a version"]
KINDS += ["https", "https of a version", "https of latest"]
FAST = ["link", "https of latest"]


def names(sample: Version, target: Path, web: str) -> dict[str, str]:
    named = {
        "id": sample.id,
        "latest": "latest",
        "folder": str(sample.folder),
        "link": str(sample.outputs.latest_link),
        "outputs": str(sample.outputs.folder),
        "target": str(target),
        "file URL": target.as_uri(),
        "file URL of a version": (target / "versions" / sample.id).as_uri(),
        "https": web,
        "https of a version": f"{web}/versions/{sample.id}",
        "https of latest": f"{web}/latest",
    }
    assert list(named) == KINDS
    return named


@pytest.mark.parametrize("command", ASKING)
def test_every_name_gives_the_same_answer(hcpcs: Hcpcs, sample: Version, target: Path, web: str, command: str) -> None:
    def answer(*version: object) -> Said:
        return hcpcs(command, *ASKING[command], "--json", *version, "--outputs", sample.outputs.folder)

    expected = answer()
    assert expected.status == 0 and json.loads(expected.out)
    for kind, name in names(sample, target, web).items():
        assert answer("--version", name) == expected, kind


@pytest.mark.parametrize("kind", [*FAST, *slow(*(k for k in KINDS if k not in FAST))])
def test_verify_diff_export_publish_and_annotate_take_the_same_names(
    hcpcs: Hcpcs, sample: Version, target: Path, web: str, tmp_path: Path, kind: str
) -> None:
    claims = tmp_path / "claims.csv"
    claims.write_text("code,day\nJ0570,2018-06-30\n")
    own = ("--outputs", sample.outputs.folder)
    name = names(sample, target, web)[kind]
    assert hcpcs("verify", name, *own).status == 0
    assert hcpcs("diff", name, sample.id, *own).status == 0
    said = hcpcs("export", "--tuva", tmp_path / "tuva", "--version", name, *own)
    assert (said.status, said.err) == (0, "")
    said = hcpcs("annotate", claims, "--code", "code", "--date", "day", "--version", name, *own)
    assert said.status == 0 and f"with version {sample.id}" in said.out
    if kind == "https of latest":
        assert hcpcs("publish", tmp_path / "again", "--version", web, *own).status == 0


@pytest.mark.parametrize("name", ["1999.01.1", "nowhere", "outputs/nowhere", "file:///nowhere", "http://127.0.0.1:9/x"])
def test_what_names_no_version_is_one_error(hcpcs: Hcpcs, sample: Version, name: str) -> None:
    for command in ASKING:
        said = hcpcs(command, *ASKING[command], "--version", name, "--outputs", sample.outputs.folder)
        assert said.status == 1 and said.out == ""
        assert name in said.err and said.err.count("hcpcs: error") == 1


def test_a_table_that_changed_on_its_way_is_not_used(hcpcs: Hcpcs, target: Path, tmp_path: Path, web: str) -> None:
    table = target / "latest" / "open" / "hcpcs_codes.parquet"
    good = table.read_bytes()
    table.write_bytes(good[:-1] + b"x")
    try:
        said = hcpcs("lookup", "J0570", "--version", web, "--outputs", tmp_path)
    finally:
        table.write_bytes(good)
    assert said.status == 1 and "hcpcs_codes.parquet is not what the manifest states" in said.err


def test_the_source_of_a_code_is_found_as_typed_and_of_a_day(hcpcs: Hcpcs, sample: Version) -> None:
    own = ("--json", "--outputs", sample.outputs.folder)
    every = json.loads(hcpcs("lookup", " j0570 ", "--source", *own).out)
    assert every == json.loads(hcpcs("lookup", "J0570", "--source", *own).out)
    on = json.loads(hcpcs("lookup", "J0570", "--source", "--on", "2018-06-30", *own).out)
    releases = {p["release_id"] for p in on}
    assert min(releases) == "2017-01" and "2025-10" not in releases, (
        "CMS took it up again in 2025-10, as a span of its own"
    )
    assert 0 < len(on) < len(every)
    said = hcpcs("lookup", "J0570", "--source", "--on", "1970-01-01", *own)
    assert said.status == 1 and "was not in effect on 1970-01-01" in said.err


def test_findings_of_a_release_that_is_not_loaded_say_so(hcpcs: Hcpcs, sample: Version) -> None:
    said = hcpcs("findings", "1999-01", "--outputs", sample.outputs.folder)
    assert said.status == 1 and "1999-01 is not loaded" in said.err


def test_status_of_a_copy_without_archive(hcpcs: Hcpcs, sample: Version, tmp_path: Path) -> None:
    shutil.copytree(sample.outputs.versions, tmp_path / "versions")
    shutil.copyfile(sample.outputs.latest, tmp_path / "latest.json")
    said = hcpcs("status", "--outputs", tmp_path)
    assert (said.status, said.err) == (0, "")
    assert "8 made-up sample releases" in said.out
