"""Comparison by form: what of a record counts when two releases' statements of it are compared.

Case, white space, code-page damage and punctuation do not count; letters, digits, decimal points between digits and
``< > = % + /`` do. Everything here is a polars expression; no frame is known, nothing is decided.
"""

from __future__ import annotations

import polars as pl

from schemas.columns import CONTENT_COLUMNS, RecordContent

#: Content fields that hold prose; all other fields hold codes, numbers and dates, in which punctuation counts.
PROSE_COLUMNS = ("short_description", "long_description")

_LIST_COLUMNS = frozenset(
    name for name, c in RecordContent.to_schema().columns.items() if isinstance(c.dtype.type, pl.List)
)
_FIELD_END = "\x1f"
_ITEM_END = "\x1e"


def prose_form(column: str | pl.Expr) -> pl.Expr:
    """A description without what does not count, as one word; null stays null.

    2013's machine wrote ``0. 1 mg``: a point between digits is kept whatever space follows it, since without it a
    dose changed tenfold would pass for a change of form. Characters beyond ASCII go first: where CMS's text has them
    a code page was mistaken, and an upper case of theirs may be ASCII.
    """
    return (
        _expression(column)
        .str.replace_all(r"[^ -~]+", " ")
        .str.to_uppercase()
        .str.replace_all(r"([0-9]) *\. *([0-9])", "${1}~${2}")
        .str.replace_all(r"[^A-Z0-9<>=%+/~]+", "")
    )


def prose_words(column: str | pl.Expr) -> pl.Expr:
    """A description as words with one blank between, for measuring likeness; null stays null."""
    upper = _expression(column).str.replace_all(r"[^ -~]+", " ").str.to_uppercase()
    return upper.str.replace_all(r"[^A-Z0-9<>=%+/]+", " ").str.strip_chars()


def field_form(column: str) -> pl.Expr:
    """A content field as a String that is equal in two records where they say the same; ``""`` where they say nothing.

    Base units of 0 and none are the same: to 2012 the text has zeros where later releases leave modifiers blank.
    """
    if column in PROSE_COLUMNS:
        form = prose_form(column)
    elif column == "anesthesia_base_units":
        form = pl.col(column).replace(0, None).cast(pl.String)
    elif column in _LIST_COLUMNS:
        form = _code_form(pl.col(column).list.join(_ITEM_END))
    else:
        form = _code_form(pl.col(column).cast(pl.String))
    return form.fill_null("").alias(column)


def content_forms(records: pl.DataFrame) -> pl.Series:
    """Each record's whole content as one number, equal in two records of one run whose contents are equal by form."""
    form = pl.concat_str([field_form(c) for c in CONTENT_COLUMNS], separator=_FIELD_END).hash(seed=0)
    return of_each_distinct(records.select(CONTENT_COLUMNS), form).alias("content_form")


def prose_forms(texts: pl.Series) -> pl.Series:
    """The ``prose_form`` of each description."""
    return of_each_distinct(texts.to_frame(), prose_form(texts.name))


def of_each_distinct(rows: pl.DataFrame, form: pl.Expr) -> pl.Series:
    """``form`` of each row, made once for rows that are the same: releases state most of what they state again."""
    same = rows.hash_rows()
    first = same.arg_unique()
    forms = pl.DataFrame({"same": same.gather(first), "form": rows[first].select(form).to_series()})
    return same.alias("same").to_frame().join(forms, on="same", how="left", maintain_order="left")["form"]


def _code_form(expression: pl.Expr) -> pl.Expr:
    return expression.str.to_uppercase().str.replace_all(r"\s+", "")


def _expression(column: str | pl.Expr) -> pl.Expr:
    return pl.col(column) if isinstance(column, str) else column
