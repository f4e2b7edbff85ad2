"""Assets over all releases: episodes, spans, changes, cross-references, findings; and the checks that may stop a run.

A check is made where its table is, since the frames are at hand there; what it measured is its metadata.
"""

import dagster as dg
import polars as pl
import polars.selectors as cs

from pipeline.orchestration import asset_metadata as shown
from pipeline.orchestration.assets import checked
from pipeline.orchestration.io_manager import made
from pipeline.orchestration.run_context import RunContext
from pipeline.transforms import crosswalk, history
from pipeline.transforms import published_tables as tables
from pipeline.transforms.batches import collected
from pipeline.transforms.changes import changes_from_records
from pipeline.transforms.cross_release_findings import findings_across_releases, partial_releases, release_losses
from pipeline.transforms.episodes import episodes_of_records
from pipeline.transforms.repetitions import CLAIMS, without_repetitions
from sources.curated.episode_overrides import load_episode_overrides
from sources.curated.license_policy import load_license_policy

#: Where in CMS's files a record is: nothing over all releases depends on it.
_PLACE = cs.starts_with("source_")
_EPISODE = ("kind", "code", "episode")


@dg.asset(
    **shown.asset(
        "staged_episodes",
        "pipeline.transforms.episodes",
        "pipeline.transforms.published_tables",
        "sources.curated.episode_overrides",
    ),
    check_specs=[
        *checked.specs(
            "staged_episodes",
            {
                "releases_are_whole": "No kind and no letter that a neighboring release has is missing, or loses a"
                " quarter of its codes (a large kind a tenth), other than by due purges.",
            },
        ),
        *checked.specs(
            "staged_episodes",
            {"codes_vanish_only_by_purge": "A code disappears only by a purge that was due."},
            blocking=False,
        ),
    ],
)
def staged_episodes(run_context: dg.ResourceParam[RunContext], staged_records: pl.LazyFrame) -> checked.Results:
    stated = tables.current(staged_records.select(~_PLACE))
    records = episodes_of_records(collected(stated), load_episode_overrides())
    yield made(records)
    losses = release_losses(records)
    partial = run_context.not_accepted(partial_releases(losses))
    yield dg.AssetCheckResult(
        asset_key="staged_episodes",
        check_name="releases_are_whole",
        passed=not partial,
        description="; ".join(partial.values()) or "no release lacks what its neighbors have",
        metadata={
            "measured": losses.height,
            "violations": len(partial),
            "losses": dg.MetadataValue.text(losses.write_json()),
        },
    )
    vanished = history.vanished_codes(records).filter(pl.col("severity") == "warning")
    yield checked.result(
        "staged_episodes",
        "codes_vanish_only_by_purge",
        vanished,
        "codes vanished",
        records.height,
        severity=dg.AssetCheckSeverity.WARN,
    )


@dg.asset(
    **checked.asset(
        "hcpcs_history",
        "pipeline.transforms.history",
        "pipeline.transforms.published_tables",
        rules={
            "spans_do_not_overlap": "Spans of one code never overlap.",
            "every_record_in_one_span": "Exactly one span covers each record of each release.",
            "spans_say_what_releases_say": "A span has the content of each release it covers (ignoring case, spaces).",
        },
    ),
)
def hcpcs_history(staged_episodes: pl.LazyFrame) -> checked.Results:
    releases = staged_episodes.select(pl.col("release_id").unique()).collect()["release_id"]
    spans = history.history_from_records(without_repetitions(staged_episodes, CLAIMS), releases)
    spans = tables.flagged_history(spans, load_license_policy())
    yield from checked.published("hcpcs_history", spans)
    overlapping = history.overlapping_spans(spans)
    yield checked.result("hcpcs_history", "spans_do_not_overlap", overlapping, "overlapping spans", spans.height)
    records = collected(staged_episodes)  # all, so that the checks see what the spans were not made from
    uncovered = history.uncovered_records(records, spans)
    yield checked.result(
        "hcpcs_history", "every_record_in_one_span", uncovered, "records not in one span", records.height
    )
    unlike = history.records_unlike_span(records, spans)
    yield checked.result(
        "hcpcs_history", "spans_say_what_releases_say", unlike, "records unlike their span", records.height
    )


@dg.asset(
    **shown.asset("staged_states", "pipeline.transforms.history"),
    check_specs=checked.specs("staged_states", {"one_current_episode": "Every code has exactly one current episode."}),
)
def staged_states(staged_episodes: pl.LazyFrame, hcpcs_history: pl.DataFrame) -> checked.Results:
    records = without_repetitions(staged_episodes, CLAIMS)
    stated = staged_episodes.select(*_EPISODE, "release_id", "termination_date").collect()
    states = history.latest_states(records, hcpcs_history, history.departures(stated))
    yield made(states)
    without = history.codes_without_one_current_episode(states)
    yield checked.result(
        "staged_states", "one_current_episode", without, "codes without exactly one current episode", states.height
    )


@dg.asset(**checked.asset("hcpcs_changes", "pipeline.transforms.changes", "pipeline.transforms.published_tables"))
def hcpcs_changes(staged_records: pl.LazyFrame, staged_episodes: pl.LazyFrame) -> checked.Results:
    changes = changes_from_records(staged_records.select(~_PLACE), staged_episodes)
    yield from checked.published("hcpcs_changes", tables.flagged_changes(changes, load_license_policy()))


@dg.asset(
    **checked.asset(
        "hcpcs_crosswalk",
        "pipeline.transforms.crosswalk",
        "pipeline.transforms.published_tables",
        rules={"targets_known_or_explained": "Every target is known or explained."},
    ),
)
def hcpcs_crosswalk(staged_episodes: pl.LazyFrame, staged_states: pl.DataFrame) -> checked.Results:
    targets = crosswalk.crosswalk_from_records(staged_episodes, staged_states)
    targets = tables.flagged_crosswalk(targets, load_license_policy())
    yield from checked.published("hcpcs_crosswalk", targets)
    unexplained = crosswalk.unexplained_targets(targets)
    yield checked.result(
        "hcpcs_crosswalk", "targets_known_or_explained", unexplained, "targets not explained", targets.height
    )


@dg.asset(
    **checked.asset(
        "hcpcs_findings", "pipeline.transforms.cross_release_findings", "pipeline.transforms.published_tables"
    )
)
def hcpcs_findings(
    staged_findings: pl.DataFrame,
    staged_episodes: pl.LazyFrame,
    hcpcs_crosswalk: pl.DataFrame,
    hcpcs_transactions: pl.LazyFrame,
) -> checked.Results:
    across = findings_across_releases(staged_episodes, hcpcs_crosswalk, hcpcs_transactions, load_episode_overrides())
    found = tables.numbered_findings(pl.concat([staged_findings, across]), load_license_policy())
    yield from checked.published("hcpcs_findings", found)
