"""The reference pages, derived from the command line and the contracts: `python -m pipeline.reference` writes them.

A test holds the committed pages against what this module gives.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import click

from hcpcs.cli.main import cli
from hcpcs.errors import present
from schemas.registry import contracts

_DOCS = Path(__file__).resolve().parent.parent / "docs"
_MADE = "<!-- made by `python -m pipeline.reference` -->"


def commands_page() -> str:
    """Every command with its help text, as Markdown."""
    parts = [f"{_MADE}\n# Commands\n"]
    root = click.Context(cli, info_name="hcpcs", **cli.context_settings)
    for name, command, context in _commands(cli, root):
        parts.append(f"## {name}\n\n```\n{command.get_help(context)}\n```\n")
    return "\n".join(parts)


def tables_page() -> str:
    """Every published table with its columns, as Markdown."""
    parts = [f"{_MADE}\n# Tables\n"]
    for name, table in contracts().items():
        parts.append(f"## {name}\n\n{table.description}\n\nKey: {', '.join(f'`{k}`' for k in table.key)}\n")
        parts.append("| column | type | null | meaning | source |\n|---|---|---|---|---|")
        parts.extend(
            f"| `{c.name}` | {c.type} | {'yes' if c.nullable else ''} | {_cell(c.description)} | {_cell(c.source)} |"
            for c in table.columns
        )
        parts.append("")
    return "\n".join(parts)


def _commands(group: click.Group, context: click.Context) -> Iterator[tuple[str, click.Command, click.Context]]:
    for name in sorted(group.list_commands(context)):
        command = present(group.get_command(context, name))
        # A fixed width, so that the page does not depend on a terminal.
        inner = click.Context(command, info_name=name, parent=context, terminal_width=100, max_content_width=100)
        yield inner.command_path, command, inner
        if isinstance(command, click.Group):
            yield from _commands(command, inner)


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def main() -> None:
    """Write both pages into ``docs/``."""
    (_DOCS / "commands.md").write_text(commands_page(), "utf-8")
    (_DOCS / "tables.md").write_text(tables_page(), "utf-8")


if __name__ == "__main__":
    main()
