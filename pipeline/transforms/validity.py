"""``hcpcs_validity``: what any code of any system means on any day, decided once. Every engine only joins it.

A code that a release states has rows of its own. All others are answered by intervals of codes, which follow from the
curated code systems and sections alone, so that classification needs no release. Nothing here reads or writes.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import polars as pl

from schemas.columns import LICENSE_UNKNOWN
from schemas.hcpcs_validity import FIRST_DAY, LAST_DAY
from sources.curated.tables import load_code_families, load_code_sections, load_code_systems

_DAY = pl.duration(days=1)
_SIGNS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_CODE = ("kind", "code")
#: What an interval says of its codes on all days.
_OF_INTERVAL = (
    *("kind", "code_shape", "first_code", "last_code", "code_system", "code_category"),
    *("undated_section_id", "modifier_kind"),
)
_OF_ROW = (
    *("from_day", "to_day", "status", "section_id", "episode", "span_number"),
    *("short_description", "long_description", "replaced_by", "is_unlisted", "observed_gap"),
)
#: On lines of this family's codes a modifier is a pair of origin and destination.
_AMBULANCE = "ambulance"


def code_shape(code: pl.Expr) -> pl.Expr:
    """The shape of codes: digits as #, a first letter as A. Within a shape the order of texts is that of numbers."""
    return code.str.replace_all("[0-9]", "#").str.replace("^[A-Z]", "A")


@cache
def curated_intervals() -> pl.DataFrame:
    """``code_intervals`` of the curated tables."""
    return code_intervals(load_code_systems(), load_code_sections(), load_code_families())


def code_intervals(systems: pl.DataFrame, sections: pl.DataFrame, families: pl.DataFrame) -> pl.DataFrame:
    """The rows of ``hcpcs_validity`` for codes that no release states: by interval of codes and span of days.

    Columns: those of ``_OF_INTERVAL``, ``from_day``, ``to_day``, ``status``, ``section_id`` (the deepest on these days,
    then the newest; ``undated_section_id`` is that of all days), ``license_id``, ``steward``. No code is
    in two intervals, and none that has the format of no system is in one.
    """
    ambulance = families.filter(family_id=_AMBULANCE)
    pieces = _pieces(systems, [sections, ambulance])
    found = _in_effect_by(pieces, sections).sort(
        "piece", "depth", "valid_from", descending=[False, True, True], nulls_last=True
    )
    modifier_kind = (
        pl.when(pl.col("piece").is_in(_in_effect_by(pieces, ambulance)["piece"].implode()))
        .then(pl.lit("ambulance_modifier"))
        .when(kind="procedure")
        .then(pl.lit("modifier"))
    )
    days = (
        pl.concat(
            [
                pieces.select("piece", from_day=pl.lit(FIRST_DAY)),
                found.select("piece", from_day="valid_from"),
                found.select("piece", from_day=pl.col("valid_to") + _DAY),
            ]
        )
        .drop_nulls()
        .unique()
    )
    on_day = (
        found.join(days, on="piece", maintain_order="left")
        .filter(
            pl.col("from_day") >= pl.col("valid_from").fill_null(FIRST_DAY),
            pl.col("from_day") <= pl.col("valid_to").fill_null(LAST_DAY),
        )
        .unique(["piece", "from_day"], keep="first", maintain_order=True)
        .select("piece", "from_day", "section_id")
    )
    spans = _spans(days.join(on_day, on=["piece", "from_day"], how="left"), ["piece"], "section_id")
    newest = found.unique("piece", keep="first", maintain_order=True)
    said = spans.group_by("piece", maintain_order=True).agg(
        said=pl.concat_str("from_day", pl.col("section_id").fill_null(""))
    )
    # Neighbors of which the same is stated become one interval.
    intervals = (
        pieces.join(said.with_columns(pl.col("said").list.join(" ")), on="piece")
        .join(newest.select("piece", undated_section_id="section_id"), on="piece", how="left")
        .sort("kind", "code_shape", "first_code")
        .with_columns(modifier_kind=modifier_kind)
        .with_columns(run=pl.struct(pl.all().exclude("piece", "first_code", "last_code")).rle_id())
        .group_by("run", maintain_order=True)
        .agg(pl.all().exclude("last_code").first(), pl.last("last_code"))
        .join(
            systems.select("license_id", "steward", code_system="code_system_id", code_category="category"),
            on="code_system",
        )
        # A code that no release states is nobody's to redistribute, whatever letter it begins with.
        .with_columns(license_id=pl.when(steward="CMS").then(pl.lit(LICENSE_UNKNOWN)).otherwise("license_id"))
    )
    by_section = intervals.join(spans, on="piece")
    rows = _overlaps(by_section, _spans_of_systems(systems), ["code_system"])
    return rows.select(*_OF_INTERVAL, "from_day", "to_day", "status", "section_id", "license_id", "steward").sort(
        "kind", "code_shape", "first_code", "from_day"
    )


