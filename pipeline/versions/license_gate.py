"""The gate: reads every byte that would be published and refuses a version that holds what is another owner's.

It looks at files, not at the code that made them, so it shares nothing with ``license_flags``: its patterns, its
idea of a row that belongs to the AMA or the ADA, and its reading of the policy are its own. What it may let pass is
said by the ``keep`` rows of ``sources/curated/license_policy.csv`` alone, each with a condition that is tested here.
Masking, and what becomes of a refused version, belong elsewhere.
"""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import html
import io
import json
import logging
import os
import re
import sqlite3
import tarfile
import unicodedata
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache, cached_property
from html.parser import HTMLParser
from itertools import chain
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import unquote
from xml.etree import ElementTree

import polars as pl
import pyarrow
import pyarrow.parquet
from polars.selectors import by_name

from hcpcs.errors import HcpcsError

# A code as a whole token, whatever its case: CMS writes some in lower case. But `1000u` counts units: a laboratory's
# own test in lower case begins with 0. An underscore ends a token, and the code set's name may stand right before it.
_SHAPE = r"[0-9]{5}|[0-9]{4}(?:[ftma]|(?-i:U))|0[0-9]{3}u|d[0-9]{4}"
TOKEN = re.compile(rf"(?<![0-9a-z])(?:cpt|cdt)?({_SHAPE})(?![0-9a-z])", re.IGNORECASE)
#: What every token has; most texts have none.
DIGIT = re.compile("[0-9]")
#: The same for polars, whose patterns cannot look around: finds every text that holds a token.
HOLDS_TOKEN = rf"(?i)(?:^|[^0-9a-z])(?:cpt|cdt)?(?:{_SHAPE})(?:[^0-9a-z]|$)"
#: Day, month and year with slashes, also CMS's misspelled ones (01/0/12019): no code is behind two numbers so.
SLASHED_DATE = re.compile(r"(?<![0-9/])[0-9]{1,2}/[0-9]{1,2}/[0-9]{1,5}(?![0-9/])")
#: What a row's ``code`` looks like where its words are not CMS's: a CPT or CDT code, a modifier of CPT.
FOREIGN_CODE = rf"(?i)^(?:(?:{_SHAPE})|[0-9][0-9a-z]|p[1-6])$"
PROSE = re.compile(r"[A-Za-z]{2,}\s+\S*[A-Za-z]{2,}")
LETTER = re.compile(r"[A-Za-z]")
_PLACE_BEFORE = re.compile(r"\b(?:lines?|rows?)\s+$", re.IGNORECASE)
#: Columns, and record fields that a column quotes, of which even one word is a description.
_TEXT_NAME = re.compile(r"description|text|descriptor")
_QUOTING_NAME = re.compile(r"^(old|new|raw)(_value)?$|^examples$")

#: Withheld texts with fewer letters and digits are words that anyone may use.
MIN_TEXT_LETTERS = 12
#: So many letters and digits from the beginning of a withheld description give it away.
_TELLING_START = 32
#: Pages are looked at so many at a time.
_MANY_PAGES = 2_000
_SHOWN_LEAKS = 30
_SHOWN_TEXT = 60
#: The code that a row is about, by the names that the field's formats give it.
CODE_COLUMNS = ("code", "concept_code", "hcpcs", "hcpc")
#: Null, as some databases write it.
_NULL = "\\N"
#: The texts of all cells of a workbook, which are looked at again in their columns.
SHARED_TEXTS = "shared texts"


@dataclass(frozen=True, slots=True)
class Leak:
    """One place that holds what may not be published: table (or file), column, key of the row, token, and why."""

    table: str
    column: str
    key: str
    token: str
    why: str
    text: str = field(default="", repr=False)

    def __str__(self) -> str:
        place = ": ".join(part for part in (self.table, self.column, self.key) if part)
        return f"{place}: {self.token!r}: {self.why}" if self.token else f"{place}: {self.why}"


class LicenseLeak(HcpcsError):
    """A version would publish what is another owner's; ``leaks`` has every place."""

    def __init__(self, leaks: Iterable[Leak]) -> None:
        self.leaks = tuple(leaks)
        shown = [f"  {leak}" for leak in self.leaks[:_SHOWN_LEAKS]]
        if len(self.leaks) > _SHOWN_LEAKS:
            shown.append(f"  … and {len(self.leaks) - _SHOWN_LEAKS} more")
        places = f"{len(self.leaks)} place{'s' * (len(self.leaks) != 1)}"
        super().__init__(
            f"{places} would publish what may not be redistributed:\n" + "\n".join(shown) + "\n"
            "mask it, or let sources/curated/license_policy.csv keep it with a reason"
        )


@dataclass(frozen=True, slots=True)
class GateReport:
    """What the gate saw: files read, distinct values looked at, cells kept by policy row, and leaks."""

    files: int
    values: int
    kept: dict[tuple[str, str, str], int]
    leaks: tuple[Leak, ...]

    @property
    def passed(self) -> bool:
        """Whether nothing leaks."""
        return not self.leaks


