"""One reading of a version or an export: every file by its kind, and what was found."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import logging
import os
import sqlite3
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from xml.etree import ElementTree

import polars as pl
import pyarrow
import pyarrow.parquet

from pipeline.license_gate.databases import DATABASES
from pipeline.license_gate.markup import texts_of_markup
from pipeline.license_gate.pages import are_harmless
from pipeline.license_gate.policy import Policy
from pipeline.license_gate.scripts import SCRIPT_TEXT, strings_of_data, text_of_script, texts_of_script, texts_of_style
from pipeline.license_gate.table_gate import FOREIGN_TEXT, TableGate
from pipeline.license_gate.tables import Table, is_json_list, list_of_json
from pipeline.license_gate.text_files import WORDS_OF_OTHERS, Texts, texts_of_json, texts_of_lines
from pipeline.license_gate.text_gate import SHOWN_TEXT
from pipeline.license_gate.workbooks import SHARED_PART, SHARED_TEXTS, texts_of_workbook_part

#: Pages are looked at so many at a time.
_MANY_PAGES = 2_000
#: Null, as some databases write it.
_NULL = "\\N"


def _entries(folder: str, before: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below a folder in order, with its name from there; links are not followed."""
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        yield before + entry.name, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path, f"{before}{entry.name}/")


class Gate(TableGate):
    """A look at files: their names, and what is in them, as tables or as texts."""

    def __init__(
        self,
        policy: Policy,
        forbidden_texts: Iterable[str],
        numbers: frozenset[str] = frozenset(),
        headers: Mapping[str, Sequence[str]] = MappingProxyType({}),
    ) -> None:
        super().__init__(policy, forbidden_texts)
        self.numbers = numbers
        self.headers = headers
        #: Contents of JSON that were looked at, by their hashes.
        self._read: set[bytes] = set()

    def files_of(self, folder: Path) -> Iterator[tuple[str, Path]]:
        """Every file below a folder, its name from there, which is looked at, and its path; a link is a leak."""
        entries = list(_entries(str(folder)))
        self._holding(name for name, _ in entries if name.isascii())  # thousands at once
        for name, entry in entries:
            if entry.is_symlink():
                self.leak(name, "", "", "", "a link, which may lead out of the version")
            elif entry.is_file():
                self.look_at_text(name, "file name", "", name)
                yield name, Path(entry.path)

    def look_at_files(self, files: Mapping[str, Path]) -> None:
        """Look at many files: pages of markup many at a time, scripts of data at once, any other file by itself."""
        looked_at = set() if self.forbidden else self._harmless_pages(files) | self._look_at_data(files)
        for name, path in files.items():
            if name not in looked_at:
                self.look_at_file(path, name)

    def _harmless_pages(self, files: Mapping[str, Path]) -> set[str]:
        """The pages of markup that hold nothing; any other may."""
        pages = [name for name in files if name.lower().endswith((".html", ".htm", ".atom.xml"))]
        harmless: set[str] = set()
        for start in range(0, len(pages), _MANY_PAGES):
            names = pages[start : start + _MANY_PAGES]
            contents = pl.Series([files[name].read_bytes() for name in names], dtype=pl.Binary)
            harmless |= {name for name, is_harmless in zip(names, are_harmless(contents), strict=True) if is_harmless}
        self.values += len(harmless)
        return harmless

    def _look_at_data(self, files: Mapping[str, Path]) -> set[str]:
        """Look at the scripts that are data, whose strings are many and mostly the same; returns their names."""
        data: dict[str, tuple[str, list[str]]] = {}
        for name in files:
            if name.lower().endswith(".js"):
                with suppress(UnicodeDecodeError, OSError):  # a leak, when it is looked at by itself
                    data[name] = strings_of_data(files[name].read_bytes().decode("utf-8"))
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
                self.leak(name, "", place, one[:SHOWN_TEXT], FOREIGN_TEXT, one)
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
