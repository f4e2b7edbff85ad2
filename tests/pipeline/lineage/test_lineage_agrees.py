"""What Dagster shows, what OpenLineage is told and what the catalog draws of a column's origin is the same.

All three derive it from ``pipeline.lineage.columns``; here they are read back where others read them, and compared.
"""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from typing import Any

import pytest
from conftest import REPOSITORY, Version, missing

from pipeline.catalog.build import write_site
from pipeline.catalog.version_reader import read_versions
from pipeline.lineage import columns as lineage
from schemas.registry import contracts

#: Of each table's column: the table (or source) and column (or field) that it is made from directly.
Lineage = dict[str, dict[str, set[tuple[str, str]]]]

_QUESTION = """{ assetNodes { assetKey { path } metadataEntries {
  label ... on TableColumnLineageMetadataEntry { lineage { columnName columnDeps { assetKey { path } columnName } } }
} } }"""


@pytest.fixture(scope="module")
def in_dagster(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    """As Dagster's GraphQL answers, which its user interface asks."""
    if importlib.util.find_spec("dagster_graphql") is None:
        missing("dagster-graphql, which comes with the user interface")
    folder = tmp_path_factory.mktemp("graphql")
    home = folder / "dagster"
    shutil.copytree(sample.outputs.dagster_home, home)
    code = "from dagster_graphql.cli import main; main()"
    asked = ["-m", "pipeline.definitions", "-t", _QUESTION, "-o", str(folder / "answer.json")]
    subprocess.run(
        [sys.executable, "-c", code, *asked],
        cwd=REPOSITORY,
        env=os.environ | {"DAGSTER_HOME": str(home), "HCPCS_OUTPUTS": str(sample.outputs.folder)},
        check=True,
        capture_output=True,
        timeout=120,
    )
    answer = json.loads((folder / "answer.json").read_bytes())
    return {
        node["assetKey"]["path"][-1]: {
            column["columnName"]: {(dep["assetKey"]["path"][-1], dep["columnName"]) for dep in column["columnDeps"]}
            for column in entry["lineage"]
        }
        for node in answer["data"]["assetNodes"]
        for entry in node["metadataEntries"]
        if entry["label"] == "dagster/column_lineage"
    }


@pytest.fixture(scope="module")
def in_openlineage(sample: Version) -> Lineage:
    """As the events say that were told of the run that published the sample: of a table's own run, and of the whole."""
    found: Lineage = {}
    for line in sample.outputs.lineage_events.read_text("utf-8").splitlines():
        for dataset in json.loads(line)["outputs"]:
            facet: dict[str, Any] = dataset["facets"].get("columnLineage", {"fields": {}})
            stated = {
                column: {(i["name"], i["field"].replace("(whole)", "")) for i in field["inputFields"]}
                for column, field in facet["fields"].items()
            }
            assert found.setdefault(dataset["name"], stated) == stated, "a table is told of twice, and the same"
    return {table: fields for table, fields in found.items() if fields}


def test_dagster_shows_what_lineage_states(in_dagster: Lineage) -> None:
    tables = {t.name for t in lineage.tables() if t.group not in ("source", "version")}
    assert in_dagster.keys() == tables >= contracts().keys()
    for table in tables:
        assert in_dagster[table].keys() <= set(lineage.columns(table))
        for column in lineage.columns(table):
            stated = {(r.table, r.column) for r in lineage.column_inputs(table, column)}
            stated |= {(f.source, f.field) for f in lineage.direct_sources(table, column)}
            assert in_dagster[table].get(column, set()) == stated


def test_openlineage_is_told_what_dagster_shows(in_dagster: Lineage, in_openlineage: Lineage) -> None:
    assert in_openlineage.keys() == in_dagster.keys()
    for table, columns in in_openlineage.items():
        made = {column: inputs for column, inputs in columns.items() if inputs}
        assert made == {column: inputs for column, inputs in in_dagster[table].items() if inputs}
    assert sum(len(inputs) for columns in in_openlineage.values() for inputs in columns.values()) > 500


@pytest.fixture(scope="module")
def in_catalog(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> Lineage:
    """As the catalog's page Lineage has it: every step between columns, in the script that the page loads."""
    folder = tmp_path_factory.mktemp("catalog") / "site"
    write_site(read_versions(sample.outputs), folder)
    script = (folder / "data" / "lineage.js").read_text("utf-8")
    assert 'src="data/lineage.js"' in (folder / "lineage.html").read_text("utf-8")
    data = json.loads(script[script.index("=", script.index('"lineage"')) + 1 : script.rindex(";")])
    found: Lineage = {}
    for start, end in data["edges"]:
        (origin, _, place), (table, _, column) = start.partition("."), end.partition(".")
        found.setdefault(table, {}).setdefault(column, set()).add((origin, place))
    return found


def test_the_catalog_draws_what_dagster_shows(in_dagster: Lineage, in_catalog: Lineage) -> None:
    shown = {table: {c: inputs for c, inputs in columns.items() if inputs} for table, columns in in_dagster.items()}
    assert in_catalog == {table: columns for table, columns in shown.items() if columns}


def test_paths_lead_to_sources(in_openlineage: Lineage) -> None:
    def ends(table: str, column: str, seen: frozenset[tuple[str, str]]) -> set[tuple[str, str]]:
        if table not in in_openlineage:
            return {(table, column)}
        inputs = in_openlineage[table][column] - seen
        return set().union(*(ends(*i, seen | {i}) for i in inputs)) if inputs else set()

    for table in ("hcpcs_history", "code_systems", "hcpcs_notes"):
        for column in lineage.columns(table):
            stated = {(f.source, f.field) for f in lineage.source_fields(table, column)}
            assert ends(table, column, frozenset()) == stated
