"""What changed between neighboring releases, field by field, and whether CMS's own action code says so.

Neighbors are the current revisions of two successive loaded releases, and two successive revisions of one release.
``episodes`` decides which meaning of a code a record speaks of, ``comparison`` what counts as a change of form,
``history`` from when to when a content was in effect and which departure was a purge.
"""

from __future__ import annotations

import json

import polars as pl

from pipeline.transforms.batches import in_batches_of_codes
from pipeline.transforms.comparison import PROSE_COLUMNS, field_form
from pipeline.transforms.episodes import release_day
from pipeline.transforms.history import departures
from pipeline.transforms.repetitions import CLAIMS, without_repetitions
from schemas.columns import CONTENT_COLUMNS
from schemas.contract import schema_of
from schemas.hcpcs_changes import HcpcsChanges
from sources.release.calendar import previous_release

#: Fields by the class of their change. CMS's action codes name the same classes: P reports payment, F of
#: administrative data, T of BETOS and type of service, C of the long description, S of the short one.
PAYMENT_FIELDS = (
    "pricing_indicators",
    "multiple_pricing_code",
    "asc_group",
    "asc_date",
    "opps_group",
    "opps_policy_code",
    "opps_date",
    "anesthesia_base_units",
)
MISCELLANEOUS_FIELDS = ("betos_code", "type_of_service_codes")
DATE_FIELDS = ("added_date", "action_effective_date", "termination_date")

#: The field of a change that is about the whole record.
WHOLE_RECORD = "record"

#: What each action code states: classes of change, the two descriptions apart.
REPORTED_BY_ACTION_CODE: dict[str, tuple[str, ...]] = {
    "A": ("added", "reused", "restored"),
    "B": ("long_description", "administrative", "added_date_corrected", "text_format_only"),
    "C": ("long_description", "text_format_only"),
    "D": ("discontinued", "termination_corrected"),
    "F": ("administrative", "added_date_corrected"),
    "N": ("text_format_only",),
    "P": ("payment",),
    "R": ("reactivated", "restored"),
    "S": ("short_description", "text_format_only"),
    "T": ("miscellaneous",),
}
#: The action code that claims no change.
NO_CHANGE = "N"

# One letter has room for one change: it need not state the lesser ones beside the greatest.
_RANK = {
    "added": 2,
    "reused": 2,
    "restored": 2,
    "reactivated": 2,
    "discontinued": 2,
    "termination_corrected": 2,
    "added_date_corrected": 1,
    "text": 1,
    "payment": 1,
    "administrative": 1,
    "miscellaneous": 1,
    "text_format_only": 0,
    "action_date": 0,
}
#: What is gone has no record left that could bear an action code.
_GONE = ("purged", "vanished")

#: The sequence of the releases as they are now; a release that was posted again has one of its own, named by its id.
_CURRENT = ""
_CODE = ("kind", "code")
_HISTORY = ("sequence", *_CODE)
_KEY = ("release_id", "revision", "previous_release_id", "kind", "code", "change", "field")

#: Columns of the changes, in order; the license columns come later.
CHANGE_SCHEMA = schema_of(HcpcsChanges)


def changes_from_records(records: pl.LazyFrame, episodes: pl.LazyFrame) -> pl.DataFrame:
    """``changes_between_releases`` of ``records``, all revisions of all releases, read without what they repeat.

    ``episodes`` are the current ones with ``episode``, as ``episodes_of_records`` sorts them.
    """
    postings = records.select("release_id", "revision").unique().collect()
    is_current = pl.col("revision") == pl.col("revision").max().over("release_id")
    reposted = pl.col("release_id").is_in(postings.filter(~is_current)["release_id"].implode())
    stated = episodes.select(*_CODE, "episode", "release_id", "termination_date").collect()
    older = with_current_episodes(records.filter(reposted).filter(~is_current).collect(), stated)
    current = without_repetitions(episodes, CLAIMS | reposted)
    return changes_between_releases(pl.concat([current, older], how="diagonal"), postings, departures(stated))


