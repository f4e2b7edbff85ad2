"""The IO manager: where assets' tables lie while a version is being made (`outputs/work`)."""

from __future__ import annotations

from pathlib import Path

import dagster as dg
import polars as pl

from pipeline.parquet import write_work_table


class ParquetIOManager(dg.ConfigurableIOManager):
    """Keeps a table as ``<table>.parquet``, a partitioned one as ``<table>/<release>.parquet``.

    A partitioned asset returns a frame per release; whoever takes it in gets all releases as one frame.
    """

    folder: str

    def path(self, table: str, release_id: str | None = None) -> Path:
        """Where a table, or one release of it, lies."""
        base = Path(self.folder)
        return base / f"{table}.parquet" if release_id is None else base / table / f"{release_id}.parquet"

    def handle_output(self, context: dg.OutputContext, obj: pl.DataFrame | dict[str, pl.DataFrame]) -> None:
        """Write a frame, or one for each release; note the row count, of a partitioned table if it asks for that."""
        table = context.asset_key.path[-1]
        if not context.has_asset_partitions:
            assert isinstance(obj, pl.DataFrame)
            write_work_table(self.path(table), obj)
            context.add_output_metadata({"dagster/row_count": obj.height})
            return
        assert isinstance(obj, dict)
        if set(obj) != set(context.asset_partition_keys):
            raise ValueError(f"{table}: asked for releases {sorted(context.asset_partition_keys)}, got {sorted(obj)}")
        for release_id, frame in sorted(obj.items()):
            write_work_table(self.path(table, release_id), frame)
            if (context.definition_metadata or {}).get("count_rows"):
                # Asked for by one table alone: each note makes Dagster look the range of partitions up again.
                context.step_context.add_asset_metadata(
                    {"dagster/row_count": frame.height}, asset_key=context.asset_key, partition_key=release_id
                )

    def load_input(self, context: dg.InputContext) -> pl.DataFrame | pl.LazyFrame:
        """Read a table; of a partitioned one all releases, in order. An input marked ``lazy`` is read when asked."""
        table = context.asset_key.path[-1]
        if not context.has_asset_partitions:
            scan = pl.scan_parquet(self.path(table))
            return scan if (context.definition_metadata or {}).get("lazy") else scan.collect()
        return pl.concat([pl.read_parquet(self.path(table, key)) for key in sorted(context.asset_partition_keys)])
