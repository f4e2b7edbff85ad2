"""Every run is told as OpenLineage: what it says is true, is OpenLineage, quotes nothing, and holds no run up."""

from __future__ import annotations

import gzip
import importlib
import json
import os
import pkgutil
import socket
import subprocess
import sys
import time
import types
import typing
from collections.abc import Callable, Iterator
from enum import Enum
from functools import cache
from pathlib import Path
from typing import Any

import attr
import dagster as dg
import openlineage.client.generated
import polars as pl
import pyarrow.parquet
import pytest
import referencing
from conftest import REPOSITORY, Said, Version, persistent_instance
from jsonschema import Draft202012Validator
from made_up import Posting, posting, record
from openlineage.client.generated.base import BaseFacet, DatasetFacet, RunEvent
from site_server import SiteServer, drip, hang_before_the_first_byte, status

from hcpcs.paths import Outputs
from pipeline.definitions import build_definitions
from pipeline.lineage import columns as lineage
from pipeline.orchestration.openlineage import (
    CMS_NAMESPACE,
    FACETS_FOLDER,
    Datasets,
    Endpoint,
    build_openlineage_resource,
)
from pipeline.orchestration.openlineage_settings import OpenLineageSettings
from pipeline.orchestration.run_context import RefreshRefused
from schemas.registry import contracts
from sources.archive.archive import ArchivedZip
from sources.release.inspect import open_archive

Event = dict[str, Any]
Call = Callable[..., Said]
RECORDS = (record("A1"), record("A0080"), record("V5364"))
API = "/api/v1/lineage"


def events_of(outputs: Outputs, job: str | None = None) -> list[Event]:
    lines = outputs.lineage_events.read_text("utf-8").splitlines() if outputs.lineage_events.exists() else []
    events: list[Event] = [json.loads(line) for line in lines]
    return [e for e in events if job is None or e["job"]["name"] == job]


def outputs_of(event: Event) -> dict[str, Event]:
    return {d["name"]: d for d in event["outputs"]}


@pytest.fixture(scope="module")
def told(sample: Version) -> list[Event]:
    """What the run that published the sample told."""
    return events_of(sample.outputs)


@pytest.fixture(scope="module")
def complete(told: list[Event]) -> Event:
    """The event that ends it."""
    return told[-1]


# --- what is told ----------------------------------------------------------------------------------------------------


def test_a_run_begins_and_ends_under_dagsters_run_id(sample: Version, told: list[Event]) -> None:
    runs = persistent_instance(str(sample.outputs.dagster_home)).get_runs()
    own = [e for e in told if e["job"]["name"] == "refresh"]
    assert [e["eventType"] for e in own] == ["START", "COMPLETE"]
    assert {e["run"]["runId"] for e in own} == {run.run_id for run in runs}
    assert told[0] is own[0] and told[-1] is own[-1] and own[0]["eventTime"] < own[1]["eventTime"]


def test_inputs_are_the_zips_held_with_their_hash_as_version(sample: Version, told: list[Event]) -> None:
    held = open_archive(sample.outputs.archive).index().zips
    for event in (told[0], told[-1]):
        zips = {d["facets"]["version"]["datasetVersion"]: d["facets"]["hcpcs_release"] for d in event["inputs"]}
        assert zips.keys() == held.keys()
        for sha256, release in zips.items():
            assert release["releaseId"] == held[sha256].release_id and release["isSample"] is True
            assert [m["sha256"] for m in release["members"]] == [m.sha256 for m in held[sha256].members]


