"""Which commands there are and where each is; a command's module is imported when the command is used.

``commands.csv`` has a row for each, with its line in ``hcpcs --help``. The pipeline's commands are in the pipeline,
which the library does not import: they are found by name at run time.
"""

from __future__ import annotations

import csv
import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click

from hcpcs.cli.process import Interrupted
from hcpcs.own_packages import of_the_pipeline


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
        with of_the_pipeline(f"hcpcs {name}"):
            command: click.Command = getattr(importlib.import_module(module), attribute)
        return command


def _read(path: Path) -> dict[str, CommandSpec]:
    with path.open(encoding="utf-8", newline="") as file:
        return {row["name"]: CommandSpec(row["target"], row["help"]) for row in csv.DictReader(file)}


COMMANDS = _read(Path(__file__).with_suffix(".csv"))


def _refuse_repeated_and_empty(own: click.Context, args: list[str]) -> None:
    command = own.command
    values, rest, given = command.make_parser(own).parse_args(list(args))
    for option in given:
        if not isinstance(option, click.Option) or option.is_flag:
            continue
        if not option.multiple and given.count(option) > 1:
            raise click.UsageError(f"{option.opts[0]} is given twice, and takes one value", own)
        # A script's unset variable: as a path it would be the current folder.
        if values[option.name] == "" or (option.multiple and "" in values[option.name]):
            raise click.UsageError(f"{option.opts[0]} is given an empty value", own)
    if isinstance(command, click.Group) and rest and (below := command.get_command(own, rest[0])):
        _refuse_repeated_and_empty(click.Context(below, own, rest[0], resilient_parsing=True), rest[1:])


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
        """The command of some arguments; refuses an option given twice, of which click takes the last, or empty."""
        name, command, rest = super().resolve_command(ctx, args)
        if command is not None:
            _refuse_repeated_and_empty(click.Context(command, ctx, name, resilient_parsing=True), rest)
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
