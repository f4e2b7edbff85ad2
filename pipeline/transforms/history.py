"""History: spans of unchanged content of every code, by DESIGN's "How days are decided", and what follows from them.

Pure functions of the records of all loaded releases, with their episodes. Days come from CMS's dates and the days on
which releases take effect, never from the clock. docs/history.md says the rules in words. Which record states which
meaning is decided in `episodes`, what counts as a change of content in `comparison`.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Sequence

import polars as pl

from pipeline.transforms.batches import in_batches_of_codes
from pipeline.transforms.comparison import content_forms
from pipeline.transforms.episodes import release_day
from schemas.columns import CONTENT_COLUMNS
from sources.release.calendar import releases_between

_CODE = ["kind", "code"]
_EPISODE = [*_CODE, "episode"]
_DAY = pl.duration(days=1)

#: CMS dropped a code from its file once this time had passed since its end (527 codes between 2013 and 2017).
_KEPT_AFTER_END = "4y"

SPAN_COLUMNS = (
    *_EPISODE,
    "span_number",
    "valid_from",
    "valid_to",
    "valid_from_basis",
    "valid_to_basis",
    "observed_gap",
    "first_release",
    "last_release",
)


def history_from_records(records_with_episodes: pl.DataFrame, releases: Iterable[str] | None = None) -> pl.DataFrame:
    """Spans of unchanged content: ``SPAN_COLUMNS`` and the content, sorted by kind, code, episode and span.

    ``records_with_episodes`` comes from ``episodes_of_records``; ``releases`` are the ids of all loaded releases, by
    default those of the records; with them, records ``without_repetitions`` suffice. A span carries the wording of the
    newest record within it.
    """
    loaded = _loaded_releases(records_with_episodes, releases)
    used = (*_EPISODE, "release_id", *CONTENT_COLUMNS, "added_date", "action_effective_date", "termination_date")

    def spans_of(some: pl.DataFrame) -> pl.DataFrame:
        records = _with_breaks(_with_neighbors(some, loaded))
        pieces = _with_ends(_pieces(records))
        return _with_observed_gap(_with_days(pieces), loaded["release_id"].to_list()).select(
            *SPAN_COLUMNS, *CONTENT_COLUMNS
        )

    return in_batches_of_codes(spans_of, records_with_episodes.select(*used, "action_code"))


def latest_states(
    records_with_episodes: pl.DataFrame, history: pl.DataFrame, departed: pl.DataFrame | None = None
) -> pl.DataFrame:
    """One row per kind, code and episode: content and dates of its newest record, and what became of it.

    Adds ``is_current_episode``, ``status``, ``first_release`` and ``last_release``. ``status``, as of the day of the
    newest release: ``active`` where the last span has not ended, else ``purged`` where CMS's file dropped the code
    when it was due (see ``departures``), else ``terminated``. An action effective date that the newest record leaves
    blank is that of the newest record before it that states one, if CMS did nothing since (action N).

    Records ``without_repetitions`` suffice with ``departed``, the ``departures`` of all of them.
    """
    newest_day = _loaded_releases(records_with_episodes)["day"].max()
    purged = (
        (departures(records_with_episodes) if departed is None else departed)
        .filter(pl.col("is_purge"))
        .select(*_EPISODE, pl.col("release_id").alias("last_release"), pl.lit(True).alias("_purged"))
    )
    ends = history.group_by(_EPISODE).agg(
        (pl.col("valid_to").is_null() | (pl.col("valid_to") >= pl.lit(newest_day, pl.Date))).any().alias("_open")
    )

    def states_of(records: pl.DataFrame) -> pl.DataFrame:
        states = records.sort(*_CODE, "release_id")
        return (
            states.with_columns(_action_days(states).alias("action_effective_date"))
            .group_by(_EPISODE, maintain_order=True)
            .agg(
                pl.col(
                    *CONTENT_COLUMNS, "added_date", "action_effective_date", "termination_date", "action_code"
                ).last(),
                pl.col("release_id").first().alias("first_release"),
                pl.col("release_id").last().alias("last_release"),
            )
            .join(ends, on=_EPISODE, how="left", maintain_order="left")
            .join(purged, on=[*_EPISODE, "last_release"], how="left", maintain_order="left")
            .with_columns(
                (pl.col("episode") == pl.col("episode").max().over(_CODE)).alias("is_current_episode"),
                pl.when(pl.col("_open"))
                .then(pl.lit("active"))
                .when(pl.col("_purged"))
                .then(pl.lit("purged"))
                .otherwise(pl.lit("terminated"))
                .alias("status"),
            )
            .select(
                *_EPISODE,
                "is_current_episode",
                "status",
                *CONTENT_COLUMNS,
                "added_date",
                "action_effective_date",
                "termination_date",
                "action_code",
                "first_release",
                "last_release",
            )
        )

    return in_batches_of_codes(states_of, records_with_episodes)


def departures(records_with_episodes: pl.DataFrame) -> pl.DataFrame:
    """Every code that a release has and the next one held has not.

    One row per code and departure: kind, code, episode, ``release_id`` (the last that has it), ``gone_release_id``,
    ``returned_release_id`` (null if it never came back), ``termination_date`` as last stated, ``is_due`` (its end lay
    more than four years before the release without it) and ``is_purge``: it was due, and most of the due codes that
    ended in the same year are gone with it. One old code missing from a release that keeps the others was not purged.
    """
    loaded = _loaded_releases(records_with_episodes)
    records = (
        records_with_episodes.select(*_EPISODE, "release_id", "termination_date")
        .sort(*_CODE, "release_id")
        .with_columns(
            pl.when(pl.all_horizontal(pl.col(c) == pl.col(c).shift(-1) for c in _CODE))
            .then(pl.col("release_id").shift(-1))
            .alias("returned_release_id")
        )
        .join(loaded, on="release_id", how="left", maintain_order="left")
        .with_columns((pl.col("returned_release_id") != pl.col("next_release_id")).fill_null(True).alias("_gone"))
        # All others are neither gone nor ended, so that they count nowhere.
        .filter(pl.col("next_release_id").is_not_null() & (pl.col("_gone") | pl.col("termination_date").is_not_null()))
        .with_columns(is_due(pl.col("termination_date"), pl.col("next_day")).alias("is_due"))
    )
    # Ends of one year fall due together; where a release between is not loaded, only the older years may have been.
    years = ["next_release_id", pl.col("termination_date").dt.year()]
    drops_most = pl.col("_gone").filter(pl.col("is_due")).mean().over(years) > 0.5
    return (
        records.with_columns((pl.col("is_due") & drops_most).fill_null(False).alias("is_purge"))
        .filter(pl.col("_gone"))
        .select(
            *_EPISODE,
            "release_id",
            pl.col("next_release_id").alias("gone_release_id"),
            "returned_release_id",
            "termination_date",
            "is_due",
            "is_purge",
        )
    )


def vanished_codes(records_with_episodes: pl.DataFrame) -> pl.DataFrame:
    """The departures that were no purge, with ``severity`` and ``reason``.

    ``reason``: ``restored`` (it came back in the same episode) and ``unseen_end`` (so long between the two releases
    that its end and its purge may both lie in releases not loaded) are of severity info; ``ended_not_due`` and
    ``no_end_stated`` are warnings.
    """
    gone = departures(records_with_episodes).filter(~pl.col("is_purge"))
    back = records_with_episodes.select(
        *_CODE, pl.col("release_id").alias("returned_release_id"), pl.col("episode").alias("_returned_episode")
    )
    return (
        gone.join(back, on=[*_CODE, "returned_release_id"], how="left", maintain_order="left")
        .with_columns(
            pl.when(pl.col("_returned_episode") == pl.col("episode"))
            .then(pl.lit("restored"))
            .when(pl.col("termination_date").is_not_null())
            .then(pl.lit("ended_not_due"))
            .when(is_due(release_day(pl.col("release_id")), release_day(pl.col("gone_release_id"))))
            .then(pl.lit("unseen_end"))
            .otherwise(pl.lit("no_end_stated"))
            .alias("reason")
        )
        .with_columns(
            pl.when(pl.col("reason").is_in(["restored", "unseen_end"]))
            .then(pl.lit("info"))
            .otherwise(pl.lit("warning"))
            .alias("severity")
        )
        .drop("_returned_episode")
    )


def overlapping_spans(history: pl.DataFrame) -> pl.DataFrame:
    """Spans that begin before an earlier one of the same code has ended, or that end before they begin."""
    ordered = history.select(*SPAN_COLUMNS).sort(*_CODE, "valid_from", "episode", "span_number")
    ends = pl.col("valid_to").fill_null(dt.date.max)
    return ordered.with_columns(ends.cum_max().shift(1).over(_CODE).alias("earlier_valid_to")).filter(
        (pl.col("valid_from") <= pl.col("earlier_valid_to")).fill_null(False)
        | (pl.col("valid_to") < pl.col("valid_from")).fill_null(False)
    )


def uncovered_records(records_with_episodes: pl.DataFrame, history: pl.DataFrame) -> pl.DataFrame:
    """Records that not exactly one span of their episode covers, by releases; ``spans`` says how many do."""
    records = records_with_episodes.select(*_EPISODE, "release_id").with_row_index("row")
    spans = history.select(*_EPISODE, "first_release", "last_release")
    covered = _covered(records, spans).group_by("row").agg(pl.len().alias("spans"))
    return (
        records.join(covered, on="row", how="left", maintain_order="left")
        .with_columns(pl.col("spans").fill_null(0))
        .filter(pl.col("spans") != 1)
        .drop("row")
    )


def records_unlike_span(records_with_episodes: pl.DataFrame, history: pl.DataFrame) -> pl.DataFrame:
    """Records whose content differs, beyond form, from that of the span which covers them.

    Only records in force when their release takes effect, by the span's days and by their own dates: one that changes
    after its end keeps its last span, and one that is taken up again later says what will hold.
    """
    on = release_day(pl.col("release_id"))
    spans = history.select(*_EPISODE, "span_number", content_forms(history).alias("_span"))

    def unlike(some: pl.DataFrame) -> pl.DataFrame:
        stated = some.filter(
            (pl.col("termination_date") >= on).fill_null(True)
            & (pl.col("action_code").ne_missing("R") | (pl.col("action_effective_date") <= on).fill_null(False))
        )
        stated = stated.select(*_EPISODE, "release_id", content_forms(stated).alias("_stated"))
        return (
            _covered(stated, history.select(*SPAN_COLUMNS))
            .filter((on >= pl.col("valid_from")) & (on <= pl.col("valid_to")).fill_null(True))
            .join(spans, on=[*_EPISODE, "span_number"], how="left", maintain_order="left")
            .filter(pl.col("_stated") != pl.col("_span"))
            .select(*_EPISODE, "span_number", "release_id")
        )

    return in_batches_of_codes(unlike, records_with_episodes)


def codes_without_one_current_episode(states: pl.DataFrame) -> pl.DataFrame:
    """Codes of ``latest_states`` that have not exactly one current episode; ``current`` says how many they have."""
    return (
        states.group_by(_CODE, maintain_order=True)
        .agg(pl.col("is_current_episode").sum().cast(pl.Int32).alias("current"))
        .filter(pl.col("current") != 1)
    )


def _loaded_releases(records: pl.DataFrame, releases: Iterable[str] | None = None) -> pl.DataFrame:
    """The loaded releases in order, with number, day, and id and day of their neighbors."""
    ids = sorted(set(records["release_id"].unique() if releases is None else releases))
    return pl.DataFrame({"release_id": ids}, schema={"release_id": pl.String}).with_columns(
        pl.int_range(pl.len(), dtype=pl.Int32).alias("number"),
        release_day(pl.col("release_id")).alias("day"),
        release_day(pl.col("release_id")).shift(1).alias("previous_day"),
        release_day(pl.col("release_id")).shift(-1).alias("next_day"),
        pl.col("release_id").shift(-1).alias("next_release_id"),
    )


def _with_neighbors(records: pl.DataFrame, loaded: pl.DataFrame) -> pl.DataFrame:
    """The records with what the rule needs of their releases and of the record before, all within the episode."""
    before = {c: pl.col(c).shift(1).over(_EPISODE) for c in ("content_form", "termination_date", "number", "next_day")}
    action_day = pl.col("action_day")
    in_window = ((action_day > pl.col("previous_day")) & (action_day <= pl.col("day"))).fill_null(False)
    formed = records.with_columns(content_forms(records))
    ordered = formed.join(loaded, on="release_id", how="left").sort(*_CODE, "release_id")
    return ordered.with_columns(_action_days(ordered).alias("action_day")).with_columns(
        pl.when(in_window).then(action_day).otherwise("day").alias("change_day"),
        pl.when(in_window).then(pl.lit("action")).otherwise(pl.lit("release")).alias("change_basis"),
        (before["content_form"] != pl.col("content_form")).fill_null(False).alias("changes"),
        before["number"].is_null().alias("begins"),
        before["termination_date"].alias("previous_end"),
        # The release after the previous record's is the first without the code, if one lies between.
        pl.when(pl.col("number") - before["number"] > 1).then(before["next_day"] - _DAY).alias("last_listed_day"),
    )


def _action_days(ordered: pl.DataFrame) -> pl.Series:
    """The action effective date of each record; ``ordered`` is sorted by kind, code and release.

    What a release leaves blank, as workbooks do, is what the nearest later record states, else the nearest earlier
    one, among those between which CMS did nothing (action N): null only if no record of such a run states it.
    """
    same = pl.all_horizontal(pl.col(c) == pl.col(c).shift(1) for c in _EPISODE) & (pl.col("action_code") == "N")
    run = ordered.select((~same.fill_null(False)).cum_sum().alias("run"), day="action_effective_date")
    return run.select(pl.col("day").backward_fill().forward_fill().over("run")).to_series()


def _with_breaks(records: pl.DataFrame) -> pl.DataFrame:
    """The records with the first day of their episode, and where an R takes the code up again after days without it."""
    ended_before = pl.coalesce("previous_end", "last_listed_day")
    is_reactivation = (pl.col("action_code") == "R") & ~pl.col("begins")
    return (
        records.join(_episode_starts(records), on=_EPISODE, how="left", maintain_order="left")
        .with_columns(
            # An end from before the added date, as the newest release has it, is none of this episode's.
            pl.when(is_reactivation & (ended_before >= pl.col("episode_start")))
            .then(ended_before)
            .alias("ended_before"),
            pl.coalesce("action_day", "day").alias("resumes"),
        )
        .with_columns(
            # Announced before the end, and with other content, an R revokes the end: it was in effect at once.
            (
                (pl.col("resumes") > pl.col("ended_before") + _DAY)
                & (~pl.col("changes") | (pl.col("change_day") > pl.col("ended_before")))
            )
            .fill_null(False)
            .alias("resumed")
        )
    )


def _pieces(records: pl.DataFrame) -> pl.DataFrame:
    """Runs of records of unchanged content and no stated break, each with the day it starts and why that day."""
    runs = records.with_columns(
        (pl.col("begins") | pl.col("changes") | pl.col("resumed")).cum_sum().over(_EPISODE).alias("piece")
    )
    resumed = pl.col("resumed").first()
    return (
        runs.group_by(*_EPISODE, "piece", maintain_order=True)
        .agg(
            pl.col(*CONTENT_COLUMNS).last(),
            pl.col("release_id").first().alias("first_release"),
            pl.col("release_id").last().alias("last_release"),
            pl.col("begins", "episode_start", "episode_start_basis", "end", "absent_end").first(),
            pl.when(resumed).then(pl.col("resumes").first()).otherwise(pl.col("change_day").first()).alias("start"),
            pl.when(resumed & pl.col("action_day").first().is_not_null())
            .then(pl.lit("action"))
            .when(resumed)
            .then(pl.lit("release"))
            .otherwise(pl.col("change_basis").first())
            .alias("start_basis"),
            pl.when(resumed).then(pl.col("ended_before").first()).alias("ended_before"),
            pl.when(resumed & pl.col("previous_end").first().is_null())
            .then(pl.lit("absence"))
            .when(resumed)
            .then(pl.lit("termination"))
            .alias("ended_before_basis"),
        )
        .with_columns(
            pl.when(pl.col("begins"))
            .then("episode_start")
            .otherwise(pl.max_horizontal("start", "episode_start"))
            .alias("start"),
            pl.when(pl.col("begins") | (pl.col("episode_start") > pl.col("start")))
            .then("episode_start_basis")
            .otherwise("start_basis")
            .alias("start_basis"),
        )
    )


def _episode_starts(records: pl.DataFrame) -> pl.DataFrame:
    """The first day of every episode, and why that day: each after the first day of the episode before it.

    The newest added date wins; where that does not lie after the episode before (an override split it there, or the
    date was corrected that far back), the one that the episode's first record stated, else the day of that record's
    change. With it the ends: the newest one stated (``end``), and the last day before a release without the code.
    """
    episodes = records.group_by(_EPISODE, maintain_order=True).agg(
        pl.col("added_date").drop_nulls().last().alias("added"),
        pl.col("added_date").drop_nulls().first().alias("added_at_first"),
        pl.col("change_day").first().alias("first_change_day"),
        pl.col("change_basis").first().alias("first_change_basis"),
        pl.col("termination_date").last().alias("end"),
        pl.col("termination_date").min().alias("earliest_end"),
        (pl.col("next_day").last() - _DAY).alias("absent_end"),
    )
    candidates = ["added", "added_at_first", "first_change_day"]
    bases = [pl.lit("added"), pl.lit("added"), pl.col("first_change_basis")]
    known = episodes.with_columns(
        # Nothing says when it was added: it held on the last day stated, if that was over when the code is first seen.
        pl.coalesce("added", pl.min_horizontal("first_change_day", "earliest_end")).alias("episode_start"),
        pl.when(pl.col("added").is_null()).then("first_change_basis").otherwise(bases[0]).alias("episode_start_basis"),
    )
    for episode in range(2, (episodes["episode"].max() or 1) + 1):  # type: ignore[operator, arg-type]
        before = pl.col("episode_start").shift(1).over(_CODE)
        day: pl.Expr = before + _DAY
        basis: pl.Expr = pl.lit("release")
        for candidate, its_basis in zip(reversed(candidates), reversed(bases), strict=True):
            later = (pl.col(candidate) > before).fill_null(False)
            day = pl.when(later).then(candidate).otherwise(day)
            basis = pl.when(later).then(its_basis).otherwise(basis)
        here = pl.col("episode") == episode
        known = known.with_columns(
            pl.when(here).then(day).otherwise("episode_start").alias("episode_start"),
            pl.when(here).then(basis).otherwise("episode_start_basis").alias("episode_start_basis"),
        )
    return known.select(*_EPISODE, "episode_start", "episode_start_basis", "end", "absent_end")


def _with_ends(pieces: pl.DataFrame) -> pl.DataFrame:
    """The pieces with the day each ends, and why: the first of a stated end, the next piece, an absence."""
    before_later_starts = pl.col("start").cum_min(reverse=True).shift(-1).over(_CODE) - _DAY
    before_resumption = pl.col("ended_before").fill_null(dt.date.max).cum_min(reverse=True).shift(-1).over(_EPISODE)
    resumption_basis = pl.col("ended_before_basis").backward_fill().shift(-1).over(_EPISODE)
    return (
        pieces.with_columns(
            before_later_starts.alias("next_span"),
            before_resumption.replace(dt.date.max, None).alias("resumption"),
            resumption_basis.alias("resumption_basis"),
            pl.when(pl.col("end").is_null()).then("absent_end").alias("absence"),
        )
        .with_columns(
            pl.min_horizontal("next_span", "resumption", "end", "absence").alias("stop"),
        )
        .with_columns(
            pl.when(pl.col("stop").is_null())
            .then(pl.lit("open"))
            .when(pl.col("stop") == pl.col("end"))
            .then(pl.lit("termination"))
            .when(pl.col("stop") == pl.col("resumption"))
            .then("resumption_basis")
            .when(pl.col("stop") == pl.col("next_span"))
            .then(pl.lit("next_span"))
            .otherwise(pl.lit("absence"))
            .alias("stop_basis"),
        )
    )


def _with_days(pieces: pl.DataFrame) -> pl.DataFrame:
    """The pieces that have days, as spans; a piece without a day is covered by the span before it, else the next.

    Content that CMS changed after the end, or before the added date that it now states, was in effect on no day.
    """
    has_days = (pl.col("start") <= pl.col("stop")).fill_null(True)
    # Dates that contradict each other leave an episode no day: it keeps its first one, so that it has a span, with what
    # the releases said by then.
    stated_by_then = pl.col("piece").filter(release_day(pl.col("first_release")) <= pl.col("episode_start")).max()
    kept = pl.coalesce(stated_by_then, pl.col("piece").min()).over(_EPISODE)
    marked = pieces.with_columns(has_days.alias("has_days")).with_columns(
        (~pl.col("has_days").any().over(_EPISODE) & (pl.col("piece") == kept)).alias("forced")
    )
    spans = marked.with_columns(
        pl.when(pl.col("forced")).then("episode_start").otherwise("start").alias("start"),
        pl.when(pl.col("forced")).then("episode_start").otherwise("stop").alias("stop"),
        pl.when(pl.col("has_days") | pl.col("forced")).then("piece").alias("span"),
    ).with_columns(
        pl.col("span").forward_fill().over(_EPISODE).fill_null(pl.col("span").backward_fill().over(_EPISODE))
    )
    own = pl.col("span") == pl.col("piece")
    return (
        spans.group_by(*_EPISODE, "span", maintain_order=True)
        .agg(
            pl.col("start", "stop", "start_basis", "stop_basis", *CONTENT_COLUMNS).filter(own).first(),
            pl.col("first_release").first(),
            pl.col("last_release").last(),
        )
        .rename(
            {
                "start": "valid_from",
                "stop": "valid_to",
                "start_basis": "valid_from_basis",
                "stop_basis": "valid_to_basis",
            }
        )
        .with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over(_EPISODE).alias("span_number"))
    )


def _with_observed_gap(spans: pl.DataFrame, loaded: Sequence[str]) -> pl.DataFrame:
    """Add whether a release that would decide one of the span's days, up to the newest release, is not loaded."""
    if not loaded:
        return spans.with_columns(pl.lit(False).alias("observed_gap"))
    known = sorted({*loaded, *releases_between(loaded[0], loaded[-1])})
    periods = pl.DataFrame({"release_id": known}).with_columns(
        release_day(pl.col("release_id")).alias("day"), release_day(pl.col("release_id")).shift(-1).alias("next_day")
    )
    missing = periods.filter(~pl.col("release_id").is_in(loaded))
    # Periods do not overlap: one touches the span if more of them began by its last day than were over by its first.
    begun = missing["day"].search_sorted(spans["valid_to"].fill_null(dt.date.max), side="right")
    over = missing["next_day"].search_sorted(spans["valid_from"], side="right")
    return spans.with_columns(((spans["valid_from"] < periods["day"][0]) | (begun > over)).alias("observed_gap"))


def _covered(records: pl.DataFrame, spans: pl.DataFrame) -> pl.DataFrame:
    """Every record with each span of its episode that covers it, by releases."""
    return records.join(spans, on=_EPISODE, how="inner", maintain_order="left_right").filter(
        (pl.col("release_id") >= pl.col("first_release")) & (pl.col("release_id") <= pl.col("last_release"))
    )


def is_due(end: pl.Expr, day: pl.Expr) -> pl.Expr:
    """Whether CMS drops a code that ended on ``end`` from a release of ``day``; false where either is null."""
    return (end.dt.offset_by(_KEPT_AFTER_END) < day).fill_null(False)
