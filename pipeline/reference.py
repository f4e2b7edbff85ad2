"""The reference pages: commands, tables and kinds of findings. `python -m pipeline.reference` writes them.

A test holds the committed pages against what this module gives.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import click

from hcpcs.cli.main import cli
from hcpcs.errors import present
from schemas.registry import contracts
from sources.finding_kinds import KINDS, Kind

_ROOT = Path(__file__).resolve().parent.parent
_DOCS = _ROOT / "docs"
_MADE = "<!-- made by `python -m pipeline.reference` -->"
_FINDINGS = f"""{_MADE}
# Findings

`hcpcs_findings` has a row for each problem in CMS's files, with what was done about it. `info`: nothing is lost.
`warning`: check before you rely on the value. `error`: the release is refused; `hcpcs findings RELEASE` lists such
findings, since no version has them. More than twenty findings with one cause in one member are one row with their count
and some examples.
"""


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


def findings_page() -> str:
    """Every kind of finding with its severity and meaning, as Markdown."""
    parts = [_FINDINGS]
    for where in dict.fromkeys(kind.where for kind in KINDS.values()):
        kinds = {name: kind for name, kind in KINDS.items() if kind.where == where}
        parts.append(f"## {where}\n\n| finding | severity | meaning, and what is done |\n|---|---|---|")
        parts.extend(f"| `{name}` | {_severities(kind)} | {_cell(_meaning(kind))} |" for name, kind in kinds.items())
        parts.append("")
    return "\n".join(parts)


def _severities(kind: Kind) -> str:
    return ", ".join(filter(None, (kind.severity, kind.also)))


def _meaning(kind: Kind) -> str:
    return f"{kind.meaning}; {kind.action}" if kind.action else kind.meaning


def dbt_sources() -> str:
    """Every published table as a source of the dbt package, with its key as a test."""
    lines = [
        "# made by `python -m pipeline.reference`",
        "version: 2",
        "sources:",
        "  - name: hcpcs",
        "    description: The published tables of hcpcs, one version.",
        "    schema: \"{{ var('hcpcs_schema') }}\"",
        "    config:",
        "      meta:",
        "        external_location: \"{{ var('hcpcs_version') }}/open/{name}.parquet\"",
        "    tables:",
    ]
    for name, table in contracts().items():
        lines += [f"      - name: {name}", f"        description: {json.dumps(table.description)}"]
        if table.key:
            lines += [
                "        data_tests:",
                "          - hcpcs_unique_key:",
                "              arguments:",
                f"                columns: {json.dumps(table.key)}",
            ]
        lines.append("        columns:")
        for column in table.columns:
            lines += [f"          - name: {column.name}", f"            description: {json.dumps(column.description)}"]
    return "\n".join(lines) + "\n"


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
    """Write the pages into ``docs/``, and the sources of the dbt package."""
    (_DOCS / "commands.md").write_text(commands_page(), "utf-8")
    (_DOCS / "tables.md").write_text(tables_page(), "utf-8")
    (_DOCS / "findings.md").write_text(findings_page(), "utf-8")
    (_ROOT / "dbt" / "models" / "hcpcs_sources.yml").write_text(dbt_sources(), "utf-8")


if __name__ == "__main__":
    main()
