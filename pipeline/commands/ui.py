"""``hcpcs ui``: Dagster's user interface on the pipeline's definitions."""

from __future__ import annotations

import importlib.util
import os
import sys
from pathlib import Path

import click

from hcpcs.cli.console import outputs_option
from hcpcs.errors import HcpcsError
from hcpcs.paths import Outputs


@click.command("ui")
@click.option("--port", type=int, default=3000, show_default=True, help="Port on the loopback address.")
@outputs_option
def ui_command(outputs: Outputs, port: int) -> None:
    """Start Dagster's user interface on the loopback address: assets, runs, checks, lineage.

    \b
    Example: hcpcs ui --port 3000
    """
    if importlib.util.find_spec("dagster_webserver") is None:
        raise HcpcsError("the user interface is not installed; `pip install 'hcpcs[ui]'` brings it")
    from pipeline.refresh.refresh import prepare_home

    home = Path(os.environ.get("DAGSTER_HOME") or outputs.dagster_home)
    prepare_home(home)
    environment = os.environ | {"DAGSTER_HOME": str(home), "HCPCS_OUTPUTS": str(outputs.folder)}
    click.echo(f"http://127.0.0.1:{port} (Ctrl-C ends it)")
    arguments = ["-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-m", "hcpcs.definitions"]
    os.execve(sys.executable, [sys.executable, *arguments], environment)
