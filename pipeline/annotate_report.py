"""What an annotation counted: the tally that parts add to, the summary as data, and as lines for a terminal.

Nothing here decides what a line is; nothing here prints.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipeline.annotate_inputs import DATE_FORMS, RULES, amounts_of, texts_of_keys
from pipeline.annotate_lookup import EXPIRED, NOT_YET_VALID, PURGED_UNKNOWN, STATUSES, UNKNOWN_CODE

if TYPE_CHECKING:
    from pipeline.annotate import Annotator, Request

#: How many of the most frequent are shown.
_SHOWN = 20
#: Distinct values of no shape that are kept; beyond that the rare ones are forgotten.
_MOST_SHAPES = 50_000
_INVALID = (UNKNOWN_CODE, NOT_YET_VALID, EXPIRED, PURGED_UNKNOWN)


class Tally:
    """Counts of one part, or of all; adding is safe from several threads."""

    def __init__(self, answers: int, request: Request) -> None:
        self._request = request
        self._lock = threading.Lock()
        self.lines = 0
        self.answers = np.zeros(answers, np.int64)
        self.amounts = np.zeros(answers if request.amount else 0, np.float64)
        self.after_newest_release = 0
        self.null_codes = 0
        self.rules = [0] * len(RULES)
        dates = [c for c in (request.date, request.date_else) if c]
        self.null_dates = dict.fromkeys(dates, 0)
        self.unreadable_dates = dict.fromkeys(dates, 0)
        self.unknown_codes: Counter[int] = Counter()
        self.unknown_shapes: Counter[str] = Counter()
        self.shapes_forgotten = False
        self.modifiers = {m: np.zeros(len(STATUSES), np.int64) for m in request.modifiers}
        self.redacted: Counter[tuple[str | None, str | None]] = Counter()

    def like(self) -> Tally:
        """An empty tally of the same request."""
        return Tally(len(self.answers), self._request)

    def count_answers(self, answers: np.ndarray, amounts: pa.ChunkedArray | None) -> None:
        """Count lines, and add amounts up, by answer."""
        wide = answers.astype(np.intp)
        self.answers += np.bincount(wide, minlength=len(self.answers))
        if amounts is not None:
            self.amounts += np.bincount(wide, weights=amounts_of(amounts), minlength=len(self.amounts))

    def count_unknown_codes(self, keys: np.ndarray, lines: np.ndarray) -> None:
        """Count lines by code that no release held."""
        for key, n in zip(keys.tolist(), lines.tolist(), strict=True):
            if n:
                self.unknown_codes[key] += n

    def count_unknown_shapes(self, values: pa.Array, lines: np.ndarray) -> None:
        """Count lines by value that is no code."""
        if len(lines) > _MOST_SHAPES:
            most = np.argpartition(-lines, _MOST_SHAPES)[:_MOST_SHAPES]
            values, lines, self.shapes_forgotten = values.take(pa.array(most)), lines[most], True
        for value, n in zip(values.to_pylist(), lines.tolist(), strict=True):
            self.unknown_shapes[value] += n

    def count_redacted(self, licenses: pa.Array, codes: pa.Array, values: np.ndarray) -> None:
        """Count values blanked, by license and code; null for what has no code's shape."""
        for license_id, code, n in zip(licenses.to_pylist(), codes.to_pylist(), values.tolist(), strict=True):
            self.redacted[license_id, code] += n

    def add(self, other: Tally) -> None:
        """Add what another tally counted."""
        with self._lock:
            self.lines += other.lines
            self.answers += other.answers
            self.amounts += other.amounts
            self.after_newest_release += other.after_newest_release
            self.null_codes += other.null_codes
            self.rules = [a + b for a, b in zip(self.rules, other.rules, strict=True)]
            for mine, theirs in (
                (self.null_dates, other.null_dates),
                (self.unreadable_dates, other.unreadable_dates),
            ):
                for name in mine:
                    mine[name] += theirs[name]
            self.unknown_codes.update(other.unknown_codes)
            self.unknown_shapes.update(other.unknown_shapes)
            self.shapes_forgotten |= other.shapes_forgotten
            if len(self.unknown_shapes) > 2 * _MOST_SHAPES:
                self.unknown_shapes = Counter(dict(self.unknown_shapes.most_common(_MOST_SHAPES)))
                self.shapes_forgotten = True
            self.redacted.update(other.redacted)
            for name, counts in other.modifiers.items():
                self.modifiers[name] += counts


