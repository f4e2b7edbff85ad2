"""`hcpcs refresh` and Dagster's job killed at any moment: what is left, and what the next run makes.

    python -m benchmarks.faults [--rounds 200] [--seed 1] [--keep DIR]

A round offers something new (the sample's zips one by one, then more quarters and re-posts made up in its likeness) to
the command in a process of its own, and ends it with SIGKILL: at a moment drawn evenly over the time that such a run
takes, or, in every fifth round, as soon as a file changes that the next step follows. In half of the rounds it is
Dagster's job `refresh` that is killed, as the user interface runs it, after a release was excluded, or included again,
so that it has something to publish. In half of the rounds a second run writes beside the first. What is on the disk is
then held against what must hold; the next run, with the same offer or with none, must end well and mend everything. A
life of 20 rounds shares one folder of outputs; at its end the version must be that of one undisturbed run on the same
zips.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

#: What tests make releases with, which is no part of the package.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from release_writer import TextOptions, anweb_text, release_zip
from sample_writer import sample_records

from benchmarks.measure import machine
from hcpcs.errors import HcpcsError
from hcpcs.files import file_sha256
from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.refresh.exclusions import exclude, include
from pipeline.versions.store import all_versions, read_manifest
from pipeline.versions.verify_content import verify_deeply
from sources.release.inspect import open_archive
from sources.sample import SAMPLE_FOLDER

REPOSITORY = Path(__file__).resolve().parent.parent
ROUNDS_OF_A_LIFE = 20
_LONGEST_RUN = 600.0
_MONTHS = {1: "JAN", 4: "APR", 7: "JUL", 10: "OCT"}

#: A release's id and the zips, by name, that are posted together.
Offer = tuple[str, dict[str, bytes]]


# --- what is offered -------------------------------------------------------------------------------------------------


def offers() -> Iterator[Offer]:
    """One posting after the other: each gives something to publish."""
    sample: dict[tuple[str, int], dict[str, bytes]] = {}
    for path in sorted(SAMPLE_FOLDER.rglob("*.zip")):
        has_code_file = any("ANWEB" in m.upper() for m in zipfile.ZipFile(path).namelist())
        posting = path.parent.name, len(sample) + has_code_file  # side files come with the code file before them
        sample.setdefault(posting, {})[path.name] = path.read_bytes()
    yield from ((release_id, zips) for (release_id, _), zips in sample.items())
    records = sample_records()["2025-10/2"]
    quarter = 2026 * 4
    while True:
        for posting in (1, 2):  # a re-post follows each release
            year, month = quarter // 4, quarter % 4 * 3 + 1
            changed = replace(records[-1], long_description=f"Sample: as stated in {year}-{month:02d}, {posting}")
            stem = f"HCPC{year}_{_MONTHS[month]}_ANWEB_v{posting}"
            text = anweb_text([*records[:-1], changed], options=TextOptions(continuation_length=91))
            yield f"{year}-{month:02d}", {f"{stem.lower()}.zip": release_zip({f"{stem}.txt": text})}
        quarter += 1


def _write(folder: Path, given: list[Offer]) -> Path:
    shutil.rmtree(folder, ignore_errors=True)
    for release_id, zips in given:
        for name, data in zips.items():
            path = folder / release_id / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
    return folder


# --- a run -----------------------------------------------------------------------------------------------------------


#: The job as a run of the user interface has it: definitions, instance and lock of its own.
_DAGSTERS_JOB = """
import sys
from pathlib import Path
import dagster as dg
from hcpcs.paths import Outputs
from pipeline.definitions import build_definitions
outputs = Outputs(Path(sys.argv[1]))
definitions = build_definitions(outputs=outputs.folder)
nodes = definitions.resolve_asset_graph().asset_nodes
built = [n.key for n in nodes if n.group_name not in ("source", "staged")]
quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
with dg.DagsterInstance.from_config(str(outputs.dagster_home)) as instance:
    job = definitions.resolve_job_def("refresh")
    job.execute_in_process(instance=instance, asset_selection=built, run_config=quiet)
