"""The last asset: a published version of all tables together."""

import dagster as dg
import polars as pl

from pipeline.automation import freshness_policy
from pipeline.intake import Intake
from schemas.registry import contracts


@dg.asset(
    group_name="version",
    description="An immutable version of all published tables, masked by the license policy, with its manifest.",
    ins={table: dg.AssetIn(table, metadata={"lazy": True}) for table in contracts()},
    kinds={"parquet"},
    freshness_policy=freshness_policy(),
)
def published_version(intake: dg.ResourceParam[Intake], **frames: pl.LazyFrame) -> dg.MaterializeResult:
    done = intake.publish(frames)
    return dg.MaterializeResult(
        metadata={
            "version": done.version,
            "is_new": done.is_new,
            "folder": dg.MetadataValue.path(str(done.folder)),
            "rows": dg.MetadataValue.json(done.rows),
        }
    )
