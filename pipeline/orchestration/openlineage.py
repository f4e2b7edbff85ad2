"""Every run as OpenLineage events: to a file always, and to the endpoint that OpenLineage's configuration names.

A run of Dagster is a run of OpenLineage, with its id; each table that it writes is a run of its own below it, since a
catalog takes a column's lineage only from the inputs of the run that wrote it. What a column is made from is stated by
``pipeline.lineage.columns``, what a table is by its contract. Events hold names, counts and hashes, never a value of a
table or the words of an error, which may quote one.

The events are written here as JSON: OpenLineage's client, which takes a quarter of a second to import, is requested
only where there is an endpoint, and sends in the background. It reads its own configuration (the environment,
``openlineage.yml``), as every program that sends OpenLineage does. Reporting neither fails nor delays a run.
"""

from __future__ import annotations

import json
import logging
import queue
import threading
import time
import uuid
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version as library_version
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import dagster as dg
import pyarrow.parquet

from hcpcs.paths import Outputs
from pipeline.lineage import columns as lineage
from pipeline.orchestration.openlineage_settings import OpenLineageSettings
from pipeline.orchestration.run_context import RunContext
from pipeline.versions.publish import PublishResult
from pipeline.versions.store import read_manifest
from schemas.columns import LICENSE_CDT, LICENSE_CMS, LICENSE_CPT
from schemas.contract import Contract
from schemas.registry import contracts
from sources.archive.archive import ArchivedZip
from sources.curated.tables import load_licenses

JOB = "refresh"
#: The namespace of what CMS publishes.
CMS_NAMESPACE = "https://www.cms.gov"
#: How long the end of a run waits for events under way, in seconds.
_LAST_WAIT = 2.0

_SPEC = "https://openlineage.io/spec/"
_RUN_EVENT = _SPEC + "2-0-2/OpenLineage.json#/$defs/RunEvent"
#: The version of each facet's schema, as OpenLineage's client of the pinned release has them.
_VERSIONS: dict[str, str] = json.loads(Path(__file__).with_name("openlineage_versions.json").read_bytes())
#: The schemas of our own facets: the ``$id`` of each, less its name.
FACETS_FOLDER = Path(__file__).resolve().parent / "openlineage_facets"
OUR_FACETS = "urn:hcpcs:openlineage:1-0-0:"

Event = dict[str, Any]


def build_openlineage_resource(settings: OpenLineageSettings, outputs: Outputs) -> dg.ResourceDefinition:
    """A resource that reports the run in which it is made, whoever started it, from the run's events."""

    @dg.resource(required_resource_keys={"run_context"}, description="Reports each run as OpenLineage events.")
    def openlineage(context: dg.InitResourceContext) -> None:
        if settings.is_disabled or context.run is None or context.instance is None:
            return
        # A run that the UI started has its log alone; `hcpcs refresh` also prints a warning.
        warn = context.log.warning if context.log else lambda text: None
        run_context: RunContext = context.resources.run_context
        reported = OpenLineageReporter(settings, outputs, run_context, context.run.run_id, context.run.job_name, warn)
        reported.begin()
        context.instance.add_event_listener(context.run.run_id, reported.take)

    return openlineage