"""


class Run:
    """`hcpcs refresh`, or Dagster's job, in a process of its own that writes its progress to a terminal."""

    def __init__(self, outputs: Outputs, *arguments: object, by_dagster: bool = False) -> None:
        mine, its = os.openpty()
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("HCPCS_", "DAGSTER_"))}
        scratch = outputs.folder.with_name("tmp")
        scratch.mkdir(exist_ok=True)
        command = [sys.executable, "-m", "hcpcs.cli.main", "refresh", *map(str, arguments)]
        command += ["--outputs", str(outputs.folder)]
        self.by_dagster = by_dagster
        if by_dagster:
            command = [sys.executable, "-c", _DAGSTERS_JOB, str(outputs.folder)]
        self.began, self.wall = time.perf_counter(), time.time()
        self._process = subprocess.Popen(
            command,
            cwd=REPOSITORY,
            env=kept | {"TMPDIR": str(scratch)},
            stdout=subprocess.DEVNULL,
            stderr=its,
            start_new_session=True,
        )
        _running.add(self)
        os.close(its)
        os.set_blocking(mine, False)
        self._terminal = mine
        self.said = ""
        self.seconds = 0.0

    @property
    def status(self) -> int | None:
        """Exit status, None while it runs, -9 once it was killed."""
        with contextlib.suppress(OSError):  # nothing there yet, or nobody there any more
            self.said += os.read(self._terminal, 65536).decode("utf-8", "replace")
        return self._process.poll()

    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self.status is None

    def kill(self) -> None:
        """End it as a loss of power would: the process with all its threads."""
        self._process.send_signal(signal.SIGKILL)
        self._process.wait()
        self._close()

    def end(self) -> int:
        """Wait for its end; returns the exit status."""
        deadline = time.perf_counter() + _LONGEST_RUN
        while self.is_running() and time.perf_counter() < deadline:
            time.sleep(0.01)
        if self.is_running():
            self.kill()
        self._close()
        return self._process.returncode

    def _close(self) -> None:
        assert self.status is not None
        _running.discard(self)
        self.seconds = time.perf_counter() - self.began
        os.close(self._terminal)
        self._terminal = -1

    def left_processes(self) -> bool:
        """Whether a process that it started is still there some seconds after its end."""
        for _ in range(100):
            try:
                os.killpg(self._process.pid, 0)
            except ProcessLookupError:
                return False
            time.sleep(0.05)
        return True

    @property
    def progress(self) -> str:
        """The last progress that it told."""
        told = [text for text in self.said.split("\r\x1b[K") if text.strip()]
        return told[-1].strip() if told else ""


#: Runs that are going on.
_running: set[Run] = set()


def phase_of(run: Run, outputs: Outputs, before: str | None) -> str:
    """Where a run was when it was killed: by its last words, and by what it had written."""
    if run.by_dagster:
        return "in Dagster's job" if latest_version(outputs) == before else "in Dagster's job, after latest.json"
    words = re.split(r"[\d(]", run.progress)[0].strip()
    if not words:
        return "starting"
    if words.startswith("waiting"):
        return "waiting for the other"
    if words.startswith("looking into"):
        return "looking into zips"
    latest = latest_version(outputs)
    if latest != before:
        return "after latest.json"
    if words.startswith("publishing"):
        named = {v for v in all_versions(outputs) if _predecessor(outputs, v) == latest}
        return "between the version and latest.json" if named - {latest} else "publishing"
    if words.startswith("reading") and _newest_table(outputs) > run.wall:
        return "making tables"
    return words


def _predecessor(outputs: Outputs, version: str) -> str | None:
    with contextlib.suppress(OSError):  # the other writer swept it
        predecessor: str | None = read_manifest(outputs.version(version)).build.predecessor
        return predecessor
    return version


def _newest_table(outputs: Outputs) -> float:
    return max((p.stat().st_mtime for p in outputs.work.glob("*.parquet")), default=0.0)


# --- what must hold --------------------------------------------------------------------------------------------------


