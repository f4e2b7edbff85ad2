"""CMS's transaction reports: for each record of a release, its action in words. Not what changed: CMS's word on it."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

import polars as pl

from schemas.contract import schema_of
from schemas.hcpcs_transactions import HcpcsTransactions
from sources.errors import MemberError
from sources.findings import Finding
from sources.side_files.tables import (
    Sheet,
    Table,
    coded_cells,
    header_findings,
    is_workbook,
    sha256_of,
    sheets,
    table_in,
    tables,
    tidy,
    words_for,
)
from sources.side_files.twins import disagreements

#: Columns of a transaction report, in order.
TRANSACTION_SCHEMA = schema_of(HcpcsTransactions, without=("release_id",))
TWIN_FIELDS = ("action_code", "short_description", "long_description")

#: What is left of CMS's words for an action, less those that carry nothing, and the action code they stand for.
_ACTIONS = {frozenset(words.split()): code for code, words in words_for("action").items()}
_CARRY_NOTHING = {"change", "in", "desc", "description"}
_JOIN = {"and", "both"}
_IN_BRACKETS = {"betos", "or", "type", "of", "service", "tos"}
_VOCABULARY = set().union(*_ACTIONS) | _CARRY_NOTHING | _JOIN | _IN_BRACKETS
#: A key lists some ten letters; a sheet of more rows than this is a report.
_MOST_ROWS_OF_KEY = 60
_SYNONYMS = {"miscellaneous": "misc", "added": "add", "discontinue": "discontinued"}


@cache
def action_code_from(words: str, *, is_cut: bool = False) -> str | None:
    """The action code that CMS's words stand for ("Long Description Change" is C); None for words that are not known.

    With ``is_cut`` the last word may be the beginning of one; where that leaves a choice, there is no code.
    """
    tokens = _tokens(words)
    if not tokens:
        return None
    if is_cut and tokens[-1] not in _VOCABULARY:
        ends = {_SYNONYMS.get(w, w) for w in _VOCABULARY | _SYNONYMS.keys() if w.startswith(tokens[-1])}
        if len(ends - _CARRY_NOTHING) > 1 or (ends & _CARRY_NOTHING and ends - _CARRY_NOTHING) or not ends:
            return None
        tokens[-1] = ends.pop()
    if tokens[-1] in _JOIN:
        return None
    left = frozenset(tokens) - _CARRY_NOTHING - _JOIN
    if "misc" in left:
        left -= _IN_BRACKETS
    return _ACTIONS.get(left)


def _tokens(words: str) -> list[str]:
    found = re.findall(r"[a-z]+", words.lower().replace("-", "").replace("&", " and "))
    return [_SYNONYMS.get(w, w) for w in found]


def read_transactions(member: str, data: bytes) -> tuple[pl.DataFrame, list[Finding]]:
    """Read a transaction report: one row per line, with the columns of ``TRANSACTION_SCHEMA``, in the member's order.

    A workbook gives the same lines on two sheets, by code and by action: the first is read, the others are compared.
    Raises ``MemberError`` for a member that holds no such table.
    Source: the transaction reports of 2016 to 2025; the workbook's own key of action codes, where it has one.
    """
    read_sheets = sheets(member, data) if is_workbook(data) else []
    found = [t for s in read_sheets if (t := table_in(s)) is not None] if read_sheets else tables(member, data)
    found = [t for t in found if "action" in t.columns and not t.is_code_file]
    if not found:
        raise MemberError(
            f"{member} is no transaction report: no row has a heading for the code beside one for the action"
        )
    key = _key_of(read_sheets)
    findings = header_findings(member, found[0])
    findings.extend(_key_findings(member, key))
    frame = _read_table(member, data, found[0], key, findings)
    if not frame.height:
        raise MemberError(f"{member} is no transaction report: no line below its header begins with a code")
    for other in found[1:]:
        if _cells_in_order(other).equals(_cells_in_order(found[0])):
            continue  # most often: the same rows, sorted otherwise
        again = _read_table(member, data, other, key, [])
        findings.extend(
            disagreements(
                frame, again, ("kind", "code", "number"), TWIN_FIELDS, f"sheet {other.name!r}", member, other.is_cut
            )
        )
    return frame, findings


def _cells_in_order(table: Table) -> pl.DataFrame:
    """What the rows of a table say under its headings, in an order that is the same however they are sorted."""
    return table.cells.select(table.cell(name).fill_null("").alias(name) for name in table.columns).sort(pl.all())


def _read_table(
    member: str, data: bytes, table: Table, key: dict[frozenset[str], str], findings: list[Finding]
) -> pl.DataFrame:
    lines = coded_cells(member, table, findings)
    lacking = [name for name in ("short_description", "long_description") if name not in lines.columns]
    lines = lines.with_columns(pl.col("action").fill_null(""), *(pl.lit(None, pl.String).alias(n) for n in lacking))
    words = {cell: " ".join(cell.split()) for cell in lines["action"].unique()}
    actions = {
        stated: action_code_from(stated, is_cut=table.is_cut) or key.get(frozenset(_tokens(stated)))
        for stated in words.values()
    }
    lines = _numbered(
        lines.with_columns(pl.col("action").replace(words).alias("action_text")).with_columns(
            pl.col("action_text").replace(actions).alias("action_code")
        )
    )
    is_odd = pl.col("action_code").is_null() | ~pl.col("is_new") | (pl.col("number") > 1)
    for line in lines.filter(is_odd).iter_rows(named=True):
        findings.extend(_line_findings(member, line))
    return lines.filter("is_new").select(
        "code",
        "kind",
        pl.col("number").cast(pl.Int32),
        "action_code",
        pl.col("action_text").replace("", None),
        "short_description",
        "long_description",
        pl.lit(member).alias("source_member"),
        pl.lit(sha256_of(data)).alias("source_member_sha256"),
        pl.col("line").cast(pl.Int32).alias("source_line"),
    )


def _numbered(lines: pl.DataFrame) -> pl.DataFrame:
    """Lines with the first one that says the same, whether they are that, and their number among the code's others."""
    content = ["code", pl.coalesce("action_code", "action_text"), "short_description", "long_description"]
    is_alone = ~pl.col("code").is_duplicated()  # nearly all: what follows is slow for thousands of groups
    alone = lines.filter(is_alone).with_columns(stated_on="line", is_new=True, number=1)
    again = (
        lines.filter(~is_alone)
        .with_columns(stated_on=pl.col("line").first().over(content))
        .with_columns(is_new=pl.col("line") == pl.col("stated_on"))
        .with_columns(number=pl.col("is_new").cum_sum().over("code"))
    )
    return pl.concat([alone, again], how="vertical_relaxed").sort("line")


