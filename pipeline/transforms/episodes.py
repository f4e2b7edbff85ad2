"""Episodes: which meaning of its code a record states, by one rule over all loaded releases.

Two records of a code follow one another if no release between them has it. Each such pair is decided on its own, by
what CMS states: dates first, texts where dates do not decide. docs/episodes.md gives the reasons, and every decision on
real data. Nothing here knows a code by name: `sources/curated/episodes.csv` overrides what evidence cannot decide.
"""

from __future__ import annotations

import polars as pl
from rapidfuzz import fuzz

from pipeline.transforms.batches import gathered, in_batches_of_codes
from pipeline.transforms.comparison import prose_forms, prose_words
from pipeline.transforms.repetitions import without_repetitions

#: Texts less alike than this are unlike. Of 40 re-uses seen 39 lie below it, of 1,211 rewordings 1,184 at or above it.
UNLIKE_BELOW = 0.7

DECISIONS = ("new_episode", "correction", "uncertain", "same")

#: Columns of the frame of overrides that decide; a reason and a source may stand beside them.
OVERRIDE_SCHEMA: dict[str, pl.DataType] = {
    "kind": pl.String(),
    "code": pl.String(),
    "release_id": pl.String(),
    "decision": pl.String(),
}

_CODE = ["kind", "code"]
#: Which meaning of its code a decided record states, counted from 1.
_NUMBER = (
    ((pl.col("decision") == "new_episode").fill_null(False).cum_sum().over(_CODE) + 1).cast(pl.Int32).alias("episode")
)
#: What of a record decides.
_USED = ("release_id", "added_date", "termination_date", "short_description", "long_description")


def episodes_of_records(records: pl.DataFrame, overrides: pl.DataFrame | None = None) -> pl.DataFrame:
    """Number the meanings of each code: the records, sorted by kind, code and release, with ``episode``.

    ``episode`` (Int32) counts from 1. ``records`` holds one record per kind, code and release, of all loaded releases.
    ``overrides`` has the columns of ``OVERRIDE_SCHEMA``; ``release_id`` is the release whose record it decides on.
    """
    order = records.select(pl.arg_sort_by(*_CODE, "release_id")).to_series()
    ordered = gathered(records.clone(), order)
    del records  # the columns of a frame that nobody else has are free one by one
    numbers = _decided(ordered, overrides).select("row", _NUMBER)
    rows = ordered.select(pl.int_range(pl.len(), dtype=pl.UInt32).alias("row"))
    episodes = rows.join(numbers, on="row", how="left", maintain_order="left")["episode"]
    return ordered.with_columns(episodes.forward_fill())


def episode_decisions(records: pl.DataFrame, overrides: pl.DataFrame | None = None) -> pl.DataFrame:
    """What was decided wherever something had to be: a moved added date, unlike texts, an absence, an override.

    One row per record that follows another with such evidence: ``kind``, ``code``, ``previous_release_id``,
    ``release_id``, ``episode`` (the record's), ``decision`` (one of ``DECISIONS``), ``evidence`` (words of this
    module, joined by a comma), ``similarity`` (0 to 1) and ``is_overridden``.
    """
    ordered = records.select(*_CODE, *_USED).sort(*_CODE, "release_id")
    return (
        _decided(ordered, overrides)
        .with_columns(_NUMBER)
        .filter(pl.col("decision").is_not_null() & ((pl.col("decision") != "same") | (pl.col("evidence") != "")))
        .select(
            *_CODE,
            "previous_release_id",
            "release_id",
            "episode",
            "decision",
            "evidence",
            "similarity",
            "is_overridden",
        )
    )


def unmatched_overrides(records: pl.DataFrame, overrides: pl.DataFrame) -> pl.DataFrame:
    """The overrides without effect: no loaded release has the record they name, or it is its code's first."""
    followers = records.select(*_CODE, "release_id").filter(
        pl.col("release_id") > pl.col("release_id").min().over(_CODE)
    )
    return overrides.join(followers, on=[*_CODE, "release_id"], how="anti")


def release_day(release_id: pl.Expr) -> pl.Expr:
    """The day on which a release takes effect: the first of its month."""
    return (release_id + "-01").str.to_date("%Y-%m-%d")


def _loaded_releases(records: pl.DataFrame) -> pl.DataFrame:
    """The releases that any record is of, numbered in order, with the day of the next."""
    return records.select(pl.col("release_id").unique().sort()).with_columns(
        pl.int_range(pl.len(), dtype=pl.Int32).alias("_number"),
        release_day(pl.col("release_id").shift(-1)).alias("_next_release_day"),
    )


def _decided(ordered: pl.DataFrame, overrides: pl.DataFrame | None) -> pl.DataFrame:
    """The records that do not repeat, with ``row``, ``decision``, ``evidence``, ``similarity``; null for the first.

    Of thirty columns a few decide: what repeats these in the next release has the same meaning, unless overridden.
    """
    loaded = _loaded_releases(ordered)
    overridden = pl.lit(False) if overrides is None else pl.col("code").is_in(overrides["code"].implode())
    used = ordered.lazy().select(*_CODE, *_USED).with_row_index("row")
    records = without_repetitions(used, overridden, place=("row",))
    return in_batches_of_codes(lambda some: _decided_pairs(some, loaded, overrides), records)


