"""Runs in the environment of the engines: executes a notebook in place, and keeps its outputs small.

``HCPCS_OUTPUTS=… PYTHONPATH=. .venv-engines/bin/python tests/run_notebook.py docs/notebook.ipynb`` writes them anew.
"""

from __future__ import annotations

import sys

import nbclient
import nbformat


def run(path: str) -> None:
    """Execute the notebook at ``path``; raises what a cell raises."""
    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(notebook, timeout=300, kernel_name="python3").execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            if "data" in output and "text/plain" in output.data:
                output.data.pop("text/html", None)
    notebook.metadata.language_info = {"name": "python"}
    nbformat.write(notebook, path)


if __name__ == "__main__":
    run(sys.argv[1])