def test_a_zip_is_named_by_the_address_that_it_came_from(tmp_path: Path) -> None:
    def named(is_sample: bool, *origins: str) -> tuple[str, str]:
        held = ArchivedZip(
            "0" * 64, "a.zip", 1, "2025-10", is_sample, (), tuple({"from": o, "at": ""} for o in origins)
        )
        found = Datasets("ours", Outputs(tmp_path)).zip(held)
        return found["namespace"], found["name"]

    assert named(False, "https://www.cms.gov/files/zip/a.zip") == (CMS_NAMESPACE, "/files/zip/a.zip")
    assert named(False, "/releases/2025-10/a.zip") == ("file", "/releases/2025-10/a.zip")
    assert named(True, "/a/temporary/folder/a.zip") == ("ours", "sample/2025-10/a.zip")


def test_outputs_are_the_published_tables_as_they_lie_there(sample: Version, complete: Event) -> None:
    written = outputs_of(complete)
    assert written.keys() == set(contracts())
    for table, described in written.items():
        facets, entry = described["facets"], sample.content["files"][f"open/{table}.parquet"]
        assert facets["version"]["datasetVersion"] == sample.id
        fields = [(f["ordinal_position"], f["name"], f["type"]) for f in facets["schema"]["fields"]]
        schema = pyarrow.parquet.read_schema(sample.folder / "open" / f"{table}.parquet")
        types_ = [str(f.type).replace("element: ", "").replace("item: ", "") for f in schema]
        assert fields == list(zip(range(1, len(schema) + 1), schema.names, types_, strict=True))
        assert facets["hcpcs_license"]["sha256"] == entry["sha256"]
        assert described["outputFacets"]["outputStatistics"]["rowCount"] == entry["rows"]
        (place,) = facets["symlinks"]["identifiers"]
        assert Path(place["name"]).resolve() == (sample.folder / "open" / f"{table}.parquet").resolve()


def test_row_and_null_counts_are_those_of_the_file(sample: Version, complete: Event) -> None:
    for table, described in outputs_of(complete).items():
        frame, metrics = sample.open(table), described["facets"]["dataQualityMetrics"]
        assert metrics["rowCount"] == frame.height
        nulls = {name: metric["nullCount"] for name, metric in metrics["columnMetrics"].items()}
        assert nulls == frame.null_count().row(0, named=True)
        assert metrics["columnMetrics"].keys() == set(frame.columns)


def test_assertions_are_the_contracts_and_the_checks(complete: Event) -> None:
    history = outputs_of(complete)["hcpcs_history"]["facets"]["dataQualityAssertions"]["assertions"]
    assert all(a["success"] for a in history)
    stated = contracts()["hcpcs_history"]
    assert {a["column"] for a in history if a["assertion"] == "not_null"} == {
        c.name for c in stated.columns if not c.nullable
    }
    assert {a["name"] for a in history if a["assertion"] == "violations"} >= {"hcpcs_history.spans_do_not_overlap"}
    tests = {t["name"]: t for t in complete["run"]["facets"]["test"]["tests"]}
    assert tests["hcpcs_history.spans_do_not_overlap"]["status"] == "pass"
    assert {t["severity"] for t in tests.values() if t["status"] == "fail"} <= {"warn"}, "the version was published"


def test_owners_and_licenses_are_the_contracts(complete: Event) -> None:
    for table, described in outputs_of(complete).items():
        stated, facet = contracts()[table], described["facets"]["hcpcs_license"]
        assert facet["columns"] == {c.name: c.license_id for c in stated.columns}
        assert [one["id"] for one in facet["licenses"]] == list(stated.license_ids)
        assert facet["rowsNameTheirs"] == ("withheld_fields" in facet["columns"])
        owners = {o["type"]: o["name"] for o in described["facets"]["ownership"]["owners"]}
        assert owners["MAINTAINER"] == f"team:{stated.facts.owner}"
        assert (owners.get("STEWARD") == "organization:CMS") == any("Gov" in i for i in stated.license_ids)


