"""CMS's corrections of a release: prose by code, and what of the prose can be read as a change of a record's field.

Nothing here alters a record, or looks whether a record has the change.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

import polars as pl

from schemas.contract import schema_of
from schemas.hcpcs_corrections import HcpcsCorrections
from sources.code_file.record_layout import RECORD_FIELDS, TEXT_FIELDS
from sources.errors import MemberError
from sources.findings import Finding
from sources.side_files.tables import (
    CodedRow,
    coded_rows,
    day_from,
    day_of_row,
    header_findings,
    sha256_of,
    tables,
    words_for,
)

#: Columns of corrections, in order.
#: What only the records of the releases state comes later.
CORRECTION_SCHEMA = schema_of(HcpcsCorrections, without=("release_id", "state_in_records", "in_records_since"))
TWIN_FIELDS = ("action_text", "effective_date", "short_description", "long_description")

#: How prose names a record's fields; the longer name first where one begins another.
_FIELD = re.compile("|".join(f"(?P<{name}>{words})" for name, words in words_for("field").items()), re.I)
_QUOTED = re.compile(r"[\"“”']([^\"“”']+)[\"“”']")
_NAMED_VALUE = re.compile(r"\s*(?:(?:should|must)\s+be|to|of|is|=|:)\s*[\"“']?([\w./-]*\w)", re.I)
_BARE_VALUE = re.compile(r"\s*:?\s*([A-Z0-9]*\d[A-Z0-9]*)\b")

_CODE_ACTIONS = (
    (
        "do_not_terminate",
        re.compile(r"\b(?:do\s+not|don'?t|not\s+to\s+be)\s+(?:terminated?|discontinued?|deleted?)\b", re.I),
    ),
    ("restore", re.compile(r"\badd(?:ed)?\s+back\b|\brestored?\b|\breinstated?\b|\bre-?activated?\b", re.I)),
)
_CODE_ACTIONS_WITHOUT_FIELD = (
    ("terminate", re.compile(r"\s*(?:terminat|discontinu)", re.I)),
    ("delete", re.compile(r"\s*(?:remove|delete)", re.I)),
    ("add", re.compile(r"\s*(?:add|new)\b", re.I)),
)
_TAKES_AWAY = re.compile(r"\s*(?:remove|delete)", re.I)
_FIELDS = {f.name: f for f in RECORD_FIELDS}
_DATE_FIELDS = {"action_effective_date", "asc_date", "termination_date", "added_date"}
#: Columns of a corrections file that state a field of the record.
_STATED = (
    "short_description",
    "long_description",
    "type_of_service_codes",
    "betos_code",
    "coverage_code",
    "pricing_indicators",
    "crosswalk_targets",
    "asc_group",
    "asc_date",
    "processing_note",
)


@dataclass(frozen=True, slots=True)
class Change:
    """One change that a correction states: to the code, or to ``field``, its new value or the one taken away."""

    action: str
    field: str | None = None
    new_value: str | None = None
    old_value: str | None = None


def changes_from_prose(prose: str) -> list[Change]:
    """Read the changes that the words of a correction state.

    "Change Cov to D and Price to 21" gives two, "Do not terminate" one of the code as a whole. Words that tell none
    give one change ``other``. A value that the words do not give is null: it may be in a column of its own.
    """
    words = " ".join(prose.split())
    for action, pattern in _CODE_ACTIONS:
        if pattern.search(words):
            return [Change(action)]
    named = list(_FIELD.finditer(words))
    if named:
        return list(_field_changes(words, named))
    for action, pattern in _CODE_ACTIONS_WITHOUT_FIELD:
        if pattern.match(words):
            return [Change(action)]
    return [Change("other")]


def _field_changes(words: str, named: list[re.Match[str]]) -> Iterator[Change]:
    takes_away = _TAKES_AWAY.match(words) is not None
    used = 0
    for position, match in enumerate(named):
        field = str(match.lastgroup)
        until = named[position + 1].start() if position + 1 < len(named) else len(words)
        behind = words[match.end() : until]
        # `"YY" ASC Ind`: a quoted value may be before its field's name, unless the field before it took it.
        before = _QUOTED.search(words[used : match.start()])
        value = None
        if (found := _NAMED_VALUE.match(behind) or _BARE_VALUE.match(behind)) is not None:
            value, used = found.group(1), match.end() + found.end()
        elif before is not None:
            value, used = before.group(1), match.end()
        elif (quoted := _QUOTED.match(behind.lstrip())) is not None:
            value, used = quoted.group(1), match.end() + len(behind)
        else:
            used = match.end()
        if value is not None and field in _DATE_FIELDS:
            day = day_from(value)
            value = day.isoformat() if day else None
        yield Change("clear", field, old_value=value) if takes_away else Change("revise", field, new_value=value)


def read_corrections(member: str, data: bytes) -> tuple[pl.DataFrame, list[Finding]]:
    """Read a corrections file: one row per change that a line states, with the columns of ``CORRECTION_SCHEMA``.

    Changes come from the prose, then from every filled column whose field the prose does not name (those of an added
    code, say). The prose always stays as it is. ``number`` counts the changes of a code.
    Raises ``MemberError`` for a member that holds no such table.
    Source: the corrections of 2011, 2017, 2019 and 2025.
    """
    found = [t for t in tables(member, data) if "action" in t.columns and not t.is_code_file]
    if not found:
        raise MemberError(f"{member} holds no corrections: no row has a heading for the code beside one for the action")
    table = found[0]
    findings = header_findings(member, table, () if not table.is_cut else _STATED)
    sha256 = sha256_of(data)
    numbers: dict[tuple[str, str], int] = {}
    rows = []
    for row in coded_rows(member, table, findings):
        prose = row.cells.get("action")
        effective = day_of_row(member, row, "effective_date", findings)
        for change in _changes_of(member, row, prose, effective.isoformat() if effective else None, findings):
            number = numbers[row.kind, row.code] = numbers.get((row.kind, row.code), 0) + 1
            rows.append(
                {
                    "kind": row.kind,
                    "code": row.code,
                    "number": number,
                    "action_text": prose,
                    "action": change.action,
                    "field": change.field,
                    "new_value": change.new_value,
                    "old_value": change.old_value,
                    "effective_date": effective,
                    "short_description": row.cells.get("short_description"),
                    "long_description": row.cells.get("long_description"),
                    "comment": row.cells.get("comment"),
                    "source_member": member,
                    "source_member_sha256": sha256,
                    "source_line": row.line,
                }
            )
    if not rows:
        raise MemberError(f"{member} holds no corrections: no line below its header begins with a code")
    return pl.DataFrame(rows, schema=CORRECTION_SCHEMA), findings


def _changes_of(
    member: str, row: CodedRow, prose: str | None, effective: str | None, findings: list[Finding]
) -> list[Change]:
    stated = {name: _stated_value(member, row, name, findings) for name in _STATED}
    stated["action_effective_date"] = effective
    changes = []
    # What begins like the removal of a code may end in its return: words that may have been cut tell nothing.
    reported = [Change("other")] if "action" in row.full else changes_from_prose(prose or "")
    for change in reported:
        column = stated.get(change.field or "")
        if change.action == "revise" and change.new_value is None and column is not None:
            change = Change("revise", change.field, column)
        elif change.action == "revise" and None not in (change.new_value, column) and change.new_value != column:
            # The effective date of the correction need not be that of the record's action.
            if change.field != "action_effective_date":
                findings.append(_two_values(member, row, change, column))
        elif change.action == "other":
            findings.append(_not_understood(member, row, prose))
        if change.action in ("revise", "clear") and change.new_value is None and change.old_value is None:
            findings.append(_no_value(member, row, change))
        changes.append(change)
    named = {c.field for c in changes}
    changes.extend(
        Change("revise", name, stated[name]) for name in _STATED if stated[name] is not None and name not in named
    )
    return changes


def _stated_value(member: str, row: CodedRow, name: str, findings: list[Finding]) -> str | None:
    if name not in _DATE_FIELDS:
        value, field = row.cells.get(name), _FIELDS[name]
        # A workbook of CMS's has such codes as numbers.
        return value if value is None or field in TEXT_FIELDS else field.as_cms_writes(value)
    day = day_of_row(member, row, name, findings)
    return day.isoformat() if day else None


def _two_values(member: str, row: CodedRow, change: Change, column: str | None) -> Finding:
    message = f"the words say {change.new_value}, the column for {change.field} says otherwise"
    raw = column[:20] if column and change.field not in ("short_description", "long_description") else None
    return Finding.of("prose_and_column_differ", message, member, row.line, row.kind, row.code, change.field, raw)


def _not_understood(member: str, row: CodedRow, prose: str | None) -> Finding:
    message = "the text of the correction states no known change" if prose else "the correction has no words"
    raw = prose[:60] if prose else None
    return Finding.of("action_not_understood", message, member, row.line, row.kind, row.code, "action_text", raw)


def _no_value(member: str, row: CodedRow, change: Change) -> Finding:
    message = f"a change of {change.field}, and neither the words nor a column give the value"
    return Finding.of("correction_without_value", message, member, row.line, row.kind, row.code, change.field)
