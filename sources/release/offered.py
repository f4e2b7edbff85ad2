"""What a folder or file that is offered holds of CMS's releases: zips, zips in zips, and files that were unpacked.

Loose files are compressed into a zip whose bytes depend only on theirs. The release of a zip is not decided here.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hcpcs.errors import printable
from schemas.columns import RELEASE_ID
from sources.archive.archive import CODE_ROLES
from sources.archive.zips import MOST_MEMBER_BYTES, is_junk, read_zip, zip_of_files
from sources.errors import SourceError, ZipRefused
from sources.release.file_names import file_kind, is_named_like_hcpcs
from sources.release.member_roles import UNREADABLE_ROLES, member_role
from sources.release.names import NamedRelease, release_in_name
from sources.side_files.kinds import SIDE_SCHEMAS

#: Roles of members that belong to a release and hold no records.
SIDE_ROLES = (*SIDE_SCHEMAS, "record_layout")
#: Further roles that go with a code file, and are of a release only beside one.
_BESIDE_CODE = ("readme",)
_CODE_FILES = (*CODE_ROLES, *UNREADABLE_ROLES)
_LISTED = 4


@dataclass(frozen=True, slots=True)
class Offer:
    """A zip that is offered: ``folder`` is the release that its folder's name says, ``origin`` where it lay.

    ``compressed`` names the loose files that it was made of, ``left`` those of their folder that are none of a release.
    """

    path: Path
    folder: str | None
    origin: str
    compressed: tuple[str, ...] = ()
    left: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """How messages call it."""
        return printable(f"{self.folder}/{self.path.name}" if self.folder else self.path.name)


def offers_in(offered: Path, workshop: Path) -> list[Offer]:
    """The zips that a folder of releases or a single file offers, in order; what must be made goes to ``workshop``.

    Raises ``SourceError`` for a path that does not exist, or holds no zip and no file of a release.
    """
    if not offered.exists():
        raise SourceError(f"{offered} does not exist; give --from a folder of releases, a zip or a code file")
    if offered.is_file():
        if _is_loose(offered):
            return _compressed(offered.parent, [offered], [], workshop)
        return _with_inner_zips(offered, workshop)
    files = sorted(p for p in offered.rglob("*") if p.is_file() and not is_junk(p.relative_to(offered).as_posix()))
    zips = [p for p in files if p.suffix.lower() == ".zip"]
    offers = [offer for path in zips for offer in _with_inner_zips(path, workshop)]
    by_folder: dict[Path, list[Path]] = {}
    for path in files:
        if path not in zips:
            by_folder.setdefault(path.parent, []).append(path)
    for folder, paths in by_folder.items():
        loose = [p for p in paths if is_named_like_hcpcs(p.name) and p.stat().st_size <= MOST_MEMBER_BYTES]
        offers += _compressed(folder, loose, [p for p in paths if p not in loose], workshop)
    if not offers:
        raise SourceError(
            f"{offered} has no .zip and no code file of CMS's; expected <YYYY-MM>/*.zip, or files with CMS's names"
        )
    return offers


def why_not_hcpcs(name: str, members: Iterable[tuple[str, str]]) -> str | None:
    """Why a zip is no release's and no side file's of one, by its name and its members' names and roles."""
    members = list(members)
    roles = {role for _, role in members}
    kind = file_kind(name)
    if roles & {*_CODE_FILES} or kind == "release":
        return None
    if kind != "other" and roles & {*SIDE_ROLES}:
        return None
    if kind == "side" and any(is_named_like_hcpcs(n) for n in (name, *(n for n, _ in members))):
        return None
    listed = ", ".join(n for n, _ in members[:_LISTED]) + (" …" if len(members) > _LISTED else "")
    return f"not HCPCS Level II: no member is a code file or one of its side files ({listed})"


def release_folder(folder: Path) -> str | None:
    """The release that a folder's name says: its name as given, or that of the folder which it links to or means."""
    names = (folder.name, folder.resolve().name)
    return next((n for n in names if re.fullmatch(RELEASE_ID, n)), None)


def _with_inner_zips(path: Path, workshop: Path) -> list[Offer]:
    """A zip, and the zips in it; without itself where it holds nothing else."""
    folder = release_folder(path.parent)
    itself = [Offer(path, folder, str(path))]
    try:
        with zipfile.ZipFile(path) as archive:
            if not any(n.lower().endswith(".zip") for n in archive.namelist()):
                return itself
        members = read_zip(path)
    except (ZipRefused, OSError, ValueError, LookupError, zipfile.BadZipFile, NotImplementedError):
        return itself  # whoever looks into it says what is wrong
    inner = [m for m in members if m.name.lower().endswith(".zip")]
    offers = []
    for member in inner:
        inside = PurePosixPath(member.name.replace("\\", "/"))
        target = _free(workshop, inside.name)
        target.write_bytes(member.data)
        offers.append(Offer(target, release_folder(Path(inside.parent.name)) or folder, f"{path}!{member.name}"))
    return offers if len(inner) == len(members) else itself + offers


def _is_loose(path: Path) -> bool:
    """Whether a file that is offered by itself is one of a release, whatever its name, and no zip of them."""
    if path.suffix.lower() == ".zip" or path.stat().st_size > MOST_MEMBER_BYTES:
        return False
    return member_role(path.name, path.read_bytes()) in (*_CODE_FILES, *SIDE_ROLES)


def _compressed(folder: Path, files: list[Path], others: list[Path], workshop: Path) -> list[Offer]:
    """A zip for each release whose files lie loose in a folder; side files go with the code file if there is one."""
    roles = {path: member_role(path.name, path.read_bytes()) for path in files}
    code = [path for path in files if roles[path] in _CODE_FILES]
    side = [path for path in files if roles[path] in (*SIDE_ROLES, *(_BESIDE_CODE if code else ()))]
    stated = release_folder(folder)
    groups: dict[object, list[Path]] = {}
    for path in code or side:
        groups.setdefault(_release_said(release_in_name(path.name), stated), []).append(path)
    if code:
        for path in side:
            said = _release_said(release_in_name(path.name), stated)
            if len(groups) == 1 or said in groups:
                groups[said if said in groups else next(iter(groups))].append(path)
    packed = {path for group in groups.values() for path in group}
    left = tuple(sorted(printable(path.name) for path in [*files, *others] if path not in packed))
    offers: list[Offer] = []
    for group in groups.values():
        stem = folder.name if len(groups) == 1 and release_in_name(folder.name) and not stated else group[0].stem
        target = _free(workshop, f"{stem}.zip")
        target.write_bytes(zip_of_files({printable(path.name): path.read_bytes() for path in group}))
        names = tuple(sorted(printable(path.name) for path in group))
        offers.append(Offer(target, stated, str(folder), names, () if offers else left))
    return offers


def _release_said(said: NamedRelease | None, stated: str | None) -> object:
    return stated or (said and (said.year, said.month))


def _free(workshop: Path, name: str) -> Path:
    """A path of that name in a new folder below the workshop: two files may be named alike."""
    folder = workshop / str(sum(1 for _ in workshop.iterdir()))
    folder.mkdir()
    return folder / name
