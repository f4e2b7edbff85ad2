"""Assets over all releases: episodes, spans, changes, cross-references, findings; and the checks that may stop a run.

A check is made where its table is, since the frames are at hand there; what it measured is its metadata.
"""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from pipeline.orchestration import asset_metadata as shown
from pipeline.orchestration.release_tables import inner_table
from pipeline.transforms import crosswalk, history
from pipeline.transforms import published_tables as tables
from pipeline.transforms.changes import changes_between_releases, with_standing_episodes
from pipeline.transforms.cross_release_findings import findings_across_releases, section_losses
from pipeline.transforms.episodes import episodes_of_records
from schemas.registry import enforce
from sources.curated.episode_overrides import load_episode_overrides
from sources.curated.license_policy import load_license_policy

_MOST_SHOWN = 20
Made = Iterator[dg.Output[Any] | dg.AssetCheckResult]


def check_specs(table: str, *, blocking: bool = True, **descriptions: str) -> list[dg.AssetCheckSpec]:
    """Checks of a table by name, each with its description."""
    return [dg.AssetCheckSpec(name, asset=table, description=d, blocking=blocking) for name, d in descriptions.items()]


def check_result(name: str, violations: pl.DataFrame, what: str, measured: int, **more: Any) -> dg.AssetCheckResult:
    """A check that passes without violations; the first of them become metadata."""
    shown_first = violations.head(_MOST_SHOWN).write_json() if violations.height else "[]"
    return dg.AssetCheckResult(
        check_name=name,
        passed=violations.is_empty(),
        description=f"{what}: {violations.height} of {measured}"
        + (f", such as {_first(violations)}" if violations.height else ""),
        metadata={"measured": measured, "violations": violations.height, "first": dg.MetadataValue.text(shown_first)},
        **more,
    )


def _first(violations: pl.DataFrame) -> str:
    return ", ".join(f"{k} {v}" for k, v in violations.row(0, named=True).items() if v is not None)


@dg.asset(
    **shown.asset(
        "staged_episodes",
        "pipeline.transforms.episodes",
        "pipeline.transforms.published_tables",
        "sources.curated.episode_overrides",
    ),
    check_specs=[
        *check_specs(
            "staged_episodes",
            sections_keep_their_codes="No section of note loses a quarter of its codes, nor the file a tenth, other"
            " than by due purges.",
        ),
        *check_specs(
            "staged_episodes",
            blocking=False,
            codes_vanish_only_by_purge="A code goes only by a purge that it was due for.",
        ),
    ],
)
def staged_episodes(staged_records: pl.DataFrame) -> Made:
    records = episodes_of_records(tables.standing(staged_records), load_episode_overrides())
    yield dg.Output(records)
    losses = section_losses(records)
    too_many = losses.filter("is_too_many").drop("is_too_many")
    result = check_result("sections_keep_their_codes", too_many, "sections that lost too many codes", losses.height)
    yield result._replace(metadata={**result.metadata, "counts": dg.MetadataValue.text(losses.write_json())})
    vanished = history.vanished_codes(records).filter(pl.col("severity") == "warning")
    yield check_result(
        "codes_vanish_only_by_purge",
        vanished,
        "codes vanished",
        records.height,
        severity=dg.AssetCheckSeverity.WARN,
    )


@dg.asset(
    **shown.asset("hcpcs_history", "pipeline.transforms.history", "pipeline.transforms.published_tables"),
    check_specs=check_specs(
        "hcpcs_history",
        spans_do_not_overlap="Spans of one code never overlap.",
        every_record_in_one_span="Exactly one span covers each record of each release.",
        spans_say_what_releases_say="A span says what each release that it covers says, up to form.",
    ),
)
def hcpcs_history(staged_episodes: pl.DataFrame) -> Made:
    spans = history.history_from_records(staged_episodes)
    spans = enforce("hcpcs_history", tables.flagged_history(spans, load_license_policy()))
    yield dg.Output(spans)
    overlapping = history.overlapping_spans(spans)
    yield check_result("spans_do_not_overlap", overlapping, "overlapping spans", spans.height)
    uncovered = history.uncovered_records(staged_episodes, spans)
    yield check_result("every_record_in_one_span", uncovered, "records not in one span", staged_episodes.height)
    unlike = history.records_unlike_span(staged_episodes, spans)
    yield check_result("spans_say_what_releases_say", unlike, "records unlike their span", staged_episodes.height)


@dg.asset(
    **shown.asset("staged_states", "pipeline.transforms.history"),
    check_specs=check_specs("staged_states", one_current_episode="Every code has exactly one current meaning."),
)
def staged_states(staged_episodes: pl.DataFrame, hcpcs_history: pl.DataFrame) -> Made:
    states = history.latest_states(staged_episodes, hcpcs_history)
    yield dg.Output(states)
    without = history.codes_without_one_current_episode(states)
    yield check_result("one_current_episode", without, "codes without one current meaning", states.height)


@dg.asset(
    **shown.asset("hcpcs_changes", "pipeline.transforms.changes", "pipeline.transforms.published_tables"),
    ins={"staged_episodes": dg.AssetIn(metadata={"lazy": True})},  # of its thirty columns four are needed
)
def hcpcs_changes(staged_records: pl.DataFrame, staged_episodes: pl.LazyFrame) -> pl.DataFrame:
    standing = staged_episodes.select("kind", "code", "release_id", "episode").collect()
    changes = changes_between_releases(with_standing_episodes(staged_records, standing))
    return enforce("hcpcs_changes", tables.flagged_changes(changes, load_license_policy()))


@dg.asset(
    **shown.asset("hcpcs_crosswalk", "pipeline.transforms.crosswalk", "pipeline.transforms.published_tables"),
    check_specs=check_specs("hcpcs_crosswalk", targets_known_or_explained="Every target is known or explained."),
)
def hcpcs_crosswalk(staged_episodes: pl.DataFrame, staged_states: pl.DataFrame) -> Made:
    targets = crosswalk.crosswalk_from_records(staged_episodes, staged_states)
    targets = enforce("hcpcs_crosswalk", tables.flagged_crosswalk(targets, load_license_policy()))
    yield dg.Output(targets)
    unexplained = crosswalk.unexplained_targets(targets)
    yield check_result("targets_known_or_explained", unexplained, "targets not explained", targets.height)


@dg.asset(
    **shown.asset(
        "hcpcs_findings", "pipeline.transforms.cross_release_findings", "pipeline.transforms.published_tables"
    )
)
def hcpcs_findings(
    staged_releases: pl.DataFrame,
    staged_episodes: pl.DataFrame,
    hcpcs_crosswalk: pl.DataFrame,
    hcpcs_transactions: pl.DataFrame,
) -> pl.DataFrame:
    across = findings_across_releases(staged_episodes, hcpcs_crosswalk, hcpcs_transactions, load_episode_overrides())
    of_each = inner_table(staged_releases, "findings")
    found = tables.numbered_findings(pl.concat([of_each, across]), load_license_policy())
    return enforce("hcpcs_findings", found)
