"""Excluding what is loaded from the build: kept in the archive, out of the tables, named in the manifest."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace

from hcpcs.paths import Outputs
from pipeline.versions.writer import WAIT, only_writer
from sources.errors import SourceError
from sources.release.inspect import open_archive
from sources.release.release import read_revisions


def exclude(
    outputs: Outputs,
    which: str,
    reason: str,
    *,
    wait: float = WAIT,
    progress: Callable[[str], None] = lambda text: None,
) -> bool:
    """Exclude a release (``2019-01``) or one revision (``2019-01/2``); the next refresh publishes without it.

    Returns whether the release is loaded. One that is not is left out when it comes: a refused one is loaded nowhere.
    Raises ``SourceError`` for a revision that is not loaded, and where nothing would be left.
    """
    with only_writer(outputs, wait=wait, progress=progress):
        archive = open_archive(outputs.archive)
        index = archive.index()
        release_id, number = _parsed(which)
        keys = [which]
        zips = index.releases().get(release_id)
        if number is not None:
            if zips is None:
                raise SourceError(f"release {release_id} is not loaded; `hcpcs releases` lists those that are")
            revisions = read_revisions(archive, release_id, zips)
            if not 1 <= number <= len(revisions):
                raise SourceError(f"release {release_id} has {len(revisions)} revisions, not {number}")
            # By content, so that the same posting stays excluded however revisions come to be counted.
            keys = [f"{release_id}/{content}" for content in revisions[number - 1].contents]
        excluded = index.excluded | dict.fromkeys(keys, reason)
        if index.zips and not replace(index, excluded=excluded).releases_to_build():
            raise SourceError(f"without {which} nothing would be left to publish")
        archive.commit(replace(index, excluded=excluded))
    return zips is not None


def include(
    outputs: Outputs, which: str, *, wait: float = WAIT, progress: Callable[[str], None] = lambda text: None
) -> None:
    """Take an exclusion back, named as it was or as the manifest names it; raises ``SourceError`` for none."""
    with only_writer(outputs, wait=wait, progress=progress):
        archive = open_archive(outputs.archive)
        index = archive.index()
        release_id, number = (which, None) if which in index.excluded else _parsed(which)
        wanted = {which}
        if number is not None:
            revisions = read_revisions(archive, release_id, index.releases().get(release_id, []))
            if 1 <= number <= len(revisions):
                wanted = {f"{release_id}/{content}" for content in revisions[number - 1].contents}
        if not wanted & index.excluded.keys():
            names = ", ".join(index.excluded) or "none is"
            raise SourceError(f"{which} is not excluded; excluded: {names}")
        archive.commit(replace(index, excluded={k: v for k, v in index.excluded.items() if k not in wanted}))


def _parsed(which: str) -> tuple[str, int | None]:
    found = re.fullmatch(r"((?:19|20)\d\d-(?:0[1-9]|1[0-2]))(?:/(\d+))?", which)
    if found is None:
        raise SourceError(f"{which!r} names no release: expected YYYY-MM, or YYYY-MM/REVISION")
    return found[1], int(found[2]) if found[2] else None
