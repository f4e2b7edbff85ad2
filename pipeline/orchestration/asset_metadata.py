"""What Dagster shows of a table: words, owner, tags, columns, lineage, code version. All from contracts and lineage.

What is known only when a table is made (rows, bytes, data version) the IO manager notes.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import dagster as dg

from pipeline.lineage import columns as lineage
from pipeline.orchestration.fingerprints import module_fingerprint
from schemas.columns import LICENSE_CMS
from schemas.registry import contracts

_COLUMNS_SHOWN = 20


def asset(table: str, *code: str) -> dict[str, Any]:
    """Arguments of ``dg.asset`` for a table that ``code`` makes: module names."""
    return {
        **_shown(table, code),
        "name": table,
        "deps": [dg.AssetKey(source) for source in lineage.table_inputs(table) if source in lineage.SOURCES],
    }


def outs(names: Iterable[str], *code: str) -> dict[str, dg.AssetOut]:
    """``outs`` of a ``dg.multi_asset`` that makes several tables with ``code``, or some of them."""
    return {name: dg.AssetOut(is_required=False, **_shown(name, code)) for name in names}


def derived_from_sources(names: Iterable[str]) -> dict[str, Any]:
    """What a ``dg.multi_asset`` says of its tables' inputs, sources all: each depends on its own alone."""
    inputs = {name: {dg.AssetKey(i) for i in lineage.table_inputs(name)} for name in names}
    return {"internal_asset_deps": inputs, "deps": sorted(set().union(*inputs.values()))}


def sources() -> list[dg.AssetSpec]:
    """What others publish, and what is curated here, as assets that Dagster does not make."""
    return [
        dg.AssetSpec(
            source.name,
            group_name="source",
            description=source.description,
            kinds={"csv" if source.name.startswith("curated_") else "python" if source.is_derived else "zip"},
            owners=["team:hcpcs"] if source.is_derived else [],
            metadata={
                "title": source.title,
                "dagster/column_schema": dg.TableSchema(
                    columns=[dg.TableColumn(name=name) for name in lineage.columns(source.name)]
                ),
            },
        )
        for source in lineage.SOURCES.values()
    ]


def column_lineage(table: str) -> dg.TableColumnLineage:
    """The direct inputs of every column, those in sources as well."""
    deps: dict[str, list[dg.TableColumnDep]] = {}
    for column in lineage.columns(table):
        refs = [(ref.table, ref.column) for ref in lineage.column_inputs(table, column)]
        places = [(place.source, place.field) for place in lineage.direct_sources(table, column)]
        deps[column] = [dg.TableColumnDep(dg.AssetKey(key), name) for key, name in (*refs, *places)]
    return dg.TableColumnLineage(deps)


def bars(counts: Mapping[str, int], of: str) -> dg.MarkdownMetadataValue:
    """Counts as a table with bars, which Dagster draws unchanged."""
    most = max(counts.values(), default=0)
    rows = [f"| {name} | {count:,} | {'█' * round(30 * count / most) or '▏'} |" for name, count in counts.items()]
    return dg.MetadataValue.md("\n".join([f"| {of} | codes | |", "|---|--:|---|", *rows]))


def _shown(table: str, code: tuple[str, ...]) -> dict[str, Any]:
    step = lineage.table(table)
    stated = contracts().get(table)
    return {
        "group_name": step.group,
        "description": step.description,
        "io_manager_key": "tables",
        "kinds": {"polars", "parquet"},
        "owners": [f"team:{stated.facts.owner if stated else 'hcpcs'}"],
        "tags": {
            "tier": "open" if stated else "unpublished",
            "license": stated.license_ids[-1] if stated else LICENSE_CMS,
        },
        "code_version": module_fingerprint(*code, *([f"schemas.{table}"] if stated else []))[:16],
        "metadata": {
            "dagster/column_schema": _column_schema(table),
            "dagster/column_lineage": column_lineage(table),
            "columns come from": _lineage_in_words(table),
        },
    }


def _column_schema(table: str) -> dg.TableSchema:
    stated = contracts().get(table)
    if stated is None:
        # What is not published is held against no contract: it has words and types, and nothing that it must be.
        words = [(name, lineage.words_for(table, name)) for name in lineage.columns(table)]
        return dg.TableSchema(
            columns=[dg.TableColumn(name=name, type=c.type, description=c.description) for name, c in words]
        )
    return dg.TableSchema(
        columns=[
            dg.TableColumn(
                name=c.name,
                type=c.type,
                description=c.description,
                constraints=dg.TableColumnConstraints(
                    nullable=c.nullable, unique=stated.key == (c.name,), other=list(c.constraints)
                ),
                tags={"license": c.license_id, **({"key": ""} if c.is_key else {})},
            )
            for c in stated.columns
        ],
        constraints=dg.TableConstraints(other=[f"unique: {', '.join(stated.key)}", *stated.rules]),
    )


def _lineage_in_words(table: str) -> dg.MarkdownMetadataValue:
    rows = []
    for column in lineage.columns(table):
        inputs = [str(ref) for ref in lineage.column_inputs(table, column)]
        places = [str(place) for place in lineage.source_fields(table, column)]
        rows.append(f"| {column} | {_few(inputs)} | {_few(places)} |")
    return dg.MetadataValue.md("\n".join(["| column | made from | in the end from |", "|---|---|---|", *rows]))


def _few(names: list[str]) -> str:
    more = len(names) - _COLUMNS_SHOWN
    return ", ".join(names[:_COLUMNS_SHOWN]) + (f" and {more} more" if more > 0 else "")
