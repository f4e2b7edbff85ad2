"""What Dagster shows of every asset: stated before it is made, and noted when it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from conftest import Version, persistent_instance
from dagster._core.definitions.data_version import CachingStaleStatusResolver, StaleStatus
from dagster._core.loader import LoadingContextForTest

from hcpcs.paths import Outputs
from pipeline.definitions import build_definitions
from pipeline.lineage import columns as lineage
from pipeline.orchestration import asset_metadata as shown
from pipeline.orchestration import fingerprints as fingerprint
from pipeline.versions.parquet import content_hash
from schemas.registry import contract, contracts

MADE = [t.name for t in lineage.tables() if t.group not in ("source", "version")]


@pytest.fixture(scope="module")
def graph(tmp_path_factory: pytest.TempPathFactory) -> Any:
    return build_definitions(outputs=tmp_path_factory.mktemp("outputs")).resolve_asset_graph()


@pytest.fixture(scope="module")
def noted(sample: Version) -> dict[str, list[dg.AssetMaterialization]]:
    """What the run that published the sample noted, by asset."""
    found: dict[str, list[dg.AssetMaterialization]] = {}
    with persistent_instance(str(sample.outputs.dagster_home)) as instance:
        (run,) = instance.get_runs()
        for entry in instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_MATERIALIZATION):
            assert entry.dagster_event is not None
            made = entry.dagster_event.step_materialization_data.materialization
            found.setdefault(made.asset_key.to_user_string(), []).append(made)
    return found


@pytest.mark.parametrize("table", [*MADE, "published_version"])
def test_every_asset_says_what_it_is_whose_and_made_by_which_code(graph: Any, table: str) -> None:
    node = graph.get(dg.AssetKey(table))
    assert node.description and node.owners == ["team:hcpcs"] and "parquet" in node.kinds
    assert node.tags["tier"] == ("open" if table in contracts() or table == "published_version" else "unpublished")
    assert len(node.code_version) == 16


@pytest.mark.parametrize("table", [*MADE, "published_version"])
def test_every_asset_names_the_file_and_line_of_its_code(graph: Any, table: str) -> None:
    (place,) = graph.get(dg.AssetKey(table)).metadata["dagster/code_references"].code_references
    lines = Path(place.file_path).read_text("utf-8").splitlines()
    assert Path(place.file_path).parent.name == "assets"
    assert lines[place.line_number - 1].strip().startswith(("@dg.", "def "))


@pytest.mark.parametrize("table", MADE)
def test_an_assets_column_lineage_is_that_of_the_contracts(graph: Any, table: str) -> None:
    stated = graph.get(dg.AssetKey(table)).metadata["dagster/column_lineage"]
    stated = stated.value if isinstance(stated, dg.TableColumnLineageMetadataValue) else stated
    assert list(stated.deps_by_column) == list(lineage.columns(table))
    for column, deps in stated.deps_by_column.items():
        found = {(d.asset_key.to_user_string(), d.column_name) for d in deps}
        assert found == {(r.table, r.column) for r in lineage.column_inputs(table, column)} | {
            (s.source, s.field) for s in lineage.direct_sources(table, column)
        }


@pytest.mark.parametrize("table", MADE)
def test_every_column_of_every_asset_has_a_type_and_words(graph: Any, table: str) -> None:
    schema = graph.get(dg.AssetKey(table)).metadata["dagster/column_schema"]
    schema = schema.value if isinstance(schema, dg.TableSchemaMetadataValue) else schema
    assert [c.name for c in schema.columns] == list(lineage.columns(table))
    assert all(c.type and c.description for c in schema.columns)


def test_columns_show_their_meaning_and_the_checks_they_must_pass(graph: Any) -> None:
    schema = graph.get(dg.AssetKey("hcpcs_history")).metadata["dagster/column_schema"]
    schema = schema.value if isinstance(schema, dg.TableSchemaMetadataValue) else schema
    columns = {c.name: c for c in schema.columns}
    assert columns["valid_to"].constraints.nullable and not columns["valid_from"].constraints.nullable
    assert columns["kind"].constraints.other == ["one of procedure, modifier"]
    assert columns["episode"].constraints.other == ["at least 1"]
    assert columns["valid_from"].description == "First day on which the content was in effect."
    assert schema.constraints.other[0] == "unique: kind, code, episode, span_number"
    assert "A span ends on or after the day on which it begins." in schema.constraints.other


def test_a_made_table_notes_rows_bytes_and_where_it_is_published(
    sample: Version, noted: dict[str, list[dg.AssetMaterialization]]
) -> None:
    for table in contracts():
        (made,) = noted[table]
        file = sample.outputs.work / f"{table}.parquet"
        assert made.metadata["dagster/row_count"].value == sample.open(table).height
        assert made.metadata["bytes"].value == file.stat().st_size
        assert Path(str(made.metadata["published as"].value)).samefile(sample.folder / "open" / f"{table}.parquet")
        page = sample.outputs.folder / "catalog" / "tables" / f"{table}.html"
        assert made.metadata["in the catalog"].value == str(page)
    (version,) = noted["published_version"]
    assert version.metadata["version"].value == sample.id
    assert Path(str(version.metadata["manifest"].value)).samefile(sample.folder / "manifest.json")


def test_a_release_notes_its_codes_by_section_and_the_numbers_that_are_plotted(
    sample: Version, noted: dict[str, list[dg.AssetMaterialization]]
) -> None:
    records = sample.open("hcpcs_release_records")
    by_release = {made.partition: made.metadata for made in noted["staged_records"]}
    assert set(by_release) == set(sample.refreshed.read)
    for release_id, metadata in by_release.items():
        stated = records.filter(release_id=release_id, kind="procedure")
        assert metadata["procedure codes"].value == stated.height
        first = stated["code"].str.slice(0, 1)
        shown_bars = str(metadata["codes by section"].value)
        for letter, count in first.value_counts().iter_rows():
            assert f"| {letter} | {count:,} |" in shown_bars


def test_every_check_notes_what_it_measured(sample: Version, graph: Any) -> None:
    with persistent_instance(str(sample.outputs.dagster_home)) as instance:
        (run,) = instance.get_runs()
        entries = instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ASSET_CHECK_EVALUATION)
    checks = [e.dagster_event.asset_check_evaluation_data for e in entries if e.dagster_event is not None]
    rules = {c.asset_key.to_user_string(): c for c in checks if c.check_name == "contract"}
    assert set(rules) == set(contracts())
    assert {c.asset_check_key for c in checks} == {key for node in graph.asset_nodes for key in node.check_keys}
    for table, check in rules.items():
        assert check.metadata["measured"].value == sample.open(table).height
        assert all(rule in str(check.metadata["rules"].value) for rule in contract(table).rules)
    for check in checks:
        assert check.passed or not check.blocking
        assert int(check.metadata["measured"].value) > 0
        assert check.metadata["violations"].value == 0 or not check.passed


def materialized(outputs: Outputs, *assets: str, **options: Any) -> dg.ExecuteInProcessResult:
    """What Dagster's own job does when a person selects assets in the UI."""
    job = build_definitions(outputs=outputs.folder).resolve_job_def("refresh")
    with persistent_instance(str(outputs.dagster_home)) as instance:
        keys = [dg.AssetKey(name) for name in assets]
        return job.execute_in_process(instance=instance, asset_selection=keys, raise_on_error=False, **options)


