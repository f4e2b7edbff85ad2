"""CMS's side files: which member is which, by looking into it, and all members of one kind read together.

How one kind is read belongs in its own module; comparing the rows with the records belongs in ``pipeline.transforms``.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

import polars as pl

from sources.code_file.text import looks_like_anweb_text
from sources.errors import MemberError
from sources.findings import Finding, merged
from sources.side_files.corrections import CORRECTION_SCHEMA, read_corrections
from sources.side_files.corrections import TWIN_FIELDS as CORRECTION_TWIN_FIELDS
from sources.side_files.lists import (
    NOTE_SCHEMA,
    NOTE_START,
    NOTE_TWIN_FIELDS,
    UNLISTED_SCHEMA,
    UNLISTED_TWIN_FIELDS,
    read_notes,
    read_unlisted_codes,
)
from sources.side_files.tables import (
    MOST_LINES_ABOVE_HEADER,
    Table,
    decoded,
    is_workbook,
    lines_of,
    sha256_of,
    tables,
    tidy,
)
from sources.side_files.transactions import TRANSACTION_SCHEMA, action_code_from, read_transactions
from sources.side_files.transactions import TWIN_FIELDS as TRANSACTION_TWIN_FIELDS
from sources.side_files.twins import disagreements

_SAMPLE_ROWS = 200
#: Share of items that a text has in common with its workbook: one list of unlisted codes had 39 dental codes too many.
_TWIN_SHARE = 0.75
_NAMES_UNLISTED = re.compile(r"\bNOC\b|unlisted|not otherwise classified", re.I)
_SOUNDS_UNLISTED = re.compile(
    r"unlisted|not\s+otherwise|unspecified|not\s+specified|unclassified|miscellaneous|\bn\.?o\.?[cs]\b", re.I
)
_LAYOUT_HEADER = re.compile(r"\bLENGTH\b.*\bBEG\w*\b.*\bEND\w*\b", re.I)
_LAYOUT_FIELD = re.compile(r"\s+\d+\s+\d+\s+\d+\s+(?:CHAR|NUM|REC|GROUP)\b", re.I)
_README_OPENING = re.compile(r"centers for medicare|file content|read ?me", re.I)


@dataclass(frozen=True, slots=True)
class _Kind:
    """How members of one role are read, into which table (less its prefix), and by what their twins are compared."""

    table: str
    read: Callable[[str, bytes], tuple[pl.DataFrame, list[Finding]]]
    schema: dict[str, pl.DataType]
    item: tuple[str, ...]
    twin_fields: tuple[str, ...]
    #: Whether a release has each item once, so that the newest member's is used; else all are kept and numbered.
    once: bool


_KINDS = {
    "transaction_report": _Kind(
        "transactions", read_transactions, TRANSACTION_SCHEMA, ("kind", "code"), TRANSACTION_TWIN_FIELDS, False
    ),
    "corrections": _Kind(
        "corrections", read_corrections, CORRECTION_SCHEMA, ("kind", "code"), CORRECTION_TWIN_FIELDS, False
    ),
    "noc_codes": _Kind(
        "unlisted_codes", read_unlisted_codes, UNLISTED_SCHEMA, ("kind", "code"), UNLISTED_TWIN_FIELDS, True
    ),
    "processing_notes": _Kind("notes", read_notes, NOTE_SCHEMA, ("note_number",), NOTE_TWIN_FIELDS, True),
}
#: Columns of the frames that ``read_side_files`` returns, by role.
SIDE_SCHEMAS = {role: kind.schema for role, kind in _KINDS.items()}
#: The table of each role: ``staged_`` of one release, ``hcpcs_`` of all.
SIDE_TABLES = {role: kind.table for role, kind in _KINDS.items()}


def side_role(name: str, data: bytes) -> str | None:
    """Which side file a member is, by its content; the name only speaks for lists of unlisted codes and read-me files.

    One of ``transaction_report``, ``corrections``, ``noc_codes``, ``processing_notes``, ``record_layout``, ``readme``;
    None for code files, for bytes that cannot be read and for all else. Raises nothing.
    """
    try:
        found = tables(name, data)
    except MemberError:
        return None
    if found and (role := _role_of_table(name, found)) is not None:
        return role
    if is_workbook(data) or looks_like_anweb_text(data):
        return None
    text = decoded(data)
    return None if text is None else _role_of_prose(name, [line for line in lines_of(text) if line.strip()])


def _role_of_table(name: str, found: list[Table]) -> str | None:
    table = found[0]
    if any(t.is_code_file for t in found):
        return None
    rows = [cells for _, cells in table.first_rows(_SAMPLE_ROWS)]

    def column(field: str) -> list[str]:
        position = table.columns[field]
        return [tidy(cells[position]) for cells in rows if position < len(cells) and tidy(cells[position])]

    if "action" in table.columns:
        if "effective_date" in table.columns or re.search("correct", table.title, re.I):
            return "corrections"
        known = [action_code_from(words, is_cut=table.is_cut) is not None for words in column("action")]
        return "transaction_report" if known and sum(known) * 2 > len(known) else None
    if "long_description" in table.columns:
        texts = column("long_description")
        says_so = [_SOUNDS_UNLISTED.search(text) is not None for text in texts]
        named = _NAMES_UNLISTED.search(f"{table.title} {name}".replace("_", " "))
        return "noc_codes" if texts and (named or sum(says_so) * 2 > len(says_so)) else None
    return None


def _role_of_prose(name: str, lines: list[str]) -> str | None:
    notes = sum(1 for line in lines if NOTE_START.match(line))
    if notes and (notes * 10 > len(lines) or any("PROCESSING NOTES" in line.upper() for line in lines[:5])):
        return "processing_notes"
    fields = sum(1 for line in lines if _LAYOUT_FIELD.match(line))
    if fields >= 5 or (fields and any(_LAYOUT_HEADER.search(line) for line in lines[:MOST_LINES_ABOVE_HEADER])):
        return "record_layout"
    opening = " ".join(lines[:MOST_LINES_ABOVE_HEADER])
    if "HCPC" in opening.upper() and (_README_OPENING.search(opening) or "read" in name.lower()):
        return "readme"
    return None


def read_side_files(role: str, members: Iterable[tuple[str, bytes]]) -> tuple[pl.DataFrame, list[Finding]]:
    """Read all members of a release that have one role: one frame with the columns of ``SIDE_SCHEMAS``, and findings.

    Members of the same bytes are read once. A text whose items are those of a workbook (or of a text before it) is
    its twin: compared, and left out. Transactions and corrections of several members are all kept, numbered by code;
    of an unlisted code or a note that several members state, the newest member's is used. What is newer lies in the
    members alone: ``_vN`` in the name, then the name, then the bytes. A member that cannot be read is a finding.
    Raises ``KeyError`` for a role without a reader.
    """
    kind = _KINDS[role]
    distinct = {sha256_of(data): (name, data) for name, data in sorted(members, reverse=True)}
    read: list[tuple[tuple[int, str, str], pl.DataFrame, bool]] = []
    findings: list[Finding] = []
    for sha256, (name, data) in sorted(distinct.items(), key=lambda item: (not is_workbook(item[1][1]), _age(*item))):
        try:
            frame, found = kind.read(name, data)
        except MemberError as error:
            findings.append(Finding.of("side_file_unreadable", str(error), name))
            continue
        if not is_workbook(data) and (twin := _twin_of(frame, [f for _, f, _ in read], kind)) is not None:
            findings.extend(_compared(twin, frame, name, any(f.finding == "print_file_cut" for f in found), kind))
            continue
        read.append((_age(sha256, (name, data)), frame, is_workbook(data)))
        findings.extend(found)
    read.sort(key=lambda item: item[0])
    frames = [frame for _, frame, _ in read]
    if not frames:
        return pl.DataFrame(schema=kind.schema), merged(findings, _as_one)
    together = pl.concat(frames)
    if kind.once:
        findings.extend(_stated_again(together, kind))
        together = together.unique(list(kind.item), keep="last", maintain_order=True)
    else:
        together = together.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over(kind.item).alias("number"))
    order = [*reversed(_KINDS[role].item)]
    return together.sort(*order, maintain_order=True), merged(findings, _as_one)


def _age(sha256: str, member: tuple[str, bytes]) -> tuple[int, str, str]:
    name = member[0].lower()
    version = re.search(r"_v(\d+)(?=[._ ]|$)", name)
    return (int(version[1]) if version else 0, name, sha256)


def _twin_of(frame: pl.DataFrame, read: Sequence[pl.DataFrame], kind: _Kind) -> pl.DataFrame | None:
    """The frame among those read that has most items in common with ``frame``, if enough of them."""
    items = set(frame.select(kind.item).rows())
    shares = []
    for position, other in enumerate(read):
        others = set(other.select(kind.item).rows())
        shares.append((len(items & others) / len(items | others), -position))
    best = max(shares, default=(0.0, 0))
    return read[-best[1]] if best[0] >= _TWIN_SHARE else None


def _compared(read: pl.DataFrame, twin: pl.DataFrame, name: str, is_cut: bool, kind: _Kind) -> list[Finding]:
    """Findings of a twin: that it was compared, and where it differs from what was read."""
    member = read["source_member"][0]
    key = (*kind.item, "nth")
    differing = disagreements(_lines(read, kind), _lines(twin, kind), key, kind.twin_fields, name, member, is_cut)
    stated = "and agrees with it" if not differing else f"and differs from it in {len(differing)} ways"
    cut = " as far as its columns go" if is_cut else ""
    twin_finding = Finding.of(
        "twin_not_read", f"states what {member} states, {stated}{cut}", name, occurrences=twin.height
    )
    return [twin_finding, *differing]


def _lines(frame: pl.DataFrame, kind: _Kind) -> pl.DataFrame:
    """One row per line, counted by item: a line of corrections gives several rows, which share its own content."""
    nth = pl.int_range(1, pl.len() + 1, dtype=pl.Int32).over(kind.item).alias("nth")
    return frame.unique("source_line", keep="first", maintain_order=True).with_columns(nth)


def _stated_again(together: pl.DataFrame, kind: _Kind) -> list[Finding]:
    again = together.filter(pl.len().over(kind.item) > 1)
    differing = again.filter(pl.struct(kind.twin_fields).n_unique().over(kind.item) > 1)
    found = []
    for key, rows in differing.group_by(kind.item, maintain_order=True):
        last = rows.row(-1, named=True)
        message = f"{key[-1]} has other content in {rows['source_member'][0]}"
        place = (last["source_member"], last["source_line"], last.get("kind"), last.get("code"))
        found.append(Finding.of("stated_by_several_members", message, *place))
    return found


def _as_one(group: list[Finding]) -> Finding:
    first = group[0]
    return replace(
        first,
        message=f"{first.message}; and {len(group) - 1} more like it",
        kind=None,
        code=None,
        raw_value=None,
        occurrences=sum(f.occurrences for f in group),
        examples=tuple(f.code for f in group if f.code)[:5],
    )
