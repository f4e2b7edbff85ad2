"""One reading of a version or an export: every file by its kind, every text once, and what was found."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
import logging
import os
import re
import sqlite3
import tarfile
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from xml.etree import ElementTree

import polars as pl
import pyarrow
import pyarrow.parquet
from polars.selectors import by_name

from pipeline.license_gate.as_read import MIN_TEXT_LETTERS, as_read, compared_form, with_read_forms
from pipeline.license_gate.databases import DATABASES
from pipeline.license_gate.markup import texts_of_markup
from pipeline.license_gate.pages import are_harmless
from pipeline.license_gate.policy import Cell, Policy
from pipeline.license_gate.report import GateReport, Leak
from pipeline.license_gate.scripts import SCRIPT_TEXT, strings_of_data, text_of_script, texts_of_script, texts_of_style
from pipeline.license_gate.tables import (
    Table,
    is_json_list,
    list_of_json,
    may_hold_text,
    texts_of_column,
    texts_of_rows,
)
from pipeline.license_gate.text_files import WORDS_OF_OTHERS, Texts, strings_of_metadata, texts_of_json, texts_of_lines
from pipeline.license_gate.tokens import DIGIT, HOLDS_TOKEN, LETTER, PROSE, SLASHED_DATE, TOKEN
from pipeline.license_gate.workbooks import SHARED_PART, SHARED_TEXTS, texts_of_workbook_part

#: Columns, and record fields that a column quotes, of which even one word is a description.
_TEXT_NAME = re.compile(r"description|text|descriptor")
_QUOTING_NAME = re.compile(r"^(old|new|raw)(_value)?$|^examples$")
#: Pages are looked at so many at a time.
_MANY_PAGES = 2_000
_SHOWN_TEXT = 60
#: Null, as some databases write it.
_NULL = "\\N"


def _content(path: str) -> bytes:
    with io.FileIO(path) as file:  # without a buffer, which takes a third of the time of thousands of files
        return file.readall()


def _entries(folder: str, before: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below a folder in order, with its name from there; links are not followed."""
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        yield before + entry.name, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path, f"{before}{entry.name}/")


FOREIGN_TEXT = "text in a row about a code or modifier of the AMA or the ADA"
_FOREIGN_TOKEN = "shaped like a CPT or CDT code"
_WITHHELD_TEXT = "the text of a withheld description"