def test_one_table_can_be_made_alone(own_sample: Outputs) -> None:
    def files() -> dict[str, int]:
        return {str(p.relative_to(own_sample.work)): p.stat().st_mtime_ns for p in own_sample.work.rglob("*.parquet")}

    before = files()
    for table, options in {"hcpcs_modifiers": {}, "staged_notes": {"partition_key": "2025-10"}}.items():
        assert materialized(own_sample, table, **options).success
        changed = {name for name, at in files().items() if before[name] != at}
        assert changed == {f"{table}/2025-10.parquet" if options else f"{table}.parquet"}
        before = files()


def test_a_partition_that_is_not_loaded_yet_says_what_to_do(own_sample: Outputs) -> None:
    """The sensor adds a release's partition before the refresh loads it."""
    with persistent_instance(str(own_sample.dagster_home)) as instance:
        instance.add_dynamic_partitions("releases", ["2031-01"])
    result = materialized(own_sample, "staged_records", partition_key="2031-01")
    (failure,) = [e.step_failure_data.error_display_string for e in result.get_step_failure_events()]
    assert not result.success and "2031-01: not loaded yet; run `hcpcs refresh`" in failure


@pytest.mark.parametrize(
    ("assets", "why"),
    [
        (["hcpcs_codes"], "hcpcs_crosswalk is not made yet"),
        (["hcpcs_release_records"], "staged_records is not made yet"),
        (["staged_records"], "no release is requested"),
    ],
)
def test_what_cannot_be_made_alone_says_what_to_do(tmp_path: Path, assets: list[str], why: str) -> None:
    outputs = Outputs(tmp_path)
    outputs.dagster_home.mkdir()
    result = materialized(outputs, *assets)
    failures = [e.step_failure_data.error_display_string for e in result.get_step_failure_events()]
    assert not result.success and any(why in text and "run `hcpcs refresh`" in text for text in failures), failures


