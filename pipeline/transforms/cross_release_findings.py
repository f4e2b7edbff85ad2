"""What only shows when releases are seen together: findings and checks. Pure functions; nothing here stops anything."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from pipeline.transforms.changes import transactions_unlike_records
from pipeline.transforms.crosswalk import crosswalk_findings
from pipeline.transforms.episodes import episode_decisions, unmatched_overrides
from pipeline.transforms.history import departures, vanished_codes
from sources.code_file.records import merge_findings
from sources.findings import FINDING_SCHEMA, Finding, findings_frame

#: A section of more codes than this may not lose more than this share, the file not more than that share.
_SECTION_OF_NOTE = 100
_MOST_OF_A_SECTION = 0.25
_MOST_OF_THE_FILE = 0.10

_VANISHED = {
    "no_end_stated": "is gone, and no release stated an end",
    "ended_not_due": "is gone earlier after its end than CMS drops codes",
    "unseen_end": "is gone; its end may lie in a release not held",
    "restored": "is missing here and comes back later as it was",
}


def findings_across_releases(
    records: pl.DataFrame, crosswalk: pl.DataFrame, transactions: pl.DataFrame, overrides: pl.DataFrame
) -> pl.DataFrame:
    """Findings that need several releases or tables, each with the release that shows it (``FINDING_SCHEMA``).

    ``records`` are the standing records with ``episode``; ``crosswalk`` is unmasked.
    """
    revisions = dict(records.select("release_id", "revision").unique().iter_rows())
    newest = max(revisions, default="")
    by_release: dict[str, list[Finding]] = {release_id: [] for release_id in sorted(revisions)}
    for release_id, finding in (
        *_of_vanished(records),
        *_of_decisions(records, overrides),
        *_of_reports(records, transactions),
        *((newest, f) for f in crosswalk_findings(crosswalk)),
        *((newest, f) for f in _of_idle_overrides(records, overrides)),
    ):
        by_release[release_id].append(finding)
    frames = [findings_frame(merge_findings(found), r, revisions[r]) for r, found in by_release.items()]
    return pl.concat([pl.DataFrame(schema=FINDING_SCHEMA), *frames])


def section_losses(records: pl.DataFrame) -> pl.DataFrame:
    """Codes of each section per release, and how many of the release before are gone other than by a due purge.

    One row per release after the first and section (``*`` for the whole file): ``before``, ``now``, ``lost``,
    ``is_too_many``. ``records`` are the standing records with ``episode``.
    """
    codes = records.filter(pl.col("kind") == "procedure").select("release_id", "code")
    sections = pl.concat(
        [codes.with_columns(section=pl.col("code").str.slice(0, 1)), codes.with_columns(section=pl.lit("*"))]
    )
    counts = sections.group_by("release_id", "section").agg(now=pl.len())
    order = codes.select(pl.col("release_id").unique().sort()).with_columns(previous=pl.col("release_id").shift(1))
    lost = (
        departures(records)
        .filter((pl.col("kind") == "procedure") & ~pl.col("is_purge"))
        .select(pl.col("gone_release_id").alias("release_id"), section=pl.col("code").str.slice(0, 1))
    )
    lost = (
        pl.concat([lost, lost.with_columns(section=pl.lit("*"))]).group_by("release_id", "section").agg(lost=pl.len())
    )
    limit = (
        pl.when(pl.col("section") == "*")
        .then(pl.col("before") * _MOST_OF_THE_FILE)
        .when(pl.col("before") > _SECTION_OF_NOTE)
        .then(pl.col("before") * _MOST_OF_A_SECTION)
    )
    return (
        counts.rename({"release_id": "previous", "now": "before"})
        .join(order.drop_nulls(), on="previous")
        .join(counts, on=["release_id", "section"], how="left")
        .join(lost, on=["release_id", "section"], how="left")
        .with_columns(pl.col("now", "lost").fill_null(0))
        .select("release_id", "section", "before", "now", "lost", is_too_many=(pl.col("lost") > limit).fill_null(False))
        .sort("release_id", "section")
    )


def _of_vanished(records: pl.DataFrame) -> Iterator[tuple[str, Finding]]:
    for row in vanished_codes(records).iter_rows(named=True):
        yield (
            row["gone_release_id"],
            Finding(
                "vanished" if row["reason"] != "restored" else "missing_for_a_time",
                row["severity"],
                f"{row['code']} {_VANISHED[row['reason']]}; {row['release_id']} still has it",
                "its last day is the day before this release"
                if row["termination_date"] is None and row["reason"] != "restored"
                else "its days stand as stated",
                kind=row["kind"],
                code=row["code"],
                field="code",
            ),
        )


def _of_decisions(records: pl.DataFrame, overrides: pl.DataFrame) -> Iterator[tuple[str, Finding]]:
    noted = episode_decisions(records, overrides).filter((pl.col("decision") == "uncertain") | pl.col("is_overridden"))
    for row in noted.iter_rows(named=True):
        yield (
            row["release_id"],
            Finding(
                "episode_overridden" if row["is_overridden"] else "episode_uncertain",
                "info" if row["is_overridden"] else "warning",
                f"whether {row['code']} still means what it meant in {row['previous_release_id']} is "
                + ("decided by a curated override" if row["is_overridden"] else "not certain")
                + f" ({row['evidence']}; texts {row['similarity']:.2f} alike)",
                "taken as another meaning" if row["decision"] == "new_episode" else "taken as the same meaning",
                kind=row["kind"],
                code=row["code"],
                field="episode",
            ),
        )


def _of_reports(records: pl.DataFrame, transactions: pl.DataFrame) -> Iterator[tuple[str, Finding]]:
    for row in transactions_unlike_records(records, transactions).iter_rows(named=True):
        ours, report = row["record_action_code"], row["report_action_code"]
        yield (
            row["release_id"],
            Finding(
                "report_disagrees",
                "warning",
                f"the transaction report has {row['code']} with {report or 'no action'}, the record with"
                f" {ours or 'none'}",
                "the record stands",
                kind=row["kind"],
                code=row["code"],
                field="action_code",
                raw_value=report,
            ),
        )


def _of_idle_overrides(records: pl.DataFrame, overrides: pl.DataFrame) -> Iterator[Finding]:
    for row in unmatched_overrides(records, overrides).iter_rows(named=True):
        yield Finding(
            "override_without_record",
            "info",
            f"the curated override of {row['code']} in {row['release_id']} meets no record that follows another",
            "none",
            kind=row["kind"],
            code=row["code"],
            field="episode",
        )
