"""The command line: every command's help, answers for people and for scripts, exit statuses, where outputs lie."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
import pytest
from conftest import REPOSITORY, Said, Version

from hcpcs.cli.console import print_table
from hcpcs.cli.main import cli
from hcpcs.paths import Outputs

Hcpcs = Callable[..., Said]


def commands(group: click.Group = cli, before: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    """Every command there is, as a person types it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*before, name)
        if isinstance(command, click.Group):
            yield from commands(command, (*before, name))


COMMANDS = list(commands())


def test_the_commands_of_the_design_are_there() -> None:
    asked = {"refresh", "status", "releases", "findings", "lookup", "versions", "ui", "search", "history", "changes"}
    assert asked <= {name for name, *_ in COMMANDS}


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_has_help_with_an_example_of_itself(hcpcs: Hcpcs, command: tuple[str, ...]) -> None:
    said = hcpcs(*command, "--help")
    assert said.status == 0
    assert f"Example: hcpcs {command[0]}" in said.out
    assert hcpcs(*command, "-h").out == said.out


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_command_that_touches_outputs_takes_them_by_option(command: tuple[str, ...]) -> None:
    found: click.Command = cli
    for name in command:
        assert isinstance(found, click.Group)
        found = found.get_command(click.Context(found), name) or cli
    options = {o for p in found.params for o in p.opts}
    for option in found.params:
        if isinstance(option, click.Option):
            assert option.help, f"{' '.join(command)} {option.opts[0]} says nothing of itself"
    if "--outputs" in options:
        (outputs,) = (p for p in found.params if "--outputs" in p.opts)
        assert outputs.envvar == "HCPCS_OUTPUTS"


#: Questions of which each answers in JSON, on the published sample.
QUESTIONS = [
    ("status",),
    ("releases",),
    ("versions",),
    ("findings",),
    ("findings", "2019-01"),
    ("findings", "--severity", "warning"),
    ("lookup", "J0570"),
    ("lookup", "A1"),
    ("lookup", "J0570", "--on", "2018-06-30"),
    ("search", "bandage"),
    ("history", "J0570"),
    ("changes", "2017-01"),
    ("changes", "2017-01", "--disagreeing"),
]


@pytest.mark.parametrize("question", QUESTIONS, ids=" ".join)
def test_every_question_is_answered_in_words_and_in_json(
    hcpcs: Hcpcs, sample: Version, question: tuple[str, ...]
) -> None:
    told = hcpcs(*question, "--outputs", sample.outputs.folder)
    assert (told.status, told.err) == (0, "") and told.out.strip()
    asked = hcpcs(*question, "--json", "--outputs", sample.outputs.folder)
    assert (asked.status, asked.err) == (0, "")
    assert json.loads(asked.out) not in (None, {})


def answer(hcpcs: Hcpcs, sample: Version, *question: str) -> Any:
    return json.loads(hcpcs(*question, "--json", "--outputs", sample.outputs.folder).out)


def test_status_names_the_version_and_the_releases_loaded(hcpcs: Hcpcs, sample: Version) -> None:
    status = answer(hcpcs, sample, "status")
    assert (status["version"], status["is_sample"]) == (sample.id, True)
    assert status["releases_loaded"] == list(sample.refreshed.read)
    assert (status["missing"], status["excluded"]) == ({}, {})
    assert "sample" in hcpcs("status", "--outputs", sample.outputs.folder).out


def test_releases_lists_every_revision_and_which_stands(hcpcs: Hcpcs, sample: Version) -> None:
    rows = answer(hcpcs, sample, "releases")["loaded"]
    assert [(r["revision"], r["is_current"]) for r in rows if r["release_id"] == "2025-10"] == [(1, False), (2, True)]
    assert len(rows) == 9


def test_findings_of_latest_are_of_the_newest_release(hcpcs: Hcpcs, sample: Version) -> None:
    newest = max(row["release_id"] for row in answer(hcpcs, sample, "findings"))
    for named in ("latest", sample.id):
        rows = answer(hcpcs, sample, "findings", named)
        assert rows and rows == answer(hcpcs, sample, "findings", newest), named


