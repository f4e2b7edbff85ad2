"""Assets that hold one release each: what CMS's bytes say, before releases are seen together."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from pipeline.orchestration import asset_metadata as shown
from pipeline.orchestration.io_manager import Made, made
from pipeline.orchestration.release_tables import STAGED, staged_tables
from pipeline.orchestration.run_context import RunContext
from sources.archive.archive import ArchivedZip
from sources.release.release import ReleaseRead

releases = dg.DynamicPartitionsDefinition(name="releases")


@dg.multi_asset(
    name="staged",
    outs=shown.outs(STAGED, "sources.release.release", "pipeline.orchestration.release_tables"),
    partitions_def=releases,
    backfill_policy=dg.BackfillPolicy.single_run(),
    can_subset=True,
    **shown.derived_from_sources(STAGED),
)
def staged(context: dg.AssetExecutionContext, run_context: dg.ResourceParam[RunContext]) -> Iterator[dg.Output[Made]]:
    """Read the releases requested; one that breaks the layout is refused, all that do are named at once."""
    frames: dict[str, dict[str, pl.DataFrame]] = {
        n: {} for n in STAGED if dg.AssetKey(n) in context.selected_asset_keys
    }
    zips = run_context.releases()
    try:
        requested = sorted(context.partition_keys)
    except dg.DagsterInvariantViolationError:
        raise dg.Failure("no release is requested: launch it for partitions, or run `hcpcs refresh`") from None
    if missing := [release_id for release_id in requested if release_id not in zips]:
        raise dg.Failure(f"{', '.join(missing)}: not loaded yet; run `hcpcs refresh` or the job refresh_from_site")
    for release_id, read in run_context.read_each(requested):
        for name, frame in staged_tables(read).items():
            if name in frames:
                frames[name][release_id] = frame
        # Of one table alone: each note makes Dagster look the range of partitions up again.
        if "staged_records" in frames:
            context.add_asset_metadata(_about(read, zips[release_id]), "staged_records", release_id)
    for name in list(frames):
        yield made(frames.pop(name), name)


def _about(read: ReleaseRead, zips: list[ArchivedZip]) -> dict[str, Any]:
    """What the UI shows of a release: numbers, which it plots, codes by section, and its origin."""
    current = read.records.filter(pl.col("revision") == pl.col("revision").max())
    codes = current.filter(kind="procedure")
    sections = codes.group_by(pl.col("code").str.slice(0, 1)).len().sort("code")
    origins = {str(origin["from"]) for loaded in zips for origin in loaded.origins}
    urls = sorted(o for o in origins if o.startswith(("https://", "http://")))
    return {
        "dagster/row_count": read.records.height,
        "procedure codes": codes.height,
        "modifiers": current.height - codes.height,
        "findings": read.findings.height,
        "codes by section": shown.bars(dict(sections.iter_rows()), "section"),
        **{f"posted at {n}": dg.MetadataValue.url(url) for n, url in enumerate(urls, 1)},
    }
