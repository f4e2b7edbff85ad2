"""Making the catalog: which pages it has, the check that nothing withheld is shown, and the swap that replaces it.

What a page says stands in its module; nothing here knows a table.
"""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import polars as pl

from hcpcs.paths import Outputs
from pipeline.catalog import code_pages, codes, findings, licenses, lineage, releases, replacements, start, tables
from pipeline.catalog.site import STATIC, Site
from pipeline.catalog.version_reader import PublishedVersions, read_versions
from pipeline.license_gate.check import check_version
from pipeline.license_gate.policy import policy_of_quotes
from pipeline.versions.writer import WAIT, only_writer
from sources.curated.license_policy import load_license_policy
from sources.errors import SourceError

FOLDER = "catalog"
INDEX = "index.html"
#: In the order in which they are made; each module has ``write(site, published)``.
PAGES: tuple[ModuleType, ...] = (start, tables, lineage, releases, codes, code_pages, replacements, licenses, findings)

_PARTIAL = ".catalog-new"
_REPLACED = ".catalog-old"


@dataclass(frozen=True, slots=True)
class CatalogWritten:
    """What was written: the version shown, the catalog's folder, how many files, and their bytes together."""

    version: str
    folder: Path
    files: int
    bytes: int

    @property
    def index(self) -> Path:
        """The page to open first."""
        return self.folder / INDEX


def write_catalog(
    outputs: Outputs, *, wait: float = WAIT, progress: Callable[[str], None] = lambda _: None
) -> CatalogWritten:
    """Write the catalog of the latest version to ``catalog/`` below ``outputs``, in place of the one before.

    It is made beside it, passes the license gate, and is then swapped in by two renames; an error leaves the one before
    as it was. Raises ``NothingPublished`` before the first version, ``LicenseLeak`` if a page shows what is withheld,
    ``SourceError`` if something that is no catalog lies in its place, ``BeingWritten`` while another process makes one.
    """
    published = read_versions(outputs)
    target = outputs.folder / FOLDER
    with only_writer(outputs, wait=wait, progress=progress, lock=outputs.folder / ".catalog.lock"):
        _mend(outputs.folder)
        _refuse_what_is_not_a_catalog(target)
        partial = outputs.folder / _PARTIAL
        gc.disable()  # of rows by the hundred thousand, none is garbage: looking for some takes a seventh of the time
        try:
            site = write_site(published, partial, progress=progress)
            progress("license gate")
            check_site(site, load_license_policy())
            _swap(partial, target, outputs.folder / _REPLACED)
        except OSError as error:
            kept = "the catalog before is as it was" if target.exists() else "there is no catalog yet"
            error.add_note(f"the catalog of version {published.latest.version} could not be written; {kept}")
            raise
        finally:
            gc.enable()
            shutil.rmtree(partial, ignore_errors=True)
    return CatalogWritten(published.latest.version, target, len(site.files), site.bytes)


def write_site(published: PublishedVersions, folder: Path, *, progress: Callable[[str], None] = lambda _: None) -> Site:
    """Write all pages into the empty or new ``folder``, unchecked; returns what was written."""
    folder.mkdir(parents=True)
    latest = published.latest
    site = Site(folder, version=latest.version, is_sample=latest.is_sample, newest=latest.content.newest_release)
    for path in sorted(STATIC.iterdir()):
        site.asset(f"static/{path.name}", path)
    for page in PAGES:
        progress(page.__name__.rsplit(".", 1)[-1])
        page.write(site, published)
    return site


def check_site(site: Site, policy: pl.DataFrame) -> None:
    """Run the license gate over every file of ``site``; raises ``LicenseLeak`` with every place.

    A file that quotes a column may hold what the policy lets that column keep; nothing else of another owner's.
    """
    check_version(site.folder, policy_of_quotes(policy, site.shown), site.files)


def _refuse_what_is_not_a_catalog(target: Path) -> None:
    """Only what this command made is replaced: a folder that is empty or has the catalog's style sheet."""
    if not target.exists() and not target.is_symlink():
        return
    is_folder = target.is_dir() and not target.is_symlink()
    if is_folder and ((target / "static" / "catalog.css").is_file() or not any(target.iterdir())):
        return
    what = "a folder that is no catalog" if is_folder else "a link" if target.is_symlink() else "a file"
    raise SourceError(f"{target} is {what}; move it away, the catalog goes there; nothing was changed")


def _swap(partial: Path, target: Path, replaced: Path) -> None:
    if target.exists():
        target.rename(replaced)
    try:
        partial.rename(target)
    except OSError:
        if replaced.exists():
            replaced.rename(target)
        raise
    shutil.rmtree(replaced, ignore_errors=True)


def _mend(folder: Path) -> None:
    """Undo what an interrupted run left: the catalog before goes back to its place, halves go away."""
    target, replaced = folder / FOLDER, folder / _REPLACED
    if replaced.exists() and not target.exists():
        replaced.rename(target)
    for leftover in (replaced, folder / _PARTIAL):
        if leftover.exists():
            shutil.rmtree(leftover)
