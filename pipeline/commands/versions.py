"""Commands on versions: list, verify, rebuild, compare, remove, publish, take along."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from hcpcs.cli.console import (
    Progress,
    json_option,
    outputs_option,
    print_json,
    print_table,
    question_options,
    version_of,
    wait_option,
)
from hcpcs.errors import HcpcsError
from hcpcs.paths import Outputs


@click.command("versions")
@json_option
@outputs_option
def versions_command(outputs: Outputs, as_json: bool) -> None:
    """List the published versions, oldest first.

    \b
    Example: hcpcs versions
    """
    from hcpcs.version import latest_version
    from pipeline.versions.store import all_versions, read_manifest

    latest = latest_version(outputs)
    rows = []
    for version in all_versions(outputs):
        manifest = read_manifest(outputs.version(version))
        content = manifest.content
        rows.append(
            {
                "version": version,
                "is_latest": version == latest,
                "published_at": manifest.build.created_at,
                "releases": len({r.release_id for r in content.releases}),
                "rows": sum(f.rows or 0 for f in content.files.values()),
                "bytes": sum(f.bytes for f in content.files.values()),
                "missing": sorted(content.missing),
            }
        )
    if as_json:
        print_json(rows)
        return
    for row in rows:
        row["published_at"] = str(row["published_at"]).replace("T", " ")  # wrapped between day and time
    print_table(list(rows[0]) if rows else ["version"], [list(r.values()) for r in rows])


@click.command("verify")
@click.argument("which", metavar="[VERSION|FOLDER|URL]", required=False)
@click.option("--archive", "archive", is_flag=True, help="Check the zips in the archive instead of a version.")
@click.option(
    "--deep", "is_deep", is_flag=True, help="Also check the rows against contracts and license policy of this hcpcs."
)
@json_option
@outputs_option
@click.pass_context
def verify_command(
    context: click.Context, outputs: Outputs, which: str | None, archive: bool, is_deep: bool, as_json: bool
) -> None:
    """Verify that a version, or a copy of one, is exactly what was published, byte for byte; by default the latest.

    \b
    Example: hcpcs verify
    """
    if archive:
        if which is not None or is_deep:
            raise click.UsageError("--archive checks the archive of --outputs, and takes no version and no --deep")
        _verify_archive(outputs, as_json)
        return
    from hcpcs.version import is_remote, version_folder

    location = which if which is not None and is_remote(which) else version_folder(outputs, which, None)
    if is_deep:
        from pipeline.versions.verify_content import verify_deeply as verify
    else:
        from pipeline.versions.verify import verify

    report = verify(location)
    if as_json:
        print_json(report.as_json())
    elif report.ok:
        click.echo(f"version {report.version} is intact: {report.files} files, {report.rows:,} rows, no differences")
    else:
        print_table(["file", "check", "what"], [[p.file, p.check, p.what] for p in report.problems])
    if not report.ok:
        context.exit(1)


def _verify_archive(outputs: Outputs, as_json: bool) -> None:
    from sources.release.inspect import open_archive

    if not outputs.archive.is_dir():
        raise HcpcsError(f"{outputs.folder} has no archive; a published target and a copy of a version have none")
    archive = open_archive(outputs.archive)
    index = archive.index()
    damaged = archive.damaged(index)
    if as_json:
        print_json({"zips": len(index.zips), "ok": not damaged, "damaged": list(damaged.values())})
    elif not damaged:
        click.echo(f"the archive is intact: {len(index.zips)} zips, no differences")
    for why in [] if as_json else damaged.values():
        click.echo(f"archive damaged: {why}")
    if damaged:
        sys.exit(1)


@click.command("rebuild")
@click.argument("version", required=False)
@click.option("--into", type=click.Path(path_type=Path), help="New folder to keep what was built in.")
@json_option
@outputs_option
@click.pass_context
def rebuild_command(
    context: click.Context, outputs: Outputs, version: str | None, into: Path | None, as_json: bool
) -> None:
    """Rebuild a version from the archive and compare the bytes; by default the latest.

    \b
    Example: hcpcs rebuild
    """
    from pipeline.refresh.rebuild import rebuild

    again = rebuild(outputs, version, into)
    if as_json:
        print_json(again.as_json())
    else:
        outcome = {
            "identical": "identical, byte for byte",
            "same_rows": "the same rows, but different bytes",
            "different": "different",
        }
        click.echo(f"version {again.version}, rebuilt: {outcome[again.outcome]}")
        for difference in again.differences:
            click.echo(f"  {difference}")
        for name, (then, now) in again.libraries.items():
            click.echo(f"  built with {name} {then}, now {now}")
        if again.outcome == "different" and again.commit[0] != again.commit[1]:
            click.echo(f"  built by commit {again.commit[0]}, now {again.commit[1]}: check that one out to compare")
    if not again.ok:
        context.exit(1)


@click.command("diff")
@click.argument("before")
@click.argument("after", required=False)
@click.option("--markdown", is_flag=True, help="Print Markdown, without values, as in CHANGES.md.")
@click.option("--all", "every", is_flag=True, help="Also codes of which only the case or spacing of texts differs.")
@json_option
@outputs_option
def diff_command(outputs: Outputs, before: str, after: str | None, markdown: bool, every: bool, as_json: bool) -> None:
    """List what differs between two versions; by default BEFORE and the latest.

    \b
    Example: hcpcs diff 2025.10.1 2025.10.2
    """
    from pipeline.versions.diff import diff

    found = diff(version_of(outputs, before, None), version_of(outputs, after, None))
    if not every:
        found = found.without_format_changes()
    if as_json:
        print_json(found.as_json())
    else:
        click.echo(found.as_markdown() if markdown else found.as_text())


@click.command("prune")
@click.option("--keep", type=int, required=True, help="How many of the newest versions stay.")
@click.option("--also", multiple=True, metavar="VERSION", help="A version that stays as well; may be repeated.")
@click.option("--remove", is_flag=True, help="Remove the versions; without this, they are only listed.")
@wait_option
@json_option
@outputs_option
def prune_command(outputs: Outputs, keep: int, also: tuple[str, ...], remove: bool, wait: float, as_json: bool) -> None:
    """Remove old versions, never the latest; without --remove, list them only.

    \b
    Example: hcpcs prune --keep 8
    """
    from pipeline.versions.prune import prune

    with Progress(quiet=as_json) as progress:
        pruned = prune(outputs, keep=keep, also=also, remove=remove, wait=wait, progress=progress)
    if as_json:
        print_json({"removed": pruned.removed, "kept": pruned.kept, "is_done": pruned.is_done})
        return
    if not pruned.removed:
        click.echo(f"nothing to remove: {len(pruned.kept)} versions are kept")
        return
    for version, freed in pruned.removed.items():
        click.echo(f"{'removed' if pruned.is_done else 'would remove'} {version}: {freed:,} bytes")
    if not pruned.is_done:
        click.echo(f"`hcpcs prune --keep {keep} --remove` does it; {', '.join(pruned.kept)} stay")


@click.command("publish")
@click.argument("target")
@question_options
def publish_command(outputs: Outputs, target: str, version: str | None, as_json: bool) -> None:
    """Copy a version to where others read it: s3://, gs://, az:// or a folder.

    \b
    Example: hcpcs publish s3://bucket/hcpcs
    """
    if not target.strip():
        raise click.UsageError("TARGET is empty: name a folder or URL, as in s3://bucket/hcpcs")
    from pipeline.versions.upload import publish_to
    from pipeline.versions.watched import watched_feeds

    # The feeds of watched lists are those of the latest version.
    feeds = watched_feeds(outputs) if version is None else {}
    with Progress(quiet=as_json) as progress:
        done = publish_to(version_of(outputs, version), target, beside=feeds, progress=progress)
    if as_json:
        print_json({s: getattr(done, s) for s in done.__slots__})
        return
    verb = "published" if done.is_new else "nothing new:"
    click.echo(f"{verb} {done.version} at {done.target}: {done.sent} files sent, {done.already_there} already there")
