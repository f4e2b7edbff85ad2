"""Commands that load releases and report what is loaded: refresh, status, releases."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from hcpcs.cli.console import (
    Progress,
    json_option,
    outputs_option,
    print_json,
    print_table,
    shown,
    wait_option,
    warn,
)
from hcpcs.errors import HcpcsError, named
from hcpcs.paths import Outputs

if TYPE_CHECKING:
    from pipeline.refresh.refresh import RefreshResult
    from sources.archive.archive import ArchiveIndex
from schemas.columns import RELEASE_ID
from sources.release.inspect import open_archive


class NotCurrent(HcpcsError):
    """A release that is in effect by CMS's calendar is not published."""


@click.command("refresh")
@click.option(
    "--from",
    "offered",
    type=click.Path(path_type=Path),
    help="Folder of releases (<YYYY-MM>/*.zip, or files under CMS's names), one zip, or one code file.",
)
@click.option("--sample", is_flag=True, help="Load the bundled sample of made-up releases.")
@click.option("--release", "stated", metavar="YYYY-MM", help="The release of everything that --from offers.")
@click.option("--offline", is_flag=True, help="Do not contact CMS's site: build from the loaded releases.")
@click.option("--site", metavar="URL", envvar="HCPCS_SITE", help="Page of CMS's releases; also HCPCS_SITE.")
@click.option(
    "--page",
    "saved_page",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="CMS's page as a browser saved it, read instead of asking the site for it.",
)
@click.option("--zip", "urls", multiple=True, metavar="URL", help="Fetch this zip; may be repeated.")
@click.option(
    "--notify-command",
    envvar="HCPCS_NOTIFY_COMMAND",
    help="Run this, with JSON on its input, when a version is published or something refused.",
)
@click.option("--notify-webhook", envvar="HCPCS_NOTIFY_WEBHOOK", metavar="URL", help="Post the same JSON there.")
@click.option(
    "--skip-bad", is_flag=True, help="Publish without the releases that cannot be read; the manifest names them."
)
@click.option(
    "--accept-losses",
    is_flag=True,
    help="Publish a release although codes of its neighbors are missing from it; the manifest says so.",
)
@click.option(
    "--restricted",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write a version with the AMA's text into this folder, outside --outputs.",
)
@click.option(
    "--cpt",
    multiple=True,
    type=click.Path(exists=True, path_type=Path),
    help="The AMA's files that you have a license for.",
)
@click.option("--accept", metavar="ama-cpt", help="Accept the AMA's terms for the content of --restricted.")
@click.option(
    "--dagster-home",
    type=click.Path(path_type=Path, file_okay=False),
    envvar="DAGSTER_HOME",
    help="Folder of Dagster's runs; also DAGSTER_HOME. By default below --outputs.",
)
@wait_option
@json_option
@outputs_option
def refresh_command(
    outputs: Outputs,
    offered: Path | None,
    sample: bool,
    stated: str | None,
    offline: bool,
    site: str | None,
    saved_page: Path | None,
    urls: tuple[str, ...],
    notify_command: str | None,
    notify_webhook: str | None,
    skip_bad: bool,
    accept_losses: bool,
    restricted: Path | None,
    cpt: tuple[Path, ...],
    accept: str | None,
    dagster_home: Path | None,
    wait: float,
    as_json: bool,
) -> None:
    """Load releases, rebuild the tables, and publish a version if anything changed.

    Without --from, it checks CMS's page and downloads only what is new.

    \b
    Example: hcpcs refresh --from ../releases
    """
    import re

    if stated is not None and not re.fullmatch(RELEASE_ID, stated):
        raise click.BadParameter(f"{stated!r} is not of the form YYYY-MM", param_hint="--release")
    sources = {"--sample": sample, "--from": offered, "--offline": offline, "--page": saved_page, "--zip": urls}
    if len(given := [name for name, value in sources.items() if value]) > 1:
        raise click.UsageError(f"{' and '.join(given)} exclude each other")
    if restricted is None and (cpt or accept):
        raise click.UsageError("--cpt and --accept go with --restricted")
    from pipeline.orchestration.openlineage_settings import OpenLineageSettings
    from pipeline.refresh.notify import Notifier
    from pipeline.refresh.refresh import refresh

    request = None
    if restricted:
        from pipeline.versions.restricted import request_restricted, write_restricted

        request = request_restricted(outputs, restricted, cpt, accepted=accept)
    if sample:
        from sources.sample import SAMPLE_FOLDER

        offered = SAMPLE_FOLDER
    requested = None
    if offered is None and not offline:
        from sources.site.polling import Site

        requested = replace(Site(site) if site else Site(), saved_page=saved_page)
    notifier = Notifier(notify_command, notify_webhook)
    with notifier.of_failure(outputs, warn):
        try:
            with Progress(quiet=as_json) as progress:
                done = refresh(
                    outputs,
                    offered=offered,
                    stated=stated,
                    skip_bad=skip_bad,
                    accept_losses=accept_losses,
                    site=requested,
                    urls=urls,
                    dagster_home=dagster_home,
                    progress=progress,
                    warn=warn,
                    openlineage=OpenLineageSettings.of_environment(os.environ),
                    wait=wait,
                )
        except Exception as error:
            for line in _what_next(error, outputs):
                error.add_note(line)
            raise
        notifier.send_of(done, outputs, warn)
        _print_refreshed(outputs, done, as_json)
        if request is not None:
            made = write_restricted(outputs, request)
            click.echo(f"restricted version {made.version} in {made.folder}: do not redistribute", err=as_json)
    not_fetched = dict(done.fetched.refused) if done.fetched else {}
    if not_fetched:
        sys.exit(1)


