"""The last asset: a published version of all tables together."""

import dagster as dg
import polars as pl

from pipeline.lineage import columns as lineage
from pipeline.orchestration.fingerprints import module_fingerprint
from pipeline.orchestration.run_context import Intake
from pipeline.orchestration.sensors import freshness_policy
from schemas.registry import contracts


@dg.asset(
    group_name="version",
    description=lineage.table("published_version").description,
    owners=["team:hcpcs"],
    tags={"tier": "open"},
    code_version=module_fingerprint(
        "pipeline.versions.publish", "pipeline.versions.license_gate", "pipeline.transforms.license_flags"
    )[:16],
    ins={table: dg.AssetIn(table, metadata={"lazy": True}) for table in contracts()},
    kinds={"parquet"},
    freshness_policy=freshness_policy(),
)
def published_version(intake: dg.ResourceParam[Intake], **frames: pl.LazyFrame) -> dg.MaterializeResult:
    done = intake.publish(frames)
    releases = sorted(intake.releases())
    return dg.MaterializeResult(
        metadata={
            "version": done.version,
            "is_new": done.is_new,
            "newest release": releases[-1],
            "releases": len(releases),
            "folder": dg.MetadataValue.path(str(done.folder)),
            "manifest": dg.MetadataValue.path(str(done.folder / "manifest.json")),
            "in the catalog": dg.MetadataValue.path(str(intake.outputs.folder / "catalog" / "index.html")),
            "rows": dg.MetadataValue.json(done.rows),
            "dagster/row_count": sum(done.rows.values()),
        },
        data_version=dg.DataVersion(done.version),
    )
