"""Which staged tables may be used: those whose bytes, inputs and code are as ``state.json`` notes, whoever made them.

The IO manager notes each one that it writes and asks before it reads one, in a refresh as in a run of the user
interface.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from hcpcs.errors import HcpcsError
from hcpcs.paths import Outputs
from pipeline.orchestration.fingerprints import staged_fingerprint
from pipeline.orchestration.release_tables import STAGED
from pipeline.orchestration.run_context import RunContext
from pipeline.versions.store import read_state, write_state


class StagedTableStale(HcpcsError):
    """A staged table is missing, was changed, or was read from other zips or by other code."""


class StagedTables:
    """The staged tables of one folder of outputs, in one run."""

    def __init__(self, outputs: Outputs, run_context: RunContext) -> None:
        self._outputs, self._run_context = outputs, run_context
        self._trusted: set[Path] = set()

    def note(self, table: str, release_ids: Iterable[str]) -> None:
        """Note that this run wrote a table's releases; one that was refused is of this run alone."""
        noted = read_state(self._outputs).staged
        noted[table] = dict(noted.get(table, {}))
        zips = self._run_context.releases()
        for release_id in release_ids:
            path = self._path(table, release_id)
            self._trusted.add(path)
            made = None if release_id in self._run_context.refused else staged_fingerprint(zips[release_id], path)
            if made is None:
                noted[table].pop(release_id, None)
            else:
                noted[table][release_id] = made
        write_state(self._outputs, staged=noted)

    def note_kept_contract(self, table: str, content: str) -> None:
        """Note that this run checked a table, by the hash of its content, against its contract."""
        self._run_context.kept_contracts[table] = content

    def releases(self, table: str) -> list[str]:
        """The releases to build from, of which the table may be used, sorted; Dagster's partitions may be others.

        Raises ``StagedTableStale`` for one that may not be used; the next refresh then reads it, though nothing is new.
        """
        noted = read_state(self._outputs).staged.get(table, {})
        zips = self._run_context.releases()
        for release_id in sorted(zips):
            path = self._path(table, release_id)
            if path in self._trusted:
                continue
            if staged_fingerprint(zips[release_id], path) != noted.get(release_id, ""):
                write_state(self._outputs, fingerprint=None)
                raise StagedTableStale(
                    f"{path} is not the table that was read from the zips of {release_id}: it is missing, was changed,"
                    " or was made by other code; `hcpcs refresh --offline` reads it again, or materialize the staged"
                    " tables of that release"
                )
            self._trusted.add(path)
        return sorted(zips)

    def stale_releases(self) -> list[str]:
        """The releases of which a table may not be used: they have to be read."""
        noted = read_state(self._outputs).staged
        return [
            release_id
            for release_id, zips in self._run_context.releases().items()
            if not all(
                (made := noted.get(table, {}).get(release_id)) is not None
                and made == staged_fingerprint(zips, self._path(table, release_id))
                for table in STAGED
            )
        ]

    def forget(self, release_id: str) -> None:
        """Remove the tables of a release that is built from no longer."""
        for file in self._outputs.work.glob(f"staged_*/{release_id}.parquet"):
            file.unlink()

    def _path(self, table: str, release_id: str) -> Path:
        return self._outputs.work / table / f"{release_id}.parquet"
