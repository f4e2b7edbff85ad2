"""The license policy: which columns are masked, under which condition, and why. A file for people to review."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import polars as pl

from sources.errors import CuratedFileError

_PATH = Path(__file__).with_name("license_policy.csv")
_COLUMNS = ["table", "column", "condition", "action", "reason"]
ACTIONS = ("keep", "mask", "drop")
#: What a row may depend on; docs/licensing.md says what each means.
CONDITIONS = (
    "row_of_ama_or_ada",
    "names_cpt_or_cdt_code",
    "cites_cpt_or_cdt",
    "cites_in_description",
    "cites_outside_description",
    "quotes_cpt_or_cdt",
    "names_section_of_rules",
    "names_a_line",
)


@cache
def load_license_policy(path: Path = _PATH) -> pl.DataFrame:
    """The policy's rows: ``table``, ``column``, ``condition``, ``action`` (keep, mask, drop), ``reason``.

    Raises ``CuratedFileError``, naming every line, for other columns, an unknown action or condition, a missing reason
    or a row that appears twice.
    """
    policy = pl.read_csv(path, infer_schema=False).fill_null("")
    if policy.columns != _COLUMNS:
        raise CuratedFileError(f"{path.name}: line 1: columns {policy.columns}, expected {_COLUMNS}")
    problems = []
    seen: set[tuple[str, ...]] = set()
    for line, row in enumerate(policy.iter_rows(named=True), 2):
        key = (row["table"], row["column"], row["condition"])
        if row["action"] not in ACTIONS:
            problems.append(f"line {line}: action {row['action']!r} is none of {', '.join(ACTIONS)}")
        if row["condition"] not in CONDITIONS:
            problems.append(f"line {line}: condition {row['condition']!r} is none of {', '.join(CONDITIONS)}")
        if not row["reason"]:
            problems.append(f"line {line}: no reason")
        if key in seen:
            problems.append(f"line {line}: {', '.join(key)} appears twice")
        seen.add(key)
    if problems:
        raise CuratedFileError("\n".join(f"{path.name}: {p}" for p in problems))
    return policy
