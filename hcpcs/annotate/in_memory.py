"""Annotating a frame in memory: the columns of ``hcpcs annotate``, given back in the caller's kind."""

from __future__ import annotations

import datetime as dt
import fnmatch
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pyarrow as pa

from hcpcs.annotate.annotator import Annotator
from hcpcs.annotate.files import claims_in_memory
from hcpcs.annotate.lookup import DEFAULT_COLUMNS, read_version
from hcpcs.annotate.request import checked_request, several
from hcpcs.errors import present
from hcpcs.frames import frame_of

_FEWEST_LINES = 1 << 16


def annotate_frame(
    given: Any,
    *,
    version: Path,
    code: str | Sequence[str],
    date: str | None = None,
    date_else: str | None = None,
    on: dt.date | None = None,
    modifiers: Sequence[str] = (),
    columns: Sequence[str] = DEFAULT_COLUMNS,
    redact: Sequence[str] = (),
    date_formats: Sequence[str] = (),
    nulls: Sequence[str] = (),
) -> Any:
    """A frame with ``columns`` added, rows in their order; options and errors as for ``hcpcs.annotate.engine``."""
    frame = frame_of(given)
    names = frame.names
    named = [*several(code), *several(modifiers), *filter(None, (date, date_else))]
    named += [part for r in several(redact) for part in (r, *r.split("="))]
    used = [n for n in names if any(n == pattern or fnmatch.fnmatchcase(n, pattern) for pattern in named)]
    # A column that appears twice is refused by its name, so it need not be read.
    table = frame.columns([n for n in used if names.count(n) == 1])
    claims = claims_in_memory(table, names)
    table = present(claims.table)
    request = checked_request(
        claims.schema,
        code=code,
        date=date,
        date_else=date_else,
        on=on,
        modifiers=modifiers,
        columns=columns,
        redact=redact,
        date_formats=date_formats,
        nulls=nulls,
    )
    annotator = Annotator(read_version(version, request.columns), request, claims)
    workers = os.cpu_count() or 1
    lines = max(_FEWEST_LINES, -(-table.num_rows // workers))
    parts = [table.slice(first, lines) for first in range(0, max(table.num_rows, 1), lines)]
    with ThreadPoolExecutor(workers) as pool:
        annotated = pa.concat_tables(pool.map(annotator.annotate, parts)).unify_dictionaries()
    return frame.extended(annotated.select([*request.judges, *request.added]))