def test_a_broken_contract_is_a_failed_check_and_no_file(own_sample: Outputs, monkeypatch: pytest.MonkeyPatch) -> None:
    from pipeline.orchestration.assets import codes

    made = codes.tables.code_states
    monkeypatch.setattr(codes.tables, "code_states", lambda *a: made(*a).with_columns(status=pl.lit("unheard of")))
    before = (own_sample.work / "hcpcs_modifiers.parquet").read_bytes()
    result = materialized(own_sample, "hcpcs_modifiers")
    (check,) = result.get_asset_check_evaluations()
    assert not result.success and not check.passed and check.check_name == "contract" and check.blocking
    rows = pl.read_parquet(own_sample.work / "hcpcs_modifiers.parquet").height
    assert check.metadata["violations"].value == rows == check.metadata["measured"].value
    assert "unheard of" in str(check.metadata["first"].value)
    assert (own_sample.work / "hcpcs_modifiers.parquet").read_bytes() == before


def stale_assets(outputs: Outputs, instance: dg.DagsterInstance) -> set[str]:
    graph = build_definitions(outputs=outputs.folder).resolve_asset_graph()
    resolver = CachingStaleStatusResolver(instance, graph, LoadingContextForTest(instance))
    made = (*contracts(), "staged_episodes", "staged_states", "published_version")
    return {table for table in made if resolver.get_status(dg.AssetKey(table)) != StaleStatus.FRESH}


def test_data_versions_are_hashes_of_content(sample: Version, noted: dict[str, list[dg.AssetMaterialization]]) -> None:
    for table in contracts():
        frame = pl.read_parquet(sample.outputs.work / f"{table}.parquet")
        (made,) = noted[table]
        assert (made.tags or {})["dagster/data_version"] == content_hash([frame])


def test_nothing_is_stale_after_a_run_and_then_what_is_made_from_what_changed(own_sample: Outputs) -> None:
    with persistent_instance(str(own_sample.dagster_home)) as instance:
        assert stale_assets(own_sample, instance) == set()
        other = {"dagster/data_version": "other", "dagster/data_version_is_user_provided": "true"}
        instance.report_runless_asset_event(dg.AssetMaterialization("hcpcs_unlisted_codes", tags=other))
        # Modifiers are made beside codes, and of other tables.
        assert stale_assets(own_sample, instance) == {"hcpcs_codes", "published_version"}


def test_a_content_hash_knows_rows_their_order_columns_and_types() -> None:
    frame = pl.DataFrame({"code": ["A0021", "A0080"], "refs": [["1"], []]})
    others = [
        frame.reverse(),
        frame.rename({"code": "other"}),
        frame.head(1),
        frame.with_columns(refs=pl.lit([], pl.List(pl.String))),
        frame.with_columns(pl.col("code").cast(pl.Categorical)),
    ]
    assert content_hash([frame]) == content_hash([frame.clone().rechunk()])
    assert len({content_hash([f]) for f in [frame, *others]}) == 6
    assert content_hash([frame, frame]) != content_hash([frame])


def test_a_code_version_follows_imports_and_curated_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def written(name: str, text: str) -> None:
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)

    def code_version() -> str:
        fingerprint.module_fingerprint.cache_clear()
        fingerprint._imported.cache_clear()
        return fingerprint.module_fingerprint("pipeline.spans")

    written("pipeline/spans.py", "from sources.rules import (\n    load,\n)\nfrom pipeline import days\n")
    written("pipeline/days.py", "DAY = 1\n")
    written("pipeline/other.py", "DAY = 1\n")
    written("sources/rules.py", "def load(): ...\n")
    written("sources/curated/rules.csv", "a,b\n")
    monkeypatch.setattr(fingerprint, "ROOT", tmp_path)
    try:
        seen = [code_version()]
        for name in ("pipeline/days.py", "sources/rules.py", "sources/curated/rules.csv"):
            written(name, "CHANGED = 1\n")
            seen.append(code_version())
        assert len(set(seen)) == 4
        written("pipeline/other.py", "CHANGED = 1\n")
        assert code_version() == seen[-1]
    finally:
        fingerprint.module_fingerprint.cache_clear()
        fingerprint._imported.cache_clear()


def test_bars_are_drawn_to_the_longest() -> None:
    drawn = str(shown.bars({"A": 1500, "B": 750, "C": 1}, "section").value).splitlines()
    assert drawn[0] == "| section | codes | |"
    assert [line.count("█") for line in drawn[2:]] == [30, 15, 0]
    assert "| A | 1,500 |" in drawn[2] and "▏" in drawn[4]


def test_a_contract_names_its_licenses_and_its_group() -> None:
    assert contract("code_systems").license_ids == ("CC0-1.0",)
    assert contract("hcpcs_history").license_ids == ("CC0-1.0", "LicenseRef-US-Gov-Public-Domain-17USC105")
    assert {c.facts.group for c in contracts().values()} == set(lineage.LAYERS) - {"source", "staged", "version"}
