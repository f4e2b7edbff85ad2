"""Damaged releases through the whole pipeline: each ends in a version, or in a refusal that says why. `make fuzz`.

    python -m benchmarks.fuzz [--inputs 2000] [--seed 1] [--from ../shared/cms] [--only 12,99] [--keep DIR]

Each input is a release (of the sample, made up, and a few of CMS's where there are any) with one to three damages.
Most are offered a dozen of one base at a time, a month each, with `--skip-bad`, to outputs that hold the base whole,
which costs one publishing for all; every fortieth alone, without. Where such a run ends otherwise than in a version,
its inputs are run again in smaller groups. Runs are made in a process of their own with a limit of time and of memory.
What fails is kept as a file, with the command that shows it again.
"""

from __future__ import annotations

import argparse
import contextlib
import multiprocessing
import os
import random
import re
import resource
import shutil
import sys
import tempfile
import time
import zipfile
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from multiprocessing.connection import Connection
from pathlib import Path

from benchmarks import mutations
from benchmarks.measure import machine

#: Tests' made-up releases, which are no part of the package.
sys.path.append(str(Path(__file__).resolve().parent.parent / "tests"))

from made_up import posting, record
from old_workbook import old_workbook
from release_writer import SampleRecord, WorkbookOptions, anweb_workbook, release_zip

from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.versions.store import read_manifest
from sources.sample import SAMPLE_FOLDER

TOGETHER = 12
_FIRST_RELEASE = "2010-01"
#: Bounds of one run, of a dozen inputs or of one: seconds by the clock, after which it hangs; seconds of work, whatever
#: else the machine does; bytes of its process, and of that which reads its workbooks.
MOST_SECONDS = 600.0
MOST_WORK = 60.0
MOST_MEMORY = 2 * 1024**3
_MOST_ADDRESSES = 24 * 1024**3
#: Characters of a line of a refusal, and its lines: a license leak lists places.
_LONGEST_LINE = 1000
_MOST_LINES = 50
#: Words that no refusal may have: they tell of the program, not of the input.
_UNCLEAN = re.compile(r"Traceback|panicked|PanicException|unwrap\(\)|object at 0x|\.rs:\d|<class|assert", re.I)
_RUN_AGAIN = 400


@dataclass(frozen=True)
class Input:
    """A damaged release: its bytes, the month and name under which it is offered, and what was done to what."""

    number: int
    release_id: str
    name: str
    data: bytes
    base: str
    damages: tuple[str, ...]

    @property
    def kind(self) -> str:
        """The first damage, by which inputs are counted."""
        return self.damages[0]


@dataclass(frozen=True)
class Outcome:
    """How one input ended; ``fault`` tells what is wrong with that."""

    words: str
    detail: str = ""
    fault: str = ""


# --- inputs ----------------------------------------------------------------------------------------------------------


def _neutral(name: str) -> str:
    """A member's name without years and days, so that any month may be its release's."""
    return re.sub(r"\d{2,}", "", name.rsplit("/", 1)[-1])


def _records(count: int) -> list[SampleRecord]:
    long = "Sample: " + "a thing with many words " * 9
    return [
        record("TP", coverage_code="D"),
        record("V5364", crosswalk_targets=("A0080",), betos_code="O1A", processing_note="0009"),
        *(record(f"A{n:04d}", long_description=long, pricing_indicators=("00", "57")) for n in range(count)),
    ]


def _old_workbook_release(count: int) -> dict[str, bytes]:
    """A release as of 2011, with an .xls: the cells of the sample's workbook."""
    from sources.excel.reader import read_sheets

    book = anweb_workbook(_records(count), options=WorkbookOptions(headings="old", rows="record"))
    rows = [list(row) for row in read_sheets("a.xlsx", book)[0][1].iter_rows()]
    return {"anweb_V3.xls": old_workbook(rows)}


@cache
def _bases() -> dict[str, dict[str, bytes]]:
    """Releases to damage, by name: members by neutral name."""
    bases: dict[str, dict[str, bytes]] = {}
    for path in sorted(SAMPLE_FOLDER.rglob("*.zip")):
        with zipfile.ZipFile(path) as archive:
            members = {_neutral(n): archive.read(n) for n in archive.namelist() if "README_SAMPLE" not in n}
        if not any("anweb" in name.lower() for name in members):
            name, members = next(reversed(bases)), members | bases[next(reversed(bases))]
            bases[name] = members  # a zip of side files goes with the code file before it
            continue
        bases[f"sample {path.stem}"] = members
    for form in ("text", "workbook", "both"):
        made = posting("2019-01", *_records(12), form=form)  # type: ignore[arg-type]
        bases[f"made-up {form}"] = {_neutral(n): d for n, d in made.members.items()}
    bases["made-up .xls"] = _old_workbook_release(30)
    return bases