def changes_between_releases(
    records: pl.DataFrame, postings: pl.DataFrame | None = None, departed: pl.DataFrame | None = None
) -> pl.DataFrame:
    """Every difference between neighbors, one row a record, change and field (``CHANGE_SCHEMA``), sorted by its key.

    ``records`` holds all revisions of all releases, with ``episode``. A change of form is no change, except that a
    description's is reported as ``text_format_only``; an empty action effective date or added date is unknown, since
    workbooks leave them blank, and what is unknown has not changed.

    Of records ``without_repetitions``, which lack none that claims an action or is of a release posted again,
    ``postings`` (``release_id, revision``) and ``departed`` (``history.departures``) say what they do not.
    """
    if postings is None or departed is None:
        postings = records.select("release_id", "revision").unique()
        dated = records.select(*_CODE, "episode", "release_id", "revision", "termination_date")
        departed = departures(dated.filter(pl.col("revision") == pl.col("revision").max().over("release_id")))
        records = records.with_columns(repeats=pl.lit(False))
    steps = _steps(postings)
    purges = departed.filter("is_purge").select(*_CODE, "release_id", "is_purge")

    def changes_of(some: pl.DataFrame) -> pl.DataFrame:
        histories = _histories(some, steps)
        changes = pl.concat([_of_presence(histories), _gone(histories, steps, purges), _of_fields(histories)])
        return (
            _judged(changes, histories, steps)
            .join(steps, on=["sequence", "step"], how="left")
            .select(pl.col(name).cast(dtype) for name, dtype in CHANGE_SCHEMA.items())
        )

    used = ("release_id", "revision", *_CODE, "episode", *CONTENT_COLUMNS, *DATE_FIELDS, "action_code", "repeats")
    return in_batches_of_codes(changes_of, records.select(used)).sort(_KEY)


def transactions_unlike_records(records: pl.DataFrame, transactions: pl.DataFrame) -> pl.DataFrame:
    """Where a release's transaction report and its current records differ: an action code, or a line only one has.

    One row a code: ``release_id, kind, code, record_action_code, report_action_code`` (null where there is no line).
    """
    key = ["release_id", "kind", "code"]
    loaded = records.filter(pl.col("revision") == pl.col("revision").max().over("release_id"))
    ours = loaded.select(*key, pl.col("action_code").alias("record_action_code")).join(
        transactions.select("release_id").unique(), on="release_id", how="semi"
    )
    theirs = transactions.select(*key, pl.col("action_code").alias("report_action_code")).unique()
    both = ours.join(theirs, on=key, how="full", coalesce=True)
    return both.filter(pl.col("record_action_code").ne_missing(pl.col("report_action_code"))).sort(*key)


def _steps(postings: pl.DataFrame) -> pl.DataFrame:
    """The postings (``release_id, revision``) in sequences of neighbors, with what is known of each step.

    One sequence is that of the current revisions, one more each release that was posted again.
    """
    postings = postings.sort("release_id", "revision")
    current = postings.group_by("release_id", maintain_order=True).last().with_columns(sequence=pl.lit(_CURRENT))
    reposted = postings.filter(pl.len().over("release_id") > 1).with_columns(sequence=pl.col("release_id"))
    sequences = pl.concat([current, reposted.select(current.columns)]).with_columns(
        step=pl.int_range(pl.len(), dtype=pl.Int32).over("sequence")
    )
    previous = [pl.col(c).shift(1).over("sequence").alias(f"previous_{c}") for c in ("release_id", "revision")]
    steps = sequences.with_columns(*previous)
    before = {r: previous_release(r) for r in postings["release_id"].unique()}
    posted_before = pl.col("release_id").replace_strict(before, return_dtype=pl.String)
    return steps.with_columns(
        observed_gap=(pl.col("previous_release_id") < posted_before).fill_null(False),
        posted_before=release_day(posted_before),
        is_last=pl.col("step") == pl.col("step").max().over("sequence"),
    )


