"""``hcpcs sql``: statements for engines that need no code of ours. Nothing here runs SQL."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from hcpcs.cli.console import outputs_option, version_of, version_option
from hcpcs.errors import HcpcsError
from hcpcs.paths import Outputs

_dialect_option = click.option(
    "--dialect",
    type=click.Choice(["duckdb", "postgres", "spark", "snowflake", "bigquery"]),
    default="duckdb",
    show_default=True,
    help="Engine that the statements are for.",
)
_schema_option = click.option("--schema", help="Schema that the version's tables are in.")


@click.group("sql")
def sql_command() -> None:
    """Print SQL over a version's tables, for query engines without this package.

    \b
    Example: hcpcs sql views --dialect postgres
    """


def _check_folder(folder: str | None) -> None:
    """Refuse a folder here that is no version; one elsewhere is the engine's to find."""
    if folder and Path(folder).is_dir() and not Path(folder, "open", "hcpcs_validity.parquet").exists():
        raise HcpcsError(f"{folder} is not the folder of a version, such as outputs/latest: it has no open/")


@sql_command.command("annotate")
@click.option(
    "--dialect",
    type=click.Choice(["duckdb", "spark", "trino", "postgres", "snowflake", "bigquery"]),
    default="duckdb",
    show_default=True,
    help="Engine that the statement is for.",
)
@click.option(
    "--claims",
    default="claims",
    show_default=True,
    help="Table of claims, with its schema or without; for DuckDB and Spark also a Parquet file.",
)
@click.option("--code", default="hcpcs_code", show_default=True, help="Its column of procedure codes.")
@click.option(
    "--date", default="service_date", show_default=True, help="Its column of the day of service, a DATE or time stamp."
)
@click.option("--date-else", help="Column of the day where --date has none.")
@click.option("--modifier", "modifiers", multiple=True, help="Column of modifiers.")
@click.option("--keep", multiple=True, help="Column of the claims to keep; by default all.")
@_schema_option
@click.option("--version-folder", "folder", help="Folder of the version; its files are read in place.")
def sql_annotate_command(dialect: str, **names: Any) -> None:
    """Print a statement that annotates claims.

    \b
    Example: hcpcs sql annotate --dialect duckdb --version-folder outputs/latest
    """
    from hcpcs.annotate.sql import SqlNames, annotate_sql

    if names["schema"] and names["folder"]:
        raise click.UsageError("the version's tables are in a --schema or in files of --version-folder: name one")
    statement = annotate_sql(dialect, SqlNames(**names))
    _check_folder(names["folder"])
    click.echo(statement)


@sql_command.command("views")
@_dialect_option
@_schema_option
@click.option("--version-folder", "folder", help="Folder of the version, to read its file where it lies.")
def sql_views_command(dialect: str, schema: str | None, folder: str | None) -> None:
    """Print statements that create hcpcs_on(day), hcpcs_valid(code, day) and the view hcpcs_today.

    \b
    Example: hcpcs sql views --dialect postgres --schema hcpcs
    """
    from hcpcs.sql.views import views_sql

    statements = views_sql(dialect, schema, folder)
    _check_folder(folder)
    click.echo(statements, nl=False)


@sql_command.command("ddl")
@_dialect_option
@_schema_option
@click.option("--table", "tables", multiple=True, help="Only this table; may be repeated.")
@version_option
@outputs_option
def sql_ddl_command(
    outputs: Outputs, dialect: str, schema: str | None, tables: tuple[str, ...], version: str | None
) -> None:
    """Print statements that create a version's tables, with types, lengths, keys and comments.

    \b
    Example: hcpcs sql ddl --dialect postgres --table hcpcs_validity
    """
    from hcpcs.sql.tables import ddl_sql
    from hcpcs.version import Version

    click.echo(ddl_sql(dialect, Version(version_of(outputs, version)), tables, schema), nl=False)
