"""The second interpreter that some tests need: what it holds brings pandas, which this project does without."""

from __future__ import annotations

import os
import subprocess
from functools import cache
from pathlib import Path

from conftest import REPOSITORY, missing


def engines_python(*modules: str) -> Path:
    """The interpreter with pandas and the standards' validators; skips where it or a module is missing."""
    stated = os.environ.get("HCPCS_ENGINES_PYTHON")
    python = Path(stated) if stated else REPOSITORY / ".venv-engines" / "bin" / "python"
    if not python.exists():
        missing("the environment with pandas and the validators (`make .venv-engines/ready`)")
    for module in modules:
        if not _has(python, module):
            missing(f"{module} in {python}")
    return python


@cache
def _has(python: Path, module: str) -> bool:
    find = f"import importlib.util, sys; sys.exit(importlib.util.find_spec({module!r}) is None)"
    return subprocess.run([python, "-c", find], check=False).returncode == 0
