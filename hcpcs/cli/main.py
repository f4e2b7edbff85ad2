"""The command line: all commands together, the environment, exit statuses. What is done stands elsewhere.

0: done, or nothing to do. 1: refused by the data, or damage was found. 2: wrong usage. 130: interrupted by Ctrl-C.
143: ended by SIGTERM.
"""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys

import click

from hcpcs.cli.commands import CommandGroup
from hcpcs.cli.console import is_refusal
from hcpcs.cli.process import Interrupted, interrupts_end_the_process, survive_closed_pipes


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="hcpcs", prog_name="hcpcs")
def cli() -> None:
    """A complete, dated, license-aware record of US procedure codes (HCPCS Level II).

    \b
    hcpcs refresh --from DIR    take CMS's releases in and publish a version
    hcpcs lookup J1100          what a code means
    """


def main() -> None:
    """Run the command line: its result, an error of the data or an interrupt becomes the exit status."""
    # One write for all partitions of an asset: a database that syncs each event takes seconds for nothing.
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")
    # numpy comes with pyarrow: its threads for linear algebra, which nobody here uses, take a tenth of a second.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    # Polars's threads each keep what they freed for ten seconds: with one store for all it is given back after 0.1 s.
    os.environ.setdefault("_RJEM_MALLOC_CONF", "narenas:1,dirty_decay_ms:100")
    atexit.register(_leave_garbage)
    survive_closed_pipes()
    with interrupts_end_the_process() as interrupts:
        try:
            status = cli(standalone_mode=False)  # what `context.exit` was given, or None
        except Interrupted:
            interrupts.first = interrupts.first or signal.SIGINT
        except BaseException as error:
            if interrupts.first is None:
                status = _print_error(error)
        if interrupts.first is not None:
            interrupts.end()
    sys.exit(status)


def _leave_garbage() -> None:
    """Let the interpreter end without searching all modules for garbage twice; DuckDB reports what is not collected."""
    if "duckdb" not in sys.modules:
        gc.freeze()


def _print_error(error: BaseException) -> int:
    """Print what ended a command and return the exit status; a fault in this program is raised again."""
    if isinstance(error, click.ClickException):
        error.show()
        return error.exit_code
    if not isinstance(error, Exception) or not is_refusal(error):
        raise error
    click.echo(f"hcpcs: error: {error}", err=True)
    for line in getattr(error, "__notes__", ()):
        click.echo(f"  {line}", err=True)
    return 1


if __name__ == "__main__":
    main()
