"""Whose each row is, and what the open tier leaves null: flags first, on whole content; masking last.

What is kept, masked or dropped is said by ``sources/curated/license_policy.csv``; this module knows only how its
conditions are tested. The gate (``pipeline.gate``) checks the result without using anything from here.
"""

from __future__ import annotations

from collections.abc import Callable

import polars as pl

from schemas.columns import LICENSE_CDT, LICENSE_CMS, LICENSE_CPT
from schemas.registry import contract

#: CPT's own modifiers: two digits, a digit and a letter (1P, 8P), the physical status modifiers P1 to P6.
CPT_MODIFIER = r"^([0-9][0-9A-Z]|P[1-6])$"
#: CPT codes by shape: Category I, II (F), III (T), PLA (U), administrative MAAA (M), retired vaccine codes (A).
CPT_CODE = r"^[0-9]{4}[0-9FTUMA]$"
CDT_CODE = r"^D[0-9]{4}$"
#: The same within a text.
CITATION = r"\b([0-9]{5}|[0-9]{4}[FTUMA]|D[0-9]{4})\b"

FLAGS = ("license_id", "steward", "redistribution", "cites_cpt", "withheld_fields")


def _owner(code: pl.Expr) -> pl.Expr:
    """License of the row that is about ``code``."""
    return (
        pl.when(code.str.contains(CPT_CODE) | code.str.contains(CPT_MODIFIER))
        .then(pl.lit(LICENSE_CPT))
        .when(code.str.contains(CDT_CODE))
        .then(pl.lit(LICENSE_CDT))
        .otherwise(pl.lit(LICENSE_CMS))
        .fill_null(LICENSE_CMS)
    )


def _is_foreign(code: pl.Expr) -> pl.Expr:
    return (code.str.contains(CPT_CODE) | code.str.contains(CDT_CODE)).fill_null(False)


#: Conditions of the policy: given a value (of a list: an element), whether it falls under the rule.
CONDITIONS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "row_of_ama_or_ada": lambda value: pl.col("license_id").is_in([LICENSE_CPT, LICENSE_CDT]),
    "names_cpt_or_cdt_code": _is_foreign,
    "cites_cpt_or_cdt": lambda value: value.str.contains(CITATION).fill_null(False),
}
#: Conditions that look at the row and not at the value.
_OF_THE_ROW = {"row_of_ama_or_ada"}


def with_license_flags(
    table: str, frame: pl.DataFrame, policy: pl.DataFrame, *, code: pl.Expr | None = None, texts: tuple[str, ...] = ()
) -> pl.DataFrame:
    """Add the license columns to ``frame``, unmasked as it is; ``texts`` are the columns that may cite a code."""
    cites = [pl.col(t).str.contains(CITATION).fill_null(False) for t in texts]
    owned = frame.with_columns(
        license_id=_owner(pl.col("code") if code is None else code),
        cites_cpt=pl.any_horizontal(cites) if cites else pl.lit(False),
    ).with_columns(
        steward=pl.col("license_id").replace_strict(
            {LICENSE_CPT: "AMA", LICENSE_CDT: "ADA"}, default="CMS", return_dtype=pl.String
        )
    )
    withheld = [
        pl.when(_falls_under(owned.schema, rule)).then(pl.lit(rule["column"]))
        for rule in _rules(table, policy, "mask")
        if rule["column"] in owned.columns
    ]
    names = (
        pl.concat_list(withheld).list.drop_nulls().list.unique(maintain_order=True)
        if withheld
        else pl.lit([], pl.List(pl.String))
    )
    return owned.with_columns(withheld_fields=names).with_columns(
        redistribution=pl.when(pl.col("license_id").is_in([LICENSE_CPT, LICENSE_CDT]))
        .then(pl.lit("withheld"))
        .otherwise(pl.lit("open"))
    )


def masked(table: str, frame: pl.DataFrame, policy: pl.DataFrame) -> pl.DataFrame:
    """The table as the open tier has it: withheld values null, withheld elements out of their lists, dropped rows out.

    Raises ``ValueError`` where the policy names a column that the table's contract does not have.
    """
    columns = contract(table).polars_schema
    for rule in _rules(table, policy, "mask"):
        column = rule["column"]
        if column not in columns:
            raise ValueError(f"license policy: {table} has no column {column}")
        value = pl.col(column)
        if _by_element(columns[column], rule):
            frame = frame.with_columns(
                value.list.eval(pl.element().filter(~CONDITIONS[rule["condition"]](pl.element())))
            )
        else:
            empty = (
                pl.lit([], columns[column]) if isinstance(columns[column], pl.List) else pl.lit(None, columns[column])
            )
            frame = frame.with_columns(
                pl.when(~CONDITIONS[rule["condition"]](value)).then(value).otherwise(empty).alias(column)
            )
    return frame


def _rules(table: str, policy: pl.DataFrame, action: str) -> list[dict[str, str]]:
    return policy.filter((pl.col("table") == table) & (pl.col("action") == action)).to_dicts()


def _by_element(dtype: pl.DataType, rule: dict[str, str]) -> bool:
    return isinstance(dtype, pl.List) and rule["condition"] not in _OF_THE_ROW


def _falls_under(schema: pl.Schema, rule: dict[str, str]) -> pl.Expr:
    value, condition = pl.col(rule["column"]), CONDITIONS[rule["condition"]]
    if _by_element(schema[rule["column"]], rule):
        return value.list.eval(condition(pl.element())).list.any().fill_null(False)
    return condition(value)