def check_version(
    folder: Path, policy: pl.DataFrame, manifest_files: Iterable[str], *, forbidden_texts: Iterable[str] = ()
) -> GateReport:
    """Read everything in ``folder``; raises ``LicenseLeak`` with all leaks if there is one, else says what it saw.

    ``manifest_files`` are the paths, from ``folder``, that the manifest lists (``manifest.json`` need not list
    itself). ``forbidden_texts`` are withheld sentences that may stand nowhere, in no case or spacing; see
    ``withheld_texts``. Raises ``ValueError`` for a ``keep`` row whose condition is not one of ``KEEP_CONDITIONS``.
    """
    report = inspect_version(folder, policy, manifest_files, forbidden_texts=forbidden_texts)
    if report.leaks:
        raise LicenseLeak(report.leaks)
    return report


def inspect_version(
    folder: Path, policy: pl.DataFrame, manifest_files: Iterable[str], *, forbidden_texts: Iterable[str] = ()
) -> GateReport:
    """As ``check_version``, but leaks are reported and not raised."""
    gate = Gate(Policy(policy), forbidden_texts)
    listed = set(manifest_files)
    present = dict(gate.files_of(folder))
    for name in present:
        if name not in listed and name != "manifest.json":
            gate.leak(name, "", "", "", "the manifest does not list this file")
    gate.look_at_files(present)
    for name in sorted(listed - present.keys()):
        gate.leak(name, "", "", "", "the manifest lists this file, but it is not there")
    return gate.report(len(present))


def policy_of_quotes(policy: pl.DataFrame, shown: Mapping[str, Iterable[str]]) -> pl.DataFrame:
    """The policy, and for each file of ``shown`` what the columns (``table.column``) that it quotes may keep."""
    keep = policy.filter(pl.col("action") == "keep")

    @cache  # thousands of pages quote the same columns
    def kept(columns: tuple[str, ...]) -> list[tuple[str, str]]:
        of_columns = keep.filter(pl.format("{}.{}", "table", "column").is_in(columns)).select("condition", "reason")
        return of_columns.unique("condition", keep="first", maintain_order=True).rows()

    rows = [
        {"table": file, "column": "*", "condition": condition, "action": "keep", "reason": reason}
        for file, columns in shown.items()
        for condition, reason in kept(tuple(columns))
    ]
    return pl.concat([policy, pl.DataFrame(rows, schema=policy.schema)])


def check_files(
    path: Path,
    policy: pl.DataFrame,
    *,
    name: str,
    shows: Iterable[str] = (),
    numbers: Iterable[str] = (),
    headers: Mapping[str, Sequence[str]] | None = None,
    tables: Iterable[str] = (),
) -> GateReport:
    """Read an export, a folder or one file that is called ``name``; raises ``LicenseLeak`` with all leaks.

    Archives and databases are opened. One of the published ``tables`` goes by its own rows of the policy; any other
    file may hold what the columns ``shows`` may keep, a bare code only where its columns name the row's code.
    ``numbers`` names columns of delimited files that hold no codes, ``headers`` the columns of files without a header.
    """
    quotes = policy_of_quotes(policy, {ANY_FILE: shows})
    bare = (pl.col("table") == ANY_FILE) & (pl.col("condition") == "names_cpt_or_cdt_code")
    columns = [*CODE_COLUMNS, *(f"*.{c}" for c in CODE_COLUMNS), SHARED_TEXTS]
    of_codes = quotes.filter(bare).with_columns(column=pl.lit(columns)).explode("column")
    quotes = pl.concat([quotes.filter(~bare), of_codes])
    gate = Gate(Policy(quotes, frozenset(tables)), (), numbers=frozenset(numbers), headers=headers or {})
    files = list(gate.files_of(path)) if path.is_dir() else [(name, str(path))]
    for file, place in files:
        gate.look_at_file(Path(place), file)
    report = gate.report(len(files))
    if report.leaks:
        raise LicenseLeak(report.leaks)
    return report


def withheld_texts(tables: Iterable[tuple[str, pl.DataFrame]], policy: pl.DataFrame) -> frozenset[str]:
    """Texts of whole, unmasked tables (name, rows) that the gate would refuse: what may be nowhere in the open tier.

    Of a description that is the AMA's or the ADA's, its beginning too, so that a cut quotation is found. A text that
    is in a place that may keep it is CMS's own, and is left out.
    """
    gate = Gate(Policy(policy), ())
    for name, whole in tables:
        gate.look_at_table(Table(name, whole.lazy(), whole.schema))
    texts = set()
    for leak in gate.leaks:
        texts.add(leak.text)
        if leak.why == FOREIGN_TEXT and len(compared_form(leak.text)) > _TELLING_START:
            texts.add(compared_form(leak.text)[:_TELLING_START])
    kept = [compared_form(text) for text in gate.kept_texts]
    long = {text: form for text in texts if len(form := compared_form(text)) >= MIN_TEXT_LETTERS}
    return frozenset(text for text, form in long.items() if not any(form in other for other in kept))


def _content(path: str) -> bytes:
    with io.FileIO(path) as file:  # without a buffer, which takes a third of the time of thousands of files
        return file.readall()


def _entries(folder: str, before: str = "") -> Iterator[tuple[str, os.DirEntry[str]]]:
    """Everything below a folder in order, with its name from there; links are not followed."""
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        yield before + entry.name, entry
        if entry.is_dir(follow_symlinks=False):
            yield from _entries(entry.path, f"{before}{entry.name}/")


