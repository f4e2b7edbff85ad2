"""Columns that several tables share, and the one way to state a column and a table's facts.

A column says its type, its checks, what it means and where it comes from; Parquet metadata, the data dictionary,
the lineage and the catalog are derived from that. What only one table has stays in that table's module.
"""

from __future__ import annotations

from dataclasses import KW_ONLY, dataclass
from typing import Any

import pandera.polars as pa
import polars as pl

LICENSE_CMS = "LicenseRef-US-Gov-Public-Domain-17USC105"
LICENSE_CPT = "LicenseRef-AMA-CPT"
LICENSE_CDT = "LicenseRef-ADA-CDT"
LICENSE_CC0 = "CC0-1.0"
#: Codes whose owner no public file names; nobody may redistribute them on this project's word.
LICENSE_UNKNOWN = "LicenseRef-Unknown"

LICENSE_IDS = (LICENSE_CMS, LICENSE_CPT, LICENSE_CDT, LICENSE_CC0, LICENSE_UNKNOWN)
#: Who maintains a code system; ``local`` are the states, contractors and insurers that wrote HCPCS Level III.
STEWARDS = ("CMS", "AMA", "ADA", "local")
CONFIDENCE = ("high", "medium", "low")
RECORD_KINDS = ("procedure", "modifier")
REDISTRIBUTION = ("open", "withheld")

RELEASE_ID = r"^(19|20)\d\d-(0[1-9]|1[0-2])$"
#: Codes by the kind of CMS's record: five positions, letter or digit first and last, digits between; two of a modifier.
CODE_FORMATS = {"procedure": "[A-Z0-9][0-9]{3}[A-Z0-9]", "modifier": "[A-Z0-9]{2}"}
CODE_OR_MODIFIER = f"^({'|'.join(CODE_FORMATS.values())})$"
#: Category I, II (F), III (T), PLA (U), administrative MAAA (M), retired vaccine codes (A).
CPT_CODE = r"^[0-9]{4}[0-9FTUMA]$"
CDT_CODE = r"^D[0-9]{4}$"
SHA256 = r"^[0-9a-f]{64}$"

#: The ``source`` of a column that no publisher states: this project decides, counts or writes it. A column must say
#: either a publisher's place or this; there is no default.
DERIVED = ""
#: Where the id of a release is read.
RELEASE_NAMES = "names of CMS's zip and members"
#: Groups of tables, in the order of the data's way.
GROUPS = ("records", "side_files", "history", "codes", "reference")


def column(
    description: str,
    *,
    source: str,
    lineage: tuple[str, ...] = (),
    license_id: str = LICENSE_CMS,
    of: pl.DataType | type[pl.DataType] | None = None,
    nullable: bool = False,
    **checks: Any,
) -> Any:
    """State a column: what it means, where it comes from, whose it is, and the checks it must pass.

    ``source`` is the place in what others publish ("CMS record, positions 12-91"), or ``DERIVED``. ``lineage`` names
    what the value is made from: columns of other tables or of curated files (``table.column``), or columns of the same
    table (``column``), which stand for what those are made from. Without it the column comes from the one of its name
    in the table that ``TableFacts`` names. ``of`` is the element type of a list column.
    """
    kwargs = {"inner": of} if of is not None else None
    return pa.Field(
        description=description,
        nullable=nullable,
        dtype_kwargs=kwargs,
        metadata={"source": source, "lineage": list(lineage), "license": license_id},
        **checks,
    )


def derived(description: str, **kwargs: Any) -> Any:
    """State a column that no publisher states: this project decides, counts or writes it, under its own license."""
    return column(description, source=DERIVED, license_id=LICENSE_CC0, **kwargs)


#: The same in a table whose rows this project wrote.
curated = derived


def from_table(table: str, *columns: str) -> tuple[str, ...]:
    """Columns of one table, as ``lineage`` names them."""
    return tuple(f"{table}.{column}" for column in columns)


def curated_source() -> Any:
    """The URL where a curated row can be checked."""
    return curated("URL where the row can be checked.", str_matches=r"^https?://\S+$")


def curated_confidence() -> Any:
    """How sure a curated row is."""
    return curated("How sure the row is, which follows from its source: high, medium or low.", isin=CONFIDENCE)


@dataclass(frozen=True, slots=True)
class TableFacts:
    """What a table says of itself, as its ``Config.metadata``.

    ``group`` is one of ``GROUPS``. ``derived_from`` is the table, or the curated file, that columns without a
    stated lineage derive from. The license columns follow from the column ``code`` (None: the steward is the same
    for all rows) and from the ``texts`` that may cite a code. ``owner`` is the team that answers for the table.
    ``spans`` (columns, first day, last day): rows that agree in these columns have no day in common.
    """

    group: str
    _: KW_ONLY
    derived_from: str
    code: str | None = "code"
    texts: tuple[str, ...] = ()
    owner: str = "hcpcs"
    spans: tuple[tuple[str, ...], str, str] | None = None


def release_id(
    description: str = "Release, by the month it takes effect (YYYY-MM).", *, source: str = RELEASE_NAMES, **kwargs: Any
) -> Any:
    """The id of a release."""
    return column(description, source=source, str_matches=RELEASE_ID, **kwargs)


def revision(**kwargs: Any) -> Any:
    """Revision of the release's code file."""
    return column(
        "Revision of the release's code file, counted from 1 in the order that its members state.",
        source=DERIVED,
        ge=1,
        **kwargs,
    )


