"""The command line. It reads the environment, prints, and gives exit statuses; what is done stands elsewhere.

0: done, or nothing to do. 1: refused by the data. 2: wrong usage. Heavy modules are imported inside the commands.
"""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from datetime import date, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import click

from pipeline.layout import Outputs
from sources.errors import SourceError

if TYPE_CHECKING:
    from pipeline.refresh import Refreshed

_DEFAULT_OUTPUTS = Path(__file__).resolve().parent.parent / "outputs"
_WIDEST_VALUE = 300
#: Columns no wider than this are not wrapped.
_NARROW = 24
_WIDTH_WITHOUT_TERMINAL = 180


def outputs_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the option that all have: the folder of outputs."""

    def to_layout(_: click.Context, __: click.Parameter, value: Path) -> Outputs:
        return Outputs(value.resolve())

    return click.option(
        "--outputs",
        type=click.Path(path_type=Path, file_okay=False),
        default=_DEFAULT_OUTPUTS,
        envvar="HCPCS_OUTPUTS",
        callback=to_layout,
        help="Folder of outputs; also HCPCS_OUTPUTS. By default the project's outputs/.",
    )(command)


json_option = click.option("--json", "as_json", is_flag=True, help="Print JSON for scripts.")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="hcpcs", prog_name="hcpcs")
def cli() -> None:
    """A complete, dated, license-aware record of US procedure codes (HCPCS Level II).

    \b
    hcpcs refresh --from DIR    take CMS's releases in and publish a version
    hcpcs lookup J1100          what a code means
    """


@cli.command("refresh")
@click.option(
    "--from",
    "offered",
    type=click.Path(path_type=Path),
    help="Folder of releases (<YYYY-MM>/*.zip, or zips named as CMS names them), or one zip.",
)
@click.option("--sample", is_flag=True, help="Take in the made-up sample that the project ships.")
@click.option("--release", "stated", metavar="YYYY-MM", help="The release of everything that --from offers.")
@click.option("--offline", is_flag=True, help="Ask no site: build from what is held.")
@click.option("--site", metavar="URL", envvar="HCPCS_SITE", help="Page of CMS's releases; also HCPCS_SITE.")
@click.option(
    "--notify-command",
    envvar="HCPCS_NOTIFY_COMMAND",
    help="Run this, with JSON on its input, when a version is published or something refused.",
)
@click.option("--notify-webhook", envvar="HCPCS_NOTIFY_WEBHOOK", metavar="URL", help="Post the same JSON there.")
@click.option("--skip-bad", is_flag=True, help="Publish without what cannot be used, and say so in the manifest.")
@click.option(
    "--restricted",
    type=click.Path(path_type=Path, file_okay=False),
    help="Also write a version with the AMA's text into this folder, outside --outputs.",
)
@click.option(
    "--cpt", multiple=True, type=click.Path(path_type=Path), help="The AMA's files that you have a license for."
)
@click.option("--accept", metavar="ama-cpt", help="Say that you accept the AMA's terms for what --restricted holds.")
@json_option
@outputs_option
def refresh_command(
    outputs: Outputs,
    offered: Path | None,
    sample: bool,
    stated: str | None,
    offline: bool,
    site: str | None,
    notify_command: str | None,
    notify_webhook: str | None,
    skip_bad: bool,
    restricted: Path | None,
    cpt: tuple[Path, ...],
    accept: str | None,
    as_json: bool,
) -> None:
    """Take releases in, rebuild the tables, publish a version if anything changed.

    Without --from it asks CMS's page what is new, and fetches only that.

    \b
    Example: hcpcs refresh --from ../releases
    """
    import os
    import re
    import tempfile

    if stated is not None and not re.fullmatch(r"(19|20)\d\d-(0[1-9]|1[0-2])", stated):
        raise click.BadParameter(f"{stated!r} is not of the form YYYY-MM", param_hint="--release")
    if sample and offered is not None:
        raise click.UsageError("--sample and --from exclude each other")
    if restricted is None and (cpt or accept):
        raise click.UsageError("--cpt and --accept go with --restricted")
    from pipeline.refresh import refresh
    from pipeline.restricted import request_restricted, write_restricted

    request = request_restricted(outputs, restricted, cpt, accepted=accept) if restricted else None
    home = os.environ.get("DAGSTER_HOME")
    # One write for all partitions of an asset: a database that syncs each event takes seconds for nothing.
    os.environ.setdefault("DAGSTER_EVENT_BATCH_SIZE", "1000")
    with tempfile.TemporaryDirectory() as folder:
        if sample:
            from sources.sample import write_sample

            offered = Path(folder)
            write_sample(offered)
        asked = None
        if offered is None and not offline:
            from pipeline.polling import Site

            asked = Site(site) if site else Site()
        try:
            with _progress(quiet=as_json) as tell:
                done = refresh(
                    outputs,
                    offered=offered,
                    stated=stated,
                    skip_bad=skip_bad,
                    site=asked,
                    dagster_home=Path(home) if home else None,
                    tell=tell,
                )
        except Exception as error:
            if _is_refusal(error):
                _notify("refused", str(error), None, {}, notify_command, notify_webhook)
            for line in _what_next(error, outputs):
                error.add_note(line)
            raise
    _print_refreshed(outputs, done, as_json)
    if request is not None:
        made = write_restricted(outputs, request)
        click.echo(f"restricted version {made.version} in {made.folder}: not to be passed on", err=as_json)
    not_fetched = dict(done.fetched.refused) if done.fetched else {}
    if done.is_new or done.refused or not_fetched:
        event: Literal["published", "refused"] = "published" if done.is_new else "refused"
        text = _paragraph(done)
        _notify(event, text, done.published.version, done.summary(), notify_command, notify_webhook)
    if not_fetched:
        sys.exit(1)


def _notify(
    event: Literal["published", "refused"],
    text: str,
    version: str | None,
    details: dict[str, Any],
    command: str | None,
    webhook: str | None,
) -> None:
    if command or webhook:
        from pipeline.notify import Notice, notify

        for problem in notify(Notice(event, text, version, details), command=command, webhook=webhook):
            click.echo(f"hcpcs: warning: {problem}", err=True)


def _paragraph(done: Refreshed) -> str:
    """What a refresh did, in one paragraph."""
    words = []
    if done.fetched is not None:
        words.append(done.fetched.words())
    if done.is_new:
        words.append(f"published version {done.published.version} from {done.new_zips} new zips")
        words.append(f"read {', '.join(done.read) or 'no release'} anew")
    else:
        words.append(f"nothing new: version {done.published.version} stands")
    words += [f"left out {name}: {why}" for name, why in done.refused.items()]
    return "; ".join(words) + "."


def _print_refreshed(outputs: Outputs, done: Refreshed, as_json: bool) -> None:
    published = done.published
    if as_json:
        _print_json(done.summary())
        return
    click.echo(_paragraph(done))
    for address, why in (done.fetched.refused if done.fetched else {}).items():
        click.echo(f"hcpcs: error: {address}: {why}", err=True)
    click.echo(f"version {published.version} is in {_shown(published.folder)}")
    click.echo()
    _print_table(["table", "rows"], [[name, f"{count:,}"] for name, count in published.rows.items()])
    history = _shown(outputs.latest_link / "open" / "hcpcs_history.parquet")
    click.echo("\nWhat did J0570 mean, and when? With DuckDB:")
    click.echo(
        f"  select code, episode, valid_from, valid_to, short_description\n  from '{history}' where code = 'J0570';"
    )


@cli.command("status")
@json_option
@outputs_option
def status_command(outputs: Outputs, as_json: bool) -> None:
    """Tell what is published and what is held.

    \b
    Example: hcpcs status
    """
    from pipeline.freshness import freshness
    from pipeline.publish_state import latest_version, read_manifest
    from sources.archive import Archive

    version = latest_version(outputs)
    index = Archive(outputs.archive).index()
    manifest = read_manifest(outputs.version(version)) if version else None
    held = sorted(index.releases())
    status = {
        "outputs": str(outputs.folder),
        "version": version,
        "published_at": manifest["build"]["created_at"] if manifest else None,
        "is_sample": manifest["content"]["is_sample"] if manifest else None,
        "newest_release": held[-1] if held else None,
        "releases_held": held,
        "freshness": freshness(held[-1] if held else None, date.today()).words,
        "missing": index.refused,
        "excluded": index.excluded,
    }
    if as_json:
        _print_json(status)
        return
    if version is None:
        click.echo(
            f"nothing is published in {_shown(outputs.folder)} yet; `hcpcs refresh --from DIR` makes the first version"
        )
        return
    what = "made-up sample releases" if status["is_sample"] else "releases"
    click.echo(f"version {version}, published {status['published_at']}, in {_shown(outputs.version(version))}")
    click.echo(f"{len(held)} {what} held, {held[0]} to {held[-1]}")
    if not status["is_sample"]:
        click.echo(str(status["freshness"]))
    for name, why in index.refused.items():
        click.echo(f"missing: {name}: {why}")
    for which, why in index.excluded.items():
        click.echo(f"excluded: {which}: {why}")


@cli.group("releases", invoke_without_command=True)
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
    from pipeline.reading import NothingPublished, read_rows, version_folder
    from sources.archive import Archive

    index = Archive(outputs.archive).index()
    on_site = []
    if outputs.site_state.exists():
        from pipeline.polling import Site, read_site_state, site_rows

        address = json.loads(outputs.site_state.read_text("utf-8"))["site"]
        on_site = site_rows(read_site_state(outputs.site_state, Site(address, known=())), index)
    try:
        rows = read_rows(version_folder(outputs), "hcpcs_releases")
    except NothingPublished:
        if not on_site:
            raise
        rows = []
    if as_json:
        _print_json({"held": rows, "refused": index.refused, "excluded": index.excluded, "on_site": on_site})
        return
    columns = ["release_id", "revision", "stands", "form", "procedure_count", "modifier_count", "finding_count"]
    _print_table([*columns, "code file"], [[*(r[c] for c in columns), r["member_names"][0]] for r in rows])
    for what, why in [*index.refused.items(), *index.excluded.items()]:
        click.echo(f"left out: {what}: {why}")
    if on_site:
        click.echo("\non the site when it was last asked:")
        shown = ["release_id", "kind", "name", "state", "why"]
        _print_table(shown, [[r[c] for c in shown] for r in on_site])


@releases_command.command("exclude")
@click.argument("which", metavar="ID[/REVISION]")
@click.option("--reason", required=True, help="Why; it goes into the manifest.")
@outputs_option
def exclude_command(outputs: Outputs, which: str, reason: str) -> None:
    """Keep a release, or one revision of it, in the archive and out of the tables.

    \b
    Example: hcpcs releases exclude 2019-01 --reason "posted under the wrong year"
    """
    from pipeline.exclusion import exclude

    exclude(outputs, which, reason)
    click.echo(f"{which} is excluded; `hcpcs refresh` publishes without it")


@releases_command.command("include")
@click.argument("which", metavar="ID[/REVISION]")
@outputs_option
def include_command(outputs: Outputs, which: str) -> None:
    """Take an excluded release or revision back into the tables.

    \b
    Example: hcpcs releases include 2019-01
    """
    from pipeline.exclusion import include

    include(outputs, which)
    click.echo(f"{which} is included; `hcpcs refresh` publishes with it")


@cli.command("findings")
@click.argument("release", required=False)
@click.option("--severity", type=click.Choice(["info", "warning", "error"]), help="Only findings of this severity.")
@json_option
@outputs_option
def findings_command(outputs: Outputs, release: str | None, severity: str | None, as_json: bool) -> None:
    """Show what was odd in CMS's files, and what was done about it; also for a release that was refused.

    \b
    Example: hcpcs findings 2012-01
    """
    from pipeline.reading import NothingPublished, read_rows, version_folder

    where = [("release_id", "=", release)] if release else []
    where += [("severity", "=", severity)] if severity else []
    refused = json.loads(outputs.refused.read_text("utf-8")) if outputs.refused.exists() else {}
    rows = [
        {"release_id": r, "revision": None, **f}
        for r, found in refused.items()
        for f in found
        if release in (None, r) and severity in (None, f["severity"])
    ]
    try:
        rows += read_rows(version_folder(outputs), "hcpcs_findings", where)
    except NothingPublished:
        if not rows:
            raise
    if as_json:
        _print_json(rows)
        return
    _print_table(
        ["release", "severity", "finding", "where", "code", "field", "raw value", "what", "done", "times"],
        [
            [
                r["release_id"],
                r["severity"],
                r["finding"],
                " ".join(str(x) for x in (r["member"], r["line"]) if x is not None),
                r["code"],
                r["field"],
                r["raw_value"],
                r["message"],
                r["action"],
                r["occurrences"],
            ]
            for r in rows
        ],
    )


@cli.command("lookup")
@click.argument("code")
@click.option("--on", "day", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="Its meaning on that day.")
@click.option("--source", is_flag=True, help="The raw lines of CMS's files that it comes from, out of the archive.")
@json_option
@outputs_option
def lookup_command(outputs: Outputs, code: str, day: datetime | None, source: bool, as_json: bool) -> None:
    """Tell what a code or modifier means, now or on a day.

    \b
    Example: hcpcs lookup J0570 --on 2018-06-30
    """
    from pipeline.answers import code_on_day, code_states
    from pipeline.reading import version_folder

    if source:
        _print_source(outputs, code, as_json)
        return
    folder = version_folder(outputs)
    if day is None:
        states = code_states(folder, code)
        if as_json:
            _print_json(states)
            return
        for row in states:
            _print_table(["field", "value"], [[k, v] for k, v in row.items() if v not in (None, [])])
        return
    answer = code_on_day(folder, code, day.date())
    if as_json:
        _print_json(answer)
        return
    if answer["span"] is not None:
        click.echo(f"{answer['code']} on {answer['day']}: {_meaning(answer['span'])}")
        click.echo(f"  {_days(answer['span'])}")
        return
    click.echo(f"{answer['code']} was not valid on {answer['day']}")
    for when in ("before", "after"):
        if (span := answer[when]) is not None:
            click.echo(f"  {when}: {_meaning(span)}")
            click.echo(f"    {_days(span)}")


def _print_source(outputs: Outputs, code: str, as_json: bool) -> None:
    from pipeline.provenance import raw_lines

    places = raw_lines(outputs, code.strip().upper())
    if as_json:
        _print_json([place.as_json() for place in places])
        return
    for place in places:
        sheet = f", sheet {place.sheet}" if place.sheet else ""
        click.echo(f"{place.release_id}: {place.member} in {place.zip_name}{sheet} (sha256 {place.member_sha256})")
        for number, text in place.lines:
            click.echo(f"{number:>7}  {text}")


@cli.command("search")
@click.argument("words", nargs=-1, required=True)
@json_option
@outputs_option
def search_command(outputs: Outputs, words: tuple[str, ...], as_json: bool) -> None:
    """Find codes by the words of their descriptions, of any time.

    \b
    Example: hcpcs search oil spill
    """
    from pipeline.answers import search
    from pipeline.reading import version_folder

    rows = search(version_folder(outputs), " ".join(words))
    if as_json:
        _print_json(rows)
        return
    if not rows:
        click.echo(f"no description of any time has {' and '.join(words)}")
        return
    _print_table(
        ["code", "meaning", "from", "to", "description"],
        [
            [r["code"], r["episode"], r["valid_from"], r["valid_to"], r["long_description"] or r["short_description"]]
            for r in rows
        ],
    )


@cli.command("history")
@click.argument("code")
@json_option
@outputs_option
def history_command(outputs: Outputs, code: str, as_json: bool) -> None:
    """Tell the life of a code or modifier: its meanings, what changed when, what came after.

    \b
    Example: hcpcs history J0570
    """
    from pipeline.answers import life_of
    from pipeline.reading import version_folder

    life = life_of(version_folder(outputs), code)
    if as_json:
        _print_json(life)
        return
    many = len(life["meanings"]) > 1
    click.echo(f"{life['code']}, a {life['kind']}" + (f" with {len(life['meanings'])} meanings" if many else ""))
    for meaning in life["meanings"]:
        _print_meaning(meaning, numbered=many)


def _print_meaning(meaning: dict[str, Any], *, numbered: bool) -> None:
    title = f"meaning {meaning['episode']}, {meaning['status']}" if numbered else meaning["status"]
    click.echo(f"\n{title}; in the releases {meaning['first_release']} to {meaning['last_release']}")
    for span in meaning["spans"]:
        click.echo(f"  {_days(span)}")
        click.echo(f"    {_meaning(span)}")
    from pipeline.answers import quoted

    for change in meaning["changes"]:
        if change["change"] == "text_format_only":
            continue
        what = change["change"].replace("_", " ")
        values = "" if change["field"] == "record" else f": {quoted(change['old'])} → {quoted(change['new'])}"
        field = "" if change["field"] == "record" else f" {change['field']}"
        otherwise = (
            f" (CMS's action code says {change['cms_action_code']})" if change["agrees_with_cms"] is False else ""
        )
        click.echo(f"  {change['release_id']} {what}{field}{values}{otherwise}")
    for target in meaning["crosswalk"]:
        named = target["target"] or f"a {target['target_system']} code, which is its owner's to give"
        ends = ", ".join(target["chain_ends"])
        onward = f", which ends in {ends}" if ends and ends != target["target"] else ""
        click.echo(
            f"  {target['relation'].replace('_', ' ')} {named} ({target['target_status'].replace('_', ' ')}){onward}"
        )


@cli.command("changes")
@click.argument("release")
@click.option("--disagreeing", is_flag=True, help="Only where CMS's action code says otherwise.")
@json_option
@outputs_option
def changes_command(outputs: Outputs, release: str, disagreeing: bool, as_json: bool) -> None:
    """List what a release changed against the release before it that is held.

    \b
    Example: hcpcs changes 2017-01 --disagreeing
    """
    from pipeline.answers import changes_of, quoted
    from pipeline.reading import version_folder

    rows = changes_of(version_folder(outputs), release, disagreeing=disagreeing)
    if as_json:
        _print_json(rows)
        return
    if not rows:
        click.echo(f"no changes of {release}" + (" with which CMS's action codes disagree" if disagreeing else ""))
        return
    _print_table(
        ["against", "code", "change", "field", "old", "new", "CMS", "agrees"],
        [
            [
                r["previous_release_id"]
                if r["previous_release_id"] != release
                else f"revision {r['previous_revision']}",
                r["code"],
                r["change"],
                "" if r["field"] == "record" else r["field"],
                "" if r["old"] is None else quoted(r["old"]),
                "" if r["new"] is None else quoted(r["new"]),
                r["cms_action_code"],
                {True: "yes", False: "no"}.get(r["agrees_with_cms"], ""),
            ]
            for r in rows
        ],
    )


def _meaning(span: dict[str, Any]) -> str:
    text = span["long_description"] or span["short_description"]
    return str(text) if text else f"a description that is not ours to give ({span['license_id']})"


def _days(span: dict[str, Any]) -> str:
    bases = {"added": "added then", "action": "by CMS's action date", "release": "with the release"}
    ends = {"termination": "stated end", "next_span": "then changed", "absence": "gone after that, no end stated"}
    until = f"{span['valid_to']} ({ends[span['valid_to_basis']]})" if span["valid_to"] else "further notice"
    gap = "; a release that would decide its days is not held" if span["observed_gap"] else ""
    return f"{span['valid_from']} ({bases[span['valid_from_basis']]}) to {until}{gap}"


@cli.command("classify")
@click.argument("codes", nargs=-1, required=True)
@click.option("--on", "day", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="Sections as of that day.")
@json_option
def classify_command(codes: tuple[str, ...], day: datetime | None, as_json: bool) -> None:
    """Tell whose each code is by its shape: system, category, section, steward, license. Needs no version.

    \b
    Example: hcpcs classify 99213 0001U U0001 J1100 D0120 W1234 0042T 4004F 99
    """
    import polars as pl

    from pipeline.classify import classify

    frame = pl.DataFrame({"code": [c.strip().upper() for c in codes]})
    rows = classify(frame, "code", date=day.date() if day else None).to_dicts()
    if as_json:
        _print_json(rows)
        return
    _print_table(list(rows[0]), [list(row.values()) for row in rows])


@cli.command("licenses")
@json_option
@outputs_option
def licenses_command(outputs: Outputs, as_json: bool) -> None:
    """Tell by table and license what the latest version holds, and what is masked in it.

    \b
    Example: hcpcs licenses
    """
    from pipeline.license_report import licenses_of_version
    from pipeline.reading import version_folder

    rows = licenses_of_version(version_folder(outputs))
    if as_json:
        _print_json(rows)
        return
    shown = ["table", "license_id", "rows", "withheld_rows", "masked_fields", "masked"]
    _print_table(shown, [[_counts(r[name]) for name in shown] for r in rows])


def _counts(value: Any) -> Any:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value


@cli.command("versions")
@json_option
@outputs_option
def versions_command(outputs: Outputs, as_json: bool) -> None:
    """List the published versions, oldest first.

    \b
    Example: hcpcs versions
    """
    from pipeline.publish_state import all_versions, latest_version, read_manifest

    latest = latest_version(outputs)
    rows = []
    for version in all_versions(outputs):
        manifest = read_manifest(outputs.version(version))
        content, build = manifest["content"], manifest["build"]
        rows.append(
            {
                "version": version,
                "is_latest": version == latest,
                "published_at": build["created_at"],
                "releases": len({r["release_id"] for r in content["releases"]}),
                "rows": sum(f.get("rows", 0) for f in content["files"].values()),
                "bytes": sum(f["bytes"] for f in content["files"].values()),
                "missing": sorted(content["missing"]),
            }
        )
    if as_json:
        _print_json(rows)
        return
    _print_table(list(rows[0]) if rows else ["version"], [list(r.values()) for r in rows])


@cli.command("verify")
@click.argument("which", metavar="[VERSION|FOLDER|URL]", required=False)
@json_option
@outputs_option
@click.pass_context
def verify_command(context: click.Context, outputs: Outputs, which: str | None, as_json: bool) -> None:
    """Check that a version, or any copy of one, is what was published; by default the latest.

    \b
    Example: hcpcs verify
    """
    from pipeline.verify import verify, version_location

    report = verify(version_location(outputs, which))
    if as_json:
        _print_json(report.as_json())
    elif report.ok:
        click.echo(f"version {report.version} is whole: {report.files} files, {report.rows:,} rows, nothing differs")
    else:
        _print_table(["file", "check", "what"], [[p.file, p.check, p.what] for p in report.problems])
    if not report.ok:
        context.exit(1)


@cli.command("rebuild")
@click.argument("version", required=False)
@click.option("--into", type=click.Path(path_type=Path), help="New folder to keep what was built in.")
@json_option
@outputs_option
@click.pass_context
def rebuild_command(
    context: click.Context, outputs: Outputs, version: str | None, into: Path | None, as_json: bool
) -> None:
    """Build a version again from the archive and compare; by default the latest.

    \b
    Example: hcpcs rebuild
    """
    from pipeline.rebuild import rebuild

    again = rebuild(outputs, version, into)
    if as_json:
        _print_json(again.as_json())
    else:
        told = {
            "identical": "is the same, byte for byte",
            "same_rows": "has the same rows, but other bytes",
            "different": "is not the same",
        }
        click.echo(f"version {again.version}, built again, {told[again.outcome]}")
        for difference in again.differences:
            click.echo(f"  {difference}")
        for name, (then, now) in again.libraries.items():
            click.echo(f"  built with {name} {then}, now {now}")
        if again.outcome == "different" and again.commit[0] != again.commit[1]:
            click.echo(f"  built by commit {again.commit[0]}, now {again.commit[1]}: check that one out to compare")
    if not again.ok:
        context.exit(1)


@cli.command("diff")
@click.argument("before")
@click.argument("after", required=False)
@click.option("--markdown", is_flag=True, help="Print Markdown, without values, as in CHANGES.md.")
@json_option
@outputs_option
def diff_command(outputs: Outputs, before: str, after: str | None, markdown: bool, as_json: bool) -> None:
    """Tell what differs between two versions; by default BEFORE and the latest.

    \b
    Example: hcpcs diff 2025.10.1 2025.10.2
    """
    from pipeline.diff import diff
    from pipeline.reading import version_folder

    def folder(named: str | None) -> Path:
        return Path(named) if named and (Path(named) / "manifest.json").is_file() else version_folder(outputs, named)

    found = diff(folder(before), folder(after))
    if as_json:
        _print_json(found.as_json())
    else:
        click.echo(found.as_markdown() if markdown else found.as_text())


@cli.command("prune")
@click.option("--keep", type=int, required=True, help="How many of the newest versions stay.")
@click.option("--also", multiple=True, metavar="VERSION", help="A version that stays as well; may be repeated.")
@click.option("--remove", is_flag=True, help="Remove them; without this, only tell.")
@json_option
@outputs_option
def prune_command(outputs: Outputs, keep: int, also: tuple[str, ...], remove: bool, as_json: bool) -> None:
    """Remove old versions, never the latest; without --remove, say which.

    \b
    Example: hcpcs prune --keep 8
    """
    from pipeline.prune import prune

    pruned = prune(outputs, keep=keep, also=also, remove=remove)
    if as_json:
        _print_json({"removed": pruned.removed, "kept": pruned.kept, "is_done": pruned.is_done})
        return
    if not pruned.removed:
        click.echo(f"nothing to remove: {len(pruned.kept)} versions are kept")
        return
    for version, freed in pruned.removed.items():
        click.echo(f"{'removed' if pruned.is_done else 'would remove'} {version}: {freed:,} bytes")
    if not pruned.is_done:
        click.echo(f"`hcpcs prune --keep {keep} --remove` does it; {', '.join(pruned.kept)} stay")


@cli.command("publish")
@click.argument("target")
@click.option("--version", "version", help="Version to publish; by default the latest.")
@json_option
@outputs_option
def publish_command(outputs: Outputs, target: str, version: str | None, as_json: bool) -> None:
    """Publish a version where others read it: s3://, gs://, az:// or a folder.

    \b
    Example: hcpcs publish s3://bucket/hcpcs
    """
    from pipeline.reading import version_folder
    from pipeline.remote import publish_to

    with _progress(quiet=as_json) as tell:
        done = publish_to(version_folder(outputs, version), target, tell=tell)
    if as_json:
        _print_json({s: getattr(done, s) for s in done.__slots__})
        return
    verb = "published" if done.is_new else "nothing new:"
    click.echo(f"{verb} {done.version} at {done.target}: {done.sent} files sent, {done.held} lay there")


@cli.command("export")
@click.option("--duckdb", "database", type=click.Path(path_type=Path), help="Write one DuckDB database.")
@click.option("--csv", "folder", type=click.Path(path_type=Path), help="Write a folder of CSV files.")
@click.option("--version", "version", help="Version to export; by default the latest.")
@click.option("--overwrite", is_flag=True, help="Replace what is there.")
@outputs_option
def export_command(
    outputs: Outputs, database: Path | None, folder: Path | None, version: str | None, overwrite: bool
) -> None:
    """Write a version as one DuckDB database, or as CSV.

    \b
    Example: hcpcs export --duckdb hcpcs.duckdb
    """
    from pipeline.export import export_csv, export_duckdb
    from pipeline.reading import version_folder

    if database is None and folder is None:
        raise click.UsageError("say what to write: --duckdb FILE or --csv FOLDER")
    source = version_folder(outputs, version)
    if database is not None:
        tables = export_duckdb(source, database, overwrite=overwrite)
        click.echo(f"wrote {len(tables)} tables of version {source.name} to {_shown(database.resolve())}")
    if folder is not None:
        tables = export_csv(source, folder, overwrite=overwrite)
        click.echo(f"wrote {len(tables)} files of version {source.name} to {_shown(folder.resolve())}")


@cli.command("ui")
@click.option("--port", type=int, default=3000, show_default=True, help="Port on the loopback address.")
@outputs_option
def ui_command(outputs: Outputs, port: int) -> None:
    """Start Dagster's user interface on the loopback address: assets, runs, checks, lineage.

    \b
    Example: hcpcs ui --port 3000
    """
    import importlib.util
    import os

    if importlib.util.find_spec("dagster_webserver") is None:
        raise SourceError("the user interface is not installed; `pip install 'hcpcs[ui]'` brings it")
    from pipeline.refresh import prepare_home

    home = Path(os.environ.get("DAGSTER_HOME") or outputs.dagster_home)
    prepare_home(home)
    environment = os.environ | {"DAGSTER_HOME": str(home), "HCPCS_OUTPUTS": str(outputs.folder)}
    click.echo(f"http://127.0.0.1:{port} (Ctrl-C ends it)")
    arguments = ["-m", "dagster_webserver", "-h", "127.0.0.1", "-p", str(port), "-m", "pipeline.definitions"]
    os.execve(sys.executable, [sys.executable, *arguments], environment)


class _progress:  # noqa: N801
    """Tell progress on one line of the terminal's stderr; say nothing where no person looks."""

    def __init__(self, *, quiet: bool) -> None:
        self._shown = sys.stderr.isatty() and not quiet

    def __enter__(self) -> Callable[[str], None]:
        return self._tell

    def _tell(self, text: str) -> None:
        if self._shown:
            click.echo(f"\r\x1b[K{text}", nl=False, err=True)

    def __exit__(self, *_: object) -> None:
        if self._shown:
            click.echo("\r\x1b[K", nl=False, err=True)


