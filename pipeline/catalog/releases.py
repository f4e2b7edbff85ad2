"""The catalog's page Releases, and a page for each: what it added, ended, re-worded, re-used and purged, and whether
CMS's action codes report it. The rows of a release's changes are data; its page draws them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise

import polars as pl

from pipeline.catalog.charts import MOST_SERIES, Chart, bar_chart, line_chart
from pipeline.catalog.site import Site
from pipeline.catalog.table_rows import by_column
from pipeline.catalog.version_reader import PublishedVersion, PublishedVersions
from sources.release.calendar import next_release, releases_between
from sources.release.names import effective_day

#: Each class of change in few words, weightiest first; docs/changes.md says exactly what each is.
CHANGE_MEANINGS = {
    "added": "no earlier loaded release has the code",
    "discontinued": "an end is stated where there was none",
    "reused": "the code was re-used for something else",
    "reactivated": "CMS took the end back, or moved it later, and says so",
    "restored": "back after an absence, with the same meaning",
    "purged": "gone, as CMS drops codes some years after their end",
    "vanished": "gone otherwise",
    "termination_corrected": "an end moved or taken back, without a word",
    "added_date_corrected": "another added date, the same meaning",
    "text": "a description says something else",
    "payment": "pricing, ASC, OPPS or base units",
    "administrative": "coverage, references, laboratory certification, processing note",
    "miscellaneous": "BETOS or type of service",
    "claimed_not_seen": "the action code claims a change of which nothing is seen",
    "text_format_only": "a description in other case, spacing or punctuation",
    "action_date": "another action effective date",
}
#: Ways in which an action code fails, in few words.
DISAGREEMENT_MEANINGS = {
    "not_reported": "it says that nothing changed",
    "reported_differently": "it reports something else",
    "stale_action_code": "it repeats an older action",
    "not_observed": "what it claims did not happen",
}
#: What the overview counts: heading, classes of change.
_OVERVIEW = (
    ("Added", ("added",)),
    ("Ended", ("discontinued",)),
    ("Re-worded", ("text",)),
    ("Re-used", ("reused",)),
    ("Back", ("reactivated", "restored")),
    ("Purged", ("purged",)),
    ("Vanished", ("vanished",)),
)
_CHURN = (*_OVERVIEW[:4], ("Purged or vanished", ("purged", "vanished")))
#: Sections with a line of their own; the others are one line together.
_LINES = MOST_SERIES - 1
#: A page that is opened years after it was made still counts the days since the first release that it lacks.
_RELEASES_AHEAD = 20

_ROW = (
    "kind",
    "code",
    "short_description",
    "change",
    "field",
    "old",
    "new",
    "cms_action_code",
    "agrees_with_cms",
    "disagreement",
    "withheld",
    "posting",
)
#: What changes quote of descriptions and references is what the records state.
QUOTED_BY_CHANGES = tuple(
    f"hcpcs_history.{c}"
    for c in (
        *("short_description", "long_description", "statute_ref"),
        *("carriers_manual_refs", "coverage_manual_refs"),
    )
)
_SHOWN = (
    *(f"hcpcs_changes.{c}" for c in ("code", "old", "new")),
    *QUOTED_BY_CHANGES,
    *(f"hcpcs_{t}.short_description" for t in ("codes", "modifiers")),
)


@dataclass(frozen=True, slots=True)
class Member:
    """A member of CMS's zips."""

    name: str
    role: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class ChangeCount:
    """How many codes and modifiers of a release have a class of change, and how often that is reported or not."""

    change: str
    meaning: str
    records: int
    reported: int
    not_reported: int
    unknown: int


@dataclass(frozen=True, slots=True)
class ReleaseFacts:
    """A loaded release, and what it changed from the loaded one before it (None for the first)."""

    release_id: str
    effective_date: date
    form: str
    codes: int
    modifiers: int
    findings: int
    previous: str | None
    next: str | None
    missing: tuple[str, ...]
    postings: int
    overview: tuple[tuple[str, tuple[str, ...], int], ...]
    changes: tuple[ChangeCount, ...]
    disagreements: tuple[tuple[str, str, int], ...]
    members: tuple[Member, ...]

    @property
    def path(self) -> str:
        """The release's page."""
        return f"releases/{self.release_id}.html"

    @property
    def disagreeing(self) -> int:
        """Changes that CMS's action code fails to tell, or claims that are not there."""
        return sum(count for _, _, count in self.disagreements)


