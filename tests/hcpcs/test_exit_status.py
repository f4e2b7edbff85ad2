"""Every command from outside, in a process of its own: exit status, stderr, no traceback, nothing left behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pyarrow.parquet as pq
import pytest
from conftest import REPOSITORY, Said, Version
from made_up import posting, record
from warm_process import WarmProcess

from hcpcs.cli.main import cli
from hcpcs.errors import present
from hcpcs.paths import Outputs
from hcpcs.version import latest_version
from pipeline.versions.store import all_versions
from pipeline.versions.verify_content import verify_deeply

#: What takes no outputs and cannot fail on data, or replaces the process.
NEVER_FAIL = {("sql", "annotate"), ("sql",), ("watch",)}


def commands(group: click.Group = cli, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        yield (*before, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*before, name))


@pytest.fixture(scope="module")
def damaged(sample: Version, tmp_path_factory: pytest.TempPathFactory) -> Outputs:
    """Outputs whose one version lacks half of a table's bytes."""
    folder = tmp_path_factory.mktemp("damaged") / "outputs"
    shutil.copytree(sample.outputs.folder, folder, symlinks=True)
    table = Outputs(folder).version(sample.id) / "open" / "hcpcs_changes.parquet"
    table.write_bytes(table.read_bytes()[: table.stat().st_size // 2])
    zips = sorted((folder / "archive" / "zips").iterdir())
    zips[0].write_bytes(b"not what it was")
    return Outputs(folder)


#: A way in which each command fails: arguments, a word of the error. {damaged}, {outputs}, {tmp} are folders.
FAILING = {
    ("verify",): (["--outputs", "{damaged}"], "hcpcs_changes.parquet"),
    ("rebuild",): (["--outputs", "{damaged}"], "damaged"),
    ("changes",): (["2017-01", "--outputs", "{tmp}/o"], "no version yet"),
    ("history",): (["J9999", "--outputs", "{outputs}"], "J9999"),
    ("catalog",): (["--outputs", "{damaged}"], "hcpcs_changes.parquet"),
    ("diff",): (["2025.10.1", "2025.10.9", "--outputs", "{outputs}"], "2025.10.9"),
    ("refresh",): (["--from", "{tmp}/nothing", "--outputs", "{tmp}/o"], "does not exist"),
    ("status",): (["--outputs", "{cut}"], "latest.json"),
    ("versions",): (["--outputs", "{cut}"], "latest.json"),
    ("releases",): (["--outputs", "{tmp}/o"], "no version yet"),
    ("releases", "exclude"): (["2019-01/99", "--reason", "x", "--outputs", "{outputs}"], "not 99"),
    ("releases", "include"): (["1999-01", "--outputs", "{outputs}"], "1999-01"),
    ("findings",): (["--outputs", "{tmp}/o"], "no version yet"),
    ("lookup",): (["J9998", "--outputs", "{outputs}"], "J9998"),
    ("check",): (["{file}", "--outputs", "{tmp}/o"], "no version yet"),
    ("sql", "ddl"): (["--outputs", "{tmp}/o"], "no version yet"),
    ("sql", "views"): (["--dialect", "postgres", "--version-folder", "{tmp}"], "load the version's tables"),
    ("systems",): (["--outputs", "{tmp}/o"], "no version yet"),
    ("sections",): (["--outputs", "{tmp}/o"], "no version yet"),
    ("classify",): (["99213", "--outputs", "{tmp}/o"], "no version yet"),
    ("search",): (["bandage", "--outputs", "{tmp}/o"], "no version yet"),
    ("serve",): (["--outputs", "{tmp}/o"], "no version yet"),
    ("mcp",): (["--outputs", "{tmp}/o"], "no version yet"),
    ("licenses",): (["--outputs", "{tmp}/o"], "no version yet"),
    ("prune",): (["--keep", "1", "--also", "1999.01.1", "--outputs", "{outputs}"], "1999.01.1"),
    ("publish",): (["ftp://nowhere/x", "--outputs", "{outputs}"], "ftp://nowhere/x"),
    ("export",): (["--csv", "{tmp}/o", "--version", "1999.01.1", "--outputs", "{outputs}"], "1999.01.1"),
    ("annotate",): (["{tmp}/nothing.csv", "--code", "c", "--date", "d", "--outputs", "{outputs}"], "nothing.csv"),
    ("watch", "add"): (["Name", "{list}", "--outputs", "{outputs}"], "'Name'"),
    ("watch", "list"): (["--outputs", "{cut}"], "drugs/list.json"),
    ("watch", "remove"): (["nothing", "--outputs", "{outputs}"], "'nothing'"),
    ("watch", "show"): (["nothing", "--outputs", "{outputs}"], "'nothing'"),
    ("ui",): (["--port", "1", "--outputs", "{file}/o"], "{file}"),
}


def test_every_command_has_a_failing_path_here() -> None:
    assert set(commands()) - NEVER_FAIL == set(FAILING)


@pytest.mark.parametrize("command", FAILING, ids=" ".join)
def test_what_fails_exits_with_status_one_and_one_error(
    command: tuple[str, ...], sample: Version, damaged: Outputs, warm: WarmProcess, tmp_path: Path
) -> None:
    cut = tmp_path / "cut"
    cut.mkdir()
    (cut / "latest.json").write_text('{"version": "20')
    (tmp_path / "file").write_text("a file")
    (tmp_path / "list").write_text("J0570\n")
    watched = Outputs(cut).watched / "drugs"
    watched.mkdir(parents=True)
    (watched / "list.json").write_text('{"codes": ["J05')
    arguments, word = FAILING[command]
    names = {
        "damaged": damaged.folder,
        "outputs": sample.outputs.folder,
        "tmp": tmp_path,
        "cut": cut,
        "file": tmp_path / "file",
        "list": tmp_path / "list",
    }
    done = warm.run(*command, *(a.format(**names) for a in arguments))
    out, err = done.stdout.decode(), done.stderr.decode()
    assert done.returncode == 1, err
    assert "Traceback" not in err
    assert word.format(**names) in out + err
    if command != ("verify",):
        assert err.startswith("hcpcs: error: ")


#: The signal and the moment that `make test` tries; the others are slow.
FAST = {(signal.SIGTERM, 1.0)}


def test_a_rebuild_that_differs_exits_with_status_one(tmp_path: Path) -> None:
    program = (
        "import sys, pipeline.refresh.rebuild as r\n"
        "differs = r.RebuildResult('2025.10.1', r.DIFFERENT, ('a file has other content',), {}, ('a', 'b'), None)\n"
        "r.rebuild = lambda *_: differs\n"
        "from hcpcs.cli.main import main\n"
        f"sys.argv = ['hcpcs', 'rebuild', '--outputs', {str(tmp_path)!r}]\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert (done.returncode, done.stderr) == (1, "")
    assert "rebuilt: different" in done.stdout


@pytest.mark.parametrize(
    ("by", "status", "moment"),
    [
        pytest.param(
            by, status, moment, id=f"{by.name}-{moment}", marks=() if (by, moment) in FAST else pytest.mark.slow
        )
        for by, status in ((signal.SIGINT, 130), (signal.SIGTERM, 143))
        for moment in (0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
    ],
)
def test_an_interrupted_refresh_ends_within_two_seconds_and_leaves_no_temporary_folder(
    by: signal.Signals, status: int, moment: float, tmp_path: Path
) -> None:
    outputs, scratch = tmp_path / "outputs", tmp_path / "scratch"
    scratch.mkdir()
    command = [sys.executable, "-m", "hcpcs.cli.main", "refresh", "--sample", "--outputs", str(outputs)]
    environment = os.environ | {"TMPDIR": str(scratch)}
    with subprocess.Popen(command, stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as run:
        time.sleep(moment)
        run.send_signal(by)
        asked = time.monotonic()
        _, err = run.communicate(timeout=30)
        took = time.monotonic() - asked
    assert run.returncode == status, err
    assert took < 2
    assert "Traceback" not in err and err.startswith("hcpcs: "), err
    assert list(scratch.iterdir()) == []
    for version in all_versions(Outputs(outputs)):
        assert verify_deeply(Outputs(outputs).version(version)).ok


def test_a_library_that_catches_the_interrupt_prints_no_traceback() -> None:
    program = (
        "import logging, os, signal, time\n"
        "from hcpcs.cli.process import interrupts_end_the_process\n"
        "with interrupts_end_the_process():\n"
        "    try:\n"
        "        os.kill(os.getpid(), signal.SIGTERM); time.sleep(60)\n"
        "    except BaseException:\n"
        "        logging.getLogger('library').exception('closing')\n"
        "    time.sleep(60)\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert (done.returncode, done.stderr) == (143, "hcpcs: ended by SIGTERM\n")


def test_an_interrupt_that_a_library_raises_by_pythons_name_prints_no_traceback() -> None:
    program = (
        "import sys, threading\n"
        "import hcpcs.cli.main as program\n"
        "def interrupted(*_):\n"
        "    raise KeyboardInterrupt\n"
        "def command(*_):\n"
        "    thread = threading.Thread(target=interrupted); thread.start(); thread.join()\n"
        "    interrupted()\n"
        "program.cli.get_command = command\n"
        "sys.argv = ['hcpcs', 'status']\n"
        "program.main()"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY, check=False)
    assert (done.returncode, done.stderr) == (130, "hcpcs: interrupted\n")


@pytest.mark.slow
def test_a_reader_that_leaves_costs_nothing(tmp_path: Path) -> None:
    notices = tmp_path / "notices"
    posting("2025-01", record("A0001"), record("J1000")).write(tmp_path / "in")
    command = [sys.executable, "-m", "hcpcs.cli.main", "refresh", "--from", str(tmp_path / "in")]
    command += ["--outputs", str(tmp_path / "outputs"), "--notify-command", f"tee {notices}"]
    reading, writing = os.pipe()
    os.close(reading)
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, text=True, cwd=REPOSITORY, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, "")
    assert latest_version(Outputs(tmp_path / "outputs")) is not None
    assert '"published"' in notices.read_text()


def test_a_full_disk_behind_the_output_is_an_error(sample: Version) -> None:
    with Path("/dev/full").open("w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "hcpcs.cli.main", "releases", "--outputs", str(sample.outputs.folder)],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=REPOSITORY,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith("hcpcs: error: ") and "Traceback" not in done.stderr


@pytest.mark.parametrize("closed", ["1", "2", "0 1 2"])
def test_a_command_whose_streams_are_closed_does_its_work(closed: str, sample: Version, tmp_path: Path) -> None:
    (tmp_path / "claims.csv").write_text("code,day\nJ0570,2018-06-30\n")
    shell = f'exec "$@" {" ".join(f"{number}>&-" for number in closed.split())}'
    asked = ["--code", "code", "--date", "day", "--outputs", str(sample.outputs.folder)]
    command = [sys.executable, "-m", "hcpcs.cli.main", "annotate", "claims.csv", "out.parquet", *asked]
    path = {"PYTHONPATH": str(REPOSITORY)}
    done = subprocess.run(["sh", "-c", shell, "sh", *command], cwd=tmp_path, env=os.environ | path, check=False)
    assert done.returncode == 0
    assert pq.read_table(tmp_path / "out.parquet")["code_status_on_date"].to_pylist() == ["valid"]


def test_no_option_takes_an_empty_value(hcpcs: Callable[..., Said]) -> None:
    refused = {}
    for names in commands():
        command: click.Command = cli
        for name in names:
            assert isinstance(command, click.Group)
            command = present(command.get_command(click.Context(command), name))
        for option in command.params:
            if isinstance(option, click.Option) and not option.is_flag:
                said = hcpcs(*names, option.opts[0], "")
                assert (said.status, f"{option.opts[0]} is given an empty value" in said.err) == (2, True), said
                refused[(*names, option.opts[0])] = said
    assert ("refresh", "--outputs") in refused and ("watch", "add", "--outputs") in refused


def test_a_search_for_no_word_is_wrong_usage(hcpcs: Callable[..., Said], sample: Version) -> None:
    said = hcpcs("search", " ", "--outputs", sample.outputs.folder)
    assert (said.status, said.out, "name words of a description" in said.err) == (2, "", True)


@pytest.mark.parametrize("name", ["out.csv", "out.csv.gz", "out.json"])
def test_annotate_makes_no_folder_that_is_named_as_another_kind_of_file(
    name: str, sample: Version, tmp_path: Path, warm: WarmProcess
) -> None:
    (tmp_path / "claims.csv").write_text("code,day\nJ0570,2018-06-30\n")
    asked = ("--code", "code", "--date", "day", "--outputs", sample.outputs.folder)
    done = warm.run("annotate", tmp_path / "claims.csv", tmp_path / name, *asked)
    assert done.returncode == 1 and b"Parquet" in done.stderr and b"Traceback" not in done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ["claims.csv"]
