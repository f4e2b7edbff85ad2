"""Looks into what is offered and keeps the bytes of what can be used; publishing commits the index later."""

from __future__ import annotations

import contextlib
import functools
import importlib
import threading
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from hcpcs.errors import printable
from hcpcs.files import file_sha256
from pipeline.orchestration.run_context import READERS, Progress
from sources.archive.archive import Archive, ArchivedZip, ArchiveIndex
from sources.errors import NotHcpcs, ReleaseUnclear, SourceError, ZipRefused
from sources.release.file_names import file_kind
from sources.release.inspect import inspect_zip
from sources.release.member_roles import UNREADABLE_ROLES
from sources.release.offered import Offer, offers_in

if TYPE_CHECKING:
    from sources.site.fetch_new import FetchReport


_LISTED = 5


@dataclass(frozen=True, slots=True)
class TakenIn:
    """What came of an offer: zips that can be used, why others were refused or are left, what was compressed.

    ``arrived`` names zips and releases that may have been missing until now; no file of ``left`` is a fault.
    """

    zips: list[ArchivedZip] = field(default_factory=list)
    refused: dict[str, Exception] = field(default_factory=dict)
    left: dict[str, str] = field(default_factory=dict)
    compressed: dict[str, tuple[str, ...]] = field(default_factory=dict)
    arrived: set[str] = field(default_factory=set)


def take_in(
    archive: Archive,
    loaded: ArchiveIndex,
    offered: Path,
    workshop: Path,
    *,
    stated: str | None = None,
    report: FetchReport | None = None,
    progress: Progress = lambda text: None,
) -> TakenIn:
    """Look into every offered zip and keep the bytes of those that can be used.

    What is no HCPCS release is left where it is, as on CMS's page, and so is a side file of a release that is neither
    loaded nor offered. Raises ``SourceError`` where nothing that is offered is of HCPCS.
    """
    offers = offers_in(offered, workshop)
    done = TakenIn()
    looked: list[tuple[Offer, ArchivedZip]] = []
    with ThreadPoolExecutor(READERS) as pool:

        def look(number: int, offer: Offer) -> ArchivedZip | SourceError:
            progress(f"looking into {offer.path.name} ({number} of {len(offers)})")
            return _look(offer, loaded, stated, is_listed=report is not None)

        def is_expected(offer: Offer) -> bool:
            """Whether a zip that cannot be read would be of a release: by folder, name, or the offer itself."""
            return bool(report or offered.is_file() or offer.folder or file_kind(offer.path.name))

        for offer, found in zip(offers, pool.map(look, range(1, len(offers) + 1), offers), strict=True):
            if isinstance(found, ArchivedZip):
                found = _of_one_release(offer, found, loaded, looked, stated, progress)
            if isinstance(found, ArchivedZip):
                looked.append((offer, found))
            elif isinstance(found, NotHcpcs) or (isinstance(found, ZipRefused) and not is_expected(offer)):
                done.left[offer.name] = printable(str(found).removeprefix(f"{offer.path.name}: "))
            else:
                done.refused[offer.name] = found
    for offer in offers:
        if offer.left:
            others = f" and {len(offer.left) - _LISTED} more" if len(offer.left) > _LISTED else ""
            done.left[offer.origin] = f"no files of a release: {', '.join(offer.left[:_LISTED])}{others}"
    if not looked and not done.refused:
        reasons = [f"{name}: {why}" for name, why in done.left.items()]
        more = [f"… and {len(reasons) - 5} more"] if len(reasons) > 5 else []
        raise SourceError("\n  ".join([f"{offered} has no HCPCS Level II file:", *reasons[:5], *more]))
    _keep(archive, loaded, looked, report, done)
    return done


def _look(offer: Offer, loaded: ArchiveIndex, stated: str | None, is_listed: bool) -> ArchivedZip | SourceError:
    """What an offered zip is; CMS's page has judged one that it lists."""
    try:
        found = loaded.zips.get(sha256 := file_sha256(offer.path))
        if found is None or stated or (offer.folder and offer.folder != found.release_id):
            found = inspect_zip(offer.path, folder=offer.folder, stated=stated, is_listed=is_listed)
        if sha256 not in loaded.zips:
            _import_dagster_meanwhile()
        return found
    except ZipRefused as error:
        return ZipRefused(f"{offer.folder}/{error}" if offer.folder else str(error))
    except (ReleaseUnclear, NotHcpcs) as error:
        return error


def _of_one_release(
    offer: Offer,
    found: ArchivedZip,
    loaded: ArchiveIndex,
    looked: list[tuple[Offer, ArchivedZip]],
    stated: str | None,
    progress: Progress,
) -> ArchivedZip | SourceError:
    """The zip, unless its bytes are loaded or offered as another release."""
    elsewhere = {t.release_id for _, t in looked if t.sha256 == found.sha256} - {found.release_id}
    if elsewhere:
        return ReleaseUnclear(
            f"{offer.name} has the same bytes as a zip that is offered as {elsewhere.pop()}: remove it from the"
            " folder of the wrong release"
        )
    before = loaded.zips.get(found.sha256)
    if before is None or before.release_id == found.release_id:
        return found
    if not stated:
        return ReleaseUnclear(
            f"{offer.name} has the same bytes as a zip that is loaded as {before.release_id}, and is now offered as"
            f" {found.release_id}: if that is right, offer it alone with --release {found.release_id}"
        )
    progress(f"{offer.name} is {found.release_id}'s from now on; it was loaded as {before.release_id}")
    return found


def _keep(
    archive: Archive,
    loaded: ArchiveIndex,
    looked: list[tuple[Offer, ArchivedZip]],
    report: FetchReport | None,
    done: TakenIn,
) -> None:
    """Keep the bytes of what can be used, and note what is left."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    every = [*loaded.zips.values(), *(found for _, found in looked)]
    # A release whose code file cannot be read is refused with its reason, when it is read.
    coming = {z.release_id for z in every if z.code_members or any(m.role in UNREADABLE_ROLES for m in z.members)}
    coming |= {found.release_id for offer, found in looked if file_kind(offer.path.name) == "release"}
    for offer, found in looked:
        if found.release_id not in coming:
            done.left[offer.name] = f"not loaded until {found.release_id} is: it has no code file"
            continue
        if offer.compressed and _is_compressed_elsewhere(found, every):
            continue
        url = report.url_of(offer.path) if report else None
        archive.keep(offer.path, found.sha256)
        done.arrived.update({offer.name, found.release_id})
        done.zips.append(replace(found, origins=({"from": printable(url or offer.origin), "at": now},)))
        if offer.compressed and found.sha256 not in loaded.zips:
            done.compressed[offer.name] = offer.compressed


def _is_compressed_elsewhere(found: ArchivedZip, every: list[ArchivedZip]) -> bool:
    """Whether loose files are those of a zip of their release, which someone unpacked beside it."""
    members = {m.sha256 for m in found.members}
    others = (z for z in every if z.sha256 != found.sha256 and z.release_id == found.release_id)
    return any(members <= {m.sha256 for m in z.members} for z in others)


@functools.cache
def _import_dagster_meanwhile() -> None:
    """Begin to import what builds a version: that takes two seconds, and the zips are not all looked into yet."""
    warnings.filterwarnings("ignore", module="dagster")

    def import_assets() -> None:
        with contextlib.suppress(Exception):  # who needs it imports it again, and tells what is wrong
            importlib.import_module("pipeline.orchestration.assemble")

    threading.Thread(target=import_assets).start()
