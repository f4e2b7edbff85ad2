"""The AMA's CPT files, as a licensee holds them: which layout a file has, and the descriptors in it.

Nothing of them is kept in this project, in an archive or beside the open tier; what becomes of the rows is decided in
``pipeline.versions.restricted``. Two layouts are common. One file per length of descriptor (`LONGULT.txt` and its like:
code, TAB, descriptor; `MEDU.txt`, `SHORTU.txt`: code, blank, descriptor), and one consolidated list with a heading
(`ConsolidatedCodeList.txt`: concept id, code, long, medium, short, consumer descriptors, effective date, by TABs).
Both may begin with a copyright notice, which is skipped.
"""

from __future__ import annotations

import codecs
import datetime as dt
import hashlib
import re
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import polars as pl

from schemas.columns import CPT_CODE
from sources.errors import SourceError

#: Columns of the descriptors, in order.
DESCRIPTORS = ("short_descriptor", "medium_descriptor", "long_descriptor", "consumer_descriptor")
CPT_SCHEMA: dict[str, pl.DataType] = {
    "code": pl.String(),
    **dict.fromkeys(DESCRIPTORS, pl.String()),
    "valid_from": pl.Date(),
    "source_file": pl.String(),
    "source_file_sha256": pl.String(),
    "source_line": pl.Int32(),
}

_CODE = re.compile(CPT_CODE)
_TABBED = re.compile(r"^\"?([0-9A-Z]{5})\"?\t(.*)$")
_BLANKED = re.compile(r"^([0-9A-Z]{5}) +(\S.*)$")
#: Longest descriptors that the AMA's own layout allows, in characters.
_LONGEST = {"short_descriptor": 28, "medium_descriptor": 100}
#: Members of a zip or folder that hold descriptors; others (guidelines, modifiers, read-me files) are not looked at.
_DESCRIPTOR_FILE = re.compile(r"(LONGUL?T|MEDUL?|SHORTUL?|Consolidated_?Code_?List.*)\.(txt|tsv)", re.IGNORECASE)
_HEADINGS = {
    "code": re.compile(r"(cpt )?code"),
    "short_descriptor": re.compile(r"short( descriptor| description)?"),
    "medium_descriptor": re.compile(r"medium( descriptor| description)?"),
    "long_descriptor": re.compile(r"long( descriptor| description)?"),
    "consumer_descriptor": re.compile(r"consumer( descriptor| description)?"),
    "valid_from": re.compile(r"(current descriptor )?effective date"),
}
_SHOWN_PROBLEMS = 20
#: A larger text is no list of codes: CPT has some 11,000.
_MOST_BYTES = 200_000_000


class CptFileError(SourceError):
    """A file given as the AMA's is not what it says, or files contradict each other; names file and line."""


@dataclass(frozen=True, slots=True)
class CptFile:
    """One file that was read: its layout (`consolidated`, `tabbed`, `blanked`) and how many codes it holds."""

    name: str
    sha256: str
    bytes: int
    layout: str
    codes: int


@dataclass(frozen=True, slots=True)
class CptCodeList:
    """The codes of one edition, one row each (``CPT_SCHEMA``), sorted; and the files they come from."""

    codes: pl.DataFrame
    files: tuple[CptFile, ...]


@dataclass(frozen=True, slots=True)
class _Row:
    line: int
    values: Mapping[str, str | dt.date]