#: In the policy of an export: every file that is no published table.
ANY_FILE = "*"

FOREIGN_TEXT = "text in a row about a code or modifier of the AMA or the ADA"
_FOREIGN_TOKEN = "shaped like a CPT or CDT code"
_WITHHELD_TEXT = "the text of a withheld description"


#: What a text must hold to be written otherwise than a person reads it: most texts are read as they are.
_NOT_PLAIN = r"[^ -~\t\r\n]|&[#0-9A-Za-z]|%[0-9A-Fa-f]{2}|\\[ux0-9A-Fa-f]|</?[A-Za-z!]"
_NOT_PLAIN_TEXT = re.compile(_NOT_PLAIN)
#: Text within text is decoded so often: an entity in an escape in a URL.
_MOST_ENCODINGS = 4
_TAG = re.compile(r"<!--.*?-->|</?([A-Za-z][A-Za-z0-9:-]*)[^<>]{0,1000}>|<!\[CDATA\[|\]\]>", re.DOTALL)
_CODE_POINT = re.compile(r"\\(?:u\{([0-9A-Fa-f]{1,6})\}|u([0-9A-Fa-f]{4})|x([0-9A-Fa-f]{2}))")
#: Letters of other alphabets that look like those of a code.
_LOOKALIKES = str.maketrans("АаМТтΑΜΤ", "AaMTtAMT")


def as_read(text: str) -> str:
    """A text as a person reads it on a page: decoded, in plain digits and letters, without what cannot be seen."""
    for _ in range(_MOST_ENCODINGS):
        if not _NOT_PLAIN_TEXT.search(text):
            break
        before = text
        text = _CODE_POINT.sub(lambda m: chr(min(int(m[1] or m[2] or m[3], 16), 0x10FFFF)), text)
        text = _TAG.sub(lambda tag: " " if tag[1] and is_block(tag[1]) else "", unquote(html.unescape(text)))
        if not text.isascii() or not text.isprintable():
            text = text.translate({ord(c): _plain_character(c) for c in set(text) if not " " <= c <= "~"})
        if text == before:
            break
    return text


def _plain_character(character: str) -> str:
    """One character in ASCII where it is a digit or letter in other dress; nothing for one that cannot be seen."""
    if " " <= character <= "~":
        return character
    if character.isspace():
        return " "
    category = unicodedata.category(character)
    if category in ("Cc", "Cf", "Mn", "Me"):
        return ""
    if category == "Cs":  # half a character: an escape of a file's name that is no UTF-8
        return "?"
    if unicodedata.decomposition(character).startswith("<fraction>"):
        return " "
    digit = unicodedata.digit(character, None)
    if digit is not None:
        return str(digit)
    folded = unicodedata.normalize("NFKD", character).translate(_LOOKALIKES)
    return "".join(c for c in folded if not unicodedata.combining(c))


def with_read_forms(texts: pl.Series) -> pl.DataFrame:
    """``text`` and ``read``: each text as it is, and once more where a person reads it otherwise."""
    odd = texts.filter(texts.str.contains(_NOT_PLAIN))
    read = pl.Series([as_read(text) for text in odd], dtype=pl.String)
    return pl.DataFrame({"text": pl.concat([texts, odd]), "read": pl.concat([texts, read])})


#: All of ASCII but letters of lower case and digits.
_NOT_COMPARED = bytes(c for c in range(128) if not chr(c).isdigit() and not chr(c).islower())


def compared_form(text: str) -> str:
    """Letters and digits alone, in one case: how withheld texts are compared."""
    return text.lower().encode("ascii", "ignore").translate(None, _NOT_COMPARED).decode()


@dataclass(frozen=True, slots=True)
class Cell:
    """A text in its place, and the flags of the row it is in: what a condition of a keep row sees of a token."""

    table: str
    column: str
    text: str
    is_foreign: bool = False
    cites_cpt: bool | None = None
    field: str | None = None


def _is_flagged_citation(cell: Cell, token: re.Match[str]) -> bool:
    """A number within words that are CMS's own, in a row that says ``cites_cpt``."""
    rest = cell.text[: token.start()] + cell.text[token.end() :]
    return not cell.is_foreign and cell.cites_cpt is not False and bool(LETTER.search(TOKEN.sub("", rest)))


def _is_code_alone(cell: Cell, token: re.Match[str]) -> bool:
    """The bare code, no word beside it."""
    return token.group(0) == cell.text


def _is_reference_number(cell: Cell, token: re.Match[str]) -> bool:
    """The number of a section of a law or a manual: no word of four letters beside it."""
    if cell.is_foreign or re.search(r"[A-Za-z]{4}", cell.text):
        return False
    return cell.field is None or cell.field.endswith(("_ref", "_refs"))


def _is_quoted_description(cell: Cell, token: re.Match[str]) -> bool:
    """A flagged citation in a column that quotes a description of CMS."""
    return (cell.field or "").endswith("_description") and _is_flagged_citation(cell, token)


def _is_line_number(cell: Cell, token: re.Match[str]) -> bool:
    """The number of a line or row, as our own messages name places."""
    return bool(_PLACE_BEFORE.search(cell.text[: token.start()]))


def _never(cell: Cell, token: re.Match[str]) -> bool:
    return False


