"""Which commands there are and where each lives; a command's module is imported when the command is used.

The pipeline's commands live with the pipeline, which the library does not import: they are found by name at run time.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any

import click

from hcpcs.cli.process import Interrupted
from hcpcs.errors import HcpcsError
from hcpcs.own_packages import PIPELINE, own_packages_first


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """Where a command lives (``module:attribute``) and its line in ``hcpcs --help``."""

    target: str
    help: str

    @property
    def needs_pipeline(self) -> bool:
        """Whether the command is the pipeline's."""
        return self.target.startswith("pipeline.")

    def load(self, name: str) -> click.Command:
        """Import the command; raises ``HcpcsError`` where the pipeline is not installed."""
        module, _, attribute = self.target.partition(":")
        own_packages_first()
        try:
            command: click.Command = getattr(importlib.import_module(module), attribute)
        except ModuleNotFoundError as error:
            if not self.needs_pipeline or (error.name or "").partition(".")[0] not in PIPELINE:
                raise
            raise HcpcsError(
                f"`hcpcs {name}` belongs to the pipeline, which is not installed here: it runs from a clone of the"
                " repository (`make setup` there) or from the container image"
            ) from None
        return command


COMMANDS = {
    "annotate": CommandSpec(
        "hcpcs.cli.annotate:annotate_command",
        "Add to claims what each code meant on its date of service; without OUT, only summarize.",
    ),
    "changes": CommandSpec(
        "hcpcs.cli.query:changes_command",
        "List what a release, or the latest, changed against the loaded release before it.",
    ),
    "check": CommandSpec(
        "hcpcs.cli.check:check_command",
        "Check a list of codes and modifiers: which are valid, ended, replaced, changed, or not CMS's.",
    ),
    "classify": CommandSpec(
        "hcpcs.cli.query:classify_command",
        "Classify codes by their format: code system, section, license, and what else each may be.",
    ),
    "export": CommandSpec(
        "hcpcs.cli.export:export_command", "Write a version in other formats, each whole or not at all."
    ),
    "findings": CommandSpec(
        "hcpcs.cli.query:findings_command",
        "List what was wrong in CMS's files and what was done about it; also for a refused release.",
    ),
    "history": CommandSpec(
        "hcpcs.cli.query:history_command",
        "Display the history of a code or modifier: what it meant when, what changed, what replaced it.",
    ),
    "licenses": CommandSpec(
        "hcpcs.cli.query:licenses_command",
        "Count rows and masked fields of a version by table and license.",
    ),
    "lookup": CommandSpec(
        "hcpcs.cli.query:lookup_command",
        "Display what a code or modifier means, now or on a day; for a code that CMS does not publish, its owner.",
    ),
    "mcp": CommandSpec(
        "hcpcs.cli.serve:mcp_command",
        "Serve a version's answers as tools of the Model Context Protocol, over standard input and output.",
    ),
    "search": CommandSpec(
        "hcpcs.cli.query:search_command",
        "Find codes by words in any of their descriptions, past or present; tolerates typos.",
    ),
    "sections": CommandSpec(
        "hcpcs.cli.query:sections_command",
        "List the sections of the code systems, or of the one named by its id, with their codes and days.",
    ),
    "serve": CommandSpec(
        "hcpcs.cli.serve:serve_command",
        "Serve a version's answers as read-only JSON over HTTP, by default on loopback alone.",
    ),
    "systems": CommandSpec(
        "hcpcs.cli.query:systems_command",
        "List the code systems: HCPCS, CPT, CDT and their parts, with format, owner and days.",
    ),
    "sql": CommandSpec(
        "hcpcs.cli.sql:sql_command", "Print SQL over a version's tables, for query engines without this package."
    ),
    "catalog": CommandSpec(
        "pipeline.commands.catalog:catalog_command",
        "Write the catalog of the latest version: web pages that open from disk, without a server.",
    ),
    "diff": CommandSpec(
        "pipeline.commands.versions:diff_command",
        "List what differs between two versions; by default BEFORE and the latest.",
    ),
    "prune": CommandSpec(
        "pipeline.commands.versions:prune_command",
        "Remove old versions, never the latest; without --remove, list them only.",
    ),
    "publish": CommandSpec(
        "pipeline.commands.versions:publish_command",
        "Copy a version to where others read it: s3://, gs://, az:// or a folder.",
    ),
    "rebuild": CommandSpec(
        "pipeline.commands.versions:rebuild_command",
        "Rebuild a version from the archive and compare the bytes; by default the latest.",
    ),
    "refresh": CommandSpec(
        "pipeline.commands.refresh:refresh_command",
        "Load releases, rebuild the tables, and publish a version if anything changed.",
    ),
    "releases": CommandSpec(
        "pipeline.commands.refresh:releases_command", "List the releases and revisions in the latest version."
    ),
    "status": CommandSpec(
        "pipeline.commands.refresh:status_command",
        "Display what is published, which releases are loaded, and whether one is due.",
    ),
    "ui": CommandSpec(
        "pipeline.commands.ui:ui_command",
        "Start Dagster's user interface on this machine: assets, runs, checks, lineage.",
    ),
    "verify": CommandSpec(
        "pipeline.commands.versions:verify_command",
        "Verify that a version, or a copy of one, is exactly what was published, byte for byte; by default the latest.",
    ),
    "versions": CommandSpec(
        "pipeline.commands.versions:versions_command", "List the published versions, oldest first."
    ),
    "watch": CommandSpec(
        "pipeline.commands.watch:watch_command",
        "Watch lists of codes: each notice states what changed for them, and each has its feeds.",
    ),
}


def _refuse_repeated(own: click.Context, args: list[str]) -> None:
    command = own.command
    _, rest, given = command.make_parser(own).parse_args(list(args))
    for option in given:
        if isinstance(option, click.Option) and not (option.multiple or option.is_flag) and given.count(option) > 1:
            raise click.UsageError(f"{option.opts[0]} is given twice, and takes one value", own)
    if isinstance(command, click.Group) and rest and (below := command.get_command(own, rest[0])):
        _refuse_repeated(click.Context(below, own, rest[0], resilient_parsing=True), rest[1:])


class CommandGroup(click.Group):
    """The commands of ``COMMANDS``, each imported when it is used: ``--help`` imports none."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command; click would print an empty line for an interrupt that a library raises by Python's name."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            raise Interrupted from None

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """The command of some arguments; refuses an option given twice, of which click would take the last."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            _refuse_repeated(click.Context(command, ctx, name, resilient_parsing=True), rest)
        return name, command, rest

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Their names."""
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """The command of that name."""
        place = COMMANDS.get(cmd_name)
        return place.load(cmd_name) if place else None

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands in ``--help``: first the library's, then the pipeline's."""
        for title, is_pipeline in (("Commands", False), ("Commands of the pipeline", True)):
            rows = [(name, COMMANDS[name].help) for name in sorted(COMMANDS)]
            with formatter.section(title):
                formatter.write_dl([row for row in rows if COMMANDS[row[0]].needs_pipeline == is_pipeline])
