"""The revisions of a release's code file: which postings differ, and in which order they came.

The order lies in the members (version number, date in the name, entry date), never in when we got them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from itertools import pairwise

from sources.archive.archive import ArchivedZip, HeldMember
from sources.findings import Finding

_VERSION_IN_NAME = re.compile(r"(?<![a-z0-9])v(\d+)(?!\d)", re.IGNORECASE)
_US_DATE_IN_NAME = re.compile(r"(?<!\d)((?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(20\d\d)(?!\d)")
_ISO_DATE_IN_NAME = re.compile(r"(?<!\d)(20\d\d)((?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(?!\d)")


@dataclass(frozen=True, slots=True)
class Revision:
    """One posting of a release's code file: its number from 1, the zip it is read from, its code members."""

    number: int
    zip: ArchivedZip
    members: tuple[HeldMember, ...]

    @property
    def content(self) -> str:
        """What tells this posting from others, whatever its number: a hash of its code members' hashes."""
        return self.zip.code_content


def revisions_of(zips: list[ArchivedZip]) -> tuple[list[Revision], list[Finding]]:
    """Order the distinct code files among the zips of one release.

    A zip whose code members all stand in another zip as well makes no revision of its own; of several zips with the
    same ones, that which tells most of their order speaks: packed anew, entries lose their dates.
    """
    contents: dict[frozenset[str], ArchivedZip] = {}
    for held in sorted((z for z in zips if z.code_members), key=lambda z: (_order(z), z.sha256), reverse=True):
        contents.setdefault(frozenset(m.sha256 for m in held.code_members), held)
    distinct = {shas: held for shas, held in contents.items() if not any(shas < other for other in contents)}
    ordered = sorted(distinct.values(), key=_order)
    revisions = [Revision(n, held, held.code_members) for n, held in enumerate(ordered, 1)]
    findings = [
        Finding(
            "revision_order_unknown",
            "warning",
            f"nothing in the members tells which of {a.members[0].name} and {b.members[0].name} came first",
            "ordered by their hashes",
            b.members[0].name,
        )
        for a, b in pairwise(revisions)
        if _order(a.zip)[:3] == _order(b.zip)[:3]
    ]
    return revisions, findings


def _order(held: ArchivedZip) -> tuple[int, str, str, tuple[str, ...]]:
    members = held.code_members
    return (
        max(_version(m.name) for m in members),
        max(_date_in_name(m.name) for m in members),
        max(m.date or "" for m in members),
        tuple(sorted(m.sha256 for m in members)),
    )


def _version(name: str) -> int:
    found = _VERSION_IN_NAME.findall(name.rsplit("/", 1)[-1])
    return int(found[-1]) if found else 0


def _date_in_name(name: str) -> str:
    dates = [year + day for day, year in _US_DATE_IN_NAME.findall(name)]
    dates += [year + day for year, day in _ISO_DATE_IN_NAME.findall(name)]
    return max(dates, default="")
