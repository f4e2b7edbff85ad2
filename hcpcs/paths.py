"""Where things lie below the folder of outputs. Nothing here reads or writes."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

#: The folder that holds this package: a clone, or where packages are installed.
_ROOT = Path(__file__).resolve().parent.parent

#: The file of a published target, and of no folder of outputs: which tier it takes.
TARGET_TIER = "tier.json"


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
    def watched(self) -> Path:
        """The watched lists, a folder each: its codes and its feeds."""
        return self.folder / "watched"

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


def default_outputs() -> Path:
    """The folder of outputs where none is named: ``outputs`` in a clone, else the user's folder for data.

    Never a folder where packages are installed: what lies there goes with the next installation.
    """
    for folder in (_ROOT, Path.cwd()):
        if is_clone(folder):
            return folder / "outputs"
    import platformdirs

    return platformdirs.user_data_path("hcpcs", appauthor=False)


def is_clone(folder: Path) -> bool:
    """Whether a folder is a clone of this project."""
    return (folder / "pyproject.toml").is_file() and (folder / "hcpcs" / "paths.py").is_file()
