"""Plant texts beside codes that are not CMS's in odd claims, annotate with ``--redact``, and look for them in OUT.

    python -m benchmarks.redaction --version outputs/latest

Files of text are made up: every dialect, stray quotation marks, delimiters in texts, lines whose fields are shifted,
missing or doubled, odd codes and days. A file is read or refused; of what is read no planted text may come out.
"""

from __future__ import annotations

import argparse
import random
import tempfile
from dataclasses import dataclass, field
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from hcpcs.annotate.engine import annotate
from hcpcs.errors import HcpcsError

_MARK = "zqx"
_OPEN = ["J1100", "j1100", "J1100-RT", " J1100 ", "HC:J1100:RT", "J11.00"]
_WITHHELD = ["99213", "99213-25", "00142", "0001U", "4004F", "D0120", "W1234", "B0048", "O0142", "F0001", "", "0450"]
_WITHHELD += ["9921325", "CPT4:72107", "99213.0", '="00142"', "J11000", "S72.001A", "30233N1", "NULL", "5880005", "?"]
_DAYS = [f"{year}-{month:02}-{day:02}" for year in (2018, 2020) for month in range(1, 13) for day in range(1, 29)]
_COLUMNS = ["id", "code", "dos", "desc", "mod", "mod_desc", "paid", "state", "notes"]
_FILE_LINES = 250


@dataclass
class Found:
    """What a run found: lines made, texts planted, files read and refused, and planted texts that came out."""

    lines: int = 0
    planted: int = 0
    read: int = 0
    refused: int = 0
    survived: list[str] = field(default_factory=list)


def survivors(version: Path, folder: Path, *, lines: int, seed: int) -> Found:
    """Make files of ``lines`` lines in all below ``folder``, annotate them, and count what came out."""
    rng, found = random.Random(seed), Found()
    while found.lines < lines:
        path, out = folder / f"{found.lines}.csv", folder / f"{found.lines}.parquet"
        path.write_bytes(_file(rng, found).encode())
        try:
            annotate(
                path,
                out,
                version=version,
                code="code",
                date="dos",
                modifiers=["mod"],
                redact=["desc=code", "mod_desc=mod", "notes=code"],
                threads=1,
            )
        except HcpcsError:
            found.refused += 1
            assert not out.exists()
            continue
        finally:
            path.unlink()
        found.read += 1
        found.survived += _planted_in(pq.read_table(out))
        out.unlink()
    return found


def _planted_in(table: pa.Table) -> list[str]:
    """Texts of a table with the mark that planted texts have."""
    found: list[str] = []
    for column in table.columns:
        plain = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
        if pa.types.is_string(plain.type):
            found += plain.filter(pc.fill_null(pc.match_substring(plain, _MARK), False)).to_pylist()
    return found


def _file(rng: random.Random, found: Found) -> str:
    """A file of claims; in some no line is odd in its fields, in some a few are, in some many."""
    delimiter, quoted = rng.choice(",|\t;"), rng.random() < 0.5
    columns = rng.sample(_COLUMNS, len(_COLUMNS))
    oddness = rng.choice([0, 0, 0.01, 0.05])
    end = rng.choice(["\n", "\n", "\r\n"])
    rows = [columns]
    for n in range(_FILE_LINES):
        row = _row(rng, found, n)
        fields = [row[c] for c in columns]
        # A text of a modifier that moves beside a code of CMS's, all else in its place, is not to be seen by anybody.
        if rng.random() < oddness and row["code"] not in _OPEN:
            fields = _shifted(rng, fields)
        rows.append(fields)
    found.lines += _FILE_LINES
    breaks = rng.random() < 0.15

    def written(text: str) -> str:
        if breaks and rng.random() < 0.005:
            text += rng.choice(['"', delimiter, "'", "\r", '6" tape', "\\"])
            return text
        needs = delimiter in text or '"' in text or "\n" in text
        if quoted and (needs or rng.random() < 0.3):
            return '"' + text.replace('"', '""') + '"'
        return text.replace(delimiter, " ").replace("\n", " ")

    return "".join(delimiter.join(map(written, fields)) + end for fields in rows)


def _row(rng: random.Random, found: Found, n: int) -> dict[str, str]:
    is_open, modifier = rng.random() < 0.5, rng.choice(["", "RT", "RT", "25", "P1", "59", "ZZ", "NA"])
    day = rng.choice(_DAYS) if rng.random() < 0.97 else rng.choice(["", "never", "2019-13-45"])
    is_dated = day in _DAYS
    words = rng.choice(["6 INCH TAPE", '6" TAPE', "A, B and C", "x|y", "two\nlines", "", "plain"])
    stays, of_modifier = is_open and is_dated, modifier == "RT" and is_dated

    def planted() -> str:
        found.planted += 1
        return rng.choice(
            [f"{_MARK}{found.planted} SECRET WORDS", f"SECRET, {_MARK}{found.planted}; WORDS", f'5" {_MARK} X']
        )

    return {
        "id": str(1000 + n),
        "code": rng.choice(_OPEN if is_open else _WITHHELD),
        "dos": day,
        "desc": words if stays else planted(),
        "mod": modifier,
        "mod_desc": words if of_modifier else planted(),
        "paid": f"{rng.randrange(10_000) / 100:.2f}",
        "state": rng.choice(["MA", "TX", "NY"]),
        "notes": rng.choice(["", "seen by nurse", "no show"]),
    }


def _shifted(rng: random.Random, fields: list[str]) -> list[str]:
    """Fields that are as many as before, but in wrong places; or too few, or too many."""
    at, how = rng.randrange(len(fields)), rng.random()
    if how < 0.4:
        return fields[at:] + fields[:at]
    if how < 0.7:
        return [*fields[:at], *fields[at + 1 :], ""]
    if how < 0.98:
        return [*fields[:at], "", *fields[at:]][: len(fields)]
    return [*fields, "x"] if rng.random() < 0.5 else fields[:-1]


def main() -> None:
    """Run from the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--version", type=Path, required=True)
    parser.add_argument("--lines", type=int, default=200_000)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = survivors(options.version, Path(folder), lines=options.lines, seed=options.seed)
    print(f"{found.lines:,} lines, {found.planted:,} planted texts, {len(found.survived):,} survived")
    print(f"{found.read:,} files read, {found.refused:,} refused")
    for text in found.survived[:20]:
        print(repr(text))
    raise SystemExit(bool(found.survived))


if __name__ == "__main__":
    main()