#: Conditions of keep rows for tokens; ``row_of_ama_or_ada`` keeps words in a row of another owner, never a token.
KEEP_CONDITIONS: dict[str, Callable[[Cell, re.Match[str]], bool]] = {
    "cites_cpt_or_cdt": _is_flagged_citation,
    "names_cpt_or_cdt_code": _is_code_alone,
    "names_section_of_rules": _is_reference_number,
    "names_a_line": _is_line_number,
    "cites_in_description": _is_quoted_description,
    "row_of_ama_or_ada": _never,
}


#: Texts of a file, each with its column and place.
Texts = Iterator[tuple[str, str, str]]
#: Texts of a table, each once in a column.
_TEXTS = {"column": pl.String, "text": pl.String}


class Policy:
    """The keep rows, by table (or file) and column; of a file, the column is a pattern."""

    def __init__(self, policy: pl.DataFrame, tables: frozenset[str] = frozenset()) -> None:
        #: Published tables that an export may have.
        self.tables = tables
        self._keep: dict[str, dict[str, list[str]]] = {}
        for row in policy.filter(pl.col("action") == "keep").iter_rows(named=True):
            if row["condition"] not in KEEP_CONDITIONS:
                raise ValueError(f"license policy: the gate knows no condition {row['condition']!r} to keep by")
            self._keep.setdefault(row["table"], {}).setdefault(row["column"], []).append(row["condition"])

    def has_rules_for(self, name: str) -> bool:
        """Whether a file or table goes by rows of its own."""
        return name in self._keep

    def conditions(self, table: str, column: str) -> list[str]:
        """The conditions by which a column of a table or file may keep something."""
        columns = self._keep.get(table)
        found = columns.get(column) if columns else None
        if found is None:
            patterns = columns or ({} if table in self.tables else self._keep.get(ANY_FILE, {}))
            found = [c for pattern, several in patterns.items() if fnmatchcase(column, pattern) for c in several]
        return found

    def keeps(self, cell: Cell, token: re.Match[str]) -> str | None:
        """The condition under which the token may stand there, or None."""
        for condition in self.conditions(cell.table, cell.column):
            if KEEP_CONDITIONS[condition](cell, token):
                return condition
        return None


@dataclass(frozen=True)
class Table:
    """A table to look at: its columns' types, its rows, its key, and the Parquet file that it is in, if it is in one.

    Rows are read where a text of theirs holds something: of a file, its dictionaries have each text once.
    """

    name: str
    rows: pl.LazyFrame
    schema: Mapping[str, pl.DataType]
    key: tuple[str, ...] = ()
    file: Path | None = None

    def read(self, columns: Iterable[str]) -> pl.DataFrame:
        """Some columns, of all rows."""
        return self.rows.select(by_name(*columns)).collect()

    @cached_property
    def texts(self) -> pl.DataFrame:
        """``column`` and ``text``: the texts of each column, of a file also those that its dictionaries alone have."""
        if self.file is None:
            return texts_of_rows(self.rows, self.schema)
        plain = [c for c, dtype in self.schema.items() if isinstance(dtype, pl.String | pl.Categorical | pl.Enum)]
        others = {column: dtype for column, dtype in self.schema.items() if column not in plain}
        return pl.concat([_texts_of_dictionaries(self.file, plain), texts_of_rows(self.rows, others)])

    def names_others(self, column: str) -> pl.Expr:
        """Whether a column has another owner's code."""
        if self.schema[column] != pl.String:
            return pl.col(column).str.contains(FOREIGN_CODE)
        codes = self.texts.filter(pl.col("column") == column)["text"]
        return pl.col(column).is_in(codes.filter(codes.str.contains(FOREIGN_CODE)).implode())

    @cached_property
    def is_foreign(self) -> pl.Expr:
        """Whether a row is about another owner's code."""
        foreign = [self.names_others(c).fill_null(False) for c in CODE_COLUMNS if c in self.schema]
        if "redistribution" in self.schema:
            foreign.append(pl.col("redistribution") == "withheld")
        return pl.any_horizontal(foreign) if foreign else pl.lit(False)

    @cached_property
    def flags(self) -> pl.DataFrame:
        """Per row: whether it is about another owner's code, and its flags; null where the table has no such column."""
        flags = {
            "is_foreign": self.is_foreign,
            "cites_cpt": pl.col("cites_cpt") if "cites_cpt" in self.schema else pl.lit(None, pl.Boolean),
            "field": pl.col("field") if "field" in self.schema else pl.lit(None, pl.String),
        }
        return self.rows.with_columns(**flags).select(*flags).collect()

    def row_keys(self, rows: Sequence[int]) -> list[str]:
        """What names each of the rows: its primary key, or its number."""
        if not self.key:
            return [f"row {row + 1}" for row in rows]
        values = self.read(self.key)[list(rows)].iter_rows(named=True)
        return [", ".join(f"{k}={v}" for k, v in one.items()) for one in values]


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


def is_json_list(values: pl.Series) -> bool:
    """Whether a column has lists or objects written as JSON."""
    return values.dtype == pl.String and bool(values.drop_nulls().str.contains(r"^[\[{]").any())