@dataclass
class Life:
    """One folder of outputs through many rounds, and what is known of it."""

    outputs: Outputs
    faults: Counter[str]
    verified: dict[str, tuple[object, ...]] = field(default_factory=dict)
    accepted: dict[str, str] = field(default_factory=dict)
    published: set[str] = field(default_factory=set)

    def look(self, where: str) -> list[str]:
        """What is wrong on the disk now, whatever was killed: versions, ``latest``, the archive."""
        wrong = [*self._versions(), *self._latest(), *self._archive()]
        for kind, what in wrong:
            self.faults[kind] += 1
            print(f"FAULT {where}: {kind}: {what}", flush=True)
        return [kind for kind, _ in wrong]

    def look_after_run(self, where: str) -> list[str]:
        """What is wrong after a run that ended well: leftovers, versions that nobody published, releases left out."""
        wrong = [*self._leftovers(), *self._left_out()]
        for kind, what in wrong:
            self.faults[kind] += 1
            print(f"FAULT {where}: {kind}: {what}", flush=True)
        return [kind for kind, _ in wrong] + self.look(where)

    def _versions(self) -> Iterator[tuple[str, str]]:
        for version in all_versions(self.outputs):
            folder = self.outputs.version(version)
            seen = _seen(folder)
            if self.verified.get(version) != seen:
                try:
                    problems = [str(problem) for problem in verify_deeply(folder).problems]
                except HcpcsError as error:
                    problems = [str(error)]
                if not folder.exists() and version not in self.published:
                    continue  # another writer swept what a killed one had not published
                for problem in problems:
                    yield "inconsistent versions", f"{version}: {problem}"
                self.verified[version] = seen
        for gone in self.published - set(all_versions(self.outputs)):
            yield "inconsistent versions", f"{gone} is gone"

    def _latest(self) -> Iterator[tuple[str, str]]:
        try:
            version = latest_version(self.outputs)
            if version is None:
                if self.published:
                    yield "unreadable latest", "it is gone"
                return
            if read_manifest(self.outputs.version(version)).build.version != version:
                yield "unreadable latest", f"{version} is another"
            self.published.add(version)
        except (OSError, ValueError, KeyError) as error:
            yield "unreadable latest", repr(error)

    def _archive(self) -> Iterator[tuple[str, str]]:
        archive = open_archive(self.outputs.archive)
        held = {sha: z.release_id for sha, z in archive.index().zips.items()}
        for sha in self.accepted.keys() - held.keys():
            yield "lost releases", f"{self.accepted[sha]}: {sha} is no longer held"
        for sha, release_id in held.items():
            if sha not in self.accepted and file_sha256(archive.zip_path(sha)) != sha:
                yield "lost releases", f"{release_id}: the bytes of {sha} are not there"
            if archive.zip_path(sha).stat().st_size == 0:
                yield "lost releases", f"{release_id}: the zip {sha} is empty"
        self.accepted |= held

    def _left_out(self) -> Iterator[tuple[str, str]]:
        latest = latest_version(self.outputs)
        releases = read_manifest(self.outputs.version(latest)).content.releases if latest else []
        stated = {(r.release_id, m.sha256) for r in releases for m in r.members}
        index = open_archive(self.outputs.archive).index()
        for held in (z for z in index.zips.values() if z.release_id not in index.excluded):
            for member in held.members:
                if (held.release_id, member.sha256) not in stated:
                    yield "lost releases", f"{held.release_id}: {member.name} is not in {latest}"

    def _leftovers(self) -> Iterator[tuple[str, str]]:
        for path in self.outputs.folder.rglob("*"):
            is_partial = (path.name.startswith(".") and path.name != ".lock") or path.suffix in (".part", ".tmp")
            if is_partial and "dagster" not in path.relative_to(self.outputs.folder).parts:
                yield "leftovers after sweep", str(path.relative_to(self.outputs.folder))
        version, chain = latest_version(self.outputs), set()
        while version is not None and version in all_versions(self.outputs):
            chain.add(version)
            version = read_manifest(self.outputs.version(version)).build.predecessor
        for orphan in set(all_versions(self.outputs)) - chain:
            yield "leftovers after sweep", f"the version {orphan}, which was never the latest"
        target = Path("versions") / (latest_version(self.outputs) or "")
        if self.outputs.latest_link.readlink() != target:
            yield "leftovers after sweep", "the link latest"


def _seen(folder: Path) -> tuple[object, ...]:
    """What tells whether a file of the folder is another than before; hard links leave it as it is."""
    files = []
    with contextlib.suppress(FileNotFoundError):  # it was swept meanwhile
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            stat = path.stat()
            files.append((path.name, stat.st_size, stat.st_mtime_ns, stat.st_ino))
    return tuple(files)


# --- rounds ----------------------------------------------------------------------------------------------------------


@dataclass
class Told:
    """What was done and found."""

    rounds: int = 0
    racing: int = 0
    by_dagster: int = 0
    kills: Counter[str] = field(default_factory=Counter)
    ended_before: int = 0
    runs: int = 0
    versions: int = 0
    faults: Counter[str] = field(default_factory=Counter)