def _print_refreshed(outputs: Outputs, done: RefreshResult, as_json: bool) -> None:
    published = done.published
    if as_json:
        print_json(done.summary().as_json())
        return
    click.echo(done.words())
    for url, why in (done.fetched.unclear if done.fetched else {}).items():
        click.echo(f"not fetched: {url}: {why}")
    for name, why in done.left.items():
        click.echo(f"not loaded: {named(name, why)}")
    for name, files in done.compressed.items():
        click.echo(f"compressed {', '.join(files)} into {name}, which is kept in the archive")
    for url, why in (done.fetched.refused if done.fetched else {}).items():
        click.echo(f"hcpcs: error: {url}: {why}", err=True)
    click.echo(f"version {published.version} is in {shown(published.folder)}")
    click.echo()
    print_table(["table", "rows"], [[name, f"{count:,}"] for name, count in published.rows.items()])
    history = shown(outputs.latest_link / "open" / "hcpcs_history.parquet").replace("'", "''")
    click.echo("\nWhat did J0570 mean, and when? With DuckDB:")
    click.echo(
        f"  select code, episode, valid_from, valid_to, short_description\n  from '{history}' where code = 'J0570';"
    )


def _what_next(error: Exception, outputs: Outputs) -> list[str]:
    """What stayed as it was, and the commands that help."""
    name = type(error).__name__
    if name not in ("RefreshRefused", "ContractViolation", "ChecksFailed", "LicenseLeak"):
        return []
    from hcpcs.version import latest_version

    newest = latest_version(outputs)
    lines = ["nothing was published" + (f", the newest version is still {newest}" if newest else "")]
    if name == "RefreshRefused":
        releases = [r for r, e in error.refusals.items() if type(e).__name__ == "ReleaseRefused"]  # type: ignore[attr-defined]
        lines += [f"`hcpcs findings {r}` lists all its findings" for r in releases]
        lines.append("`--skip-bad` publishes without it; the manifest names it")
    if name == "ChecksFailed" and any("releases_are_whole" in check for check in error.failed):  # type: ignore[attr-defined]
        lines.append(
            "`--accept-losses` publishes a release that lacks codes as it is, `--skip-bad` without it; both say so in"
            " the manifest"
        )
    return lines


@click.command("status")
@click.option(
    "--check", "checks", is_flag=True, help="Exit with status 1 if a release that is in effect is not published."
)
@json_option
@outputs_option
def status_command(outputs: Outputs, checks: bool, as_json: bool) -> None:
    """Display what is published, which releases are loaded, and whether one is due.

    \b
    Example: hcpcs status
    """
    from hcpcs.version import latest_version
    from pipeline.versions.freshness import published_freshness
    from pipeline.versions.store import read_manifest

    version = latest_version(outputs)
    index = open_archive(outputs.archive).index()
    manifest = read_manifest(outputs.version(version)) if version else None
    stated = {r.release_id for r in manifest.content.releases} if manifest else set()
    loaded = sorted(index.releases() or stated)  # a copy may come without its archive
    damaged = open_archive(outputs.archive).damaged(index)
    fresh = published_freshness(outputs, datetime.now(UTC).date())
    status = {
        "outputs": str(outputs.folder),
        "version": version,
        "published_at": manifest.build.created_at if manifest else None,
        "is_sample": manifest.content.is_sample if manifest else None,
        "newest_release": loaded[-1] if loaded else None,
        "releases_loaded": loaded,
        "freshness": fresh.summary(),
        "missing": index.refused,
        "excluded": index.excluded,
        "damaged": list(damaged.values()),
    }
    if as_json:
        print_json(status)
    else:
        # What the error states is not printed twice.
        _print_status(outputs, status, states_freshness=not (checks and fresh.is_overdue))
    if checks and fresh.is_overdue:
        raise NotCurrent(fresh.words)


