"""Contract of ``hcpcs_validity``: what any code of any system means on any day. Nothing here reads or writes."""

from __future__ import annotations

import datetime as dt

import pandera.polars as pa
import polars as pl

from schemas.columns import (
    CODE_OR_MODIFIER,
    DERIVED,
    LicenseColumns,
    TableFacts,
    column,
    derived,
    from_table,
    text_list,
)

#: The ends of SQL's calendar, for spans without a beginning or an end.
FIRST_DAY, LAST_DAY = dt.date(1, 1, 1), dt.date(9999, 12, 31)
KINDS = ("procedure", "modifier", "ambulance_modifier")
STATUSES = (
    "valid",
    "not_yet_valid",
    "expired",
    "purged_unknown",
    "system_ended",
    "not_loaded",
    "unknown_code",
)

_SECTIONS = from_table(
    "curated_code_sections", "code_system_id", "depth", "first_code", "last_code", "valid_from", "valid_to"
)
_SYSTEM = ("hcpcs_history.code", "curated_code_systems.code_pattern")
_CODES = (
    *_SYSTEM,
    *from_table("curated_code_sections", "first_code", "last_code"),
    *from_table("curated_code_families", "first_code", "last_code"),
    "curated_ambulance_locations.letter",
)
_DAYS = (
    *from_table("hcpcs_history", "valid_from", "valid_to"),
    *from_table("curated_code_systems", "valid_from", "valid_to"),
    *from_table("curated_code_sections", "valid_from", "valid_to"),
    *from_table("curated_ambulance_locations", "valid_from", "valid_to"),
)


class HcpcsValidity(LicenseColumns):
    """One row per code, or interval of codes that no release has, and span of days: what it is on those days.

    A code that a release has gets rows of its own; any other is covered by the interval of its kind and format that
    contains it. The spans of each cover all days without gap or overlap, so exactly one row applies to a code and day.
    """

    kind: str = derived(
        "`procedure`; `modifier`; or `ambulance_modifier`, a modifier on a line whose procedure code has that"
        " `modifier_kind`: an origin and a destination, or else what the modifier is elsewhere.",
        isin=KINDS,
        lineage=("hcpcs_history.kind", "curated_code_systems.kind", "curated_ambulance_locations.letter"),
    )
    code_shape: str = derived(
        "Format of the codes: digits as #, a first letter as A (`A####`, `#####`, `####U`; modifiers `AT`, `##`)."
        " Within a format, codes sort like numbers.",
        str_matches=r"^[A#](###)?[A-Z#]$",
        lineage=_CODES,
    )
    first_code: str = column(
        "The code; of an interval, its first code.",
        source=DERIVED,
        str_matches=CODE_OR_MODIFIER,
        lineage=_CODES,
    )
    last_code: str = column(
        "The code; of an interval, its last code.",
        source=DERIVED,
        str_matches=CODE_OR_MODIFIER,
        lineage=_CODES,
    )
    is_interval: bool = derived(
        "Whether the row answers for all codes from `first_code` to `last_code` that have `code_shape` and no rows of "
        "their own.",
        lineage=_CODES,
    )
    from_day: pl.Date = derived("First day of the span; 0001-01-01 where it has no beginning.", lineage=_DAYS)
    to_day: pl.Date = derived("Last day of the span; 9999-12-31 where it has no end.", lineage=_DAYS)
    status: str = derived(
        "What a code is on these days: `valid`; `not_yet_valid`, before its first day or its system's; `expired`, "
        "after an end that CMS states; `purged_unknown`, after it left CMS's file without one; `system_ended`, "
        "after the last day of its system; `not_loaded`, a code of a system whose codes are not in CMS's file; "
        "`unknown_code`, in the format of HCPCS Level II and in no release.",
        isin=STATUSES,
        lineage=(*_DAYS, "hcpcs_history.valid_to_basis", *_SYSTEM, "curated_code_systems.level"),
    )
    code_system: str = derived(
        "Code system by the code's format, see `code_systems`.",
        lineage=(*_SYSTEM, "curated_code_systems.code_system_id"),
    )
    code_category: str = derived(
        "Category within CPT, or the sort of modifier.",
        nullable=True,
        lineage=("code_system", "curated_code_systems.category"),
    )
    section_id: str = derived(
        "Deepest section that contains the code on these days, see `code_sections`.",
        nullable=True,
        lineage=("code_system", "curated_code_sections.section_id", *_SECTIONS),
    )
    undated_section_id: str = derived(
        "Deepest and newest section that contains the code on any day: for lines without a date.",
        nullable=True,
        lineage=("code_system", "curated_code_sections.section_id", *_SECTIONS),
    )
    modifier_kind: str = derived(
        "The `kind` of the modifiers on lines with this procedure code; null for modifiers.",
        nullable=True,
        isin=KINDS[1:],
        lineage=("first_code", *from_table("curated_code_families", "family_id", "first_code", "last_code")),
    )
    episode: pl.Int32 = derived(
        "The code's episode; after an end, the one that ended. Null before the first and for intervals.",
        nullable=True,
        ge=1,
        lineage=("hcpcs_history.episode",),
    )
    span_number: pl.Int32 = derived(
        "The episode's span: with `kind`, the code and `episode` the key of `hcpcs_history`.",
        nullable=True,
        ge=1,
        lineage=("hcpcs_history.span_number",),
    )
    short_description: str = column(
        "Short description in that span.",
        source="CMS record, positions 92-119",
        nullable=True,
        lineage=("hcpcs_history.short_description",),
    )
    long_description: str = column(
        "Long description in that span; of an ambulance's pair, origin and destination in this project's words.",
        source="CMS record, positions 12-91",
        nullable=True,
        lineage=("hcpcs_history.long_description", "curated_ambulance_locations.meaning"),
    )
    replaced_by: pl.List = text_list(
        "Codes that CMS names for the episode, if it has ended; those of other owners are left out.",
        source="CMS record, positions 205-229",
        lineage=("hcpcs_codes.replaced_by", "hcpcs_modifiers.replaced_by"),
    )
    is_unlisted: bool = column(
        "Whether a list of unlisted (NOC) codes that CMS posted in the episode's time names the code; null for "
        "modifiers and where there is no episode.",
        source=DERIVED,
        nullable=True,
        lineage=("hcpcs_codes.is_unlisted",),
    )
    observed_gap: bool = derived(
        "Whether CMS posted releases in this period that are not loaded, so that the wording may have changed in "
        "between; null where the code is not valid.",
        nullable=True,
        lineage=("hcpcs_history.observed_gap",),
    )

    @pa.dataframe_check(name="days_in_order")
    def days_in_order(cls, data: pa.PolarsData) -> pl.LazyFrame:  # noqa: N805
        """A span ends on or after the day on which it begins."""
        return data.lazyframe.select(pl.col("to_day") >= pl.col("from_day"))

    class Config:
        """Strict, ordered, keyed."""

        strict, ordered, unique = True, True, ["kind", "is_interval", "first_code", "from_day"]
        metadata = TableFacts(
            "codes",
            derived_from="hcpcs_history",
            code="first_code",
            texts=("short_description", "long_description"),
            spans=(("kind", "is_interval", "first_code"), "from_day", "to_day"),
        )
