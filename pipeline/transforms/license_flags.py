"""The owner of each row, and what the open tier leaves null: flags first, on whole content; masking last.

What is kept, masked or dropped is stated by ``sources/curated/license_policy.csv``; this module knows only how its
conditions are tested. The gate (``pipeline.license_gate``) checks the result without using anything from here.
"""

from __future__ import annotations

import re
from collections.abc import Callable

import polars as pl

from pipeline.transforms.comparison import of_each_distinct
from schemas.columns import CDT_CODE, CPT_CODE, LICENSE_CDT, LICENSE_CMS, LICENSE_CPT, LICENSE_UNKNOWN
from schemas.registry import contract

#: CPT's own modifiers: two digits, a digit and a letter (1P, 8P), the physical status modifiers P1 to P6.
CPT_MODIFIER = r"^([0-9][0-9A-Z]|P[1-6])$"
#: Codes of CPT and CDT within a text.
#: In lower case too, as CMS writes some; but `1000u` counts units, for a laboratory's own test begins with 0.
CITATION = r"(?i)(?:\b|_)(?:CPT|CDT)?([0-9]{5}|[0-9]{4}(?:[FTMA]|(?-i:U))|0[0-9]{3}U|D[0-9]{4})(?:\b|_)"
#: What looks like one and is none: a day with slashes, also a misspelled one (01/0/12019).
_SLASHED_DATE = r"\b[0-9]{1,2}/[0-9]{1,2}/[0-9]{1,5}\b"
#: The same in our own messages: the number of a line.
_LINE_NUMBER = r"(?i)\b(lines?|rows?)\s+[0-9]+"
#: What is in place of a withheld text where null may not stand.
WITHHELD = "withheld"


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


def _cites(text: pl.Expr) -> pl.Expr:
    return text.str.replace_all(_SLASHED_DATE, " ").str.contains(CITATION).fill_null(False)


def quotable(text: str) -> str:
    """A message for the manifest, with every number shaped like a CPT or CDT code, but for line numbers, left out."""
    kept = re.compile(f"{_SLASHED_DATE}|{_LINE_NUMBER}".replace("(?i)", ""), re.IGNORECASE)
    parts, at = [], 0
    for found in kept.finditer(text):
        parts += [re.sub(CITATION, f"[{WITHHELD}]", text[at : found.start()]), found.group(0)]
        at = found.end()
    return "".join([*parts, re.sub(CITATION, f"[{WITHHELD}]", text[at:])])


def _quotes_description() -> pl.Expr:
    """Whether the row, which names a ``field``, quotes a description: CMS's own words, kept as they are there."""
    return pl.col("field").is_in(["short_description", "long_description"]).fill_null(False)


def _quotes_section_of_rules() -> pl.Expr:
    """Whether the row quotes the number of a section of a law or a manual, which is kept as it is there."""
    return pl.col("field").str.contains("_refs?$").fill_null(False)


#: Conditions of the policy: given a value (of a list: an element), whether it falls under the rule.
CONDITIONS: dict[str, Callable[[pl.Expr], pl.Expr]] = {
    "row_of_ama_or_ada": lambda value: pl.col("license_id").is_in([LICENSE_CPT, LICENSE_CDT]),
    "names_cpt_or_cdt_code": _cites,
    "cites_cpt_or_cdt": _cites,
    "quotes_cpt_or_cdt": lambda value: _cites(value.str.replace_all(_LINE_NUMBER, " ")),
    "cites_in_description": lambda value: _quotes_description() & _cites(value),
    "cites_outside_description": lambda value: ~_quotes_description() & ~_quotes_section_of_rules() & _cites(value),
}
#: Conditions that look at the row and not at the value.
_OF_THE_ROW = {"row_of_ama_or_ada"}


def with_license_flags(
    table: str, frame: pl.DataFrame, policy: pl.DataFrame, *, code: pl.Expr | None = None, texts: tuple[str, ...] = ()
) -> pl.DataFrame:
    """Add the license columns to ``frame``, unmasked as it is; ``texts`` are the columns that may cite a code.

    A row that states its ``license_id`` and ``steward`` already keeps them.
    """
    cites = [of_each_distinct(frame.select(t), _cites(pl.col(t))) for t in texts]
    about = frame.with_columns(about=pl.col("code") if code is None else code).select("about")
    owner = of_each_distinct(about, _owner(pl.col("about")))
    owned = frame.with_columns(
        license_id=pl.coalesce("license_id", owner) if "license_id" in frame.columns else owner,
        cites_cpt=pl.any_horizontal(cites) if cites else pl.lit(False),
    )
    steward = pl.col("license_id").replace_strict(
        {LICENSE_CPT: "AMA", LICENSE_CDT: "ADA"}, default="CMS", return_dtype=pl.String
    )
    owned = owned.with_columns(steward=pl.coalesce("steward", steward) if "steward" in frame.columns else steward)
    withheld = [
        pl.when(_falls_under(owned.schema, rule)).then(pl.lit(rule["column"]))
        for rule in _rules(table, policy, "mask")
        if rule["column"] in owned.columns
    ]
    names: pl.Expr | pl.Series = pl.lit([], pl.List(pl.String))
    if withheld:
        fields = owned.select(field.alias(str(number)) for number, field in enumerate(withheld))
        listed = pl.concat_list(pl.all()).list.drop_nulls().list.unique(maintain_order=True)
        names = of_each_distinct(fields, listed)
    return owned.with_columns(withheld_fields=names).with_columns(
        redistribution=pl.when(pl.col("license_id").is_in([LICENSE_CPT, LICENSE_CDT, LICENSE_UNKNOWN]))
        .then(pl.lit("withheld"))
        .otherwise(pl.lit("open"))
    )


def masked(table: str, frame: pl.DataFrame, policy: pl.DataFrame) -> pl.DataFrame:
    """The table as the open tier has it: withheld values null, withheld elements out of their lists, dropped rows out.

    Where null may not stand, the word ``withheld`` stands instead. Raises ``ValueError`` where the policy names a
    column that the table's contract does not have.
    """
    columns = contract(table).polars_schema
    nullable = {c.name: c.nullable for c in contract(table).columns}
    for rule in _rules(table, policy, "drop"):
        frame = frame.filter(~_falls_under(frame.schema, rule))
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
            if isinstance(columns[column], pl.List):
                empty = pl.lit([], columns[column])
            else:
                empty = pl.lit(None if nullable[column] else WITHHELD, columns[column])
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