def _print_status(outputs: Outputs, status: dict[str, Any], *, states_freshness: bool) -> None:
    version, loaded = status["version"], status["releases_loaded"]
    if version is None:
        click.echo(
            f"nothing is published in {shown(outputs.folder)} yet;"
            " `hcpcs refresh --from DIR` publishes the first version"
        )
        return
    what = ("made-up sample " if status["is_sample"] else "") + ("release" if len(loaded) == 1 else "releases")
    click.echo(f"version {version}, published {status['published_at']}, in {shown(outputs.version(version))}")
    days = loaded[0] if len(loaded) == 1 else f"{loaded[0]} to {loaded[-1]}"
    click.echo(f"{len(loaded)} {what} loaded, {days}")
    if states_freshness and not status["is_sample"]:
        click.echo(status["freshness"]["message"])
    for name, why in status["missing"].items():
        click.echo(f"missing: {named(name, why)}")
    for which, why in status["excluded"].items():
        click.echo(f"excluded: {which}: {why}")
    for why in status["damaged"]:
        click.echo(f"archive damaged: {why}")


def _site_rows(outputs: Outputs, index: ArchiveIndex) -> list[dict[str, Any]]:
    """What the site had when it was last checked; nothing where that is not known."""
    from sources.site.polling import Site, read_site_state, site_rows

    try:
        url = str(json.loads(outputs.site_state.read_bytes())["site"])
    except (FileNotFoundError, ValueError, LookupError, TypeError):
        return []
    return site_rows(read_site_state(outputs.site_state, Site(url, known=())), index)


@click.group("releases", invoke_without_command=True)
@click.pass_context
@json_option
@outputs_option
def releases_command(context: click.Context, outputs: Outputs, as_json: bool) -> None:
    """List the releases and revisions in the latest version.

    \b
    Example: hcpcs releases
    """
    if context.invoked_subcommand is not None:
        return
    from hcpcs.version import version_folder
    from hcpcs.version_files import NothingPublished, read_rows

    index = open_archive(outputs.archive).index()
    on_site = _site_rows(outputs, index)
    try:
        rows = read_rows(version_folder(outputs), "hcpcs_releases")
    except NothingPublished:
        if not on_site:
            raise
        rows = []
    if as_json:
        print_json({"loaded": rows, "refused": index.refused, "excluded": index.excluded, "on_site": on_site})
        return
    columns = ["release_id", "revision", "is_current", "form", "procedure_count", "modifier_count", "finding_count"]
    print_table([*columns, "code file"], [[*(r[c] for c in columns), r["member_names"][0]] for r in rows])
    for what, why in [*index.refused.items(), *index.excluded.items()]:
        click.echo(f"not loaded: {named(what, why)}")
    if on_site:
        click.echo("\non CMS's site when it was last checked:")
        shown = ["release_id", "kind", "name", "state", "why"]
        print_table(shown, [[r[c] for c in shown] for r in on_site])


@releases_command.command("exclude")
@click.argument("which", metavar="ID[/REVISION]")
@click.option("--reason", required=True, help="The reason, recorded in the manifest.")
@wait_option
@outputs_option
def exclude_command(outputs: Outputs, which: str, reason: str, wait: float) -> None:
    """Keep a release, or one revision of it, in the archive and out of the tables.

    \b
    Example: hcpcs releases exclude 2019-01 --reason "posted under the wrong year"
    """
    from pipeline.refresh.exclusions import exclude

    if not reason.strip():
        raise click.BadParameter("is empty; state why the tables are made without it", param_hint="--reason")
    with Progress(quiet=False) as progress:
        is_loaded = exclude(outputs, which, reason, wait=wait, progress=progress)
    then = "`hcpcs refresh` publishes without it" if is_loaded else "it is not loaded, and is left out when it comes"
    click.echo(f"{which} is excluded; {then}")


@releases_command.command("include")
@click.argument("which", metavar="ID[/REVISION]")
@wait_option
@outputs_option
def include_command(outputs: Outputs, which: str, wait: float) -> None:
    """Take an excluded release or revision back into the tables.

    \b
    Example: hcpcs releases include 2019-01
    """
    from pipeline.refresh.exclusions import include

    with Progress(quiet=False) as progress:
        include(outputs, which, wait=wait, progress=progress)
    click.echo(f"{which} is included; `hcpcs refresh` publishes with it")