class Faults:
    """Rounds of kills; ``longest`` is how long a whole run took of late."""

    def __init__(self, seed: int, rounds: int, scratch: Path, keep: Path | None) -> None:
        self.chance = random.Random(seed)
        self.rounds, self.scratch, self.keep = rounds, scratch, keep
        self.told = Told()
        self.longest = 6.0
        # Moments in the middle of even parts of the time, in no order: a few rounds spread as well as many.
        self.moments = [(n + self.chance.random()) / rounds for n in range(rounds)]
        self.chance.shuffle(self.moments)

    def run(self) -> Told:
        """All rounds."""
        try:
            while self.told.rounds < self.rounds:
                self._live(min(ROUNDS_OF_A_LIFE, self.rounds - self.told.rounds))
        finally:
            for run in [*_running]:
                run.kill()
        return self.told

    def _live(self, rounds: int) -> None:
        folder = self.scratch / f"life-{self.told.rounds}"
        life = Life(Outputs(folder / "outputs"), self.told.faults)
        folder.mkdir()
        coming = offers()
        given: list[Offer] = []
        waiting: list[Offer] = []
        for number in range(rounds):
            is_racing = self.told.rounds % 2 == 1
            fresh = [next(coming) for _ in range(2 if is_racing else 1)]
            waiting += fresh
            given += fresh
            where = f"round {self.told.rounds}"
            found = self._round(life, waiting, is_racing, where)
            # With no offer the next run builds from what was taken in; what was not is offered again later.
            is_again = number == rounds - 1 or self.told.rounds % 3 != 0 or latest_version(life.outputs) is None
            found += self._next_run(life, _write(folder / "again", waiting) if is_again else None, where)
            held = set(open_archive(life.outputs.archive).index().zips)
            waiting = [o for o in waiting if not {_sha256(data) for data in o[1].values()} <= held]
            if is_again and waiting:
                self._fault(where, "lost releases", f"{waiting[0][0]} was offered to a run that ended well")
            if found and self.keep is not None:
                shutil.copytree(folder, self.keep / f"{folder.name}-{self.told.rounds}", symlinks=True)
            self.told.rounds += 1
            self.told.racing += is_racing
        self._compare_with_undisturbed(life, given)
        self.told.versions += len(all_versions(life.outputs))
        print(
            f"{self.told.rounds} rounds, {self.told.kills.total()} kills, {self.told.faults.total()} faults", flush=True
        )
        shutil.rmtree(folder)

    def _round(self, life: Life, waiting: list[Offer], is_racing: bool, where: str) -> list[str]:
        """Start one run or two, kill what is to be killed, and look at what is left."""
        outputs, folder = life.outputs, life.outputs.folder.parent
        before = latest_version(outputs)
        is_same = self.chance.random() < 0.3
        shares = [waiting[::2], waiting[1::2]] if is_racing and not is_same else [waiting] * (1 + is_racing)
        by_dagster = self._is_by_dagster(outputs)
        if by_dagster:
            self._toggle_exclusion(outputs)
            shares = [waiting] * is_racing
        runs = [Run(outputs, by_dagster=True)] * by_dagster
        runs += [Run(outputs, "--from", _write(folder / f"offered-{n}", s)) for n, s in enumerate(shares)]
        moment = self.moments[self.told.rounds] * self.longest * 1.05
        if self.told.rounds % 5 == 4:
            self._wait_for_file(outputs, runs[0])
        else:
            while runs[0].is_running() and time.perf_counter() - runs[0].began < moment:
                time.sleep(0.001)
        found = self._kill(runs[0], outputs, before, life, where)
        if is_racing:
            if self.chance.random() < 0.5:
                later = self.chance.random() * self.longest * 1.5
                while runs[1].is_running() and time.perf_counter() - runs[1].began < later:
                    time.sleep(0.001)
                found += self._kill(runs[1], outputs, before, life, where)
            elif runs[1].end() != 0:
                self._fault(where, "runs that failed", f"the other writer: {runs[1].said[-600:]}")
                found.append("runs that failed")
        return found

    def _is_by_dagster(self, outputs: Outputs) -> bool:
        """Every second pair of rounds, once there is something that the job can build from."""
        return self.told.rounds // 2 % 2 == 1 and len(open_archive(outputs.archive).index().releases()) > 1

    def _toggle_exclusion(self, outputs: Outputs) -> None:
        """Exclude the oldest release, or include it again."""
        index = open_archive(outputs.archive).index()
        if index.excluded:
            include(outputs, next(iter(index.excluded)))
        else:
            exclude(outputs, min(index.releases()), "for this round")
        self.told.by_dagster += 1

    def _kill(self, run: Run, outputs: Outputs, before: str | None, life: Life, where: str) -> list[str]:
        if run.is_running():
            run.kill()
            self.told.kills[phase_of(run, outputs, before)] += 1
        else:
            self.told.ended_before += 1
            if run.end() != 0:
                self._fault(where, "runs that failed", run.said[-600:])
        if run.left_processes():
            self._fault(where, "processes left", run.progress)
        return life.look(f"{where}, killed while {run.progress or 'starting'}")

    def _wait_for_file(self, outputs: Outputs, run: Run) -> None:
        """Until a file changes that a next step follows at once."""

        def stamp(path: Path) -> Callable[[], object]:
            return lambda: path.stat().st_ino if path.exists() else None

        def names(pattern: str) -> Callable[[], object]:
            return lambda: sorted(p.name for p in outputs.versions.glob(pattern))

        watched = self.chance.choice(
            (
                *(stamp(outputs.archive / "index.json"), stamp(outputs.state), stamp(outputs.latest)),
                *(names("[0-9]*"), names("[0-9]*"), names(".partial-*"), names(".partial-*/manifest.json")),
            )
        )
        first = watched()
        while run.is_running() and watched() == first:
            time.sleep(0.0002)
        time.sleep(self.chance.choice((0, 0, 0.001, 0.005, 0.02)))

    def _next_run(self, life: Life, offered: Path | None, where: str) -> list[str]:
        run = Run(life.outputs, *(("--from", offered) if offered else ("--offline",)))
        is_anything_held = bool(open_archive(life.outputs.archive).index().zips)
        status = run.end()
        self.told.runs += 1
        if status != 0 and (offered or is_anything_held):
            self._fault(where, "runs that failed", f"the next run: {run.said[-600:]}")
            return ["runs that failed", *life.look(where)]
        if offered:
            self.longest = 0.5 * self.longest + 0.5 * run.seconds
        return life.look_after_run(f"{where}, after the next run")

    def _compare_with_undisturbed(self, life: Life, given: list[Offer]) -> None:
        if open_archive(life.outputs.archive).index().excluded:
            self._toggle_exclusion(life.outputs)
            if Run(life.outputs, "--offline").end() != 0:
                self._fault("the last run", "runs that failed", "it did not end well")
        folder = life.outputs.folder.parent
        other = Outputs(folder / "undisturbed")
        if Run(other, "--from", _write(folder / "all", given)).end() != 0:
            self._fault("an undisturbed run", "runs that failed", "it did not end well")
            return
        contents = [read_manifest(o.version(latest_version(o) or "")).content for o in (life.outputs, other)]
        if contents[0] != contents[1]:
            self._fault(folder.name, "versions unlike an undisturbed run's", str(latest_version(life.outputs)))

    def _fault(self, where: str, kind: str, what: str) -> None:
        self.told.faults[kind] += 1
        print(f"FAULT {where}: {kind}: {what}", flush=True)


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