def validity(
    history: pl.DataFrame,
    codes: pl.DataFrame,
    modifiers: pl.DataFrame,
    intervals: pl.DataFrame,
    locations: pl.DataFrame,
) -> pl.DataFrame:
    """``hcpcs_validity`` but for license flags: ``license_id`` and ``steward`` are null where a row is about one code.

    ``history``, ``codes`` and ``modifiers`` are the published tables, unmasked; ``intervals`` are ``code_intervals``,
    ``locations`` the table ``ambulance_locations``.
    """
    by_section = _spans(
        intervals.drop("to_day", "status", "license_id", "steward"), ["kind", "first_code"], "section_id"
    )
    placed = (
        history.select(*_CODE)
        .unique()
        .with_columns(code_shape=code_shape(pl.col("code")))
        .join(by_section, on=["kind", "code_shape"])
        .filter(pl.col("code") >= pl.col("first_code"), pl.col("code") <= pl.col("last_code"))
    )
    meanings = pl.concat(
        [
            codes.select("code", "episode", "is_unlisted", "replaced_by", kind=pl.lit("procedure")),
            modifiers.select("code", "episode", "replaced_by", kind=pl.lit("modifier")),
        ],
        how="diagonal",
    )
    texts = history.select(*_CODE, "episode", "span_number", "short_description", "long_description")
    known = (
        _overlaps(_days_of_codes(history), placed, _CODE)
        .join(meanings, on=[*_CODE, "episode"], how="left")
        .join(texts, on=[*_CODE, "episode", "span_number"], how="left")
        .with_columns(first_code="code", last_code="code", is_interval=False)
    )
    rows = pl.concat([known, intervals.with_columns(is_interval=True)], how="diagonal").select(
        *_OF_INTERVAL, *_OF_ROW, "is_interval", "license_id", "steward"
    )
    on_ambulance = _ambulance_modifiers(rows.filter(kind="modifier"), locations)
    return pl.concat([rows, on_ambulance], how="diagonal_relaxed").with_columns(pl.col("replaced_by").fill_null([]))


def _ambulance_modifiers(modifiers: pl.DataFrame, locations: pl.DataFrame) -> pl.DataFrame:
    """What modifiers mean on an ambulance's line: pairs of origin and destination on their days, else the usual."""
    days = locations.with_columns(pl.col("valid_from").fill_null(FIRST_DAY), pl.col("valid_to").fill_null(LAST_DAY))
    of_pair = days.filter("is_origin").join(days.filter("is_destination"), how="cross", suffix="_2")
    code = pl.col("letter") + pl.col("letter_2")
    pairs = of_pair.select(
        first_code=code,
        from_day=pl.max_horizontal("valid_from", "valid_from_2"),
        to_day=pl.min_horizontal("valid_to", "valid_to_2"),
        long_description=pl.format("Ambulance. Origin: {}. Destination: {}.", "meaning", "meaning_2"),
    )
    other_days = pl.concat(
        [
            pairs.select("first_code", from_day=pl.lit(FIRST_DAY), to_day=pl.col("from_day") - _DAY),
            pairs.select("first_code", from_day=pl.col("to_day") + _DAY, to_day=pl.lit(LAST_DAY)),
        ]
    ).filter(pl.col("from_day") <= pl.col("to_day"))
    stated = modifiers.filter(~pl.col("is_interval"))
    pair_rows = pl.concat(
        [
            pairs.with_columns(status=pl.lit("valid")),
            other_days.join(stated, on="first_code", how="anti").with_columns(
                status=pl.lit("unknown_code"), license_id=pl.lit(LICENSE_UNKNOWN), steward=pl.lit("CMS")
            ),
        ],
        how="diagonal",
    ).with_columns(
        code_shape=code_shape(pl.col("first_code")),
        last_code="first_code",
        code_system=pl.lit("hcpcs-level-2-modifier"),
        code_category=pl.lit("modifier"),
        is_interval=False,
    )
    usual = pl.concat(
        [
            modifiers.filter("is_interval"),
            stated.join(pairs, on="first_code", how="anti"),
            _overlaps(stated, other_days, ["first_code"]).select(modifiers.columns),
        ]
    )
    return pl.concat([pair_rows, usual], how="diagonal_relaxed").with_columns(kind=pl.lit("ambulance_modifier"))


