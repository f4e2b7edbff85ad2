"""Where CMS says a code went: every cross-reference that any release names, what it is, and where its chain ends.

What a target is follows from its shape (``pipeline.transforms.classification``), what became of it from the states that
``pipeline.transforms.history`` finds. Nothing is masked here: targets of other owners leave the open tier afterwards.
"""

from __future__ import annotations

import polars as pl

from pipeline.transforms.classification import UNKNOWN_SHAPE, classify
from schemas.contract import schema_of
from schemas.hcpcs_crosswalk import CHAIN_OUTCOMES, HcpcsCrosswalk
from sources.findings import Finding

_EPISODE = ["kind", "code", "episode"]
_ROW = [*_EPISODE, "target"]
_NODE = ["target_kind", "target", "target_episode"]

#: Best first.
_OUTCOME = pl.Enum(CHAIN_OUTCOMES)
_MOST_EXAMPLES = 10

#: Columns of the crosswalk, in order; the license columns come later.
CROSSWALK_SCHEMA = schema_of(HcpcsCrosswalk)


def crosswalk_from_records(records: pl.LazyFrame, states: pl.DataFrame) -> pl.DataFrame:
    """Every target of every episode (``CROSSWALK_SCHEMA``), sorted by kind, code, episode and ``target_number``.

    ``records`` are the current records of all releases with ``episode``; ``states`` has one row per kind, code and
    episode with ``status``, ``first_release`` and ``last_release``, as ``history.latest_states`` gives it.
    """
    named = _named(records)
    state = states.select(*_EPISODE, "status", pl.col("last_release").alias("episode_last_release"))
    rows = (
        named.join(state, on=_EPISODE, how="left")
        .with_columns(
            relation=pl.when(pl.col("status") == "active").then(pl.lit("see_also")).otherwise(pl.lit("replaced_by")),
            is_withdrawn=pl.col("last_release") < pl.col("episode_last_release"),
        )
        .drop("status", "episode_last_release")
    )
    placed = _with_target_episodes(_with_target_kinds(rows), states)
    return (
        _with_chains(placed)
        .select(pl.col(name).cast(dtype) for name, dtype in CROSSWALK_SCHEMA.items())
        .sort(*_EPISODE, "target_number")
    )


def replaced_by_lists(crosswalk: pl.DataFrame) -> pl.DataFrame:
    """The targets that stand for each ended episode: ``kind, code, episode, replaced_by`` (in order; no junk)."""
    return (
        crosswalk.filter(_replaces())
        .sort(*_EPISODE, "target_number")
        .group_by(_EPISODE, maintain_order=True)
        .agg(pl.col("target").alias("replaced_by"))
    )


def crosswalk_findings(crosswalk: pl.DataFrame) -> list[Finding]:
    """What is odd in the cross-references: loops, dead ends, targets that no release has, and what is no code.

    One finding a kind of oddity, with its places as examples (code and target, those of other owners left out, since
    a finding is published).
    """
    oddities = {
        "crosswalk_loop": (
            _replaces() & (pl.col("chain_outcome") == "loop"),
            "replacements of ended codes lead back to themselves",
        ),
        "crosswalk_dead_end": (
            _replaces() & (pl.col("chain_outcome") == "dead_end"),
            "ended codes are replaced by codes that have ended as well, without a successor",
        ),
        "crosswalk_target_never_seen": (
            pl.col("target_status") == "never_seen",
            "cross-references name codes of HCPCS Level II that no loaded release has",
        ),
        "crosswalk_target_no_code": (
            pl.col("target_status") == "no_code",
            "cross-references are shaped like no code",
        ),
    }
    found = []
    for name, (condition, message) in oddities.items():
        rows = crosswalk.filter(condition).sort(*_EPISODE, "target_number")
        if rows.height:
            places = rows.head(_MOST_EXAMPLES).iter_rows(named=True)
            examples = tuple(f"{r['code']} to {r['target']}" for r in places)
            found.append(
                Finding.of(name, message, field="crosswalk_targets", occurrences=rows.height, examples=examples)
            )
    return found


def unexplained_targets(crosswalk: pl.DataFrame) -> pl.DataFrame:
    """Targets that are neither a code held, nor another owner's, nor explained as never seen or as no code."""
    explained = pl.col("target_status").is_in(["never_seen", "not_ours", "no_code"])
    return crosswalk.filter(pl.col("target_episode").is_null() & ~explained)


def _replaces() -> pl.Expr:
    """Rows that are a step of a chain: a code that stands for an ended episode by the episode's last record."""
    return (pl.col("relation") == "replaced_by") & ~pl.col("is_withdrawn") & (pl.col("target_kind") != "none")


def _named(records: pl.LazyFrame) -> pl.DataFrame:
    """One row per episode and target, numbered by first release, then position."""
    stated = (
        records.filter(pl.col("crosswalk_targets").list.len() > 0)
        .select(*_EPISODE, "release_id", "crosswalk_targets")
        .collect()
        .with_columns(position=pl.int_ranges(1, pl.col("crosswalk_targets").list.len() + 1))
        .explode("crosswalk_targets", "position")
        .rename({"crosswalk_targets": "target"})
    )
    return (
        stated.sort("release_id", "position")
        .group_by(_ROW, maintain_order=True)
        .agg(
            pl.col("release_id").first().alias("first_release"),
            pl.col("release_id").last().alias("last_release"),
            pl.col("position").first(),
        )
        .sort(*_EPISODE, "first_release", "position")
        .with_columns(target_number=pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over(_EPISODE))
        .drop("position")
    )


