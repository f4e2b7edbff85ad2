"""What became of the codes of a list: read from a file, compared with a published version. Nothing here prints."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

from hcpcs.annotate.parsing import read_code
from hcpcs.errors import HcpcsError
from hcpcs.lookup import caution_on_day, code_identity, require_loaded
from hcpcs.version import VERSION_ID, Rows, read_rows

#: What a code is on the day, and what has changed since a release; ``check --fail-on`` takes these.
STATUSES = ("valid", "ended", "purged", "not_yet", "unknown", "not_cms", "no_code")
CHANGES = ("reused", "reworded", "repriced")
_SINCE = {"reused": "reused", "text": "reworded", "payment": "repriced"}
_BY = {"termination": "CMS termination date", "absence": "absent from CMS's release", "next_span": "changed"}


def codes_of_list(path: Path, text: str, column: str | None = None) -> list[str]:
    """The codes of a list as given: words of a text, a column of CSV, or a FHIR ValueSet or CodeSystem in JSON.

    Without ``column``, a CSV's is the first whose header is code, hcpcs, modifier or the like, else the first one
    with a code in its first line. Raises ``HcpcsError`` for a list without codes.
    """
    if path.suffix.lower() == ".json":
        codes = _codes_of_json(path, text)
    elif path.suffix.lower() in (".csv", ".tsv") or column is not None:
        codes = _codes_of_csv(path, text, column)
    else:
        lines = [line.partition("#")[0] for line in text.splitlines()]
        codes = [word for line in lines for word in line.replace(",", " ").replace(";", " ").split()]
    if not codes:
        raise HcpcsError(f"{path} contains no code; it is read as {path.suffix.lower().lstrip('.') or 'text'}")
    return list(dict.fromkeys(codes))


def _codes_of_json(path: Path, text: str) -> list[str]:
    try:
        resource = json.loads(text)
        if resource["resourceType"] not in ("ValueSet", "CodeSystem"):
            raise HcpcsError(f"{path} is a FHIR {resource['resourceType']}, not a ValueSet or CodeSystem")
        groups = [*resource.get("compose", {}).get("include", []), {"concept": resource.get("concept", [])}]
        groups.append({"concept": resource.get("expansion", {}).get("contains", [])})
        return [concept["code"] for group in groups for concept in group.get("concept", [])]
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise HcpcsError(f"{path} is no FHIR ValueSet: {error!r}") from None


def _codes_of_csv(path: Path, text: str, column: str | None) -> list[str]:
    rows = [row for row in csv.reader(text.splitlines(), delimiter="\t" if path.suffix == ".tsv" else ",") if row]
    if not rows:
        return []
    header = [cell.strip().lower() for cell in rows[0]]
    if column is not None:
        if column.lower() not in header:
            raise HcpcsError(f"{path} has no column {column!r}; it has {', '.join(rows[0])}")
        place, start = header.index(column.lower()), 1
    else:
        named = [i for i, name in enumerate(header) if name.endswith(("code", "hcpcs", "hcpcs_cd", "modifier", "cpt"))]
        first = rows[1] if len(rows) > 1 and not any(read_code(c).code for c in rows[0]) else rows[0]
        place = next(iter(named or [i for i, cell in enumerate(first) if read_code(cell).code]), 0)
        start = int(bool(named) or read_code(rows[0][place]).code is None)
    return [row[place].strip() for row in rows[start:] if len(row) > place and row[place].strip()]


def check_codes(folder: Path, codes: Sequence[str], *, day: date, since: str | None = None) -> Rows:
    """What each code is on ``day`` and, with ``since`` (a loaded release, or a version's id), what changed after it.

    Keys: ``given``, ``code``, ``modifiers`` (cut off), ``status`` (``STATUSES``), ``changed`` (``CHANGES``), ``ended``
    and ``ended_by``, ``successors``, ``chain_ends``, ``description``, ``license_id``, ``note``,
    ``caution`` (why the loaded releases may not decide the day). Raises ``HcpcsError``
    for a release that is not loaded.
    """
    if since is not None:
        since = "-".join(since.split(".")[:2]) if VERSION_ID.fullmatch(since) else since
        require_loaded(folder, since)
    read = [read_code(code) for code in codes]
    known = sorted({r.code for r in read if r.code})
    where = [("code", "in", known)]
    spans, targets, changed = defaultdict(list), defaultdict(list), defaultdict(set)
    if known:
        for row in read_rows(folder, "hcpcs_history", where):
            spans[row["code"]].append(row)
        for row in read_rows(folder, "hcpcs_crosswalk", where):
            if row["relation"] == "replaced_by" and not row["is_withdrawn"]:
                targets[row["code"], row["episode"]].append(row)
        if since is not None:
            for row in read_rows(folder, "hcpcs_changes", [*where, ("release_id", ">", since)]):
                if row["change"] in _SINCE:
                    changed[row["code"]].add(_SINCE[row["change"]])
    caution = caution_on_day(folder, day)
    rows = []
    for one in read:
        code, own = one.code, sorted(spans[one.code or ""], key=lambda s: s["valid_from"])
        found = _on_day(own, day) if own else _not_stated(folder, code, day)
        to = targets[code, found.pop("episode", None)] if found["status"] in ("ended", "purged") else []
        rows.append(
            {"given": one.given, "code": code, "modifiers": list(one.modifiers)}
            | found
            | {
                "changed": sorted(changed[code]),
                "successors": [t["target"] or f"(a {t['target_system']} code)" for t in to],
                "chain_ends": sorted({end for t in to for end in t["chain_ends"]}),
                "caution": caution if own else None,
            }
        )
    return rows


def _on_day(spans: Rows, day: date) -> dict[str, Any]:
    begun = [s for s in spans if s["valid_from"] <= day]
    span = begun[-1] if begun else spans[0]
    is_over = span["valid_to"] is not None and span["valid_to"] < day
    status = "not_yet" if not begun else "valid" if not is_over else "ended"
    if is_over and span["valid_to_basis"] == "absence":
        status = "purged"
    return {
        "status": status,
        "ended": span["valid_to"] if is_over else None,
        "ended_by": _BY.get(span["valid_to_basis"]) if is_over else None,
        "episode": span["episode"],
        "description": span["long_description"] or span["short_description"],
        "license_id": span["license_id"],
        "note": f"in effect from {span['valid_from']}" if not begun else None,
    }


def _not_stated(folder: Path, code: str | None, day: date) -> dict[str, Any]:
    nothing = {"ended": None, "ended_by": None, "description": None}
    if code is None:
        return nothing | {
            "status": "no_code",
            "license_id": None,
            "note": "neither a code nor a modifier by its format",
        }
    identity = code_identity(folder, code, day)
    status = "unknown" if identity["steward"] in ("CMS", None) else "not_cms"
    note = f"{identity['code_system_name'] or 'no known code system'} ({identity['steward'] or 'owner unknown'})"
    return nothing | {"status": status, "license_id": identity["license_id"], "note": note}


def failing(rows: Iterable[dict[str, Any]], causes: Sequence[str]) -> Rows:
    """The rows that have one of these statuses or changes."""
    return [r for r in rows if {r["status"], *r["changed"]} & set(causes)]
