"""A zip that is offered: what its members are and which release it belongs to; and the archive that knows roles."""

from __future__ import annotations

from pathlib import Path

from hcpcs.errors import printable
from hcpcs.files import file_sha256
from sources.archive.archive import CODE_ROLES, Archive, ArchivedMember, ArchivedZip
from sources.archive.zips import ZipMember, read_zip
from sources.code_fingerprint import code_fingerprint
from sources.errors import NotHcpcs
from sources.release.member_roles import member_role
from sources.release.names import resolve_release
from sources.release.offered import why_not_hcpcs
from sources.sample import is_sample


def open_archive(folder: Path) -> Archive:
    """The archive in ``folder``, whose members have the roles that this code gives them."""
    return Archive(folder, _members_of, code_fingerprint("sources"))


def _members_of(members: list[ZipMember]) -> tuple[ArchivedMember, ...]:
    return tuple(ArchivedMember(m.name, m.sha256, len(m.data), m.date, member_role(m.name, m.data)) for m in members)


def inspect_zip(
    path: Path, *, folder: str | None = None, stated: str | None = None, is_listed: bool = False
) -> ArchivedZip:
    """Look into a zip that is offered: what its members are, and which release it belongs to.

    ``folder`` is the name of the folder it lies in, if that may name the release; ``stated`` the caller's word. CMS's
    page has judged a zip that it lists (``is_listed``); any other is judged here.
    Raises ``ZipRefused``, ``NotHcpcs`` or ``ReleaseUnclear``.
    """
    members = _members_of(read_zip(path))
    if not is_listed and (why := why_not_hcpcs(path.name, ((m.name, m.role) for m in members))) is not None:
        raise NotHcpcs(f"{path.name}: {why}")
    # A release's zip may carry another quarter's notes: where there is a code file, only its name is a witness.
    code_names = [m.name for m in members if m.role in CODE_ROLES]
    witnesses = code_names or ([] if folder or stated else [m.name for m in members])
    names = [n for n in (folder, path.name) if n] + witnesses
    return ArchivedZip(
        sha256=file_sha256(path),
        name=printable(path.name),
        bytes=path.stat().st_size,
        release_id=resolve_release(names, stated),
        is_sample=is_sample(path),
        members=members,
    )
