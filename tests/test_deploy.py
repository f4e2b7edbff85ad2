"""docs/deploy.md runs as written: units in their sandbox, cron's lines, the workflow's steps, the container's image.

The files of the page are taken from it. Where a mount namespace can be had, each command finds the paths that the page
names (``/opt/hcpcs``, ``/var/lib/hcpcs``) and what its unit forbids is forbidden; elsewhere the paths are replaced.
"""

from __future__ import annotations

import configparser
import json
import re
import shlex
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from conftest import REPOSITORY, missing
from engines import engines_python

from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.orchestration.fingerprints import _PACKAGES
from pipeline.refresh.exclusions import exclude

PAGE = (REPOSITORY / "docs" / "deploy.md").read_text("utf-8")
CONTAINERFILE = (REPOSITORY / "Containerfile").read_text("utf-8")
CODE, STATE = "/opt/hcpcs", "/var/lib/hcpcs"
#: What systemd and cron give a service and a job.
BARE = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": "/nonexistent"}


def file_of_page(name: str) -> str:
    """A file that the page states: the block below its path."""
    found = re.findall(rf"^`{re.escape(name)}`\n```\w*\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    assert len(found) == 1, name
    return str(found[0])


def unit(name: str, section: str = "Service") -> Mapping[str, str]:
    parsed = configparser.ConfigParser(interpolation=None, strict=True)
    parsed.optionxform = str  # type: ignore[assignment, method-assign]
    parsed.read_string(file_of_page(f"/etc/systemd/system/{name}"))
    return parsed[section]


@cache
def can_unshare() -> bool:
    command = ["unshare", "--mount", "--net", "sh", "-c", "mount -t tmpfs none /opt && ip link set lo up"]
    return bool(shutil.which("unshare")) and subprocess.run(command, capture_output=True, check=False).returncode == 0


@dataclass(frozen=True)
class Machine:
    """A machine with the code in ``/opt/hcpcs``, ``state`` in ``/var/lib/hcpcs``; ``service`` restricts as a unit."""

    state: Path
    service: Mapping[str, str] = field(default_factory=dict)

    def run(
        self, script: str, environment: Mapping[str, str], *, timeout: int = 300
    ) -> subprocess.CompletedProcess[str]:
        """Run a shell script there, with nothing but ``environment``."""
        env = ["env", "-i", *(f"{k}={v}" for k, v in environment.items())]
        if not can_unshare():
            code, state = str(REPOSITORY), str(self.state)
            there = [part.replace(CODE, code).replace(STATE, state) for part in [*env, "sh", "-c", script]]
            return subprocess.run(there, capture_output=True, text=True, cwd=REPOSITORY, timeout=timeout, check=False)
        # The interpreter and the editable install name the repository by its own path, which a private /tmp may hide.
        mounts = [
            "ip link set lo up",
            f"mount -t tmpfs none /opt; mkdir {CODE}; mount --bind {shlex.quote(str(REPOSITORY))} {CODE}",
            f"mount -t tmpfs none /var/lib; mkdir {STATE}; mount --bind {shlex.quote(str(self.state))} {STATE}",
        ]
        if self.service.get("PrivateTmp") == "true":
            again = shlex.quote(str(REPOSITORY))
            mounts.append(f"mount -t tmpfs none /tmp; mkdir -p {again}; mount --bind {CODE} {again}")
        if self.service.get("ProtectSystem") == "strict":
            writable = "|".join([*self.service.get("ReadWritePaths", "").split(), "/dev", "/dev/*", "/proc", "/proc/*"])
            writable += "|/sys|/sys/*" + ("|/tmp" if self.service.get("PrivateTmp") == "true" else "")
            mounts.append(
                "while read -r _ place _; do case $place in "
                f"{writable}) ;; *) mount -o remount,bind,ro $place || true;; esac; done < /proc/mounts"
            )
        restrict = ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]
        if self.service.get("NoNewPrivileges") == "true":
            restrict.append("--no-new-privs")
        mounts.append(f"cd {self.service.get('WorkingDirectory', '/')}")
        mounts.append("exec " + shlex.join([*restrict, *env, "sh", "-c", script]))
        apart = ["unshare", "--mount", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
        return subprocess.run(
            [*apart, "sh", "-ec", "\n".join(mounts)], capture_output=True, text=True, timeout=timeout, check=False
        )


@pytest.mark.parametrize("name", ["hcpcs-daemon.service", "hcpcs-ui.service"])
def test_systemd_accepts_the_units_and_finds_their_programs(tmp_path: Path, name: str) -> None:
    if not shutil.which("systemd-analyze"):
        missing("systemd-analyze")
    if not can_unshare():
        pytest.skip("a mount namespace needs root, which no package gives; another test runs the units' commands")
    (tmp_path / name).write_text(file_of_page(f"/etc/systemd/system/{name}"), "utf-8")
    done = Machine(tmp_path).run(f"systemd-analyze verify --man=no {STATE}/{name}", BARE)
    problems = [line for line in done.stderr.splitlines() if name in line]
    assert (done.returncode, problems) == (0, [])


#: Starts what the two units start, then does what the page and its reader do; prints what came of it as JSON.
DRIVER = """
import json, os, subprocess, sys, time, urllib.error, urllib.request

def ask(query):
    data = json.dumps({"query": query}).encode()
    request = urllib.request.Request("http://127.0.0.1:3000/graphql", data, {"Content-Type": "application/json"})
    with urllib.request.urlopen(request, timeout=60) as answer:
        return json.load(answer)["data"]

def wait(holds, seconds=200):
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        try:
            if found := holds():
                return found
        except (urllib.error.URLError, OSError, KeyError, TypeError):
            pass
        assert all(process.poll() is None for process in started), "a service ended"
        time.sleep(0.5)
    raise SystemExit("waited in vain")

started = []
try:
    for before, service in json.loads(os.environ.pop("SERVICES")):
        if before:
            subprocess.run(before.split(), check=True, stdout=sys.stderr)
        started.append(subprocess.Popen(service.split(), stdout=sys.stderr))
    wait(lambda: ask("{ version }"))
    for line in json.loads(os.environ.pop("COMMANDS")):
        subprocess.run(["sh", "-c", line], check=True, stdout=sys.stderr)
    where = 'repositoryLocationName: "hcpcs.definitions", repositoryName: "__repository__"'
    launched = ask('mutation { launchRun(executionParams: {mode: "default", runConfigData: {}, selector: {'
        + where + ', jobName: "refresh_from_site"}}) { __typename ... on LaunchRunSuccess { run { runId } } } }')
    run_id = launched["launchRun"]["run"]["runId"]
    status = lambda: ask('{ runOrError(runId: "' + run_id + '") { ... on Run { status } } }')["runOrError"]["status"]
    ended = wait(lambda: status() in ("SUCCESS", "FAILURE", "CANCELED") and status())
    sensor = ask('{ sensorOrError(sensorSelector: {' + where + ', sensorName: "site_sensor"})'
        ' { ... on Sensor { sensorState { status } } } }')["sensorOrError"]["sensorState"]["status"]
    nux = ask("{ shouldShowNux }")["shouldShowNux"]
    print(json.dumps({"run": ended, "sensor": sensor, "nux": nux}))
finally:
    for process in started:
        process.terminate()
"""


@pytest.mark.slow
def test_the_units_run_a_refresh_in_their_sandbox(own_sample: Outputs) -> None:
    daemon, ui = unit("hcpcs-daemon.service"), unit("hcpcs-ui.service")
    own = {"ExecStartPre", "ExecStart"}
    assert {k: v for k, v in daemon.items() if k not in own} == {k: v for k, v in ui.items() if k not in own}
    assert "hcpcs-daemon.service" in unit("hcpcs-ui.service", "Unit")["After"].split()
    before = latest_version(own_sample)
    exclude(own_sample, "2012-01", "for the test")  # so that there is something to build
    shutil.rmtree(own_sample.dagster_home)
    own_sample.dagster_home.mkdir()
    (own_sample.dagster_home / "dagster.yaml").write_text(file_of_page(f"{STATE}/dagster/dagster.yaml"), "utf-8")
    (block,) = re.findall(r"^```sh\nsystemctl .*?\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
    environment = dict(pair.split("=", 1) for pair in daemon["Environment"].split())
    assert environment == {"DAGSTER_HOME": f"{STATE}/dagster", "HCPCS_OUTPUTS": STATE}
    driven = {
        "SERVICES": json.dumps([(service.get("ExecStartPre"), service["ExecStart"]) for service in (daemon, ui)]),
        "COMMANDS": json.dumps(block.splitlines()),
    }
    program = f"exec {CODE}/.venv/bin/python -c {shlex.quote(DRIVER)}"
    done = Machine(own_sample.folder, daemon).run(program, BARE | environment | driven, timeout=420)
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout) == {"run": "SUCCESS", "sensor": "RUNNING", "nux": False}
    assert latest_version(own_sample) != before


def test_what_runs_before_the_services_makes_every_database_of_dagster(tmp_path: Path) -> None:
    """Two services that make them at once may fail: one creates a table between the other's look and its own try."""
    (tmp_path / "dagster").mkdir()
    (tmp_path / "dagster" / "dagster.yaml").write_text(file_of_page(f"{STATE}/dagster/dagster.yaml"), "utf-8")
    daemon = unit("hcpcs-daemon.service")
    environment = BARE | dict(pair.split("=", 1) for pair in daemon["Environment"].split())
    done = Machine(tmp_path, daemon).run(daemon["ExecStartPre"], environment)
    assert done.returncode == 0, done.stderr
    made = {path.name for path in (tmp_path / "dagster").rglob("*.db")}
    assert made == {"runs.db", "index.db", "schedules.db"}


@pytest.mark.slow
def test_crons_lines_run_as_cron_runs_them(own_sample: Outputs) -> None:
    environment, commands = dict(BARE, PATH="/usr/bin:/bin", SHELL="/bin/sh"), []
    for line in file_of_page("/etc/cron.d/hcpcs").splitlines():
        if found := re.fullmatch(r"(\w+)=(\S+)", line):
            environment[found[1]] = found[2]
        else:
            job = re.fullmatch(r"(?:[\d*/,-]+ ){5} *hcpcs +([^%]+)", line)
            assert job, line
            commands.append(job[1])
    assert len(commands) == 2
    machine = Machine(own_sample.folder)
    for command in commands:
        done = machine.run(command, environment)
        assert (done.returncode, done.stdout, done.stderr) == (0, "", ""), command  # cron would mail a word of either
    logged = json.loads((own_sample.folder / "refresh.log").read_text("utf-8"))
    assert not logged["is_new"] and logged["version"] == latest_version(own_sample)
    own_sample.latest.unlink()
    done = machine.run(commands[1], environment)
    assert done.returncode == 1 and done.stderr.startswith("hcpcs: error: no release is loaded")


def workflow() -> Any:
    return yaml.safe_load(file_of_page(".github/workflows/hcpcs.yml"))


def test_the_workflow_is_one_job_at_a_time_with_pinned_actions() -> None:
    stated = workflow()
    triggers = stated[True]  # YAML 1.1 reads the key `on` as true
    assert [re.fullmatch(r"\d+ \d+ \* \* \*", s["cron"]) is not None for s in triggers["schedule"]] == [True]
    assert stated["concurrency"] == {"group": "hcpcs", "cancel-in-progress": False}
    assert stated["permissions"] == {"contents": "read"}
    steps = stated["jobs"]["refresh"]["steps"]
    assert all(re.fullmatch(r"actions/[\w-]+@v\d+", s["uses"]) for s in steps if "uses" in s)
    secret = {name for name, value in stated["jobs"]["refresh"]["env"].items() if "secrets." in str(value)}
    assert secret == {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"}
    make = (REPOSITORY / "Makefile").read_text("utf-8")
    targets = re.findall(r"make ([\w-]+)", "\n".join(s.get("run", "") for s in steps))
    assert targets == ["setup"] and all(re.search(rf"^{target}:", make, re.MULTILINE) for target in targets)


#: `aws s3 sync` between folders: no links at the target, and files that the source lacks stay unless told otherwise.
AWS = """#!/usr/bin/env python3
import os, shutil, sys
from pathlib import Path

command, (*options, source, target) = sys.argv[1:3], sys.argv[3:]
assert command == ["s3", "sync"]
follows = "--no-follow-symlinks" not in options
if "--delete" in options:
    shutil.rmtree(target, ignore_errors=True)
for folder, _, names in os.walk(source, followlinks=follows):
    for path in (Path(folder, name) for name in names):
        if follows or not path.is_symlink():
            to = Path(target, path.relative_to(source))
            to.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)
"""


@pytest.mark.slow
def test_the_workflows_steps_refresh_publish_and_keep_their_outputs(own_sample: Outputs, tmp_path: Path) -> None:
    """Two runs on two fresh machines: the second finds the outputs of the first."""
    tools, kept = tmp_path / "tools", tmp_path / "kept"
    tools.mkdir()
    (tools / "aws").write_text(AWS, "utf-8")
    (tools / "aws").chmod(0o755)
    own_sample.folder.rename(kept)
    steps = [s for s in workflow()["jobs"]["refresh"]["steps"] if "run" in s and s["run"].strip() != "make setup"]
    assert len(steps) == 5
    for number in (1, 2):
        checkout = tmp_path / f"machine-{number}"
        checkout.mkdir()
        (checkout / ".venv").symlink_to(REPOSITORY / ".venv")
        environment = {
            "PATH": f"{tools}:{BARE['PATH']}",
            "HOME": str(tmp_path),
            "HCPCS_OUTPUTS": "outputs",
            "HCPCS_STATE": "../kept",
            "HCPCS_TARGET": str(tmp_path / "published"),
        }
        for step in steps:
            done = subprocess.run(
                ["bash", "-e", "-c", step["run"]],
                env=environment,
                cwd=checkout,
                capture_output=True,
                text=True,
                timeout=300,
                check=False,
            )
            assert done.returncode == 0, f"{step['name']}: {done.stderr}"
    version = latest_version(Outputs(kept))
    assert version and (tmp_path / "published" / "versions" / version / "open" / "hcpcs_codes.parquet").is_file()
    assert not (kept / "latest").exists(), "object storage keeps no links"


# --- the container ---------------------------------------------------------------------------------------------------


def instructions(stage: int) -> list[tuple[str, str]]:
    """The instructions of a stage of the Containerfile, each with its arguments."""
    joined = re.sub(r"\\\n\s*", " ", re.sub(r"^#.*\n", "", CONTAINERFILE, flags=re.MULTILINE))
    parts = re.split(r"^(?=FROM )", joined, flags=re.MULTILINE)[1:]
    return [(line.split()[0], line.split(maxsplit=1)[1]) for line in parts[stage].splitlines() if line.strip()]


def stated(stage: int, word: str) -> list[str]:
    return [arguments for name, arguments in instructions(stage) if name == word]


def test_hadolint_finds_nothing_in_the_containerfile() -> None:
    linter = engines_python().with_name("hadolint")
    done = subprocess.run([linter, REPOSITORY / "Containerfile"], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_the_image_has_all_code_and_no_test_and_runs_without_root() -> None:
    copied = [part for arguments in stated(0, "COPY") for part in arguments.split()[:-1]]
    assert set(_PACKAGES) <= set(copied) and not {"tests", "benchmarks", ".", "outputs", ".git"} & set(copied)
    assert all((REPOSITORY / name).exists() for name in copied)
    (user,), (volume,) = stated(1, "USER"), stated(1, "VOLUME")
    environment = dict(pair.split("=", 1) for pair in shlex.split(stated(1, "ENV")[0]))
    assert user.isdigit() and int(user) > 0 and volume == environment["HCPCS_OUTPUTS"] == STATE
    assert stated(1, "COPY") == [f"--from=build {CODE} {CODE}"]


@pytest.mark.slow
def test_the_images_command_publishes_on_a_read_only_root(own_sample: Outputs) -> None:
    before = latest_version(own_sample)
    exclude(own_sample, "2012-01", "for the test")
    environment = dict(pair.split("=", 1) for pair in shlex.split(stated(1, "ENV")[0]))
    environment["PATH"] = environment["PATH"].replace("$PATH", BARE["PATH"])
    command = json.loads(stated(1, "ENTRYPOINT")[0]) + json.loads(stated(1, "CMD")[0])
    service = {
        "ProtectSystem": "strict",
        "PrivateTmp": "true",
        "ReadWritePaths": stated(1, "VOLUME")[0],
        "NoNewPrivileges": "true",
        "WorkingDirectory": stated(1, "WORKDIR")[0],
    }
    done = Machine(own_sample.folder, service).run(shlex.join(command), environment)
    assert done.returncode == 0 and json.loads(done.stdout)["is_new"], done.stderr
    assert latest_version(own_sample) != before
