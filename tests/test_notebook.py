"""``docs/notebook.ipynb`` runs from its first cell to its last on the sample, and prints what it is committed with."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY, Version
from engines import engines_python

NOTEBOOK = REPOSITORY / "docs" / "notebook.ipynb"


def outputs(path: Path) -> list[tuple[str, list[str]]]:
    """What each cell prints or returns, and the kinds of its pictures."""
    found = []
    for cell in json.loads(path.read_text("utf-8"))["cells"]:
        # On a busy machine libraries say on stderr that they take a while.
        for output in (o for o in cell.get("outputs", []) if o.get("name") != "stderr"):
            data: dict[str, Any] = output.get("data", {})
            text = "".join(output.get("text", data.get("text/plain", [])))
            found.append((text, sorted(kind for kind in data if kind.startswith("image/"))))
    return found


@pytest.mark.slow
def test_the_notebook_runs_and_prints_what_it_is_committed_with(sample: Version, tmp_path: Path) -> None:
    python = engines_python("nbclient", "ipykernel", "matplotlib", "pandas", "pyarrow")
    copy = tmp_path / "notebook.ipynb"
    shutil.copy(NOTEBOOK, copy)
    environment = {k: v for k, v in os.environ.items() if k not in ("HCPCS_OUTPUTS", "PYTHONPATH")}
    environment |= {"HCPCS_OUTPUTS": str(sample.outputs.folder), "PYTHONPATH": str(REPOSITORY)}
    environment |= {
        "IPYTHONDIR": str(tmp_path),
        "MPLCONFIGDIR": str(tmp_path),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }
    done = subprocess.run(
        [python, REPOSITORY / "tests" / "run_notebook.py", copy], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert outputs(copy) == outputs(NOTEBOOK)
    assert [kinds for _, kinds in outputs(copy) if kinds] == [["image/png"]]
    assert NOTEBOOK.stat().st_size < 60_000
