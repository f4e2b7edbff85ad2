"""CMS's records as its files have them, field by field, for the catalog: what the license lets be passed on.

The same bytes as ``hcpcs lookup CODE --source`` prints, with what is withheld left out.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping
from itertools import islice

import polars as pl

from hcpcs.paths import Outputs
from pipeline.lineage.provenance import fields_of, holders_of_members, lines_of_record, with_continuations
from sources.code_file.record_layout import LAST_FIELD_POSITION, RECORD_FIELDS, RECORD_ID_POSITION
from sources.errors import SourceError
from sources.release.inspect import open_archive
from sources.side_files.tables import Sheet, decoded, is_workbook, lines_of, sheets

#: What a record says, in order: sequence number and record id of each line, the fields, and what no field has.
CELLS = ("head", *(f.name for f in RECORD_FIELDS), "filler")
_CODE_LENGTH = 5
#: A header is in the first rows of a sheet, and no record has more lines.
_HEADER_ROWS, _MOST_LINES = 200, 1_000
#: What a member and a line in it are called.
_PLACE = pl.Schema({"source_member_sha256": pl.String, "source_line": pl.Int32})


def with_raw_records(outputs: Outputs, rows: pl.DataFrame) -> pl.DataFrame:
    """Rows that name a record of ``hcpcs_release_records``, with ``record``: its ``CELLS`` as a struct.

    A cell that is withheld is null, and so is the whole record of a row that is. A text's lines are joined by line
    feeds, a workbook's cells of one field by tabs; the head of a workbook's record is empty. Null where the archive
    lacks the member. ``rows`` has ``release_id``, ``code``, the source's columns, ``redistribution``,
    ``withheld_fields``.
    """
    archive = open_archive(outputs.archive)
    try:
        holders = holders_of_members(archive.index())
    except (SourceError, OSError):
        holders = {}
    found = [pl.DataFrame(schema={**_PLACE, **dict.fromkeys(CELLS, pl.String)})]
    for (release_id, sha), wanted in rows.group_by("release_id", "source_member_sha256", maintain_order=True):
        if (holder := holders.get((release_id, sha))) is None:
            continue
        try:
            (member,) = archive.read(holder, only=next(m.name for m in holder.members if m.sha256 == sha))
        except (SourceError, OSError):
            continue
        of_member = _of_workbook if is_workbook(member.data) else _of_text
        codes = dict(wanted.select("source_line", "code").iter_rows())
        for cells in of_member(member.name, member.data, codes):
            placed = cells.with_columns(source_member_sha256=pl.lit(sha)).cast(_PLACE)
            found.append(placed.select(found[0].columns))
    records = pl.concat(found).unique(list(_PLACE), keep="last").select(*_PLACE, record=pl.struct(CELLS))
    joined = rows.join(records, on=list(_PLACE), how="left", maintain_order="left")
    is_withheld = {name: pl.col("withheld_fields").list.contains(name).fill_null(False) for name in CELLS}
    record = pl.struct(pl.when(~is_withheld[name]).then(pl.col("record").struct[name]).alias(name) for name in CELLS)
    is_open = pl.col("record").is_not_null() & (pl.col("redistribution") == "open")
    return joined.with_columns(record=pl.when(is_open).then(record))


def _of_text(name: str, data: bytes, wanted: Mapping[int, str]) -> Iterator[pl.DataFrame]:
    """``source_line`` and ``CELLS`` of the records that are on the lines ``wanted``, each with its code."""
    lines = lines_of(decoded(data) or data.decode("latin-1"))
    own = ["\n".join(islice(lines_of_record(lines, number, code), _MOST_LINES)) for number, code in wanted.items()]
    first, line, description = pl.col("lines").list.first(), pl.element(), RECORD_FIELDS[0]
    texts = line.str.slice(description.start - 1, description.width).str.strip_chars_end()
    heads = line.str.slice(_CODE_LENGTH, RECORD_ID_POSITION - _CODE_LENGTH)
    records = pl.DataFrame({"source_line": list(wanted), "lines": pl.Series(own).str.split("\n")})
    yield records.select(
        "source_line",
        pl.col("lines").list.eval(heads).list.join("\n").alias("head"),
        pl.col("lines").list.eval(texts).list.join("\n").alias(description.name),
        *(
            first.str.slice(f.start - 1, f.width * f.times).str.strip_chars_end().alias(f.name)
            for f in RECORD_FIELDS[1:]
        ),
        first.str.slice(LAST_FIELD_POSITION).str.strip_chars_end().alias("filler"),
    )


def _of_workbook(name: str, data: bytes, wanted: Mapping[int, str]) -> Iterator[pl.DataFrame]:
    """The same of a workbook, by sheet."""
    left = dict(wanted)
    for sheet in sheets(name, data):
        names = next((found for _, row in sheet.first_rows(_HEADER_ROWS) if (found := fields_of(row))), {})
        columns: dict[str, list[int]] = defaultdict(list)
        for column, field in names.items():
            columns[field].append(column + 1)  # the first column of the frame is the row's number
        if "code" not in columns:
            continue
        code = columns["code"][0] - 1
        cells = sheet.cells.filter(pl.nth(code + 1).str.strip_chars().is_in(sorted(set(wanted.values()))))
        rows = Sheet(sheet.name, cells).rows
        texts: dict[int, str] = {}
        for place, (number, row) in enumerate(rows):
            if left.get(number) == row[code].strip():
                own = with_continuations(rows[place : place + _MOST_LINES], left.pop(number))
                said = (part[c - 1].strip() for _, part in own for c in columns["long_description"])
                texts[number] = "\n".join(said).rstrip()
        yield cells.filter(pl.first().is_in(list(texts))).select(
            pl.first().alias("source_line"),
            *(_joined(columns[f]).alias(f) for f in CELLS if f != "long_description"),
            pl.Series("long_description", list(texts.values()), dtype=pl.String),
        )


def _joined(columns: list[int]) -> pl.Expr:
    """The cells of a field, which may have several columns, or none."""
    cells = [pl.nth(column).fill_null("").str.strip_chars() for column in columns]
    return pl.concat_str(cells, separator="\t").str.strip_chars_end() if cells else pl.lit("")
