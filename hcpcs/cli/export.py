"""``hcpcs export``: one option for every format in ``hcpcs.export``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import click

from hcpcs.cli.console import (
    json_option,
    outputs_option,
    print_json,
    shown,
    tier_option,
    version_of,
    version_option,
    warn,
)
from hcpcs.errors import HcpcsError
from hcpcs.export.registry import ExportFormat, export, formats
from hcpcs.manifest import OPEN, RESTRICTED
from hcpcs.paths import Outputs
from hcpcs.version import Version


def _format_options(command: Callable[..., Any]) -> Callable[..., Any]:
    for form in reversed(formats().values()):
        for option in form.options:
            command = click.option(
                f"--{form.name}-{option.name}",
                type=click.Choice(option.choices),
                default=option.default,
                show_default=True,
                help=option.help,
            )(command)
        command = click.option(
            f"--{form.name}",
            type=click.Path(path_type=Path),
            metavar="FOLDER" if form.is_folder else "FILE",
            help=f"Write {form.summary}.",
        )(command)
    return command


def _license_gate(form: ExportFormat, tier: str) -> Callable[[Path], object] | None:
    """The gate that reads an export before it takes its place.

    None where the pipeline is not installed, and for the restricted tier, which has by design what the gate refuses.
    """
    if tier != OPEN:
        return None
    try:
        from pipeline.versions.export_gate import check_export
    except ImportError:
        return None
    return partial(check_export, form=form)


@click.command("export")
@_format_options
@version_option
@tier_option
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@json_option
@outputs_option
def export_command(
    outputs: Outputs, version: str | None, tier: str, overwrite: bool, as_json: bool, **chosen: Any
) -> None:
    """Write a version in other formats, each whole or not at all.

    \b
    Example: hcpcs export --duckdb hcpcs.duckdb
    """
    wanted = [(form, chosen[form.name]) for form in formats().values() if chosen[form.name] is not None]
    if not wanted:
        raise click.UsageError(f"name a format: {', '.join(f'--{name}' for name in formats())}")
    source = Version(version_of(outputs, version, tier))
    if tier == RESTRICTED:
        for _, destination in wanted:
            if destination.resolve().is_relative_to(outputs.folder):
                raise HcpcsError(
                    f"{destination} lies in {outputs.folder}: nothing restricted is written beside the open tier"
                )
        warn("the export has content of the AMA that may not be redistributed; the license gate does not read it")
    for form, destination in wanted:
        options = {o.name: chosen[f"{form.name}_{o.name}".replace("-", "_")] for o in form.options}
        written = export(source, form, destination, options, overwrite=overwrite, check=_license_gate(form, tier))
        if as_json:
            print_json({"format": form.name, "version": source.id, "path": str(destination), "written": written})
        else:
            what = "files" if form.is_folder else "tables"
            click.echo(f"wrote {len(written)} {what} of version {source.id} to {shown(destination.resolve())}")