def summary_of(annotator: Annotator, claims: str, out: str | None) -> dict[str, Any]:
    """The tally as data for JSON: lines by system, status and section, the invalid, the null and the odd."""
    tally, request, lookup = annotator.tally, annotator.request, annotator.lookup
    amount = tally.amounts if request.amount else None
    summary: dict[str, Any] = {
        "version": annotator.version,
        "claims": claims,
        "out": out,
        "lines": tally.lines,
        "by_code_system": _grouped(lookup.column("code_system"), tally.answers, amount),
        "by_status": _grouped(lookup.column("code_status_on_date"), tally.answers, amount),
        "by_section": _grouped(lookup.column("section_id"), tally.answers, amount),
        "invalid_codes": _invalid(annotator),
        "null": {"code": tally.null_codes, **tally.null_dates},
        "odd": {
            "codes_read_by_rule": {r: n for r, n in zip(RULES, tally.rules, strict=True) if n},
            "no_code": [{"value": v, "lines": n} for v, n in tally.unknown_shapes.most_common(_SHOWN)],
            "no_code_is_partial": tally.shapes_forgotten,
            "unreadable_dates": {c: n for c, n in tally.unreadable_dates.items() if n},
            "after_newest_release": tally.after_newest_release,
        },
        "dates_read_as": {c: DATE_FORMS[f] for c, f in annotator.forms.items()},
        "codes_read_as_numbers": [c for c, numeric in annotator.numeric.items() if numeric],
    }
    if request.modifiers:
        summary["modifiers"] = {
            name: {STATUSES[i]: int(n) for i, n in enumerate(counts) if n} for name, counts in tally.modifiers.items()
        }
    if request.redact:
        rows = sorted(tally.redacted.items(), key=lambda item: (-item[1], str(item[0])))
        summary["redacted"] = {
            "columns": list(request.redact),
            "values": sum(tally.redacted.values()),
            "by_license": _totals((lic, n) for (lic, _), n in rows),
            "by_code": [{"license_id": lic, "code": code, "values": n} for (lic, code), n in rows],
        }
    return summary


def _grouped(names: pa.DictionaryArray, lines: np.ndarray, amounts: np.ndarray | None) -> list[dict[str, Any]]:
    """Lines, and amounts where there are any, by name; the most frequent first."""
    values = [*names.dictionary.to_pylist(), None]
    place = names.indices.fill_null(len(values) - 1).to_numpy()
    counts = np.bincount(place, weights=lines, minlength=len(values)).astype(np.int64)
    sums = np.bincount(place, weights=amounts, minlength=len(values)) if amounts is not None else None
    rows = [
        {"name": name, "lines": int(counts[i])} | ({"amount": round(float(sums[i]), 2)} if sums is not None else {})
        for i, name in enumerate(values)
        if counts[i]
    ]
    return sorted(rows, key=lambda row: (-row["lines"], str(row["name"])))


def _invalid(annotator: Annotator) -> list[dict[str, Any]]:
    """The codes most often used on a day on which they were not valid, with what replaced them."""
    tally, lookup = annotator.tally, annotator.lookup
    counts: Counter[tuple[str, str, str | None, str | None]] = Counter()
    for key, n in tally.unknown_codes.most_common(_SHOWN):
        counts[texts_of_keys(np.array([key]))[0].as_py(), STATUSES[UNKNOWN_CODE], None, None] += n
    places = np.flatnonzero(np.isin(lookup.status, _INVALID) & (tally.answers > 0))
    picked = pa.array(places)
    columns = (lookup.codes, lookup.column("replaced_by"), lookup.column("short_description"))
    codes, successors, descriptions = (c.take(picked).to_pylist() for c in columns)
    for i, code, successor, description in zip(places, codes, successors, descriptions, strict=True):
        if code is not None:
            counts[code, STATUSES[lookup.status[i]], successor, description] += int(tally.answers[i])
    return [
        {"code": c, "status": s, "lines": n, "replaced_by": r.split("|") if r else [], "short_description": d}
        for (c, s, r, d), n in sorted(counts.items(), key=lambda item: (-item[1], item[0][0]))[:_SHOWN]
    ]


def _totals(pairs: Iterator[tuple[str | None, int]]) -> dict[str, int]:
    totals: Counter[str] = Counter()
    for name, n in pairs:
        totals[name or "unknown"] += n
    return dict(totals.most_common())


def summary_tables(summary: dict[str, Any]) -> Iterator[tuple[str, list[str], list[list[Any]]]]:
    """The summary as titled tables for a terminal: title, headings, rows."""
    lines = max(summary["lines"], 1)
    amount = ["amount"] * ("amount" in (summary["by_status"] or [{}])[0])

    def rows(part: str) -> list[list[Any]]:
        return [
            [r["name"], f"{r['lines']:,}", f"{r['lines'] / lines:.1%}", *(f"{r[a]:,.2f}" for a in amount)]
            for r in summary[part]
        ]

    for title, part in (("code system", "by_code_system"), ("status", "by_status"), ("section", "by_section")):
        yield "", [title, "lines", "share", *amount], rows(part)
    invalid = [
        [r["code"], r["status"], f"{r['lines']:,}", ", ".join(r["replaced_by"]), r["short_description"]]
        for r in summary["invalid_codes"]
    ]
    if invalid:
        yield "most frequent codes not valid on their day", ["code", "status", "lines", "replaced by", "is"], invalid
    for name, counts in summary.get("modifiers", {}).items():
        if counts:
            yield "", [name, "lines"], [[s, f"{n:,}"] for s, n in counts.items()]
    odd = summary["odd"]
    found = [[f"{name} is null or blank", n] for name, n in summary["null"].items()]
    found += [[f"code {rule.replace('_', ' ')}", n] for rule, n in odd["codes_read_by_rule"].items()]
    found += [[f"{name} holds no date", n] for name, n in odd["unreadable_dates"].items()]
    found += [["dated after the newest release's quarter", odd["after_newest_release"]]]
    found += [[f"no code: {r['value']!r}", r["lines"]] for r in odd["no_code"][:5]]
    yield "null and odd", ["what", "lines"], [[what, f"{n:,}"] for what, n in found if n]
    if "redacted" in summary:
        redacted = summary["redacted"]["by_license"]
        yield (
            f"blanked in {', '.join(summary['redacted']['columns'])}",
            ["license", "values"],
            [[name, f"{n:,}"] for name, n in redacted.items()],
        )
