"""Lineage: what every column is made from, step by step, back to its places in what others publish.

All of it follows from the contracts (``schemas``), which state what a published column is made from, and from what is
stated here of the tables that are not published. Pure: no Dagster, no file but ``sources.csv``, which names the
sources, and the license policy, whose rules decide what a row withholds. The asset graph, the data dictionary,
OpenLineage and the catalog take theirs from here.

A column's inputs are what its value is computed from, not what merely selects or joins rows.
"""

from __future__ import annotations

import csv
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from schemas.columns import GROUPS, STATED_COLUMNS, LicenseColumns
from schemas.contract import Column, Contract
from schemas.registry import contracts
from sources.curated.license_policy import load_license_policy
from sources.side_files.kinds import SIDE_TABLES


@dataclass(frozen=True, slots=True, order=True)
class ColumnRef:
    """A column of a table."""

    table: str
    column: str

    def __str__(self) -> str:
        return f"{self.table}.{self.column}"


@dataclass(frozen=True, slots=True, order=True)
class SourceField:
    """A place in what others publish, or in a curated file of this project: the source's name and a field in it."""

    source: str
    field: str

    @property
    def positions(self) -> tuple[int, int] | None:
        """First and last position in CMS's record; None for a field of something else."""
        if self.source != "cms_record":
            return None
        first, _, last = self.field.rpartition(" ")[2].partition("-")
        return int(first), int(last or first)

    @property
    def name(self) -> str:
        """The place as contracts write it: ``CMS record, positions 12-91``."""
        title = SOURCES[self.source].title
        return f"{title}, {self.field}" if self.field else title

    def __str__(self) -> str:
        return self.name


@dataclass(frozen=True, slots=True)
class Source:
    """Something that tables begin with; ``is_derived`` where this project keeps it and nobody else publishes it."""

    name: str
    title: str
    description: str
    is_derived: bool


@dataclass(frozen=True, slots=True)
class Table:
    """A step on the data's way: a source, a table, or the version that holds them all. ``columns`` as lineage has them.

    ``group`` is one of ``LAYERS``; ``inputs`` are the tables and sources it is made from directly.
    """

    name: str
    group: str
    description: str
    is_published: bool
    columns: tuple[str, ...]
    inputs: tuple[str, ...]


#: Groups of tables from what others publish to the version, in the order of the data's way.
LAYERS = ("source", "staged", *GROUPS, "version")


def _read_sources(path: Path) -> dict[str, Source]:
    with path.open(encoding="utf-8", newline="") as file:
        rows = csv.DictReader(file)
        return {r["name"]: Source(r["name"], r["title"], r["description"], r["is_derived"] == "true") for r in rows}


SOURCES = _read_sources(Path(__file__).with_name("sources.csv"))

_ZIP_NAMES = SourceField("cms_zip", "names of CMS's zip and members")
_ZIP_MEMBERS = SourceField("cms_zip", "names of members")
_ZIP_DATES = SourceField("cms_zip", "dates of members")
_ZIP_BYTES = SourceField("cms_zip", "bytes of members")
_ZIP_LINES = SourceField("cms_zip", "lines and rows of members")
_REVISION = (_ZIP_MEMBERS, _ZIP_DATES, _ZIP_BYTES)