class OpenLineageReporter:
    """One run as it goes on: takes in Dagster's events, writes and sends OpenLineage's."""

    def __init__(
        self,
        settings: OpenLineageSettings,
        outputs: Outputs,
        run_context: RunContext,
        run_id: str,
        job: str,
        warn: Callable[[str], object],
    ) -> None:
        self._outputs = outputs
        self._run_context = run_context
        self._run_id = run_id
        self._job = job.strip("_").lower()
        self._log_warning = warn
        self._datasets = Datasets(settings.namespace, outputs)
        self._endpoint = Endpoint() if settings.sends else None
        self._problem = settings.problem
        self._steps: dict[str, _Step] = {}
        self._checks: list[dg.AssetCheckEvaluation] = []
        self._failed: list[str] = []
        self._is_over = self._has_failed = False

    def begin(self) -> None:
        """Report that the run has begun."""
        self._safely(lambda: self._report("START", time.time(), inputs=self._zips()))

    def take(self, entry: dg.EventLogEntry) -> None:
        """Take in one event of Dagster's."""
        if not self._is_over and entry.is_dagster_event:
            self._safely(lambda: self._take(entry.get_dagster_event(), entry.timestamp))

    def _take(self, event: dg.DagsterEvent, at: float) -> None:
        kind = event.event_type
        step = self._steps.setdefault(event.step_key, _Step(event.step_key)) if event.step_key else None
        if kind in _ENDS:
            self._is_over = True
            self._end(_ENDS[kind], at)
        elif step is None:
            return
        elif kind is dg.DagsterEventType.STEP_START:
            step.begun = at
        elif kind is dg.DagsterEventType.ASSET_MATERIALIZATION:
            step.note(event.step_materialization_data.materialization)
        elif kind is dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            self._checks.append(event.asset_check_evaluation_data)
        elif kind is dg.DagsterEventType.STEP_SUCCESS:
            for name in step.tables:
                self._report_table(name, step, "COMPLETE", at)
        elif kind is dg.DagsterEventType.STEP_FAILURE:
            step.error = _error_name(event.step_failure_data.error)
            self._failed.append(f"{step.error} in {step.key}")
            if _is_known(step.key):
                self._report_table(step.key, step, "FAIL", at)

    def _end(self, kind: str, at: float) -> None:
        facets: dict[str, Any] = {}
        if self._checks:
            facets["test"] = facet("TestRunFacet", tests=[_test(check) for check in self._checks])
        if self._failed:
            facets["errorMessage"] = _error("; ".join(self._failed))
        published = self._run_context.published if kind == "COMPLETE" else None
        try:
            written = self._datasets.published(published, self._checks) if published else []
            self._report(kind, at, inputs=self._zips(), outputs=written, facets=facets)
        finally:
            unsent = self._endpoint.close() if self._endpoint is not None else ""
            for problem in filter(None, (self._problem, unsent)):
                self._warn(f"OpenLineage: {problem}; every event is in {self._outputs.lineage_events}")

    def _report_table(self, name: str, step: _Step, kind: str, at: float) -> None:
        """Report one table's run, start included: what a step wrote is known only when it ends."""
        run = {"runId": self._run_id}
        job = {"namespace": self._datasets.namespace, "name": self._job}
        facets = {"parent": facet("ParentRunFacet", run=run, job=job, root={"run": run, "job": job})}
        described = lineage.table(name)
        how: dict[str, Any] = {
            "run_id": str(uuid.uuid5(uuid.UUID(self._run_id), name)),
            "job": f"{self._job}.{name}",
            "description": described.description,
        }
        self._report("START", step.begun or at, facets=facets, **how)
        if step.error:
            facets["errorMessage"] = _error(step.error)
        zips = [self._datasets.zip(z, is_brief=True) for z in self._loaded()] if described.group == "staged" else []
        inputs = [*zips, *map(self._datasets.named, described.inputs)]
        outputs = [self._datasets.written(name, step.tables.get(name))] if kind == "COMPLETE" else []
        if outputs and described.group == "version" and (done := self._run_context.published) is not None:
            outputs[0]["facets"]["version"] = facet("DatasetVersionDatasetFacet", datasetVersion=done.version)
        self._report(kind, at, inputs=inputs, outputs=outputs, facets=facets, **how)

    def _loaded(self) -> list[ArchivedZip]:
        return [z for zips in self._run_context.releases().values() for z in zips]

    def _zips(self) -> list[Event]:
        return [self._datasets.zip(z) for z in self._loaded()]

    def _report(
        self,
        kind: str,
        at: float,
        *,
        inputs: Iterable[Event] = (),
        outputs: Iterable[Event] = (),
        facets: Mapping[str, Any] | None = None,
        run_id: str | None = None,
        job: str | None = None,
        description: str = "Reads CMS's releases, rebuilds every table from all of them, publishes a version.",
    ) -> None:
        engine = facet(
            "ProcessingEngineRunFacet",
            name="dagster",
            version=_version("dagster"),
            openlineageAdapterVersion=_version("hcpcs"),
        )
        job_type = facet(
            "JobTypeJobFacet", processingType="BATCH", integration="DAGSTER", jobType="JOB" if job is None else "ASSET"
        )
        about = {"jobType": job_type, "documentation": facet("DocumentationJobFacet", description=description)}
        event: Event = {
            "eventType": kind,
            "eventTime": datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds"),
            "producer": producer(),
            "schemaURL": _RUN_EVENT,
            "run": {"runId": run_id or self._run_id, "facets": {"processing_engine": engine, **(facets or {})}},
            "job": {"namespace": self._datasets.namespace, "name": job or self._job, "facets": about},
            "inputs": list(inputs),
            "outputs": list(outputs),
        }
        line = json.dumps(event, ensure_ascii=False, separators=(",", ":"))
        if self._endpoint is not None:
            self._endpoint.send(line)
        path = self._outputs.lineage_events
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")

    def _safely(self, act: Callable[[], None]) -> None:
        """Any failure in reporting a run is logged once and does not affect the run."""
        try:
            act()
        except Exception as error:
            if not self._has_failed:
                self._has_failed = True
                self._warn(f"OpenLineage: an event of this run was not sent: {type(error).__name__}: {error}")

    def _warn(self, text: str) -> None:
        self._run_context.warn(text)
        self._log_warning(text)