@cache
def _real_bases(folder: Path) -> dict[str, dict[str, bytes]]:
    bases = {}
    for path in sorted(folder.glob("*/*.zip")):
        with zipfile.ZipFile(path) as archive:
            members = {_neutral(n): archive.read(n) for n in archive.namelist() if not n.endswith((".pdf", "/"))}
        if any("anweb" in name.lower() for name in members):
            bases[f"CMS {path.parent.name} {path.stem}"] = members
    return bases


def is_of_cms(number: int, real: Path | None) -> bool:
    """Whether the input of this number is one of CMS's releases, which are large."""
    return real is not None and number % 50 == 7


def is_alone(number: int) -> bool:
    """Whether the input of this number is offered alone, without `--skip-bad`."""
    return number % 40 == 3


def base_of(seed: int, number: int, real: Path | None) -> tuple[str, dict[str, bytes]]:
    """The release that the input of this number is made from."""
    bases = _real_bases(real) if real is not None and is_of_cms(number, real) else _bases()
    base = random.Random(f"{seed}:{number}:base").choice(sorted(bases))
    return base, bases[base]


def make_input(seed: int, number: int, real: Path | None) -> Input:
    """The input of this number: the same for the same seed and bases."""
    chance = random.Random(f"{seed}:{number}")
    base, members = base_of(seed, number, real)
    members = dict(members)
    damages: list[str] = []
    packing = mutations.pack_plainly
    after: list[mutations.Mutation] = []
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        where = chance.random()
        if where < 0.72:
            name = chance.choice(sorted(members))
            damage, mutation = _of_member(chance, name, members[name])
            members[name] = mutation(chance, members[name])
        elif where < 0.84:
            damage, packing = chance.choice(sorted(mutations.PACK.items()))
            damage = f"zip: {damage}"
        else:
            damage, mutation = chance.choice(sorted(mutations.ZIP.items()))
            damage = f"zip: {damage}"
            after.append(mutation)
        damages.append(damage)
    # A comment of its own: one zip is never offered under two months.
    data = packing(chance, members, b"%d" % number)
    for mutation in after:
        data = mutation(chance, data)
    place = number % 1000
    release_id = f"{2012 + place // 12}-{place % 12 + 1:02d}"
    return Input(number, release_id, f"offered {chr(97 + number % 26)}.zip", data, base, tuple(damages))


def _of_member(chance: random.Random, name: str, data: bytes) -> tuple[str, mutations.Mutation]:
    kinds = [("any", mutations.ANY)]
    if data.startswith(b"PK"):
        kinds += [(".xlsx", mutations.BOOK)] * 4
    elif data.startswith(b"\xd0\xcf"):
        kinds += [(".xls", mutations.OLD_BOOK)] * 3
    else:
        kinds += [("text", mutations.TEXT)] * 5
    kind, ways = chance.choice(kinds)
    damage = chance.choice(sorted(ways))
    if kind == "any":
        kind = Path(name).suffix if data.startswith((b"PK", b"\xd0\xcf")) else "text"
    side = "" if "anweb" in name.lower() and "correct" not in name.lower() else "side "
    return f"{side}{kind}: {damage}", ways[damage]


# --- the process that runs them --------------------------------------------------------------------------------------