def _decided_pairs(records: pl.DataFrame, loaded: pl.DataFrame, overrides: pl.DataFrame | None) -> pl.DataFrame:
    pairs = (
        records.join(loaded, on="release_id", how="left", maintain_order="left")
        .with_columns(pl.col("added_date").forward_fill().over(_CODE).alias("_added"))
        .with_columns(
            pl.col("release_id").shift(1).over(_CODE).alias("previous_release_id"),
            pl.col("_added").shift(1).over(_CODE).alias("_previous_added"),
            pl.col("termination_date").shift(1).over(_CODE).alias("_previous_end"),
            (~pl.col("repeats") & (pl.col("_number") - pl.col("_number").shift(1).over(_CODE) > 1)).alias("_absent"),
            # The first loaded release without the code, if there is one: the first after its previous record.
            pl.col("_next_release_day").shift(1).over(_CODE).alias("_absent_day"),
        )
    )
    pairs = _with_similarity(pairs)

    later = pl.col("_added") > pl.col("_previous_added")
    unlike = pl.col("similarity") < UNLIKE_BELOW
    evidence = {
        "added_later": later,
        "added_earlier": pl.col("_added") < pl.col("_previous_added"),
        "after_stated_end": later & (pl.col("_added") > pl.col("_previous_end")),
        "absent_between": pl.col("_absent"),
        "after_absence": later & pl.col("_absent") & (pl.col("_added") >= pl.col("_absent_day")),
        "listed_before": later & (pl.col("_added") > release_day(pl.col("previous_release_id"))),
        "unlike": unlike,
    }
    pairs = pairs.with_columns(*(e.fill_null(False).alias(f"_{name}") for name, e in evidence.items())).with_columns(
        pl.when(pl.col("previous_release_id").is_null())
        .then(None)
        .when(pl.col("_after_stated_end") | pl.col("_after_absence"))
        .then(pl.lit("new_episode"))
        .when(pl.col("_added_earlier"))
        .then(pl.lit("correction"))
        .when(pl.col("_added_later") & pl.col("_unlike"))
        .then(pl.lit("new_episode"))
        # Listed before the day on which it is now said to be added, and nearly the same words: either of the two.
        .when(pl.col("_added_later") & pl.col("_listed_before"))
        .then(pl.lit("uncertain"))
        .when(pl.col("_added_later"))
        .then(pl.lit("correction"))
        .when(pl.col("_unlike"))
        .then(pl.lit("uncertain"))
        .otherwise(pl.lit("same"))
        .alias("decision"),
        pl.concat_str(
            [pl.when(pl.col(f"_{name}")).then(pl.lit(name)) for name in evidence], separator=", ", ignore_nulls=True
        ).alias("evidence"),
    )
    return _overridden(pairs, overrides)


def _with_similarity(pairs: pl.DataFrame) -> pl.DataFrame:
    """Add ``similarity`` of each record's texts to those of its predecessor; 1 where they are equal by form.

    The long texts are compared as sets of words, the short ones unchanged, and the higher counts: a rewording
    keeps its words or its short text, a re-use keeps neither. A text that is missing on one side tells nothing.
    """
    pairs = pairs.with_columns(
        prose_forms(pairs["long_description"]).alias("_long"), prose_forms(pairs["short_description"]).alias("_short")
    ).with_columns(
        *(pl.col(c).shift(1).over(_CODE).alias(f"_previous{c}") for c in ("_long", "_short")),
        *(
            pl.col(f"{c}_description").shift(1).over(_CODE).alias(f"_previous_{c}_description")
            for c in ("long", "short")
        ),
        pl.int_range(pl.len(), dtype=pl.UInt32).alias("_row"),
    )
    differ = pl.col("previous_release_id").is_not_null() & (pl.col("_long") != pl.col("_previous_long"))
    # A long text that either side lacks: the short ones decide alone.
    lacking = (pl.col("_long").is_null() | pl.col("_previous_long").is_null()) & (
        pl.col("_short") != pl.col("_previous_short")
    )
    requested = pairs.filter(differ | lacking).select(
        "_row",
        prose_words("long_description").alias("long"),
        prose_words("_previous_long_description").alias("previous_long"),
        prose_words("short_description").alias("short"),
        prose_words("_previous_short_description").alias("previous_short"),
    )
    scores = [_likeness(*row) for row in requested.drop("_row").rows()]
    measured = requested.select("_row", pl.Series("_score", scores, dtype=pl.Float64))
    return (
        pairs.join(measured, on="_row", how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("previous_release_id").is_not_null())
            .then(pl.col("_score").fill_null(1.0).round(2))
            .alias("similarity")
        )
        .drop("_row", "_score")
    )


def _likeness(long: str | None, previous_long: str | None, short: str | None, previous_short: str | None) -> float:
    scores = []
    if long and previous_long:
        scores.append(fuzz.token_set_ratio(long, previous_long))
    if short and previous_short:
        scores.append(fuzz.ratio(short, previous_short))
    return max(scores, default=100.0) / 100


def _overridden(pairs: pl.DataFrame, overrides: pl.DataFrame | None) -> pl.DataFrame:
    if overrides is None or overrides.is_empty():
        return pairs.with_columns(pl.lit(False).alias("is_overridden"))
    chosen = overrides.select(*_CODE, "release_id", pl.col("decision").alias("_override"))
    matched = pl.col("_override").is_not_null() & pl.col("previous_release_id").is_not_null()
    return pairs.join(
        chosen, on=[*_CODE, "release_id"], how="left", validate="m:1", maintain_order="left"
    ).with_columns(
        pl.when(matched).then(pl.col("_override")).otherwise(pl.col("decision")).alias("decision"),
        pl.when(matched & (pl.col("evidence") != ""))
        .then(pl.col("evidence") + ", override")
        .when(matched)
        .then(pl.lit("override"))
        .otherwise(pl.col("evidence"))
        .alias("evidence"),
        matched.alias("is_overridden"),
    )
