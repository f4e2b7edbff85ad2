"""The page of codes: a search over every code and modifier, and the history of each.

The search and the histories are data; the page draws them. The search is loaded with the page, a history with its
neighbors once it is asked for.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import polars as pl
import polars.selectors as cs

from pipeline.catalog.releases import DISAGREEMENT_MEANINGS, days_due, section_names, uncertain_days
from pipeline.catalog.site import Site
from pipeline.catalog.table_rows import parts_by_column
from pipeline.catalog.version_reader import PublishedVersion, PublishedVersions
from pipeline.lineage.raw_records import with_raw_records
from pipeline.transforms.history import SPAN_COLUMNS
from pipeline.transforms.license_flags import CITATION
from schemas.columns import CONTENT_COLUMNS
from sources.code_file.record_layout import RECORD_FIELDS

#: What counts as a word: a number with its points and commas, else letters and digits. As in static/codes.js.
_WORD = r"[0-9]+(?:[.,][0-9]+)+|[a-z0-9]+"
_STATUS_LETTERS = {"active": "a", "terminated": "t", "purged": "p"}
_DESCRIPTIONS = ("short_description", "long_description")
_LICENSE = ("license_id", "steward", "redistribution", "cites_cpt", "withheld_fields")
#: How many characters of a code name the file with its history: files stay small, and not too many.
_SHARD = 2
#: The name of the file and of the section of modifiers.
MODIFIERS = "modifiers"
_EXAMPLES = 4
#: In place of a text of CMS's record that is the span's, letter for letter; as in static/history.js.
_SAME = "="

#: Statuses of ``hcpcs_validity`` in words.
STATUS_WORDS = {
    "valid": "in effect",
    "not_yet_valid": "not yet in effect",
    "expired": "ended",
    "purged_unknown": "left CMS’s file without a stated end",
}
_STATE = (
    "episode",
    "is_current_episode",
    "status",
    "section_id",
    "is_unlisted",
    "added_date",
    "termination_date",
    "first_release",
    "last_release",
    "replaced_by",
    *_LICENSE,
)
#: What a history has, by part: columns of its rows.
HISTORY: dict[str, tuple[str, ...]] = {
    "episodes": _STATE,
    "spans": (
        *(c for c in SPAN_COLUMNS if c not in ("kind", "code", "span_number")),
        *CONTENT_COLUMNS,
        # Where the first release that states the span has it.
        *("source_member", "source_line"),
    ),
    "targets": (
        "episode",
        "target",
        "relation",
        "is_withdrawn",
        "target_system",
        "target_episode",
        "target_status",
        "first_release",
        "last_release",
        "chain_ends",
        "chain_outcome",
    ),
    "sources": ("code", "episode", "relation", "is_withdrawn", "target_episode"),
    "changes": (
        "release_id",
        "revision",
        "previous_release_id",
        "episode",
        "change",
        "field",
        "old",
        "new",
        "cms_action_code",
        "agrees_with_cms",
        "disagreement",
        "withheld_fields",
    ),
    "findings": ("release_id", "finding", "severity", "message", "action"),
    "days": ("from_day", "to_day", "status", "episode"),
}
_TABLES = {
    "episodes": ("hcpcs_codes", "hcpcs_modifiers"),
    "spans": ("hcpcs_history", "hcpcs_release_records"),
    "targets": ("hcpcs_crosswalk",),
    "changes": ("hcpcs_changes",),
    "findings": ("hcpcs_findings",),
    "days": ("hcpcs_validity",),
}
#: Columns that a file of histories quotes: what the license policy leaves of these, it leaves of the file.
_SHOWN = tuple(f"{t}.{c}" for part, several in _TABLES.items() for t in several for c in ("code", *HISTORY[part]))


@dataclass(frozen=True, slots=True)
class Section:
    """A section of HCPCS by its letter, or the modifiers: ``prefix`` is what their codes begin with."""

    prefix: str
    name: str
    codes: int


@dataclass(frozen=True, slots=True)
class Example:
    """A code worth looking at, and why."""

    code: str
    why: str


def write(site: Site, published: PublishedVersions) -> None:
    """Write ``codes.html``, its search and the histories of all codes."""
    version = published.latest
    search = search_index(version)
    quoted = [f"{t}.{c}" for t in ("hcpcs_codes", "hcpcs_modifiers", "hcpcs_history") for c in ("code", *_DESCRIPTIONS)]
    site.page(
        "codes.html",
        "codes.html",
        "Codes",
        scripts=(
            *("static/wording.js", "static/rows.js"),
            *(f"data/codes/{name}.js" for name in ("search", "labels", "systems")),
            *(f"static/{name}.js" for name in ("search", "history", "list", "codes")),
        ),
        ambulance=version.frame("ambulance_locations").sort("letter").to_dicts(),
        sections=sections(version),
        examples=examples(version),
        procedures=sum(s.codes for s in sections(version)) - search["modifiers"],
        modifiers=search["modifiers"],
        shows=("hcpcs_history.code", "code_sections.name"),
    )
    site.data(
        "data/codes/systems.js",
        "codes/systems",
        code_formats(version),
        shows=("hcpcs_validity.first_code", "hcpcs_validity.last_code"),
    )
    texts = texts_by_day(version)
    for prefix, of_codes in texts.items():
        site.data(f"data/codes/texts-{prefix}.js", f"codes/texts-{prefix}", of_codes, shows=quoted)
    site.data("data/codes/search.js", "codes/search", search, shows=quoted)
    site.data(
        "data/codes/labels.js",
        "codes/labels",
        labels(version),
        shows=("hcpcs_codebook.label", "code_sections.name", "licenses.name", "hcpcs_releases.release_id"),
    )
    for shard, histories in code_histories(published).items():
        site.data(f"data/codes/{shard}.js", f"codes/{shard}", histories, shows=_SHOWN)


def latest_states(version: PublishedVersion) -> pl.DataFrame:
    """Codes, then modifiers, one row per episode, with ``kind``: the columns that a page states of an episode."""
    codes = version.frame("hcpcs_codes").select(
        pl.lit("procedure").alias("kind"), "code", *_DESCRIPTIONS, *(c for c in _STATE)
    )
    modifiers = version.frame("hcpcs_modifiers").with_columns(
        pl.lit("modifier").alias("kind"),
        pl.lit(None, pl.String).alias("section_id"),
        pl.lit(False).alias("is_unlisted"),
    )
    return pl.concat([codes.sort("code", "episode"), modifiers.select(codes.columns).sort("code", "episode")])


def search_index(version: PublishedVersion) -> dict[str, Any]:
    """What the search needs, small: per code its latest short description, status and number of episodes, and words.

    ``words`` are sorted; ``now`` and ``before`` hold for each the places in ``codes`` where it is part of the latest
    wording, or only of an earlier one, each place as its distance from the one before. The last ``modifiers`` codes
    are modifiers. ``first_days`` and ``last_days`` are those of each code's runs of days in effect, counted from 1970.
    """
    states = latest_states(version)
    listed = (
        states.group_by("kind", "code", maintain_order=True)
        .agg(
            pl.col("short_description").filter("is_current_episode").first(),
            pl.col("long_description").filter("is_current_episode").first(),
            pl.col("status", "redistribution").filter("is_current_episode").first(),
            pl.len().alias("episodes"),
        )
        .with_row_index("place")
    )
    wordings = (
        version.frame("hcpcs_history")
        .select("kind", "code", *_DESCRIPTIONS)
        .join(listed.select("kind", "code", "place"), on=["kind", "code"])
    )
    now = _words(listed)
    earlier = wordings.join(listed, on=["place", *_DESCRIPTIONS], how="anti", nulls_equal=True)
    before = _words(earlier).join(now, on=["word", "place"], how="anti")
    words = pl.concat([now, before]).select("word").unique().sort("word")
    in_effect = pl.col("from_day", "to_day").to_physical().filter(pl.col("status") == "valid")
    days = listed.join(
        days_of_codes(version).group_by("kind", "code", maintain_order=True).agg(in_effect),
        on=["kind", "code"],
        how="left",
        maintain_order="left",
    )
    return {
        "codes": " ".join(listed["code"]),
        "modifiers": listed.filter(pl.col("kind") == "modifier").height,
        "descriptions": "\n".join(listed["short_description"].fill_null("")),
        "statuses": "".join(_STATUS_LETTERS[s] for s in listed["status"]),
        "episodes": " ".join(map(str, listed["episodes"])),
        "withheld": " ".join(listed.filter(pl.col("redistribution") == "withheld")["code"]),
        "first_days": days["from_day"].to_list(),
        "last_days": days["to_day"].to_list(),
        "words": " ".join(words["word"]),
        "now": _distances(now, words),
        "before": _distances(before, words),
    }


def code_histories(published: PublishedVersions) -> dict[str, dict[str, Any]]:
    """The histories of all codes, by the file that has them: of each part its rows, with ``of``, the row's code.

    The columns are those of ``HISTORY``, and of spans the cells of CMS's record, as ``record.added_date``.
    """
    version = published.latest
    changes = version.frame("hcpcs_changes").with_columns(
        # The spans tell wordings.
        pl.when(pl.col("field").is_in(_DESCRIPTIONS)).then(None).otherwise(pl.col(c)).alias(c)
        for c in ("old", "new")
    )
    crosswalk = version.frame("hcpcs_crosswalk").sort("kind", "code", "episode", "target_number")
    known = crosswalk.filter(pl.col("target_episode").is_not_null() & pl.col("target").is_not_null())
    findings = version.frame("hcpcs_findings").with_columns(
        pl.col("kind").fill_null(
            pl.when(pl.col("code").str.len_chars() == 2).then(pl.lit("modifier")).otherwise(pl.lit("procedure"))
        )
    )
    states = latest_states(version)
    parts = {
        "episodes": states,
        "spans": spans_with_records(published),
        "targets": crosswalk,
        "sources": known,
        "changes": changes,
        "findings": findings.join(states, on=["kind", "code"], how="semi"),
        "days": days_of_codes(version),
    }
    found: dict[str, dict[str, Any]] = defaultdict(dict)
    for part, frame in parts.items():
        kind, code = ("target_kind", "target") if part == "sources" else ("kind", "code")
        rows = frame.select(
            _file(_SHARD, kind, code),
            pl.col(code).alias("of"),
            *(_stated(name, frame.schema[name]) for name in HISTORY[part]),
            cs.starts_with("record."),
        )
        for name, of_file in _by_file(rows):
            found[name][part] = of_file
    return found


def _file(characters: int, kind: str = "kind", code: str = "code") -> pl.Expr:
    """The name of the file with the data of a code, by its first ``characters``."""
    is_modifier = pl.col(kind) == "modifier"
    return pl.when(is_modifier).then(pl.lit(MODIFIERS)).otherwise(pl.col(code).str.head(characters)).alias("file")


def _by_file(rows: pl.DataFrame) -> Iterator[tuple[str, dict[str, Any]]]:
    """The rows of each file as data."""
    by_file = rows.sort("file", maintain_order=True)
    names, heights = by_file.group_by("file", maintain_order=True).len().get_columns()
    return zip(names, parts_by_column(by_file.drop("file"), heights.to_list()), strict=True)


def spans_with_records(published: PublishedVersions) -> pl.DataFrame:
    """``hcpcs_history``, each span with member, line and cells of CMS's record that states it first."""
    keys = ["release_id", "kind", "code"]
    spans = published.latest.frame("hcpcs_history").rename({"first_release": "release_id"})
    places = ["source_member", "source_member_sha256", "source_line"]
    records = published.latest.frame("hcpcs_release_records")
    of_spans = records.select(*keys, *places, "redistribution", "withheld_fields").join(spans, on=keys, how="semi")
    cells = pl.col("record").name.prefix_fields("record.")
    stated = with_raw_records(published.outputs, of_spans).select(*keys, *places, cells).unnest("record")
    joined = spans.join(stated, on=keys, how="left").rename({"release_id": "first_release"})
    said_once = (
        pl.when(pl.col(f"record.{c}") == pl.col(c)).then(pl.lit(_SAME)).otherwise(f"record.{c}").alias(f"record.{c}")
        for c in _DESCRIPTIONS
    )
    return joined.with_columns(said_once).sort("kind", "code", "episode", "span_number")


