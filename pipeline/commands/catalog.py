"""The command that writes the static catalog."""

from __future__ import annotations

import click

from hcpcs.cli.console import Progress, json_option, outputs_option, print_json, shown, wait_option
from hcpcs.paths import Outputs


@click.command("catalog")
@wait_option
@json_option
@outputs_option
def catalog_command(outputs: Outputs, wait: float, as_json: bool) -> None:
    """Write the catalog of the latest version: web pages that open from disk, without a server.

    The catalog is written to catalog/ below the folder of outputs and replaces the previous one.

    \b
    Example: hcpcs catalog
    """
    from pipeline.catalog.build import write_catalog

    with Progress(quiet=as_json) as progress:
        done = write_catalog(outputs, wait=wait, progress=progress)
    if as_json:
        print_json(
            {
                "version": done.version,
                "folder": str(done.folder),
                "index": str(done.index),
                "files": done.files,
                "bytes": done.bytes,
            }
        )
        return
    click.echo(f"wrote the catalog of version {done.version}: {done.files} files, {done.bytes / 1e6:,.1f} MB")
    click.echo(f"open {shown(done.index)} in a browser")
