"""The catalog's page Lineage: from what others publish to the tables, drawn, and every column's way back.

What is made from what is ``pipeline.lineage.columns``'s to say; the page's data have every edge between columns.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pipeline.catalog.drawing import Drawing, draw_graph, kind_of, label_of, layers_of
from pipeline.catalog.site import Site
from pipeline.catalog.version_reader import PublishedVersion, PublishedVersions
from pipeline.lineage import columns as lineage
from pipeline.lineage.columns import Table

_DATA = "data/lineage.js"
#: Its lines lead to every masked table: drawn faintly, so that they do not hide the way of the data.
_POLICY = "curated_license_policy"


def write(site: Site, published: PublishedVersions) -> None:
    """Write the page Lineage and its data."""
    tables = shown_tables(published.latest)
    site.data(_DATA, "lineage", {"tables": list(_facts(tables)), "edges": column_edges(tables)})
    site.page(
        "lineage.html",
        "lineage.html",
        "Lineage",
        scripts=(_DATA, "static/lineage.js"),
        drawing=draw(tables),
        labels={t.name: label_of(t) for t in tables},
        policy=_POLICY,
        published=[t for t in tables if t.is_published],
        published_names={t.name for t in tables if t.is_published},
        unpublished=[(t, label_of(t), kind_of(t)) for t in tables if not t.is_published],
    )


def shown_tables(version: PublishedVersion) -> list[Table]:
    """Sources and tables on the way to what the version holds; not the version itself, which holds them all."""
    known = {t.name: t for t in lineage.tables()}
    needed: set[str] = set()
    at = [name for name in known if name in version.files]
    while at:
        needed.update(at)
        at = [n for name in at for n in known[name].inputs if n not in needed]
    return [t for t in lineage.tables() if t.name in needed]


def column_edges(tables: list[Table]) -> list[tuple[str, str]]:
    """Every direct step between columns as (from, to), each ``table.column``; of a source, ``source.field``."""
    return [edge for table in tables for edge in _edges_into(table)]


def draw(tables: list[Table]) -> Drawing:
    """The graph of tables, in layers: each stands one further than what it is made from."""
    layers = layers_of({t.name: t.inputs for t in tables})
    return draw_graph(tables, [(start, t.name) for t in tables for start in t.inputs], layers)


def _edges_into(table: Table) -> Iterator[tuple[str, str]]:
    if table.group == "source":
        return
    for column in table.columns:
        for place in lineage.direct_sources(table.name, column):
            yield f"{place.source}.{place.field}", f"{table.name}.{column}"
        for ref in lineage.column_inputs(table.name, column):
            yield str(ref), f"{table.name}.{column}"


def _facts(tables: list[Table]) -> Iterator[dict[str, Any]]:
    layers = layers_of({t.name: t.inputs for t in tables})
    for table in tables:
        ours = [c for c in table.columns if table.is_published and lineage.is_derived(table.name, c)]
        yield {
            "name": table.name,
            "label": label_of(table),
            "kind": kind_of(table),
            "layer": layers[table.name],
            "page": f"tables/{table.name}.html" if table.is_published else None,
            "columns": list(table.columns),
            "ours": ours,
        }