def _shown(path: Path) -> str:
    """A path as a person would type it from here."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)


def _print_json(value: Any) -> None:
    click.echo(json.dumps(value, indent=1, ensure_ascii=False, default=lambda v: v.isoformat()))


def _print_table(headings: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    from tabulate import tabulate

    cells = [[_cell(value) for value in row] for row in rows]
    widths = [max((len(row[i]) for row in cells), default=0) for i in range(len(headings))]
    room = shutil.get_terminal_size((_WIDTH_WITHOUT_TERMINAL, 24)).columns - 2 * len(headings)
    narrow = [w for w in widths if w <= _NARROW]
    wide = len(widths) - len(narrow)
    share = max(_NARROW, (room - sum(narrow)) // wide) if wide else None
    caps = [share if w > _NARROW else None for w in widths]
    click.echo(
        tabulate(cells, headings, tablefmt="simple", disable_numparse=True, maxcolwidths=caps if cells else None)
    )


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, bool):  # tabulate wraps the word False into True
        return "yes" if value else "no"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(value)
    return text if len(text) <= _WIDEST_VALUE else text[: _WIDEST_VALUE - 1] + "…"


def main() -> None:
    """Run the command line; errors of the data become one message and exit status 1."""
    try:
        cli(standalone_mode=False)
    except click.exceptions.Exit as done:
        sys.exit(done.exit_code)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        error.show()
        sys.exit(2)
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:
        if not _is_refusal(error):
            raise
        click.echo(f"hcpcs: error: {error}", err=True)
        for line in getattr(error, "__notes__", ()):
            click.echo(f"  {line}", err=True)
        sys.exit(1)


def _is_refusal(error: Exception) -> bool:
    """Whether an error tells of data and not of a fault in this program, without importing what was not needed."""
    refusals = {"ContractViolation", "ChecksFailed", "LicenseLeak"}
    return isinstance(error, SourceError | OSError) or type(error).__name__ in refusals


def _what_next(error: Exception, outputs: Outputs) -> list[str]:
    """What stayed as it was, and the commands that help."""
    name = type(error).__name__
    if name not in ("RefreshRefused", "ContractViolation", "ChecksFailed", "LicenseLeak"):
        return []
    from pipeline.publish_state import latest_version

    newest = latest_version(outputs)
    lines = ["nothing was published" + (f", the newest version is still {newest}" if newest else "")]
    if name == "RefreshRefused":
        releases = [r for r, e in error.refusals.items() if type(e).__name__ == "ReleaseRefused"]  # type: ignore[attr-defined]
        lines += [f"`hcpcs findings {r}` shows all its findings" for r in releases]
        lines.append("`--skip-bad` publishes without what cannot be used, and says so in the manifest")
    return lines


if __name__ == "__main__":
    main()