class _Runs:
    """Runs inputs in this process, one group after the other."""

    def __init__(self, seed: int, real: Path | None, scratch: Path) -> None:
        self.seed, self.real, self.scratch = seed, real, scratch

    def _held(self, base: str, members: dict[str, bytes]) -> Path:
        """Outputs that hold the undamaged base, made once."""
        from pipeline.refresh.refresh import refresh

        held = self.scratch / "held" / base
        if not (held / "latest.json").exists():
            path = self.scratch / "first" / base / _FIRST_RELEASE / "first.zip"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(release_zip(members, comment=b""))
            refresh(Outputs(held), offered=path)
        return held

    def run(self, numbers: Sequence[int]) -> dict[int, Outcome]:
        """Offer these inputs together and tell how each ended."""
        inputs = [make_input(self.seed, n, self.real) for n in numbers]
        offered, outputs = self.scratch / "offered", Outputs(self.scratch / "outputs")
        for folder in (offered, outputs.folder):
            shutil.rmtree(folder, ignore_errors=True)
        for one in inputs:
            path = offered / one.release_id / one.name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(one.data)
        shutil.copytree(self._held(*base_of(self.seed, numbers[0], self.real)), outputs.folder, symlinks=True)
        outcomes = self._outcomes(outputs, offered, inputs)
        said = (self.scratch / "stderr").read_text("utf-8", "replace").strip()
        if said:
            (self.scratch / "stderr").open("w").close()
            outcomes = {
                n: Outcome(o.words, o.detail, o.fault or f"on stderr: {said[:400]}") for n, o in outcomes.items()
            }
        return outcomes

    def _outcomes(self, outputs: Outputs, offered: Path, inputs: Sequence[Input]) -> dict[int, Outcome]:
        from hcpcs.cli.console import is_refusal
        from pipeline.orchestration.run_context import RefreshRefused
        from pipeline.refresh.refresh import refresh
        from pipeline.versions.verify_content import verify_deeply

        before = latest_version(outputs)
        skip_bad = not (len(inputs) == 1 and is_alone(inputs[0].number))
        try:
            done = refresh(outputs, offered=offered, skip_bad=skip_bad)
        except Exception as error:
            if latest_version(outputs) != before:
                return {i.number: Outcome("refused", fault=f"published all the same: {error}") for i in inputs}
            if not is_refusal(error):
                return {i.number: Outcome("traceback", fault=f"{type(error).__name__}: {error}") for i in inputs}
            single = len(inputs) == 1 and isinstance(error, RefreshRefused)
            kind = next(iter(error.refusals.values())) if single else error  # type: ignore[attr-defined]
            return {i.number: _refused(f"refused: {type(kind).__name__}", str(error)) for i in inputs}
        except BaseException as error:  # a panic of polars is no `Exception`
            return {i.number: Outcome("traceback", fault=f"{type(error).__name__}: {error}") for i in inputs}
        problems = verify_deeply(outputs.version(done.published.version)).problems
        fault = f"does not verify: {problems[0]}" if problems else ""
        content = read_manifest(outputs.version(done.published.version)).content
        releases = {r.release_id for r in content.releases}
        outcomes = {}
        for one in inputs:
            zip_refused = done.refused.get(f"{one.release_id}/{one.name}")
            release_refused = done.refused.get(one.release_id)
            if zip_refused is not None:
                outcomes[one.number] = _refused("refused: zip", zip_refused)
            elif release_refused is not None:
                outcomes[one.number] = _refused("refused: release", release_refused)
            elif f"{one.release_id}/{one.name}" in done.left:
                outcomes[one.number] = Outcome("waits", done.left[f"{one.release_id}/{one.name}"], fault)
            elif one.release_id in releases:
                outcomes[one.number] = Outcome("version", fault=fault)
            else:
                outcomes[one.number] = Outcome("lost", fault="neither in the version nor refused")
        return outcomes


def _refused(words: str, why: str) -> Outcome:
    fault = ""
    lines = why.split("\n")
    if not why.strip() or len(lines) > _MOST_LINES or max(map(len, lines)) > _LONGEST_LINE:
        fault = f"a refusal of {len(lines)} lines and {len(why):,} characters: {why[:300]}"
    elif (found := _UNCLEAN.search(why)) is not None:
        fault = f"a refusal that says {found[0]!r}: {why[:600]}"
    elif not all(line.isprintable() for line in lines):
        fault = f"a refusal that cannot be printed: {why[:300]!r}"
    return Outcome(words, why[:300], fault)


class Worker:
    """A process that runs inputs; a new one and no fork, since polars has threads."""

    def __init__(self, seed: int, real: Path | None, scratch: Path) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, its = context.Pipe()
        self._process = context.Process(target=_work, args=(its, seed, real, scratch), daemon=False)
        self._process.start()
        its.close()
        self.runs = 0

    def run(self, numbers: Sequence[int]) -> tuple[dict[int, Outcome], float, int]:
        """Outcomes, seconds of work, bytes of memory at the largest, this process' or that of one it started."""
        self.runs += 1
        how = ""
        try:
            self._pipe.send(list(numbers))
            if self._pipe.poll(MOST_SECONDS):
                answer: tuple[dict[int, Outcome], float, int] = self._pipe.recv()
                return answer
            how = f"hang: no end after {MOST_SECONDS:.0f} s"
        except (EOFError, OSError):
            pass
        self._process.join(timeout=20)
        status = self.end()
        how = how or f"the process ended with {status}"
        return {n: Outcome(how.split(":")[0], fault=how) for n in numbers}, 0.0, 0

    def end(self) -> int:
        """End the process; returns its status."""
        self._pipe.close()
        self._process.kill()
        self._process.join()
        return self._process.exitcode or 0