def read_cpt_files(paths: Sequence[Path]) -> CptCodeList:
    """Read files, zips or folders of one CPT edition.

    Raises ``CptFileError``, with file and line, for what has neither layout, a code that is none of CPT's, a missing
    or overlong descriptor, a day that is none, codes or words that contradict each other, and files that do not hold
    the same codes.
    """
    merged: dict[str, dict[str, object]] = {}
    files: list[CptFile] = []
    codes_of: dict[str, set[str]] = {}
    for name, data in _contents(paths):
        sha = hashlib.sha256(data).hexdigest()
        layout, rows = _rows(name, data)
        problems = []
        seen: dict[str, _Row] = {}
        for row in rows:
            code = str(row.values["code"])
            first = seen.setdefault(code, row)
            if first.values != row.values:
                problems.append(f"line {row.line}: {code} is on line {first.line} with other text")
        _refuse(name, problems)
        for code, row in seen.items():
            known = merged.setdefault(code, {"source_file": name, "source_file_sha256": sha, "source_line": row.line})
            for column, value in row.values.items():
                if known.setdefault(column, value) != value:
                    problems.append(f"line {row.line}: {column} of {code} is not as {known['source_file']} has it")
        _refuse(name, problems)
        files.append(CptFile(name, sha, len(data), layout, len(seen)))
        codes_of[name] = set(seen)
    _refuse_unlike(codes_of)
    rows_out = [merged[code] for code in sorted(merged)]
    return CptCodeList(pl.DataFrame(rows_out, schema=CPT_SCHEMA), tuple(files))


def _contents(paths: Sequence[Path]) -> Iterator[tuple[str, bytes]]:
    """Names and bytes of the files that hold descriptors; a file given by itself is one whatever its name."""
    if not paths:
        raise CptFileError("no file of the AMA is given; `--cpt FILE` names one")
    for path in paths:
        if path.is_dir():
            found = [p for p in sorted(path.rglob("*")) if p.is_file() and _DESCRIPTOR_FILE.fullmatch(p.name)]
            if not found:
                raise CptFileError(f"{path.name}: the folder has no file of descriptors (LONGULT.txt or the like)")
            yield from ((p.name, p.read_bytes()) for p in found)
        elif zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as compressed:
                members = [
                    m
                    for m in compressed.infolist()
                    if _DESCRIPTOR_FILE.fullmatch(PurePosixPath(m.filename).name) and m.file_size <= _MOST_BYTES
                ]
                if not members:
                    raise CptFileError(f"{path.name}: the zip has no file of descriptors (LONGULT.txt or the like)")
                try:
                    yield from [(PurePosixPath(m.filename).name, compressed.read(m)) for m in members]
                except (RuntimeError, zipfile.BadZipFile) as error:
                    raise CptFileError(f"{path.name}: {error}") from None
        else:
            if path.stat().st_size > _MOST_BYTES:
                raise CptFileError(
                    f"{path.name}: {path.stat().st_size:,} bytes are more than any list of CPT codes has"
                )
            yield path.name, path.read_bytes()


def _rows(name: str, data: bytes) -> tuple[str, list[_Row]]:
    lines = _text(name, data).splitlines()
    for number, line in enumerate(lines, 1):
        headings = _headings(line)
        if headings is not None:
            return "consolidated", _rows_under_heading(name, headings, lines, number)
        for layout, form in (("tabbed", _TABBED), ("blanked", _BLANKED)):
            found = form.match(line)
            if found and _CODE.fullmatch(found[1]):
                return layout, _rows_of_two(name, form, lines, number)
    raise CptFileError(
        f"{name}: not a file of CPT descriptors: none of its {len(lines)} lines is a heading with `CPT Code` or begins"
        f" with a CPT code; it begins with {data[:16]!r}"
    )


def _text(name: str, data: bytes) -> str:
    encodings = ["utf-8-sig", "cp1252"]
    if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        encodings = ["utf-16"]
    elif b"\0" in data:
        raise CptFileError(f"{name}: not a text; it begins with {data[:16]!r}")
    for encoding in encodings:
        try:
            return data.decode(encoding)
        except UnicodeDecodeError:
            continue
    raise CptFileError(f"{name}: neither UTF-8 nor Windows text; it begins with {data[:16]!r}")


def _headings(line: str) -> dict[str, int] | None:
    """Where the columns of a consolidated list are, if the line is its heading."""
    cells = [" ".join(cell.strip('" ').lower().split()) for cell in line.split("\t")]
    found = {
        column: next(i for i, cell in enumerate(cells) if form.fullmatch(cell))
        for column, form in _HEADINGS.items()
        if any(form.fullmatch(cell) for cell in cells)
    }
    return found if "code" in found and len(found) > 1 else None