def test_findings_of_one_release_are_of_that_release(hcpcs: Hcpcs, sample: Version) -> None:
    rows = answer(hcpcs, sample, "findings", "2012-01")
    assert {r["release_id"] for r in rows} == {"2012-01"}
    assert {"stray_first_character", "tab_in_line"} <= {r["finding"] for r in rows}


def test_a_code_is_found_in_any_case_and_an_unknown_one_is_refused(hcpcs: Hcpcs, sample: Version) -> None:
    assert answer(hcpcs, sample, "lookup", " j0570 ") == answer(hcpcs, sample, "lookup", "J0570")
    said = hcpcs("lookup", "J9998", "--outputs", sample.outputs.folder)
    assert said.status == 1 and said.out == ""
    assert "J9998" in said.err and "Traceback" not in said.err


def test_versions_lists_each_with_what_it_holds(hcpcs: Hcpcs, sample: Version) -> None:
    (row,) = answer(hcpcs, sample, "versions")
    assert (row["version"], row["is_latest"], row["releases"]) == (sample.id, True, 8)


@pytest.mark.parametrize(
    "arguments",
    [
        ("no-such-command",),
        ("status", "--no-such-option"),
        ("lookup",),
        ("findings", "--severity", "dreadful"),
        ("refresh", "--release", "2019"),
        ("refresh", "--release", "2019-13", "--from", "x"),
        ("refresh", "--sample", "--from", "x"),
        ("lookup", "J0570", "--on", "yesterday"),
    ],
    ids=" ".join,
)
def test_wrong_usage_is_status_two_with_the_usage(hcpcs: Hcpcs, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    outputs = () if arguments == ("no-such-command",) else ("--outputs", tmp_path / "outputs")
    said = hcpcs(*arguments, *outputs)
    assert said.status == 2
    assert said.out == "" and "Usage:" in said.err
    assert not (tmp_path / "outputs").exists()


@pytest.mark.parametrize("question", [("releases",), ("findings",), ("lookup", "J0570"), ("history", "J0570")])
def test_a_question_before_the_first_version_says_how_to_make_one(
    hcpcs: Hcpcs, tmp_path: Path, question: tuple[str, ...]
) -> None:
    said = hcpcs(*question, "--outputs", tmp_path)
    assert said.status == 1
    assert "has no version yet" in said.err and "hcpcs refresh --from DIR" in said.err


def test_status_before_the_first_version_is_no_error(hcpcs: Hcpcs, tmp_path: Path) -> None:
    said = hcpcs("status", "--outputs", tmp_path)
    assert said.status == 0 and "nothing is published" in said.out
    assert json.loads(hcpcs("status", "--json", "--outputs", tmp_path).out)["version"] is None


def test_outputs_come_from_the_environment_unless_the_option_says_otherwise(
    hcpcs: Hcpcs, sample: Version, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HCPCS_OUTPUTS", str(sample.outputs.folder))
    assert json.loads(hcpcs("status", "--json").out)["version"] == sample.id
    assert json.loads(hcpcs("status", "--json", "--outputs", tmp_path).out)["version"] is None


def test_a_refresh_that_finds_nothing_new_says_so(hcpcs: Hcpcs, own_sample: Outputs, sample: Version) -> None:
    said = hcpcs("refresh", "--sample", "--outputs", own_sample.folder)
    assert said.status == 0 and f"nothing new: version {sample.id} is current" in said.out
    asked = json.loads(hcpcs("refresh", "--sample", "--json", "--outputs", own_sample.folder).out)
    assert (asked["version"], asked["is_new"], asked["new_zips"]) == (sample.id, False, 0)


def test_asking_for_help_imports_nothing_heavy() -> None:
    heavy = ("dagster", "polars", "pandera", "pyarrow", "fastexcel", "numpy", "rich")
    code = f"import sys, hcpcs.cli.main; print(sorted(set({heavy!r}) & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.parametrize(
    "question",
    [
        ["lookup", "J0570"],
        ["lookup", "J0570", "--on", "2018-06-30"],
        ["lookup", "99213"],
        ["history", "J0570"],
        ["search", "sample", "rod"],
        ["check", "-"],
        ["changes", "latest"],
        ["classify", "J0570"],
    ],
    ids=" ".join,
)
def test_a_question_imports_only_what_it_takes(sample: Version, question: list[str]) -> None:
    heavy = {"dagster", "pandera", "polars", "fastexcel", "pyarrow.dataset", "tabulate", "pandas"}
    heavy |= {"pyarrow.compute"} if question[0] != "classify" else set()
    code = (
        "import sys; from hcpcs.cli.main import main\n"
        f"sys.argv = ['hcpcs', *{question!r}, '--outputs', {str(sample.outputs.folder)!r}]\n"
        f"import atexit; heavy = {heavy!r}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr)); main()"
    )
    run = [sys.executable, "-c", code]
    done = subprocess.run(run, capture_output=True, text=True, cwd=REPOSITORY, check=True, input="J0570 99213 25 A0428")
    assert done.stdout.strip()
    assert done.stderr.strip() == "[]"


def test_a_table_is_as_wide_as_its_texts_look_and_loses_none_of_them(capsys: pytest.CaptureFixture[str]) -> None:
    long = "a sentence that is wrapped " * 8 + "x" * 75
    print_table(
        ["member", "what"], [["編碼.txt", "cafe\u0301"], ["plain.txt", long], [None, False], ["two\nlines", ""]]
    )
    printed = capsys.readouterr().out
    lines = printed.splitlines()
    start = lines[0].index("what")
    (ideographs,) = (line for line in lines if "編碼" in line)
    assert ideographs.index("cafe") == start - 2 and lines[1][start:].startswith("--")
    assert "".join(printed.split()).count("x" * 75) == 1 and "no" in printed.split()
    assert max(map(len, lines)) <= 80 and lines[1].split() == [run for run in lines[1].split() if set(run) == {"-"}]


def test_a_fault_in_the_program_is_not_hidden_as_bad_data(hcpcs: Hcpcs, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise KeyError("a fault")

    monkeypatch.setattr("hcpcs.version.latest_version", broken)
    with pytest.raises(KeyError):
        hcpcs("status")


def test_a_refresh_with_nothing_new_imports_only_what_it_takes(own_sample: Outputs) -> None:
    code = (
        "import sys; from hcpcs.cli.main import main\n"
        f"sys.argv = ['hcpcs', 'refresh', '--offline', '--outputs', {str(own_sample.folder)!r}]\n"
        "import atexit; heavy = {'dagster', 'sqlalchemy', 'httpx2', 'xlsxwriter', 'pyarrow.compute', 'sqlglot'}\n"
        "atexit.register(lambda: print(sorted(heavy & set(sys.modules)), file=sys.stderr)); main()"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=REPOSITORY, check=True)
    assert "nothing new" in done.stdout
    assert done.stderr.splitlines()[-1] == "[]"


def test_the_list_of_commands_imports_no_command(tmp_path: Path) -> None:
    code = (
        "import sys; sys.argv = ['hcpcs', '--help']\n"
        "from hcpcs.cli.main import main\n"
        "try: main()\n"
        "except SystemExit as done: assert not done.code\n"
        "heavy = {'pyarrow', 'numpy', 'polars', 'dagster', 'pandera', 'pipeline', 'sources', 'schemas'}\n"
        "sys.exit(str(sorted(heavy & set(sys.modules))) if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "lookup" in done.stdout and "refresh" in done.stdout


def test_without_the_pipeline_its_commands_say_where_it_is(tmp_path: Path) -> None:
    code = (
        "import sys\n"
        "class Absent:\n"
        "    def find_spec(self, name, *_):\n"
        "        if name.partition('.')[0] in ('pipeline', 'sources', 'schemas'):\n"
        "            raise ModuleNotFoundError(f'No module named {name!r}', name=name)\n"
        "sys.meta_path.insert(0, Absent())\n"
        "sys.argv = ['hcpcs', 'refresh']\n"
        "from hcpcs.cli.main import main\n"
        "main()"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 1
    assert done.stderr.startswith("hcpcs: error: `hcpcs refresh` belongs to the pipeline")
    assert "Traceback" not in done.stderr


def test_a_name_that_is_too_wide_for_a_table_is_broken_behind_an_underscore(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("COLUMNS", "40")
        print_table(["what", "why"], [["crosswalk_target_no_code", "a text that takes more than the half of it"]])
    words = {line.split("  ")[0] for line in capsys.readouterr().out.splitlines()[2:]}
    assert words - {""} == {"crosswalk_target_", "no_code"}
