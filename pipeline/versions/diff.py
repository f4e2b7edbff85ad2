"""``hcpcs diff``: what one version has that another has not: schema, releases, rows, codes; as text, JSON, Markdown.

Reads published tables alone, masked as they are. ``CHANGES.md`` is the diff to the predecessor without values and
without codes that are not CMS's, since it is published itself.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet

from hcpcs.errors import HcpcsError
from hcpcs.manifest import NAME, Content, Manifest, VersionFile, write_files
from pipeline.versions.parquet import read_table, scan_table
from pipeline.versions.store import read_manifest
from schemas.columns import LICENSE_CMS
from sources.errors import SourceError

CHANGES = "CHANGES.md"

#: The tables that say what became of every code.
_CODE_TABLES = {"hcpcs_codes": "procedure", "hcpcs_modifiers": "modifier"}
#: Columns that move with every release though the code stays as it is: rows differ by them, codes do not.
_MOVING = {"first_release", "last_release", "action_code", "action_effective_date"}
_MOST_LISTED = 300
#: Rows of a table that are read together: those of a row group.
_PART_ROWS = 50_000
_WIDEST_VALUE = 120


@dataclass(frozen=True, slots=True)
class TableDiff:
    """One table of both versions: columns, and rows by primary key; counts are None where no key is common."""

    table: str
    columns_added: tuple[str, ...]
    columns_gone: tuple[str, ...]
    columns_retyped: tuple[str, ...]
    rows: tuple[int, int]
    added: int | None
    gone: int | None
    changed: int | None

    @property
    def is_same(self) -> bool:
        """Whether the table has the same columns and rows."""
        columns = self.columns_added or self.columns_gone or self.columns_retyped
        return not columns and (self.added, self.gone, self.changed) == (0, 0, 0)


@dataclass(frozen=True, slots=True)
class CodeChange:
    """A code, in one of its meanings, that is new, gone, or says something else: fields with old and new value."""

    kind: str
    code: str
    episode: int
    change: str
    is_of_cms: bool
    fields: dict[str, tuple[Any, Any]]

    @property
    def is_format_only(self) -> bool:
        """Whether all that differs is the case or the spacing of texts."""
        return bool(self.fields) and all(_unformatted(old) == _unformatted(new) for old, new in self.fields.values())


@dataclass(frozen=True, slots=True)
class VersionDiff:
    """What the second version has that the first has not, and the other way round."""

    before: str
    after: str
    schema_version: tuple[str, str]
    tables_added: tuple[str, ...]
    tables_gone: tuple[str, ...]
    releases_added: tuple[str, ...]
    releases_gone: tuple[str, ...]
    tables: tuple[TableDiff, ...]
    codes: tuple[CodeChange, ...]
    #: How many codes ``without_format_changes`` left out.
    codes_of_format_only: int = 0

    def without_format_changes(self) -> VersionDiff:
        """The diff without the codes of which only the case or the spacing of texts differs."""
        codes = tuple(c for c in self.codes if not c.is_format_only)
        return replace(self, codes=codes, codes_of_format_only=len(self.codes) - len(codes))

    @property
    def is_same(self) -> bool:
        """Whether schema, releases and rows are the same."""
        names = self.tables_added or self.tables_gone or self.releases_added or self.releases_gone
        return not names and self.schema_version[0] == self.schema_version[1] and all(t.is_same for t in self.tables)

    def as_json(self) -> dict[str, Any]:
        """The diff for scripts: old before new; of codes all but whose they are."""
        codes = [asdict(c) for c in self.codes]
        for code in codes:
            del code["is_of_cms"]
            code["fields"] = {f: [_plain(old), _plain(new)] for f, (old, new) in code["fields"].items()}
        tables = {t.table: {k: v for k, v in asdict(t).items() if k != "table"} for t in self.tables}
        return asdict(replace(self, codes=(), tables=())) | {"tables": tables, "codes": codes}

    def as_text(self) -> str:
        """The diff for a terminal: changed tables, then every code with its old and new values."""
        lines = [f"{self.before} → {self.after}"]
        if self.is_same:
            return "\n".join([*lines, "no differences"])
        lines += _schema_lines(self)
        lines += [f"release {r} added" for r in self.releases_added]
        lines += [f"release {r} gone" for r in self.releases_gone]
        for t in self.tables:
            if not t.is_same:
                lines.append(f"{t.table}: {_rows_in_words(t)}")
        for c in self.codes:
            which = f"{c.kind} {c.code}" + (f" (episode {c.episode})" if c.episode > 1 else "")
            lines.append(f"{which} {c.change}")
            lines += [f"  {field}: {_shown(old)} → {_shown(new)}" for field, (old, new) in c.fields.items()]
        if alike := self.codes_of_format_only:
            lines.append(f"codes that differ in case or spacing alone: {alike:,}; --all lists them")
        return "\n".join(lines)

    def as_markdown(self) -> str:
        """The diff as it may be published: counts, and CMS's codes with the fields that changed, but no values."""
        lines = [f"# Changes from {self.before} to {self.after}", ""]
        if self.is_same:
            return "\n".join([*lines, "Nothing differs in the tables.", ""])
        schema = _schema_lines(self)
        if schema:
            lines += ["## Schema", "", *(f"- {line}" for line in schema), ""]
        if self.releases_added or self.releases_gone:
            lines += ["## Releases", ""]
            lines += [f"- {r} added" for r in self.releases_added] + [f"- {r} gone" for r in self.releases_gone] + [""]
        lines += ["## Rows", "", "A row is changed if anything in it is, also the release that states it last.", ""]
        lines += ["| table | before | after | added | gone | changed |", "|---|--:|--:|--:|--:|--:|"]
        for t in self.tables:
            counts = (*t.rows, t.added, t.gone, t.changed)
            lines.append(f"| {t.table} | " + " | ".join("?" if n is None else f"{n:,}" for n in counts) + " |")
        lines += ["", *self._code_lists()]
        if alike := self.codes_of_format_only:
            lines += [f"Codes that differ in case or spacing alone: {alike:,}; `--all` lists them.", ""]
        return "\n".join(lines)

    def _code_lists(self) -> Iterator[str]:
        for kind in dict.fromkeys(_CODE_TABLES.values()):
            for change in ("added", "gone", "changed"):
                found = [c for c in self.codes if (c.kind, c.change) == (kind, change)]
                if not found:
                    continue
                own = [c for c in found if c.is_of_cms]
                yield f"## {kind.capitalize()}s {change}: {len(found):,}"
                yield ""
                yield from _listed(own)
                if len(own) < len(found):
                    yield f"- and {len(found) - len(own):,} of other owners"
                yield ""