#: Where the staged tables' columns come from: ``table.column``, or ``*.column`` for all. What is not named here has the
#: source that the published column of its name states.
_STAGED_SOURCES: dict[str, tuple[SourceField, ...]] = {
    "*.revision": _REVISION,
    "*.source_member": (_ZIP_MEMBERS,),
    "*.source_member_sha256": (_ZIP_BYTES,),
    "*.source_line": (_ZIP_LINES,),
    "staged_revisions.is_current": _REVISION,
    **{
        f"staged_revisions.{name}": (_ZIP_BYTES,)
        for name in (
            "form",
            "finding_count",
            "text_line_length",
            "workbook_columns",
            "member_sha256s",
            "member_bytes",
        )
    },
    "staged_revisions.member_names": (_ZIP_MEMBERS,),
    "staged_revisions.member_roles": (_ZIP_MEMBERS, _ZIP_BYTES),
    "staged_revisions.is_sample": (_ZIP_MEMBERS, SourceField("cms_zip", "comment")),
    **{
        f"staged_findings.{name}": (
            _ZIP_MEMBERS,
            _ZIP_BYTES,
            SourceField("curated_codebook", "field"),
            SourceField("curated_codebook", "value"),
        )
        for name in ("finding", "severity", "field", "message", "action", "occurrences", "examples")
    },
    "staged_findings.member": (_ZIP_MEMBERS,),
    "staged_findings.line": (_ZIP_LINES,),
    "staged_findings.raw_value": (_ZIP_BYTES,),
    # The report counts a code's lines over its members, the older ones first; corrections the words within a line, too.
    "staged_transactions.number": (SourceField("cms_transaction_report", "code"), *_REVISION[::2]),
    "staged_corrections.number": (
        SourceField("cms_corrections", "code"),
        SourceField("cms_corrections", "action"),
        *_REVISION[::2],
    ),
}

#: The staged tables beside the records, and the published ones that have the words for their columns.
_PUBLISHED_AS = {
    "staged_revisions": "hcpcs_releases",
    "staged_findings": "hcpcs_findings",
    **{f"staged_{table}": f"hcpcs_{table}" for table in SIDE_TABLES.values()},
}

_DESCRIPTIONS = {
    "staged_records": "Records of one release, every revision, typed. Unpublished.",
    "staged_revisions": "Revisions of one release and their members. Unpublished.",
    "staged_findings": "Findings in one release, every revision. Unpublished.",
    **{f"staged_{table}": f"Rows of `hcpcs_{table}` from one release. Unpublished." for table in SIDE_TABLES.values()},
    "staged_episodes": "Current records of all releases, each with its episode. Unpublished.",
    "staged_states": "Latest known state of every episode of every code. Unpublished.",
    "published_version": "An immutable version of all published tables, masked by the license policy, with its"
    " manifest.",
}
_GROUPS_OF_UNPUBLISHED = {"staged_episodes": "history", "staged_states": "history", "published_version": "version"}


def tables() -> tuple[Table, ...]:
    """Sources, tables and the version in the order of the data's way: by ``LAYERS``, within one inputs first."""
    return _tables()


def table(name: str) -> Table:
    """One of ``tables()``; raises ``KeyError``."""
    return _by_name()[name]


def table_inputs(table: str) -> tuple[str, ...]:
    """The tables and sources that a table is made from directly."""
    return _by_name()[table].inputs


def columns(table: str) -> tuple[str, ...]:
    """The columns of a table or source, in order."""
    return _by_name()[table].columns


def column_inputs(table: str, column: str) -> tuple[ColumnRef, ...]:
    """The columns of other tables that a column is made from directly; none where it begins at a source."""
    return tuple(found for found in _inputs(table, column) if isinstance(found, ColumnRef))


def direct_sources(table: str, column: str) -> tuple[SourceField, ...]:
    """The places that a column is read from directly, without another table between."""
    return tuple(found for found in _inputs(table, column) if isinstance(found, SourceField))


@cache
def source_fields(table: str, column: str) -> tuple[SourceField, ...]:
    """All places that a column comes from in the end, in the order of ``SOURCES``."""
    found = set(direct_sources(table, column))
    for ref in column_inputs(table, column):
        found.update(source_fields(ref.table, ref.column))
    order = list(SOURCES)
    return tuple(sorted(found, key=lambda f: (order.index(f.source), f.positions or (0, 0), f.field)))


def words_for(table: str, column: str) -> Column:
    """The published column whose words and type hold for a column: itself, or the one that an unpublished one becomes.

    Raises ``KeyError`` for a column that there is not.
    """
    if table in contracts():
        return _column(contracts()[table], column)
    if column not in columns_of(table):
        raise KeyError(f"{table}.{column}")
    published, name = _published_of(table, column)
    return _column(contracts()[published], name)