def days_of_codes(version: PublishedVersion) -> pl.DataFrame:
    """``hcpcs_validity`` of the codes that releases state: a row per run of days with one status of one episode."""
    keys = ("kind", "code", "status", "episode")
    return (
        version.frame("hcpcs_validity")
        .filter(pl.col("is_interval").not_() & pl.col("kind").is_in(["procedure", "modifier"]))
        .rename({"first_code": "code"})
        .sort("kind", "code", "from_day")
        .with_columns(run=pl.struct(keys).rle_id())
        .group_by("run", maintain_order=True)
        .agg(*(pl.first(k) for k in keys), pl.first("from_day"), pl.last("to_day"))
    )


def texts_by_day(version: PublishedVersion) -> dict[str, dict[str, Any]]:
    """The wordings of all codes by the name of their file: rows of the code (``of``), first day, last day, text."""
    runs = ("kind", "code", "episode", "text")
    wordings = (
        version.frame("hcpcs_history")
        .sort("kind", "code", "episode", "span_number")
        .with_columns(text=pl.coalesce("long_description", "short_description"))
        .with_columns(run=pl.struct(runs).rle_id())
        .group_by("run", maintain_order=True)
        .agg(*(pl.first(c) for c in runs), pl.first("valid_from"), pl.last("valid_to"))
        .select(_file(1), pl.col("code").alias("of"), "valid_from", "valid_to", "text")
    )
    return {name: {"texts": of_file} for name, of_file in _by_file(wordings)}