def write(site: Site, published: PublishedVersions) -> None:
    """Write ``releases.html``, a page for each release, and the rows of its changes."""
    version = published.latest
    releases = release_facts(version)
    site.page(
        "releases.html",
        "releases.html",
        "Releases",
        releases=releases,
        headings=[heading for heading, _ in _OVERVIEW],
        charts=[codes_by_section(version), *([churn(releases)] if len(releases) > 1 else [])],
        gaps=[r for r in releases if r.missing],
        shows=("hcpcs_releases.release_id", "code_sections.name"),
    )
    rows = change_rows(version)
    labels = action_labels(version)
    for release in releases:
        site.page(
            release.path,
            "release.html",
            f"Release {release.release_id}",
            scripts=(
                "static/wording.js",
                "static/rows.js",
                f"data/releases/{release.release_id}.js",
                "static/releases.js",
            )
            if release.release_id in rows
            else (),
            release=release,
            has_rows=release.release_id in rows,
            actions=action_verdicts(version, release.release_id, labels),
            shows=("hcpcs_releases.member_names", "hcpcs_changes.code"),
        )
        if release.release_id in rows:
            site.data(
                f"data/releases/{release.release_id}.js",
                "release",
                {
                    "changes": by_column(rows[release.release_id]),
                    "actions": labels,
                    "order": list(CHANGE_MEANINGS),
                    "disagreements": DISAGREEMENT_MEANINGS,
                },
                shows=_SHOWN,
            )


def release_facts(version: PublishedVersion) -> list[ReleaseFacts]:
    """Every loaded release, oldest first, by its newest posting."""
    frame = version.frame("hcpcs_releases").sort("release_id", "revision")
    postings = dict(frame.group_by("release_id").agg(pl.len()).iter_rows())
    current = frame.filter("is_current").to_dicts()
    loaded = [r["release_id"] for r in current]
    findings = dict(version.frame("hcpcs_findings").group_by("release_id").agg(pl.len()).iter_rows())
    steps = _steps(version)
    facts = []
    for n, row in enumerate(current):
        release_id = row["release_id"]
        step = steps.filter(pl.col("release_id") == release_id)
        counts = _change_counts(step)
        of_class = {
            classes: step.filter(pl.col("change").is_in(classes)).select("kind", "code").n_unique()
            for _, classes in _OVERVIEW
        }
        failed = dict(step.drop_nulls("disagreement").group_by("disagreement").agg(pl.len()).iter_rows())
        facts.append(
            ReleaseFacts(
                release_id,
                row["effective_date"],
                row["form"],
                row["procedure_count"],
                row["modifier_count"],
                findings.get(release_id, 0),
                loaded[n - 1] if n else None,
                loaded[n + 1] if n + 1 < len(loaded) else None,
                missing_between(loaded[n - 1], release_id) if n else (),
                postings[release_id],
                tuple((heading, classes, of_class[classes]) for heading, classes in _OVERVIEW),
                counts,
                tuple((k, meaning, failed[k]) for k, meaning in DISAGREEMENT_MEANINGS.items() if k in failed),
                tuple(
                    Member(*member)
                    for member in zip(
                        row["member_names"],
                        row["member_roles"],
                        row["member_bytes"],
                        row["member_sha256s"],
                        strict=True,
                    )
                ),
            )
        )
    return facts


def missing_between(earlier: str, later: str) -> tuple[str, ...]:
    """Releases that CMS posted between two that are loaded, by its calendar."""
    return tuple(r for r in releases_between(earlier, later) if earlier < r < later)


def uncertain_days(version: PublishedVersion) -> list[tuple[date, date]]:
    """Spans of days, each with the day after its last, in which a release that is not loaded may have changed codes."""
    loaded = version.releases
    gaps = [(missing_between(a, b), b) for a, b in pairwise(loaded)]
    return [(effective_day(missing[0]), effective_day(later)) for missing, later in gaps if missing]


def days_due(newest: str) -> list[date]:
    """Days on which the releases after ``newest`` take effect by CMS's calendar, for some years ahead."""
    due, at = [], newest
    for _ in range(_RELEASES_AHEAD):
        at = next_release(at)
        due.append(effective_day(at))
    return due


def section_names(version: PublishedVersion) -> dict[str, str]:
    """The sections of HCPCS Level II by their letter."""
    letters = version.frame("code_sections").filter(
        (pl.col("code_system_id") == "hcpcs-level-2") & (pl.col("depth") == 1) & pl.col("valid_to").is_null()
    )
    return dict(letters.select(pl.col("first_code").str.head(1), "name").iter_rows())


def change_rows(version: PublishedVersion) -> dict[str, pl.DataFrame]:
    """The changes of each release that changed something, those of a re-post last: ``_ROW``."""
    rank = {change: n for n, change in enumerate(CHANGE_MEANINGS)}
    again = pl.col("previous_release_id") == pl.col("release_id")
    # Two texts that differ in form alone: a word says it, as on the page of the code, which has the wordings.
    stated = pl.when(pl.col("change") != "text_format_only").then(pl.col("old", "new"))
    latest = [
        version.frame(t).select("code", "episode", "short_description") for t in ("hcpcs_codes", "hcpcs_modifiers")
    ]
    frame = (
        version.frame("hcpcs_changes")
        .join(pl.concat(latest), on=["code", "episode"], how="left", maintain_order="left")
        .with_columns(
            stated,
            pl.when(pl.col("withheld_fields").list.len() > 0).then(True).alias("withheld"),
            pl.when(again).then("revision").alias("posting"),
            pl.col("change").replace_strict(rank, return_dtype=pl.Int32).alias("rank"),
        )
        .sort("release_id", "posting", "rank", "kind", "code", "field", nulls_last=False, maintain_order=True)
    )
    parts = frame.select("release_id", *_ROW).partition_by("release_id", include_key=False, as_dict=True)
    return {release_id: rows for (release_id,), rows in parts.items()}


