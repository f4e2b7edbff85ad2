"""Parsing one text release to typed records, against pandas `read_fwf` and a join of the continuations."""

from __future__ import annotations

import io
from pathlib import Path

from benchmarks.measure import best_of, show
from sources.archive.zips import read_zip
from sources.code_file.record_layout import RECORD_FIELDS
from sources.code_file.records import typed_records
from sources.code_file.text import looks_like_anweb_text, read_anweb_text

BOUND = 12.0


def newest_text(folder: Path) -> tuple[str, bytes]:
    """Name and bytes of the newest text release in ``folder``."""
    texts = [
        (path.parent.name, member.name, member.data)
        for path in sorted(folder.rglob("*.zip"))
        for member in read_zip(path)
        if member.name.lower().endswith(".txt") and looks_like_anweb_text(member.data)
    ]
    _, name, data = max(texts)
    return name, data


def ours(name: str, data: bytes) -> int:
    """Typed records with findings, as the pipeline reads them; returns their number."""
    cells, _ = read_anweb_text(name, data)
    records, _ = typed_records(name, cells)
    return records.height


def with_pandas(data: bytes) -> int:
    """The same records as pandas users read them: fixed widths, dates, then continuations joined by group."""
    import pandas as pd

    spans = {"code": (0, 5), "record_id": (10, 11)}
    spans |= {part: (start, start + width) for f in RECORD_FIELDS for part, start, width in f.slices()}
    lines = pd.read_fwf(
        io.BytesIO(data), colspecs=list(spans.values()), names=list(spans), header=None, dtype=str, encoding="latin-1"
    )
    lines = lines[lines["record_id"].isin(["3", "4", "7", "8"])]
    first = lines["record_id"].isin(["3", "7"])
    group = first.cumsum()
    texts = lines.groupby(group)["long_description"].agg(" ".join)
    records = lines[first].assign(long_description=texts.to_numpy())
    for f in RECORD_FIELDS:
        if f.type == "date":
            records[f.name] = pd.to_datetime(records[f.name], format="%Y%m%d", errors="coerce")
        elif f.type == "integer":
            records[f.name] = pd.to_numeric(records[f.name], errors="coerce").astype("Int32")
    return len(records)


def run(folder: Path) -> bool:
    """Print the ratio; returns whether it holds."""
    name, data = newest_text(folder)
    seconds, count = best_of(5, lambda: ours(name, data))
    rival, rival_count = best_of(2, lambda: with_pandas(data))
    assert count == rival_count, f"{count} records here, {rival_count} with pandas"
    print(f"parsing {name}, {count} records: {seconds * 1000:.0f} ms here, {rival * 1000:.0f} ms with pandas read_fwf")
    return show(
        "parsing one text release, times faster than pandas",
        f"{rival / seconds:.1f} x",
        f">= {BOUND} x",
        rival / seconds >= BOUND,
    )
