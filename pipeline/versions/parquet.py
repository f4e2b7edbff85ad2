"""Frames to Parquet and back: bytes that depend on content and contract alone."""

from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Iterable, Mapping
from pathlib import Path

import polars as pl
import pyarrow
import pyarrow.parquet

from hcpcs.files import whole_file
from schemas.contract import Contract

#: Rows a row group: small enough for readers to skip by statistics, large enough to compress.
_ROW_GROUP_ROWS = 50_000


def write_published_table(path: Path, contract: Contract, frame: pl.DataFrame, metadata: Mapping[str, str]) -> None:
    """Write a published table as its contract says, in the order given, to the disk; ``metadata`` joins the file's own.

    Row group by row group, so that the table is never in memory twice.
    """
    schema = contract.arrow_schema(dict(metadata))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        with pyarrow.parquet.ParquetWriter(
            file, schema, compression="zstd", compression_level=9, write_page_index=True, store_schema=True
        ) as writer:
            for part in frame.iter_slices(_ROW_GROUP_ROWS) if frame.height else [frame]:
                writer.write_table(part.to_arrow(compat_level=pl.CompatLevel.oldest()).cast(schema))
        file.flush()
        os.fsync(file.fileno())


def write_work_table(path: Path, frame: pl.DataFrame) -> None:
    """Write a table that is not published: whole or not at all, quickly."""
    # By way of memory: of a full disk polars tells in words, and for some writes not even that; Python by number.
    content = io.BytesIO()
    frame.write_parquet(content, compression="zstd", compression_level=1)
    with whole_file(path) as file:
        file.write(content.getbuffer())


def scan_table(path: Path | list[Path]) -> pl.LazyFrame:
    """A table's file, or its files in order, as a query; no character of a path is taken for a pattern."""
    return pl.scan_parquet(path, glob=False)


def read_table(path: Path) -> pl.DataFrame:
    """A table's file, whole."""
    return scan_table(path).collect()


def content_hash(frames: Iterable[pl.DataFrame]) -> str:
    """A hash of frames' columns and rows in their order, the same within one version of polars; fast."""
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(repr(frame.schema).encode())
        digest.update(frame.hash_rows().to_numpy().tobytes())
    return digest.hexdigest()[:32]


def logical_sha256(frame: pl.DataFrame) -> str:
    """A hash of a table's rows, in their order, that no change of Parquet writer touches: SHA-256 of JSON lines."""
    digest = hashlib.sha256()
    for part in frame.iter_slices(10_000):
        lines = io.BytesIO()
        part.write_ndjson(lines)
        digest.update(lines.getbuffer())
    return digest.hexdigest()
