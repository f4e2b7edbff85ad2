"""`hcpcs refresh` in processes of its own: two at once, killed anywhere, without room; the next run is as if not."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from conftest import REPOSITORY, manifest_of, missing, persistent_instance, published
from filelock import FileLock
from made_up import zip_of_codes
from site_server import SiteServer, hang_in_the_middle

from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.orchestration.sensors import build_refresh_from_site_job, build_site_sensor
from pipeline.refresh.refresh import refresh
from pipeline.versions.store import all_versions, read_state
from sources.release.inspect import open_archive
from sources.site.client import FetchLimits
from sources.site.polling import Poll, Site

#: `make test` leaves processes of their own to `make test-all`: what test_refresh.py has of this runs in one.
pytestmark = pytest.mark.slow

JULY = "/files/zip/july-2026-alpha-numeric-hcpcs-file.zip"
OCTOBER = "/files/zip/october-2026-alpha-numeric-hcpcs-file.zip"

#: Runs the command line, and at the n-th call of a function says so; then stops for good, has no room, or goes on.
HELD_UP = """
import functools, importlib, os, resource, signal, sys

os.fsync = lambda handle: None  # a killed process loses nothing that the system has
place, number, what = sys.argv[1:4]
module, _, path = place.partition(":")
owner = importlib.import_module(module)
*outer, name = path.split(".")
for part in outer:
    owner = getattr(owner, part)
function, calls = getattr(owner, name), 0

@functools.wraps(function)
def held_up(*args, **options):
    global calls
    calls += 1
    if calls != int(number):
        return function(*args, **options)
    os.write(1, b"reached\\n")
    if what == "count":
        return function(*args, **options)
    if what == "stop":
        while True:
            signal.pause()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))
    try:
        return function(*args, **options)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))

setattr(owner, name, held_up)
from hcpcs.cli import main as cli

sys.argv = ["hcpcs", *sys.argv[4:]]
cli.main()
"""


def held_up(outputs: Outputs, place: str, number: int, what: str, *arguments: object) -> subprocess.Popen[str]:
    """`hcpcs refresh` in a process of its own, with our settings alone, held up at that call."""
    own = {k: v for k, v in os.environ.items() if not k.startswith(("HCPCS_", "DAGSTER_"))} | {"NO_PROXY": "127.0.0.1"}
    options = [place, number, what, "refresh", *arguments, "--outputs", outputs.folder]
    return subprocess.Popen(
        [sys.executable, "-c", HELD_UP, *map(str, options)],
        cwd=REPOSITORY,
        env=own,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def started(outputs: Outputs, *arguments: object) -> subprocess.Popen[str]:
    """The same, not held up."""
    return held_up(outputs, "pipeline.refresh.refresh:refresh", 0, "nothing", *arguments)


def said(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    """Exit status, standard output and standard error, once it has ended."""
    out, err = process.communicate(timeout=180)
    return process.returncode, out, err


def folder_of(root: Path, release_id: str, body: bytes) -> Path:
    """A folder of releases with this one in it."""
    path = root / release_id / f"{release_id}.zip"
    path.parent.mkdir(parents=True)
    path.write_bytes(body)
    return root


def content_of(outputs: Outputs) -> bytes:
    """The latest version's content as bytes: what decides whether two versions are the same."""
    version = latest_version(outputs)
    assert version is not None
    content = manifest_of(outputs.version(version))["content"]
    for name in content["files"]:
        assert (outputs.version(version) / name).stat().st_size == content["files"][name]["bytes"]
    return json.dumps(content, ensure_ascii=False).encode()


JULYS, OCTOBERS = zip_of_codes("2026-07", "A0001", "J1000"), zip_of_codes("2026-10", "A0001", "J1000", "J2000")


