"""The wheel as a user installs it: one package, five libraries, answers; proven in an environment of its own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from conftest import REPOSITORY, Version
from engines import engines_python


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dist")
    subprocess.run(
        [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    (built,) = folder.glob("*.whl")
    return built


def test_the_wheel_holds_the_library_alone(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as file:
        names = file.namelist()
    assert {name.partition("/")[0] for name in names if ".dist-info/" not in name} == {"hcpcs"}
    assert "hcpcs/py.typed" in names


def test_checkers_that_others_wrote_accept_the_wheel(wheel: Path) -> None:
    python = engines_python("check_wheel_contents", "twine")
    for command in (["check_wheel_contents"], ["twine", "check", "--strict"]):
        done = subprocess.run([python, "-m", *command, str(wheel)], capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_installed_alone_it_answers_annotates_and_classifies(wheel: Path, sample: Version, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", str(tmp_path / "env")], check=True)
    python = tmp_path / "env" / "bin" / "python"
    uv = Path(sys.executable).with_name("uv")
    pins = ["--constraint", str(REPOSITORY / "requirements.lock")]
    subprocess.run([uv, "pip", "install", "--quiet", "--python", python, *pins, str(wheel)], check=True)
    listed = subprocess.run([uv, "pip", "list", "--python", python], capture_output=True, text=True, check=True)
    installed = {line.split()[0] for line in listed.stdout.splitlines()[2:]}
    assert installed == {"hcpcs", "click", "numpy", "platformdirs", "pyarrow"}
    size = sum(p.stat().st_size for p in (tmp_path / "env").rglob("*") if p.is_file() and not p.is_symlink())
    assert size < 240_000_000

    claims = tmp_path / "claims.csv"
    claims.write_text("code,day\nJ0570,2018-06-30\n99213,2018-06-30\n")
    environment = {k: v for k, v in os.environ.items() if k not in ("PYTHONPATH", "HCPCS_OUTPUTS")}
    program = tmp_path / "env" / "bin" / "hcpcs"

    def hcpcs(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [str(program), *arguments]
        return subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, env=environment)

    outputs = ["--outputs", str(sample.outputs.folder)]
    for command in (
        ["lookup", "J0570", "--on", "2018-06-30"],
        ["classify", "99213", "J0570"],
        ["annotate", str(claims), "--code", "code", "--date", "day"],
        ["search", "J0570"],
        ["check", str(claims)],
    ):
        done = hcpcs(*command, *outputs)
        assert (done.returncode, done.stderr) == (0, ""), (command, done.stderr)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "sample").symlink_to(sample.outputs.folder)
    (snippet,) = re.findall(
        r"```python\n(import hcpcs\n.*?)```", (REPOSITORY / "README.md").read_text("utf-8"), re.DOTALL
    )
    *statements, last, answer = snippet.rstrip().splitlines()
    code = "\n".join([*statements, f"print({last})"])
    done = subprocess.run([python, "-c", code], capture_output=True, text=True, cwd=tmp_path, env=environment)
    assert (f"# {done.stdout}".rstrip(), done.stderr) == (answer, "")
    for command in (["refresh"], ["lookup", "J0570", "--source"]):
        refused = hcpcs(*command, *outputs)
        assert refused.returncode == 1 and "belongs to the pipeline" in refused.stderr
        assert "Traceback" not in refused.stderr
    sql = hcpcs("sql", "annotate", "--dialect", "duckdb")
    assert sql.returncode == 1 and "hcpcs[sql]" in sql.stderr and "Traceback" not in sql.stderr