def code_formats(version: PublishedVersion) -> dict[str, Any]:
    """What the format of a code that no release states says of it, and the letters of ambulance modifiers."""
    systems = version.frame("code_systems")
    columns = ("kind", "code_shape", "first_code", "last_code", "code_system", "undated_section_id")
    return {
        "intervals": version.frame("hcpcs_validity")
        .filter(pl.col("is_interval"), pl.col("kind").is_in(["procedure", "modifier"]))
        .drop_nulls("code_system")
        .select(columns)
        .unique(maintain_order=True)
        .rows(),
        "systems": {
            row[0]: row[1:]
            for row in systems.select(
                "code_system_id", "name", "steward", "license_id", pl.col("valid_from", "valid_to").cast(pl.String)
            ).iter_rows()
        },
        "ambulance": version.frame("ambulance_locations")
        .select("letter", "meaning", "is_origin", "is_destination")
        .rows(),
    }


def labels(version: PublishedVersion) -> dict[str, Any]:
    """What coded values, sections and licenses are called, and which releases are loaded, with their days."""
    values: dict[str, dict[str, str]] = defaultdict(dict)
    for field, value, label in version.frame("hcpcs_codebook").select("field", "value", "label").iter_rows():
        values[field][value] = label
    current = version.frame("hcpcs_releases").filter("is_current").sort("effective_date")
    return {
        "values": values,
        "sections": dict(version.frame("code_sections").select("section_id", "name").iter_rows()),
        "licenses": dict(version.frame("licenses").select("license_id", "name").iter_rows()),
        "releases": [list(r) for r in current.select("release_id", "effective_date").iter_rows()],
        "gaps": uncertain_days(version),
        "due": days_due(version.content.newest_release),
        "statuses": STATUS_WORDS,
        "disagreements": DISAGREEMENT_MEANINGS,
        "parts": list(HISTORY),
        "content": CONTENT_COLUMNS,
        # The fields of CMS's record: name, position and characters.
        "record": [[f.name, f.start, f.width * f.times] for f in RECORD_FIELDS],
        "shard": _SHARD,
    }


