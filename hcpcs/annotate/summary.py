"""What an annotation counted: the tally that parts add to, the summary as data, and as lines for a terminal.

Nothing here decides what a line is; nothing here prints.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from hcpcs.annotate.amounts import amounts_of
from hcpcs.annotate.dates import form_label
from hcpcs.annotate.lookup import EXPIRED, NOT_YET_VALID, PURGED_UNKNOWN, STATUSES, SYSTEM_ENDED, UNKNOWN_CODE
from hcpcs.annotate.parsing import RULES, texts_of_keys

if TYPE_CHECKING:
    from hcpcs.annotate.annotator import Annotator
    from hcpcs.annotate.csv_text import Block, Dialect
    from hcpcs.annotate.request import Request

#: How many of the most frequent are shown.
_SHOWN = 20
#: Distinct values of no shape that are kept; beyond that the rare ones are forgotten.
_MOST_SHAPES = 50_000
#: Counted values, and pieces of them, that are kept before they are added up.
_MOST_ROWS, _MOST_PIECES = 200_000, 1_000
_INVALID = (UNKNOWN_CODE, NOT_YET_VALID, EXPIRED, PURGED_UNKNOWN, SYSTEM_ENDED)


class Frequencies:
    """Lines by value, of which there may be any number: kept as columns, and added up when they have become many."""

    def __init__(self, most: int | None = None) -> None:
        """``most``: how many values are kept; beyond that the rare ones are forgotten."""
        self._most = most
        self._counted: list[pa.Table] = []
        self._rows, self._bearable = 0, _MOST_ROWS
        self.is_partial = False

    def count(self, values: pa.Array, lines: np.ndarray) -> None:
        """Count lines by value; a value may come several times."""
        if len(values):
            self._append(self._kept(pa.table({"value": values, "lines": lines})))

    def add(self, other: Frequencies) -> None:
        """Add what was counted elsewhere."""
        self.is_partial |= other.is_partial
        for counted in other._counted:
            self._append(counted)

    def most_common(self, n: int) -> list[tuple[Any, int]]:
        """The ``n`` values of most lines, the most frequent first, then by value."""
        if not self._counted:
            return []
        self._add_up()
        order = [("lines", "descending"), ("value", "ascending")]
        most = self._counted[0].take(pc.select_k_unstable(self._counted[0], n, order))
        return list(zip(most["value"].to_pylist(), most["lines"].to_pylist(), strict=True))

    def _append(self, counted: pa.Table) -> None:
        self._counted.append(counted)
        self._rows += counted.num_rows
        if self._rows > self._bearable or len(self._counted) > _MOST_PIECES:
            self._add_up()

    def _add_up(self) -> None:
        every = pa.concat_tables(self._counted).group_by("value", use_threads=False)
        total = self._kept(every.aggregate([("lines", "sum")]).rename_columns(["value", "lines"]))
        self._counted, self._rows, self._bearable = [total], total.num_rows, max(_MOST_ROWS, 2 * total.num_rows)

    def _kept(self, counted: pa.Table) -> pa.Table:
        if self._most is None or counted.num_rows <= self._most:
            return counted
        self.is_partial = True
        return counted.take(pa.array(np.argpartition(-counted["lines"].to_numpy(), self._most)[: self._most]))


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
        self.rules = np.zeros(len(RULES), np.int64)
        self.null_dates = dict.fromkeys(request.dates, 0)
        self.unreadable_dates = dict.fromkeys(request.dates, 0)
        self.unreadable_amounts = Frequencies(_MOST_SHAPES)
        self.unreadable_amount_lines = 0
        self.unknown_codes = Frequencies()
        self.unknown_shapes = Frequencies(_MOST_SHAPES)
        self.modifiers = {m: np.zeros(len(STATUSES), np.int64) for m in request.modifiers}
        self.redacted: Counter[tuple[str | None, str | None]] = Counter()
        self.misplaced: Counter[str] = Counter()
        self.blank_lines = 0
        self.dialects: Counter[Dialect] = Counter()

    def like(self) -> Tally:
        """An empty tally of the same request."""
        return Tally(len(self.answers), self._request)

    def count_answers(self, answers: np.ndarray, amounts: pa.ChunkedArray | None, decimal: str) -> None:
        """Count lines, and add amounts up, by answer."""
        wide = answers.astype(np.intp)
        self.answers += np.bincount(wide, minlength=len(self.answers))
        start = 0
        for chunk in amounts.chunks if amounts is not None else ():
            numbers, odd = amounts_of(chunk, decimal, self._request.null_words)
            within = wide[start : start + len(chunk)]
            self.amounts += np.bincount(within, weights=numbers, minlength=len(self.amounts))
            start += len(chunk)
            if len(odd):
                self.unreadable_amount_lines += len(odd)
                values = chunk.take(pa.array(odd)).cast(pa.string())
                self.unreadable_amounts.count(values, np.ones(len(odd), np.int64))

    def count_blocks(self, blocks: Iterable[Block]) -> None:
        """Count blocks of text: their blank lines, and lines by how they were read."""
        with self._lock:
            for block in blocks:
                self.blank_lines += block.blank
                self.dialects[block.dialect] += block.records

    def count_redacted(self, licenses: pa.Array, codes: pa.Array, values: np.ndarray) -> None:
        """Count values blanked, by license and code; null for what has no code's shape."""
        for license_id, code, n in zip(licenses.to_pylist(), codes.to_pylist(), values.tolist(), strict=True):
            self.redacted[license_id, code] += n

    def add(self, other: Tally) -> None:
        """Add what another tally counted, each count by its type."""
        with self._lock:
            for name, theirs in vars(other).items():
                mine = getattr(self, name)
                if isinstance(mine, Frequencies):
                    mine.add(theirs)
                elif isinstance(mine, Counter):
                    mine.update(theirs)
                elif isinstance(mine, dict):
                    setattr(self, name, {key: count + theirs[key] for key, count in mine.items()})
                elif isinstance(mine, int | np.ndarray):
                    setattr(self, name, mine + theirs)