def list_of_json(values: pl.Series) -> pl.Series:
    """The column with JSON lists of texts as lists; what is none is a list of the whole."""

    def read(text: str | None) -> list[str]:
        try:
            return [one for _, _, one in texts_of_json(text or "[]")]
        except ValueError:
            return [text or ""]

    return pl.Series(values.name, [read(text) for text in values], dtype=pl.List(pl.String))


def _tables_of_sqlite(path: Path) -> Iterator[tuple[str, pl.DataFrame]]:
    """Every table of an SQLite database, and its schema; a full-text index by the rows that it answers with."""
    with closing(sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)) as database:
        schema = database.execute("select type, name, coalesce(sql, '') from sqlite_schema").fetchall()
        yield "sqlite_schema", pl.DataFrame(schema, ["type", "name", "sql"], orient="row")
        kinds = {row[1]: row[2] for row in database.execute("pragma table_list")}
        for kind, name, _ in schema:
            if kind != "table" or kinds.get(name) == "shadow":
                continue
            rows = database.execute(f'select * from "{name.replace(chr(34), chr(34) * 2)}"')
            columns = [column[0] for column in rows.description]
            values = rows.fetchall()
            yield name, pl.DataFrame([_sqlite_column(c, [row[i] for row in values]) for i, c in enumerate(columns)])


def _sqlite_column(name: str, values: list[Any]) -> pl.Series:
    """Texts and bytes as text; numbers, of which a column may have some beside texts, are none."""
    if any(isinstance(value, str | bytes) for value in values):
        texts = [v.decode("latin-1") if isinstance(v, bytes) else v if isinstance(v, str) else None for v in values]
        return pl.Series(name, texts, dtype=pl.String)
    return pl.Series(name, values, strict=False)


def _tables_of_duckdb(path: Path) -> Iterator[tuple[str, pl.DataFrame]]:
    """Every table of a DuckDB database, the text of its views and macros, and all comments."""
    import duckdb

    with duckdb.connect(str(path), read_only=True) as database:
        for sql in (
            "select table_name, comment, sql from duckdb_tables()",
            "select table_name, column_name, comment, column_default from duckdb_columns()",
            "select view_name, comment, sql from duckdb_views() where not internal",
            "select function_name, comment, macro_definition from duckdb_functions() where not internal",
        ):
            yield "duckdb_schema", pl.from_arrow(database.sql(sql).to_arrow_table())  # type: ignore[misc]
        for (name,) in database.sql("select table_name from duckdb_tables()").fetchall():
            quoted = name.replace('"', '""')
            yield name, pl.from_arrow(database.sql(f'from "{quoted}"').to_arrow_table())  # type: ignore[misc]


#: Databases, which are read where they lie: each gives (table, rows).
DATABASES: dict[str, Callable[[Path], Iterator[tuple[str, pl.DataFrame]]]] = {
    **dict.fromkeys((".sqlite", ".db"), _tables_of_sqlite),
    ".duckdb": _tables_of_duckdb,
}

#: The part of a workbook that has the texts of its cells.
SHARED_PART = "xl/sharedStrings.xml"
#: Cells as formulas and names point to them: `$A$1:$F$12000` holds no code.
_CELL_REFERENCE = re.compile(r"\$?[A-Z]{1,3}\$?[0-9]+(?![0-9A-Za-z])")
#: Attributes of a workbook's parts that point to cells: `D1000` is a place there.
_CELL_ATTRIBUTES = ("r", "ref", "sqref", "activeCell", "topLeftCell")


def texts_of_workbook_part(content: bytes) -> Iterator[tuple[str, str]]:
    """Texts and attributes of one part of a workbook, with the cell they are in; not its numbers."""
    cell, is_text = "", False
    runs: list[str] = []
    for event, element in ElementTree.iterparse(io.BytesIO(content), events=("start", "end")):
        tag = element.tag.rpartition("}")[2]
        if event == "start":
            if tag == "c":
                cell, is_text = element.get("r", ""), element.get("t") in ("str", "inlineStr")
            for name, value in element.attrib.items():
                value = _CELL_REFERENCE.sub("", value) if name in _CELL_ATTRIBUTES else value
                if not re.fullmatch(r"[-0-9.: ]*", value):
                    yield cell, value
        elif tag in ("si", "is"):
            # Runs of one text: no change of font cuts a token in two.
            yield cell, "".join(runs)
            runs.clear()
        elif tag == "t":
            runs.append(element.text or "")
        elif element.text and (tag != "v" or is_text):
            yield cell, _CELL_REFERENCE.sub("", element.text) if tag in ("f", "definedName") else element.text
        if event == "end" and tag in ("row", "si"):
            element.clear()
    yield cell, "".join(runs)


def strings_of_metadata(text: str) -> list[str]:
    """The strings of a JSON object or list; of anything else, the whole."""
    if text.startswith(("{", "[")):
        try:
            return [t for _, _, t in texts_of_json(text)]
        except ValueError:
            pass
    return [text]


def may_hold_text(dtype: pl.DataType) -> bool:
    """Whether a column of this type has texts, or bytes that may be some, also within lists and structs."""
    if isinstance(dtype, pl.List | pl.Array):
        return may_hold_text(dtype.inner)  # type: ignore[arg-type]
    if isinstance(dtype, pl.Struct):
        return any(may_hold_text(f.dtype) for f in dtype.fields)  # type: ignore[arg-type]
    return isinstance(dtype, pl.String | pl.Categorical | pl.Enum | pl.Binary) or dtype == pl.String


