"""The command line: all commands together, the environment, exit statuses. What is done stands elsewhere.

0: done, or nothing to do. 1: refused by the data. 2: wrong usage.
"""

from __future__ import annotations

import os
import sys

import click

from hcpcs.cli.commands import CommandGroup
from hcpcs.cli.console import is_refusal


@click.group(cls=CommandGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="hcpcs", prog_name="hcpcs")
def cli() -> None:
    """A complete, dated, license-aware record of US procedure codes (HCPCS Level II).

    \b
    hcpcs refresh --from DIR    take CMS's releases in and publish a version
    hcpcs lookup J1100          what a code means
    """


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