class Datasets:
    """Tables, sources and zips as OpenLineage has them, in one namespace; named as assets are."""

    def __init__(self, namespace: str, outputs: Outputs) -> None:
        self.namespace = namespace
        self._outputs = outputs

    def zip(self, archived: ArchivedZip, *, is_brief: bool = False) -> Event:
        """A zip that was taken in: its origin, its hash as its version, and unless ``is_brief`` its members."""
        origin = archived.origins[-1]["from"] if archived.origins else archived.name
        parts = urlsplit(origin)
        if archived.is_sample:
            namespace, name = self.namespace, f"sample/{archived.release_id}/{archived.name}"
        elif parts.scheme in ("http", "https"):
            namespace, name = f"{parts.scheme}://{parts.netloc}", parts.path
        else:
            namespace, name = "file", origin
        facets = {
            "version": facet("DatasetVersionDatasetFacet", datasetVersion=archived.sha256),
            "datasetType": facet("DatasetTypeDatasetFacet", datasetType="FILE"),
        }
        if not is_brief:
            facets["hcpcs_release"] = facet(
                "HcpcsReleaseDatasetFacet",
                releaseId=archived.release_id,
                isSample=archived.is_sample,
                bytes=archived.bytes,
                members=[
                    {"name": m.name, "role": m.role, "sha256": m.sha256, "bytes": m.bytes} for m in archived.members
                ],
            )
        return {"namespace": namespace, "name": name, "facets": facets}

    def named(self, name: str) -> Event:
        """A table or source that something is made from."""
        described = lineage.table(name)
        facets = {
            "schema": self._schema(described),
            "documentation": facet("DocumentationDatasetFacet", description=described.description),
        }
        return self._id(name) | {"facets": facets}

    def written(self, name: str, rows: int | None) -> Event:
        """A table that a step wrote, whole and unpublished."""
        described = self.named(name)
        if described["facets"]["schema"]["fields"]:
            described["facets"]["columnLineage"] = self._column_lineage(name)
        if rows is not None:
            described["outputFacets"] = {"outputStatistics": facet("OutputStatisticsOutputDatasetFacet", rowCount=rows)}
        return described

    def published(self, published: PublishResult, checks: Iterable[dg.AssetCheckEvaluation]) -> list[Event]:
        """The tables of a version, with all that is known of them."""
        content = read_manifest(published.folder).content
        tier = content.tier
        by_table: dict[str, list[dg.AssetCheckEvaluation]] = {}
        for check in checks:
            by_table.setdefault(check.asset_key.path[-1], []).append(check)
        found = []
        for table in published.rows:
            entry = content.files[f"{tier}/{table}.parquet"]
            path = published.folder / tier / f"{table}.parquet"
            latest = self._outputs.latest_link / tier / path.name
            stated = contracts()[table]
            described = self.written(table, None)
            described["facets"] |= {
                "version": facet("DatasetVersionDatasetFacet", datasetVersion=published.version),
                "datasetType": facet("DatasetTypeDatasetFacet", datasetType="TABLE"),
                "storage": facet("StorageDatasetFacet", storageLayer="file", fileFormat="parquet"),
                "symlinks": facet(
                    "SymlinksDatasetFacet", identifiers=[{"namespace": "file", "name": str(latest), "type": "LOCATION"}]
                ),
                "ownership": facet("OwnershipDatasetFacet", owners=_owners(stated)),
                "dataQualityMetrics": facet(
                    "DataQualityMetricsDatasetFacet",
                    rowCount=entry.rows,
                    bytes=entry.bytes,
                    fileCount=1,
                    columnMetrics=_null_counts(path, stated),
                ),
                "dataQualityAssertions": facet(
                    "DataQualityAssertionsDatasetFacet", assertions=_assertions(stated, by_table.get(table, ()))
                ),
                "hcpcs_license": _license(stated, tier, entry.sha256),
            }
            statistics = facet("OutputStatisticsOutputDatasetFacet", rowCount=entry.rows, size=entry.bytes, fileCount=1)
            found.append(described | {"outputFacets": {"outputStatistics": statistics}})
        return found

    def _id(self, name: str) -> Event:
        is_theirs = name in lineage.SOURCES and not lineage.SOURCES[name].is_derived
        return {"namespace": CMS_NAMESPACE if is_theirs else self.namespace, "name": name}

    def _schema(self, described: lineage.Table) -> Event:
        stated = {c.name: c for c in contracts()[described.name].columns} if described.is_published else {}
        fields = []
        for position, name in enumerate(described.columns, 1):
            one = {"name": name or _WHOLE, "ordinal_position": position}
            if name in stated:
                one |= {"type": stated[name].type, "description": stated[name].description}
            fields.append(one)
        return facet("SchemaDatasetFacet", fields=fields)

    def _column_lineage(self, table: str) -> Event:
        fields = {}
        for column in lineage.columns(table):
            refs = lineage.column_inputs(table, column)
            read = lineage.direct_sources(table, column)
            # Of one column of the same name alone: the value as it was.
            kind = "IDENTITY" if not read and [r.column for r in refs] == [column] else "TRANSFORMATION"
            places = [(r.table, r.column) for r in refs] + [(f.source, f.field or _WHOLE) for f in read]
            fields[column] = {
                "inputFields": [
                    {**self._id(name), "field": place, "transformations": [{"type": "DIRECT", "subtype": kind}]}
                    for name, place in places
                ]
            }
        return facet("ColumnLineageDatasetFacet", fields=fields)