def texts_of_rows(rows: pl.LazyFrame, schema: Mapping[str, pl.DataType]) -> pl.DataFrame:
    """``column`` and ``text``: the distinct texts of each column, down through lists and structs."""
    plain = [by_name(c).unique().implode() for c, dtype in schema.items() if dtype == pl.String]
    lists = [by_name(c).explode().unique().implode() for c, dtype in schema.items() if dtype == pl.List(pl.String)]
    each = rows.select(*plain, *lists).collect()
    found = [each.unpivot(variable_name="column", value_name="text").explode("text").cast(pl.String)]
    for column, dtype in schema.items():
        if dtype not in (pl.String, pl.List(pl.String)) and may_hold_text(dtype):
            values = rows.select(by_name(column).alias("text")).collect()
            found += [t.select(pl.lit(column).alias("column"), "text").unique() for _, t in _unpacked(column, values)]
    return pl.concat(found).drop_nulls()


def _texts_of_dictionaries(path: Path, columns: list[str]) -> pl.DataFrame:
    """``column`` and ``text``: the texts in the dictionaries of a Parquet file, without reading its rows."""
    found: dict[str, list[pyarrow.Array]] = {}
    with pyarrow.parquet.ParquetFile(path, read_dictionary=columns) as file:
        for group in range(file.num_row_groups):
            part = file.read_row_group(group, columns=columns, use_threads=False)
            for column, values in zip(part.column_names, part.columns, strict=True):
                parts = [chunk.dictionary.cast(pyarrow.string()) for chunk in values.dictionary_encode().chunks]
                found.setdefault(column, []).extend(parts)
    texts = pyarrow.chunked_array([part for parts in found.values() for part in parts], pyarrow.string())
    texts.validate(full=True)
    names = pl.Series("column", list(found), dtype=pl.String)
    counts = pl.Series([sum(map(len, parts)) for parts in found.values()], dtype=pl.UInt32)
    return pl.DataFrame({"column": names.repeat_by(counts).explode(), "text": pl.from_arrow(texts)}, schema=_TEXTS)


def texts_of_column(values: pl.Series) -> Iterator[tuple[str, pl.DataFrame]]:
    """The texts of a column with their rows, down through lists and structs."""
    yield from _unpacked(
        values.name, pl.DataFrame({"row": pl.int_range(values.len(), dtype=pl.UInt32, eager=True), "text": values})
    )


