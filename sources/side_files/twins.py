"""Two statements of one side file compared: a sheet and its re-sorted twin, a workbook and its text."""

from __future__ import annotations

from collections.abc import Sequence

import polars as pl

from sources.findings import Finding

_EXAMPLES = 5


def disagreements(
    read: pl.DataFrame,
    twin: pl.DataFrame,
    key: Sequence[str],
    fields: Sequence[str],
    twin_name: str,
    member: str,
    twin_is_cut: bool,
) -> list[Finding]:
    """Compare ``twin`` with what was read: one finding per cause, with its count and codes as examples.

    Causes are lines that only one of them has, and fields that differ by more than blanks. A cell of a twin that is
    cut agrees if it begins like the other, and an empty one says nothing. No text of the member goes into a finding.
    """
    columns = list(key)
    ours = read.select(*columns, *fields)
    theirs = twin.select(*columns, *(pl.col(f).alias(f"twin_{f}") for f in fields))
    found = []
    for frame, other, where in ((ours, theirs, "not in"), (theirs, ours, "only in")):
        lone = frame.select(columns).join(other.select(columns), on=columns, how="anti")
        if lone.height:
            found.append(_finding(lone, columns, None, f"{lone.height} lines are {where} {twin_name}", member))
    both = ours.join(theirs, on=columns, how="inner", maintain_order="left")
    for field in fields:
        mine, its = (_comparable(pl.col(name)) for name in (field, f"twin_{field}"))
        same = mine.str.starts_with(its) if twin_is_cut else mine == its
        # Most cells are equal unchanged: only the others are looked at without blanks.
        differing = both.filter(pl.col(field).ne_missing(pl.col(f"twin_{field}"))).filter(~same)
        if differing.height:
            message = f"{twin_name} states {field} otherwise for {differing.height} lines"
            found.append(_finding(differing, columns, field, message, member))
    return found


def _comparable(column: pl.Expr) -> pl.Expr:
    return column.cast(pl.String).str.replace_all(r"\s+", " ").str.strip_chars().fill_null("")


def _finding(rows: pl.DataFrame, key: list[str], field: str | None, message: str, member: str) -> Finding:
    named = "code" if "code" in key else key[0]
    return Finding.of(
        "twins_differ",
        message,
        member,
        field=field,
        occurrences=rows.height,
        examples=tuple(rows[named].head(_EXAMPLES).to_list()),
    )
