"""Overrides of the episode rule: where evidence cannot decide, people did, with reason and source. A file to review."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import polars as pl

from schemas.columns import CODE_OR_MODIFIER, RELEASE_ID
from sources.errors import CuratedFileError

_PATH = Path(__file__).with_name("episodes.csv")
_COLUMNS = ["kind", "code", "release", "decision", "reason", "source"]
_PATTERNS = {
    "kind": r"^(procedure|modifier)$",
    "code": CODE_OR_MODIFIER,
    "release": RELEASE_ID,
    "decision": r"^(new_episode|same)$",
    "reason": r"\S",
    "source": r"\S",
}


@cache
def load_episode_overrides(path: Path = _PATH) -> pl.DataFrame:
    """The overrides: ``kind``, ``code``, ``release_id``, ``decision`` (new_episode, same), ``reason``, ``source``.

    A row says whether the record that ``release_id`` has of the code begins a new episode. Raises
    ``CuratedFileError``, naming the file and every line, for other columns, a cell that is missing or no such value,
    or a record that is decided twice.
    """
    try:
        rows = pl.read_csv(path, infer_schema=False).fill_null("")
    except (OSError, pl.exceptions.PolarsError) as error:
        raise CuratedFileError(f"{path.name}: cannot be read: {error}") from error
    if rows.columns != _COLUMNS:
        raise CuratedFileError(f"{path.name}: line 1: columns {rows.columns}, expected {_COLUMNS}")
    checked = rows.with_row_index("line", 2).with_columns(
        *(~pl.col(c).str.contains(pattern) for c, pattern in _PATTERNS.items()),
        pl.struct("kind", "code", "release").is_first_distinct().not_().alias("twice"),
    )
    problems = []
    for row, flags in zip(rows.iter_rows(named=True), checked.iter_rows(named=True), strict=True):
        problems += [f"line {flags['line']}: {c} {row[c]!r} will not do" for c in _COLUMNS if flags[c]]
        if flags["twice"]:
            problems.append(f"line {flags['line']}: {row['kind']} {row['code']} of {row['release']} appears twice")
    if problems:
        raise CuratedFileError("\n".join(f"{path.name}: {p}" for p in problems))
    return rows.rename({"release": "release_id"})
