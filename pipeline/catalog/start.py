"""The catalog's page Start: what this is, which releases are loaded, what changed last, and how to query it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import polars as pl

from pipeline.catalog.releases import days_due
from pipeline.catalog.site import Site
from pipeline.catalog.version_reader import PublishedVersion, PublishedVersions
from pipeline.versions.diff import CHANGES
from sources.release.calendar import next_release
from sources.release.names import effective_day

_WIDTH, _MARGIN, _LINE = 960, 16, 34
_DAYS_OF_A_YEAR = 365.25
#: Years are written so far apart at least, in units of the drawing.
_BETWEEN_YEARS = 44
#: Changes that say nothing of a code: what CMS claims of itself, and moves of white space.
_FORM_ONLY = ("claimed_not_seen", "text_format_only", "action_date")


@dataclass(frozen=True, slots=True)
class Mark:
    """A release on the timeline: loaded, refused, or by CMS's calendar one that is not loaded."""

    release_id: str
    state: str
    x: float


def write(site: Site, published: PublishedVersions) -> None:
    """Write the page Start."""
    version = published.latest
    marks = timeline(version)
    site.page(
        "index.html",
        "start.html",
        "Start",
        scripts=("static/freshness.js",),
        due=" ".join(map(str, days_due(version.content.newest_release))),
        latest=version,
        codes=_codes(version),
        marks=marks,
        gaps=gaps(marks),
        years=_years(marks),
        width=_WIDTH,
        line=_LINE,
        changes=last_changes(version),
        versions=_versions(published),
        licenses=_licenses(version),
        tables=version.tables.values(),
        duckdb=duckdb_snippet(),
        polars=polars_snippet(),
        changes_file=f"../versions/{version.version}/{CHANGES}",
    )


def duckdb_snippet() -> str:
    """A query of DuckDB, to be run in the folder of outputs: what a code meant on a day."""
    return (
        "select code, valid_from, valid_to, short_description\n"
        "from 'latest/open/hcpcs_history.parquet'\n"
        "where code = 'J0570'\n"
        "  and date '2018-06-30' between valid_from and coalesce(valid_to, date '9999-12-31');"
    )


def polars_snippet() -> str:
    """A query with Polars, to be run in the folder of outputs: the codes that are valid now, by section."""
    return (
        "import polars as pl\n\n"
        'codes = pl.read_parquet("latest/open/hcpcs_codes.parquet")\n'
        'active = codes.filter(pl.col("status") == "active")\n'
        'print(active.group_by("section_id").len().sort("len", descending=True))'
    )


def timeline(version: PublishedVersion) -> list[Mark]:
    """Every release from the first to the newest: those loaded or refused, and by CMS's calendar those not loaded."""
    loaded, refused = set(version.releases), set(version.content.missing)
    releases = sorted(loaded | refused)
    expected = {releases[0]}
    while (following := next_release(max(expected))) < releases[-1]:
        expected.add(following)
    first, last = effective_day(releases[0]), effective_day(releases[-1])
    span = max((last - first).days, 1)
    return [
        Mark(
            release,
            "loaded" if release in loaded else "refused" if release in refused else "absent",
            _MARGIN + (effective_day(release) - first).days / span * (_WIDTH - 2 * _MARGIN),
        )
        for release in sorted(expected | set(releases))
    ]


def gaps(marks: Sequence[Mark]) -> list[tuple[str, str, int]]:
    """Runs of releases that are not loaded: first, last, and how many."""
    runs = (list(run) for state, run in groupby(marks, key=lambda m: m.state) if state == "absent")
    return [(run[0].release_id, run[-1].release_id, len(run)) for run in runs]


def last_changes(version: PublishedVersion) -> dict[str, Any]:
    """What the newest release changed against the one before: counts by kind of change, and the two releases."""
    newest = version.content.newest_release
    changes = version.frame("hcpcs_changes").filter(
        pl.col("release_id") == newest, pl.col("previous_release_id") != newest
    )
    codes = pl.struct("kind", "code")
    counted = (
        changes.group_by("change")
        .agg(
            procedures=codes.filter(pl.col("kind") == "procedure").n_unique(),
            modifiers=codes.filter(pl.col("kind") == "modifier").n_unique(),
            fields=pl.len(),
        )
        .with_columns(is_form=pl.col("change").is_in(_FORM_ONLY))
        .sort("is_form", "fields", "change", descending=[False, True, False])
    )
    return {
        "newest": newest,
        "previous": changes["previous_release_id"].max() if changes.height else None,
        "rows": counted.to_dicts(),
    }


def _codes(version: PublishedVersion) -> dict[str, int]:
    codes = version.frame("hcpcs_codes")
    return {
        "active": codes.filter(pl.col("status") == "active")["code"].n_unique(),
        "ever": codes["code"].n_unique(),
        "reused": codes.filter(pl.col("episode") > 1)["code"].n_unique(),
        "modifiers": version.frame("hcpcs_modifiers")["code"].n_unique(),
    }


def _years(marks: Sequence[Mark]) -> list[tuple[int, float]]:
    """Years to be written under the line, each where its first day lies."""
    first, last = marks[0], marks[-1]
    start, days = effective_day(first.release_id), (last.x - first.x)
    span = max((effective_day(last.release_id) - start).days, 1)
    step = max(1, round(_BETWEEN_YEARS / (days / span * _DAYS_OF_A_YEAR) + 0.5)) if last is not first else 1
    years = range(start.year + (start.month > 1), effective_day(last.release_id).year + 1, step)
    return [(y, first.x + (effective_day(f"{y}-01") - start).days / span * days) for y in years] or [
        (start.year, first.x)
    ]


def _versions(published: PublishedVersions) -> list[dict[str, Any]]:
    """The published versions, newest first, with what each has that the one before it here has not."""
    rows: list[dict[str, Any]] = []
    before: PublishedVersion | None = None
    for version in published.versions:
        rows.append(
            {
                "version": version.version,
                "created": version.build.created_at,
                "releases": len(version.releases),
                "new": sorted(set(version.releases) - set(before.releases)) if before else [],
                "gone": sorted(set(before.releases) - set(version.releases)) if before else [],
                "rows": sum(version.rows(t) or 0 for t in version.files),
                "is_shown": version is published.latest,
                "has_predecessor": before is not None,
            }
        )
        before = version
    return rows[::-1]


def _licenses(version: PublishedVersion) -> list[dict[str, Any]]:
    """Each license of the version's rows or columns: rows under it, tables, fields masked."""
    names = dict(version.frame("licenses").select("license_id", "name").iter_rows())
    found: dict[str, dict[str, Any]] = {}
    for row in version.licenses:
        entry = found.setdefault(
            row["license_id"],
            {
                "id": row["license_id"],
                "name": names.get(row["license_id"], ""),
                "tables": 0,
                "withheld": 0,
                "masked": 0,
            },
        )
        entry["tables"] += 1
        entry["withheld"] += row["withheld_rows"]
        entry["masked"] += row["masked_fields"]
    return sorted(found.values(), key=lambda e: (-e["tables"], e["id"]))
