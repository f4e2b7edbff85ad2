"""Findings: something odd in the bytes CMS posted, where it stands, and what was done about it.

A finding is data. It never repairs or raises by itself.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import polars as pl

from schemas.contract import schema_of
from schemas.hcpcs_findings import HcpcsFindings
from sources.finding_kinds import KINDS, Severity

#: More findings than this with one cause become one finding with its count and examples.
_MOST_SINGLE_FINDINGS = 20
#: Columns of a frame of findings, in order.
FINDING_SCHEMA = schema_of(HcpcsFindings, without=("finding_number",))


@dataclass(frozen=True, slots=True)
class Finding:
    """One odd thing: ``finding`` is its kind, ``line`` counts from 1 (a text's line or a workbook's row)."""

    finding: str
    severity: Severity
    message: str
    action: str
    member: str | None = None
    line: int | None = None
    kind: str | None = None
    code: str | None = None
    field: str | None = None
    raw_value: str | None = None
    occurrences: int = 1
    examples: tuple[str, ...] = ()

    @classmethod
    def of(
        cls,
        finding: str,
        message: str,
        member: str | None = None,
        line: int | None = None,
        kind: str | None = None,
        code: str | None = None,
        field: str | None = None,
        raw_value: str | None = None,
        *,
        severity: Severity | None = None,
        action: str | None = None,
        occurrences: int = 1,
        examples: tuple[str, ...] = (),
    ) -> Finding:
        """A finding of one of ``KINDS``, with the severity and action of its kind unless it has others."""
        known = KINDS[finding]
        severity, action = severity or known.severity, action or known.action
        return cls(
            finding, severity, message, action, member, line, kind, code, field, raw_value, occurrences, examples
        )

    def where(self) -> str:
        """Say where it stands, the way a person would look for it."""
        if self.member is None:
            return "the release"
        noun = "row" if self.member.lower().endswith((".xls", ".xlsx")) else "line"
        return f"{noun} {self.line} of {self.member}" if self.line is not None else self.member


def merged(findings: Iterable[Finding], as_one: Callable[[list[Finding]], Finding]) -> list[Finding]:
    """Findings with those of one cause made one: same kind of finding, severity, member and field.

    Few stay as they are, and so do errors, each of which somebody must look at.
    """
    groups: dict[tuple[str | None, ...], list[Finding]] = {}
    for f in findings:
        groups.setdefault((f.finding, f.severity, f.member, f.field), []).append(f)
    found: list[Finding] = []
    for group in groups.values():
        is_many = len(group) > _MOST_SINGLE_FINDINGS and group[0].severity != "error"
        found += [as_one(group)] if is_many else group
    return found


def findings_frame(findings: Iterable[Finding], release_id: str, revision: int) -> pl.DataFrame:
    """Turn findings of one revision of a release into a frame with the columns of ``FINDING_SCHEMA``."""
    names = [name for name in FINDING_SCHEMA if name not in ("release_id", "revision")]
    rows = [
        {"release_id": release_id, "revision": revision}
        | {name: list(f.examples) if name == "examples" else getattr(f, name) for name in names}
        for f in findings
    ]
    return pl.DataFrame(rows, schema=FINDING_SCHEMA)