FAULTS = (
    "inconsistent versions",
    "lost releases",
    "unreadable latest",
    "leftovers after sweep",
    "runs that failed",
    "processes left",
    "versions unlike an undisturbed run's",
)


def print_table(told: Told) -> None:
    """Print what was done and found."""
    print("\n| what | number |\n|---|---:|")
    print(f"| rounds | {told.rounds} |\n| of them with two writers | {told.racing} |")
    print(f"| of them with Dagster's job | {told.by_dagster} |")
    print(f"| kills | {told.kills.total()} |")
    for phase, count in sorted(told.kills.items(), key=lambda item: -item[1]):
        print(f"| … {phase} | {count} |")
    print(f"| runs that ended before their kill | {told.ended_before} |")
    print(f"| runs after a kill | {told.runs} |\n| versions | {told.versions} |")
    for kind in FAULTS:
        print(f"| **{kind}** | {told.faults[kind]} |")


def main() -> None:
    """Run, tell, and exit with status 1 if anything was wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=200, help="how many; 200 by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="folder for copies of outputs in which something is wrong")
    given = parser.parse_args()
    print(f"{machine()}\nseed {given.seed}, {given.rounds} rounds", flush=True)
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as scratch:
        told = Faults(given.seed, given.rounds, Path(scratch), given.keep).run()
    print_table(told)
    print(f"\n{time.perf_counter() - start:,.0f} s")
    sys.exit(1 if told.faults else 0)


if __name__ == "__main__":
    main()