def summary_of(annotator: Annotator, claims: str, out: str | None) -> dict[str, Any]:
    """The tally as data for JSON: lines by system, status and section, the invalid, the null and the odd."""
    tally, request, lookup = annotator.tally, annotator.request, annotator.lookup
    amount = tally.amounts if request.amount else None
    summary: dict[str, Any] = {
        "version": annotator.version,
        "claims": claims,
        "out": out,
        "lines": tally.lines,
        "files": {
            "read": len(annotator.claims.files),
            "left_out": len(annotator.claims.left_out),
            "left_out_names": [{"name": n, "why": w} for n, w in list(annotator.claims.left_out.items())[:_SHOWN]],
            "of_several_types": [
                {"name": name, "read_as": str(annotator.claims.schema.field(name).type), "others": sorted(types)}
                for name, types in annotator.claims.other_types.items()
            ],
            "not_in_all": [
                {"name": name, "files_without": len(files), "such_as": min(files)}
                for name, files in annotator.claims.absent.items()
            ],
        },
        "by_code_system": _grouped(lookup.column("code_system"), tally.answers, amount),
        "by_status": _grouped(lookup.column("code_status_on_date"), tally.answers, amount),
        "by_section": _grouped(lookup.column("section_id"), tally.answers, amount),
        "invalid_codes": _invalid(annotator),
        "null": {"code": tally.null_codes, **tally.null_dates},
        "odd": {
            "codes_read_by_rule": {r: n for r, n in zip(RULES, tally.rules.tolist(), strict=True) if n},
            "no_code": [{"value": v, "lines": n} for v, n in tally.unknown_shapes.most_common(_SHOWN)],
            "no_code_is_partial": tally.unknown_shapes.is_partial,
            "unreadable_dates": {c: n for c, n in tally.unreadable_dates.items() if n},
            "unreadable_amounts": {
                "lines": tally.unreadable_amount_lines,
                "examples": [{"value": v, "lines": n} for v, n in tally.unreadable_amounts.most_common(_SHOWN)],
            },
            "after_newest_release": tally.after_newest_release,
            "blank_lines": tally.blank_lines,
        },
        "dates_read_as": {c: form_label(f) for c, f in annotator.forms.items()},
        "text_read_as": _read_as(tally),
        "codes_read_as_numbers": [c for c, numeric in annotator.numeric.items() if numeric],
    }
    if request.modifiers:
        summary["modifiers"] = {
            name: {STATUSES[i]: int(n) for i, n in enumerate(counts) if n} for name, counts in tally.modifiers.items()
        }
    if request.redact:
        rows = sorted(tally.redacted.items(), key=lambda item: (-item[1], str(item[0])))
        summary["redacted"] = {
            "columns": list(request.judges),
            "judged_by": {name: list(judges) for name, judges in request.judges.items()},
            "values": sum(tally.redacted.values()),
            "by_license": _totals((lic, n) for (lic, _), n in rows),
            "by_code": [{"license_id": lic, "code": code, "values": n} for (lic, code), n in rows],
            "misplaced": dict(tally.misplaced),
        }
    return summary


