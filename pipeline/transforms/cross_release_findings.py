"""What only shows when releases are seen together: findings and checks. Pure functions; nothing here stops anything."""

from __future__ import annotations

from collections.abc import Iterator

import polars as pl

from pipeline.transforms.batches import in_batches_of_codes
from pipeline.transforms.changes import transactions_unlike_records
from pipeline.transforms.crosswalk import crosswalk_findings
from pipeline.transforms.episodes import episode_decisions, release_day, unmatched_overrides
from pipeline.transforms.history import departures, is_due, vanished_codes
from sources.code_file.records import merge_findings
from sources.findings import FINDING_SCHEMA, Finding, findings_frame

#: No kind and no letter may lose this share; a kind of more codes than this not that one. Between any two of 13 real
#: releases, of 2011 to 2025, no letter lost more than 15 %, and no kind more than 8 %.
_MOST_OF_A_SECTION = 0.25
_FILE_OF_NOTE = 100
_MOST_OF_THE_FILE = 0.10
#: Groups of codes that a message names.
_MOST_GROUPS = 6

#: Columns of records and of transactions that findings need.
_REPORTED = ("release_id", "kind", "code", "action_code")
_USED = (*_REPORTED, "revision", "episode", "added_date", "termination_date", "short_description", "long_description")

_VANISHED = {
    "no_end_stated": "is gone, and no release stated an end",
    "ended_not_due": "is gone earlier after its end than CMS drops codes",
    "unseen_end": "is gone; its end may be in a release that is not loaded",
    "restored": "is missing here and comes back later as it was",
}


def findings_across_releases(
    records: pl.LazyFrame, crosswalk: pl.DataFrame, transactions: pl.LazyFrame, overrides: pl.DataFrame
) -> pl.DataFrame:
    """Findings that need several releases or tables, each with the release that shows it (``FINDING_SCHEMA``).

    ``records`` are the current records with ``episode``, of which some columns are read; ``crosswalk`` is unmasked.
    """
    stated, reported = records.select(_USED).collect(), transactions.select(_REPORTED).collect()
    revisions = dict(stated.select("release_id", "revision").unique().iter_rows())
    newest = max(revisions, default="")
    by_release: dict[str, list[Finding]] = {release_id: [] for release_id in sorted(revisions)}
    for release_id, finding in (
        *_of_vanished(stated),
        *_of_decisions(stated, overrides),
        *_of_reports(stated, reported),
        *((newest, f) for f in crosswalk_findings(crosswalk)),
        *((newest, f) for f in _of_idle_overrides(stated, overrides)),
    ):
        by_release[release_id].append(finding)
    frames = [findings_frame(merge_findings(found), r, revisions[r]) for r, found in by_release.items()]
    return pl.concat([pl.DataFrame(schema=FINDING_SCHEMA), *frames])


def release_losses(records: pl.DataFrame) -> pl.DataFrame:
    """Codes that a release lacks though the release before or after it has them, by kind and first character.

    One row per release, neighbor, kind and ``letter`` (``*`` for all of the kind) that lost any: ``before`` (codes of
    the neighbor), ``lost``, ``is_too_many``. A due purge is no loss; of the release after, only codes count that it
    says were added before this one. ``records`` are the current records with ``episode``.
    """
    codes = records.select("kind", "code", "release_id", "added_date")
    order = codes.select(pl.col("release_id").unique().sort()).with_columns(
        earlier=pl.col("release_id").shift(1), later=pl.col("release_id").shift(-1)
    )
    key, place = ["kind", "code", "release_id"], ["release_id", "neighbor", "kind", "letter"]
    purged = departures(records).filter("is_purge").select("kind", "code", release_id="gone_release_id")

    def counted(frame: pl.DataFrame, name: str) -> pl.DataFrame:
        return frame.with_columns(letter=pl.col("code").str.slice(0, 1)).group_by(place).agg(pl.len().alias(name))

    def counts_of(some: pl.DataFrame) -> pl.DataFrame:
        same_code = pl.all_horizontal(pl.col(c) == pl.col(c).shift(1) for c in ("kind", "code"))
        in_earlier = (same_code & (pl.col("release_id").shift(1) == pl.col("earlier"))).fill_null(False)
        stated = (
            some.sort(key)
            .join(order, on="release_id", how="left", maintain_order="left")
            .with_columns(in_earlier=in_earlier)
            .with_columns(in_later=pl.col("in_earlier").shift(-1, fill_value=False))
            .rename({"release_id": "neighbor"})
        )
        stated_before = stated.filter(pl.col("added_date") < release_day(pl.col("earlier")))
        names = ("kind", "code", "neighbor")
        neighbors = pl.concat(
            [
                stated.drop_nulls("later").select(*names, release_id="later", is_there="in_later"),
                stated_before.select(*names, release_id="earlier", is_there="in_earlier"),
            ]
        )
        lost = neighbors.filter(~pl.col("is_there")).join(purged, on=key, how="anti")
        return counted(neighbors, "before").join(counted(lost, "lost"), on=place, how="left")

    letters = in_batches_of_codes(counts_of, codes)
    counts = pl.concat([letters, letters.with_columns(letter=pl.lit("*"))]).group_by(place).agg(pl.all().sum())

    is_large = (pl.col("letter") == "*") & (pl.col("before") > _FILE_OF_NOTE)
    share = pl.when(is_large).then(_MOST_OF_THE_FILE).otherwise(_MOST_OF_A_SECTION)
    # One code proves nothing: modifier DA, all that its letter has, is missing from 2013 and 2019. Nor do two of
    # several whose end and purge may both lie in releases that are not loaded.
    may_have_ended = is_due(release_day(pl.col("neighbor")), release_day(pl.col("release_id"))) & (
        pl.col("lost") < pl.col("before")
    )
    fewest = pl.when(may_have_ended).then(3).otherwise(2)
    return (
        counts.filter(pl.col("lost") > 0)
        .select(
            "release_id",
            "neighbor",
            "kind",
            "letter",
            "before",
            "lost",
            is_too_many=(pl.col("lost") >= fewest) & (pl.col("lost") >= pl.col("before") * share),
        )
        .sort("release_id", "neighbor", "kind", "letter")
    )


