"""The asset graph as a golden file: keys, what each is made from, groups, partitions, checks.

After a change that is meant: ``HCPCS_UPDATE_GOLDEN=1 python -m pytest tests/pipeline/orchestration``, then
look at what the version control says has changed in ``tests/golden/asset_graph.json``.
"""

from __future__ import annotations

import json
import os
from typing import Any

import dagster as dg
import pytest
from conftest import REPOSITORY

from pipeline.definitions import build_definitions
from pipeline.lineage.columns import SOURCES
from pipeline.orchestration.release_tables import STAGED
from schemas.registry import contract, contracts

GOLDEN = REPOSITORY / "tests" / "golden" / "asset_graph.json"


@pytest.fixture(scope="module")
def definitions(tmp_path_factory: pytest.TempPathFactory) -> dg.Definitions:
    return build_definitions(outputs=tmp_path_factory.mktemp("outputs"))


def graph_of(definitions: dg.Definitions) -> dict[str, dict[str, Any]]:
    graph = definitions.resolve_asset_graph()
    return {
        node.key.to_user_string(): {
            "group": node.group_name,
            "derived_from": sorted(k.to_user_string() for k in node.parent_keys),
            "partitions": node.partitions_def.name if node.partitions_def else None,  # type: ignore[union-attr]
            "checks": sorted(k.name for k in node.check_keys),
        }
        for node in sorted(graph.asset_nodes, key=lambda n: n.key.to_user_string())
    }


def test_the_asset_graph_is_the_golden_one(definitions: dg.Definitions) -> None:
    found = graph_of(definitions)
    if os.environ.get("HCPCS_UPDATE_GOLDEN"):
        GOLDEN.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    assert found == json.loads(GOLDEN.read_text("utf-8"))


def test_every_published_table_is_an_asset_of_its_name_with_its_contracts_words(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for table in contracts():
        node = graph.get(dg.AssetKey(table))
        assert node.description == contract(table).description
        assert node.partitions_def is None
        schema = node.metadata["dagster/column_schema"]
        columns = (schema.value if isinstance(schema, dg.TableSchemaMetadataValue) else schema).columns
        assert [c.name for c in columns] == [c.name for c in contract(table).columns]


def test_a_version_is_made_of_all_published_tables(definitions: dg.Definitions) -> None:
    parents = definitions.resolve_asset_graph().get(dg.AssetKey("published_version")).parent_keys
    assert {k.to_user_string() for k in parents} == set(contracts())


def test_staged_assets_have_a_partition_for_each_release_and_one_run_for_many(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    staged = [n for n in graph.asset_nodes if n.group_name == "staged"]
    assert {n.key.to_user_string() for n in staged} == set(STAGED)
    for node in staged:
        assert isinstance(node.partitions_def, dg.DynamicPartitionsDefinition)
        assert node.partitions_def.name == "releases"
        assert node.backfill_policy == dg.BackfillPolicy.single_run()


def test_what_is_read_of_one_release_depends_on_sources_alone(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for node in (n for n in graph.asset_nodes if n.partitions_def is not None):
        assert {k.to_user_string() for k in node.parent_keys} <= set(SOURCES)
    assert all(dg.AssetKey("published_version") not in node.parent_keys for node in graph.asset_nodes)


def test_the_job_refresh_is_all_of_it_in_one_process_a_step_a_table(definitions: dg.Definitions) -> None:
    job = definitions.resolve_job_def("refresh")
    assert job.executor_def.name == "in_process"
    graph = definitions.resolve_asset_graph()
    groups = {n.key.to_user_string(): n.group_name for n in graph.asset_nodes if n.group_name != "source"}
    # A release is read once for all staged tables, and nothing is computed for the reference tables: they share a step.
    # Freshness is evaluated without a refresh too, so that it is a step of its own.
    together = ("staged", "reference")
    assert {node.name for node in job.nodes} == {t for t, group in groups.items() if group not in together} | {
        *together,
        "published_version_newest_release_is_current",
    }


def test_every_published_table_has_its_contract_as_a_blocking_check(definitions: dg.Definitions) -> None:
    graph = definitions.resolve_asset_graph()
    for table in contracts():
        key = dg.AssetCheckKey(dg.AssetKey(table), "contract")
        assert graph.get(key).blocking and table in (graph.get(key).description or "")
