"""``hcpcs ui``: Dagster's user interface on the pipeline's definitions, and the daemon that runs what it starts."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import subprocess
import sys
import time
from pathlib import Path

import click

from hcpcs.cli.console import outputs_option
from hcpcs.errors import HcpcsError
from hcpcs.paths import Outputs


@click.command("ui")
@click.option("--port", type=int, default=3000, show_default=True, help="Port on this machine (127.0.0.1).")
@outputs_option
def ui_command(outputs: Outputs, port: int) -> None:
    """Start Dagster's user interface on this machine: assets, runs, checks, lineage.

    Runs, the sensor and the schedule that you start there are executed until the command ends.

    \b
    Example: hcpcs ui --port 3000
    """
    if importlib.util.find_spec("dagster_webserver") is None:
        raise HcpcsError("the user interface is not installed; `make setup` installs it")
    from pipeline.refresh.run_job import prepare_home

    home = Path(os.environ.get("DAGSTER_HOME") or outputs.dagster_home)
    prepare_home(home)
    environment = os.environ | {"DAGSTER_HOME": str(home), "HCPCS_OUTPUTS": str(outputs.folder)}
    # The daemon takes runs from the queue and ticks sensor and schedule: without it nothing that is started runs.
    daemon = Path(sys.executable).with_name("dagster-daemon")
    webserver = [sys.executable, "-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port)]
    started: list[subprocess.Popen[bytes]] = []
    try:
        for command in ([str(daemon), "run"], webserver):
            started.append(subprocess.Popen([*command, "-m", "hcpcs.definitions"], env=environment))
        click.echo(f"http://127.0.0.1:{port} (Ctrl-C ends it)")
        while all(process.poll() is None for process in started):
            time.sleep(0.5)
        raise HcpcsError("the user interface stopped; see the lines above for the reason")
    finally:
        for process in started:
            process.terminate()
        for process in started:
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(timeout=10)
            process.kill()