def _histories(records: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
    """The records in their sequences, a code's records together."""
    postings = steps.select("release_id", "revision", "sequence", "step")
    same_history = pl.all_horizontal(pl.col(c) == pl.col(c).shift(1) for c in _HISTORY)
    # What a record repeats may have been left out: it is of the step before all the same.
    repeats = pl.col("repeats").fill_null(False) & (pl.col("sequence") == _CURRENT)
    return (
        records.join(postings, on=["release_id", "revision"], how="inner")
        .sort(*_HISTORY, "step")
        .with_columns(same_history.fill_null(False).alias("was_there"), repeats=repeats)
        .with_columns(
            previous_step=pl.when("repeats").then(pl.col("step") - 1).when("was_there").then(pl.col("step").shift(1)),
            next_step=pl.when(pl.col("repeats").shift(-1))
            .then(pl.col("step") + 1)
            .when(pl.col("was_there").shift(-1))
            .then(pl.col("step").shift(-1)),
        )
        .with_row_index("row")
    )


_ROW_SCHEMA = {
    "row": pl.UInt32(),
    "sequence": pl.String(),
    "step": pl.Int32(),
    "change": pl.String(),
    "field": pl.String(),
    "old": pl.String(),
    "new": pl.String(),
}


def _rows(
    frame: pl.DataFrame, change: pl.Expr, field: str, old: pl.Expr | None = None, new: pl.Expr | None = None
) -> pl.DataFrame:
    none = pl.lit(None, pl.String)
    return frame.select(
        "row",
        "sequence",
        "step",
        change.alias("change"),
        pl.lit(field).alias("field"),
        (none if old is None else old).cast(pl.String).alias("old"),
        (none if new is None else new).cast(pl.String).alias("new"),
    ).cast(_ROW_SCHEMA)  # type: ignore[arg-type]


def _of_presence(histories: pl.DataFrame) -> pl.DataFrame:
    """Codes that are new, are back, or mean something else; and the end that such a record brings with it."""
    earlier = histories.select(
        pl.col("episode").shift(1).alias("earlier_episode"), pl.col("termination_date").shift(1).alias("earlier_end")
    )
    after_first = histories.hstack(earlier).filter(pl.col("step") > 0)
    is_adjacent = pl.col("previous_step") == pl.col("step") - 1
    is_other = pl.col("was_there") & (pl.col("episode") > pl.col("earlier_episode"))
    arrived = after_first.with_columns(
        change=pl.when(is_other)
        .then(pl.lit("reused"))
        .when(is_adjacent.fill_null(False))
        .then(None)
        .when(pl.col("action_code") == "R")
        .then(pl.lit("reactivated"))
        .when("was_there")
        .then(pl.lit("restored"))
        .otherwise(pl.lit("added"))
    ).filter(pl.col("change").is_not_null())
    # Where the release before has the code too and another end, or none, the field's own row says so: see `_of_fields`.
    is_reported = is_adjacent & pl.col("termination_date").ne_missing(pl.col("earlier_end"))
    ended = arrived.filter(
        pl.col("termination_date").is_not_null()
        & ~is_reported.fill_null(False)
        & ((pl.col("change") == "added") | is_other | pl.col("earlier_end").is_null())
    )
    end = _rows(ended, pl.lit("discontinued"), "termination_date", None, pl.col("termination_date"))
    return pl.concat([_rows(arrived, pl.col("change"), WHOLE_RECORD), end])


def _gone(histories: pl.DataFrame, steps: pl.DataFrame, purges: pl.DataFrame) -> pl.DataFrame:
    """Codes that the next release of their sequence no longer has; what a re-post leaves out is never purged."""
    left = (
        histories.select("row", "sequence", "step", "next_step", *_CODE, "release_id")
        .join(steps.select("sequence", "step", "is_last"), on=["sequence", "step"])
        .filter(~pl.col("is_last") & pl.col("next_step").ne_missing(pl.col("step") + 1))
        .join(purges, on=[*_CODE, "release_id"], how="left")
        .with_columns(pl.col("step") + 1)
    )
    is_purge = pl.col("is_purge").fill_null(False) & (pl.col("sequence") == _CURRENT)
    return _rows(left, pl.when(is_purge).then(pl.lit("purged")).otherwise(pl.lit("vanished")), WHOLE_RECORD)


def _of_fields(histories: pl.DataFrame) -> pl.DataFrame:
    """Differences between a record and the same code's record in the neighbor before, by field."""
    adjacent = histories.select((pl.col("previous_step") == pl.col("step") - 1).fill_null(False)).to_series()
    is_other = histories.select(pl.col("episode") > pl.col("episode").shift(1)).to_series()
    found = []
    for field in (*CONTENT_COLUMNS, *DATE_FIELDS):
        values = histories[field]
        as_stated = values.list.join("\x1f") if isinstance(values.dtype, pl.List) else values
        at = (adjacent & as_stated.ne_missing(as_stated.shift(1))).arg_true()
        if not at.len():
            continue
        new, old = values.gather(at), values.gather(at - 1)
        pairs = histories.select("row", "sequence", "step", "action_code")[at].with_columns(
            pl.Series("is_other", is_other.gather(at)),
            pl.Series("old", old),
            pl.Series("new", new),
        )
        if field in CONTENT_COLUMNS:
            alike = _form(new, field) == _form(old, field)
            pairs = pairs.with_columns(pl.Series("alike", alike)).filter(~pl.col("alike") | (field in PROSE_COLUMNS))
        else:
            pairs = pairs.with_columns(alike=pl.lit(False))
        if field in ("added_date", "action_effective_date"):
            pairs = pairs.filter(pl.col("old").is_not_null() & pl.col("new").is_not_null())
        pairs = pairs.with_columns(
            pl.Series("old_text", _as_text(pairs["old"])), pl.Series("new_text", _as_text(pairs["new"]))
        )
        found.append(_rows(pairs, _class_of(field), field, pl.col("old_text"), pl.col("new_text")))
    return pl.concat(found) if found else pl.DataFrame(schema=_ROW_SCHEMA)


def _form(values: pl.Series, field: str) -> pl.Series:
    return values.alias(field).to_frame().select(field_form(field)).to_series()


def _as_text(values: pl.Series) -> pl.Series:
    """Values as text; a list as JSON."""
    if not isinstance(values.dtype, pl.List):
        return values.cast(pl.String)
    return pl.Series(
        [None if v is None else json.dumps(v, ensure_ascii=False) for v in values.to_list()], dtype=pl.String
    )


def _class_of(field: str) -> pl.Expr:
    """The class of a change of ``field``, from ``old``, ``new``, ``alike``, ``is_other`` and ``action_code``."""
    reused = pl.when("is_other").then(pl.lit("reused"))
    if field in PROSE_COLUMNS:
        return pl.when("alike").then(pl.lit("text_format_only")).otherwise(reused.otherwise(pl.lit("text")))
    if field == "action_effective_date":
        return pl.lit("action_date")
    if field == "added_date":
        return reused.otherwise(pl.lit("added_date_corrected"))
    if field == "termination_date":
        later = pl.col("new").is_null() | (pl.col("new") > pl.col("old"))
        return (
            pl.when(pl.col("is_other") & pl.col("new").is_null())
            .then(pl.lit("reused"))
            .when(pl.col("is_other") | pl.col("old").is_null())
            .then(pl.lit("discontinued"))
            .when((pl.col("action_code") == "R") & later)
            .then(pl.lit("reactivated"))
            .otherwise(pl.lit("termination_corrected"))
        )
    if field in PAYMENT_FIELDS:
        return reused.otherwise(pl.lit("payment"))
    return reused.otherwise(pl.lit("miscellaneous" if field in MISCELLANEOUS_FIELDS else "administrative"))


def with_current_episodes(records: pl.DataFrame, current: pl.DataFrame) -> pl.DataFrame:
    """Give the records of all revisions the ``episode`` that ``current`` has for the same kind, code and release.

    A record that only an older revision has takes the episode of the release before it that has the code, else of
    the one after it, else 1.
    """
    key = [*_CODE, "release_id"]
    episode = pl.col("episode")
    same_releases = current.filter(pl.col("release_id").is_in(records["release_id"].unique().implode()))
    episodes = records.select(*key, "revision").join(
        same_releases.select(*key, "episode"), on=key, how="left", maintain_order="left"
    )
    if episodes["episode"].has_nulls():
        episodes = (
            pl.concat([current.select(*key, "episode"), episodes.with_row_index("row")], how="diagonal")
            .sort(*key, "revision")
            .with_columns(episode.forward_fill().over(_CODE))
            .with_columns(episode.backward_fill().over(_CODE).fill_null(1).cast(pl.Int32))
            .drop_nulls("row")
            .sort("row")
        )
    return records.with_columns(episodes["episode"])


def _judged(changes: pl.DataFrame, histories: pl.DataFrame, steps: pl.DataFrame) -> pl.DataFrame:
    """The changes beside CMS's action code, and the claims that nothing seen bears out (``claimed_not_seen``)."""
    stated = histories.select("row", "kind", "code", "episode", "action_code", "action_effective_date", "added_date")
    facts = steps.select("sequence", "step", "observed_gap", "posted_before")
    rows = changes.join(stated, on="row", how="left").join(facts, on=["sequence", "step"], how="left")
    is_gone = pl.col("change").is_in(_GONE)
    topic = pl.when(pl.col("change") == "text").then("field").otherwise("change")
    reported = pl.DataFrame(
        [(letter, t, True) for letter, topics in REPORTED_BY_ACTION_CODE.items() for t in topics],
        schema={"letter": pl.String, "topic": pl.String, "is_reported": pl.Boolean},
        orient="row",
    )
    rows = (
        rows.with_columns(letter=pl.when(~is_gone).then("action_code"), topic=topic)
        .join(reported, on=["letter", "topic"], how="left")
        .with_columns(
            pl.col("is_reported").fill_null(False),
            rank=pl.col("change").replace_strict(_RANK, default=None, return_dtype=pl.Int8),
        )
    )
    reported_rank = pl.when("is_reported").then("rank").max().over("sequence", "step", "kind", "code")
    has_room = (reported_rank.fill_null(-1)) < pl.col("rank")
    # Over a gap the letter speaks of the last of several steps alone; its date says whether it is this change's.
    in_step = (pl.col("action_effective_date") > pl.col("posted_before")).fill_null(False)
    must_be_reported = pl.col("change").is_in(["added", "reused"]) & (pl.col("added_date") > pl.col("posted_before"))
    # No letter denies a change of form, nor a new date for an action older than the release before; and there is none
    # for a record that was left out and is back.
    is_date = pl.col("change") == "action_date"
    is_idle = pl.col("change").is_in(["text_format_only", "restored"]) | (is_date & ~in_step)
    dates_its_action = is_date & (pl.col("letter") != NO_CHANGE) & in_step
    agrees = (
        pl.when(
            pl.col("letter").is_null()
            | ~pl.col("letter").is_in(list(REPORTED_BY_ACTION_CODE))
            | (pl.col("sequence") != _CURRENT)
        )
        .then(None)
        .when(dates_its_action | (pl.col("is_reported") & (~pl.col("observed_gap") | in_step)))
        .then(True)
        .when(
            ~pl.col("is_reported") & has_room & ~is_idle & (~pl.col("observed_gap") | must_be_reported.fill_null(False))
        )
        .then(False)
    )
    otherwise = (
        pl.when(pl.col("letter") == NO_CHANGE).then(pl.lit("not_reported")).otherwise(pl.lit("reported_differently"))
    )
    rows = rows.with_columns(agrees_with_cms=agrees)
    rows = rows.with_columns(disagreement=pl.when(~pl.col("agrees_with_cms")).then(otherwise))
    columns = (*_ROW_SCHEMA, "kind", "code", "episode", "letter", "agrees_with_cms", "disagreement")
    claims = _not_observed_claims(histories, facts, rows.filter("is_reported").select("row").unique())
    return pl.concat([rows.select(columns), claims.select(columns)]).rename({"letter": "cms_action_code"})


def _not_observed_claims(histories: pl.DataFrame, facts: pl.DataFrame, reported: pl.DataFrame) -> pl.DataFrame:
    """Action codes that claim a change where none of the kind is seen.

    To 2012 CMS let an action code stand until the next action; its date then lies before the release before.
    """
    claimed = [letter for letter in REPORTED_BY_ACTION_CODE if letter != NO_CHANGE]
    adjacent = pl.col("previous_step") == pl.col("step") - 1
    wanted = (pl.col("sequence") == _CURRENT) & (pl.col("step") > 0) & pl.col("action_code").is_in(claimed)
    earlier = pl.when(adjacent).then(pl.col("action_code").shift(1))
    claims = (
        histories.select(
            "row",
            "sequence",
            "step",
            "kind",
            "code",
            "episode",
            "action_code",
            "action_effective_date",
            old=earlier,
            wanted=wanted,
        )
        .filter("wanted")
        .join(reported, on="row", how="anti")
        .join(facts, on=["sequence", "step"], how="left")
    )
    is_old = pl.col("action_effective_date") <= pl.col("posted_before")
    return claims.with_columns(
        change=pl.lit("claimed_not_seen"),
        field=pl.lit("action_code"),
        new=pl.col("action_code"),
        letter=pl.col("action_code"),
        agrees_with_cms=pl.when(~pl.col("observed_gap")).then(False),
        disagreement=pl.when(~pl.col("observed_gap")).then(
            pl.when(is_old.fill_null(False)).then(pl.lit("stale_action_code")).otherwise(pl.lit("not_observed"))
        ),
    )