def _work(pipe: Connection, seed: int, real: Path | None, scratch: Path) -> None:
    import dagster as dg

    runs = _Runs(seed, real, scratch)
    errors = os.open(runs.scratch / "stderr", os.O_CREAT | os.O_WRONLY | os.O_APPEND | os.O_TRUNC)
    os.dup2(errors, 2)
    resource.setrlimit(resource.RLIMIT_AS, (_MOST_ADDRESSES, _MOST_ADDRESSES))
    # Nothing here outlives the run: Dagster's runs stay in memory, and no file waits for the disk.
    os.fsync = lambda handle: None
    dg.DagsterInstance.local_temp = staticmethod(lambda *_: dg.DagsterInstance.ephemeral())  # type: ignore[assignment, method-assign]
    while True:
        try:
            numbers = pipe.recv()
        except EOFError:
            return
        Path("/proc/self/clear_refs").write_text("5")  # the largest memory is measured anew
        start = time.process_time()
        outcomes = runs.run(numbers)
        seconds = time.process_time() - start
        pipe.send((outcomes, seconds, max(_largest_memory("self"), *map(_largest_memory, _children()), 0)))


def _children() -> list[str]:
    found = []
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(OSError):  # a thread that has ended
            found += (task / "children").read_text().split()
    return found