class Endpoint:
    """The endpoint that OpenLineage's configuration names: events are sent in the background, in order."""

    def __init__(self, open_client: Callable[[], Any] | None = None) -> None:
        self._open_client = open_client or _client
        self._events: queue.SimpleQueue[str | None] = queue.SimpleQueue()
        self._taken = self._sent = 0
        self._why = ""
        self._is_given_up = False
        self._begun = time.monotonic()
        self._thread = threading.Thread(target=self._work, name="openlineage", daemon=True)
        self._thread.start()

    def send(self, event: str) -> None:
        """Take an event, as JSON, to be sent."""
        self._taken += 1
        self._events.put(event)

    def close(self, wait: float = _LAST_WAIT) -> str:
        """Let what is under way arrive, for so many seconds; returns what was not sent and why, empty if all was.

        An endpoint that has taken nothing yet gets that time from the beginning of the run, not once more at its end.
        """
        self._events.put(None)
        deadline = (time.monotonic() if self._sent else self._begun) + wait
        self._thread.join(max(0.0, deadline - time.monotonic()))
        self._is_given_up = True
        if self._sent < self._taken:
            why = self._why or "it took too long"
            return f"{self._taken - self._sent} of {self._taken} events did not reach the endpoint ({why})"
        return "the last events may not have reached the endpoint" if self._thread.is_alive() else ""

    def _work(self) -> None:
        try:
            client = self._open_client()
            while (event := self._events.get()) is not None and not self._is_given_up:
                try:
                    client.emit(_client_event(json.loads(event)))
                    self._sent += 1
                except Exception as error:
                    self._why = _worded(error)
                    if getattr(error, "response", None) is None:
                        return  # nobody there; an answer that refuses one event may take the next
            client.close(_LAST_WAIT)
        except Exception as error:
            self._why = _worded(error)


@dataclass
class _Step:
    """A step while it goes on: when it began, the rows of the tables it wrote, how it failed."""

    key: str
    begun: float = 0.0
    error: str = ""
    tables: dict[str, int | None] = field(default_factory=dict)

    def note(self, written: dg.AssetMaterialization) -> None:
        """Take in a table, or one release of it, that the step wrote; tables that lineage does not know are left."""
        name = written.asset_key.path[-1]
        if _is_known(name):
            value = written.metadata.get("dagster/row_count")
            rows = value.value if isinstance(value, dg.IntMetadataValue) else None
            before = self.tables.get(name)
            self.tables[name] = before if rows is None else (before or 0) + rows


_ENDS = {
    dg.DagsterEventType.RUN_SUCCESS: "COMPLETE",
    dg.DagsterEventType.RUN_FAILURE: "FAIL",
    dg.DagsterEventType.RUN_CANCELED: "ABORT",
}
_STEWARDS = {LICENSE_CMS: "CMS", LICENSE_CPT: "AMA", LICENSE_CDT: "ADA"}
#: The field of a source that is taken as a whole.
_WHOLE = "(whole)"


def facet(schema: str, **content: Any) -> Event:
    """A facet by the name of its schema, with its producer and the URL of the schema."""
    url = f"{_SPEC}facets/{_VERSIONS[schema]}/{schema}.json" if schema in _VERSIONS else f"{OUR_FACETS}{schema}"
    return {"_producer": producer(), "_schemaURL": f"{url}#/$defs/{schema}", **content}


def _error(words: str) -> Event:
    return facet("ErrorMessageRunFacet", message=words, programmingLanguage="Python")


@cache
def _known() -> frozenset[str]:
    return frozenset(t.name for t in lineage.tables())


def _is_known(table: str) -> bool:
    """Whether lineage knows the table; others are not reported."""
    return table in _known()


def producer() -> str:
    """The producer: this project and its version."""
    return f"urn:hcpcs:producer:{_version('hcpcs')}"


@cache
def _version(library: str) -> str:
    return library_version(library)


def _owners(stated: Contract) -> list[dict[str, str]]:
    """The team that answers for the table, and who maintains what is in it."""
    stewards = [_STEWARDS[i] for i in stated.license_ids if i in _STEWARDS]
    return [{"name": f"team:{stated.facts.owner}", "type": "MAINTAINER"}] + [
        {"name": f"organization:{steward}", "type": "STEWARD"} for steward in stewards
    ]