def test_every_table_is_a_run_below_whose_inputs_hold_what_its_columns_are_made_from(told: list[Event]) -> None:
    # Marquez takes a column's lineage from the fields of the same run's inputs, and from nowhere else.
    runs = {e["job"]["name"].removeprefix("refresh."): e for e in told[1:-1] if e["eventType"] == "COMPLETE"}
    assert runs.keys() == {t.name for t in lineage.tables() if t.group != "source"}
    for table, event in runs.items():
        assert event["run"]["facets"]["parent"]["run"]["runId"] == told[0]["run"]["runId"] != event["run"]["runId"]
        inputs = {
            (d["namespace"], d["name"], f["name"])
            for d in event["inputs"]
            for f in d["facets"].get("schema", {}).get("fields", [])
        }
        facets = outputs_of(event)[table]["facets"]
        fields = facets["columnLineage"]["fields"] if "columnLineage" in facets else {}
        used = {(i["namespace"], i["name"], i["field"]) for f in fields.values() for i in f["inputFields"]}
        assert used <= inputs and fields.keys() == {f["name"] for f in facets["schema"]["fields"]}
        assert (
            {name for _, name, _ in used} == set(lineage.table_inputs(table)) - set(contracts()) or used or not fields
        )


def test_a_column_that_goes_on_as_it_was_is_marked_so(complete: Event) -> None:
    fields = outputs_of(complete)["hcpcs_history"]["facets"]["columnLineage"]["fields"]

    def kinds(column: str) -> set[str]:
        return {t["subtype"] for i in fields[column]["inputFields"] for t in i["transformations"]}

    assert kinds("code") == {"IDENTITY"} and kinds("valid_to") == {"TRANSFORMATION"}


def test_events_hold_no_word_of_any_table(sample: Version, told: list[Event]) -> None:
    text = sample.outputs.lineage_events.read_text("utf-8").lower()
    words = set()
    for table in ("hcpcs_release_records", "hcpcs_notes", "hcpcs_findings", "hcpcs_corrections"):
        frame = pl.read_parquet(sample.outputs.work / f"{table}.parquet")  # unmasked
        for name in ("short_description", "long_description", "note_text", "raw_value", "message", "action_text"):
            if name in frame.columns:
                words |= {str(v).lower() for v in frame[name].drop_nulls() if len(str(v)) >= 12}
    assert len(words) > 50
    assert [w for w in words if w in text] == []


# --- it is OpenLineage -----------------------------------------------------------------------------------------------


@cache
def client_classes() -> dict[str, Any]:
    """The classes that OpenLineage's client has generated from OpenLineage's schemas, by the schema's address."""
    found = {}
    package = openlineage.client.generated
    for info in pkgutil.iter_modules(package.__path__):
        for value in vars(importlib.import_module(f"{package.__name__}.{info.name}")).values():
            if isinstance(value, type) and hasattr(value, "_get_schema"):
                found[value._get_schema()] = value
    return found


def schema_of(kind: type) -> dict[str, Any]:
    """The JSON Schema that a class of the client's states: no field may be there that it does not have."""
    defs: dict[str, Any] = {}
    return {"$ref": _described(kind, defs), "$defs": defs}


def _described(kind: Any, defs: dict[str, Any]) -> str:
    if kind.__name__ not in defs:
        defs[kind.__name__] = {}  # it may hold itself
        hints, fields = typing.get_type_hints(kind), {f.name: f for f in attr.fields(kind)}
        defs[kind.__name__] = {
            "type": "object",
            "properties": {name: _type(hints[name], defs) for name in fields},
            "required": [n for n, f in fields.items() if f.default is attr.NOTHING],
            "additionalProperties": False,
        }
    return f"#/$defs/{kind.__name__}"