class Gate:
    """One reading of a version: collects what it saw."""

    def __init__(
        self,
        policy: Policy,
        forbidden_texts: Iterable[str],
        numbers: frozenset[str] = frozenset(),
        headers: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        self.policy = policy
        self.numbers = numbers
        self.headers = headers
        self.leaks: list[Leak] = []
        self.kept: Counter[tuple[str, str, str]] = Counter()
        self.kept_texts: set[str] = set()
        self.values = 0
        self._metadata: dict[str, list[str]] = {}
        #: Texts without a token, in whatever place; and contents of JSON that were looked at, by their hashes.
        self._harmless: set[str] = set()
        self._read: set[bytes] = set()
        #: Texts of tables that hold neither a token nor a withheld text.
        self._clear: set[str] = set()
        plain = {compared_form(text) for text in forbidden_texts}
        # A text within a longer forbidden one is enough to look for.
        self.forbidden = sorted(t for t in plain if len(t) >= MIN_TEXT_LETTERS)

    def report(self, files: int) -> GateReport:
        """What was seen in so many files."""
        return GateReport(files, self.values, dict(self.kept), tuple(self.leaks))

    def leak(self, table: str, column: str, key: str, token: str, why: str, text: str = "") -> None:
        """Note a leak."""
        self.leaks.append(Leak(table, column, key, token, why, text))

    # Files.

    def files_of(self, folder: Path) -> Iterator[tuple[str, str]]:
        """Every file below a folder, its name from there, which is looked at, and its path; a link is a leak."""
        entries = list(_entries(str(folder)))
        self._holding(name for name, _ in entries if name.isascii())  # thousands at once
        for name, entry in entries:
            if entry.is_symlink():
                self.leak(name, "", "", "", "a link, which may lead out of the version")
            elif entry.is_file():
                self.look_at_text(name, "file name", "", name)
                yield name, entry.path

    def look_at_files(self, files: Mapping[str, str]) -> None:
        """Look at many files: pages of markup many at a time, scripts of data at once, any other file by itself."""
        looked_at = set() if self.forbidden else self._harmless_pages(files) | self._look_at_data(files)
        for name, path in files.items():
            if name not in looked_at:
                self.look_at_file(Path(path), name)

    def _harmless_pages(self, files: Mapping[str, str]) -> set[str]:
        """The pages of markup that hold nothing; any other may."""
        pages = [name for name in files if name.lower().endswith((".html", ".htm", ".atom.xml"))]
        harmless: set[str] = set()
        for start in range(0, len(pages), _MANY_PAGES):
            names = pages[start : start + _MANY_PAGES]
            contents = pl.Series([_content(files[name]) for name in names], dtype=pl.Binary)
            harmless |= {name for name, is_harmless in zip(names, are_harmless(contents), strict=True) if is_harmless}
        self.values += len(harmless)
        return harmless

    def _look_at_data(self, files: Mapping[str, str]) -> set[str]:
        """Look at the scripts that are data, whose strings are many and mostly the same; returns their names."""
        data: dict[str, tuple[str, list[str]]] = {}
        for name in files:
            if name.lower().endswith(".js"):
                with suppress(UnicodeDecodeError, OSError):  # a leak, when it is looked at by itself
                    data[name] = strings_of_data(_content(files[name]).decode("utf-8"))
        data = {name: (content, strings) for name, (content, strings) in data.items() if strings}
        holding = self._holding(chain.from_iterable(strings for _, strings in data.values()))
        for name, (content, strings) in data.items():
            self._look_at_strings(name, content, {text: text for text in filter(holding.__contains__, strings)})
        return set(data)

    def look_at_file(self, path: Path, name: str) -> None:
        """Look at one file of any kind that the gate can read; another kind is a leak."""
        suffix = Path(name).suffix.lower()
        try:
            if suffix == ".parquet":
                self._look_at_parquet(path)
            elif suffix in DATABASES:
                for table, frame in DATABASES[suffix](path):
                    self._look_at_rows(table, name, frame)
            else:
                self._look_at_bytes(path.read_bytes(), name)
        except (
            *(UnicodeDecodeError, ValueError, ImportError, OSError, EOFError, KeyError),
            *(csv.Error, zlib.error, sqlite3.Error, tarfile.TarError, zipfile.BadZipFile, ElementTree.ParseError),
            *(pyarrow.ArrowException, pl.exceptions.PolarsError),
        ) as error:
            first_line = str(error).partition("\n")[0][:120]
            self.leak(name, "", "", "", f"cannot be read as {suffix[1:]}, so not checked: {first_line}")

    def _look_at_bytes(self, content: bytes, name: str) -> None:
        suffix = Path(name).suffix.lower()
        if suffix in (".tgz", ".gz") and name.lower().endswith((".tgz", ".tar.gz")):
            with tarfile.open(fileobj=io.BytesIO(content), mode="r:gz") as archive:
                for member in archive:
                    self.look_at_text(f"{name}/{member.name}", "file name", "", member.name)
                    file = archive.extractfile(member) if member.isfile() else None
                    if file is not None:
                        self._look_at_bytes(file.read(), f"{name}/{member.name}")
                    elif not member.isdir():
                        self.leak(f"{name}/{member.name}", "", "", "", "a link, which may lead out of the archive")
            return
        if suffix == ".gz":
            self._look_at_bytes(gzip.decompress(content), name[: -len(suffix)])
            return
        if suffix == ".xlsx":
            self._look_at_workbook(content, name)
            return
        reader = _READERS.get(suffix or Path(name).name)
        if reader is None:
            self.leak(name, "", "", "", "a kind of file that the gate cannot read")
            return
        text = content.decode("utf-8")
        if suffix in (".csv", ".tsv") and self._look_at_delimited(text, name, "\t" if suffix == ".tsv" else None):
            return
        if reader is texts_of_script:
            self._look_at_script(text, name)
            return
        texts = list(self._texts_of_new_json(text, name) if reader is texts_of_json else reader(text))
        holding = self._holding(one for _, _, one in texts)
        for column, place, one in texts:
            if one in holding:
                self.look_at_text(name, column, place, one)
            if column == WORDS_OF_OTHERS:
                self.leak(name, "", place, one[:_SHOWN_TEXT], FOREIGN_TEXT, one)
        # A sentence may run over lines and elements.
        self._look_for_withheld(name, "", [" ".join(one for _, _, one in texts)], lambda _: [""])

    def _look_at_script(self, content: str, name: str) -> None:
        """Look at the strings and comments of a script."""
        raws = SCRIPT_TEXT.findall(content)
        texts = {raw: text_of_script(raw) for raw in dict.fromkeys(raws)}
        holding = self._holding(texts.values())
        self._look_at_strings(name, content, {raw: text for raw, text in texts.items() if text in holding})
        # A sentence may run over strings, one of which another has too.
        self._look_for_withheld(name, "", [" ".join(texts[raw] for raw in raws)], lambda _: [""])

    def _look_at_strings(self, name: str, content: str, texts: Mapping[str, str]) -> None:
        """Look at the texts of a script, by how it writes them, each at its first place."""
        is_one_line = "\n" not in content[:-1]
        for raw, text in texts.items():
            line = 1 if is_one_line else content.count("\n", 0, content.index(raw)) + 1
            self.look_at_text(name, "", f"line {line}", text)

    def _holding(self, texts: Iterable[str]) -> set[str]:
        """Those of ``texts`` that may hold a token; the others are harmless wherever else they are."""
        distinct = set(texts)
        self.values += len(distinct)
        unknown = pl.Series(list(distinct - self._harmless), dtype=pl.String)
        holding = set(with_read_forms(unknown).filter(pl.col("read").str.contains(HOLDS_TOKEN))["text"])
        self._harmless |= distinct - holding
        return holding

    def _texts_of_new_json(self, content: str, name: str) -> Texts:
        """The texts of JSON or of its lines; none of what was looked at by the same rules under another name."""
        has_lines = name.lower().endswith((".ndjson", ".jsonl"))
        for number, part in enumerate(content.split("\n") if has_lines else [content], 1):
            stripped = part.strip()
            if has_lines and not stripped:
                continue
            digest = hashlib.sha256(stripped.encode()).digest()
            if not self.policy.has_rules_for(name):
                if digest in self._read:
                    continue
                self._read.add(digest)
            line = f"line {number}" if has_lines else ""
            yield from ((column, f"{line}{place}", text) for column, place, text in texts_of_json(part))

    def _look_at_delimited(self, content: str, name: str, delimiter: str | None) -> bool:
        """Look at a delimited file as a table, whose numbers are none of words; false where it is none."""
        first = content.split("\n", 1)[0]
        rows = list(csv.reader(io.StringIO(content), delimiter=delimiter or ("\t" if "\t" in first else ",")))
        if name in self.headers:
            rows.insert(0, list(self.headers[name]))
        header = rows[0] if rows else []
        if len(set(header)) != len(header) or any(len(row) not in (0, len(header)) for row in rows):
            return False
        columns = zip(*(row for row in rows[1:] if row), strict=True)
        values = dict(zip(header, columns, strict=False))
        frame = pl.DataFrame({c: values.get(c, ()) for c in header}, schema=dict.fromkeys(header, pl.String))
        frame = frame.with_columns(pl.all().replace(_NULL, None))
        self._look_at_rows(Path(name).stem, name, frame)
        return True

    def _look_at_workbook(self, content: bytes, name: str) -> None:
        """Look at every part of an Excel workbook, and at its sheets as tables."""
        import fastexcel

        # Its warning of an empty column is no news here.
        logging.getLogger("fastexcel").addHandler(logging.NullHandler())
        with zipfile.ZipFile(io.BytesIO(content)) as book:
            for part in book.namelist():
                self.look_at_text(name, "file name", "", part)
                if not part.endswith((".xml", ".rels")):
                    self.leak(f"{name}/{part}", "", "", "", "a kind of file that the gate cannot read")
                    continue
                for place, text in texts_of_workbook_part(book.read(part)):
                    self.look_at_text(f"{name}/{part}", SHARED_TEXTS if part == SHARED_PART else "", place, text)
        sheets = fastexcel.read_excel(content)
        for sheet in sheets.sheet_names:
            self._look_at_rows(sheet, name, sheets.load_sheet(sheet, schema_sample_rows=None).to_polars())

    def _look_at_rows(self, table: str, name: str, frame: pl.DataFrame) -> None:
        """Look at a table of an export: its names, its values, and its rows about codes of others."""
        for column in frame.columns:
            self.look_at_text(name, "column name", table, column)
        frame = frame.rename({c: c.lower() for c in frame.columns if c.lower() not in frame.columns})
        numbers = [c for c in frame.columns if c in self.numbers and frame.schema[c] == pl.String]
        digits = [c for c in numbers if frame[c].replace("", None).str.contains(r"^-?[0-9.]+$").all()]
        frame = frame.drop(digits if len(digits) < frame.width else [])
        if frame.schema.get("cites_cpt") not in (None, pl.Boolean):
            flag = pl.col("cites_cpt").cast(pl.String).str.to_lowercase().is_in(["true", "1", "yes"])
            frame = frame.with_columns(flag)
        frame = frame.with_columns(list_of_json(frame[c]) for c in frame.columns if is_json_list(frame[c]))
        # A published table's own rules go by its name.
        self.look_at_table(Table(table if table in self.policy.tables else name, frame.lazy(), frame.schema))

    def look_at_text(self, table: str, column: str, place: str, text: str) -> None:
        """Look for tokens in one text of a file or of metadata."""
        self.values += 1
        if text in self._harmless:
            return
        tokens = list(self._tokens(Cell(table, column, text)))
        if not tokens:
            self._harmless.add(text)
        for token, condition in tokens:
            if condition is None:
                self.leak(table, column, place, token, _FOREIGN_TOKEN, text)
            else:
                self.kept[table, column, condition] += 1

    def _tokens(self, cell: Cell) -> Iterator[tuple[str, str | None]]:
        """The tokens of a text, as it is and as it is read, each with the condition that lets it stand, or None."""
        found = list(self._tokens_as_written(cell))
        yield from found
        if (read := as_read(cell.text)) != cell.text:
            known = {token for token, _ in found}
            yield from (t for t in self._tokens_as_written(replace(cell, text=read)) if t[0] not in known)

    def _tokens_as_written(self, cell: Cell) -> Iterator[tuple[str, str | None]]:
        if not DIGIT.search(cell.text):
            return
        dates = [m.span() for m in SLASHED_DATE.finditer(cell.text)]
        for token in TOKEN.finditer(cell.text):
            if not any(start <= token.start(1) and token.end(1) <= end for start, end in dates):
                yield token.group(1), self.policy.keeps(cell, token)

    def _look_for_withheld(
        self, table: str, column: str, texts: Iterable[str], places: Callable[[str], list[str]]
    ) -> None:
        if not self.forbidden:
            return
        found: dict[str, str] = {}
        distinct = pl.Series(list(dict.fromkeys(texts)), dtype=pl.String)
        for text, read in with_read_forms(distinct).iter_rows():
            squeezed = compared_form(read)
            if (words := next((t for t in self.forbidden if t in squeezed), None)) is not None:
                found.setdefault(text, words)
        for text, words in found.items():
            for place in places(text):
                self.leak(table, column, place, words[:_SHOWN_TEXT], _WITHHELD_TEXT, text)

    def _holds_withheld(self) -> pl.Expr:
        """Whether ``read`` holds a withheld text."""
        plain = pl.col("read").str.to_lowercase().str.replace_all(r"[^a-z0-9]", "")
        return plain.str.contains("|".join(self.forbidden)) if self.forbidden else pl.lit(False)

    # Tables.

    def _look_at_parquet(self, path: Path) -> None:
        with pyarrow.parquet.ParquetFile(path) as file:
            arrow, raw = file.schema_arrow, file.metadata.metadata or {}
        rows = pl.scan_parquet(path, glob=False)
        schema = rows.collect_schema()
        key = json.loads((arrow.metadata or {}).get(b"hcpcs.primary_key", b"[]"))
        table = Table(path.stem, rows, schema, tuple(k for k in key if k in schema), path)
        self._look_at_metadata(table.name, "metadata", raw)
        # The writer's own copy of the schema is in base64: looked at decoded.
        stored = raw.get(b"ARROW:schema")
        both = [arrow, pyarrow.ipc.read_schema(pyarrow.py_buffer(base64.b64decode(stored)))] if stored else [arrow]
        for schema_copy in both:
            self._look_at_metadata(table.name, "metadata", schema_copy.metadata or {})
            for one in schema_copy:
                self._look_at_field(table.name, one.name, one)
        for text, places in self._metadata.items():
            self._metadata[text] = list(dict.fromkeys(places))
        self._look_for_withheld(table.name, "", self._metadata, self._metadata.__getitem__)
        self._metadata = {}
        self.look_at_table(table)

    def _look_at_metadata(self, table: str, column: str, metadata: Mapping[bytes, bytes]) -> None:
        for name, value in metadata.items():
            if name == b"ARROW:schema":
                continue
            place = name.decode("utf-8", "replace")
            text = value.decode("utf-8", "replace")
            self.look_at_text(table, column, "", place)
            for part in strings_of_metadata(text):
                self.look_at_text(table, f"{column} {place}", "", part)
                self._metadata.setdefault(part, []).append(f"{column} {place}")

    def _look_at_field(self, table: str, column: str, one: pyarrow.Field) -> None:
        self.look_at_text(table, column, "", one.name)
        self._look_at_metadata(table, f"{column} metadata", one.metadata or {})
        for number in range(one.type.num_fields):
            self._look_at_field(table, f"{column}.{one.type.field(number).name}", one.type.field(number))

    def look_at_table(self, table: Table) -> None:
        """Look at all text values of a table, each distinct one once."""
        unclear = self._unclear(set(table.texts["text"]))
        holding = table.texts.filter(pl.col("text").is_in(unclear.implode())).partition_by("column", as_dict=True)
        for column in table.schema:
            if (texts := holding.get((column,))) is not None:
                self._look_at_column(table, column, texts["text"])
        self._look_at_rows_of_others(table)
        self._look_at_flags(table)

    def _unclear(self, distinct: set[str]) -> pl.Series:
        """Those of ``distinct`` that hold a token or a withheld text, whatever their columns may keep."""
        self.values += len(distinct)
        new = distinct - self._clear
        forms = with_read_forms(pl.Series(list(new), dtype=pl.String))
        unclear = forms.filter(pl.col("read").str.contains(HOLDS_TOKEN) | self._holds_withheld())["text"].unique()
        self._clear |= new.difference(unclear)
        return unclear

    def _look_at_column(self, table: Table, column: str, unclear: pl.Series) -> None:
        """Look at those texts of a column that hold something, in their rows."""
        unused = unclear.unique(maintain_order=True)
        for path, texts in texts_of_column(table.read([column])[column]):
            holding = texts.filter(pl.col("text").is_in(unclear.implode()))
            self._look_at_holding(table, path, holding)
            unused = unused.filter(~unused.is_in(holding["text"].implode()))
        # No row's flags speak for a text that is in the file alone.
        for text in unused:
            for token, _ in self._tokens(Cell(table.name, column, text)):
                self.leak(table.name, column, "in no row", token, _FOREIGN_TOKEN, text)
        self._look_for_withheld(table.name, column, unused, lambda _: ["in no row"])

    def _look_at_holding(self, table: Table, column: str, texts: pl.DataFrame) -> None:
        """Texts that hold something: each distinct one once for each set of flags, then back to its rows."""
        flagged = texts.with_columns(table.flags[texts["row"]])
        for group in (
            flagged.group_by("text", "is_foreign", "cites_cpt", "field", maintain_order=True).agg("row").to_dicts()
        ):
            cell = Cell(table.name, column, group["text"], group["is_foreign"], group["cites_cpt"], group["field"])
            for token, condition in self._tokens(cell):
                if condition is not None:
                    self.kept[table.name, column, condition] += len(group["row"])
                    self.kept_texts.add(group["text"])
                    continue
                for key in table.row_keys(group["row"]):
                    self.leak(table.name, column, key, token, _FOREIGN_TOKEN, group["text"])
        self._look_for_withheld(
            table.name,
            column,
            texts["text"],
            lambda text: table.row_keys(texts.filter(pl.col("text") == text)["row"].to_list()),
        )

    def _look_at_rows_of_others(self, table: Table) -> None:
        """In a row about another owner's code no words may stand, whoever wrote them."""
        numbers = table.flags["is_foreign"].arg_true()
        if numbers.is_empty():
            return
        columns = [column for column, dtype in table.schema.items() if may_hold_text(dtype)]
        rows = table.rows.filter(table.is_foreign).select(by_name(*columns)).collect()
        texts = texts_of_rows(rows.lazy(), rows.schema)
        for name in dict.fromkeys(column for column, text in texts.iter_rows() if LETTER.search(text)):
            for column, found in texts_of_column(rows[name]):
                if "row_of_ama_or_ada" not in self.policy.conditions(table.name, column):
                    self._look_for_words(table, column, numbers.gather(found["row"]), found["text"])

    def _look_for_words(self, table: Table, column: str, rows: pl.Series, texts: pl.Series) -> None:
        for row, text, quoted in zip(rows, texts, table.flags["field"].gather(rows), strict=True):
            stated = f"{column} {quoted}" if quoted and _QUOTING_NAME.search(column) else column
            if (_TEXT_NAME.search(stated) and LETTER.search(text)) or PROSE.search(text):
                self.leak(table.name, column, table.row_keys([row])[0], text[:_SHOWN_TEXT], FOREIGN_TEXT, text)

    def _look_at_flags(self, table: Table) -> None:
        """A row about another owner's code says so: whoever filters by the flag must be safe."""
        name = next((c for c in ("code", "first_code") if {c, "redistribution"} <= table.schema.keys()), None)
        if name is None:
            return
        is_unflagged = table.names_others(name) & (pl.col("redistribution") != "withheld")
        rows = table.rows.select(pl.col(name).alias("code"), is_unflagged.alias("is_unflagged")).collect()
        unflagged = rows.with_row_index("row").filter("is_unflagged")
        for row, code in unflagged.select("row", "code").iter_rows():
            self.leak(
                table.name, "redistribution", table.row_keys([row])[0], code, "another owner's, but not marked withheld"
            )


_READERS: dict[str, Callable[[str], Texts]] = {
    ".parquet": texts_of_lines,
    **dict.fromkeys((".json", ".jsonld", ".ndjson", ".jsonl"), texts_of_json),
    ".html": texts_of_markup,
    ".htm": texts_of_markup,
    ".svg": texts_of_markup,
    ".xml": texts_of_markup,
    ".js": texts_of_script,
    ".mjs": texts_of_script,
    ".css": texts_of_style,
    **dict.fromkeys((".csv", ".tsv", ".txt", ".md", ".sql", ".toml", ".yml", ".yaml"), texts_of_lines),
    **dict.fromkeys((".atom", ".rss"), texts_of_markup),
    **dict.fromkeys(("LICENSE", "NOTICE", "README"), texts_of_lines),
}