def is_derived(table: str, column: str) -> bool:
    """Whether no publisher states the value of a published column: this project decides, counts or writes it."""
    return _column(contracts()[table], column).is_derived


def place_of(text: str) -> SourceField:
    """A place as contracts write it (``CMS record, positions 12-91``); raises ``ValueError`` for one in no source."""
    if text == _ZIP_NAMES.field:
        return _ZIP_NAMES
    for source in SOURCES.values():
        if text == source.title or text.startswith(f"{source.title}, "):
            # In parentheses stands what the values there mean.
            return SourceField(source.name, text[len(source.title) + 2 :].partition(" (")[0])
    raise ValueError(f"{text!r} is in none of the sources")


@cache
def _inputs(table: str, column: str) -> tuple[ColumnRef | SourceField, ...]:
    """What a column is made from directly, each once, in the order stated; raises ``KeyError`` for an unknown one."""
    if column not in columns_of(table):
        raise KeyError(f"{table}.{column}")
    if table in contracts():
        found = _of_published(contracts()[table], column, frozenset())
    elif table == "staged_episodes":
        found = _of_episodes(column)
    elif table == "staged_states":
        found = _of_states(column)
    else:
        found = _of_staged(table, column)
    return tuple(dict.fromkeys(found))


def _of_published(contract: Contract, name: str, within: frozenset[str]) -> Iterator[ColumnRef | SourceField]:
    """The stated lineage of a column, or the rule for it; of a column of the same table, what that is made from."""
    stated = _column(contract, name)
    for part in _lineage_of(contract, stated):
        if "." in part:
            yield _ref(part)
        elif part not in within:
            yield from _of_published(contract, part, within | {name})
    if not _lineage_of(contract, stated) and not _is_license_column(contract, name):
        yield _ref(f"{contract.facts.derived_from}.{name}")
        if contract.facts.derived_from.startswith("curated_") and stated.source:
            yield place_of(stated.source)


def _lineage_of(contract: Contract, stated: Column) -> tuple[str, ...]:
    """What a column is made from as stated, or as the rule for license columns has it."""
    if not _is_license_column(contract, stated.name):
        return stated.lineage
    if stated.name == "cites_cpt":
        return contract.facts.texts
    if stated.name == "withheld_fields":
        masked = _masked_columns().get(contract.table, ())
        policy = tuple(f"curated_license_policy.{c}" for c in ("table", "column", "condition", "action"))
        return (*masked, "license_id", *policy)
    # Where no column tells whose a row is, all rows are the same steward's.
    parts = (contract.facts.code if part == "code" else part for part in stated.lineage)
    return tuple(part for part in parts if part is not None)


def _is_license_column(contract: Contract, name: str) -> bool:
    return contract.has_license_columns and name in _license_columns()


@cache
def _license_columns() -> frozenset[str]:
    return frozenset(LicenseColumns.to_schema().columns)


@cache
def _masked_columns() -> dict[str, tuple[str, ...]]:
    masked: dict[str, tuple[str, ...]] = {}
    for rule in load_license_policy().filter(action="mask").iter_rows(named=True):
        masked[rule["table"]] = (*masked.get(rule["table"], ()), rule["column"])
    return masked


def _of_staged(table: str, column: str) -> Iterator[SourceField]:
    stated = _STAGED_SOURCES.get(f"{table}.{column}") or _STAGED_SOURCES.get(f"*.{column}")
    if stated is not None:
        yield from stated
        return
    published, name = _published_of(table, column)
    yield place_of(_column(contracts()[published], name).source)


def _of_episodes(column: str) -> Iterator[ColumnRef | SourceField]:
    if column != "episode":
        yield ColumnRef("staged_records", column)
        return
    for name in ("release_id", "added_date", "termination_date", "short_description", "long_description"):
        yield ColumnRef("staged_records", name)
    yield SourceField("curated_episodes", "decision")