def _read_as(tally: Tally) -> list[dict[str, Any]]:
    """The dialects that lines of text were read in, that of most lines first."""
    lines: Counter[tuple[str, str, str]] = Counter()
    for dialect, n in tally.dialects.items():
        lines[dialect.delimiter, dialect.quote or "none", dialect.encoding] += n
    return [{"delimiter": d, "quote": q, "encoding": e, "lines": n} for (d, q, e), n in lines.most_common()]


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
    unknown = tally.unknown_codes.most_common(_SHOWN)
    texts = texts_of_keys(np.array([key for key, _ in unknown], np.int32)).to_pylist()
    rows = [(code, STATUSES[UNKNOWN_CODE], n, None, None) for code, (_, n) in zip(texts, unknown, strict=True)]
    codes = lookup.codes
    is_invalid = np.isin(lookup.status, _INVALID) & (tally.answers > 0)
    picked = pa.array(np.flatnonzero(is_invalid & codes.is_valid().to_numpy(zero_copy_only=False)))
    reported = {"code": codes, "status": pa.array(lookup.status), "lines": pa.array(tally.answers)}
    stated = {name: lookup.column(name).cast(pa.string()) for name in ("replaced_by", "short_description")}
    every = pa.table({name: column.take(picked) for name, column in (reported | stated).items()})
    # Several answers may say the same of a code.
    alike = every.group_by(["code", "status", "replaced_by", "short_description"], use_threads=False)
    order = [("lines_sum", "descending"), ("code", "ascending"), ("status", "ascending")]
    for row in alike.aggregate([("lines", "sum")]).sort_by(order).slice(0, _SHOWN).to_pylist():
        status = STATUSES[row["status"]]
        rows.append((row["code"], status, row["lines_sum"], row["replaced_by"], row["short_description"]))
    return [
        {"code": c, "status": s, "lines": n, "replaced_by": r.split("|") if r else [], "short_description": d}
        for c, s, n, r, d in sorted(rows, key=lambda row: (-row[2], row[0]))[:_SHOWN]
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
        yield (
            "most frequent codes not valid on their day",
            ["code", "status", "lines", "replaced by", "description"],
            invalid,
        )
    for name, counts in summary.get("modifiers", {}).items():
        if counts:
            yield "", [name, "lines"], [[s, f"{n:,}"] for s, n in counts.items()]
    odd = summary["odd"]
    found = [[f"{name} is null or blank", n] for name, n in summary["null"].items()]
    found += [[f"code {rule.replace('_', ' ')}", n] for rule, n in odd["codes_read_by_rule"].items()]
    found += [[f"{name} is no date", n] for name, n in odd["unreadable_dates"].items()]
    found += [[f"no amount: {r['value']!r}", r["lines"]] for r in odd["unreadable_amounts"]["examples"][:5]]
    found += [["blank, left out", odd["blank_lines"]]]
    found += [["dated after the newest release's quarter", odd["after_newest_release"]]]
    found += [[f"no code: {r['value']!r}", r["lines"]] for r in odd["no_code"][:5]]
    if odd_rows := [[what, f"{n:,}"] for what, n in found if n]:
        yield "null and odd", ["what", "lines"], odd_rows
    if left := summary["files"]["left_out_names"]:
        title = f"{summary['files']['read']:,} files read, {summary['files']['left_out']:,} left out"
        yield title, ["left out", "why"], [[f["name"], f["why"]] for f in left]
    if several := summary["files"]["of_several_types"]:
        mixed = [[r["name"], r["read_as"], ", ".join(r["others"])] for r in several]
        yield "columns of several types", ["column", "read as", "in some files"], mixed
    if some := summary["files"]["not_in_all"]:
        absent = [[row["name"], f"{row['files_without']:,}", row["such_as"]] for row in some]
        yield "columns that some files lack, null there", ["column", "files without", "such as"], absent
    if summary["text_read_as"]:
        read = [[repr(r["delimiter"]), r["quote"], r["encoding"], f"{r['lines']:,}"] for r in summary["text_read_as"]]
        yield "text read as", ["delimiter", "quote", "encoding", "lines"], read
    if "redacted" in summary:
        redacted = summary["redacted"]["by_license"]
        yield (
            f"blanked in {', '.join(summary['redacted']['columns'])}",
            ["license", "values"],
            [[name, f"{n:,}"] for name, n in redacted.items()],
        )