def _rows_under_heading(name: str, headings: dict[str, int], lines: list[str], heading: int) -> list[_Row]:
    rows, problems = [], []
    for number, line in enumerate(lines[heading:], heading + 1):
        if not line.strip():
            continue
        cells = [cell.strip().strip('"').strip() for cell in line.split("\t")]
        if len(cells) <= max(headings.values()):
            problems.append(f"line {number}: {len(cells)} columns, too few for the heading on line {heading}")
            continue
        stated = {column: cells[place] for column, place in headings.items()}
        values: dict[str, str | dt.date] = {c: v for c, v in stated.items() if v and c != "valid_from"}
        problems += _problems(number, stated["code"], {c: v for c, v in stated.items() if c in DESCRIPTORS})
        day = stated.get("valid_from", "")
        if day:
            parsed = _day(day)
            if parsed is None:
                problems.append(f"line {number}: {day!r} is no day (YYYYMMDD)")
            else:
                values["valid_from"] = parsed
        rows.append(_Row(number, values))
    if not rows:
        problems.append(f"line {heading}: there is no code under the heading")
    _refuse(name, problems)
    return rows


def _rows_of_two(name: str, form: re.Pattern[str], lines: list[str], first: int) -> list[_Row]:
    """Code and one descriptor a line; which descriptor, the file's name tells, else the longest one's length."""
    found, problems = [], []
    for number, line in enumerate(lines[first - 1 :], first):
        if not line.strip():
            continue
        match = form.match(line.rstrip(" "))
        if match is None:
            problems.append(f"line {number}: not a code and a descriptor: {line[:40]!r}")
            continue
        if "\t" in match[2].strip():
            problems.append(f"line {number}: more than a code and a descriptor, and no heading that names them")
        found.append((number, match[1], match[2].strip().strip('"').strip()))
    column = _length_by_name(name)
    if column is None:
        longest = max((len(text) for _, _, text in found), default=0)
        column = next((c for c, most in _LONGEST.items() if longest <= most), "long_descriptor")
    for number, code, text in found:
        problems += _problems(number, code, {column: text})
    _refuse(name, problems)
    return [_Row(number, {"code": code, column: text}) for number, code, text in found]


def _length_by_name(name: str) -> str | None:
    lower = name.lower()
    return next((f"{length}_descriptor" for length in ("short", "long") if lower.startswith(length)), None) or (
        "medium_descriptor" if lower.startswith("med") else None
    )


def _problems(line: int, code: str, descriptors: Mapping[str, str]) -> Iterator[str]:
    if not _CODE.fullmatch(code):
        yield f"line {line}: {code!r} is no CPT code"
    if not any(descriptors.values()):
        yield f"line {line}: {code} has no descriptor"
    for column, text in descriptors.items():
        if len(text) > _LONGEST.get(column, len(text)):
            what = f"the {column.replace('_', ' ')} of {code}"
            yield f"line {line}: {what} has {len(text)} characters, not {_LONGEST[column]} at most"


def _day(text: str) -> dt.date | None:
    for form in ("%Y%m%d", "%Y-%m-%d", "%m/%d/%Y"):
        try:
            return dt.datetime.strptime(text, form).date()
        except ValueError:
            continue
    return None


def _refuse(name: str, problems: Iterable[str]) -> None:
    problems = list(problems)
    if problems:
        more = [f"{name}: … and {len(problems) - _SHOWN_PROBLEMS} more"] if len(problems) > _SHOWN_PROBLEMS else []
        raise CptFileError("\n".join([*(f"{name}: {p}" for p in problems[:_SHOWN_PROBLEMS]), *more]))


def _refuse_unlike(codes_of: Mapping[str, set[str]]) -> None:
    """Files of one edition hold the same codes; if they do not, they are of two."""
    names = list(codes_of)
    for name in names[1:]:
        unlike = codes_of[name] ^ codes_of[names[0]]
        if unlike:
            raise CptFileError(
                f"{name}: its codes are not those of {names[0]}: {len(unlike)} are in only one of them, such as"
                f" {min(unlike)}; give files of one edition"
            )