@dataclass(frozen=True)
class Undisturbed:
    """Outputs that hold July, and what a run gives that then takes October in."""

    july: Outputs
    content: bytes

    def copy(self, folder: Path) -> Outputs:
        shutil.copytree(self.july.folder, folder, symlinks=True)
        return Outputs(folder)


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Undisturbed:
    root = tmp_path_factory.mktemp("undisturbed")
    july, both = Outputs(root / "july"), Outputs(root / "both")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(dg.DagsterInstance, "local_temp", staticmethod(persistent_instance))
        patch.setenv("DAGSTER_EVENT_BATCH_SIZE", "1000")  # as the command line has it
        refresh(july, offered=folder_of(root / "1", "2026-07", JULYS))
    shutil.copytree(july.folder, both.folder, symlinks=True)
    refresh(both, offered=folder_of(root / "2", "2026-10", OCTOBERS))
    assert all_versions(both) == ["2026.07.1", "2026.10.1"]
    return Undisturbed(july, content_of(both))


@pytest.fixture
def server() -> Iterator[SiteServer]:
    """A site with July, which is held, and October, which is not."""
    with SiteServer() as site:
        site.list_links([(JULY, "July 2026 file"), (OCTOBER, "October 2026 file")])
        site.put(JULY, JULYS)
        site.put(OCTOBER, OCTOBERS)
        yield site


def assert_nothing_is_lost(before: dict[str, bytes], outputs: Outputs) -> None:
    """Every version is as it was, one of them is the latest, every zip of the index is there."""
    after = published(outputs)
    versions = {name: data for name, data in before.items() if name.startswith("versions/")}
    assert versions and {name: after.get(name) for name in versions} == versions
    assert latest_version(outputs) in all_versions(outputs)
    assert (
        not {p.name for p in outputs.versions.iterdir()}
        - set(all_versions(outputs))
        - {p.name for p in outputs.versions.glob(".partial-*")}
    )
    held = open_archive(outputs.archive).index().zips
    assert all(open_archive(outputs.archive).zip_path(sha).stat().st_size == z.bytes for sha, z in held.items())
    assert {z.release_id for z in held.values()} >= {"2026-07"}


def assert_the_next_run_ends_as_if_nothing_had_been(
    outputs: Outputs, server: SiteServer, undisturbed: Undisturbed
) -> None:
    refresh(outputs, site=Site(server.url, FetchLimits(pause=0), ()))  # in this process, which is quicker
    assert_as_undisturbed(outputs, undisturbed)


def assert_as_undisturbed(outputs: Outputs, undisturbed: Undisturbed) -> None:
    """The latest version's content is that of a run which nothing disturbed, and nothing half done is left."""
    assert content_of(outputs) == undisturbed.content
    assert outputs.latest_link.resolve() == outputs.version(latest_version(outputs) or "")
    left = [
        p for p in outputs.folder.rglob(".*") if p.suffix != ".lock" and p.name != ".lock" and "dagster" not in p.parts
    ]
    assert left == []


# --- two at once -----------------------------------------------------------------------------------------------------


def _both_at_once(outputs: Outputs, *arguments: tuple[object, ...]) -> list[str]:
    """What two processes said that were both there before either could begin."""
    with FileLock(outputs.lock):
        waiting = [
            held_up(outputs, "pipeline.versions.writer:FileLock.acquire", 2, "count", *a) for a in arguments
        ]  # the second try is the one that waits
        for process in waiting:
            assert process.stdout is not None and process.stdout.readline() == "reached\n"
    ended = [said(process) for process in waiting]
    assert [(status, err) for status, _, err in ended] == [(0, "")] * len(ended)
    return [out for _, out, _ in ended]