def action_labels(version: PublishedVersion) -> dict[str, str]:
    """CMS's action codes with what they mean."""
    codebook = version.frame("hcpcs_codebook").filter(pl.col("field") == "action_code")
    return dict(codebook.select("value", "label").iter_rows())


def action_verdicts(
    version: PublishedVersion, release_id: str, labels: dict[str, str]
) -> list[tuple[str, str, int, int, int]]:
    """Per action code of a release's changed records: code, label, changes reported, not reported, and unknown."""
    step = _steps(version).filter((pl.col("release_id") == release_id) & pl.col("cms_action_code").is_not_null())
    counts = step.group_by("cms_action_code").agg(*_verdicts()).sort("cms_action_code")
    return [(code, labels.get(code, "not in CMS's list"), *numbers) for code, *numbers in counts.iter_rows()]


def codes_by_section(version: PublishedVersion) -> Chart:
    """Procedure codes valid on the day of each release, by section: the large ones each, the others together."""
    counts = valid_codes(version)
    releases = version.releases
    days = [effective_day(r) for r in releases]
    newest = counts.filter(pl.col("release_id") == releases[-1]).sort(["codes", "letter"], descending=[True, False])
    letters = newest["letter"].head(_LINES).to_list()
    number = {(r, letter): n for r, letter, n in counts.select("release_id", "letter", "codes").iter_rows()}
    others = sorted({letter for _, letter in number} - set(letters))
    names = section_names(version)
    lines = {letter: [number.get((r, letter), 0) for r in releases] for letter in letters}
    if others:
        lines["others"] = [sum(number.get((r, o), 0) for o in others) for r in releases]
    return Chart(
        "Codes valid on the day of each release, by section",
        "One line for each of the large sections of HCPCS, by letter, and one for the others together. Gray: releases"
        " that CMS posted then are not loaded.",
        ("Release", *(f"{n} {names[n]}" if n in names else f"Others ({', '.join(others)})" for n in lines), "All"),
        [
            (r, *(values[n] for values in lines.values()), sum(values[n] for values in lines.values()))
            for n, r in enumerate(releases)
        ],
        line_chart(days, lines, bands=uncertain_days(version), height=360),
    )


def valid_codes(version: PublishedVersion) -> pl.DataFrame:
    """``release_id, letter, codes``: procedure codes that are valid on the release's day, by their first letter."""
    days = pl.DataFrame({"release_id": version.releases}).with_columns(
        pl.col("release_id").map_elements(effective_day, return_dtype=pl.Date).alias("day")
    )
    spans = version.frame("hcpcs_history").filter(pl.col("kind") == "procedure")
    return (
        spans.select("code", "valid_from", "valid_to")
        .join(days, how="cross")
        .filter((pl.col("valid_from") <= pl.col("day")) & (pl.col("valid_to") >= pl.col("day")).fill_null(True))
        .group_by("release_id", pl.col("code").str.head(1).alias("letter"))
        .agg(pl.col("code").n_unique().alias("codes"))
        .sort("release_id", "letter")
    )


def churn(releases: Sequence[ReleaseFacts]) -> Chart:
    """Codes and modifiers that each release added, ended, re-worded, re-used or dropped, stacked."""
    compared = [r for r in releases if r.previous]
    series = {
        heading: [sum(n for _, one, n in r.overview if set(one) <= set(classes)) for r in compared]
        for heading, classes in _CHURN
    }
    places = [r.release_id + (" *" if r.missing else "") for r in compared]
    return Chart(
        "What each release changed, in codes and modifiers",
        "A bar for each release, compared with the loaded release before it. A star: releases that CMS"
        " posted between the two are not loaded, so the bar covers several steps.",
        ("Release", *series, "Not loaded before it"),
        [
            (r.release_id, *(values[n] for values in series.values()), ", ".join(r.missing) or "none")
            for n, r in enumerate(compared)
        ],
        bar_chart(places, series, height=320),
    )


def _steps(version: PublishedVersion) -> pl.DataFrame:
    """Changes from the loaded release before, not those of a re-post."""
    return version.frame("hcpcs_changes").filter(pl.col("previous_release_id") != pl.col("release_id"))


def _verdicts() -> list[pl.Expr]:
    agrees = pl.col("agrees_with_cms")
    return [
        agrees.eq_missing(True).sum().alias("reported"),
        agrees.eq_missing(False).sum().alias("not_reported"),
        agrees.is_null().sum().alias("unknown"),
    ]


def _change_counts(step: pl.DataFrame) -> tuple[ChangeCount, ...]:
    counts = {
        change: numbers
        for change, *numbers in step.group_by("change")
        .agg(pl.struct("kind", "code").n_unique().alias("records"), *_verdicts())
        .iter_rows()
    }
    return tuple(ChangeCount(c, meaning, *counts[c]) for c, meaning in CHANGE_MEANINGS.items() if c in counts)
