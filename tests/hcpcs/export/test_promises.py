"""What every format promises, whichever there are: whole or not at all, the same bytes again, no leak.

The formats are those of the registry: a new one is tested by all of this without a change here.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import Version, built_once

from hcpcs.export.registry import formats
from hcpcs.files import file_sha256
from pipeline.versions.export_gate import check_export

#: Exports a version in every format, each into a folder of its own: argv is version, folder.
_EXPORT_ALL = """
import sys
from pathlib import Path
from hcpcs.export.registry import export, formats
from hcpcs.version import Version
for name, form in formats().items():
    export(Version(Path(sys.argv[1])), form, Path(sys.argv[2]) / name / "target")
"""

#: Exports over what is there, in forks that die at one step each: argv is version, format, the folder with `target`.
#: A step is whatever Python asks of the file system below that folder, and the exchange of two folders.
_KILLED_AT_EVERY_STEP = """
import hashlib, json, os, shutil, signal, sys
from pathlib import Path
from hcpcs.export import registry
from hcpcs.version import Version

version, form, place = Version(Path(sys.argv[1])), registry.formats()[sys.argv[2]], Path(sys.argv[3])
target, before = place / "target", place.with_name(place.name + "-before")
exchanged = registry._exchanged


def state():
    files = [target] if target.is_file() else sorted(p for p in target.rglob("*") if p.is_file())
    return {f.relative_to(place).as_posix(): hashlib.sha256(f.read_bytes()).hexdigest() for f in files}


def export_and_die_at(step, out):
    taken = 0

    def take_step(*_):
        nonlocal taken
        taken += 1
        if taken == step:
            os.kill(os.getpid(), signal.SIGKILL)

    def watch(event, args):
        paths = [a for a in args if isinstance(a, (str, bytes, os.PathLike))]
        if event.startswith(("open", "os.", "shutil.")) and any(str(place) in os.fsdecode(p) for p in paths):
            take_step()

    def exchange(*folders):
        take_step()
        done = exchanged(*folders)
        take_step()
        return done

    registry._exchanged = exchange
    sys.addaudithook(watch)
    registry.export(version, form, target, overwrite=True)
    os.write(out, str(taken).encode())
    os._exit(0)


def fork(step):
    shutil.rmtree(place)
    shutil.copytree(before, place)
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        export_and_die_at(step, writing)
    os.close(writing)
    status = os.waitpid(child, 0)[1]
    with os.fdopen(reading) as pipe:
        return status, pipe.read()


old = state()
shutil.copytree(place, before)
status, steps = fork(0)
assert status == 0
new, last = state(), int(steps)
moments = sorted({1, last // 2, *range(max(1, last - 5), last + 1)})
seen = []
for step in moments:
    status, _ = fork(step)
    seen.append({"step": step, "killed": os.WIFSIGNALED(status), "state": state()})
registry.export(version, form, target, overwrite=True)
print(json.dumps({"old": old, "new": new, "last": last, "seen": seen, "left": sorted(os.listdir(place))}))
"""


#: Faults are tried in every run for a file and for a folder: what all formats share is the registry's code.
FAULTS = [pytest.param(name, marks=() if name in ("csv", "sqlite") else pytest.mark.slow) for name in formats()]


@pytest.fixture(scope="module")
def exports(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """All formats of the sample, twice: in two processes that order sets in two ways."""

    def build(folder: Path) -> list[Path]:
        folders = [folder / "one", folder / "two"]
        for seed, place in enumerate(folders):
            place.mkdir()
            run_python(_EXPORT_ALL, sample.folder, place, PYTHONHASHSEED=str(seed + 1))
        return folders

    return built_once(tmp_path_factory, "exports", build)


@pytest.mark.parametrize("name", formats())
def test_equal_versions_give_equal_bytes(exports: list[Path], name: str) -> None:
    one, two = (contents(folder / name / "target") for folder in exports)
    assert one.keys() == two.keys()
    if formats()[name].is_reproducible:
        assert one == two


@pytest.mark.parametrize("name", formats())
def test_each_export_has_the_notice_of_every_license(sample: Version, exports: list[Path], name: str) -> None:
    target = exports[0] / name / "target"
    if target.is_dir():
        notice = (target / "NOTICE.txt").read_text("utf-8")
        assert sample.id in notice
        assert all(text in notice for text in sample.open("licenses")["notice"])


@pytest.mark.parametrize("name", FAULTS)
def test_a_kill_at_any_step_leaves_the_old_or_the_new_and_never_a_mixture(
    sample: Version, exports: list[Path], tmp_path: Path, name: str
) -> None:
    place = tmp_path / "place"
    shutil.copytree(exports[0] / name, place)
    target = place / "target"
    if target.is_dir():  # an export of another time: a file more, and another byte in each
        for path in (p for p in target.rglob("*") if p.is_file()):
            path.write_bytes(path.read_bytes() + b"\n")
        (target / "of_another_version.csv").write_text("code\n")
    else:
        target.write_bytes(b"of another version")
    told = json.loads(run_python(_KILLED_AT_EVERY_STEP, sample.folder, name, place))
    assert told["last"] >= 2 and any(one["killed"] for one in told["seen"])
    for one in told["seen"]:
        assert one["state"] == told["old"] or is_new(one["state"], told["new"], name), one["step"]
    states = [one["state"] == told["old"] for one in told["seen"]]
    assert states[0] and not states[-1] and states == sorted(states, reverse=True)
    assert told["left"] == ["target"]
    check_export(target, formats()[name])


def is_new(state: dict[str, str], new: dict[str, str], name: str) -> bool:
    """Whether what is there is the new export; of one whose bytes vary, whether it is the same files."""
    return state == new if formats()[name].is_reproducible else state.keys() == new.keys()


@pytest.mark.parametrize("name", FAULTS)
def test_a_full_disk_is_one_error_and_leaves_what_was_there(
    sample: Version, exports: list[Path], tmp_path: Path, name: str
) -> None:
    target = tmp_path / "target"
    original = exports[0] / name / "target"
    (shutil.copytree if original.is_dir() else shutil.copyfile)(original, target)
    before = contents(target)

    def limit_files() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))

    done = subprocess.run(
        [
            *(sys.executable, "-m", "hcpcs.cli.main", "export", f"--{name}"),
            target,
            "--version",
            sample.folder,
            "--overwrite",
        ],
        preexec_fn=limit_files,
        env={**os.environ, "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.startswith("hcpcs: error: ") and "Traceback" not in done.stderr
    assert len(done.stderr.splitlines()) == 1
    assert contents(target) == before
    assert [path.name for path in tmp_path.iterdir()] == ["target"]


def contents(target: Path) -> dict[str, str]:
    files = [target] if target.is_file() else sorted(p for p in target.rglob("*") if p.is_file())
    return {f.relative_to(target.parent).as_posix(): file_sha256(f) for f in files}


def run_python(script: str, *arguments: Any, **environment: str) -> str:
    command = [sys.executable, "-c", script, *map(str, arguments)]
    done = subprocess.run(
        command, env={**os.environ, **environment}, capture_output=True, text=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout
