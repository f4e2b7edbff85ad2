"""Freshness is the release's age by CMS's calendar, and the same from every door: command, its exit status, Dagster."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import dagster as dg
import pytest
from conftest import Said, Version
from made_up import posting, record
from warm_process import WarmProcess

from hcpcs.paths import Outputs
from pipeline.definitions import build_definitions
from sources.release.calendar import expected_release

CHECK = dg.AssetCheckKey(dg.AssetKey("published_version"), "newest_release_is_current")
Status = Callable[..., Said]
RECORDS = (record("A0080"), record("A1000"), record("V5364"))


@pytest.fixture
def status(warm: WarmProcess) -> Status:
    def ask(outputs: Outputs, *options: str) -> Said:
        done = warm.run("status", "--outputs", outputs.folder, *options)
        return Said(done.returncode, done.stdout.decode(), done.stderr.decode())

    return ask


def evaluated_by_dagster(outputs: Outputs) -> dg.AssetCheckEvaluation:
    """What the job that the daily schedule starts evaluates, on definitions as Dagster loads them."""
    definitions = build_definitions(outputs=outputs.folder)
    schedule = definitions.resolve_schedule_def("daily_freshness")
    assert schedule.default_status is dg.DefaultScheduleStatus.RUNNING
    job = definitions.resolve_job_def(schedule.job_name)
    result = job.execute_in_process(instance=dg.DagsterInstance.ephemeral())
    assert result.success
    (evaluation,) = result.get_asset_check_evaluations()
    assert evaluation.asset_check_key == CHECK
    return evaluation


def test_an_old_release_is_late_however_lately_it_was_published(build: Callable[..., Version], status: Status) -> None:
    outputs = build(replace(posting("2025-01", *RECORDS), is_sample=False)).outputs
    today = datetime.now(UTC).date()
    plain, checked, as_json = status(outputs), status(outputs, "--check"), status(outputs, "--check", "--json")
    words = f"OVERDUE: CMS's April 2025 release took effect {(today - today.replace(2025, 4, 1)).days} days ago"
    assert plain.status == 0 and words in plain.out and plain.err == ""
    assert checked.status == 1 and "1 release loaded, 2025-01\n" in checked.out and "OVERDUE" not in checked.out
    assert checked.err.startswith(f"hcpcs: error: {words}") and "Traceback" not in checked.err
    stated = json.loads(as_json.out)["freshness"]
    assert as_json.status == 1
    assert (stated["status"], stated["is_overdue"], stated["newest_release"]) == ("late", True, "2025-01")
    assert stated["expected_release"] == expected_release(today) and stated["posted_about"] == "2025-03-18"
    assert stated["days_late"] == (today - today.replace(2025, 4, 1)).days
    evaluation = evaluated_by_dagster(outputs)
    assert not evaluation.passed and evaluation.description == stated["message"]


def test_a_release_as_new_as_the_calendar_expects_is_current_at_every_door(
    build: Callable[..., Version], status: Status
) -> None:
    outputs = build(replace(posting("2099-01", *RECORDS), is_sample=False)).outputs
    done = status(outputs, "--check", "--json")
    stated = json.loads(done.out)["freshness"]
    assert (done.status, done.err, stated["status"], stated["days_late"]) == (0, "", "current", 0)
    evaluation = evaluated_by_dagster(outputs)
    assert evaluation.passed and evaluation.description == stated["message"]


def test_without_a_version_the_check_fails_and_the_sample_is_never_late(
    sample: Version, tmp_path: Path, status: Status
) -> None:
    nothing = Outputs(tmp_path / "nothing")
    done = status(nothing, "--check")
    assert done.status == 1 and "no release is loaded" in done.err
    assert not evaluated_by_dagster(nothing).passed
    done = status(sample.outputs, "--check", "--json")
    assert done.status == 0 and json.loads(done.out)["freshness"]["status"] == "sample"
    assert evaluated_by_dagster(sample.outputs).passed


def test_every_refresh_evaluates_it_and_no_other_measure_of_freshness_is_left(sample: Version) -> None:
    graph = build_definitions(outputs=sample.outputs.folder).resolve_asset_graph()
    assert [n.key for n in graph.asset_nodes if getattr(n, "freshness_policy", None) is not None] == []
    last_event = json.loads(sample.outputs.lineage_events.read_text("utf-8").splitlines()[-1])
    assert CHECK.name in {test["name"].rpartition(".")[2] for test in last_event["run"]["facets"]["test"]["tests"]}


@pytest.mark.parametrize("damage", ["latest.json", "manifest"])
def test_a_damaged_version_is_one_error(own_sample: Outputs, sample: Version, damage: str, status: Status) -> None:
    broken = own_sample.latest if damage == "latest.json" else own_sample.version(sample.id) / "manifest.json"
    broken.write_bytes(b"{")
    done = status(own_sample, "--check")
    assert done.status == 1 and len(done.err.splitlines()) <= 2 and "Traceback" not in done.err
