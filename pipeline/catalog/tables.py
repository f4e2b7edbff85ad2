"""The catalog's pages of tables: an index of them, and a page for each with its columns in words and numbers."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from pipeline.catalog.charts import Chart, bar_chart
from pipeline.catalog.drawing import Drawing, draw_neighbors
from pipeline.catalog.profile import Profile, bars, profiles
from pipeline.catalog.releases import QUOTED_BY_CHANGES
from pipeline.catalog.site import Site
from pipeline.catalog.table_rows import displayed_rows
from pipeline.catalog.version_reader import ColumnFacts, PublishedVersion, PublishedVersions, TableFacts
from pipeline.lineage import columns as lineage
from pipeline.lineage.columns import ColumnRef, SourceField

_SPARK = (132, 26)
#: So many places a column may come from are named on its table's page; the lineage page has all.
_NAMED_PLACES = 3
#: Groups of tables in the order of the index, and what they are called.
GROUP_TITLES = {
    "codes": "Codes in their latest state",
    "history": "History",
    "records": "Releases and their records",
    "side_files": "CMS’s side files",
    "reference": "Reference",
    "other": "Other",
}


@dataclass(frozen=True, slots=True)
class ColumnRow:
    """A column as its table's page shows it."""

    facts: ColumnFacts
    profile: Profile
    is_derived: bool
    inputs: tuple[ColumnRef, ...]
    sources: tuple[SourceField, ...]
    bars: tuple[tuple[float, float, float, float], ...]

    @property
    def places(self) -> str:
        """Where the column comes from in the end, in a few words."""
        return places_in_words(self.sources)


def write(site: Site, published: PublishedVersions) -> None:
    """Write the index of tables, and a page for each."""
    version = published.latest
    facts = version.tables.values()
    groups = _groups(facts)
    site.page(
        "tables/index.html", "tables.html", "Tables", groups=groups, licenses={t.name: _licenses(t) for t in facts}
    )
    for table in facts:
        shown = [f"{table.name}.{c.name}" for c in table.columns]
        quoted = QUOTED_BY_CHANGES if {"old", "new"} <= {c.name for c in table.columns} else ()
        displayed = displayed_rows(version.frame(table.name))
        rows_file = f"data/rows/{table.name}.js"
        if displayed.rows:
            site.data(rows_file, f"rows/{table.name}", displayed.data, shows=[*shown, *quoted])
        site.page(
            f"tables/{table.name}.html",
            "table.html",
            table.name,
            scripts=("static/rows.js", "static/table.js") if displayed.rows else (),
            table=table,
            displayed=displayed,
            rows_bytes=(site.folder / rows_file).stat().st_size if displayed.rows else 0,
            columns=columns_of(version, table),
            licenses=_licenses(table),
            drawing=_drawing(table.name),
            published=set(version.tables),
            versions=_rows_by_version(published, table.name),
            chart=_rows_by_release(version, table),
            spark=_SPARK,
            filled=filled_text,
            snippet=snippet(table),
            shows=shown,
        )


def snippet(table: TableFacts) -> str:
    """A query of DuckDB for the table, to be run in the folder of outputs."""
    return f"select *\nfrom 'latest/{table.file}'\nlimit 10;"


def columns_of(version: PublishedVersion, table: TableFacts) -> list[ColumnRow]:
    """The columns of a table with what they hold and where each comes from."""
    profiled = profiles(version.frame(table.name))
    known = set(lineage.columns_of(table.name)) if table.name in _known() else set()
    return [
        ColumnRow(
            column,
            profiled[column.name],
            column.name in known and lineage.is_derived(table.name, column.name),
            lineage.column_inputs(table.name, column.name) if column.name in known else (),
            lineage.source_fields(table.name, column.name) if column.name in known else (),
            tuple(bars(profiled[column.name].bins, *_SPARK)),
        )
        for column in table.columns
    ]


def places_in_words(sources: Sequence[SourceField]) -> str:
    """Places by their source: its fields where they are few, else their number."""
    fields: dict[str, list[str]] = {}
    for one in sources:
        title = lineage.SOURCES[one.source].title
        named = one.field.removeprefix("positions ").removeprefix("position ") if one.field != title else ""
        fields.setdefault(title, []).append(named)
    stated = []
    for title, several in fields.items():
        if len(several) > _NAMED_PLACES:
            stated.append(f"{title} ({len(several)} fields)")
        else:
            are_positions = all(f[:1].isdigit() for f in several)
            stated.append(f"{title}{', positions ' if are_positions else ': '}{', '.join(several)}".removesuffix(": "))
    return "; ".join(stated)


def _known() -> set[str]:
    """The published tables that this program knows the lineage of; a version of an older one may have others."""
    return {t.name for t in lineage.tables() if t.is_published}


def _groups(tables: Iterable[TableFacts]) -> list[tuple[str, list[TableFacts]]]:
    """The tables by their group, what people ask for first; what is in no group that is known comes last."""
    group_of = {t.name: t.group for t in lineage.tables() if t.group in GROUP_TITLES}
    groups: dict[str, list[TableFacts]] = {name: [] for name in GROUP_TITLES}
    for table in tables:
        groups[group_of.get(table.name, "other")].append(table)
    return [(GROUP_TITLES[name], members) for name, members in groups.items() if members]


def _licenses(table: TableFacts) -> list[str]:
    return sorted({c.license_id for c in table.columns if c.license_id}, key=lambda i: (not i.startswith("L"), i))


def _drawing(table: str) -> Drawing | None:
    if table not in _known():
        return None
    known = {t.name: t for t in lineage.tables()}
    outputs = [t.name for t in lineage.tables() if table in t.inputs and t.group != "version"]
    return draw_neighbors(known[table], [known[n] for n in known[table].inputs], [known[n] for n in outputs])


def _rows_by_version(published: PublishedVersions, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    before: int | None = None
    for version in published.versions:
        count = version.rows(table)
        rows.append(
            {
                "version": version.version,
                "rows": count,
                "change": None if count is None or before is None else count - before,
                "is_shown": version is published.latest,
            }
        )
        before = count
    return rows[::-1]


def _rows_by_release(version: PublishedVersion, table: TableFacts) -> Chart | None:
    """Rows by release, of a table whose rows each belong to one; nothing to see where there is one each."""
    if "release_id" not in {c.name for c in table.columns} or not table.rows:
        return None
    counted = version.frame(table.name)["release_id"].drop_nulls().value_counts(name="rows").sort("release_id")
    if counted.height < 2 or counted["rows"].max() == 1:
        return None
    releases = sorted({*version.releases, *counted["release_id"].to_list()})
    rows = dict(counted.iter_rows())
    counts = [rows.get(r, 0) for r in releases]
    most = releases[counts.index(max(counts))]
    return Chart(
        "Rows by release",
        f"Bars, one for each of {len(releases)} releases; the most rows, {max(counts):,}, are of {most}.",
        ("Release", "Rows"),
        list(zip(releases, counts, strict=True)),
        bar_chart(releases, {"Rows": counts}, height=200),
    )


def filled_text(profile: Profile) -> str:
    """How much is filled, in a word or two: never 0 % of something, nor 100 % of not everything."""
    if profile.filled == profile.rows:
        return "all"
    if profile.filled == 0:
        return "none"
    percent = profile.filled_share * 100
    return "< 1 %" if percent < 1 else "> 99 %" if percent > 99 else f"{percent:.0f} %"
