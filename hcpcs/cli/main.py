"""The command line: all commands together, the environment, exit statuses. What is done stands elsewhere.

0: done, or nothing to do. 1: refused by the data. 2: wrong usage.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

import click

from hcpcs.cli import annotate as claims
from hcpcs.cli import export
from hcpcs.cli import query as questions
from hcpcs.cli.console import is_refusal, outputs_option
from hcpcs.errors import HcpcsError
from hcpcs.paths import Outputs
from pipeline.commands import catalog, versions
from pipeline.commands import refresh as refreshing


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="hcpcs", prog_name="hcpcs")
def cli() -> None:
    """A complete, dated, license-aware record of US procedure codes (HCPCS Level II).

    \b
    hcpcs refresh --from DIR    take CMS's releases in and publish a version
    hcpcs lookup J1100          what a code means
    """


@cli.command("ui")
@click.option("--port", type=int, default=3000, show_default=True, help="Port on the loopback address.")
@outputs_option
def ui_command(outputs: Outputs, port: int) -> None:
    """Start Dagster's user interface on the loopback address: assets, runs, checks, lineage.

    \b
    Example: hcpcs ui --port 3000
    """
    import importlib.util

    if importlib.util.find_spec("dagster_webserver") is None:
        raise HcpcsError("the user interface is not installed; `pip install 'hcpcs[ui]'` brings it")
    from pipeline.refresh.refresh import prepare_home

    home = Path(os.environ.get("DAGSTER_HOME") or outputs.dagster_home)
    prepare_home(home)
    environment = os.environ | {"DAGSTER_HOME": str(home), "HCPCS_OUTPUTS": str(outputs.folder)}
    click.echo(f"http://127.0.0.1:{port} (Ctrl-C ends it)")
    arguments = ["-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-m", "pipeline.definitions"]
    os.execve(sys.executable, [sys.executable, *arguments], environment)


for _command in (
    *refreshing.COMMANDS,
    *questions.COMMANDS,
    *versions.COMMANDS,
    *claims.COMMANDS,
    *export.COMMANDS,
    *catalog.COMMANDS,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line; errors of the data become one message and exit status 1."""
    # One write for all partitions of an asset: a database that syncs each event takes seconds for nothing.
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        if not is_refusal(error):
            raise
        click.echo(f"hcpcs: error: {error}", err=True)
        for line in getattr(error, "__notes__", ()):
            click.echo(f"  {line}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
