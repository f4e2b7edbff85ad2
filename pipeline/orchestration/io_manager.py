"""The IO manager: where tables lie while a version is being made (`outputs/work`), and what is noted of each."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import dagster as dg
import polars as pl

from pipeline.versions.parquet import write_work_table
from schemas.registry import contracts


class ParquetIOManager(dg.ConfigurableIOManager):
    """Keeps a table as ``<table>.parquet``, a partitioned one as ``<table>/<release>.parquet``.

    A partitioned asset returns a frame per release; whoever takes it in gets all releases as one frame. ``catalog`` is
    the folder of the catalog's pages, ``latest`` the one of the newest version: linked to, never looked into.
    """

    folder: str
    catalog: str
    latest: str

    def path(self, table: str, release_id: str | None = None) -> Path:
        """Where a table, or one release of it, lies."""
        base = Path(self.folder)
        return base / f"{table}.parquet" if release_id is None else base / table / f"{release_id}.parquet"

    def handle_output(self, context: dg.OutputContext, obj: pl.DataFrame | dict[str, pl.DataFrame]) -> None:
        """Write a frame, or one for each release; its content is its data version."""
        table = context.asset_key.path[-1]
        # A run in process keeps every output, in memory, for callers and hooks who ask for it; here nobody does.
        for kept in (context.step_context.output_capture, context.step_context.step_output_capture):
            if kept is not None:
                kept.clear()
        if not context.has_asset_partitions:
            assert isinstance(obj, pl.DataFrame)
            path = self.path(table)
            write_work_table(path, obj)
            self._note_version(context, [obj])
            context.add_output_metadata(
                {"dagster/row_count": obj.height, "bytes": path.stat().st_size, **self._links(table)}
            )
            return
        assert isinstance(obj, dict)
        if set(obj) != set(context.asset_partition_keys):
            raise ValueError(f"{table}: asked for releases {sorted(context.asset_partition_keys)}, got {sorted(obj)}")
        for release_id, frame in sorted(obj.items()):
            write_work_table(self.path(table, release_id), frame)
        self._note_version(context, [frame for _, frame in sorted(obj.items())])

    def _links(self, table: str) -> dict[str, dg.MetadataValue]:
        if table not in contracts():
            return {}
        return {
            "published as": dg.MetadataValue.path(str(Path(self.latest) / "open" / f"{table}.parquet")),
            "in the catalog": dg.MetadataValue.path(str(Path(self.catalog) / "tables" / f"{table}.html")),
        }

    def _note_version(self, context: dg.OutputContext, frames: Iterable[pl.DataFrame]) -> None:
        """Make the content the data version. Dagster has one for all releases that are read together."""
        context.step_context.set_data_version(context.asset_key, dg.DataVersion(content_hash(frames)))

    def load_input(self, context: dg.InputContext) -> pl.DataFrame | pl.LazyFrame:
        """Read a table; of a partitioned one all releases, in order. An input marked ``lazy`` is read when asked."""
        table = context.asset_key.path[-1]
        keys = sorted(context.asset_partition_keys) if context.has_asset_partitions else [None]
        scan = pl.scan_parquet([self.path(table, key) for key in keys])
        return scan if (context.definition_metadata or {}).get("lazy") else scan.collect()


def content_hash(frames: Iterable[pl.DataFrame]) -> str:
    """A hash of frames' columns and rows in their order, the same within one version of polars; fast."""
    digest = hashlib.sha256()
    for frame in frames:
        digest.update(repr(frame.schema).encode())
        digest.update(frame.hash_rows().to_numpy().tobytes())
    return digest.hexdigest()[:32]
