"""Programs for Node that some tests need: what `tests/npm/package-lock.json` pins, run by the scripts beside it."""

from __future__ import annotations

import shutil
import subprocess

import pytest
from conftest import REPOSITORY, missing

FOLDER = REPOSITORY / "tests" / "npm"


def node(script: str, *arguments: object) -> str:
    """What a script of ``tests/npm`` prints; skips where its packages are not installed, or without Node."""
    program = shutil.which("node")
    if program is None:
        missing("Node")
    if not (FOLDER / "node_modules" / ".package-lock.json").exists():
        pytest.skip("the packages of tests/npm are missing: `make npm` was not run, or did not reach npm's registry")
    command = [program, FOLDER / script, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    return done.stdout