def days_not_answered_once(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of ``hcpcs_validity`` that leave days or answer them twice, or whose codes another interval answers."""
    key = ["kind", "is_interval", "first_code"]
    ordered = rows.sort(*key, "from_day").with_columns(
        day_before=pl.col("from_day") - _DAY,
        last_before=pl.col("to_day").shift().over(key),
        day_after=pl.col("from_day").shift(-1).over(key),
    )
    wrong_days = ordered.filter(
        (pl.col("day_before") != pl.col("last_before"))
        | (pl.col("last_before").is_null() & (pl.col("from_day") != FIRST_DAY))
        | (pl.col("day_after").is_null() & (pl.col("to_day") != LAST_DAY))
        | (~pl.col("is_interval") & (pl.col("first_code") != pl.col("last_code")))
    )
    intervals = (
        rows.filter("is_interval")
        .select("kind", "code_shape", "first_code", "last_code")
        .unique()
        .sort("kind", "code_shape", "first_code")
    )
    twice = intervals.filter(pl.col("first_code") <= pl.col("last_code").shift().over("kind", "code_shape"))
    names = ["kind", "first_code", "last_code"]
    return pl.concat([wrong_days.select(names), twice.select(names)])


def _days_of_codes(history: pl.DataFrame) -> pl.DataFrame:
    """The days of each code in order, with the span that began last and what became of it."""
    after = pl.col("valid_from").shift(-1).over(_CODE)
    spans = (
        history.sort(*_CODE, "valid_from")
        .select(
            *_CODE,
            "episode",
            "span_number",
            "valid_from",
            "valid_to",
            "valid_to_basis",
            "observed_gap",
            end=after - _DAY,
        )
        .with_columns(
            pl.col("end").fill_null(LAST_DAY), to_day=pl.min_horizontal("valid_to", "end").fill_null(LAST_DAY)
        )
    )
    gone = pl.when(valid_to_basis="absence").then(pl.lit("purged_unknown")).otherwise(pl.lit("expired"))
    what = (*_CODE, "episode", "span_number")
    days = pl.concat(
        [
            spans.unique(_CODE, keep="first", maintain_order=True).select(
                *_CODE, from_day=pl.lit(FIRST_DAY), to_day=pl.col("valid_from") - _DAY, status=pl.lit("not_yet_valid")
            ),
            spans.select(*what, "observed_gap", "to_day", from_day="valid_from", status=pl.lit("valid")),
            spans.select(*what, from_day=pl.col("to_day") + _DAY, to_day="end", status=gone),
        ],
        how="diagonal",
    )
    return days.filter(pl.col("from_day") <= pl.col("to_day"))


def _spans_of_systems(systems: pl.DataFrame) -> pl.DataFrame:
    """What is stated on each day of codes of a system that no release states."""
    is_loaded = (pl.col("system") == "HCPCS") & (pl.col("level") == "II")
    in_force = pl.when(is_loaded).then(pl.lit("unknown_code")).otherwise(pl.lit("not_loaded"))
    before = pl.when(pl.col("valid_from").is_null()).then(in_force).otherwise(pl.lit("not_yet_valid"))
    system = pl.col("code_system_id").alias("code_system")
    starts = pl.concat(
        [
            systems.select(system, from_day=pl.lit(FIRST_DAY), status=before),
            systems.select(system, from_day="valid_from", status=in_force),
            systems.select(system, from_day=pl.col("valid_to") + _DAY, status=pl.lit("system_ended")),
        ]
    )
    return _spans(starts.drop_nulls("from_day"), ["code_system"], "status")


def _pieces(systems: pl.DataFrame, ranges: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """All possible codes, cut where a system or one of ``ranges`` may begin; ``code_system`` is null where none's."""
    signs = pl.DataFrame({"prefix": list(_SIGNS)})
    ends = pl.DataFrame({"suffix": ["", *_SIGNS[10:]]})
    # No pattern tells one inner digit, or one last digit, of a procedure code from another.
    procedures = signs.join(ends, how="cross").with_columns(
        kind=pl.lit("procedure"), digits=pl.when(suffix="").then(4).otherwise(3)
    )
    modifiers = signs.join(signs, how="cross", suffix="_2").select(
        prefix=pl.col("prefix") + pl.col("prefix_2"), suffix=pl.lit(""), kind=pl.lit("modifier"), digits=0
    )
    blocks = pl.concat([procedures, modifiers], how="diagonal").with_columns(
        number=pl.lit(0, pl.Int64), end=pl.lit(10, pl.Int64).pow(pl.col("digits"))
    )
    blocks = blocks.with_columns(first_code=_code("number")).with_columns(
        code_system=system_of(pl.col("first_code"), systems)
    )
    bounds = pl.concat(
        [_bounds(r, bound, more) for r in ranges for bound, more in (("first_code", 0), ("last_code", 1))]
    )
    cuts = blocks.drop("number").join(bounds, on=["prefix", "suffix", "code_system"])
    return (
        pl.concat([blocks, cuts.filter(pl.col("number") < pl.col("end")).select(blocks.columns)])
        .unique(["kind", "prefix", "suffix", "number"])
        .sort("kind", "prefix", "suffix", "number")
        .with_columns(last=pl.col("number").shift(-1).over("kind", "prefix", "suffix").fill_null(pl.col("end")) - 1)
        .select("kind", "code_system", first_code=_code("number"), last_code=_code("last"))
        .with_columns(code_shape=code_shape(pl.col("first_code")))
        .with_row_index("piece")
    )


def system_of(code: pl.Expr, systems: pl.DataFrame) -> pl.Expr:
    """The code system whose shape ``code`` has; null if none. No code has the format of two."""
    shaped = systems.filter(pl.col("code_pattern").is_not_null()).select("code_system_id", "code_pattern")
    found = [pl.when(code.str.contains(pattern)).then(pl.lit(name)) for name, pattern in shaped.iter_rows()]
    return pl.coalesce(*found, pl.lit(None, pl.String))


def _code(number: str) -> pl.Expr:
    digits = pl.when(pl.col("digits") > 0).then(pl.col(number).cast(pl.String).str.zfill(pl.col("digits")))
    return pl.concat_str("prefix", digits.otherwise(pl.lit("")), "suffix")


def _bounds(ranges: pl.DataFrame, bound: str, more: int) -> pl.DataFrame:
    code = pl.col(bound)
    return ranges.select(
        code_system="code_system_id",
        prefix=code.str.head(1),
        suffix=code.str.extract("([A-Z]?)$"),
        number=code.str.slice(1).str.extract("^([0-9]+)").cast(pl.Int64) + more,
    ).drop_nulls()


def _in_effect_by(pieces: pl.DataFrame, ranges: pl.DataFrame) -> pl.DataFrame:
    """``ranges`` of a system's codes, by each piece that lies within them."""
    found = pieces.join(ranges, left_on="code_system", right_on="code_system_id", suffix="_of_range")
    return found.filter(
        pl.col("code_shape") == code_shape(pl.col("first_code_of_range")),
        pl.col("first_code") >= pl.col("first_code_of_range"),
        (pl.col("last_code") <= pl.col("last_code_of_range")).fill_null(True),
    )


def _spans(starts: pl.DataFrame, by: Sequence[str], value: str) -> pl.DataFrame:
    """``starts`` (``from_day``) as spans with ``to_day``; neighbors of one ``value`` become one."""
    ordered = starts.sort(*by, "from_day")
    is_change = pl.col(value).ne_missing(pl.col(value).shift()) | pl.struct(by).ne_missing(pl.struct(by).shift())
    return ordered.filter(is_change).with_columns(
        to_day=(pl.col("from_day").shift(-1).over(by) - _DAY).fill_null(LAST_DAY)
    )


def _overlaps(left: pl.DataFrame, right: pl.DataFrame, on: Sequence[str]) -> pl.DataFrame:
    """Rows of ``left`` and ``right`` that have days in common, with these."""
    return (
        left.join(right, on=on, suffix="_2")
        .with_columns(
            from_day=pl.max_horizontal("from_day", "from_day_2"), to_day=pl.min_horizontal("to_day", "to_day_2")
        )
        .filter(pl.col("from_day") <= pl.col("to_day"))
    )
