"""Where things lie below the folder of outputs. Nothing here reads or writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Outputs:
    """The folder of outputs and what is in it."""

    folder: Path

    @property
    def archive(self) -> Path:
        """CMS's zips, byte for byte."""
        return self.folder / "archive"

    @property
    def work(self) -> Path:
        """Tables while a version is being made."""
        return self.folder / "work"

    @property
    def versions(self) -> Path:
        """The published versions, a folder each."""
        return self.folder / "versions"

    @property
    def latest(self) -> Path:
        """The file that names the newest version: the truth."""
        return self.folder / "latest.json"

    @property
    def latest_link(self) -> Path:
        """The symlink that follows it."""
        return self.folder / "latest"

    @property
    def state(self) -> Path:
        """What the next run must know: build counts, fingerprints."""
        return self.folder / "state.json"

    @property
    def refused(self) -> Path:
        """Findings of the releases that the last run refused."""
        return self.folder / "refused.json"

    @property
    def site_state(self) -> Path:
        """What is remembered of the site between polls."""
        return self.folder / "site.json"

    @property
    def runs(self) -> Path:
        """A summary of every refresh: what it fetched, took in, refused and published."""
        return self.folder / "runs"

    @property
    def lineage_events(self) -> Path:
        """Every run as OpenLineage events, one on a line; runs are added at the end."""
        return self.runs / "openlineage.jsonl"

    @property
    def lock(self) -> Path:
        """Held by the one process that writes."""
        return self.folder / ".lock"

    @property
    def dagster_home(self) -> Path:
        """Dagster's runs, partitions and checks, unless DAGSTER_HOME says otherwise."""
        return self.folder / "dagster"

    def version(self, version_id: str) -> Path:
        """The folder of a version."""
        return self.versions / version_id