def _type(kind: Any, defs: dict[str, Any]) -> dict[str, Any]:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if kind is Any:
        return {}
    if origin in (typing.Union, types.UnionType):
        return {"anyOf": [_type(a, defs) for a in arguments if a is not types.NoneType]}
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _type(arguments[0], defs)}
    if origin is dict:
        return {"type": "object", "additionalProperties": _type(arguments[1], defs)}
    if issubclass(kind, Enum):
        return {"enum": [member.value for member in kind]}
    if issubclass(kind, BaseFacet):
        # Which facet stands there is said by its own address: each is looked at by itself.
        return {"type": "object", "required": ["_producer", "_schemaURL"]}
    if attr.has(kind):
        return {"$ref": _described(kind, defs)}
    return {"type": {str: "string", bool: "boolean", int: "integer", float: "number"}[kind]}


def facets_in(event: Event) -> Iterator[tuple[str, Event]]:
    for place in (event["run"], event["job"], *event["inputs"], *event["outputs"]):
        for group in ("facets", "inputFacets", "outputFacets"):
            yield from place.get(group, {}).items()


def faults(schema: dict[str, Any], value: Any) -> list[str]:
    return [f"{e.json_path}: {e.message[:200]}" for e in Draft202012Validator(schema).iter_errors(value)]


def test_events_and_facets_are_what_openlineages_client_has_generated_from_its_schemas(told: list[Event]) -> None:
    event_schema = schema_of(RunEvent)
    seen = set()
    for event in told:
        assert faults(event_schema, event) == []
        assert event["schemaURL"] == RunEvent._get_schema()
        RunEvent(**{k: v for k, v in event.items() if k != "schemaURL"})  # its own checks of ids and times
        for key, facet in facets_in(event):
            if not key.startswith("hcpcs_"):
                kind = client_classes()[facet["_schemaURL"]]
                seen.add(kind)
                assert faults(schema_of(kind), facet) == [], key
    assert len(seen) >= 15


def test_a_facet_that_is_not_as_stated_is_found() -> None:
    kind = client_classes()[
        "https://openlineage.io/spec/facets/1-0-1/DatasetVersionDatasetFacet.json#/$defs/DatasetVersionDatasetFacet"
    ]
    good = {"_producer": "x", "_schemaURL": "y", "datasetVersion": "1"}
    assert faults(schema_of(kind), good) == []
    for bad in ({"datasetVersion": 1}, {"more": 1}):
        assert len(faults(schema_of(kind), good | bad)) == 1
    assert len(faults(schema_of(kind), {"_producer": "x", "_schemaURL": "y"})) == 1
    assert len(faults(schema_of(RunEvent), EVENT | {"inputs": [{"name": "no namespace"}]})) == 1


def test_our_own_facets_are_as_their_published_schemas_say(told: list[Event]) -> None:
    # What they build on, by the client's own class of it.
    base = schema_of(DatasetFacet)["$defs"]["DatasetFacet"]
    base["additionalProperties"], base["required"] = True, ["_producer", "_schemaURL"]
    openlineages = {"$schema": "https://json-schema.org/draft/2020-12/schema", "$defs": {"DatasetFacet": base}}
    address = DatasetFacet._get_schema().split("#")[0]
    registry = referencing.Registry().with_contents([(address, openlineages)])
    schemas = [json.loads(p.read_text("utf-8")) for p in FACETS_FOLDER.glob("*.json")]
    for schema in schemas:
        Draft202012Validator.check_schema(schema)
        registry = registry.with_contents([(schema["$id"], schema)])
    by_key = {key: schema for schema in schemas for key in schema["properties"]}
    seen = 0
    for event in told:
        for key, facet in facets_in(event):
            if key.startswith("hcpcs_"):
                seen += 1
                assert facet["_schemaURL"] == by_key[key]["$id"] + by_key[key]["properties"][key]["$ref"]
                assert list(Draft202012Validator(by_key[key], registry=registry).iter_errors({key: facet})) == []
                wrong = {key: facet | {"_producer": None}}
                assert list(Draft202012Validator(by_key[key], registry=registry).iter_errors(wrong)) != []
    assert seen >= len(contracts()) and by_key.keys() == {"hcpcs_license", "hcpcs_release"}