def partial_releases(losses: pl.DataFrame) -> dict[str, str]:
    """The releases of ``release_losses`` that lack too much, each with what it lacks, in words."""
    too_many = losses.filter("is_too_many")
    words: dict[str, list[str]] = {}
    for release_id, neighbor, kind, letter, before, lost in too_many.drop("is_too_many").rows():
        group = f"{kind}s" if letter == "*" else f"{kind}s {letter}"
        words.setdefault(release_id, []).append(f"{lost} of the {before} {group} of {neighbor}")
    return {
        release: f"{release} lacks {', '.join(stated[:_MOST_GROUPS])}"
        + (f" and of {len(stated) - _MOST_GROUPS} groups more" if len(stated) > _MOST_GROUPS else "")
        for release, stated in words.items()
    }


def _of_vanished(records: pl.DataFrame) -> Iterator[tuple[str, Finding]]:
    for row in vanished_codes(records).iter_rows(named=True):
        yield (
            row["gone_release_id"],
            Finding.of(
                "vanished" if row["reason"] != "restored" else "missing_for_a_time",
                f"{row['code']} {_VANISHED[row['reason']]}; {row['release_id']} still has it",
                kind=row["kind"],
                code=row["code"],
                field="code",
                severity=row["severity"],
                action=(
                    "its last day is the day before this release"
                    if row["termination_date"] is None and row["reason"] != "restored"
                    else "its days are kept as stated"
                ),
            ),
        )


def _of_decisions(records: pl.DataFrame, overrides: pl.DataFrame) -> Iterator[tuple[str, Finding]]:
    noted = episode_decisions(records, overrides).filter((pl.col("decision") == "uncertain") | pl.col("is_overridden"))
    for row in noted.iter_rows(named=True):
        how = "decided by a curated override" if row["is_overridden"] else "not certain"
        yield (
            row["release_id"],
            Finding.of(
                "episode_overridden" if row["is_overridden"] else "episode_uncertain",
                f"whether {row['code']} still means what it meant in {row['previous_release_id']} is {how}"
                f" ({row['evidence']}; texts {row['similarity']:.2f} alike)",
                kind=row["kind"],
                code=row["code"],
                field="episode",
                action="taken as another meaning" if row["decision"] == "new_episode" else "taken as the same meaning",
            ),
        )


def _of_reports(records: pl.DataFrame, transactions: pl.DataFrame) -> Iterator[tuple[str, Finding]]:
    for row in transactions_unlike_records(records, transactions).iter_rows(named=True):
        ours, report = row["record_action_code"], row["report_action_code"]
        message = (
            f"the transaction report has {row['code']} with {report or 'no action'}, the record with {ours or 'none'}"
        )
        yield (
            row["release_id"],
            Finding.of(
                "report_disagrees", message, kind=row["kind"], code=row["code"], field="action_code", raw_value=report
            ),
        )


def _of_idle_overrides(records: pl.DataFrame, overrides: pl.DataFrame) -> Iterator[Finding]:
    for row in unmatched_overrides(records, overrides).iter_rows(named=True):
        message = f"the curated override of {row['code']} in {row['release_id']} meets no record that follows another"
        yield Finding.of("override_without_record", message, kind=row["kind"], code=row["code"], field="episode")
