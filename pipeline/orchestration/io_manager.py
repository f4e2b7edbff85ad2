"""The IO manager: where tables lie while a version is being made (`outputs/work`), and what is noted of each."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import dagster as dg
import polars as pl

from pipeline.orchestration.staged_tables import StagedTables
from pipeline.versions.parquet import content_hash, scan_table, write_work_table
from schemas.registry import contracts

# Dagster says at every output that stating its data version is in beta: its promises may change, and tests hold them.
warnings.filterwarnings("ignore", message="Parameter `data_version`", category=dg.BetaWarning)


@dataclass
class Made:
    """A table as an asset returns it: its frame, or one frame for each release.

    The IO manager takes the frames out, since a run in process keeps what every step returned until it ends.
    """

    frames: dict[str | None, pl.DataFrame]
    content: str

    def take(self) -> dict[str | None, pl.DataFrame]:
        """The frames, which are kept here no longer."""
        taken, self.frames = self.frames, {}
        return taken


def made(frames: pl.DataFrame | Mapping[str, pl.DataFrame], output_name: str | None = None) -> dg.Output[Made]:
    """The output of an asset; its content is its data version. Dagster has one for all releases read together."""
    by_release: dict[str | None, pl.DataFrame] = (
        {None: frames} if isinstance(frames, pl.DataFrame) else dict(sorted(frames.items()))
    )
    content = content_hash(by_release.values())
    version = dg.DataVersion(content)
    return dg.Output(Made(by_release, content), output_name=output_name or "result", data_version=version)


@dataclass(frozen=True)
class ParquetIOManager(dg.IOManager):
    """Keeps a table as ``<table>.parquet``, a partitioned one as ``<table>/<release>.parquet``.

    A partitioned asset returns a frame per release; whoever takes it in gets all releases as one frame, if each is as
    ``staged`` noted it. ``catalog`` is the folder of the catalog's pages, ``latest`` the one of the newest version:
    linked to, never looked into.
    """

    folder: Path
    catalog: Path
    latest: Path
    staged: StagedTables

    def path(self, table: str, release_id: str | None = None) -> Path:
        """Where a table, or one release of it, lies."""
        return self.folder / (f"{table}.parquet" if release_id is None else f"{table}/{release_id}.parquet")

    def handle_output(self, context: dg.OutputContext, obj: Made) -> None:
        """Write a frame, or one for each release."""
        table, frames = context.asset_key.path[-1], obj.take()
        requested: set[str | None] = set(context.asset_partition_keys) if context.has_asset_partitions else {None}
        if set(frames) != requested:
            raise ValueError(
                f"{table}: requested releases {sorted(map(str, requested))}, got {sorted(map(str, frames))}"
            )
        for release_id, frame in frames.items():
            write_work_table(self.path(table, release_id), frame)
        if context.has_asset_partitions:
            self.staged.note(table, context.asset_partition_keys)
        if table in contracts():
            self.staged.note_kept_contract(table, obj.content)
        if None in frames:
            context.add_output_metadata(
                {
                    "dagster/row_count": frames[None].height,
                    "bytes": self.path(table).stat().st_size,
                    **self._links(table),
                }
            )

    def _links(self, table: str) -> dict[str, dg.MetadataValue]:
        if table not in contracts():
            return {}
        return {
            "published as": dg.MetadataValue.path(str(self.latest / "open" / f"{table}.parquet")),
            "in the catalog": dg.MetadataValue.path(str(self.catalog / "tables" / f"{table}.html")),
        }

    def load_input(self, context: dg.InputContext) -> pl.DataFrame | pl.LazyFrame:
        """Read a table; of a partitioned one all releases, in order. The asset reads a ``LazyFrame`` itself."""
        table = context.asset_key.path[-1]
        keys: list[str | None] = [None]
        if context.has_asset_partitions:
            keys = [*self.staged.releases(table)]
        files = [self.path(table, key) for key in keys]
        if not files or not all(file.exists() for file in files):
            raise dg.Failure(f"{table} is not made yet: select what comes before it too, or run `hcpcs refresh`")
        scan = scan_table(files)
        # Dagster keeps inputs beyond the step: of what is large an asset reads what it needs, and lets it go.
        return scan if context.dagster_type.typing_type is pl.LazyFrame else scan.collect()