def _license(stated: Contract, tier: str, sha256: str) -> Event:
    """The licenses of a table: of the whole, of each column, and whether its rows name theirs."""
    rows = {row["license_id"]: row for row in _licenses()}
    return facet(
        "HcpcsLicenseDatasetFacet",
        tier=tier,
        sha256=sha256,
        licenses=[
            {"id": i, "name": rows[i]["name"], "address": rows[i]["source"], "textFile": rows[i]["text_file"]}
            for i in stated.license_ids
        ],
        columns={c.name: c.license_id for c in stated.columns},
        rowsNameTheirs=stated.has_license_columns,
    )


@cache
def _licenses() -> tuple[dict[str, Any], ...]:
    return tuple(load_licenses().to_dicts())


def _null_counts(path: Path, stated: Contract) -> dict[str, dict[str, int]]:
    """How often each column is null, by the file's own statistics; a list is never null, and has none."""
    counts: dict[str, int] = {c.name: 0 for c in stated.columns}
    described = pyarrow.parquet.read_metadata(path)
    for group in range(described.num_row_groups):
        for number in range(described.num_columns):
            column = described.row_group(group).column(number)
            if column.path_in_schema in counts and column.is_stats_set:
                counts[column.path_in_schema] += column.statistics.null_count
    return {name: {"nullCount": count} for name, count in counts.items()}


def _assertions(stated: Contract, checks: Iterable[dg.AssetCheckEvaluation]) -> list[dict[str, Any]]:
    """What was asserted of a table: by its contract, without which nothing is published, and by checks."""
    found: list[dict[str, Any]] = [
        {"assertion": "unique", "success": True, "severity": "error", "name": ", ".join(stated.key)}
    ]
    found += [
        {"assertion": "not_null", "success": True, "severity": "error", "column": c.name}
        for c in stated.columns
        if not c.nullable
    ]
    for check in checks:
        test = _test(check)
        found.append(
            {"assertion": test["type"], "success": check.passed}
            | {name: test[name] for name in ("name", "severity", "expected", "actual")}
        )
    return found


def _test(check: dg.AssetCheckEvaluation) -> dict[str, Any]:
    """A check as a test: how many violations it found, and none of them."""
    found = check.metadata.get("violations")
    count = found.value if isinstance(found, dg.IntMetadataValue) else int(not check.passed)
    return {
        "name": f"{check.asset_key.path[-1]}.{check.check_name}",
        "type": "violations",
        "status": "pass" if check.passed else "fail",
        "severity": "error" if check.severity is dg.AssetCheckSeverity.ERROR else "warn",
        "expected": "0",
        "actual": str(count),
    }


def _error_name(error: Any) -> str:
    """The name of what went wrong, without its words: of the cause, where Dagster wraps it."""
    while error is not None and error.cls_name and error.cls_name.startswith("Dagster") and error.cause is not None:
        error = error.cause
    return str(error.cls_name) if error is not None and error.cls_name else "an error"


def _client() -> Any:
    """OpenLineage's client as its own configuration sets it up."""
    # What goes wrong is stated once, by us.
    logging.getLogger("openlineage").addHandler(logging.NullHandler())
    from openlineage.client import OpenLineageClient

    client = OpenLineageClient()
    if client.transport.kind == "console" and not (client.config.transport or {}).get("type"):
        raise ValueError("openlineage.yml names no transport")
    return client


def _client_event(event: Event) -> Any:
    """The event as the client takes it, whose filters and tags look into it."""
    from openlineage.client import event_v2 as v2

    return v2.RunEvent(
        eventType=v2.RunState[event["eventType"]],
        eventTime=event["eventTime"],
        producer=event["producer"],
        run=v2.Run(**event["run"]),
        job=v2.Job(**event["job"]),
        inputs=[v2.InputDataset(**d) for d in event["inputs"]],
        outputs=[v2.OutputDataset(**d) for d in event["outputs"]],
    )


def _worded(error: Exception) -> str:
    return f"{type(error).__name__}: {str(error)[:200]}"
