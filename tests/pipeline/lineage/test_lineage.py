"""Lineage: it names what there is, follows the asset graph, ends where somebody states something, and is true."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from conftest import Version, slow
from lineage_edges import edges_to_sources

from hcpcs.paths import Outputs
from pipeline.definitions import build_definitions
from pipeline.lineage import columns as lineage
from pipeline.lineage.columns import LAYERS, SOURCES, ColumnRef, SourceField
from pipeline.orchestration.assets import codes, history, records, side_files
from pipeline.orchestration.run_context import RunContext
from schemas.columns import CONTENT_COLUMNS
from schemas.columns import column as state_column
from schemas.registry import contract, contracts
from sources.code_file.record_layout import RECORD_FIELDS
from sources.release.release import RELEASE_RECORD_SCHEMA, REVISION_SCHEMA

PUBLISHED = [(table, c) for table, stated in contracts().items() for c in stated.columns]
MADE = [t for t in lineage.tables() if t.group not in ("source", "version")]
EVERY_COLUMN = [(t.name, column) for t in MADE for column in t.columns]
by_table = pytest.mark.parametrize("table", [t.name for t in MADE])
by_published_table = pytest.mark.parametrize("table", contracts())


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return build_definitions(outputs=tmp_path_factory.mktemp("outputs")).resolve_asset_graph()


def test_tables_are_the_assets_and_their_inputs_are_the_assets_own(graph: Any) -> None:
    assets = {n.key.to_user_string(): n for n in graph.asset_nodes}
    assert {t.name for t in lineage.tables()} == set(assets)
    for table in lineage.tables():
        assert set(table.inputs) == {k.to_user_string() for k in assets[table.name].parent_keys}, table.name
        assert table.group == assets[table.name].group_name
        assert table.description == assets[table.name].description


def test_groups_follow_the_way_of_the_data() -> None:
    group = {t.name: LAYERS.index(t.group) for t in lineage.tables()}
    backwards = [(i, t.name) for t in lineage.tables() for i in t.inputs if group[i] > group[t.name]]
    assert backwards == []
    names = [t.name for t in lineage.tables()]
    late = [(i, t.name) for t in lineage.tables() for i in t.inputs if names.index(i) > names.index(t.name)]
    assert late == []


@by_table
def test_every_step_of_lineage_goes_between_a_table_and_one_of_its_inputs(table: str) -> None:
    for column in lineage.columns(table):
        for ref in lineage.column_inputs(table, column):
            assert ref.table in lineage.table_inputs(table), f"{column} from {ref}"
            assert ref.column in lineage.columns(ref.table), f"{column} from {ref}"
        for place in lineage.direct_sources(table, column):
            assert place.source in lineage.table_inputs(table), f"{column} from {place}"


@by_published_table
def test_every_published_column_ends_where_somebody_states_it_or_is_marked_as_ours(table: str) -> None:
    for column in contract(table).columns:
        ends = lineage.source_fields(table, column.name)
        if not column.is_derived:
            assert any(not SOURCES[end.source].is_derived for end in ends), column.name
        if not ends:
            # The same for every row: all rows are one steward's, or no column of theirs may cite a code.
            assert column.is_derived and column.name in ("license_id", "steward", "redistribution", "cites_cpt")


def test_a_column_without_a_word_on_its_source_cannot_be_stated() -> None:
    with pytest.raises(TypeError, match="source"):
        state_column("What it means.")  # type: ignore[call-arg]
    assert lineage.is_derived("hcpcs_history", "valid_from") and not lineage.is_derived("hcpcs_history", "betos_code")


@by_published_table
def test_the_source_that_a_contract_states_is_among_the_ends_of_the_lineage(table: str) -> None:
    for stated in (c for c in contract(table).columns if not c.is_derived):
        place = lineage.place_of(stated.source)
        ends = [end for end in lineage.source_fields(table, stated.name) if end.source == place.source]
        assert ends, f"{stated.name}: {stated.source}"
        if place.source == "cms_record" and place.field:
            # A modifier stands in the last two of a code's five positions.
            first, last = place.positions or (0, 0)
            held = [end.positions or (0, 0) for end in ends]
            assert any(begin <= first and last <= end for begin, end in held), f"{stated.name}: {stated.source}"
        elif place.source != "cms_zip" and place.field:
            assert place in ends, f"{stated.name}: {stated.source}"


def test_nothing_is_made_from_itself() -> None:
    done: set[ColumnRef] = set()

    def walk(ref: ColumnRef, behind: tuple[ColumnRef, ...]) -> None:
        assert ref not in behind, " from ".join(map(str, (*behind, ref)))
        if ref not in done:
            for found in lineage.column_inputs(ref.table, ref.column):
                walk(found, (*behind, ref))
            done.add(ref)

    for table, column in EVERY_COLUMN:
        walk(ColumnRef(table, column), ())
    assert len(done) == len(EVERY_COLUMN)


def test_an_unknown_column_is_refused() -> None:
    with pytest.raises(KeyError, match=r"hcpcs_codes\.nothing"):
        lineage.column_inputs("hcpcs_codes", "nothing")


def test_a_field_of_the_record_ends_at_its_positions_in_every_table_that_has_it() -> None:
    for field in RECORD_FIELDS:
        for table in ("staged_records", "hcpcs_release_records", "hcpcs_history", "hcpcs_codes", "hcpcs_modifiers"):
            if field.name in lineage.columns(table) and field.name != "action_effective_date":
                ends = [(end.source, end.field.split()[-1]) for end in lineage.source_fields(table, field.name)]
                assert ends == [("cms_record", field.positions)], (table, field.name)


def test_the_way_from_a_span_to_cmss_record_is_drawn_step_by_step() -> None:
    edges = edges_to_sources("hcpcs_history", "betos_code")
    assert edges == (
        (ColumnRef("staged_episodes", "betos_code"), ColumnRef("hcpcs_history", "betos_code")),
        (ColumnRef("staged_records", "betos_code"), ColumnRef("staged_episodes", "betos_code")),
        (SourceField("cms_record", "positions 257-259"), ColumnRef("staged_records", "betos_code")),
    )


def test_a_column_of_the_same_table_stands_for_what_it_is_made_from() -> None:
    assert set(lineage.column_inputs("hcpcs_history", "steward")) == {ColumnRef("staged_episodes", "code")}
    assert set(lineage.column_inputs("hcpcs_crosswalk", "is_withdrawn")) == {
        ColumnRef("staged_episodes", "release_id"),
        ColumnRef("staged_states", "last_release"),
    }


def test_the_dictionary_states_the_same_lineage(sample: Version) -> None:
    stated = {(r["table_name"], r["column_name"]): r["lineage"] for r in sample.open("data_dictionary").to_dicts()}
    assert stated == {(t, c.name): [str(ref) for ref in lineage.column_inputs(t, c.name)] for t, c in PUBLISHED}


def test_unpublished_tables_have_the_columns_that_their_lineage_says(sample: Version) -> None:
    assert set(lineage.columns("staged_records")) == set(RELEASE_RECORD_SCHEMA)
    assert list(lineage.columns("staged_revisions")) == list(REVISION_SCHEMA)
    for table in (t.name for t in MADE if not t.is_published):
        work = sample.outputs.work
        path = next((work / table).glob("*.parquet"), work / f"{table}.parquet")
        assert sorted(pl.read_parquet_schema(path)) == sorted(lineage.columns(table)), table


# --- what really goes in --------------------------------------------------------------------------------------------

#: What decides where spans are cut and which changes and findings there are, and so touches any value of a row.
CUTS = {*CONTENT_COLUMNS, "added_date", "termination_date", "action_effective_date", "action_code"}


def decides_rows(table: str) -> set[str]:
    """The columns of records that decide which rows a table has, or which records a row of it gathers."""
    if table in ("hcpcs_history", "hcpcs_validity", "hcpcs_changes", "hcpcs_findings"):
        return CUTS
    by_episode = {"added_date", "termination_date"} if "episode" in contract(table).key else set()
    return by_episode | ({"crosswalk_targets"} if table == "hcpcs_crosswalk" else set())


@cache
def _asset_functions() -> dict[str, dg.AssetsDefinition]:
    made_by = (
        records.hcpcs_releases,
        records.hcpcs_release_records,
        side_files.hcpcs_corrections,
        *side_files.SIDE_ASSETS,
        history.staged_episodes,
        history.hcpcs_changes,
        history.hcpcs_history,
        history.staged_states,
        history.hcpcs_crosswalk,
        codes.hcpcs_codes,
        codes.hcpcs_modifiers,
        codes.hcpcs_validity,
        history.hcpcs_findings,
    )
    return {key.to_user_string(): made for made in made_by for key in made.keys}


class _AnyReleases(RunContext):
    """Records here are altered and left out: that is no partial release."""

    def not_accepted(self, losses: Mapping[str, str]) -> dict[str, str]:
        return {}


def everything_from(staged: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """All tables made from the staged ones, by the assets' own functions, without Dagster."""
    frames = dict(staged)
    for made in dict.fromkeys(_asset_functions().values()):
        tables = {name: key.to_user_string() for name, key in made.keys_by_input_name.items()}
        inputs = {name: of.dagster_type.typing_type for name, of in made.node_def.input_dict.items()}
        found = made(
            **{
                name: frames[tables[name]].lazy() if kind is pl.LazyFrame else frames[tables[name]]
                for name, kind in inputs.items()
                if tables[name] not in SOURCES
            },
            **dict.fromkeys(
                made.required_resource_keys & {"run_context"}, _AnyReleases.of_archive(Outputs(Path("none")))
            ),
        )
        (output,) = (result for result in found if isinstance(result, dg.Output))
        frames[made.key.to_user_string()] = output.value.frames[None]
    return frames


