"""Who may import whom, open sockets and read the environment: shown by the syntax of every module, run or not."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Set
from functools import cache
from itertools import chain
from pathlib import Path

import pytest
from conftest import REPOSITORY

PACKAGES = ("hcpcs", "sources", "schemas", "pipeline")
MODULES = sorted(p for package in PACKAGES for p in (REPOSITORY / package).rglob("*.py"))

#: Standard and third-party modules that open a connection.
OPENS_SOCKETS = {"socket", "ssl", "http", "ftplib", "smtplib", "asyncio", "httpx", "httpx2", "requests", "aiohttp"}
OPENS_SOCKETS |= {"urllib3", "urllib.request", "xmlrpc"}
READS_ENVIRONMENT = {"hcpcs/__init__.py", "hcpcs/cli/main.py"}
READS_ENVIRONMENT |= {"pipeline/definitions.py", "pipeline/commands/refresh.py", "pipeline/commands/ui.py"}


def place(path: Path) -> str:
    return path.relative_to(REPOSITORY).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text("utf-8"), str(path))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it: at the top, in functions, for types alone."""
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{place(path)}: imports are absolute"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def is_for_types(node: ast.stmt) -> bool:
    return isinstance(node, ast.If) and ast.unparse(node.test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def module_name(path: Path) -> str:
    return place(path).removesuffix(".py").replace("/", ".").removesuffix(".__init__")


def modules_it_runs(path: Path, modules: Set[str]) -> set[str]:
    """Our modules that a module imports when it runs, at the top or in functions, or finds by a name in quotes."""
    found = set()
    pending: list[ast.AST] = [tree(path)]
    while pending:
        node = pending.pop()
        pending += [child for child in ast.iter_child_nodes(node) if not is_for_types(child)]
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found |= {node.module or "", *(f"{node.module}.{alias.name}" for alias in node.names)}
        elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("import_module", "importlib.import_module"):
            found |= {a.value for a in node.args if isinstance(a, ast.Constant)}
    return found & modules


def circles(edges: dict[str, set[str]]) -> list[set[str]]:
    """Every set of modules that reach one another."""
    reached: dict[str, set[str]] = {}
    for start in edges:
        seen: set[str] = set()
        pending = [start]
        while pending:
            new = edges[pending.pop()] - seen
            seen |= new
            pending += new
        reached[start] = seen
    found = [{other for other in reached[one] if one in reached[other]} for one in edges if one in reached[one]]
    return [circle for number, circle in enumerate(found) if circle not in found[:number]]


def test_the_license_gate_shares_no_code_with_what_it_checks() -> None:
    gate = [path for path in MODULES if place(path).startswith("pipeline/license_gate/")]
    ours = {name for path in gate for name in imports(path) if name.startswith(PACKAGES[1:])}
    assert ours and all(name.startswith("pipeline.license_gate") for name in ours)


def test_no_modules_import_one_another_in_a_circle() -> None:
    names = {module_name(path) for path in MODULES}
    # A package's own file is imported with each module in it, and imports of its modules are no circle by that.
    edges = {module_name(path): modules_it_runs(path, names) - {module_name(path)} for path in MODULES}
    assert sum(map(len, edges.values())) > len(names)
    assert [sorted(circle) for circle in circles(edges)] == []


def test_there_are_modules_of_all_packages() -> None:
    assert {place(p).split("/")[0] for p in MODULES} == set(PACKAGES)


@pytest.mark.parametrize(
    ("package", "forbidden"),
    [
        ("hcpcs", {"dagster", "schemas", "sources", "pipeline"}),
        ("sources", {"dagster", "pipeline"}),
        ("schemas", {"dagster", "sources", "pipeline"}),
    ],
)
def test_the_packages_below_the_pipeline_import_none_but_hcpcs(package: str, forbidden: set[str]) -> None:
    broken = [
        f"{place(path)} imports {name}"
        for path in MODULES
        if place(path).startswith(f"{package}/") and not place(path).startswith("hcpcs/cli/")  # it finds the pipeline
        for name in imports(path)
        if name.split(".")[0] in forbidden
    ]
    assert broken == []


def test_no_module_imports_pandas_at_run_time() -> None:
    assert [place(p) for p in MODULES if any(name.split(".")[0] == "pandas" for name in imports(p))] == []


def test_only_sources_opens_sockets() -> None:
    broken = [
        f"{place(path)} imports {name}"
        for path in MODULES
        if not place(path).startswith("sources/")
        for name in imports(path)
        if name in OPENS_SOCKETS or name.split(".")[0] in OPENS_SOCKETS
    ]
    assert broken == []


def test_the_environment_is_read_in_definitions_and_the_command_line_alone() -> None:
    def reads(path: Path) -> bool:
        return any(
            isinstance(node, ast.Attribute) and node.attr in ("environ", "getenv", "environb")
            for node in ast.walk(tree(path))
        ) or any(name in ("os.environ", "os.getenv") for name in imports(path))

    assert {place(p) for p in MODULES if reads(p)} <= READS_ENVIRONMENT


def test_nothing_is_validated_by_assert() -> None:
    """`python -O` takes assertions out; what must hold is an error of its own."""
    asserting = [f"{place(p)}:{n.lineno}" for p in MODULES for n in ast.walk(tree(p)) if isinstance(n, ast.Assert)]
    assert asserting == []


def test_every_public_error_is_a_refusal_with_one_base() -> None:
    """What the command line prints as one line derives from HcpcsError, so that no refusal ends in a traceback."""
    bases: dict[str, list[str]] = {}
    for path in MODULES:
        for node in ast.walk(tree(path)):
            if isinstance(node, ast.ClassDef):
                bases[node.name] = [ast.unparse(base).rpartition(".")[2] for base in node.bases]

    def is_error(name: str) -> bool:
        return name in ("Exception", "BaseException") or any(is_error(base) for base in bases.get(name, ()))

    def is_refusal(name: str) -> bool:
        return name == "HcpcsError" or any(is_refusal(base) for base in bases.get(name, ()))

    others = {name for name in bases if is_error(name) and not is_refusal(name) and not name.startswith("_")}
    # A fault of this program's own, and the end that a signal asks for.
    assert others == {"ProgramFault", "Interrupted"}


def test_only_the_command_line_prints_and_exits() -> None:
    def speaks(path: Path) -> bool:
        return any(
            isinstance(node, ast.Call)
            and (
                (isinstance(node.func, ast.Name) and node.func.id in ("print", "exit", "quit"))
                or (isinstance(node.func, ast.Attribute) and ast.unparse(node.func) in ("sys.exit", "click.echo"))
            )
            for node in ast.walk(tree(path))
        )

    talkers = {place(p) for p in MODULES if speaks(p)}
    assert all(p.startswith(("hcpcs/cli/", "pipeline/commands/")) for p in talkers), talkers


def test_modules_are_named_after_what_they_are() -> None:
    assert [place(p) for p in MODULES if {"utils", "helpers", "common"} & set(p.with_suffix("").parts)] == []


def test_every_module_opens_by_saying_what_belongs_in_it() -> None:
    silent = [place(p) for p in MODULES if not ast.get_docstring(tree(p)) and p.read_text("utf-8").strip()]
    assert silent == []


def test_assets_are_defined_without_deferred_annotations() -> None:
    """Dagster fails where `context` is annotated and annotations are text."""
    assets = [p for p in MODULES if place(p).startswith("pipeline/orchestration/assets/")]
    assert len(assets) >= 3
    assert [place(p) for p in assets if "__future__" in set(imports(p))] == []


def test_no_file_names_a_machines_path_or_the_host_of_a_package_index() -> None:
    # Put together from parts: this file must pass its own test.
    words = ["/" + "work/", "/" + "tmp/", "/" + "home/", "/" + "Users/", "pypi" + ".org", "pythonhosted" + ".org"]
    pattern = re.compile(r"(?<![\w.])(?:" + "|".join(map(re.escape, words)) + r")|(?:--)?(?:extra-)?index-url")
    ours = [p for p in REPOSITORY.iterdir() if not p.name.startswith(".") or p.name == ".ci"]
    texts = [
        p
        for p in chain(ours, *(top.rglob("*") for top in ours if top.name != "outputs"))
        if p.is_file()
        and p.suffix in (".py", ".toml", ".md", ".txt", ".lock", ".csv", ".json", ".yaml", ".yml", ".cff", "")
        and not {"__pycache__", "node_modules"} & set(p.relative_to(REPOSITORY).parts[:-1])
        and not any(part.startswith(".") and part != ".ci" for part in p.relative_to(REPOSITORY).parts)
        and p != Path(__file__)
    ]
    assert len(texts) > len(MODULES)
    found = []
    for path in texts:
        for number, line in enumerate(path.read_text("utf-8", errors="replace").splitlines(), 1):
            if pattern.search(line):
                found.append(f"{place(path)}:{number}: {line.strip()[:80]}")
    assert found == []