def sections(version: PublishedVersion) -> list[Section]:
    """HCPCS's letters with how many codes the version holds of each; then the modifiers."""
    counts = dict(
        version.frame("hcpcs_codes")
        .group_by(pl.col("code").str.head(1).alias("letter"))
        .agg(pl.col("code").n_unique())
        .iter_rows()
    )
    names = section_names(version)
    found = [Section(letter, names.get(letter, "Other"), counts[letter]) for letter in sorted(counts)]
    return [*found, Section(MODIFIERS, "Modifiers", version.frame("hcpcs_modifiers")["code"].n_unique())]


def examples(version: PublishedVersion) -> list[Example]:
    """A few codes as examples: used again, replaced, reworded; whatever the version has of these."""
    history = version.frame("hcpcs_history").filter(pl.col("kind") == "procedure")
    crosswalk = version.frame("hcpcs_crosswalk").filter(
        (pl.col("relation") == "replaced_by") & (pl.col("chain_outcome") == "active") & (pl.col("kind") == "procedure")
    )
    lengths = history.group_by("code").agg(pl.col("episode").max().alias("episodes"), pl.len().alias("spans"))
    again = lengths.filter(pl.col("episodes") > 1).sort(["spans", "code"], descending=[True, False])["code"]
    reworded = lengths.filter(pl.col("episodes") == 1).sort(["spans", "code"], descending=[True, False])["code"]
    retired = version.frame("hcpcs_codes").filter(pl.col("status") == "purged").sort("code")["code"]
    kinds = (
        (again, "used again for something else"),
        (reworded, "changed most often"),
        (crosswalk.sort("code")["code"], "replaced by another"),
        (retired, "no longer in CMS's file"),
    )
    return [Example(codes[0], why) for codes, why in kinds[:_EXAMPLES] if len(codes)]