@pytest.fixture(scope="module")
def staged(sample: Version) -> dict[str, pl.DataFrame]:
    return {
        folder.name: pl.concat([pl.read_parquet(p) for p in sorted(folder.glob("*.parquet"))])
        for folder in sample.outputs.work.glob("staged_*")
        if folder.is_dir()
    }


@pytest.fixture(scope="module")
def unchanged(staged: dict[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    return everything_from(staged)


def _differing(table: str, before: pl.DataFrame, after: pl.DataFrame) -> set[str]:
    """The columns in which rows of the same key differ."""
    key = list(contract(table).key)
    both = before.join(after, on=key, how="inner", suffix="_after", nulls_equal=True)
    return {
        c for c in before.columns if c not in key and both.filter(pl.col(c).ne_missing(pl.col(f"{c}_after"))).height > 0
    }


def _in_all_behind(table: str, column: str, ref: ColumnRef) -> bool:
    return any(found == ref for found, _ in edges_to_sources(table, column))


@pytest.mark.parametrize(
    "column",
    [
        *("long_description", "termination_date", "action_code"),
        *slow("crosswalk_targets", "betos_code", "anesthesia_base_units", "added_date", "action_effective_date"),
    ],
)
def test_a_value_changes_with_nothing_that_its_lineage_does_not_name(
    staged: dict[str, pl.DataFrame], unchanged: dict[str, pl.DataFrame], column: str
) -> None:
    stated = staged["staged_records"]
    values = stated[column]
    # The values stand in other rows: of another code, most often.
    moved = stated.with_columns(pl.concat([values.tail(1), values.head(values.len() - 1)]).alias(column))
    if column in ("added_date", "termination_date"):
        moved = moved.filter((pl.col("termination_date") >= pl.col("added_date")).fill_null(True))
    changed = everything_from({**staged, "staged_records": moved})
    ref = ColumnRef("staged_records", column)
    untold = {
        (table, name)
        for table in contracts()
        if table in changed and column not in decides_rows(table)
        for name in _differing(table, unchanged[table], changed[table])
        if not _in_all_behind(table, name, ref)
    }
    assert untold == set()
    assert _differing("hcpcs_release_records", unchanged["hcpcs_release_records"], changed["hcpcs_release_records"])


@pytest.mark.parametrize(
    ("part", "column", "touched"),
    [
        ("transactions", "action_text", {"hcpcs_transactions"}),
        ("transactions", "action_code", {"hcpcs_transactions", "hcpcs_findings"}),
        ("corrections", "comment", {"hcpcs_corrections"}),
        ("unlisted_codes", "long_description", {"hcpcs_unlisted_codes"}),
        ("notes", "note_text", {"hcpcs_notes"}),
    ],
)
def test_a_side_file_touches_the_tables_whose_lineage_names_it_alone(
    staged: dict[str, pl.DataFrame],
    unchanged: dict[str, pl.DataFrame],
    part: str,
    column: str,
    touched: set[str],
) -> None:
    table = f"staged_{part}"
    without = staged[table].with_columns(pl.lit(None, pl.String).alias(column))
    changed = everything_from({**staged, table: without})
    assert {t for t in changed if t in contracts() and not changed[t].equals(unchanged[t])} == touched
    ref = ColumnRef(table, column)
    named = {t for t, c in PUBLISHED if _in_all_behind(t, c.name, ref)}
    assert named == touched
