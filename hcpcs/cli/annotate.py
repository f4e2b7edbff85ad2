"""Commands that meet claims: annotate them, or print the SQL that does."""

from __future__ import annotations

from typing import Any

import click

from hcpcs.cli.console import (
    Progress,
    json_option,
    outputs_option,
    print_json,
    print_table,
    tier_option,
    version_of,
    version_option,
)
from hcpcs.paths import Outputs

_NAMED_DELIMITERS = {"tab": "\t", "\\t": "\t", "comma": ",", "pipe": "|", "semicolon": ";", "\\x01": "\x01"}


@click.command("annotate")
@click.argument("claims")
@click.argument("out", required=False)
@click.option("--code", required=True, multiple=True, help="Column of procedure codes, or a pattern of several.")
@click.option("--date", help="Column of the day of service.")
@click.option("--date-else", help="Column of the day where --date has none.")
@click.option(
    "--on",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="A day for all lines, instead of --date.",
)
@click.option("--date-format", "date_formats", multiple=True, help="Form of dates, as in YYMMDD; or COLUMN=FORM.")
@click.option("--null", "nulls", multiple=True, help="Word to read as null, besides NULL, NA and the like.")
@click.option("--modifier", "modifiers", multiple=True, help="Column of modifiers, or a pattern of several.")
@click.option("--columns", help="Columns to add, by comma, instead of the usual ones; see docs/annotate.md.")
@click.option(
    "--redact",
    multiple=True,
    metavar="COLUMN[=JUDGE]",
    help="Description column to blank unless its code is CMS's; JUDGE: the --modifier column that it describes.",
)
@click.option("--amount", help="Column of amounts to add up in the summary.")
@click.option("--decimal", type=click.Choice([".", ","]), help="Decimal mark of amounts that are text.")
@click.option("--delimiter", help="Character between the fields of text; 'tab' for a tab. By default found.")
@click.option("--quote", help="Quotation mark of text, or 'none' if nothing is quoted. By default found.")
@click.option("--escape", help="Character before a quotation mark that does not end a text, as a backslash.")
@click.option("--encoding", help="Encoding of text, as in cp1252; by default UTF-8, or UTF-16 with its mark.")
@click.option("--skip-lines", type=click.IntRange(0), default=0, help="Lines before the names of the columns.")
@version_option
@tier_option
@json_option
@outputs_option
def annotate_command(
    outputs: Outputs,
    claims: str,
    out: str | None,
    columns: str | None,
    version: str | None,
    tier: str,
    as_json: bool,
    delimiter: str | None,
    quote: str | None,
    escape: str | None,
    encoding: str | None,
    skip_lines: int,
    **options: Any,
) -> None:
    """Add to claims what each code meant on its date of service; without OUT, only summarize.

    \b
    Example: hcpcs annotate claims.parquet annotated --code hcpcs_code --date service_date
    """
    from hcpcs.annotate.csv_text import TextOptions
    from hcpcs.annotate.engine import annotate
    from hcpcs.annotate.summary import summary_tables

    place = version_of(outputs, version, tier)
    if columns is not None:
        options["columns"] = [c.strip() for c in columns.split(",")]
    if (options["date"] is None) == (options["on"] is None) or (options["on"] and options["date_else"]):
        raise click.UsageError("name the column of the day (--date), or one day for all lines (--on)")
    if options["decimal"] and not options["amount"]:
        raise click.UsageError("--decimal is the mark in the column of --amount; name that too")
    options["on"] = options["on"].date() if options["on"] else None
    text = TextOptions(_NAMED_DELIMITERS.get(delimiter or "", delimiter), quote, escape, encoding, skip_lines)
    with Progress(quiet=as_json) as progress:
        summary = annotate(claims, out, text=text, version=place, tier=tier, progress=progress, **options)
    if as_json:
        print_json(summary)
        return
    for title, headings, rows in summary_tables(summary):
        click.echo(f"\n{title}" if title else "")
        print_table(headings, rows)
    where = f", in {out}" if out else ""
    click.echo(f"{summary['lines']:,} lines annotated with version {summary['version']}{where}")
