"""What may be kept: the ``keep`` rows of the license policy, whose conditions are tested on a token in its text."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache

import polars as pl

from pipeline.license_gate.tokens import LETTER, TOKEN

_PLACE_BEFORE = re.compile(r"\b(?:lines?|rows?)\s+$", re.IGNORECASE)


def policy_of_quotes(policy: pl.DataFrame, shown: Mapping[str, Iterable[str]]) -> pl.DataFrame:
    """The policy, and for each file of ``shown`` what the columns (``table.column``) that it quotes may keep."""
    keep = policy.filter(pl.col("action") == "keep")

    @cache  # thousands of pages quote the same columns
    def kept(columns: tuple[str, ...]) -> list[tuple[str, str]]:
        of_columns = keep.filter(pl.format("{}.{}", "table", "column").is_in(columns)).select("condition", "reason")
        return of_columns.unique("condition", keep="first", maintain_order=True).rows()

    rows = [
        {"table": file, "column": "*", "condition": condition, "action": "keep", "reason": reason}
        for file, columns in shown.items()
        for condition, reason in kept(tuple(columns))
    ]
    return pl.concat([policy, pl.DataFrame(rows, schema=policy.schema)])


#: In the policy of an export: every file that is no published table.
ANY_FILE = "*"


@dataclass(frozen=True, slots=True)
class Cell:
    """A text in its place, and the flags of the row it is in: what a condition of a keep row sees of a token."""

    table: str
    column: str
    text: str
    is_foreign: bool = False
    cites_cpt: bool | None = None
    field: str | None = None


def _is_flagged_citation(cell: Cell, token: re.Match[str]) -> bool:
    """A number within words that are CMS's own, in a row that says ``cites_cpt``."""
    rest = cell.text[: token.start()] + cell.text[token.end() :]
    return not cell.is_foreign and cell.cites_cpt is not False and bool(LETTER.search(TOKEN.sub("", rest)))


def _is_code_alone(cell: Cell, token: re.Match[str]) -> bool:
    """The bare code, no word beside it."""
    return token.group(0) == cell.text


def _is_reference_number(cell: Cell, token: re.Match[str]) -> bool:
    """The number of a section of a law or a manual: no word of four letters beside it."""
    if cell.is_foreign or re.search(r"[A-Za-z]{4}", cell.text):
        return False
    return cell.field is None or cell.field.endswith(("_ref", "_refs"))


def _is_quoted_description(cell: Cell, token: re.Match[str]) -> bool:
    """A flagged citation in a column that quotes a description of CMS."""
    return (cell.field or "").endswith("_description") and _is_flagged_citation(cell, token)


def _is_line_number(cell: Cell, token: re.Match[str]) -> bool:
    """The number of a line or row, as our own messages name places."""
    return bool(_PLACE_BEFORE.search(cell.text[: token.start()]))


def _never(cell: Cell, token: re.Match[str]) -> bool:
    return False


#: Conditions of keep rows for tokens; ``row_of_ama_or_ada`` keeps words in a row of another owner, never a token.
KEEP_CONDITIONS: dict[str, Callable[[Cell, re.Match[str]], bool]] = {
    "cites_cpt_or_cdt": _is_flagged_citation,
    "names_cpt_or_cdt_code": _is_code_alone,
    "names_section_of_rules": _is_reference_number,
    "names_a_line": _is_line_number,
    "cites_in_description": _is_quoted_description,
    "row_of_ama_or_ada": _never,
}


class Policy:
    """The keep rows, by table (or file) and column; of a file, the column is a pattern."""

    def __init__(self, policy: pl.DataFrame, tables: frozenset[str] = frozenset()) -> None:
        #: Published tables that an export may have.
        self.tables = tables
        self._keep: dict[str, dict[str, list[str]]] = {}
        for row in policy.filter(pl.col("action") == "keep").iter_rows(named=True):
            if row["condition"] not in KEEP_CONDITIONS:
                raise ValueError(f"license policy: the gate knows no condition {row['condition']!r} to keep by")
            self._keep.setdefault(row["table"], {}).setdefault(row["column"], []).append(row["condition"])

    def has_rules_for(self, name: str) -> bool:
        """Whether a file or table goes by rows of its own."""
        return name in self._keep

    def conditions(self, table: str, column: str) -> list[str]:
        """The conditions by which a column of a table or file may keep something."""
        columns = self._keep.get(table)
        found = columns.get(column) if columns else None
        if found is None:
            patterns = columns or ({} if table in self.tables else self._keep.get(ANY_FILE, {}))
            found = [c for pattern, several in patterns.items() if fnmatchcase(column, pattern) for c in several]
        return found

    def keeps(self, cell: Cell, token: re.Match[str]) -> str | None:
        """The condition under which the token may stand there, or None."""
        for condition in self.conditions(cell.table, cell.column):
            if KEEP_CONDITIONS[condition](cell, token):
                return condition
        return None
