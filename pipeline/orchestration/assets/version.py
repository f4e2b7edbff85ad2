"""The last asset: a published version of all tables together, and whether its newest release is CMS's newest."""

import dagster as dg

from pipeline.lineage import columns as lineage
from pipeline.orchestration.fingerprints import module_fingerprint
from pipeline.orchestration.run_context import RunContext
from pipeline.orchestration.sensors import FRESHNESS_CHECK, StatesFreshness
from pipeline.versions.parquet import scan_table
from schemas.registry import contracts


@dg.asset(
    group_name="version",
    description=lineage.table("published_version").description,
    owners=["team:hcpcs"],
    tags={"tier": "open"},
    code_version=module_fingerprint(
        "pipeline.versions.publish", "pipeline.license_gate.check", "pipeline.transforms.license_flags"
    )[:16],
    deps=list(contracts()),  # as inputs, each would be two more events
    kinds={"parquet"},
)
def published_version(run_context: dg.ResourceParam[RunContext]) -> dg.MaterializeResult:
    work = run_context.outputs.work
    done = run_context.publish({table: scan_table(work / f"{table}.parquet") for table in contracts()})
    releases = sorted(run_context.releases())
    return dg.MaterializeResult(
        metadata={
            "version": done.version,
            "is_new": done.is_new,
            "newest release": releases[-1],
            "releases": len(releases),
            "folder": dg.MetadataValue.path(str(done.folder)),
            "manifest": dg.MetadataValue.path(str(done.folder / "manifest.json")),
            "in the catalog": dg.MetadataValue.path(str(run_context.outputs.folder / "catalog" / "index.html")),
            "rows": dg.MetadataValue.json(done.rows),
            "dagster/row_count": sum(done.rows.values()),
        },
        data_version=dg.DataVersion(done.version),
    )


@dg.asset_check(
    asset="published_version",
    name=FRESHNESS_CHECK,
    description="The newest release that is in effect by CMS's calendar is published, as `hcpcs status` states it.",
)
def newest_release_is_current(published_freshness: dg.ResourceParam[StatesFreshness]) -> dg.AssetCheckResult:
    found = published_freshness()
    counts = {"measured": 1, "violations": int(found.is_overdue)}  # one release, the newest
    return dg.AssetCheckResult(passed=not found.is_overdue, description=found.words, metadata=counts | found.summary())