def _words(frame: pl.DataFrame) -> pl.DataFrame:
    """Every word of the descriptions, with the place in the index of the code that has it.

    Numbers shaped like a code of another owner are left out: CMS's words may cite one, but a list of words would list
    them all.
    """
    text = pl.concat_str([pl.col(c).fill_null("") for c in _DESCRIPTIONS], separator=" ").str.to_lowercase()
    return (
        frame.select("place", text.str.extract_all(_WORD).alias("word"))
        .explode("word")
        .filter(pl.col("word").is_not_null() & ~pl.col("word").str.contains(CITATION))
        .unique()
        .select("word", "place")
    )


def _distances(places: pl.DataFrame, words: pl.DataFrame) -> list[list[int]]:
    """For each word the places that have it: each as its distance from the one before."""
    place = pl.col("place").cast(pl.Int64)
    distance = pl.when(pl.col("word") == pl.col("word").shift()).then(place.diff()).otherwise(place)
    of_words = places.sort("word", "place").select("word", distance).group_by("word", maintain_order=True).agg("place")
    return words.join(of_words, on="word", how="left", maintain_order="left")["place"].fill_null([]).to_list()


def _stated(name: str, dtype: pl.DataType) -> pl.Expr:
    """What a column states: nothing where it is empty, days as text."""
    column = pl.col(name)
    if isinstance(dtype, pl.List):
        return pl.when(column.list.len() > 0).then(column).alias(name)
    if name == "anesthesia_base_units":  # none and 0 are the same, as in pipeline/transforms/comparison.py
        return column.replace(0, None)
    return column.cast(pl.String) if dtype == pl.Date else column
