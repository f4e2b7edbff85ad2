"""``hcpcs watch``: lists of codes whose changes each notice carries, with feeds of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hcpcs.cli.console import (
    Progress,
    json_option,
    list_argument,
    outputs_option,
    print_json,
    print_table,
    shown,
    wait_option,
    warn,
)
from hcpcs.paths import Outputs


@click.group("watch")
def watch_command() -> None:
    """Watch lists of codes: each notice states what changed for them, and each has its feeds.

    \b
    Example: hcpcs watch add drugs codes.txt
    """


@watch_command.command("add")
@click.argument("name")
@list_argument
@click.option("--column", help="Column of a CSV file or workbook that has the codes.")
@click.option("--sheet", help="Sheet of a workbook; by default the first.")
@click.option("--replace", is_flag=True, help="Put this list in the place of the one of this name.")
@wait_option
@json_option
@outputs_option
def add_command(
    outputs: Outputs,
    name: str,
    list_file: Path,
    column: str | None,
    sheet: str | None,
    replace: bool,
    wait: float,
    as_json: bool,
) -> None:
    """Watch the codes of a list, a file as for `hcpcs check`; its codes are copied.

    \b
    Example: hcpcs watch add drugs codes.txt
    """
    from pipeline.versions.watched import add_list

    with Progress(quiet=as_json) as progress:
        added, rows = add_list(
            outputs, name, list_file, column=column, sheet=sheet, replace=replace, wait=wait, progress=progress
        )
    for row in rows:
        if (why := _hindrance(row)) is not None:
            warn(f"{row['given']}: {why}")
    if as_json:
        print_json(_stated(outputs, name, added.codes, added.added_at) | {"rows": rows})
    else:
        click.echo(
            f"{name}: {len(added.codes)} codes and modifiers are watched; feeds in {shown(outputs.watched / name)}"
        )


def _hindrance(row: dict[str, Any]) -> str | None:
    """Why a notice will say nothing of a row, or nothing yet."""
    if row["status"] == "unknown_shape":
        return f"not watched: {row['note']}"
    if row["status"] in ("not_loaded", "system_ended"):
        return f"its changes are not CMS's to state, so no notice reports them: {row['note']}"
    if row["status"] == "unknown_code":
        return f"no loaded release has it; it is reported when CMS adds it: {row['note']}"
    return None


@watch_command.command("list")
@json_option
@outputs_option
def list_command(outputs: Outputs, as_json: bool) -> None:
    """List the watched lists.

    \b
    Example: hcpcs watch list
    """
    from pipeline.versions.watched import list_names, read_watched

    lists = [read_watched(outputs, name) for name in list_names(outputs)]
    if as_json:
        print_json([_stated(outputs, one.name, one.codes, one.added_at) for one in lists])
    elif lists:
        print_table(["name", "codes", "added"], [[one.name, len(one.codes), one.added_at] for one in lists])
    else:
        click.echo("no list is watched; `hcpcs watch add NAME LIST` adds one")


@watch_command.command("show")
@click.argument("name")
@json_option
@outputs_option
def show_command(outputs: Outputs, name: str, as_json: bool) -> None:
    """Display a watched list: what each code is today, and the newest release that changed it.

    \b
    Example: hcpcs watch show drugs
    """
    from hcpcs.check import STATUSES
    from pipeline.versions.watched import changes_of_list, read_watched

    one = read_watched(outputs, name)
    rows = changes_of_list(outputs, one)
    if as_json:
        print_json(_stated(outputs, name, one.codes, one.added_at) | {"rows": rows})
        return
    print_table(
        ["code", "status", "changed in", "change", "description"],
        [
            [r["code"], STATUSES[r["status"]], r["last_release"], r["last_changes"], r["description"] or r["note"]]
            for r in rows
        ],
    )


@watch_command.command("remove")
@click.argument("name")
@wait_option
@outputs_option
def remove_command(outputs: Outputs, name: str, wait: float) -> None:
    """Watch a list no longer, and remove its feeds.

    \b
    Example: hcpcs watch remove drugs
    """
    from pipeline.versions.watched import remove_list

    with Progress(quiet=False) as progress:
        remove_list(outputs, name, wait=wait, progress=progress)
    click.echo(f"{name} is no longer watched")


def _stated(outputs: Outputs, name: str, codes: tuple[str, ...], added_at: str) -> dict[str, Any]:
    from pipeline.versions.store import FEEDS

    feeds = [str(outputs.watched / name / feed) for feed in FEEDS]
    return {"name": name, "codes": list(codes), "added_at": added_at, "feeds": feeds}