def record_kind(*, source: str = "CMS record, position 11 (3 procedure, 7 modifier)", **kwargs: Any) -> Any:
    """Procedure code or modifier."""
    return column("Whether the record is a procedure code or a modifier.", source=source, isin=RECORD_KINDS, **kwargs)


def hcpcs_code(*, source: str = "CMS record, positions 1-5", **kwargs: Any) -> Any:
    """A code or modifier without padding."""
    return column(
        "The code, or the two-character modifier, without padding.",
        source=source,
        str_matches=CODE_OR_MODIFIER,
        **kwargs,
    )


def text_list(description: str, **kwargs: Any) -> Any:
    """A list of text values, in the order in which CMS states them; empty where there are none."""
    return column(description, of=pl.String, **kwargs)


class SideFileLine(pa.DataFrameModel):
    """Where a line of a side file is in CMS's bytes."""

    source_member: str = column("Member of CMS's zip that the line was read from.", source="CMS zip")
    source_member_sha256: str = column("SHA-256 of that member's bytes.", source="CMS zip", str_matches=SHA256)
    source_line: pl.Int32 = column(
        "Line of the text, or row of the workbook's sheet, counted from 1.", source="CMS zip", ge=1
    )


class LicenseColumns(pa.DataFrameModel):
    """The owner of each row, and what the open tier leaves null."""

    license_id: str = derived(
        "License of the row's text; see the table `licenses`.", isin=LICENSE_IDS, lineage=("code",)
    )
    steward: str = derived(
        "Who maintains the code: CMS, AMA or ADA; `unknown` for a code that no release states.",
        isin=STEWARDS,
        lineage=("license_id",),
    )
    redistribution: str = derived(
        "`open`: you may redistribute the row's own text; `withheld`: it is null in the open tier.",
        isin=REDISTRIBUTION,
        lineage=("license_id",),
    )
    cites_cpt: bool = derived(
        "Whether CMS's own text in this row mentions a number in the format of a CPT or CDT code."
    )
    withheld_fields: pl.List = derived(
        "Columns of this row that are null, or whose list lacks elements, in the open tier.", of=pl.String
    )


class RecordContent(pa.DataFrameModel):
    """The fields of a CMS record, typed."""

    short_description: str = column(
        "Short description, at most 28 characters in CMS's text.", source="CMS record, positions 92-119", nullable=True
    )
    long_description: str = column(
        "Long description, its continuation lines joined.", source="CMS record, positions 12-91", nullable=True
    )
    pricing_indicators: pl.List = text_list(
        "Pricing indicators, see `hcpcs_codebook`.", source="CMS record, positions 120-127"
    )
    multiple_pricing_code: str = column(
        "Multiple pricing indicator, see `hcpcs_codebook`.", source="CMS record, positions 128", nullable=True
    )
    coverage_manual_refs: pl.List = text_list(
        "Sections of the Coverage Issues Manual (CIM).", source="CMS record, positions 129-146"
    )
    carriers_manual_refs: pl.List = text_list(
        "Sections of the Medicare Carriers Manual (MCM).", source="CMS record, positions 147-170"
    )
    statute_ref: str = column(
        "Section of the statute on coverage.", source="CMS record, positions 171-180", nullable=True
    )
    lab_certification_codes: pl.List = text_list(
        "Laboratory certification categories, see `hcpcs_codebook`.", source="CMS record, positions 181-204"
    )
    crosswalk_targets: pl.List = text_list(
        "Codes that CMS names as cross-references, as it states them; those of other owners are left out.",
        source="CMS record, positions 205-229",
    )
    coverage_code: str = column(
        "Medicare coverage status, see `hcpcs_codebook`.", source="CMS record, positions 230", nullable=True
    )
    asc_group: str = column(
        "Ambulatory surgical center payment group: YY where approved.",
        source="CMS record, positions 231-232",
        nullable=True,
    )
    asc_date: pl.Date = column(
        "First day of the ASC payment group.", source="CMS record, positions 233-240", nullable=True
    )
    opps_group: str = column(
        "Medicare outpatient groups (MOG), which are ASC payment groups; CMS fills it in no record since 2011.",
        source="CMS record, positions 241-243",
        nullable=True,
    )
    opps_policy_code: str = column(
        "Policy indicator of the MOG payment group, see `hcpcs_codebook`; CMS fills it in no record since 2011.",
        source="CMS record, positions 244",
        nullable=True,
    )
    opps_date: pl.Date = column(
        "Day from which the MOG payment group applies; CMS fills it in no record since 2011.",
        source="CMS record, positions 245-252",
        nullable=True,
    )
    processing_note: str = column(
        "Number of the processing note, see `hcpcs_notes`.", source="CMS record, positions 253-256", nullable=True
    )
    betos_code: str = column(
        "Berenson-Eggers Type of Service, see `hcpcs_codebook`.", source="CMS record, positions 257-259", nullable=True
    )
    type_of_service_codes: pl.List = text_list(
        "Types of service, see `hcpcs_codebook`.", source="CMS record, positions 261-265"
    )
    anesthesia_base_units: pl.Int32 = column(
        "Anesthesia base units.", source="CMS record, positions 266-268", nullable=True, ge=0
    )


#: Names of the columns of ``RecordContent``, in order.
CONTENT_COLUMNS: tuple[str, ...] = tuple(RecordContent.to_schema().columns)
#: All that a record states of its code: its content, then its dates and the action.
STATED_COLUMNS = (*CONTENT_COLUMNS, "added_date", "action_effective_date", "termination_date", "action_code")
