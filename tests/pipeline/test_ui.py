"""What a person starts in the user interface runs: Dagster's own API, as the browser calls it."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from hcpcs.paths import Outputs

_SELECTOR = 'repositoryLocationName: "hcpcs.definitions", repositoryName: "__repository__"'
_LAUNCH = (
    f'mutation {{ launchRun(executionParams: {{mode: "default", runConfigData: {{}}, selector: {{{_SELECTOR},'
    ' jobName: "refresh", assetSelection: [{path: ["licenses"]}]}})'
    " { __typename ... on LaunchRunSuccess { run { runId } } ... on PythonError { message } } }"
)
_START = f'mutation {{ startSensor(sensorSelector: {{{_SELECTOR}, sensorName: "site_sensor"}}) {{ __typename }} }}'
_TICKS = (
    f'{{ sensorOrError(sensorSelector: {{{_SELECTOR}, sensorName: "site_sensor"}})'
    " { ... on Sensor { sensorState { ticks(limit: 1) { status skipReason } } } } }"
)
Ask = Callable[[str], Any]


@pytest.fixture
def ui(own_sample: Outputs) -> Iterator[Ask]:
    """``hcpcs ui`` as a person starts it; gives a function that asks its API."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    # A port that nothing listens on: the poll fails, which the sensor's tick says.
    environment = os.environ | {"HCPCS_SITE": "http://127.0.0.1:9/"}
    environment.pop("DAGSTER_HOME", None)
    command = [sys.executable, "-m", "hcpcs.cli.main", "ui", "--port", str(port), "--outputs", str(own_sample.folder)]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def ask(query: str) -> Any:
        data = json.dumps({"query": query}).encode()
        url = f"http://127.0.0.1:{port}/graphql"
        request = urllib.request.Request(url, data, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=60) as answer:
            return json.load(answer)["data"]

    def answers() -> bool:
        try:
            return bool(ask("{ version }"))
        except (urllib.error.URLError, OSError):
            return False

    try:
        wait_until(answers)
        yield ask
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 143
        assert not answers()
    finally:
        process.kill()


def wait_until(holds: Callable[[], Any], seconds: int = 150) -> Any:
    end = time.monotonic() + seconds
    while not (found := holds()):
        assert time.monotonic() < end
        time.sleep(0.5)
    return found


@pytest.mark.slow
def test_a_run_and_the_sensor_that_are_started_in_the_user_interface_run(ui: Ask, own_sample: Outputs) -> None:
    before = (own_sample.work / "licenses.parquet").stat().st_mtime_ns
    launched = ui(_LAUNCH)["launchRun"]
    assert launched["__typename"] == "LaunchRunSuccess", launched
    run_id = launched["run"]["runId"]
    status = f'{{ runOrError(runId: "{run_id}") {{ ... on Run {{ status }} }} }}'
    ended = ("SUCCESS", "FAILURE", "CANCELED")
    assert wait_until(lambda: (s := ui(status)["runOrError"]["status"]) in ended and s) == "SUCCESS"
    assert (own_sample.work / "licenses.parquet").stat().st_mtime_ns > before
    ui(_START)
    (tick,) = wait_until(lambda: ui(_TICKS)["sensorOrError"]["sensorState"]["ticks"])
    wait_until(lambda: ui(_TICKS)["sensorOrError"]["sensorState"]["ticks"][0]["status"] != "STARTED")
    (tick,) = ui(_TICKS)["sensorOrError"]["sensorState"]["ticks"]
    assert tick["status"] == "SKIPPED" and "poll failed" in tick["skipReason"]
