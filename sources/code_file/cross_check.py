"""The workbook as witness of the text: every field of every record compared, disagreements told by their cause."""

from __future__ import annotations

import polars as pl

from sources.code_file.record_layout import RECORD_FIELDS
from sources.findings import Finding

_MOST_EXAMPLES = 5


def compare_with_witness(text: pl.DataFrame, workbook: pl.DataFrame, absent: set[str], member: str) -> list[Finding]:
    """Compare typed records of a text with those of its workbook (``member``); the text stays the source.

    ``absent`` names fields for which the workbook has no column. One finding per field and cause.
    """
    key = ["kind", "code"]
    findings = []
    for who, left, right in (("text", text, workbook), ("workbook", workbook, text)):
        alone = left.join(right, on=key, how="anti")
        if alone.height:
            findings.append(
                Finding.of(
                    "record_in_one_form",
                    f"{alone.height} records are in the {who} alone",
                    member,
                    field="code",
                    action="kept" if who == "text" else "left out: the text is the source",
                    occurrences=alone.height,
                    examples=tuple(alone["code"].head(_MOST_EXAMPLES)),
                )
            )
    both = text.join(workbook, on=key, how="inner", suffix="_witness")
    for f in RECORD_FIELDS:
        if f.name not in absent:
            findings.extend(_field_disagreements(f.name, both, member))
    return findings


def _field_disagreements(field: str, both: pl.DataFrame, member: str) -> list[Finding]:
    differ = both.filter(pl.col(field).ne_missing(pl.col(f"{field}_witness"))).select(
        "code", ours=pl.col(field), theirs=pl.col(f"{field}_witness")
    )
    if differ.is_empty():
        return []
    if differ.schema["ours"] == pl.List(pl.String):
        differ = differ.with_columns(pl.col("ours", "theirs").list.join(" ").replace("", None))
    differ = differ.with_columns(pl.col("ours", "theirs").cast(pl.String))
    letters_of_text, letters_theirs = (
        pl.col(c).str.to_lowercase().str.replace_all(r"[^a-z0-9<>=%+/]", "") for c in ("ours", "theirs")
    )
    differ = differ.with_columns(
        cause=pl.when(pl.col("theirs").is_null())
        .then(pl.lit("is blank in the workbook"))
        .when(pl.col("ours").is_null())
        .then(pl.lit("is blank in the text"))
        .when(letters_of_text == letters_theirs)
        .then(pl.lit("differs in case, spacing or punctuation only"))
        .when(letters_of_text.str.starts_with(letters_theirs))
        .then(pl.lit("is cut short in the workbook"))
        .when(letters_theirs.str.starts_with(letters_of_text))
        .then(pl.lit("is cut short in the text"))
        .otherwise(pl.lit("differs"))
    )
    findings = []
    for cause in sorted(differ["cause"].unique()):
        rows = differ.filter(pl.col("cause") == cause)
        form_only = cause.startswith("differs in case")
        one = rows.height == 1
        findings.append(
            Finding.of(
                "forms_disagree",
                f"{field} of {rows.height} record{'' if one else 's'} {cause}",
                member,
                code=rows["code"][0] if one else None,
                field=field,
                raw_value=rows["theirs"][0] if one else None,
                severity="info" if form_only or "blank in the workbook" in cause else "warning",
                occurrences=rows.height,
                examples=tuple(rows["code"].head(_MOST_EXAMPLES)),
            )
        )
    return findings
