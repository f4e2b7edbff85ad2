"""Assets that hold one release each: what CMS's bytes say, before releases are seen together."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from pipeline.intake import Intake
from sources.release import read_release
from sources.side_files import SIDE_SCHEMAS

releases = dg.DynamicPartitionsDefinition(name="releases")

_OUTPUTS = {
    "staged_records": "Records of one release, every revision, typed; unpublished.",
    "staged_findings": "What was odd in the members of one release; unpublished.",
    "staged_releases": "The revisions of one release and their members; unpublished.",
    "staged_transactions": "Lines of one release's transaction report; unpublished.",
    "staged_corrections": "Lines of one release's corrections; unpublished.",
    "staged_unlisted_codes": "One release's list of unlisted (NOC) codes; unpublished.",
    "staged_notes": "One release's processing notes; unpublished.",
}
_SIDE = {
    "transaction_report": "staged_transactions",
    "corrections": "staged_corrections",
    "noc_codes": "staged_unlisted_codes",
    "processing_notes": "staged_notes",
}
assert _SIDE.keys() == SIDE_SCHEMAS.keys()


@dg.multi_asset(
    name="staged",
    outs={
        name: dg.AssetOut(
            description=text,
            io_manager_key="tables",
            group_name="staged",
            kinds={"polars", "parquet"},
            metadata={"count_rows": name == "staged_records"},
        )
        for name, text in _OUTPUTS.items()
    },
    partitions_def=releases,
    backfill_policy=dg.BackfillPolicy.single_run(),
)
def staged(context: dg.AssetExecutionContext, intake: dg.ResourceParam[Intake]) -> Iterator[dg.Output[Any]]:
    """Read the releases asked for; one that breaks the layout is refused, all that do are named at once."""
    frames: dict[str, dict[str, pl.DataFrame]] = {name: {} for name in _OUTPUTS}
    for release_id, read in intake.read_each(sorted(context.partition_keys), read_release):
        frames["staged_records"][release_id] = read.records
        frames["staged_findings"][release_id] = read.findings
        frames["staged_releases"][release_id] = read.revisions
        for role, name in _SIDE.items():
            frames[name][release_id] = read.side[role]
    for name, by_release in frames.items():
        yield dg.Output(by_release, output_name=name)
