"""Asset checks across releases: what they measure is metadata, and a failed one blocks the version."""

import dagster as dg
import polars as pl

from pipeline import crosswalk, history
from pipeline.across_releases import section_losses

_EPISODES = {"staged_episodes": dg.AssetIn("staged_episodes")}
_MOST_SHOWN = 20


def _result(violations: pl.DataFrame, what: str, measured: int) -> dg.AssetCheckResult:
    """A check that passes without violations; the first of them become metadata."""
    shown = violations.head(_MOST_SHOWN).write_json() if violations.height else "[]"
    return dg.AssetCheckResult(
        passed=violations.is_empty(),
        description=f"{what}: {violations.height} of {measured}"
        + (f", such as {_first(violations)}" if violations.height else ""),
        metadata={"measured": measured, "violations": violations.height, "first": dg.MetadataValue.text(shown)},
    )


def _first(violations: pl.DataFrame) -> str:
    return ", ".join(f"{k} {v}" for k, v in violations.row(0, named=True).items() if v is not None)


@dg.asset_check(asset="hcpcs_history", blocking=True, description="Spans of one code never overlap.")
def spans_do_not_overlap(spans: pl.DataFrame) -> dg.AssetCheckResult:
    return _result(history.overlapping_spans(spans), "overlapping spans", spans.height)


@dg.asset_check(
    asset="hcpcs_history",
    blocking=True,
    additional_ins=_EPISODES,
    description="Exactly one span covers each record of each release.",
)
def every_record_in_one_span(spans: pl.DataFrame, staged_episodes: pl.DataFrame) -> dg.AssetCheckResult:
    return _result(history.uncovered_records(staged_episodes, spans), "records not in one span", staged_episodes.height)


@dg.asset_check(
    asset="hcpcs_history",
    blocking=True,
    additional_ins=_EPISODES,
    description="A span says what each release that it covers says, up to form.",
)
def spans_say_what_releases_say(spans: pl.DataFrame, staged_episodes: pl.DataFrame) -> dg.AssetCheckResult:
    return _result(
        history.records_unlike_span(staged_episodes, spans), "records unlike their span", staged_episodes.height
    )


@dg.asset_check(asset="staged_states", blocking=True, description="Every code has exactly one current meaning.")
def one_current_episode(states: pl.DataFrame) -> dg.AssetCheckResult:
    return _result(
        history.codes_without_one_current_episode(states), "codes without one current meaning", states.height
    )


@dg.asset_check(asset="hcpcs_crosswalk", blocking=True, description="Every target is known or explained.")
def targets_known_or_explained(targets: pl.DataFrame) -> dg.AssetCheckResult:
    return _result(crosswalk.unexplained_targets(targets), "targets not explained", targets.height)


@dg.asset_check(
    asset="staged_episodes",
    blocking=True,
    description="No section of note loses a quarter of its codes, nor the file a tenth, other than by due purges.",
)
def sections_keep_their_codes(records: pl.DataFrame) -> dg.AssetCheckResult:
    losses = section_losses(records)
    too_many = losses.filter("is_too_many").drop("is_too_many")
    result = _result(too_many, "sections that lost too many codes", losses.height)
    return result._replace(metadata={**result.metadata, "counts": dg.MetadataValue.text(losses.write_json())})


@dg.asset_check(asset="staged_episodes", description="A code goes only by a purge that it was due for.")
def codes_vanish_only_by_purge(records: pl.DataFrame) -> dg.AssetCheckResult:
    vanished = history.vanished_codes(records).filter(pl.col("severity") == "warning")
    result = _result(vanished, "codes vanished", records.height)
    return result._replace(severity=dg.AssetCheckSeverity.WARN)
