"""A notice is sent from every path, once: the command, the sensor's and the schedule's job, the job in the UI."""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import dagster as dg
import polars as pl
import pytest
from conftest import Said, slow

from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.definitions import build_definitions
from pipeline.orchestration.assets import history
from pipeline.refresh.exclusions import exclude
from pipeline.refresh.notify import Notifier
from pipeline.versions.watched import add_list
from sources.site.client import FetchLimits
from sources.site.polling import Site


@pytest.fixture
def command(tmp_path: Path) -> str:
    """A command that appends every notice to a file."""
    return f"tee -a {tmp_path / 'notices'}"


def notices(tmp_path: Path) -> list[dict[str, Any]]:
    path = tmp_path / "notices"
    text = path.read_text("utf-8").replace("}{", "}\n{") if path.exists() else ""
    return [json.loads(line) for line in text.splitlines()]


def last_summary(outputs: Outputs) -> dict[str, Any]:
    summary: dict[str, Any] = json.loads(max(outputs.runs.glob("*.json")).read_text("utf-8"))
    return summary


def run_job(outputs: Outputs, name: str, command: str, **options: Any) -> bool:
    nobody = Site("http://127.0.0.1:9/", FetchLimits(first_wait=0.01, longest_wait=0.05, pause=0))
    definitions = build_definitions(outputs=outputs.folder, notifier=Notifier(command), site=nobody, **options)
    job = definitions.resolve_job_def(name)
    selection = {}
    if name == "refresh":
        graph = definitions.resolve_asset_graph()
        unstaged = [n.key for n in graph.asset_nodes if n.group_name not in ("source", "staged")]
        selection = {"asset_selection": unstaged}
    with dg.DagsterInstance.local_temp(str(outputs.dagster_home)) as instance:
        instance.add_dynamic_partitions("releases", sorted(p.stem for p in outputs.work.glob("staged_records/*")))
        return job.execute_in_process(instance=instance, raise_on_error=False, **selection).success


def test_the_job_in_the_user_interface_reports_what_it_published(
    own_sample: Outputs, tmp_path: Path, command: str
) -> None:
    changes = pl.read_parquet(own_sample.latest_link / "open" / "hcpcs_changes.parquet")
    ended = changes.filter(release_id="2019-01", change="discontinued", redistribution="open")["code"].unique()
    (tmp_path / "codes.txt").write_text("\n".join(ended))
    add_list(own_sample, "ended", tmp_path / "codes.txt")
    exclude(own_sample, "2019-01", "for the test")
    assert run_job(own_sample, "refresh", command)
    (notice,) = notices(tmp_path)
    assert (notice["event"], notice["version"]) == ("published", latest_version(own_sample))
    releases = pl.read_parquet(own_sample.latest_link / "open" / "hcpcs_releases.parquet")["release_id"]
    assert "2019-01" not in set(releases), "Dagster's partitions still have it"
    # What ended by the release that is left out now ends by the next one.
    found = {(r["code"], r["release_id"]) for r in notice["watched"]["ended"] if r["change"] == "discontinued"}
    assert found == {(code, "2020-04") for code in ended} != set()
    assert run_job(own_sample, "refresh", command)
    assert len(notices(tmp_path)) == 1  # nothing new


def test_the_job_in_the_user_interface_reports_a_failure_and_leaves_a_summary(
    own_sample: Outputs, tmp_path: Path, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(history.history, "overlapping_spans", lambda spans: spans.head(1))
    assert not run_job(own_sample, "refresh", command)
    (notice,) = notices(tmp_path)
    assert (notice["event"], notice["version"]) == ("refused", latest_version(own_sample))
    assert "spans_do_not_overlap" in notice["text"]
    assert last_summary(own_sample)["error"] == notice["text"]


@pytest.mark.parametrize("damage", ["changed", *slow("cut", "gone", "other code")])
def test_the_job_in_the_user_interface_uses_no_staged_table_that_was_changed(
    own_sample: Outputs, tmp_path: Path, command: str, hcpcs: Callable[..., Said], damage: str
) -> None:
    exclude(own_sample, "2012-01", "for the test")  # so that there is something to publish
    before, path = latest_version(own_sample), own_sample.work / "staged_records" / "2019-01.parquet"
    frame = pl.read_parquet(path)
    if damage == "changed":
        frame.with_columns(short_description=pl.lit("changed by hand")).write_parquet(path)
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "gone":
        path.unlink()
    else:
        state = json.loads(own_sample.state.read_bytes())
        state["staged"]["staged_records"]["2019-01"] = "of other code"
        own_sample.state.write_text(json.dumps(state))
    assert not run_job(own_sample, "refresh", command)
    (notice,) = notices(tmp_path)
    assert notice["event"] == "refused" and str(path) in notice["text"] and "hcpcs refresh --offline" in notice["text"]
    assert latest_version(own_sample) == before
    if damage == "changed":  # the command that the message names mends it, and the next run of the job goes through
        assert hcpcs("refresh", "--offline", "--outputs", own_sample.folder).status == 0
        assert pl.read_parquet(path).equals(frame) and latest_version(own_sample) != before
        assert run_job(own_sample, "refresh", command)


def test_the_job_of_sensor_and_schedule_reports_a_failure_and_leaves_a_summary(
    build: Callable[..., Any], tmp_path: Path, command: str
) -> None:
    outputs = Outputs(tmp_path / "outputs")
    assert not run_job(outputs, "refresh_from_site", command)
    (notice,) = notices(tmp_path)
    assert notice["event"] == "refused" and "127.0.0.1:9" in notice["text"]
    assert last_summary(outputs)["error"] == notice["text"]


def test_a_refused_command_leaves_a_summary_as_any_other(
    own_sample: Outputs, tmp_path: Path, command: str, hcpcs: Callable[..., Said]
) -> None:
    (tmp_path / "in").mkdir()
    (tmp_path / "in" / "2025-01.zip").write_bytes(b"no zip")
    before = len(list(own_sample.runs.glob("*.json")))
    said = hcpcs("refresh", "--from", tmp_path / "in", "--outputs", own_sample.folder, "--notify-command", command)
    assert said.status == 1
    (notice,) = notices(tmp_path)
    assert notice["event"] == "refused" and notice["version"] == latest_version(own_sample)
    assert len(list(own_sample.runs.glob("*.json"))) == before + 1
    summary = last_summary(own_sample)
    assert summary["error"] == notice["text"] and not summary["is_new"]


def test_what_was_published_is_reported_when_something_after_it_fails(
    own_sample: Outputs, tmp_path: Path, command: str, hcpcs: Callable[..., Said], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = latest_version(own_sample)
    exclude(own_sample, "2012-01", "for the test")
    monkeypatch.setattr("pipeline.refresh.refresh._note_refused_findings", full)
    said = hcpcs("refresh", "--offline", "--outputs", own_sample.folder, "--notify-command", command)
    assert said.status == 1 and "No space left" in said.err
    (notice,) = notices(tmp_path)
    assert notice["event"] == "published" and notice["version"] == latest_version(own_sample) != before
    assert "No space left" in notice["text"]
