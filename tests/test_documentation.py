"""The documentation says what is there: reference pages, findings, links, the README's queries and commands."""

from __future__ import annotations

import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import duckdb
import pytest

from hcpcs.cli.commands import COMMANDS

REPOSITORY = Path(__file__).resolve().parent.parent

DOCS = REPOSITORY / "docs"
README = (REPOSITORY / "README.md").read_text("utf-8")
PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *DOCS.rglob("*.md")])
GENERATED = ("commands.md", "tables.md", "findings.md")


@pytest.mark.parametrize("page", ["commands", "tables", "findings"])
def test_the_reference_pages_are_current(page):
    """Made in a process of its own, as a person makes them: other tests may have changed what options say."""
    code = f"import sys; from pipeline.reference import {page}_page as made; sys.stdout.write(made())"
    made = subprocess.run([sys.executable, "-c", code], cwd=REPOSITORY, capture_output=True, text=True, check=True)
    assert (DOCS / f"{page}.md").read_text("utf-8") == made.stdout, "run `python -m pipeline.reference`"


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_between_pages_lead_somewhere(page: Path):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text("utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", [p for p in PAGES if p.name not in GENERATED], ids=lambda p: p.name)
def test_a_page_is_read_in_one_sitting(page: Path):
    lines = len(page.read_text("utf-8").splitlines())
    assert lines <= (100 if page.name == "README.md" else 200), f"{page.name} has {lines} lines: split it"


def test_the_extras_of_the_wheel_are_on_the_page_about_installing_it():
    project = tomllib.loads((REPOSITORY / "pyproject.toml").read_text("utf-8"))["project"]
    (extras,) = re.findall(r"^- Extras of the wheel: (.*?)\.$", (DOCS / "install.md").read_text("utf-8"), re.M | re.S)
    of_users = set(project["optional-dependencies"]) - {"pipeline"}  # a clone, not the wheel, has what needs it
    assert set(re.findall(r"`([\w-]+)`", extras)) == of_users


def test_the_index_leads_to_every_page():
    index = (DOCS / "index.md").read_text("utf-8") + README
    linked = set(re.findall(r"\]\((?:docs/)?([^)#]+\.md)", index))
    pages = {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md")}
    assert {p for p in pages - linked if not p.startswith("decisions/")} == {"index.md"} - linked


def test_every_command_is_in_the_readme_or_the_commands_page():
    text = README + (DOCS / "commands.md").read_text("utf-8")
    for name in COMMANDS:
        assert f"hcpcs {name}" in text


def test_every_command_has_an_example_that_is_a_command():
    for name, place in COMMANDS.items():
        command = place.load(name)
        assert f"Example: hcpcs {name}" in (command.help or ""), name
        assert place.help == command.get_short_help_str(200), name


def test_the_readmes_query_has_the_result_that_it_states(sample):
    ((query, header, stated),) = re.findall(r"```sql\n(.*?)```\n\n(\|[^\n]*\n)\|[-|]+\n((?:\|[^\n]*\n)+)", README, re.S)
    found = duckdb.connect().execute(query.replace("outputs/sample", str(sample.outputs.folder)))
    assert [d[0] for d in found.description] == header.strip("| \n").split(" | ")
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in stated.splitlines()]
    assert rows == [["" if v is None else str(v) for v in row] for row in found.fetchall()]


def test_the_readmes_commands_run_from_top_to_bottom(hcpcs, own_sample, tmp_path, monkeypatch):
    blocks = "".join(re.findall(r"```sh\n(.*?)```", README, re.S)).replace("\\\n", " ")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HCPCS_OUTPUTS", str(own_sample.folder))
    ran = []
    for line in blocks.splitlines():
        if line.startswith("printf"):
            subprocess.run(["sh", "-c", line], check=True)
        command = shlex.split(line, comments=True)
        if command[:1] == ["hcpcs"] and command[1] != "refresh":  # it needs a network, or releases
            said = hcpcs(*command[1:])
            assert (said.status, said.err) == (0, ""), line
            ran.append(command[1])
    assert len(ran) > 6 and {"lookup", "annotate", "catalog"} <= set(ran)


def test_the_readmes_python_runs_with_the_result_that_it_states(sample):
    (snippet,) = re.findall(r"```python\n(.*?)\n# ([^\n]*)\n```", README, re.S)
    *statements, last = snippet[0].replace("outputs/sample", str(sample.outputs.folder)).strip().splitlines()
    names: dict = {}
    exec("\n".join(statements), names)
    assert str(eval(last, names)) == snippet[1]


def test_spelling_is_american():
    british = re.compile(
        r"\b(licence|catalogue|anaesthesia|neighbour|behaviour|colour|normalis|recognis|centre)\w*", re.I
    )
    places = [
        p
        for folder in ("hcpcs", "sources", "schemas", "pipeline", "docs", "tests")
        for p in (REPOSITORY / folder).rglob("*")
    ]
    for path in [*PAGES, *places]:
        if path.suffix in (".py", ".md", ".toml", ".csv") and path.name != "test_documentation.py":
            found = british.search(path.read_text("utf-8"))
            assert found is None, f"{path.relative_to(REPOSITORY)}: {found and found[0]}"
