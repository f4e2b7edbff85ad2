"""What became of the codes of a list, by a published version. Lists are read by ``code_lists``; nothing here prints."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa

from hcpcs.annotate.typed_code import CodeRead, read_code
from hcpcs.lookup import answers_on_day, caution_on_day, code_systems, require_loaded
from hcpcs.version_files import Rows, read_rows

#: What a code is on the day: the statuses of ``hcpcs_validity``, and that of a text that is no code; each as a person
#: says it.
STATUSES = {
    "valid": "valid",
    "not_yet_valid": "not yet valid",
    "expired": "ended",
    "purged_unknown": "purged",
    "system_ended": "its system ended",
    "not_loaded": "not CMS's",
    "unknown_code": "unknown",
    "unknown_shape": "no code",
}
#: What has changed since a release.
CHANGES = ("reused", "reworded", "repriced")
#: What ``check --fail-on`` takes beside statuses and changes.
SEVERAL = {"ended": ("expired", "purged_unknown", "system_ended")}
_SINCE = {"reused": "reused", "text": "reworded", "payment": "repriced"}
_BY = {"termination": "CMS termination date", "absence": "absent from CMS's release", "next_span": "changed"}

_TEXTS = pa.list_(pa.string())
_SCHEMA = pa.schema(
    {
        "given": pa.string(),
        "code": pa.string(),
        "episode": pa.int32(),
        "modifiers": _TEXTS,
        "rules": _TEXTS,
        "status": pa.string(),
        "ended": pa.date32(),
        "ended_by": pa.string(),
        "description": pa.string(),
        "license_id": pa.string(),
        "note": pa.string(),
        "changed": _TEXTS,
        "successors": _TEXTS,
        "chain_ends": _TEXTS,
        "caution": pa.string(),
    }
)


def check_codes(folder: Path, codes: Sequence[str | CodeRead], *, day: date, since: str | None = None) -> Rows:
    """What each code is on ``day`` and, with ``since`` (as for ``require_loaded``), what changed after it.

    Keys: ``given``, ``code``, ``episode``, ``modifiers`` (cut off), ``rules`` (by which it was read, as ``hcpcs
    annotate`` counts them), ``status`` (``STATUSES``), ``ended`` and ``ended_by``, ``description``, ``license_id``,
    ``note``, ``changed`` (``CHANGES``), ``successors``, ``chain_ends``, ``caution`` (why the loaded releases may
    not decide the day). Raises ``HcpcsError`` for a release that is not loaded.
    """
    if since is not None:
        since = require_loaded(folder, since)
    read = [code if isinstance(code, CodeRead) else read_code(code) for code in codes]
    known = sorted({r.code for r in read if r.code})
    answers = answers_on_day(folder, known, day)
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
    systems = {row["code_system_id"]: row["name"] for row in code_systems(folder)}
    caution = caution_on_day(folder, day)
    rows = []
    for one in read:
        code, own, answer = one.code, spans[one.code or ""], answers.get(one.code or "", {})
        found = _stated(answer, own) if own else _not_stated(code, answer, systems)
        to = targets[code, answer["episode"]] if found["status"] in SEVERAL["ended"] else []
        row = found | {
            "given": one.given,
            "code": code,
            "episode": answer.get("episode"),
            "modifiers": list(one.modifiers),
            "rules": list(one.rules),
            "changed": sorted(changed[code]),
            "successors": [t["target"] or f"(a {t['target_system']} code)" for t in to],
            "chain_ends": sorted({end for t in to for end in t["chain_ends"]}),
            "caution": caution if own else None,
        }
        rows.append({name: row[name] for name in _SCHEMA.names})
    return rows


def table_of_checks(rows: Rows) -> pa.Table:
    """The rows of ``check_codes`` as Arrow."""
    return pa.Table.from_pylist(rows, schema=_SCHEMA)


def _stated(answer: dict[str, Any], spans: Rows) -> dict[str, Any]:
    """What a code is that a release states, by the row of ``hcpcs_validity`` that answers and the code's spans."""
    status = answer["status"]
    of_answer = [s for s in spans if all(s[name] == answer[name] for name in ("episode", "span_number"))]
    span = of_answer[0] if of_answer else min(spans, key=lambda s: s["valid_from"])
    is_over = status in SEVERAL["ended"]
    return {
        "status": status,
        "ended": span["valid_to"] if is_over else None,
        "ended_by": _BY.get(span["valid_to_basis"]) if is_over else None,
        "description": span["long_description"] or span["short_description"],
        "license_id": span["license_id"],
        "note": f"in effect from {span['valid_from']}" if status == "not_yet_valid" else None,
    }


def _not_stated(code: str | None, answer: dict[str, Any], systems: dict[str, str]) -> dict[str, Any]:
    """What a code is that no release states, by its format."""
    nothing = {"ended": None, "ended_by": None, "description": None}
    if code is None:
        return nothing | {
            "status": "unknown_shape",
            "license_id": None,
            "note": "neither a code nor a modifier by its format",
        }
    owner = answer.get("steward") or "owner unknown"
    note = f"{systems.get(answer.get('code_system', ''), 'no known code system')} ({owner})"
    return nothing | {
        "status": answer.get("status", "unknown_code"),
        "license_id": answer.get("license_id"),
        "note": note,
    }


def failing(rows: Iterable[dict[str, Any]], causes: Sequence[str]) -> Rows:
    """The rows that have one of these statuses or changes; ``SEVERAL`` has words for more than one."""
    wanted = {status for cause in causes for status in SEVERAL.get(cause, (cause,))}
    return [r for r in rows if {r["status"], *r["changed"]} & wanted]
