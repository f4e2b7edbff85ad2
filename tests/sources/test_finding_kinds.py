"""Every finding is of a registered kind, with one of its severities: read from the code, since few runs make all."""

from __future__ import annotations

import ast
from collections.abc import Iterator

from conftest import REPOSITORY

from schemas.hcpcs_findings import SEVERITIES
from sources.finding_kinds import KINDS


def calls(function: str) -> Iterator[tuple[str, ast.Call]]:
    for folder in ("sources", "pipeline"):
        for path in sorted((REPOSITORY / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if isinstance(node, ast.Call) and ast.unparse(node.func) == function:
                    yield f"{path.relative_to(REPOSITORY)}:{node.lineno}", node


def texts(node: ast.expr) -> set[str]:
    """What an expression may give, as far as it says: a text, or one of two."""
    if isinstance(node, ast.IfExp):
        return texts(node.body) | texts(node.orelse)
    return {node.value} if isinstance(node, ast.Constant) and isinstance(node.value, str) else set()


def test_findings_are_made_by_their_kind_alone():
    assert [place for place, _ in calls("Finding")] == []


def test_every_kind_and_severity_in_the_code_is_registered():
    unknown, stated = [], set()
    for place, call in calls("Finding.of"):
        kinds = texts(call.args[0])
        stated |= kinds
        unknown += [f"{place}: {kind}" for kind in kinds - set(KINDS)]
        severities = {s for k in call.keywords if k.arg == "severity" for s in texts(k.value)}
        for kind in kinds & set(KINDS):
            known = {KINDS[kind].severity, KINDS[kind].also}
            unknown += [f"{place}: {kind} of severity {severity}" for severity in severities - known]
    assert unknown == []
    assert len(stated) > 50


def test_every_kind_has_a_severity_that_there_is_and_a_meaning():
    assert {kind.severity for kind in KINDS.values()} == {*SEVERITIES}
    assert {kind.also for kind in KINDS.values()} <= {"", *SEVERITIES}
    assert all(kind.meaning and kind.where for kind in KINDS.values())


def test_every_registered_kind_is_found_somewhere():
    words = {
        node.value
        for folder in ("sources", "pipeline")
        for path in (REPOSITORY / folder).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert set(KINDS) - words == set()