def _of_states(column: str) -> Iterator[ColumnRef]:
    yield from {
        "is_current_episode": (ColumnRef("staged_episodes", "episode"),),
        "status": (
            ColumnRef("hcpcs_history", "valid_to"),
            ColumnRef("staged_episodes", "release_id"),
            ColumnRef("staged_episodes", "termination_date"),
        ),
        # What the newest record leaves blank is taken from the one before it, if CMS did nothing since.
        "action_effective_date": (
            ColumnRef("staged_episodes", "action_effective_date"),
            ColumnRef("staged_episodes", "action_code"),
        ),
        "first_release": (ColumnRef("staged_episodes", "release_id"),),
        "last_release": (ColumnRef("staged_episodes", "release_id"),),
    }.get(column, (ColumnRef("staged_episodes", column),))


def _ref(text: str) -> ColumnRef | SourceField:
    """``table.column`` as stated in a contract; the table may be a source."""
    table, _, column = text.partition(".")
    return SourceField(table, column) if table in SOURCES else ColumnRef(table, column)


def _published_of(table: str, column: str) -> tuple[str, str]:
    """The published table and column that has the words for a column of an unpublished table."""
    if table in _PUBLISHED_AS:
        return _PUBLISHED_AS[table], column
    if table == "staged_states" and column != "kind":
        return "hcpcs_codes", column
    return "hcpcs_history" if column == "episode" else "hcpcs_release_records", column


def _column(contract: Contract, name: str) -> Column:
    return _columns_by_name(contract.table)[name]


@cache
def _columns_by_name(table: str) -> dict[str, Column]:
    return {c.name: c for c in contracts()[table].columns}


@cache
def columns_of(table: str) -> tuple[str, ...]:
    """The columns of a table that is no source, in order."""
    if table in contracts():
        return tuple(_columns_by_name(table))
    if table in _PUBLISHED_AS:
        return _read_columns(_PUBLISHED_AS[table], without=("finding_number", "state_in_records", "in_records_since"))
    records = _read_columns("hcpcs_release_records")
    return {
        "staged_records": records,
        "staged_episodes": (*(c for c in records if not c.startswith("source_")), "episode"),
        "staged_states": (
            *("kind", "code", "episode", "is_current_episode", "status"),
            *STATED_COLUMNS,
            *("first_release", "last_release"),
        ),
        "published_version": (),
    }[table]


def _read_columns(table: str, without: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The columns of a published table that are read from CMS's bytes: all but the license columns and ``without``."""
    return tuple(c for c in _columns_by_name(table) if c not in _license_columns() and c not in without)


@cache
def _by_name() -> dict[str, Table]:
    return {t.name: t for t in _tables()}


@cache
def _tables() -> tuple[Table, ...]:
    names = [*(n for n in _DESCRIPTIONS if n != "published_version"), *contracts()]
    derived_from: dict[str, dict[str, None]] = {}
    fields: dict[str, dict[str, None]] = {name: {} for name in SOURCES}
    for name in names:
        found = [f for c in columns_of(name) for f in _inputs(name, c)]
        derived_from[name] = dict.fromkeys(f.source if isinstance(f, SourceField) else f.table for f in found)
        for f in found:
            if isinstance(f, SourceField):
                fields[f.source][f.field] = None
    depths: dict[str, int] = dict.fromkeys(SOURCES, 0)

    def depth(name: str) -> int:
        if name not in depths:
            depths[name] = 1 + max(map(depth, derived_from[name]), default=0)
        return depths[name]

    inner = [
        Table(
            name,
            contracts()[name].facts.group if name in contracts() else _GROUPS_OF_UNPUBLISHED.get(name, "staged"),
            contracts()[name].description if name in contracts() else _DESCRIPTIONS[name],
            name in contracts(),
            columns_of(name),
            tuple(derived_from[name]),
        )
        for name in names
    ]
    return (
        *(Table(s.name, "source", s.description, False, tuple(fields[s.name]), ()) for s in SOURCES.values()),
        *sorted(inner, key=lambda t: (LAYERS.index(t.group), depth(t.name), t.name)),
        Table(
            "published_version", "version", _DESCRIPTIONS["published_version"], False, (), tuple(sorted(contracts()))
        ),
    )
