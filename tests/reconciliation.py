"""How far CMS's word and the changes that are seen agree: counts that tests hold against those of the issues."""

from __future__ import annotations

from typing import NamedTuple

import polars as pl

from pipeline.transforms.changes import NO_CHANGE

_GONE = ("purged", "vanished")


class Reconciliation(NamedTuple):
    """How CMS's word and the changes seen agree.

    ``by_action_code``: per release and action code, lines by verdict: ``told`` (the change seen, or none where none
    is claimed), ``incomplete`` (told, with an untold greater change beside it), ``contradicted``, ``unknown`` (a
    release between is not held). ``disagreements``: the lines of the second and third kind, with cause and changes;
    and what changed in a release but has no line (cause ``no_line``).
    """

    by_action_code: pl.DataFrame
    disagreements: pl.DataFrame


def reconcile_with_cms(changes: pl.DataFrame, lines: pl.DataFrame) -> Reconciliation:
    """Hold each line of CMS's transaction reports (``release_id, kind, code, action_code``) against the changes.

    The report repeats the action code of the record, so a release's records do as well as its report, and give the
    answer for releases that have none. Only the step from the release before is looked at, not that of a re-post.
    """
    line_key = ["release_id", "kind", "code"]
    of_release = changes.filter(pl.col("previous_release_id") != pl.col("release_id"))
    seen = of_release.group_by(line_key).agg(
        pl.col("cms_action_code").first(),
        pl.col("observed_gap").first(),
        # The date of an action is told with the action; it tells nothing by itself.
        (pl.col("agrees_with_cms") & (pl.col("change") != "action_date")).fill_null(False).any().alias("some_told"),
        pl.col("agrees_with_cms").eq_missing(False).any().alias("some_untold"),
        pl.col("disagreement").drop_nulls().unique().sort().str.join("+").alias("cause"),
        pl.col("change").unique().sort().str.join("+").alias("changes"),
    )
    steps = of_release.select("release_id", pl.col("observed_gap").alias("gap")).unique()
    said = lines.select(*line_key, "action_code").unique()
    # The first release held has no neighbor to compare with.
    compared = said.join(steps, on="release_id", how="inner").join(seen, on=line_key, how="left")
    claims = pl.col("action_code") != NO_CHANGE
    unseen = pl.col("changes").is_null()
    other_letter = (~unseen) & pl.col("cms_action_code").ne_missing(pl.col("action_code"))
    verdict = (
        pl.when(other_letter | (unseen & claims))
        .then(pl.lit("contradicted"))
        .when(pl.col("some_told") & pl.col("some_untold"))
        .then(pl.lit("incomplete"))
        .when(pl.col("some_untold"))
        .then(pl.lit("contradicted"))
        .when(pl.col("gap") & ~unseen & ~pl.col("some_told"))
        .then(pl.lit("unknown"))
        .otherwise(pl.lit("told"))
    )
    cause = (
        pl.when(other_letter)
        .then(pl.lit("record_says_otherwise"))
        .when(unseen & claims)
        .then(pl.lit("no_record_says_so"))
        .otherwise(pl.col("cause"))
    )
    judged = compared.with_columns(verdict=verdict, cause=cause)
    verdicts = ("told", "incomplete", "contradicted", "unknown")
    by_action_code = (
        judged.group_by("release_id", "action_code")
        .agg(pl.len().alias("lines"), *((pl.col("verdict") == v).sum().alias(v) for v in verdicts))
        .sort("release_id", "action_code")
    )
    unlined = (
        seen.join(said.select("release_id").unique(), on="release_id", how="semi")
        .filter(~pl.col("changes").is_in(_GONE))
        .join(said, on=line_key, how="anti")
        .select(*line_key, pl.col("cms_action_code").alias("action_code"), pl.lit("no_line").alias("cause"), "changes")
    )
    wrong = judged.filter(pl.col("verdict").is_in(["incomplete", "contradicted"])).select(unlined.columns)
    return Reconciliation(by_action_code, pl.concat([wrong, unlined]).sort(*line_key))
