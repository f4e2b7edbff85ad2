"""Claims as they lie on a disk or in object storage: found, read in parts of bounded size, written whole or not at all.

Which part is read when, and by whom, is decided here; what is added to a part belongs in ``hcpcs.annotate.annotator``.
"""

from __future__ import annotations

import base64
import os
import re
import shutil
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence, Set
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath, PurePosixPath

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.fs
import pyarrow.parquet as pq

from hcpcs.annotate.csv_text import (
    Block,
    ClaimsUnreadable,
    Dialect,
    TextOptions,
    blocks,
    find_dialect,
    kind_of_bytes,
    line_with,
)
from hcpcs.annotate.lake import live_files, tables_in
from hcpcs.annotate.values import is_text
from hcpcs.errors import HcpcsError, present

#: What a part may weigh in memory, about, and the most lines it may have.
_PART_BYTES = 48 << 20
_PART_LINES = 1 << 20
_PART_BLOCKS = 4
_FILE_LINES = 8 << 20
_SAMPLED_LINES = 20_000
_HEAD_LINES = 100_000
_MOST_DISTINCT = 0.75
_PARQUET, _CSV = (".parquet", ".pq", ".parq"), (".csv", ".tsv", ".tab", ".psv", ".txt")
_PACKED = (".gz", ".bz2", ".zst")
_WILD = re.compile(r"[*?\[]")


class OutputRefused(HcpcsError):
    """OUT cannot be written, or must not be."""


@dataclass(frozen=True, slots=True)
class RowGroup:
    """A row group of a file: its number, lines, and what its columns weigh unpacked."""

    number: int
    lines: int
    weight: int


@dataclass(frozen=True, slots=True)
class ClaimFile:
    """One file of claims; ``name`` is its path below the place that was named."""

    path: str
    name: str
    groups: tuple[RowGroup, ...] = ()
    dialect: Dialect | None = None

    @property
    def lines(self) -> int:
        """Lines of a Parquet file."""
        return sum(g.lines for g in self.groups)


