"""Commands that answer questions about a published version: findings, codes, their history, changes, licenses."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import click

from hcpcs.cli.console import (
    print_csv,
    print_json,
    print_rows,
    print_table,
    question_options,
    utf_8,
    version_of,
)
from hcpcs.errors import HcpcsError
from hcpcs.own_packages import of_the_pipeline
from hcpcs.paths import Outputs


@click.command("findings")
@click.argument("release", required=False)
@click.option("--severity", type=click.Choice(["info", "warning", "error"]), help="Only findings of this severity.")
@question_options
def findings_command(
    outputs: Outputs, release: str | None, severity: str | None, version: str | None, as_json: bool
) -> None:
    """List what was wrong in CMS's files and what was done about it; also for a refused release.

    \b
    Example: hcpcs findings 2012-01
    """
    from hcpcs.lookup import require_loaded
    from hcpcs.version import refused_findings
    from hcpcs.version_files import NothingPublished, read_rows

    refused = refused_findings(outputs)
    rows = [
        {"release_id": r, "revision": None, **f}
        for r, found in refused.items()
        for f in found
        if release in (None, r) and severity in (None, f["severity"])
    ]
    try:
        folder = version_of(outputs, version)
        if release is not None and release not in refused:
            release = require_loaded(folder, release)
        where = [("release_id", "=", release)] if release else []
        where += [("severity", "=", severity)] if severity else []
        rows += read_rows(folder, "hcpcs_findings", where)
    except NothingPublished:
        if not rows:
            raise
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo("no findings" + (f" of {release}" if release else ""))
        return
    print_table(
        ["release", "severity", "finding", "where", "what", "times"],
        [
            [
                r["release_id"],
                r["severity"],
                r["finding"],
                " ".join(str(x) for x in (r["member"], r["line"], r["code"], r["field"]) if x is not None),
                f"{r['message']} [{r['raw_value']}]" if r["raw_value"] else r["message"],
                r["occurrences"],
            ]
            for r in rows
        ],
    )


@click.command("lookup")
@click.argument("code")
@click.option("--on", "day", type=click.DateTime(["%Y-%m-%d"]), metavar="YYYY-MM-DD", help="What it meant on that day.")
@click.option("--source", is_flag=True, help="Print the lines of CMS's files behind it, read from the archive.")
@click.option(
    "--field", metavar="COLUMN", help="With --source: mark this field, such as termination_date, in each record."
)
@question_options
def lookup_command(
    outputs: Outputs,
    code: str,
    day: datetime | None,
    source: bool,
    field: str | None,
    version: str | None,
    as_json: bool,
) -> None:
    """Display what a code or modifier means, now or on a day; for a code that CMS does not publish, its owner.

    \b
    Example: hcpcs lookup J0570 --on 2018-06-30
    """
    from hcpcs.annotate.typed_code import read_code
    from hcpcs.lookup import NotInReleases, code_identity, code_on_day, code_states, normalized_code

    folder = version_of(outputs, version)
    on = day.date() if day else None
    if field is not None and not source:
        raise click.UsageError("--field marks a field of the lines that --source prints")
    normalized_code(code)
    read = read_code(code)
    if read.modifiers:
        click.echo(f"{code} is read as {read.code}, without {', '.join(read.modifiers)}", err=True)
    try:
        if source:
            _print_source(outputs, folder, code, day, field, as_json)
        elif on is None:
            _print_states(code_states(folder, code), as_json)
        else:
            _print_day(code_on_day(folder, code, on), as_json)
    except NotInReleases:
        identity = code_identity(folder, code, on)
        if source or identity["steward"] in ("CMS", None):
            raise
        if as_json:
            print_json([identity] if on is None else {"day": on, "span": None} | identity)
        else:
            click.echo(identity["statement"])


def _print_states(states: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        print_json(states)
        return
    for row in states:
        print_table(["field", "value"], [[k, v] for k, v in row.items() if v not in (None, [])])


def _print_day(answer: dict[str, Any], as_json: bool) -> None:
    """Print what a code meant on a day, or what it meant before and after, its successors, and what is not known."""
    if as_json:
        print_json(answer)
        return
    if answer["span"] is not None:
        click.echo(f"{answer['code']} on {answer['day']}: {_meaning(answer['span'])}")
        click.echo(f"  {_days(answer['span'])}")
    else:
        known = " by the loaded releases" if answer["caution"] else ""
        click.echo(f"{answer['code']} was not in effect on {answer['day']}{known}")
        for when in ("before", "after"):
            if (span := answer[when]) is not None:
                click.echo(f"  {when}: {_meaning(span)}")
                click.echo(f"    {_days(span)}")
    for target in answer["successors"]:
        click.echo(f"  {_successor(target)}")
    if answer["caution"]:
        click.echo(f"  note: {answer['caution']}")


def _print_source(
    outputs: Outputs, folder: Path, code: str, day: datetime | None, field: str | None, as_json: bool
) -> None:
    """Print the raw lines of a code: of all releases, or of those that state what it meant on a day."""
    from hcpcs.lookup import code_on_day, normalized_code

    with of_the_pipeline("--source"):
        from pipeline.lineage.provenance import raw_lines

    places = raw_lines(outputs, normalized_code(code), str(folder), field=field)
    if day is not None:
        span = code_on_day(folder, code, day.date())["span"]
        if span is None:
            raise HcpcsError(
                f"{normalized_code(code)} was not in effect on {day.date()}; without --on all its lines are listed"
            )
        places = [p for p in places if span["first_release"] <= p.release_id <= span["last_release"]]
    if as_json:
        print_json([place.as_json() for place in places])
        return
    if field is not None:
        from pipeline.lineage.provenance import record_field

        click.echo(f"{field}: positions {record_field(field).positions} of a text's record, between [ and ]")
    for place in places:
        sheet = f", sheet {place.sheet}" if place.sheet else ""
        click.echo(f"{place.release_id}: {place.member} in {place.zip_name}{sheet} (sha256 {place.member_sha256})")
        for number, text in place.lines:
            click.echo(f"{number:>7}  {text}")


@click.command("search")
@click.argument("words", nargs=-1, required=True)
@question_options
def search_command(outputs: Outputs, words: tuple[str, ...], version: str | None, as_json: bool) -> None:
    """Find codes by words in any of their descriptions, past or present; tolerates typos. Codes in effect come first.

    \b
    Example: hcpcs search oil spill
    """
    from hcpcs.annotate.typed_code import read_code
    from hcpcs.lookup import code_identity, search

    wanted = utf_8(" ".join(words)).strip()
    if not wanted:
        raise click.UsageError("name words of a description")
    folder = version_of(outputs, version)
    rows = search(folder, wanted)
    typed = read_code(wanted).code
    if typed and not any(r["code"] == typed for r in rows):
        click.echo(code_identity(folder, typed)["statement"], err=True)
    elif rows and typed is None and rows[0]["searched"] != rows[0]["given"]:
        click.echo(f"no description has {wanted!r}; searched for {rows[0]['searched']!r}", err=True)
    if as_json:
        print_json(rows)
        return
    if not rows:
        click.echo(f"no description has {' and '.join(wanted.split())}")
        return
    print_table(
        ["code", "episode", "from", "to", "description"],
        [[r["code"], r["episode"], r["episode_from"], r["episode_to"], _meaning(r)] for r in rows],
    )


@click.command("systems")
@question_options
def systems_command(outputs: Outputs, version: str | None, as_json: bool) -> None:
    """List the code systems: HCPCS, CPT, CDT and their parts, with format, owner and days.

    \b
    Example: hcpcs systems
    """
    from hcpcs.lookup import code_systems

    names = ["code_system_id", "name", "steward", "code_shape", "valid_from", "valid_to"]
    rows = code_systems(version_of(outputs, version))
    print_rows(rows, as_json, ["id", "name", "owner", "format", "from", "to"], names)


@click.command("sections")
@click.argument("system", required=False)
@question_options
def sections_command(outputs: Outputs, system: str | None, version: str | None, as_json: bool) -> None:
    """List the sections of the code systems, or of the one named by its id, with their codes and days.

    \b
    Example: hcpcs sections hcpcs-level-2
    """
    from hcpcs.lookup import code_sections, code_systems

    folder = version_of(outputs, version)
    known = [r["code_system_id"] for r in code_systems(folder)]
    if system is not None and system not in known:
        raise HcpcsError(f"there is no code system {system!r}; `hcpcs systems` lists them: {', '.join(known)}")
    rows = [r for r in code_sections(folder) if system in (None, r["code_system_id"])]
    names = ["section_id", "name", "first_code", "last_code", "valid_from", "valid_to"]
    print_rows(rows, as_json, ["id", "name", "first", "last", "from", "to"], names)


@click.command("history")
@click.argument("code")
@question_options
def history_command(outputs: Outputs, code: str, version: str | None, as_json: bool) -> None:
    """Display the history of a code or modifier: what it meant when, what changed, what replaced it.

    \b
    Example: hcpcs history J0570
    """
    from hcpcs.lookup import history_of, loaded_and_due

    folder = version_of(outputs, version)
    history = history_of(folder, code)
    if as_json:
        print_json(history)
        return
    many = len(history["episodes"]) > 1
    click.echo(f"{history['code']}, a {history['kind']}" + (f", {len(history['episodes'])} episodes" if many else ""))
    for episode in history["episodes"]:
        _print_episode(episode, numbered=many)
    loaded, due = loaded_and_due(folder)
    if len(due) > len(loaded):
        click.echo(
            f"\n{len(due) - len(loaded)} of CMS's {len(due)} releases from {due[0]} to {due[-1]} are not loaded, so"
            " wordings may have changed in between"
        )


def _print_episode(episode: dict[str, Any], *, numbered: bool) -> None:
    from hcpcs.lookup import quoted

    title = f"episode {episode['episode']}, {episode['status']}" if numbered else episode["status"]
    click.echo(f"\n{title}; in releases {episode['first_release']} to {episode['last_release']}")
    for span in episode["spans"]:
        click.echo(f"  {_days(span)}")
        click.echo(f"    {_meaning(span)}")
    for change in episode["changes"]:
        if change["change"] == "text_format_only":
            continue
        what = change["change"].replace("_", " ")
        values = "" if change["field"] == "record" else f": {quoted(change['old'])} → {quoted(change['new'])}"
        field = "" if change["field"] == "record" else f" {change['field']}"
        otherwise = f" (CMS's action code is {change['cms_action_code']})" if change["agrees_with_cms"] is False else ""
        click.echo(f"  {change['release_id']} {what}{field}{values}{otherwise}")
    for target in episode["crosswalk"]:
        click.echo(f"  {_successor(target)}")


def _successor(target: dict[str, Any]) -> str:
    named = target["target"] or f"a {target['target_system']} code, which is withheld"
    ends = ", ".join(target["chain_ends"])
    onward = f", which ends in {ends}" if ends and ends != target["target"] else ""
    return f"{target['relation'].replace('_', ' ')} {named} ({target['target_status'].replace('_', ' ')}){onward}"


@click.command("changes")
@click.argument("release")
@click.option("--disagreeing", is_flag=True, help="Only where CMS's action code disagrees.")
@click.option(
    "--codes",
    "list_file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True, allow_dash=True),
    metavar="LIST",
    help="Only codes of this list, a file as for `hcpcs check`.",
)
@click.option("--change", multiple=True, metavar="CLASS", help="Only this class, such as added; may be repeated.")
@click.option("--csv", "as_csv", is_flag=True, help="Print CSV.")
@question_options
def changes_command(
    outputs: Outputs,
    release: str,
    disagreeing: bool,
    list_file: Path | None,
    change: tuple[str, ...],
    as_csv: bool,
    version: str | None,
    as_json: bool,
) -> None:
    """List what a release, or the latest, changed against the loaded release before it.

    \b
    Example: hcpcs changes latest --change added --change discontinued
    """
    from hcpcs.code_lists import read_list
    from hcpcs.lookup import changes_of

    if as_json and as_csv:
        raise click.UsageError("choose one of --json and --csv")
    listed = None if list_file is None else {one.code for one in read_list(list_file) if one.code}
    rows = changes_of(version_of(outputs, version), release, disagreeing=disagreeing, codes=listed, change=change)
    if as_json:
        print_json(rows)
    elif as_csv:
        print_csv(rows)
    elif not rows:
        what = " of these codes or classes" if list_file or change else ""
        click.echo(
            f"no changes of {release}{what}" + (" with which CMS's action codes disagree" if disagreeing else "")
        )
    else:
        _print_changes(rows)


def _print_changes(rows: list[dict[str, Any]]) -> None:
    from hcpcs.lookup import quoted

    for release_id, revision in dict.fromkeys((r["previous_release_id"], r["previous_revision"]) for r in rows):
        some = [r for r in rows if (r["previous_release_id"], r["previous_revision"]) == (release_id, revision)]
        against = f"revision {revision}" if release_id == some[0]["release_id"] else release_id
        click.echo(f"{some[0]['release_id']} against {against}:")
        print_table(
            ["code", "change", "old", "new", "CMS"],
            [
                [
                    r["code"],
                    r["change"].replace("_", " ") + ("" if r["field"] == "record" else f" {r['field']}"),
                    "" if r["old"] is None else quoted(r["old"]),
                    _new_value(r),
                    (r["cms_action_code"] or "") + (" disagrees" if r["agrees_with_cms"] is False else ""),
                ]
                for r in some
            ],
        )


def _new_value(change: dict[str, Any]) -> str:
    """The new value of a change; of an added code its description, of an ended one also what replaced it."""
    from hcpcs.lookup import quoted

    new = "" if change["new"] is None else quoted(change["new"])
    if change["change"] == "added":
        return change["description"] or new
    replaced = ", ".join(change["replaced_by"] or ())
    return f"{new} replaced by {replaced}".strip() if replaced else new


def _meaning(span: dict[str, Any]) -> str:
    text = span["long_description"] or span["short_description"]
    return str(text) if text else f"(description withheld: {span['license_id']})"


def _days(span: dict[str, Any]) -> str:
    bases = {"added": "CMS added date", "action": "CMS action date", "release": "first seen in this release"}
    ends = {
        "termination": "CMS termination date",
        "next_span": "then changed",
        "absence": "absent after that, no end stated",
    }
    until = f"to {span['valid_to']} ({ends[span['valid_to_basis']]})" if span["valid_to"] else ", still in effect"
    return f"{span['valid_from']} ({bases[span['valid_from_basis']]}) {until}".replace(" ,", ",")


@click.command("classify")
@click.argument("codes", nargs=-1, required=True)
@click.option(
    "--on",
    "day",
    type=click.DateTime(["%Y-%m-%d"]),
    metavar="YYYY-MM-DD",
    help="Sections, and whether the code system was in effect, as of that day.",
)
@question_options
def classify_command(
    outputs: Outputs, codes: tuple[str, ...], day: datetime | None, version: str | None, as_json: bool
) -> None:
    """Classify codes by their format: code system, section, license, and what else each may be.

    \b
    Example: hcpcs classify 99213 0001U U0001 J1100 D0120 W1234 0042T 4004F 99
    """
    from hcpcs.version import Version

    rows = Version(version_of(outputs, version)).classify([utf_8(code) for code in codes], on=day)
    if as_json:
        print_json(rows)
        return
    shown = ("code", "code_system", "level", "category", "section", "family", "steward", "license_id", "system_status")
    print_table(
        [*shown, "system_days", "may_also_be"],
        [[*(row[c] for c in shown), _system_days(row), ", ".join(row["may_also_be"]) or None] for row in rows],
    )
    for row in rows:
        if row["cut_off"]:
            click.echo(f"{row['given']}: read as {row['code']}, with modifiers {row['cut_off']} behind it")
        elif row["code"] != row["given"]:
            click.echo(f"{row['given']}: read as {row['code']}")


def _system_days(row: dict[str, Any]) -> str | None:
    if row["system_status"] is None:
        return None
    return f"{row['system_valid_from'] or '…'} to {row['system_valid_to'] or '…'}"


@click.command("licenses")
@question_options
def licenses_command(outputs: Outputs, version: str | None, as_json: bool) -> None:
    """Count rows and masked fields of a version by table and license.

    \b
    Example: hcpcs licenses
    """
    from hcpcs.license_counts import licenses_of_version

    rows = licenses_of_version(version_of(outputs, version))
    if as_json:
        print_json(rows)
        return
    shown = ["table", "license_id", "rows", "withheld_rows", "masked_fields", "masked"]
    print_table(shown, [[_counts(r[name]) for name in shown] for r in rows])


def _counts(value: Any) -> Any:
    return ", ".join(f"{k} {v}" for k, v in value.items()) if isinstance(value, dict) else value