def _line_findings(member: str, line: dict[str, Any]) -> Iterator[Finding]:
    """What is odd in a line whose action is not known, or whose code is on a line before it."""
    code, words = line["code"], line["action_text"]
    if line["action_code"] is None:
        message = f"{words[:60]!r} is not an action code" if words else "no action is given"
        yield Finding.of(
            "unknown_action", message, member, line["line"], line["kind"], code, "action_code", words[:60] or None
        )
    if not line["is_new"]:
        message = f"says the same of {code} as line {line['stated_on']}"
        yield Finding.of("repeated_line", message, member, line["line"], line["kind"], code)
    elif line["number"] > 1:
        yield Finding.of(
            "contradicting_line", f"says of {code} other than an earlier line", member, line["line"], line["kind"], code
        )


def _key_of(read_sheets: list[Sheet]) -> dict[frozenset[str], str]:
    """The workbook's own key: words by action code, from a sheet that has nothing but letters and words."""
    for sheet in read_sheets:
        if sheet.cells.height > _MOST_ROWS_OF_KEY:
            continue
        pairs = [[tidy(c) for c in cells if tidy(c)] for _, cells in sheet.rows]
        letters = [p for p in pairs if len(p) == 2 and re.fullmatch("[A-Z]", p[0])]
        if len(letters) >= 5 and len(letters) >= len([p for p in pairs if p]) - 3:
            return {frozenset(_tokens(words)): letter for letter, words in letters}
    return {}


def _key_findings(member: str, key: dict[frozenset[str], str]) -> list[Finding]:
    odd = []
    for words, letter in key.items():
        known = action_code_from(" ".join(sorted(words)))
        if known is not None and known != letter:
            odd.append(letter)
    if not odd:
        return []
    return [
        Finding.of(
            "action_key_differs",
            f"the report's own key gives {', '.join(sorted(odd))} to words for another action code",
            member,
            field="action_code",
            occurrences=len(odd),
            examples=tuple(sorted(odd)),
        )
    ]
