"""``hcpcs export --tuva``: the newest release as the Tuva Project's terminology seed ``hcpcs_level_2``."""

from __future__ import annotations

import gzip
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from hcpcs.export.notice import license_notice
from hcpcs.export.registry import ExportFormat
from hcpcs.version import Version

_COLUMNS = ("hcpcs", "seqnum", "recid", "long_description", "short_description")
#: The file that Tuva's macro reads: without a header, null as \N.
_LOADED = "hcpcs_level_2.csv_0_0_0.csv.gz"
_SEED = "seeds/terminology__hcpcs_level_2.csv"
#: CMS's record numbers. We join the lines of a text, as CMS's workbook does: every code is its own first record.
_SEQUENCE, _RECORD = "0010", {"procedure": "3", "modifier": "7"}
#: The width of Tuva's column for the long description.
_LONGEST = 2000


def write_tuva(version: Version, folder: Path, options: Mapping[str, str]) -> list[str]:
    """Write the newest release as Tuva's seed, with a header and as Tuva loads it; returns the files' names.

    One row a code or modifier, in the order of the codes. ``NOTICE.txt`` names the texts that are longer than Tuva's
    column; none is cut.
    """
    releases = version.table("hcpcs_releases", ["release_id", "is_current"])
    newest = pc.max(releases.filter(releases["is_current"])["release_id"])
    records = version.table(
        "hcpcs_release_records", ["kind", "code", "release_id", "long_description", "short_description"]
    )
    records = records.filter(pc.equal(records["release_id"], newest)).sort_by(
        [("code", "ascending"), ("kind", "ascending")]
    )
    rows = [
        (r["code"], _SEQUENCE, _RECORD[r["kind"]], r["long_description"], r["short_description"])
        for r in records.to_pylist()
    ]
    (folder / _SEED).parent.mkdir(parents=True)
    (folder / _SEED).write_text(_text([_COLUMNS, *rows], null=""), encoding="utf-8", newline="")
    loaded = _text(rows, null="\\N").encode()
    (folder / _LOADED).write_bytes(gzip.compress(loaded, mtime=0))
    long = [f"{code} ({len(text):,} characters)" for code, _, _, text, _ in rows if text and len(text) > _LONGEST]
    about = f"HCPCS Level II of {newest} as the Tuva Project's terminology seed: {len(rows):,} codes and modifiers."
    about += (
        f"\nLonger than {_LONGEST:,} characters, the width of Tuva's column, and not cut: {', '.join(long) or 'none'}."
    )
    (folder / "NOTICE.txt").write_text(license_notice(version, about), encoding="utf-8")
    return [_LOADED, _SEED, "NOTICE.txt"]


def _text(rows: Iterable[Iterable[Any]], null: str) -> str:
    """The rows as CSV, every value quoted and null not: a reader tells it from a text."""
    lines = (",".join(null if value is None else _quoted(value) for value in row) for row in rows)
    return "".join(f"{line}\n" for line in lines)


def _quoted(value: str) -> str:
    return '"' + value.replace('"', '""') + '"'


FORMAT = ExportFormat(
    name="tuva",
    summary="the newest release as the Tuva Project's terminology seed",
    is_folder=True,
    write=write_tuva,
    shows=(
        "hcpcs_release_records.code",
        "hcpcs_release_records.long_description",
        "hcpcs_release_records.short_description",
    ),
    headers={_LOADED.removesuffix(".gz"): _COLUMNS},
)
