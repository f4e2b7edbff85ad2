"""Annotating claims in files: read in parts by ``hcpcs.annotate.files``, answered by ``hcpcs.annotate.annotator``.

Which worker annotates which part is decided here. Nothing here prints.
"""

from __future__ import annotations

import datetime as dt
import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from hcpcs.annotate.annotator import Annotator
from hcpcs.annotate.csv_text import ClaimsUnreadable, TextOptions
from hcpcs.annotate.files import (
    Claims,
    Job,
    Output,
    OutputRefused,
    Reading,
    file_lines,
    jobs,
    open_claims,
    parts,
    where_else,
)
from hcpcs.annotate.lookup import DEFAULT_COLUMNS, VersionTables, read_version
from hcpcs.annotate.request import Request, checked_request, several
from hcpcs.annotate.summary import summary_of
from hcpcs.annotate.values import MissingColumn
from hcpcs.errors import present
from hcpcs.manifest import OPEN
from hcpcs.paths import Outputs, default_outputs
from hcpcs.version import found_version


def annotate(
    claims: str | Path,
    out: str | Path | None = None,
    *,
    version: str | Path,
    code: str | Sequence[str],
    date: str | None = None,
    date_else: str | None = None,
    on: dt.date | None = None,
    modifiers: Sequence[str] = (),
    columns: Sequence[str] = DEFAULT_COLUMNS,
    redact: Sequence[str] = (),
    amount: str | None = None,
    date_formats: Sequence[str] = (),
    decimal: str | None = None,
    nulls: Sequence[str] = (),
    text: TextOptions = TextOptions(),
    threads: int | None = None,
    tier: str = OPEN,
    progress: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Write ``claims`` to ``out`` as Parquet with ``columns`` added, and return the summary; without ``out`` only that.

    ``claims``: Parquet or CSV; a file, folder, glob, or URL in object storage. ``version``: the folder or URL of a
    published version, of the ``tier`` named. ``code``: a column, or names or patterns of several; each of several gets
    columns named after it, as in ``<name>_status``. ``on``: a day for all lines, instead of ``date``. ``modifiers``:
    names or patterns of columns; each gets a column ``<name>_status``. ``redact``: description columns to blank where
    the code is not known to be CMS's on that day (of several codes any), or ``COLUMN=JUDGE`` where that code or
    modifier is not.
    ``amount``: a number to add up by status in the summary. ``date_formats``: forms as in ``DD.MM.YYYY``, for one
    column as ``COLUMN=FORM``. ``decimal``: the decimal mark of amounts. ``nulls``: words that stand for nothing besides
    the usual ones. ``text``: what is stated about CSV instead of found. Raises
    ``HcpcsError`` for what cannot be used, and leaves no part of ``out`` then.
    """
    found = open_claims(claims, text)
    if claims_out := Path(out) if out is not None else None:
        _check_place(str(out))
    tables = open_version(version, several(columns), tier)
    try:
        request = checked_request(
            found.schema,
            code=code,
            date=date,
            date_else=date_else,
            on=on,
            modifiers=modifiers,
            columns=columns,
            redact=redact,
            amount=amount,
            date_formats=date_formats,
            decimal=decimal,
            nulls=nulls,
        )
    except MissingColumn as error:
        if hint := where_else(found, error.column):
            error.add_note(hint)
        raise
    _refuse_absent(found, request)
    annotator = Annotator(tables, request, found)
    workers = threads or os.cpu_count() or 1
    if claims_out is None:
        _run(annotator, found, workers, None, progress)
    else:
        statistics = [f.name for f in found.schema if f.name not in annotator.dictionaries]
        with Output(claims_out, found, annotator.schema, statistics) as output:
            _run(annotator, found, workers, output, progress)
    return summary_of(annotator, str(claims), str(out) if out is not None else None)


def _refuse_absent(claims: Claims, request: Request) -> None:
    """Refuse files without a column that every line needs, or that differ at all where descriptions are blanked."""
    needed = (*request.codes, *request.dates, *filter(None, (request.amount,)))
    for column, files in claims.absent.items():
        if column in needed or request.redact:
            why = "" if column in needed else ", and a description under another name would not be blanked by --redact"
            raise ClaimsUnreadable(
                f"{min(files)} has no column {column!r}, which other files have{why}; "
                "name files that are alike by a pattern, as in 'DIR/2019*'"
            )


def _check_place(out: str) -> None:
    if "://" in out or out == "-":
        raise OutputRefused(f"{out}: OUT is a local file or folder; copy it to where it shall be")


def open_version(version: str | Path, columns: Sequence[str], tier: str = OPEN) -> VersionTables:
    """The tables of a version, named and refused as for ``hcpcs.version.found_version``."""
    with found_version(Outputs(default_outputs()), str(version), tier) as folder:
        return read_version(folder, columns, tier)


def _run(
    annotator: Annotator, claims: Claims, workers: int, output: Output | None, progress: Callable[[str], None]
) -> None:
    """Work the jobs off on ``workers`` threads, never more than a few ahead."""
    # A large block that is freed teaches glibc that such sizes come again (32 MiB at most): it keeps what is freed for
    # them. Else each part's columns go back to the system and are asked for again: a tenth of the time to count.
    np.empty(31 * 1024**2, np.uint8)
    one_file = output is not None and output.is_file
    columns = None if output is not None else annotator.columns_used
    reading = Reading(columns, tuple(annotator.dictionaries))

    def tables(job: Job) -> Iterator[pa.Table]:
        annotator.tally.count_blocks(job.blocks)
        for part in parts(claims, job, reading):
            progress(f"{annotator.tally.lines:,} lines")
            yield annotator.annotate(part)

    def work(job: Job) -> list[pa.Table]:
        if output is None:
            annotator.tally.count_blocks(job.blocks)
            for part in parts(claims, job, reading):
                annotator.count(part)
                progress(f"{annotator.tally.lines:,} lines")
        elif one_file:
            return list(tables(job))
        else:
            output.write_job(job, tables(job))
        return []

    lines = file_lines(claims, workers) if output is not None and not one_file else claims.part_lines
    cut = jobs(claims, reading, lines_per_job=lines, share=0 if one_file else claims.lines // (2 * workers))
    # Jobs that hold lines, or give some back, cost memory while they wait; the others only say what to read.
    ahead = workers if one_file else 4 * workers
    for done in _in_order(work, cut, workers, ahead):
        for table in done:
            present(output).append(table)


def _in_order(
    work: Callable[[Job], list[pa.Table]], cut: Iterable[Job], workers: int, ahead: int
) -> Iterator[list[pa.Table]]:
    """What ``work`` gives for each job, in the jobs' order; stops at the first error."""
    pending: deque[Future[list[pa.Table]]] = deque()
    pool = ThreadPoolExecutor(workers)
    try:
        for job in cut:
            pending.append(pool.submit(work, job))
            while len(pending) > (workers if job.is_loaded else ahead):
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        for future in pending:
            future.cancel()
        pool.shutdown(wait=True)