@dataclass(frozen=True)
class Claims:
    """The files of claims; ``schema`` has the columns of all."""

    place: str
    filesystem: pyarrow.fs.FileSystem
    files: tuple[ClaimFile, ...]
    schema: pa.Schema
    is_csv: bool
    left_out: Mapping[str, str] = field(default_factory=dict)
    #: Columns that have other types in some files than in ``schema``.
    other_types: Mapping[str, frozenset[str]] = field(default_factory=dict)
    #: Columns that are not in all files, and the files without each: null there.
    absent: Mapping[str, Set[str]] = field(default_factory=dict)
    #: Claims in memory, which lie in no file.
    table: pa.Table | None = None

    @cached_property
    def lines(self) -> int:
        """Lines in all files; 0 for CSV, whose lines are not counted beforehand."""
        return sum(f.lines for f in self.files)

    @cached_property
    def part_lines(self) -> int:
        """How many lines a part has, by what they weigh."""
        weight = sum(g.weight for f in self.files for g in f.groups) / max(self.lines, 1)
        line = 2 * weight + 8 * len(self.schema)
        return int(min(_PART_LINES, max(4096, _PART_BYTES // line)))


@dataclass(frozen=True, slots=True)
class Job:
    """Lines that go to one file: row groups to read, a part already read, or blocks of text to parse."""

    file: ClaimFile
    number: int
    groups: tuple[RowGroup, ...] = ()
    part: pa.Table | None = field(default=None, compare=False)
    blocks: tuple[Block, ...] = field(default=(), compare=False)

    @property
    def is_loaded(self) -> bool:
        """Whether the job holds its lines in memory."""
        return self.part is not None or bool(self.blocks)


@dataclass(frozen=True, slots=True)
class Reading:
    """Which columns are read (None: all), and which texts as dictionaries, the way that Parquet keeps them."""

    columns: list[str] | None = None
    dictionaries: tuple[str, ...] = ()


def open_claims(place: str | Path, options: TextOptions = TextOptions()) -> Claims:
    """Find the files of ``place``: a file, a folder, a glob, or a URL in object storage.

    ``options`` state what is not to be found out about delimited text.

    Raises ``ClaimsUnreadable`` where there is nothing, a file is damaged, or the columns of two files do not fit.
    """
    text = str(place)
    filesystem, base, pattern = _resolved(text)
    kind = filesystem.get_file_info(base).type
    if text == "-" or kind == pyarrow.fs.FileType.Unknown:
        raise ClaimsUnreadable(
            f"{text}: claims are read from files, not from standard input, a pipe or a device; save them first"
        )
    if kind == pyarrow.fs.FileType.File:
        found, base = _Found([PurePosixPath(base).name], {}), str(PurePosixPath(base).parent)
        kinds = {_kind(found.names[0]) or _kind_by_content(filesystem, f"{base}/{found.names[0]}")}
    else:
        found = _find(text, filesystem, base, pattern)
        kinds = {kind for n in found.names if (kind := _kind(n))}
    if not kinds:
        raise ClaimsUnreadable(f"{text}: there is no Parquet or CSV file{found.others}")
    if len(kinds) > 1:
        raise ClaimsUnreadable(f"{text}: has both Parquet and CSV; name one kind, as in '{text}/**/*.parquet'")
    if kinds == {"csv"}:
        return _open_csv(text, filesystem, base, found, options)
    if stated := options.stated():
        raise ClaimsUnreadable(f"{text}: Parquet files have no {' and no '.join(stated)}; leave out what only text has")
    files, schemas, schema, types = [], dict[str, pa.Schema](), None, defaultdict[str, list[pa.DataType]](list)
    for name in found.names:
        path = f"{base}/{name}"
        with _reading(path):
            metadata, own = _parquet_metadata(filesystem, path)
            own = _plain(own)
            groups = tuple(
                RowGroup(i, g.num_rows, g.total_byte_size)
                for i, g in ((i, metadata.row_group(i)) for i in range(metadata.num_row_groups))
            )
        schema, schemas[name] = _merged(found.names[0], schema or own, name, own), own
        for column in own:
            types[column.name].append(column.type)
        files.append(ClaimFile(path, name, groups))
    schema = present(schema)
    others = ((c.name, frozenset(str(kind) for kind in types[c.name] if kind != c.type)) for c in schema)
    other = {name: kinds for name, kinds in others if kinds}
    absent = _absent(schema, schemas)
    if absent and found.log == "Iceberg":  # which renames and drops columns without writing the files anew
        raise ClaimsUnreadable(
            f"{text}: its files have other columns ({', '.join(absent)}); export the table's current state to Parquet"
        )
    return Claims(
        text, filesystem, tuple(files), schema, is_csv=False, left_out=found.left_out, other_types=other, absent=absent
    )


def _parquet_metadata(filesystem: pyarrow.fs.FileSystem, path: str) -> tuple[pq.FileMetaData, pa.Schema]:
    """What a file's end states, and the columns in the types that they are read in."""
    try:
        with filesystem.open_input_file(path) as file:
            opened = pq.ParquetFile(file)
            return opened.metadata, opened.schema_arrow
    except pa.ArrowInvalid as error:
        with filesystem.open_input_stream(path, compression=None) as stream:
            begin = stream.read(1 << 10)
        if begin.startswith(b"PAR1"):
            raise
        kind = kind_of_bytes(begin) if begin else "empty"
        kind = kind or "perhaps delimited text, which is read by the ending .csv"
        raise pa.ArrowInvalid(f"it is not a Parquet file but {kind}") from error


def _kind_by_content(filesystem: pyarrow.fs.FileSystem, path: str) -> str:
    with _reading(path), filesystem.open_input_stream(path, compression=None) as stream:
        return "parquet" if stream.read(4) == b"PAR1" else "csv"


def jobs(claims: Claims, reading: Reading, *, lines_per_job: int, share: int) -> Iterator[Job]:
    """Cut the claims into jobs, in order, of about ``lines_per_job``, none larger than memory bears.

    A job that a worker reads by itself has row groups. Row groups of several parts and more than ``share`` lines are
    read here, part by part with their columns decoded side by side, so that the workers share them too.
    """
    if claims.is_csv:
        for file in claims.files:
            for number, together in enumerate(_csv_blocks(claims, file)):
                yield Job(file, number, blocks=together)
        return
    part = claims.part_lines
    for file in claims.files:
        number, loaded = 0, list[RowGroup]()
        for group in file.groups:
            large = group.lines > max(2 * part, share)
            if loaded and (large or sum(g.lines for g in loaded) + group.lines > lines_per_job):
                yield Job(file, number, tuple(loaded))
                number, loaded = number + 1, []
            if large:
                for table in _stream(claims, file, group, reading, part, use_threads=True):
                    yield Job(file, number, part=table)
                    number += 1
            else:
                loaded.append(group)
        if loaded or number == 0:
            yield Job(file, number, tuple(loaded))


def parts(claims: Claims, job: Job, reading: Reading) -> Iterator[pa.Table]:
    """The lines of a job, part by part."""
    if job.part is not None:
        yield job.part
        return
    if job.blocks:
        yield _parsed(claims, job.blocks, reading.columns).select(reading.columns or claims.schema.names)
        return
    if not job.groups:
        yield _fitting(claims.schema.empty_table(), claims.schema, reading.dictionaries)
        return
    most = claims.part_lines
    together: list[RowGroup] = []
    for group in job.groups:
        if group.lines > 2 * most:
            yield from _together(claims, job.file, together, reading)
            together = []
            yield from _stream(claims, job.file, group, reading, most, use_threads=False)
            continue
        if together and sum(g.lines for g in together) + group.lines > most:
            yield from _together(claims, job.file, together, reading)
            together = []
        together.append(group)
    yield from _together(claims, job.file, together, reading)


def claims_in_memory(table: pa.Table, names: Sequence[str]) -> Claims:
    """A table as claims; ``names`` are those of all columns, of which the table has the ones that are used."""
    table = _fitting(table, _plain(table.schema))
    types = {name: table.schema.field(name).type for name in table.column_names}
    schema = pa.schema([(name, types.get(name, pa.null())) for name in names])
    return Claims("", pyarrow.fs.LocalFileSystem(), (), schema, is_csv=False, table=table)


def file_lines(claims: Claims, workers: int) -> int:
    """How many lines a file of several has: so many that no worker waits for the last, and no file is small."""
    return min(_FILE_LINES, max(claims.part_lines, claims.lines // (16 * workers)))


def head(claims: Claims, columns: Sequence[str], enough: int | None = None) -> Iterator[pa.Table]:
    """The claims' first lines, ``enough`` or as many as a sample has, then the next ones; only ``columns``."""
    if claims.table is not None:
        table = claims.table.select(list(columns))
        yield from (table.slice(first, _HEAD_LINES) for first in range(0, table.num_rows, _HEAD_LINES))
    for file in claims.files:
        if claims.is_csv:
            yield from (
                _parsed(claims, together, columns) for together in _csv_blocks(claims, file, enough) if together
            )
            continue
        with _reading(file.path):
            lines, reader = enough or _HEAD_LINES, _reader(claims, file, Reading())
            for batch in reader.iter_batches(batch_size=lines, columns=list(columns), use_threads=False):
                yield _fitting(pa.Table.from_batches([batch]), claims.schema, columns=columns)


def _together(claims: Claims, file: ClaimFile, groups: Sequence[RowGroup], reading: Reading) -> Iterator[pa.Table]:
    if not groups:
        return
    numbers = [g.number for g in groups]
    with _reading(file.path, numbers):
        reader = _reader(claims, file, reading)
        yield _fitting(
            reader.read_row_groups(numbers, columns=reading.columns, use_threads=False),
            claims.schema,
            reading.dictionaries,
            reading.columns,
        )


def _stream(
    claims: Claims, file: ClaimFile, group: RowGroup, reading: Reading, lines: int, *, use_threads: bool
) -> Iterator[pa.Table]:
    with _reading(file.path, [group.number]):
        batches = _reader(claims, file, reading).iter_batches(
            batch_size=lines, row_groups=[group.number], columns=reading.columns, use_threads=use_threads
        )
        for batch in batches:
            yield _fitting(pa.Table.from_batches([batch]), claims.schema, reading.dictionaries, reading.columns)


def where_else(claims: Claims, name: str) -> str | None:
    """Where claims have ``name`` that is no column of theirs: in the names of folders, or on a later line."""
    for file in claims.files:
        key = next((part for part in file.name.split("/")[:-1] if part.partition("=")[0] == name), None)
        if key is not None:
            return f"{name!r} is in the names of folders ({key}), not in the files: annotate each by itself, with --on"
        if file.dialect and (line := line_with(claims.filesystem, file.path, file.dialect, name)):
            if line == file.dialect.line - 1:
                return None  # it is in the header, which was divided by another character
            return (
                f"line {line} of {file.path} has {name!r}: --skip-lines {line - 1} reads the names of the columns there"
            )
    return None


def _plain(schema: pa.Schema) -> pa.Schema:
    """A schema whose texts are no views, for which Arrow lacks most functions; polars and DataFusion write such."""
    fields = [f.with_type(pa.string()) if pa.types.is_string_view(f.type) else f for f in schema]
    return pa.schema(fields, schema.metadata)


def _fitting(
    table: pa.Table, schema: pa.Schema, dictionaries: Sequence[str] = (), columns: Sequence[str] | None = None
) -> pa.Table:
    """Columns, or all, in the order and the types of a schema, but some texts as dictionaries; null where absent."""
    fields = [
        schema.field(n).with_type(pa.dictionary(pa.int32(), schema.field(n).type))
        if n in dictionaries
        else schema.field(n)
        for n in schema.names
        if columns is None or n in columns
    ]
    arrays = []
    for column in fields:
        if column.name not in table.column_names:
            arrays.append(pa.nulls(table.num_rows, column.type))
            continue
        try:
            arrays.append(table[column.name].cast(column.type))
        except pa.ArrowInvalid as error:
            raise pa.ArrowInvalid(f"column {column.name!r} as {column.type}: {error}") from None
    return pa.table(arrays, pa.schema(fields, table.schema.metadata))


def _reader(claims: Claims, file: ClaimFile, reading: Reading) -> pq.ParquetFile:
    local = isinstance(claims.filesystem, pyarrow.fs.LocalFileSystem)
    return pq.ParquetFile(
        claims.filesystem.open_input_file(file.path),
        read_dictionary=[n for n in reading.dictionaries if file.name not in claims.absent.get(n, ())] or None,
        # From a disk pages are read as they are needed; over a network a row group's columns at once.
        pre_buffer=not local,
        buffer_size=1 << 20 if local else 0,
    )


def _resolved(place: str) -> tuple[pyarrow.fs.FileSystem, str, str | None]:
    """The file system, the folder or file to look in, and the glob below it."""
    if "://" in place:
        wild = _WILD.search(place)
        stem = place[: place.rfind("/", 0, wild.start())] if wild else place
        try:
            filesystem, base = pyarrow.fs.FileSystem.from_uri(stem)
        except (pa.ArrowInvalid, OSError) as error:
            raise ClaimsUnreadable(f"{place}: {error}; save it to a disk, and name the file") from None
        return filesystem, base.rstrip("/"), place[len(stem) + 1 :] if wild else None
    path = Path(place).absolute()
    if path.exists() or not _WILD.search(place):
        return pyarrow.fs.LocalFileSystem(), path.as_posix(), None
    fixed = next(p for p in path.parents if not _WILD.search(str(p)))
    return pyarrow.fs.LocalFileSystem(), fixed.as_posix(), path.relative_to(fixed).as_posix()


@dataclass(frozen=True, slots=True)
class _Found:
    """Files to read, by their paths below a folder, and why others are left out."""

    names: list[str]
    left_out: dict[str, str]
    #: The format of the log that names the files, if there is one.
    log: str = ""

    @property
    def others(self) -> str:
        few = ", ".join(f"{name} ({why})" for name, why in list(self.left_out.items())[:3])
        return f"; {len(self.left_out)} others: {few}" if few else ""


def _find(place: str, filesystem: pyarrow.fs.FileSystem, base: str, pattern: str | None) -> _Found:
    """The files below ``base``, sorted. A table that has a log consists of the files that its log names."""
    if filesystem.get_file_info(base).type == pyarrow.fs.FileType.NotFound:
        raise ClaimsUnreadable(f"{base}: there is no such file or folder")
    found = filesystem.get_file_info(pyarrow.fs.FileSelector(base, recursive=True))
    every = sorted(f.path[len(base) :].lstrip("/") for f in found if f.type == pyarrow.fs.FileType.File)
    tables = tables_in(every)
    matches = re.compile(_regex_of_glob(pattern)).fullmatch if pattern is not None else None
    chosen = [n for n in every if matches is None or matches(n)]
    left_out: dict[str, str] = {}
    names = []
    for name in chosen:
        if any(part[0] in "._" for part in name.split("/")):
            left_out[name] = "hidden"
        elif _kind(name) is None:
            left_out[name] = f"ending {PurePosixPath(name).suffix or 'none'}"
        else:
            names.append(name)
    if list(tables) == [""] and matches is None:
        live = live_files(tables[""], place if "://" in place else base, every)
        dead = sorted(set(names) - set(live))
        return _Found(live, dict.fromkeys(dead, f"not in the current state of {tables['']}"), tables[""])
    within = [table for table in tables if any(not table or n.startswith(f"{table}/") for n in names)]
    for table in within + _tables_above(filesystem, base):
        raise ClaimsUnreadable(
            f"{place}: {table or base} is a table with a log ({tables.get(table, 'above it')}), which says which files "
            "are its current state; name the folder of one table by itself"
        )
    return _Found(names, left_out)


def _tables_above(filesystem: pyarrow.fs.FileSystem, base: str) -> list[str]:
    """Folders above ``base`` that are tables with a log."""
    if not isinstance(filesystem, pyarrow.fs.LocalFileSystem):
        return []
    above = [folder for folder in Path(base).parents if any((folder / m).is_dir() for m in ("_delta_log", ".hoodie"))]
    above += [folder for folder in Path(base).parents if next(folder.glob("metadata/*.metadata.json"), None)]
    return [folder.as_posix() for folder in above]


def _regex_of_glob(pattern: str) -> str:
    out, i = "", 0
    while i < len(pattern):
        if pattern.startswith("**/", i):
            out, i = out + r"(?:[^/]+/)*", i + 3
        elif pattern[i] == "*":
            out, i = out + r"[^/]*", i + 1
        elif pattern[i] == "?":
            out, i = out + r"[^/]", i + 1
        elif found := _bracket(pattern[i:]):
            out, i = out + found.replace("[!", "[^"), i + len(found)
        else:
            out, i = out + re.escape(pattern[i]), i + 1
    return out


def _bracket(pattern: str) -> str | None:
    """The characters in brackets that a pattern begins with; None where they are none, as `[]` and `[9-0]`."""
    if (found := re.match(r"\[!?[^]\\/]+\]", pattern)) is None:
        return None
    try:
        re.compile(found[0])
    except re.error:  # a range that runs backward
        return None
    return found[0]


def _may_match(pattern: str, path: PurePath) -> bool:
    """Whether a glob may match a file of that path, or one in a folder of that path."""
    start = pattern.split("/")[: len(path.parts)]
    fits = len(start) == len(path.parts) and re.fullmatch(_regex_of_glob("/".join(start)), path.as_posix())
    return "**" in pattern or bool(fits)


def _kind(name: str) -> str | None:
    stem = name.lower()
    if stem.endswith(_PARQUET):
        return "parquet"
    for compressed in _PACKED:
        stem = stem.removesuffix(compressed)
    return "csv" if stem.endswith(_CSV) else None


def _merged(first: str, schema: pa.Schema, name: str, own: pa.Schema) -> pa.Schema:
    """The columns of a file and of those before it, in types that hold the values of all.

    A month without modifiers is written as nulls, integers with a gap as floats, texts in the type of each program;
    later months have more columns. Raises ``ClaimsUnreadable`` where no type holds both.
    """
    if own.equals(schema, check_metadata=False):
        return schema
    for file, names in ((first, schema.names), (name, own.names)):
        if twice := [n for n, count in Counter(names).items() if count > 1]:
            raise ClaimsUnreadable(
                f"{file} has several columns named {', '.join(map(repr, twice))}; rename all but one"
            )
    differ = {n for n in {*own.names} & {*schema.names} if own.field(n).type != schema.field(n).type}
    both = [
        pa.schema([_comparable(f, other.field(f.name)) if f.name in differ else f for f in s], s.metadata)
        for s, other in ((schema, own), (own, schema))
    ]
    with suppress(pa.ArrowInvalid, pa.ArrowTypeError):
        merged = pa.unify_schemas(both, promote_options="permissive")
        # A text becomes no bytes: a UUID in bytes is not the same UUID in text.
        if all(is_text(merged.field(n).type) for s in both for n in differ if is_text(s.field(n).type)):
            return merged
    mine, theirs = ({f.name: str(f.type) for f in s} for s in (own, schema))
    what = "; ".join(
        f"{column!r} is {mine[column]}, and {theirs[column]} in files before it"
        for column in theirs
        if column in differ
    )
    raise ClaimsUnreadable(
        f"{name} does not have the columns of {first}: {what}; "
        "name files that are alike by a pattern, as in 'DIR/2019*'"
    )


def _comparable(column: pa.Field, other: pa.Field) -> pa.Field:
    """A column in a type that Arrow finds one for in common with ``other``."""
    kind = column.type
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if isinstance(kind, pa.BaseExtensionType):  # a UUID, JSON
        kind = kind.storage_type
    if pa.types.is_integer(kind) and pa.types.is_decimal(other.type):
        kind = pa.decimal128(20)  # Arrow's own choice is a digit too short to cast to
    if pa.types.is_date(kind) and pa.types.is_timestamp(other.type) and other.type.tz is None:
        kind = other.type  # in a zone a day would begin at midnight in London
    return column.with_type(kind)


def _absent(schema: pa.Schema, schemas: Mapping[str, pa.Schema]) -> dict[str, set[str]]:
    """The columns of a schema that some files lack, and these files."""
    absent = defaultdict[str, set[str]](set)
    for name, own in schemas.items():
        for column in {*schema.names}.difference(own.names) if len(own) < len(schema) else ():
            absent[column].add(name)
    return {column: absent[column] for column in schema.names if column in absent}


@contextmanager
def _reading(path: str, groups: Sequence[int] = ()) -> Iterator[None]:
    try:
        yield
    except (pa.ArrowException, OSError) as error:
        where = f", row group {'s' * (len(groups) > 1)} {', '.join(map(str, groups))}" if groups else ""
        where = where.replace("  ", " ").replace("group s", "groups")
        raise ClaimsUnreadable(f"{path}{where}: cannot be read: {str(error).strip().splitlines()[0]}") from error


def _open_csv(place: str, filesystem: pyarrow.fs.FileSystem, base: str, found: _Found, options: TextOptions) -> Claims:
    files, schemas, header = [], dict[str, pa.Schema](), None
    for name in found.names:
        path = f"{base}/{name}"
        with _reading(path):
            dialect = find_dialect(filesystem, path, options)
        schema = schemas[name] = pa.schema([(c, pa.string()) for c in dialect.columns])
        header = _merged(found.names[0], header or schema, name, schema)
        files.append(ClaimFile(path, name, dialect=dialect))
    header = present(header)
    absent = _absent(header, schemas)
    return Claims(place, filesystem, tuple(files), header, is_csv=True, left_out=found.left_out, absent=absent)


def _csv_blocks(claims: Claims, file: ClaimFile, enough: int | None = None) -> Iterator[tuple[Block, ...]]:
    """The blocks of a file, of a part or of ``enough`` lines together; of a file without records none together."""
    with _reading(file.path):
        together, lines, is_first = list[Block](), 0, True
        for block in blocks(claims.filesystem, file.path, present(file.dialect)):
            together.append(block)
            lines += block.records
            if len(together) == _PART_BLOCKS or (enough is not None and lines >= enough):
                yield tuple(together)
                together, lines, is_first = [], 0, False
        if together or is_first:
            yield tuple(together)


def _parsed(claims: Claims, together: Sequence[Block], columns: Sequence[str] | None) -> pa.Table:
    if claims.absent:
        columns = columns or claims.schema.names
    return pa.concat_tables([block.table(columns) for block in together])


class Output:
    """OUT while it is being made: a file, or a folder that mirrors the claims' files. Nothing stays of a failure."""

    def __init__(self, out: Path, claims: Claims, schema: pa.Schema, statistics: Sequence[str]) -> None:
        """Raises ``OutputRefused`` where OUT exists, lies in the claims, or is one file for many."""
        self.out = out.absolute()
        self.is_file = out.suffix.lower() in _PARQUET
        self._partial = self.out.with_name(f".{self.out.name}.{os.getpid()}.part")
        self._schema = schema
        self._statistics = list(statistics)
        self._single: pq.ParquetWriter | None = None
        self._stems = _output_stems(f.name for f in claims.files)
        if self.out.exists() or self.out.is_symlink():
            raise OutputRefused(f"{out} exists; name another OUT, or remove it first")
        if not self.is_file and re.fullmatch(r"\.[A-Za-z]\w{0,7}", out.suffix):
            raise OutputRefused(
                f"{out}: OUT is a Parquet file or a folder of them, and {out.suffix} names another kind of file;"
                f" {out.with_suffix('.parquet').name} is a file, {out.name.partition('.')[0]} a folder"
            )
        self._refuse_within(claims, out)
        if self.is_file and any("=" in part for f in claims.files for part in f.name.split("/")[:-1]):
            raise OutputRefused(f"{out}: partitioned claims do not fit one file; name a folder")
        added = {*schema.names} - {*claims.schema.names}
        self._repeating = added | _repeating(claims)

    def _refuse_within(self, claims: Claims, out: Path) -> None:
        if not isinstance(claims.filesystem, pyarrow.fs.LocalFileSystem):
            return
        _, base, pattern = _resolved(claims.place)
        loaded, own = Path(base).resolve(), self.out.resolve()
        if loaded in (own, *own.parents) and (pattern is None or _may_match(pattern, own.relative_to(loaded))):
            raise OutputRefused(f"{out} is inside the claims {claims.place}; name a path outside")

    def __enter__(self) -> Output:
        with self._writing():
            self.out.parent.mkdir(parents=True, exist_ok=True)
            if not self.is_file:
                self._partial.mkdir()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        try:
            if kind is None:
                with self._writing():
                    if self._single is not None:
                        self._finish(self._single)
                    self._partial.rename(self.out)
            elif self._single is not None:
                _abandon(self._single)
        finally:
            self._remove()

    def _remove(self) -> None:
        shutil.rmtree(self._partial, ignore_errors=True)
        if self._partial.is_file():
            self._partial.unlink()

    def file_of(self, job: Job) -> Path:
        """The file of a job in a folder: like the claims' file, numbered."""
        return self._partial / f"{self._stems[job.file.name]}-{job.number:05}.parquet"

    def write_job(self, job: Job, tables: Iterator[pa.Table]) -> None:
        """Write a job's lines to its file; several may be written at a time."""
        path = self.file_of(job)
        writer = None
        with self._writing():
            path.parent.mkdir(parents=True, exist_ok=True)
        try:
            for table in tables:
                with self._writing():
                    writer = writer or self._writer(path, table)
                    writer.write_table(table, row_group_size=max(table.num_rows, 1))
        except BaseException:
            if writer is not None:
                _abandon(writer)
            raise
        if writer is not None:
            with self._writing():
                self._finish(writer)

    def append(self, table: pa.Table) -> None:
        """Write lines to the one file, behind those before."""
        with self._writing():
            if self._single is None:
                self._single = self._writer(self._partial, table)
            self._single.write_table(table, row_group_size=max(table.num_rows, 1))

    @contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except (pa.ArrowException, OSError) as error:
            raise OutputRefused(f"{self.out}: could not be written: {error}; nothing of it was kept") from error

    def _writer(self, path: Path, table: pa.Table) -> pq.ParquetWriter:
        return pq.ParquetWriter(
            path,
            table.schema,
            compression="zstd",
            store_schema=False,
            write_statistics=self._statistics,
            use_dictionary=[
                f.name for f in table.schema if f.name in self._repeating or pa.types.is_dictionary(f.type)
            ],
            # A dictionary that outgrew its page would be written out in full.
            dictionary_pagesize_limit=4 << 20,
        )

    def _finish(self, writer: pq.ParquetWriter) -> None:
        # Texts read as dictionaries are written as they are, and declared as the texts that they were.
        declared = base64.b64encode(self._schema.serialize().to_pybytes())
        writer.add_key_value_metadata({**(self._schema.metadata or {}), b"ARROW:schema": declared})
        writer.close()


def _abandon(writer: pq.ParquetWriter) -> None:
    """Close a file that will be removed: that it cannot be finished is no news."""
    with suppress(pa.ArrowException, OSError):
        writer.close()


def _output_stems(names: Iterable[str]) -> dict[str, str]:
    """Names of files in OUT by those of the claims: without ending, but where two would be the same on some disk."""
    stems = {}
    for name in names:
        stem = name
        while (suffix := PurePosixPath(stem).suffix) and suffix.lower() in (*_PARQUET, *_CSV, *_PACKED):
            stem = stem[: -len(suffix)]
        stems[name] = stem
    used = Counter(stem.casefold() for stem in stems.values())
    return {name: stem if used[stem.casefold()] == 1 else name for name, stem in stems.items()}


def _repeating(claims: Claims) -> set[str]:
    """Columns whose values repeat in the first lines: a dictionary makes those smaller, and others slower to write."""
    flat = [
        f.name for f in claims.schema if pa.types.is_primitive(f.type) or pa.types.is_decimal(f.type) or is_text(f.type)
    ]
    lines = next(head(claims, flat, _SAMPLED_LINES), None)
    if lines is None:
        return {*flat}
    lines = lines.slice(0, _SAMPLED_LINES)
    return {n for n in flat if len(pc.unique(lines[n])) <= _MOST_DISTINCT * lines.num_rows}


def text_columns(schema: pa.Schema, names: Sequence[str]) -> list[str]:
    """Those of ``names`` that hold texts and are worth reading as dictionaries."""
    return [n for n in names if is_text(schema.field(n).type)]


def metadata_of(values: Mapping[str, str]) -> dict[bytes, bytes]:
    """File metadata in this project's name space."""
    return {f"hcpcs.{k}".encode(): v.encode() for k, v in values.items()}