def _largest_memory(process: str) -> int:
    with contextlib.suppress(OSError):
        if found := re.search(r"VmHWM:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text()):
            return int(found[1]) * 1024
    return 0


# --- all of them -----------------------------------------------------------------------------------------------------


@dataclass
class Told:
    """What was found."""

    outcomes: dict[int, Outcome]
    slowest: tuple[float, Sequence[int]] = (0.0, ())
    memory: tuple[int, Sequence[int]] = (0, ())
    runs: int = 0


class Fuzzer:
    """Runs groups of inputs, in smaller ones where a group does not end in a version."""

    def __init__(self, seed: int, real: Path | None, scratch: Path) -> None:
        self.seed, self.real, self.scratch = seed, real, scratch
        self.worker: Worker | None = None
        self.told = Told({})

    def run(self, numbers: Sequence[int]) -> None:
        """Run these inputs and note how each ended."""
        outcomes = self._once(numbers)
        if len(numbers) > 1 and any(o.fault or not _tells_of_one(o) for o in outcomes.values()):
            for part in self._parts(numbers, outcomes):
                self.run(part)
            if not any(self.told.outcomes[n].fault or not _tells_of_one(self.told.outcomes[n]) for n in numbers):
                fault = next(iter(outcomes.values()))
                words = f"together with {','.join(map(str, numbers))}: {fault.words} {fault.fault or fault.detail}"
                is_refused = fault.words.startswith("refused") and not fault.fault
                self.told.outcomes[numbers[0]] = Outcome(fault.words, words, "" if is_refused else words)
            return
        self.told.outcomes.update(outcomes)

    def _parts(self, numbers: Sequence[int], outcomes: dict[int, Outcome]) -> tuple[Sequence[int], Sequence[int]]:
        """Those whose month the run's refusal names and the others, or two halves."""
        said = " ".join(o.detail + o.fault for o in outcomes.values())
        named = [n for n in numbers if make_input(self.seed, n, self.real).release_id in said]
        if 0 < len(named) < len(numbers):
            return named, [n for n in numbers if n not in named]
        return numbers[: len(numbers) // 2], numbers[len(numbers) // 2 :]

    def _once(self, numbers: Sequence[int]) -> dict[int, Outcome]:
        if self.worker is None or self.worker.runs >= _RUN_AGAIN:
            self.close()
            self.worker = Worker(self.seed, self.real, self.scratch)
        outcomes, seconds, memory = self.worker.run(numbers)
        if memory == 0:
            self.worker = None
        self.told.runs += 1
        self.told.slowest = max(self.told.slowest, (seconds, numbers), key=lambda found: found[0])
        self.told.memory = max(self.told.memory, (memory, numbers), key=lambda found: found[0])
        fault = f"{memory / 1024**2:,.0f} MB of memory" if memory > MOST_MEMORY else ""
        fault = f"{seconds:.0f} s of work" if seconds > MOST_WORK else fault
        if fault:
            outcomes = {n: Outcome(o.words, o.detail, o.fault or fault) for n, o in outcomes.items()}
        return outcomes

    def close(self) -> None:
        """End the process."""
        if self.worker is not None:
            self.worker.end()
        self.worker = None


def _tells_of_one(outcome: Outcome) -> bool:
    """Whether an outcome of a group's member is its own, and not the whole run's."""
    return outcome.words in ("version", "refused: zip", "refused: release")


def groups(numbers: Sequence[int], seed: int, real: Path | None) -> Iterator[list[int]]:
    """Inputs that are offered together: of one base, and no two for one month."""
    by_base: dict[str, list[int]] = {}
    for number in numbers:
        base = f"alone {number}" if is_alone(number) else base_of(seed, number, real)[0]
        by_base.setdefault(base, []).append(number)
    for base, same in sorted(by_base.items()):
        together = 2 if base.startswith("CMS") else TOGETHER
        yield from (same[start : start + together] for start in range(0, len(same), together))


def fuzz(numbers: Sequence[int], seed: int, real: Path | None, scratch: Path, *, keep: Path | None = None) -> Told:
    """Run the inputs of these numbers; what fails is told at once, and kept in ``keep``."""
    fuzzer = Fuzzer(seed, real, scratch)
    try:
        for group in groups(numbers, seed, real):
            fuzzer.run(group)
            for number in group:
                outcome = fuzzer.told.outcomes[number]
                if outcome.fault:
                    _tell_fault(seed, number, outcome, real, keep)
    finally:
        fuzzer.close()
    return fuzzer.told


def _tell_fault(seed: int, number: int, outcome: Outcome, real: Path | None, keep: Path | None) -> None:
    one = make_input(seed, number, real)
    print(f"FAULT input {number} ({one.base}; {', '.join(one.damages)}): {outcome.fault}")
    print(f"      python -m benchmarks.fuzz --seed {seed} --only {number}", flush=True)
    if keep is not None:
        path = keep / one.release_id / f"{seed}-{number}.zip"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(one.data)
        print(f"      kept as {path}", flush=True)


def print_table(told: Told, seed: int, real: Path | None) -> None:
    """Print inputs by damage and outcome."""
    counts: Counter[tuple[str, str]] = Counter()
    for number, outcome in told.outcomes.items():
        words = f"FAULT {outcome.words}" if outcome.fault else outcome.words
        counts[make_input(seed, number, real).kind, words] += 1
    columns = sorted({words for _, words in counts}, key=lambda w: (w != "version", w))
    kinds = sorted({kind for kind, _ in counts})
    print("\n| first damage | " + " | ".join(columns) + " |\n|---|" + "---:|" * len(columns))
    for kind in kinds:
        print(f"| {kind} | " + " | ".join(str(counts[kind, c] or "") for c in columns) + " |")
    print("| **all** | " + " | ".join(str(sum(counts[k, c] for k in kinds)) for c in columns) + " |")


def main() -> None:
    """Run, tell, and exit with status 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=2000, help="how many; 2000 by default")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--from", dest="real", type=Path, help="CMS's releases; by default ../shared/cms, if there")
    parser.add_argument("--only", help="numbers of inputs to run, with commas")
    parser.add_argument("--keep", type=Path, default=Path("outputs") / "fuzz", help="folder for what fails")
    given = parser.parse_args()
    beside = Path(__file__).resolve().parent.parent.parent / "shared" / "cms"
    real = given.real or (beside if beside.is_dir() else None)
    numbers = [int(n) for n in given.only.split(",")] if given.only else list(range(given.inputs))
    print(
        f"{machine()}\nseed {given.seed}, {len(numbers)} inputs, CMS's releases: {'yes' if real else 'no'}", flush=True
    )
    start = time.perf_counter()
    with tempfile.TemporaryDirectory(dir=_quick_folder()) as scratch:
        told = fuzz(numbers, given.seed, real, Path(scratch), keep=given.keep)
    seconds = time.perf_counter() - start
    print_table(told, given.seed, real)
    if given.only:
        for number, outcome in told.outcomes.items():
            print(number, make_input(given.seed, number, real).damages, outcome)
    faults = sum(bool(o.fault) for o in told.outcomes.values())
    print(f"\n{len(told.outcomes)} inputs in {told.runs} runs, {seconds:,.0f} s; {faults} faults")
    print(f"slowest run {told.slowest[0]:.1f} s of work (bound {MOST_WORK:.0f}): inputs {_listed(told.slowest[1])}")
    peak = told.memory[0] / 1024**2
    print(f"most memory {peak:,.0f} MB (bound {MOST_MEMORY / 1024**2:,.0f}): inputs {_listed(told.memory[1])}")
    sys.exit(1 if faults else 0)


def _listed(numbers: Sequence[int]) -> str:
    return ",".join(map(str, numbers))


def _quick_folder() -> str | None:
    """A folder in memory, if there is one: a run writes 2 MB that no one keeps."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


if __name__ == "__main__":
    main()