def test_two_processes_at_once_publish_one_version(
    server: SiteServer, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    outputs = undisturbed.copy(tmp_path / "outputs")
    asked: tuple[object, ...] = ("--site", server.url)
    told = _both_at_once(outputs, asked, asked)
    assert sorted("nothing new: version 2026.10.1 is current" in out for out in told) == [False, True]
    assert all_versions(outputs) == ["2026.07.1", "2026.10.1"]
    assert content_of(outputs) == undisturbed.content


def test_two_processes_at_once_with_a_release_each_lose_none(undisturbed: Undisturbed, tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "outputs")
    outputs.folder.mkdir()
    july, october = (folder_of(tmp_path / r, r, b) for r, b in (("2026-07", JULYS), ("2026-10", OCTOBERS)))
    _both_at_once(outputs, ("--from", july), ("--from", october))
    assert content_of(outputs) == undisturbed.content


#: What Dagster's UI runs when somebody materializes every asset of what is loaded.
JOB = """
import dagster as dg
from pipeline.definitions import defs
job = defs().resolve_job_def("refresh")
with dg.DagsterInstance.get() as instance:
    keys = instance.get_dynamic_partitions("releases")
    ends = {"dagster/asset_partition_range_start": keys[0], "dagster/asset_partition_range_end": keys[-1]}
    print("success" if job.execute_in_process(instance=instance, tags=ends, raise_on_error=False).success else "failed")
"""


def test_the_job_waits_for_a_refresh_and_builds_from_what_that_one_loaded(
    server: SiteServer, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    outputs = undisturbed.copy(tmp_path / "outputs")
    environment = os.environ | {"HCPCS_OUTPUTS": str(outputs.folder), "DAGSTER_HOME": str(outputs.dagster_home)}
    with FileLock(outputs.lock):
        job = subprocess.Popen(
            [sys.executable, "-c", JOB],
            cwd=REPOSITORY,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        while "waiting for another process" not in (line := job.stderr.readline()):
            assert line, "the job did not wait"
        partial = outputs.versions / ".partial-other"
        partial.mkdir()
    out, err = job.communicate(timeout=120)
    assert (job.returncode, out) == (0, "success\n"), err
    assert not partial.exists(), "what an interrupted writer left is swept, once nobody writes"


# --- killed ----------------------------------------------------------------------------------------------------------


def test_killed_while_fetching_the_next_run_ends_as_if_nothing_had_been(
    server: SiteServer, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    outputs = undisturbed.copy(tmp_path / "outputs")
    before = published(outputs)
    server.bad_days(OCTOBER, hang_in_the_middle)
    with started(outputs, "--site", server.url) as process:
        deadline = time.monotonic() + 60
        while not (halves := list(outputs.folder.glob(".fetch-*/*/.*.part"))) and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
    assert halves and process.returncode == -9
    assert published(outputs) == before
    assert_the_next_run_ends_as_if_nothing_had_been(outputs, server, undisturbed)


@pytest.mark.parametrize(
    ("place", "number"),
    [
        pytest.param("sources.archive.archive:Archive.keep", 1, id="before a zip is kept"),
        pytest.param("sources.archive.archive:Archive.read", 1, id="while parsing"),
        pytest.param("pipeline.orchestration.io_manager:write_work_table", 3, id="while staging"),
        pytest.param("pipeline.versions.publish:write_published_table", 5, id="while publishing tables"),
        pytest.param("pipeline.versions.publish:set_latest", 1, id="before latest.json"),
        pytest.param("pipeline.versions.store:mend_latest_link", 1, id="before the link latest"),
        pytest.param("pipeline.refresh.refresh:write_state", 1, id="before the state"),
        pytest.param("pipeline.versions.store:RunSummary.write", 1, id="before the run's summary"),
    ],
)
def test_killed_anywhere_the_next_run_ends_as_if_nothing_had_been(
    place: str, number: int, server: SiteServer, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    outputs = undisturbed.copy(tmp_path / "outputs")
    before = published(outputs)
    with held_up(outputs, place, number, "stop", "--site", server.url) as process:
        assert process.stdout is not None and process.stdout.readline() == "reached\n"
        process.kill()
    assert process.returncode == -9
    assert_nothing_is_lost(before, outputs)
    assert_the_next_run_ends_as_if_nothing_had_been(outputs, server, undisturbed)


def test_a_run_that_died_with_its_machine_does_not_hold_up_the_sensor(monkeypatch: pytest.MonkeyPatch) -> None:
    class Asked:
        def poll(self) -> Poll:
            return Poll((), (), {}, {}, 1)

    job = build_refresh_from_site_job()
    with dg.DagsterInstance.ephemeral() as instance:
        instance.create_run_for_job(job, status=dg.DagsterRunStatus.STARTED)

        def reason() -> str:
            with dg.build_sensor_context(instance, resources={"poller": Asked()}) as context:
                return str(build_site_sensor(job).evaluate_tick(context).skip_message)

        assert "is going on" in reason()
        monkeypatch.setattr("pipeline.orchestration.sensors._LONGEST_RUN", timedelta(0))  # it began before
        assert reason() == "nothing new"


# --- no room ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("place", "number"),
    [
        pytest.param("sources.site.client:SiteClient.download", 1, id="for a zip from the site"),
        pytest.param("sources.archive.archive:Archive.keep", 1, id="for a zip in the archive"),
        pytest.param("pipeline.refresh.run_job:_align_partitions", 1, id="for Dagster"),
        pytest.param("pipeline.orchestration.io_manager:write_work_table", 3, id="for a staged table"),
        pytest.param("pipeline.versions.publish:write_published_table", 5, id="for a published table"),
        pytest.param("pipeline.versions.publish:set_latest", 1, id="for latest.json"),
        pytest.param("pipeline.versions.store:RunSummary.write", 1, id="for the run's summary"),
    ],
)
def test_without_room_on_the_disk_it_says_so_and_loses_nothing(
    place: str, number: int, server: SiteServer, undisturbed: Undisturbed, tmp_path: Path
) -> None:
    outputs = undisturbed.copy(tmp_path / "outputs")
    before = published(outputs)
    status, out, err = said(held_up(outputs, place, number, "no room", "--site", server.url))
    assert out == "reached\n" and status == 1, err
    assert "hcpcs: error: " in err and "Traceback" not in err
    assert "cannot be written: File too large" in err or "Dagster's storage" in err
    was_published = "version 2026.10.1 was published before that" in err
    assert was_published == (latest_version(outputs) == "2026.10.1")
    assert_nothing_is_lost(before, outputs)
    assert_the_next_run_ends_as_if_nothing_had_been(outputs, server, undisturbed)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Any]:
    """A function that makes a folder a disk of so many bytes, or gives it so many; only root may."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted: list[str] = []

    def make(size: int) -> Path:
        options = f"{'remount,' if mounted else ''}size={size}"
        try:
            done = subprocess.run(
                ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)], capture_output=True, text=True
            )
        except OSError as error:
            missing(f"a small disk ({error})")
        if done.returncode:
            missing(f"a small disk ({done.stderr.strip()})")
        mounted.append(options)
        return folder

    yield make
    if mounted:
        subprocess.run(["umount", str(folder)], check=True)


@pytest.mark.parametrize("room", [200_000, 700_000, 1_000_000])
def test_on_a_disk_that_fills_up_it_says_so_and_loses_nothing(
    room: int, server: SiteServer, undisturbed: Undisturbed, tmp_path: Path, small_disk: Any
) -> None:
    pages = [-(-p.stat().st_size // 4096) for p in undisturbed.july.folder.rglob("*") if not p.is_symlink()]
    outputs = undisturbed.copy(small_disk(sum(pages) * 4096 + room) / "outputs")
    before = published(outputs)
    status, _, err = said(started(outputs, "--site", server.url))
    assert status == 1 and "Traceback" not in err
    assert "No space left on device" in err or "Dagster's storage" in err
    assert_nothing_is_lost(before, outputs)
    assert latest_version(outputs) == "2026.07.1" and "the newest version is still 2026.07.1" in err
    small_disk(64_000_000)
    assert_the_next_run_ends_as_if_nothing_had_been(outputs, server, undisturbed)
    assert read_state(outputs).builds["2026.10"] >= 1
