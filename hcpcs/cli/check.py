"""``hcpcs check``: a list of codes against a version."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from pathlib import Path
from typing import Any

import click

from hcpcs.cli.console import list_argument, print_csv, print_json, print_table, question_options, version_of
from hcpcs.errors import HcpcsError
from hcpcs.paths import Outputs


@click.command("check")
@list_argument
@click.option("--on", "day", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="By default today.")
@click.option(
    "--since", metavar="RELEASE", help="Also what changed after this release (2025-01) or version (2025.01.1)."
)
@click.option("--column", help="Column of a CSV file or workbook that has the codes.")
@click.option("--sheet", help="Sheet of a workbook; by default the first.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@click.option("--markdown", is_flag=True, help="Print a Markdown table.")
@click.option(
    "--fail-on", metavar="STATUS,…", help="Exit with status 1 if a code has one of these, such as ended,reused."
)
@question_options
def check_command(
    outputs: Outputs,
    list_file: Path,
    day: datetime | None,
    since: str | None,
    column: str | None,
    sheet: str | None,
    as_csv: bool,
    markdown: bool,
    fail_on: str | None,
    version: str | None,
    as_json: bool,
) -> None:
    """Check a list of codes and modifiers: which are valid, ended, replaced, changed, or not CMS's.

    LIST is a text, a CSV file, an Excel workbook, a FHIR ValueSet (JSON), or - for standard input.

    \b
    Example: hcpcs check codes.txt --on 2025-01-01 --since 2023-01 --fail-on ended,reused
    """
    from hcpcs.check import CHANGES, SEVERAL, STATUSES, check_codes, failing
    from hcpcs.code_lists import read_list

    causes = fail_on.split(",") if fail_on else []
    known = (*SEVERAL, *STATUSES, *CHANGES)
    if wrong := sorted(set(causes) - set(known)):
        raise click.UsageError(f"--fail-on: {', '.join(wrong)} is none of {', '.join(known)}")
    if as_json + as_csv + markdown > 1:
        raise click.UsageError("choose one of --json, --csv and --markdown")
    codes = read_list(list_file, column=column, sheet=sheet)
    on = day.date() if day else date.today()
    rows = check_codes(version_of(outputs, version), codes, day=on, since=since)
    if as_json:
        print_json(rows)
    elif as_csv:
        print_csv(rows)
    else:
        _print(rows, markdown=markdown)
    if found := failing(rows, causes):
        raise HcpcsError(f"{len(found)} of {len(rows)} codes are {fail_on}: {' '.join(r['given'] for r in found[:20])}")


def _print(rows: list[dict[str, Any]], *, markdown: bool) -> None:
    from hcpcs.check import STATUSES

    cells = [
        [
            r["code"] or r["given"],
            ", ".join([STATUSES[r["status"]], *r["changed"]]),
            r["ended"],
            " ".join(r["successors"])
            + (f" → {' '.join(r['chain_ends'])}" if r["chain_ends"] != r["successors"] else ""),
            " ".join(filter(None, (r["description"], f"({r['note']})" if r["note"] else None))),
        ]
        for r in rows
    ]
    headings = ["code", "status", "ended", "replaced by", "description"]
    if markdown:
        for row in (headings, ["---"] * len(headings), *cells):
            click.echo("| " + " | ".join(str("" if c is None else c).replace("|", "\\|") for c in row) + " |")
    else:
        print_table(headings, cells)
    rules = Counter(rule for r in rows for rule in r["rules"])
    if rules and not markdown:
        click.echo("\nread: " + ", ".join(f"{rule.replace('_', ' ')} {count:,}" for rule, count in rules.items()))
    for caution in {r["caution"] for r in rows} - {None}:
        click.echo(f"\nnote: {caution}")
