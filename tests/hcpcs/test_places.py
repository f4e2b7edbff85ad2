"""Where outputs lie by default, and the program beside folders of yours that have the names of its packages."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, Version

CLEAN = {k: v for k, v in os.environ.items() if not k.startswith(("HCPCS_", "DAGSTER_", "PYTHON", "XDG_"))}


def run(*arguments: object, cwd: Path, **environment: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
        cwd=cwd,
        env=CLEAN | {k: str(v) for k, v in environment.items()},
    )


@pytest.fixture
def installed(tmp_path: Path) -> Path:
    """A folder of packages as `pip install` leaves it, away from any clone."""
    shutil.copytree(REPOSITORY / "hcpcs", tmp_path / "site" / "hcpcs", ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path / "site"


def test_an_installed_copy_keeps_outputs_in_the_users_folder_and_says_so(installed: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    done = run("-m", "hcpcs.cli.main", "lookup", "J0570", cwd=tmp_path, PYTHONPATH=installed, XDG_DATA_HOME=data)
    assert done.returncode == 1
    first, second = done.stderr.splitlines()
    assert first == f"outputs are in {data / 'hcpcs'}; --outputs or HCPCS_OUTPUTS names another folder"
    assert second.startswith(f"hcpcs: error: {data / 'hcpcs'} has no version yet")
    for named in ({"HCPCS_OUTPUTS": tmp_path / "mine"}, {}):
        option = () if named else ("--outputs", tmp_path / "mine")
        done = run("-m", "hcpcs.cli.main", "lookup", "J0570", *option, cwd=tmp_path, PYTHONPATH=installed, **named)
        (only,) = done.stderr.splitlines()
        assert str(tmp_path / "mine") in only
    assert sorted(p.name for p in installed.iterdir()) == ["hcpcs"], "nothing is kept inside the program"


def test_in_a_clone_outputs_are_its_own(installed: Path, tmp_path: Path) -> None:
    program = "from hcpcs.paths import default_outputs; print(default_outputs())"
    assert run("-c", program, cwd=tmp_path).stdout.strip() == str(REPOSITORY / "outputs")
    assert run("-c", program, cwd=REPOSITORY, PYTHONPATH=installed).stdout.strip() == str(REPOSITORY / "outputs")


@pytest.mark.parametrize(
    "path", [pytest.param({}, id="plain", marks=pytest.mark.slow), pytest.param({"PYTHONPATH": "."}, id="PYTHONPATH")]
)
def test_commands_and_definitions_work_among_packages_of_the_same_names_and_read_no_folder_but_the_one_named(
    sample: Version, tmp_path: Path, path: dict[str, str]
) -> None:
    for name in ("pipeline", "sources", "schemas"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "__init__.py").write_text("raise RuntimeError('a package of yours')\n")
    script = Path(sys.executable).with_name("hcpcs")
    done = run(script, "status", "--outputs", sample.outputs.folder, cwd=tmp_path, **path)
    assert (done.returncode, done.stderr) == (0, "")
    done = run("-m", "hcpcs.cli.main", "verify", "--outputs", sample.outputs.folder, cwd=tmp_path, **path)
    assert (done.returncode, done.stderr) == (0, "")
    program = (
        "import sys\n"
        f"ours = {str(REPOSITORY / 'outputs')!r}\n"
        "seen = []\n"
        "def hook(event, arguments):\n"
        "    if event in ('open', 'os.listdir', 'os.mkdir') and str(arguments[0]).startswith(ours):\n"
        "        seen.append(arguments[0])\n"
        "sys.addaudithook(hook)\n"
        "import hcpcs.definitions as d\n"
        "print(d.defs().resolve_job_def('refresh').name, seen)\n"
    )
    done = run("-W", "ignore", "-c", program, cwd=tmp_path, HCPCS_OUTPUTS=tmp_path / "outputs", **path)
    assert done.stdout == "refresh []\n", done.stderr
    assert not (tmp_path / "outputs").exists()