def _with_target_kinds(rows: pl.DataFrame) -> pl.DataFrame:
    """What each target is by its shape; the shapes are those of ``code_systems``."""
    classes = classify(rows.select(pl.col("target").unique().sort()), "target").select(
        "target",
        target_system=pl.col("system").fill_null("none"),
        target_code_system=pl.when(pl.col("code_system") != UNKNOWN_SHAPE).then("code_system"),
    )
    is_modifier = pl.col("target").str.len_chars() == 2
    return rows.join(classes, on="target", how="left").with_columns(
        target_kind=pl.when(pl.col("target_code_system").is_null())
        .then(pl.lit("none"))
        .when(is_modifier)
        .then(pl.lit("modifier"))
        .otherwise(pl.lit("procedure"))
    )


def _with_target_episodes(rows: pl.DataFrame, states: pl.DataFrame) -> pl.DataFrame:
    """Which meaning of the target is meant, and what became of it.

    Ended records stand for years with the cross-reference they got: it means what the target meant in the first
    release that names it, or before; where it came later only, the first thing it came to mean.
    """
    by = ["target_kind", "target"]
    requested = rows.select(*by, "first_release").unique()
    known = states.select(
        pl.col("kind").alias("target_kind"),
        pl.col("code").alias("target"),
        pl.col("episode").alias("target_episode"),
        pl.col("status").alias("state"),
        pl.col("first_release").alias("seen_from"),
    )
    had = pl.col("seen_from") <= pl.col("first_release")
    chosen = (
        requested.join(known, on=by, how="inner")
        .with_columns(last_had=pl.col("target_episode").filter(had).max().over(*by, "first_release"))
        .with_columns(first=pl.col("target_episode").min().over(*by, "first_release"))
        .filter(pl.col("target_episode") == pl.coalesce("last_had", "first"))
        .select(*by, "first_release", "target_episode", "state")
    )
    status = (
        pl.when(pl.col("target_kind") == "none")
        .then(pl.lit("no_code"))
        .when(pl.col("state").is_not_null())
        .then("state")
        .when(pl.col("target_system") != "HCPCS")
        .then(pl.lit("not_ours"))
        .otherwise(pl.lit("never_seen"))
    )
    return rows.join(chosen, on=[*by, "first_release"], how="left").with_columns(target_status=status).drop("state")


def _with_chains(rows: pl.DataFrame) -> pl.DataFrame:
    """Follow replacements from each target to where they end; a chain goes through ended codes only."""
    rows = rows.with_row_index("row")
    steps = rows.filter(_replaces()).select(
        *(pl.col(c).alias(f"from_{c}") for c in _EPISODE), *_NODE, pl.col("target_status")
    )
    origin = ["from_kind", "from_code", "from_episode"]
    walkers = rows.filter(pl.col("target_kind") != "none").select("row", *_NODE, "target_status")
    # A step back to where the row's own code stands is a loop.
    seen = pl.concat(
        [
            walkers.select("row", *_NODE),
            rows.filter(_replaces()).select("row", *(pl.col(c).alias(n) for c, n in zip(_EPISODE, _NODE, strict=True))),
        ]
    )
    ends = []
    while walkers.height:
        onward = walkers.join(steps.select(origin).unique(), left_on=_NODE, right_on=origin, how="semi")
        ends.append(walkers.join(onward, on=["row", *_NODE], how="anti", nulls_equal=True))
        walkers = (
            onward.select("row", *_NODE)
            .join(steps, left_on=_NODE, right_on=origin, how="inner", suffix="_next")
            .select("row", *(pl.col(f"{c}_next").alias(c) for c in _NODE), "target_status")
            .unique()
            .join(seen, on=["row", *_NODE], how="anti", nulls_equal=True)
        )
        seen = pl.concat([seen, walkers.select(seen.columns)])
    outcome = (
        pl.when(pl.col("target_status").is_in(["terminated", "purged"]))
        .then(pl.lit("dead_end"))
        .otherwise("target_status")
        .cast(_OUTCOME)
    )
    reached = (
        pl.concat(ends)
        .group_by("row")
        .agg(pl.col("target").unique().sort().alias("chain_ends"), outcome.min().cast(pl.String).alias("chain_outcome"))
        if ends
        else pl.DataFrame(schema={"row": pl.UInt32, "chain_ends": pl.List(pl.String), "chain_outcome": pl.String})
    )
    nowhere = pl.when(pl.col("target_kind") == "none").then(pl.lit("no_code")).otherwise(pl.lit("loop"))
    return rows.join(reached, on="row", how="left").with_columns(
        pl.col("chain_ends").fill_null([]), pl.coalesce("chain_outcome", nowhere).alias("chain_outcome")
    )
