"""The catalog's page Replacements: every code and modifier that ended, and what CMS says replaced it."""

from __future__ import annotations

import polars as pl

from pipeline.catalog.codes import latest_states
from pipeline.catalog.site import Site
from pipeline.catalog.table_rows import by_column
from pipeline.catalog.version_reader import PublishedVersion, PublishedVersions

_ROW = (
    "kind",
    "code",
    "episode",
    "short_description",
    "status",
    "ended",
    "target",
    "target_system",
    "target_status",
    "chain_ends",
    "chain_outcome",
    "is_withdrawn",
    "first_release",
)
_SHOWN = (
    *(f"hcpcs_{table}.{column}" for table in ("codes", "modifiers") for column in ("code", "short_description")),
    "hcpcs_crosswalk.target",
    "hcpcs_crosswalk.chain_ends",
)


def write(site: Site, published: PublishedVersions) -> None:
    """Write ``replacements.html`` and its rows as data."""
    rows = replacement_rows(published.latest)
    site.page(
        "replacements.html",
        "replacements.html",
        "Replacements",
        scripts=("static/rows.js", "data/replacements.js", "static/replacements.js") if rows.height else (),
        total=rows.height,
        named=rows["target_system"].count(),
    )
    if rows.height:
        site.data("data/replacements.js", "replacements", by_column(rows), shows=_SHOWN)


def replacement_rows(version: PublishedVersion) -> pl.DataFrame:
    """``_ROW``, the last to end first: each episode that ended, once for every target that replaced it."""
    last = (
        version.frame("hcpcs_history")
        .group_by("kind", "code", "episode")
        .agg(pl.col("valid_to").sort_by("span_number").last().alias("ended"))
        .drop_nulls("ended")
    )
    targets = version.frame("hcpcs_crosswalk").filter(relation="replaced_by").rename({"first_release": "named_by"})
    return (
        latest_states(version)
        .join(last, on=["kind", "code", "episode"])
        .join(
            targets.select("kind", "code", "episode", "target_number", "named_by", *_ROW[6:12]),
            on=["kind", "code", "episode"],
            how="left",
        )
        .with_columns(first_release="named_by")
        .sort(["ended", "code", "episode", "target_number"], descending=[True, False, False, False])
        .select(_ROW)
    )
