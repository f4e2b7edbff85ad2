"""Words that a reader must read twice stay out of documentation, messages and table descriptions."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest
from conftest import REPOSITORY

#: Each word with what to write instead.
INSTEAD = {
    "held": "loaded, kept, withheld, in effect",
    "told": "reported",
    "tells?": "reports, states",
    "said": "stated",
    "asked": "requested",
    "came": "arrived",
    "stands?|standing|stood": "is, is current, current",
    "life|lives": "history, validity",
    "addresse?s?": "URL",
    "packed": "compressed",
    "portions?": "batches",
    "posting and revision|passed? on": "revision, redistribute",
    "whose it is|whose they are": "the owner",
}
AVOIDED = re.compile(rf"\b(?:{'|'.join(INSTEAD)})\b", re.IGNORECASE)
#: Sentences in which the word is the right one.
ALLOWED = re.compile(r"address space|IP address|ip_address|address(?:es)? of 169|half.?life|e-?mail address")
PAGES = sorted([REPOSITORY / "README.md", REPOSITORY / "CONTRIBUTING.md", *(REPOSITORY / "docs").rglob("*.md")])
MODULES = sorted(
    p for folder in ("hcpcs", "pipeline", "sources", "schemas") for p in (REPOSITORY / folder).rglob("*.py")
)


def messages(path: Path) -> list[tuple[int, str]]:
    """Line and text of each string with a blank that is no docstring, but for those of commands, and no SQL."""
    tree = ast.parse(path.read_text("utf-8"))
    docstrings = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef) and ast.get_docstring(node) is not None:
            is_help = isinstance(node, ast.FunctionDef) and "command" in " ".join(map(ast.dump, node.decorator_list))
            if not is_help and not (path.parent.name == "schemas" and isinstance(node, ast.ClassDef)):
                docstrings.add(node.body[0].value)  # type: ignore[attr-defined]
    return [
        (node.lineno, node.value)
        for node in ast.walk(tree)
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node not in docstrings
        if " " in node.value.strip() and not re.search(r"\bselect\b|\bfrom \{", node.value)
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(REPOSITORY).as_posix())
def test_pages_use_plain_words(page: Path):
    text = re.sub(r"```.*?```|`[^`\n]*`", lambda code: "\n" * code[0].count("\n"), page.read_text("utf-8"), flags=re.S)
    found = [f"line {n}: {line.strip()}" for n, line in enumerate(text.splitlines(), 1) if is_avoided(line)]
    assert found == []


def test_messages_help_and_table_descriptions_use_plain_words():
    found = [
        f"{path.relative_to(REPOSITORY)}:{line}: {text.strip()[:100]}"
        for path in MODULES
        for line, text in messages(path)
        if is_avoided(text)
    ]
    assert found == []


CATALOG = REPOSITORY / "pipeline" / "catalog"


def words_of_template(text: str) -> str:
    """What a template prints: its text, titles and labels, without Jinja's code and names in ``code``; lines kept."""
    code = r"{#.*?#}|{%.*?%}|{{.*?}}|<code\b.*?</code>"
    text = re.sub(code, lambda found: " " + "\n" * found[0].count("\n"), text, flags=re.S)
    stated = r'\b(?:aria-label|title|placeholder)="([^"]*)"'
    return re.sub(r"<[^>]*>", lambda tag: " ".join(["", *re.findall(stated, tag[0])]) + " ", text)


def words_of_script(text: str) -> str:
    """The texts of a script: strings with a blank; lines kept."""
    strings = r"\"[^\"\n]*\"|`[^`]*`"
    return "\n".join(
        " ".join(re.sub(r"\${.*?}", " ", s) for s in re.findall(strings, line.partition("// ")[0]) if " " in s)
        for line in text.splitlines()
    )


@pytest.mark.parametrize("path", sorted(CATALOG.rglob("*.html")) + sorted(CATALOG.rglob("*.js")), ids=lambda p: p.name)
def test_the_catalog_uses_plain_words(path: Path):
    read = words_of_template if path.suffix == ".html" else words_of_script
    lines = enumerate(read(path.read_text("utf-8")).splitlines(), 1)
    assert [f"line {n}: {' '.join(line.split())}" for n, line in lines if is_avoided(line)] == []


def is_avoided(text: str) -> bool:
    """Whether a word to avoid is in the text."""
    return AVOIDED.search(ALLOWED.sub("", text)) is not None