def diff(before: Path, after: Path) -> VersionDiff:
    """Compare two versions, each given by its folder; raises ``SourceError`` for what is no version or was edited."""
    return _diff(_side(before), _side(after))


def changes_markdown(before: Path | None, folder: Path, content: Content, version: str) -> str:
    """The text of ``CHANGES.md`` for the version being made in ``folder``; ``before`` is its predecessor's folder."""
    after = _Side(version, content, folder)
    if before is None:
        lines = [f"# Version {version}", "", "The first version: it has no predecessor to be compared with.", ""]
        lines += ["| table | rows |", "|---|--:|"]
        lines += [f"| {t} | {content.rows(t):,} |" for t in after.tables]
        return "\n".join([*lines, ""])
    try:
        # Leniently: what became of the predecessor since must not keep a new version from being published.
        previous = _Side(before.name, read_manifest(before).content, before)
        return _diff(previous, after).as_markdown()
    except (HcpcsError, OSError, ValueError, KeyError, pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return f"# Version {version}\n\nIts predecessor {before.name} is damaged and could not be compared with.\n"


def write_changes(folder: Path, content: Content, version: str, before: Path | None) -> dict[str, VersionFile]:
    """Write ``CHANGES.md``; returns its entry for the list of files in the manifest's part ``build``."""
    return write_files(folder, {CHANGES: changes_markdown(before, folder, content, version).encode()})


@dataclass(frozen=True, slots=True)
class _Side:
    """One of the two versions: its name, its manifest's content, its folder."""

    version: str
    content: Content
    folder: Path

    @property
    def tables(self) -> dict[str, str]:
        return self.content.tables

    def path(self, table: str) -> Path:
        return self.folder / self.tables[table]

    def read(self, table: str) -> pl.DataFrame:
        return read_table(self.path(table))

    def parts(self, table: str) -> Iterator[pl.LazyFrame]:
        """The table in parts, since two large ones are not in memory together."""
        scan = scan_table(self.path(table))
        return (scan.slice(start, _PART_ROWS) for start in range(0, max(self.rows(table), 1), _PART_ROWS))

    def logical(self, table: str) -> str | None:
        return self.content.files[self.tables[table]].logical_sha256

    def rows(self, table: str) -> int:
        return self.content.rows(table)

    def columns(self, table: str) -> dict[str, str]:
        schema = pyarrow.parquet.read_schema(self.path(table))
        return {field.name: str(field.type) for field in schema}

    def key(self, table: str) -> list[str]:
        metadata = pyarrow.parquet.read_schema(self.path(table)).metadata or {}
        key: list[str] = json.loads(metadata.get(b"hcpcs.primary_key", b"[]"))
        return key

    @property
    def releases(self) -> list[str]:
        return [f"{r.release_id} posting {r.revision}" for r in self.content.releases]


def _side(folder: Path) -> _Side:
    if not (folder / NAME).is_file():
        raise SourceError(f"{folder} is not a version: it has no {NAME}; `hcpcs versions` lists the published versions")
    manifest = Manifest.from_json((folder / NAME).read_bytes(), str(folder))
    return _Side(manifest.build.version, manifest.content, folder)


def _diff(before: _Side, after: _Side) -> VersionDiff:
    common = [t for t in after.tables if t in before.tables]
    tables, codes = [], []
    for table in common:
        columns = (before.columns(table), after.columns(table))
        rows: tuple[int | None, int | None, int | None] = (0, 0, 0)
        if before.logical(table) != after.logical(table):
            shared = [c for c in columns[1] if columns[0].get(c) == columns[1][c]]
            key = after.key(table)
            if set(key) <= set(shared) and key:
                compared = _compare_rows(*_unlike_rows(before, after, table, shared), key, shared)
                rows = compared.counts
                if table in _CODE_TABLES:
                    codes += list(_code_changes(_CODE_TABLES[table], compared))
            else:
                rows = (None, None, None)
        tables.append(
            TableDiff(
                table,
                tuple(c for c in columns[1] if c not in columns[0]),
                tuple(c for c in columns[0] if c not in columns[1]),
                tuple(c for c in columns[1] if c in columns[0] and columns[0][c] != columns[1][c]),
                (before.rows(table), after.rows(table)),
                *rows,
            )
        )
    return VersionDiff(
        before.version,
        after.version,
        (before.content.schema_version, after.content.schema_version),
        tuple(t for t in after.tables if t not in before.tables),
        tuple(t for t in before.tables if t not in after.tables),
        tuple(r for r in after.releases if r not in before.releases),
        tuple(r for r in before.releases if r not in after.releases),
        tuple(tables),
        tuple(codes),
    )


@dataclass(frozen=True, slots=True)
class _Compared:
    """Rows of a table by key: only after, only before, in both but unlike (columns of before end in ``_before``)."""

    added: pl.DataFrame
    gone: pl.DataFrame
    changed: pl.DataFrame
    key: list[str]
    fields: list[str]

    @property
    def counts(self) -> tuple[int, int, int]:
        return self.added.height, self.gone.height, self.changed.height


def _unlike_rows(before: _Side, after: _Side, table: str, shared: Sequence[str]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of each side that the other has not: most are the same in both, as a hash of each says."""
    was = pl.concat([part.select(shared).collect().hash_rows() for part in before.parts(table)])
    newer = after.read(table)
    now = newer.select(shared).hash_rows()
    newer = newer.filter(~now.is_in(was.implode()))
    gone = ~was.is_in(now.implode())
    here = [gone.slice(start, _PART_ROWS) for start in range(0, max(len(gone), 1), _PART_ROWS)]
    older = [part.collect().filter(some) for part, some in zip(before.parts(table), here, strict=True) if some.any()]
    return pl.concat(older) if older else newer.select(shared).clear(), newer


def _compare_rows(before: pl.DataFrame, after: pl.DataFrame, key: Sequence[str], shared: Sequence[str]) -> _Compared:
    fields = [c for c in shared if c not in key]
    both = after.join(before.select(*key, pl.col(fields).name.suffix("_before")), on=key, how="inner", nulls_equal=True)
    unlike = [pl.col(f).ne_missing(pl.col(f"{f}_before")) for f in fields]
    return _Compared(
        after.join(before.select(key), on=key, how="anti", nulls_equal=True),
        before.join(after.select(key), on=key, how="anti", nulls_equal=True),
        both.filter(pl.any_horizontal(unlike)) if unlike else both.clear(),
        [*key],
        fields,
    )


def _code_changes(kind: str, compared: _Compared) -> Iterator[CodeChange]:
    # With every release almost every row changes, few of them in what is more than that.
    unlike = [pl.col(f).ne_missing(pl.col(f"{f}_before")) for f in compared.fields if f not in _MOVING]
    changed = compared.changed.filter(pl.any_horizontal(unlike)) if unlike else compared.changed.clear()
    for change, frame in (("added", compared.added), ("gone", compared.gone), ("changed", changed)):
        for row in frame.sort(compared.key).iter_rows(named=True):
            fields = {
                f: (row[f"{f}_before"], row[f])
                for f in (compared.fields if change == "changed" else ())
                if f not in _MOVING and row[f] != row[f"{f}_before"]
            }
            yield CodeChange(kind, row["code"], row["episode"], change, row["license_id"] == LICENSE_CMS, fields)


def _schema_lines(difference: VersionDiff) -> list[str]:
    lines = []
    before, after = difference.schema_version
    if before != after:
        lines.append(f"schema version {before} → {after}, see docs/versioning.md")
    lines += [f"table {t} added" for t in difference.tables_added]
    lines += [f"table {t} gone" for t in difference.tables_gone]
    for t in difference.tables:
        lines += [f"column {t.table}.{c} added" for c in t.columns_added]
        lines += [f"column {t.table}.{c} gone" for c in t.columns_gone]
        lines += [f"column {t.table}.{c} has another type" for c in t.columns_retyped]
    return lines


def _rows_in_words(table: TableDiff) -> str:
    before, after = table.rows
    if table.added is None:
        return f"{before:,} → {after:,} rows, not comparable: the primary key changed"
    counts = ((table.added, "added"), (table.gone, "gone"), (table.changed, "changed"))
    reported = [f"{count:,} {word}" for count, word in counts if count]
    return f"{before:,} → {after:,} rows: {', '.join(reported) or 'rows in another order'}"


def _listed(changes: Sequence[CodeChange]) -> Iterator[str]:
    for change in changes[:_MOST_LISTED]:
        which = change.code + (f", episode {change.episode}" if change.episode > 1 else "")
        yield f"- {which}" + (f": {', '.join(change.fields)}" if change.fields else "")
    if len(changes) > _MOST_LISTED:
        yield f"- and {len(changes) - _MOST_LISTED:,} more; `hcpcs diff` lists all"


def _unformatted(value: Any) -> Any:
    return "".join(value.split()).casefold() if isinstance(value, str) else value


def _plain(value: Any) -> Any:
    return value.isoformat() if hasattr(value, "isoformat") else value


def _shown(value: Any) -> str:
    if value is None or value == []:
        return "nothing"
    text = ", ".join(map(str, value)) if isinstance(value, list) else str(_plain(value))
    return text if len(text) <= _WIDEST_VALUE else text[: _WIDEST_VALUE - 1] + "…"
