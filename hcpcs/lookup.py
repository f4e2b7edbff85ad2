"""Answers to a person's questions of a published version: rows in, plain dictionaries out. Nothing here prints."""

from __future__ import annotations

import json
import re
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow
import pyarrow.compute
import pyarrow.parquet

from hcpcs.errors import HcpcsError
from hcpcs.version import Rows, read_rows

_SPAN = [
    "kind",
    "code",
    "episode",
    "span_number",
    "valid_from",
    "valid_to",
    "valid_from_basis",
    "valid_to_basis",
    "observed_gap",
    "first_release",
    "last_release",
    "short_description",
    "long_description",
    "license_id",
    "redistribution",
]


def code_states(folder: Path, code: str) -> Rows:
    """Every meaning of a code or modifier in its latest state; raises ``HcpcsError`` where no release held has it."""
    wanted = normalized_code(code)
    rows = read_rows(folder, _table_of(wanted), [("code", "=", wanted)])
    if not rows:
        raise HcpcsError(f"no release held has {wanted!r}; `hcpcs search WORDS` looks for descriptions")
    return rows


def code_spans(folder: Path, code: str) -> Rows:
    """Every span of a code, oldest first; raises ``HcpcsError`` where no release held has it."""
    wanted = normalized_code(code)
    rows = read_rows(folder, "hcpcs_history", [("code", "=", wanted)], columns=_SPAN)
    if not rows:
        raise HcpcsError(f"no release held has {wanted!r}; `hcpcs search WORDS` looks for descriptions")
    return sorted(rows, key=lambda r: r["valid_from"])


def code_on_day(folder: Path, code: str, day: date) -> dict[str, Any]:
    """What a code meant on a day: ``span`` (None where it was not valid), and the spans ``before`` and ``after``."""
    spans = code_spans(folder, code)
    on = [s for s in spans if s["valid_from"] <= day and (s["valid_to"] is None or day <= s["valid_to"])]
    before = [s for s in spans if s["valid_to"] is not None and s["valid_to"] < day]
    after = [s for s in spans if s["valid_from"] > day]
    return {
        "code": spans[0]["code"],
        "day": day,
        "span": on[0] if on else None,
        "before": before[-1] if before else None,
        "after": after[0] if after else None,
    }


def search(folder: Path, words: str) -> Rows:
    """Codes whose descriptions, of any time, hold all the words; the newest wording that does, by code and meaning."""
    table = pyarrow.parquet.read_table(folder / "open" / "hcpcs_history.parquet", columns=_SPAN)
    found = pyarrow.array([True] * len(table))
    for word in words.split():
        in_either = [
            pyarrow.compute.fill_null(pyarrow.compute.match_substring(table[c], word, ignore_case=True), False)
            for c in ("short_description", "long_description")
        ]
        found = pyarrow.compute.and_(found, pyarrow.compute.or_(*in_either))
    newest: dict[tuple[str, str, int], dict[str, Any]] = {}
    for row in table.filter(found).to_pylist():
        newest[row["kind"], row["code"], row["episode"]] = row
    return list(newest.values())


def life_of(folder: Path, code: str) -> dict[str, Any]:
    """A code's life: its meanings with their spans, changes and successors."""
    wanted = normalized_code(code)
    states = code_states(folder, wanted)
    spans = code_spans(folder, wanted)
    changes = read_rows(folder, "hcpcs_changes", [("code", "=", wanted)])
    targets = read_rows(folder, "hcpcs_crosswalk", [("code", "=", wanted)])
    meanings = [
        {
            "episode": state["episode"],
            "status": state["status"],
            "added_date": state["added_date"],
            "termination_date": state["termination_date"],
            "first_release": state["first_release"],
            "last_release": state["last_release"],
            "license_id": state["license_id"],
            "spans": [s for s in spans if s["episode"] == state["episode"]],
            "changes": [c for c in changes if c["episode"] == state["episode"]],
            "crosswalk": [t for t in targets if t["episode"] == state["episode"]],
        }
        for state in states
    ]
    return {"code": wanted, "kind": spans[0]["kind"], "meanings": meanings}


def changes_of(folder: Path, release_id: str, *, disagreeing: bool = False) -> Rows:
    """A release's changes; ``disagreeing``: only those where CMS's action code says otherwise.

    Raises ``HcpcsError`` for a release that is not held, or is the first and has nothing before it.
    """
    held = sorted({r["release_id"] for r in read_rows(folder, "hcpcs_releases", columns=["release_id"])})
    if release_id not in held:
        raise HcpcsError(f"release {release_id} is not in this version, which has {', '.join(held)}")
    where: list[tuple[str, str, Any]] = [("release_id", "=", release_id)]
    if disagreeing:
        where.append(("agrees_with_cms", "=", False))
    return read_rows(folder, "hcpcs_changes", where)


def normalized_code(code: str) -> str:
    """A code as people type it, as CMS writes it; raises ``HcpcsError`` for what can be none."""
    wanted = re.sub(r"[\s.]", "", code).upper()
    if not re.fullmatch(r"[A-Z0-9]{5}|[A-Z0-9]{2}", wanted):
        raise HcpcsError(f"{code!r} is neither a five-character code nor a two-character modifier")
    return wanted


def quoted(value: str | None) -> str:
    """An old or new value of ``hcpcs_changes`` for a person: lists without their JSON."""
    if value is None:
        return "nothing"
    if value.startswith("["):
        return ", ".join(json.loads(value)) or "nothing"
    return value


def _table_of(code: str) -> str:
    return "hcpcs_modifiers" if len(code) == 2 else "hcpcs_codes"