# --- when it is told -------------------------------------------------------------------------------------------------


def test_a_refresh_that_finds_nothing_new_tells_nothing_and_the_next_run_has_another_id(
    build: Callable[..., Version],
) -> None:
    first = build(posting("2025-10", *RECORDS))
    before = events_of(first.outputs)
    build(posting("2025-10", *RECORDS))
    assert events_of(first.outputs) == before
    build(posting("2025-10", *RECORDS[:2], record("V5364", long_description="Sample: another thing"), version="_v2"))
    after = events_of(first.outputs, "refresh")
    assert [e["eventType"] for e in after] == ["START", "COMPLETE"] * 2
    assert len({e["run"]["runId"] for e in after}) == 2
    later = events_of(first.outputs)[len(before) :]
    assert not {e["run"]["runId"] for e in before} & {e["run"]["runId"] for e in later}
    # What no release is in was not made again.
    left_out = {e["job"]["name"] for e in before} - {e["job"]["name"] for e in later}
    assert "refresh.code_systems" in left_out and "refresh.hcpcs_codes" not in left_out
    assert len(after[-1]["inputs"]) == 2


def broken(release_id: str) -> Posting:
    good = posting(release_id, *RECORDS)
    (name,) = good.members
    lines = good.members[name].splitlines(keepends=True)
    spoiled = lines[1][:10] + b"5" + lines[1][11:]  # a record id that there is not
    return Posting(release_id=release_id, name=good.name, members={name: b"".join([lines[0], spoiled, *lines[2:]])})


def test_a_failed_run_says_which_step_failed_and_quotes_nothing(build: Callable[..., Version], tmp_path: Path) -> None:
    outputs = Outputs(tmp_path / "outputs")
    with pytest.raises(RefreshRefused) as refused:
        build(broken("2025-10"))
    events = events_of(outputs, "refresh")
    assert [e["eventType"] for e in events] == ["START", "FAIL"]
    error = events[-1]["run"]["facets"]["errorMessage"]
    assert error["message"] == "RefreshRefused in staged" and "stackTrace" not in error
    assert events[-1]["outputs"] == []
    assert str(refused.value)[:30] not in outputs.lineage_events.read_text("utf-8")


def test_a_run_that_dagster_itself_starts_is_told_too(build: Callable[..., Version]) -> None:
    version = build(posting("2025-10", *RECORDS))
    before = len(events_of(version.outputs))
    definitions = build_definitions(outputs=version.outputs.folder)
    job = definitions.resolve_implicit_global_asset_job_def()
    instance = dg.DagsterInstance.ephemeral()
    chosen = [dg.AssetKey("hcpcs_changes")]
    instance.add_dynamic_partitions("releases", ["2025-10"])
    result = job.execute_in_process(instance=instance, asset_selection=chosen, raise_on_error=False)
    assert result.success
    names = [(e["eventType"], e["job"]["name"]) for e in events_of(version.outputs)[before:]]
    assert names == [
        ("START", "asset_job"),
        ("START", "asset_job.hcpcs_changes"),
        ("COMPLETE", "asset_job.hcpcs_changes"),
        ("COMPLETE", "asset_job"),
    ]
    assert events_of(version.outputs)[-1]["run"]["runId"] == result.run_id


def test_what_goes_wrong_in_telling_is_said_and_harms_nothing(build: Callable[..., Version], tmp_path: Path) -> None:
    said: list[str] = []
    Outputs(tmp_path / "outputs").lineage_events.mkdir(parents=True)  # a folder in its place: it cannot be written
    version = build(posting("2025-10", *RECORDS), progress=said.append)
    assert version.refreshed.is_new
    about = [text for text in said if text.startswith("OpenLineage")]
    assert len(about) == 1 and about[0].startswith("OpenLineage: an event of this run was not sent: IsADirectoryError")