def _unpacked(name: str, texts: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """A frame with a column ``text`` of any type, with texts there alone."""
    dtype = texts.schema["text"]
    if isinstance(dtype, pl.Array):
        texts = texts.with_columns(pl.col("text").arr.to_list())
        dtype = texts.schema["text"]
    if isinstance(dtype, pl.List):
        yield from _unpacked(name, texts.explode("text"))
    elif isinstance(dtype, pl.Struct):
        for inner in dtype.fields:
            if may_hold_text(inner.dtype):  # type: ignore[arg-type]
                part = texts.with_columns(pl.col("text").struct.field(inner.name).alias("text"))
                yield from _unpacked(f"{name}.{inner.name}", part)
    elif isinstance(dtype, pl.Binary):
        decoded = pl.col("text").map_elements(_decoded, return_dtype=pl.String)
        yield name, texts.with_columns(decoded).drop_nulls("text")
    else:
        yield name, texts.with_columns(pl.col("text").cast(pl.String)).drop_nulls("text")


def _decoded(data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        return data.decode("latin-1")


def texts_of_lines(content: str) -> Texts:
    """Each line."""
    for number, line in enumerate(content.splitlines(), 1):
        yield "", f"line {number}", line


def texts_of_json(content: str) -> Texts:
    """Strings and names of JSON, not its numbers; the column is the path without places in lists."""
    # Pairs, so that a name that appears twice hides nothing.
    value = json.loads(content, object_pairs_hook=_Pairs)

    def walk(value: Any, path: str, place: str) -> Texts:
        if isinstance(value, str):
            yield path, place, value
        elif isinstance(value, _Pairs):
            if any(n == "code" and isinstance(v, str) and re.search(FOREIGN_CODE, v) for n, v in value):
                words = [v for n, v in value if n in _WORDS]
                words += [
                    v for n, several in value if n == "designation" for one in several for m, v in one if m == "value"
                ]
                yield from ((WORDS_OF_OTHERS, place, v) for v in words if isinstance(v, str) and LETTER.search(v))
            for name, inner in value:
                yield path, place, name
                yield from walk(inner, f"{path}.{name}" if path else name, place)
        elif isinstance(value, list):
            for number, inner in enumerate(value):
                yield from walk(inner, path, f"{place}[{number}]")

    return walk(value, "", "")


#: Members of a JSON object with a ``code`` that say in words what the code means.
_WORDS = ("display", "definition", "short_description", "long_description", "description", "name")
#: In place of a column: words that an object has about another owner's code.
WORDS_OF_OTHERS = "text about another owner's code"


class _Pairs(list[tuple[str, Any]]):
    """An object of JSON as its pairs, in order."""


SCRIPT_TEXT = re.compile(
    r""" "(?:\\.|[^"\\\n])*" | '(?:\\.|[^'\\\n])*' | `(?:\\.|[^`\\])*` | //[^\n]* | /\*.*?\*/ """,
    re.VERBOSE | re.DOTALL,
)


#: An escape within a string: what is behind `\\n` must not look as if a letter preceded it.
_SCRIPT_ESCAPE = re.compile(r"\\(?:\\|[nrtbfv0]|u[0-9A-Fa-f]{4}|u\{[0-9A-Fa-f]+\}|x[0-9A-Fa-f]{2})")


def strings_of_data(content: str) -> tuple[str, list[str]]:
    """A script of data without its escapes, and its strings in order; none of any other script.

    Data have no strings but in double quotes, no comments, and no escapes but of those quotes, line ends and tabs.
    """
    plain = content.replace('\\"', "'").replace("\\n", " ").replace("\\t", " ") if "\\" in content else content
    outside, strings = (parts := plain.split('"'))[::2], parts[1::2]
    code = "".join(outside)
    is_data = "\\" not in plain and len(parts) % 2 and not any(mark in code for mark in "'`/")
    if not is_data or code.count("\n") != plain.count("\n"):
        return content, []
    return plain, strings


def texts_of_script(content: str) -> Texts:
    """Strings, without their quotes, and comments of JavaScript; numbers are no tokens."""
    line, counted = 1, 0
    for found in SCRIPT_TEXT.finditer(content):
        line += content.count("\n", counted, found.start())
        counted = found.start()
        yield "", f"line {line}", text_of_script(found.group(0))


def text_of_script(raw: str) -> str:
    """What a comment or a string says."""
    return _without_escapes(raw if raw.startswith("/") else raw[1:-1])


def _without_escapes(text: str) -> str:
    return _SCRIPT_ESCAPE.sub(_unescaped, text) if "\\" in text else text


def _unescaped(escape: re.Match[str]) -> str:
    """The character that an escape stands for; a blank for one of space."""
    digits = re.sub(r"[^0-9A-Fa-f]", "", escape[0][2:])
    letter = chr(min(int(digits, 16), 0x10FFFF)) if digits else " "
    return " " if letter.isspace() else letter


#: An escape of CSS: up to six digits and one blank that ends them.
_STYLE_ESCAPE = re.compile(r"\\([0-9A-Fa-f]{1,6})[ \t\n]?")
_STYLE_PART = re.compile(r"""/\*.*?\*/|"(?:\\.|[^"\\])*"|'(?:\\.|[^'\\])*'""", re.DOTALL)
#: A value that is a number, as of `order` or `z-index`.
_STYLE_NUMBER = re.compile(r"(?<=[:\s,(])[-+]?[0-9.]+(?=[;\s,)}!]|$)")


def texts_of_style(content: str) -> Texts:
    """Comments, strings and names of a style sheet; strings that stand side by side are shown as one."""
    line, counted, shown, end = 1, 0, "", 0
    rest = []
    for part in _STYLE_PART.finditer(content):
        line += content.count("\n", counted, part.start())
        counted = part.start()
        between = content[end : part.start()]
        rest.append(between)
        end = part.end()
        if part[0].startswith("/*"):
            yield "", f"line {line}", part[0]
            continue
        if between.strip():
            yield "", f"line {line}", shown
            shown = ""
        shown += _STYLE_ESCAPE.sub(lambda m: chr(min(int(m[1], 16), 0x10FFFF)), part[0][1:-1])
    yield "", f"line {line}", shown
    names = " ".join([*rest, content[end:]])
    yield "", "", _STYLE_NUMBER.sub(" ", _STYLE_ESCAPE.sub(lambda m: chr(min(int(m[1], 16), 0x10FFFF)), names))


def texts_of_markup(content: str) -> Texts:
    """Text, comments and attributes of HTML or SVG; scripts by their strings; not the numbers of drawings."""
    reader = _Markup()
    reader.feed(content)
    reader.close()
    reader.flush()
    return iter(reader.texts)


#: Elements that a line of text ends at; any other, known or not, stands within a line.
BLOCK = re.compile(
    "address|article|aside|blockquote|body|br|button|canvas|caption|col|colgroup|dd|details|dialog|div|dl|dt|fieldset"
    "|figcaption|figure|footer|form|h[1-6]|head|header|hr|html|iframe|img|input|legend|li|link|main|menu|meta|nav"
    "|noscript|ol|optgroup|option|p|pre|script|section|select|style|summary|svg|table|tbody|td|template|textarea|tfoot"
    "|th|thead|title|tr|ul|video|text|desc|defs|symbol|use|g|path|rect|circle|ellipse|line|polyline|polygon|image"
)


#: Elements within a line, so that a token may run over them; those of Atom are, as all that are not known.
_INLINE = (
    "a|abbr|b|cite|code|data|em|i|kbd|label|mark|s|small|span|strong|sub|sup|time|u|var|wbr"
    "|author|category|content|entry|feed|id|name|published|rights|subtitle|updated"
)
#: A tag with attributes as our templates write them: none that a style or a script within could hide something in.
_TAG_END = r"(?:\s+[a-z][a-z0-9:-]*(?:=\"[^<>\"]*\")?)*\s*/?>"
_INLINE_TAG = rf"(?i)</?(?:{_INLINE}){_TAG_END}"
_KNOWN_TAG = rf"(?i)<!doctype html>|<\?xml [^<>?]*\?>|</?(?:{BLOCK.pattern}|{_INLINE}){_TAG_END}"
#: Entities for a mark that can neither join what is around it nor begin a tag or another entity.
_HARMLESS_ENTITY = r"&(?:#34|#39|gt);|list&lt;[a-z]+(?:64)?&gt;|&lt;([ =0-9])|&amp;([^#0-9A-Za-z&<])"
#: An ampersand with what a reader takes for the name of an entity behind it.
_AMPERSAND = re.compile(r"&amp;(#?[^\t\n\f <&#;]{0,32};?)")
#: A style that is one number, which holds no token.
_NUMBER_STYLE = r' style="[a-z-]+: [0-9]{1,4}(?:\.[0-9]{1,4})?(?:%|px|rem)"'
#: What only a reader of markup understands: other entities, characters beside ASCII and some marks, escapes, styles.
_ODD_MARKUP = r"[^ -%'-~\t\n–—‘’“”…·←→−]|%[0-9A-Fa-f]{2}|\\|\]\]|(?i:<style|style=|<script[^>]*type)"


def are_harmless(pages: pl.Series) -> pl.Series:
    """Which pages hold no token, however they are read: line by line, since pages share most lines and no token, no
    entity and no known tag goes over the end of one.
    """
    texts = pages.cast(pl.String, strict=False).fill_null("<")
    lines = texts.str.split("\n").to_frame("line").with_row_index("page").explode("line")
    distinct = lines["line"].unique()
    odd = lines.filter(pl.col("line").is_in(distinct.filter(~_are_harmless_lines(distinct)).implode()))
    return ~pl.int_range(pages.len(), eager=True).is_in(odd["page"].implode())


def _are_harmless_lines(lines: pl.Series) -> pl.Series:
    """Which lines hold no token, by fewer and coarser looks than ``texts_of_markup``.

    A line that has odd markup is not harmless. In any other a token is in the bytes, or in them without the tags
    that a text runs over; every other tag ends a text, as it does in the bytes. A line with a tag of another form, or
    with a part of one, is not harmless either.
    """
    texts = lines.str.replace_all(_NUMBER_STYLE, "").str.replace_all(_HARMLESS_ENTITY, "'${1}${2}")
    named = texts.str.contains("&amp;", literal=True)
    texts = texts.scatter(named.arg_true(), [_without_ampersands(text) for text in texts.filter(named)])
    joined = texts.str.replace_all(_INLINE_TAG, "")
    odd = [form.str.contains(rf"{_ODD_MARKUP}|{HOLDS_TOKEN}") for form in (texts, joined)]
    return ~(odd[0] | odd[1] | joined.str.replace_all(_KNOWN_TAG, "").str.contains("[<>]"))


def _without_ampersands(line: str) -> str:
    """A line with a mark in the place of each ampersand, unless one begins an entity, within a tag or over it."""
    names = {*_AMPERSAND.findall(line), *_AMPERSAND.findall(re.sub(_INLINE_TAG, "", line))}
    return line.replace("&amp;", "'") if all(html.unescape(f"&{n}") == f"&{n}" for n in names) else line


def is_block(tag: str) -> bool:
    """Whether a line of text ends at an element."""
    return BLOCK.fullmatch(tag.lower()) is not None


#: Attributes that hold the numbers of a drawing or a layout.
_NUMBERS = re.compile(
    "d|points|[xy][12]?|[cdf][xy]|r[xy]?|width|height|viewbox|transform|offset|stroke-[a-z]+|font-size|[a-z]+span"
)


class _Markup(HTMLParser):
    """Text is joined over elements that stand within a line, so that none can cut a token in two."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.texts: list[tuple[str, str, str]] = []
        self._pending = ""
        self._place = ""
        self._script: str | None = None

    def flush(self) -> None:
        if self._pending.strip():
            self.texts.append(("", self._place, self._pending))
        self._pending = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if is_block(tag):
            self.flush()
        if tag == "script":
            self._script = "json" if "json" in (dict(attrs).get("type") or "") else "script"
        elif tag == "style":
            self._script = "style"
        place = f"line {self.getpos()[0]}"
        for name, value in attrs:
            if value and name == "style":
                self.texts += [("@style", place, text) for _, _, text in texts_of_style(value)]
            elif value and not _NUMBERS.fullmatch(name):
                self.texts.append((f"@{name}", place, value))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        self._script = None

    def handle_endtag(self, tag: str) -> None:
        if is_block(tag):
            self.flush()
        self._script = None

    def handle_comment(self, data: str) -> None:
        self.texts.append(("", f"line {self.getpos()[0]}", data))

    def handle_decl(self, decl: str) -> None:
        self.handle_comment(decl)

    def handle_pi(self, data: str) -> None:
        self.handle_comment(data)

    def unknown_decl(self, data: str) -> None:
        self.handle_data(data.removeprefix("CDATA["))

    def handle_data(self, data: str) -> None:
        place = f"line {self.getpos()[0]}"
        if self._script is not None:
            read = {"json": texts_of_json, "style": texts_of_style}.get(self._script, texts_of_script)
            self.texts += [(column, place, text) for column, _, text in read(data)]
            return
        if not self._pending:
            self._place = place
        self._pending += data


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