def test_the_file_is_no_part_of_a_version(sample: Version) -> None:
    assert sample.outputs.lineage_events.parent == sample.outputs.runs
    assert not [name for name in sample.content["files"] if "openlineage" in name]


def test_the_client_is_imported_only_to_send() -> None:
    code = (
        "import sys, pipeline.orchestration.openlineage as told;"
        "settings = told.OpenLineageSettings.of_environment({});"
        "assert not settings.sends and not settings.is_disabled; assert 'openlineage' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, check=True, timeout=60)


# --- the endpoint ----------------------------------------------------------------------------------------------------


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[pytest.MonkeyPatch]:
    """An environment to set OpenLineage up in; the client adds to it, which does not last."""
    before = dict(os.environ)
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in [n for n in before if n.startswith("OPENLINEAGE")]:
        monkeypatch.delenv(name)
    yield monkeypatch
    monkeypatch.undo()
    for name in [n for n in os.environ if n not in before]:
        del os.environ[name]


@pytest.fixture
def receiver() -> Iterator[SiteServer]:
    with SiteServer() as server:
        server.always(API, status(201))
        yield server


@pytest.fixture
def offered(tmp_path: Path) -> Path:
    """A folder with one small release."""
    posting("2025-10", *RECORDS).write(tmp_path / "offered")
    return tmp_path / "offered"


def received(server: SiteServer) -> list[Event]:
    bodies = [gzip.decompress(r.body) if r.body[:2] == b"\x1f\x8b" else r.body for r in server.asked_for(API)]
    return [json.loads(body) for body in bodies]


def lean(value: Any) -> Any:
    """An event without what the client adds as it sends: which client it was, and fields that hold nothing."""
    if isinstance(value, dict):
        return {k: lean(v) for k, v in value.items() if k != "tags" and v not in ({}, [])}
    return [lean(v) for v in value] if isinstance(value, list) else value


def test_all_events_reach_an_endpoint_named_by_a_variable(
    hcpcs: Call, receiver: SiteServer, environment: pytest.MonkeyPatch, offered: Path, tmp_path: Path
) -> None:
    environment.setenv("OPENLINEAGE_URL", receiver.root)
    environment.setenv("OPENLINEAGE_API_KEY", "a-key")
    environment.setenv("OPENLINEAGE_NAMESPACE", "ours")
    said = hcpcs("refresh", "--from", offered, "--outputs", tmp_path / "o", "--json")
    assert said.status == 0 and json.loads(said.out)["is_new"] and said.err == ""
    told = events_of(Outputs(tmp_path / "o"))
    assert len(told) == len(received(receiver)) > 2
    for sent, stated in zip(received(receiver), told, strict=True):
        assert lean(sent) == lean(stated)
    assert {r.headers["Authorization"] for r in receiver.asked_for(API)} == {"Bearer a-key"}
    assert {e["job"]["namespace"] for e in told} == {"ours"}


def test_an_endpoint_named_by_a_file_gets_them_too(
    hcpcs: Call, receiver: SiteServer, environment: pytest.MonkeyPatch, offered: Path, tmp_path: Path
) -> None:
    settings = {
        "transport": {"type": "http", "url": receiver.root, "compression": "gzip"},
        "tags": {"run": {"environment": "test"}},
    }
    (tmp_path / "openlineage.yml").write_text(json.dumps(settings), "utf-8")
    environment.setenv("OPENLINEAGE_CONFIG", str(tmp_path / "openlineage.yml"))
    assert hcpcs("refresh", "--from", offered, "--outputs", tmp_path / "o").status == 0
    events = received(receiver)
    assert len(events) == len(events_of(Outputs(tmp_path / "o")))
    assert all("environment" in {t["key"] for t in e["run"]["facets"]["tags"]["tags"]} for e in events)


def test_an_endpoint_that_is_not_there_costs_nothing_but_a_line(
    hcpcs: Call, environment: pytest.MonkeyPatch, offered: Path, tmp_path: Path
) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
    environment.setenv("OPENLINEAGE_URL", f"http://127.0.0.1:{port}")
    environment.setattr(dg.DagsterInstance, "local_temp", staticmethod(persistent_instance))
    said = hcpcs("refresh", "--from", offered, "--outputs", tmp_path / "o", "--json")  # as under cron: no terminal
    assert said.status == 0 and json.loads(said.out)["is_new"]
    events = events_of(Outputs(tmp_path / "o"))
    (line,) = said.err.splitlines()
    assert line.startswith(f"hcpcs: warning: OpenLineage: {len(events)} of {len(events)} events did not reach the endp")
    assert str(Outputs(tmp_path / "o").lineage_events) in line
    assert events[-1]["eventType"] == "COMPLETE"
    instance = persistent_instance(str(Outputs(tmp_path / "o").dagster_home))
    (run,) = instance.get_runs()
    logged = [e.user_message for e in instance.all_logs(run.run_id) if e.level >= 30]
    assert [m for m in logged if m.startswith(f"OpenLineage: {len(events)} of {len(events)} events did not reach")]
    assert run.status is dg.DagsterRunStatus.SUCCESS


def test_a_warning_stays_on_a_terminal_where_progress_goes() -> None:
    code = (
        "from hcpcs.cli.console import Progress, warn\n"
        "from hcpcs.cli.process import survive_closed_pipes\n"
        "survive_closed_pipes()\n"
        "with Progress(quiet=False) as tell:\n"
        "    tell('publishing'); warn('OpenLineage: 3 of 3'); tell('catalog')\n"
    )
    mine, its = os.openpty()
    try:
        subprocess.run([sys.executable, "-c", code], stderr=its, cwd=REPOSITORY, check=True, timeout=60)
        written = os.read(mine, 10_000).decode()
    finally:
        os.close(mine)
        os.close(its)
    # What the screen displays: of each line what follows the last order to clear it.
    screen = [line.rpartition("\x1b[K")[2].rstrip("\r") for line in written.split("\n")]
    assert "publishing" in written and screen == ["hcpcs: warning: OpenLineage: 3 of 3", ""]


class Scripted:
    """A client that does as told with each event."""

    def __init__(self, emit: Callable[[int], None]) -> None:
        self.emitted = 0
        self._emit = emit

    def emit(self, event: Any) -> None:
        self.emitted += 1
        self._emit(self.emitted)

    def close(self, timeout: float) -> bool:
        return True


EVENT: Event = {
    "eventType": "START",
    "eventTime": "2026-01-01T00:00:00.000+00:00",
    "producer": "urn:test",
    "run": {"runId": "00000000-0000-0000-0000-000000000000"},
    "job": {"namespace": "n", "name": "j"},
    "inputs": [],
    "outputs": [],
}


def timed_close(endpoint: Endpoint) -> tuple[str, float]:
    begun = time.monotonic()
    return endpoint.close(), time.monotonic() - begun


def test_a_slow_endpoint_gets_two_seconds_at_the_end_and_no_more() -> None:
    def emit(number: int) -> None:
        time.sleep(0.01 if number == 1 else 30)

    endpoint = Endpoint(lambda: Scripted(emit))
    for _ in range(5):
        endpoint.send(json.dumps(EVENT))
    time.sleep(0.5)
    why, seconds = timed_close(endpoint)
    assert 1.5 < seconds < 2.5 and why == "4 of 5 events did not reach the endpoint (it took too long)"


def test_an_endpoint_that_took_nothing_all_the_run_is_not_waited_for() -> None:
    endpoint = Endpoint(lambda: Scripted(lambda _: time.sleep(30)))
    endpoint.send(json.dumps(EVENT))
    time.sleep(2.1)
    why, seconds = timed_close(endpoint)
    assert seconds < 0.2 and why.startswith("1 of 1")


def test_an_endpoint_that_refuses_an_event_gets_the_others_and_one_that_is_away_is_given_up() -> None:
    class Refused(Exception):
        response = object()

    def refuse(number: int) -> None:
        if number == 2:
            raise Refused("HTTP 413")

    def away(number: int) -> None:
        raise ConnectionError("nobody there")

    refusing, absent = Scripted(refuse), Scripted(away)
    for client, count, why in (
        (refusing, 3, "1 of 3 events did not reach the endpoint (Refused: HTTP 413)"),
        (absent, 1, "3 of 3 events did not reach the endpoint (ConnectionError: nobody there)"),
    ):
        endpoint = Endpoint(lambda client=client: client)  # type: ignore[misc]
        for _ in range(3):
            endpoint.send(json.dumps(EVENT))
        assert timed_close(endpoint)[0] == why
        assert client.emitted == count


@pytest.mark.parametrize(
    "behavior", [hang_before_the_first_byte, drip(0.05), status(500), status(400)], ids=["hangs", "drips", "500", "400"]
)
def test_whatever_an_endpoint_does_a_run_goes_on_and_ends(
    behavior: Any, receiver: SiteServer, environment: pytest.MonkeyPatch
) -> None:
    receiver.put(API, b"x" * 10_000)
    receiver.always(API, behavior)
    environment.setenv("OPENLINEAGE_URL", receiver.root)
    endpoint = Endpoint()
    begun = time.monotonic()
    for _ in range(3):
        endpoint.send(json.dumps(EVENT))
    assert time.monotonic() - begun < 0.1, "sending waits for nothing"
    why, seconds = timed_close(endpoint)
    assert seconds < 2.5 and why.startswith("3 of 3 events did not reach the endpoint")


def test_a_configuration_that_names_no_endpoint_says_so(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "openlineage.yml").write_text("tags: {}\n", "utf-8")
    environment.setenv("OPENLINEAGE_CONFIG", str(tmp_path / "openlineage.yml"))
    endpoint = Endpoint()
    endpoint.send(json.dumps(EVENT))
    assert "openlineage.yml names no transport" in timed_close(endpoint)[0]


def test_switched_off_nothing_is_told(
    hcpcs: Call, receiver: SiteServer, environment: pytest.MonkeyPatch, offered: Path, tmp_path: Path
) -> None:
    environment.setenv("OPENLINEAGE_URL", receiver.root)
    environment.setenv("OPENLINEAGE_DISABLED", "true")
    assert hcpcs("refresh", "--from", offered, "--outputs", tmp_path / "o").status == 0
    assert events_of(Outputs(tmp_path / "o")) == [] and receiver.requests == []


def test_settings_are_found_where_openlineages_client_looks(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.chdir(tmp_path)
    of = OpenLineageSettings.of_environment
    assert of({}) == OpenLineageSettings()
    assert of({"OPENLINEAGE_URL": "http://x"}).sends and of({"OPENLINEAGE__TRANSPORT__TYPE": "http"}).sends
    missing = of({"OPENLINEAGE_CONFIG": "nowhere.yml"})
    assert not missing.sends and missing.problem == "OPENLINEAGE_CONFIG names nowhere.yml, which is not a file"
    for place in (tmp_path / ".openlineage" / "openlineage.yml", tmp_path / "openlineage.yml"):
        place.parent.mkdir(exist_ok=True)
        place.write_text("transport: {type: console}\n", "utf-8")
        assert of({}).sends
        place.unlink()
    assert not of({}).sends


def test_a_resource_that_is_made_outside_of_a_run_tells_nothing(tmp_path: Path) -> None:
    outputs = Outputs(tmp_path)
    resource = build_openlineage_resource(OpenLineageSettings(), outputs)
    with dg.build_resources({"openlineage": resource, "run_context": dg.ResourceDefinition.none_resource()}):
        pass
    assert events_of(outputs) == []
