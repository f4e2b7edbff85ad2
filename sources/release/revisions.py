"""The revisions of a release's code file: which postings state something else, and in which order they came.

A posting that states what another one states, in other bytes (line ends, a text alone), is no revision. The order is
found in the members (version number, date in the name, entry date), never in when we got them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import polars as pl

from sources.archive.archive import ArchivedMember, ArchivedZip
from sources.findings import Finding

_VERSION_IN_NAME = re.compile(r"(?<![a-z0-9])v(\d+)(?!\d)", re.IGNORECASE)
_US_DATE_IN_NAME = re.compile(r"(?<!\d)((?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(20\d\d)(?!\d)")
_ISO_DATE_IN_NAME = re.compile(r"(?<!\d)(20\d\d)((?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01]))(?!\d)")


@dataclass(frozen=True, slots=True)
class Revision:
    """One posting of a release's code file: its number from 1, the zip it is read from, its code members.

    ``copies`` are postings of the same records in other bytes.
    """

    number: int
    zip: ArchivedZip
    members: tuple[ArchivedMember, ...]
    copies: tuple[ArchivedZip, ...] = ()

    @property
    def content(self) -> str:
        """What tells this posting from others, whatever its number: a hash of its code members' hashes."""
        return self.zip.code_content

    @property
    def contents(self) -> list[str]:
        """The content of this posting and of its copies."""
        return [self.content, *(copy.code_content for copy in self.copies)]


def postings_of(zips: list[ArchivedZip]) -> list[ArchivedZip]:
    """The zips of one release with distinct code files, in their order.

    A zip whose code members are all in another zip as well is none; of several zips with the same ones, that which
    tells most of their order is taken: compressed anew, entries lose their dates.
    """
    contents: dict[frozenset[str], ArchivedZip] = {}
    for loaded in sorted((z for z in zips if z.code_members), key=lambda z: (_order(z), z.sha256), reverse=True):
        contents.setdefault(frozenset(m.sha256 for m in loaded.code_members), loaded)
    distinct = {shas: loaded for shas, loaded in contents.items() if not any(shas < other for other in contents)}
    return sorted(distinct.values(), key=_order)


def revisions_of(
    postings: list[ArchivedZip], states: Mapping[str, Sequence[pl.DataFrame]]
) -> tuple[list[Revision], list[Finding]]:
    """Number the postings of one release that state something else.

    ``states`` has what each posting states by the zip's hash: the records of its text, of its workbook, or both. Of
    postings that state the same, the one with more of CMS's members is read. Records that return after others are a
    revision again only where versions or dates in names put the others in between: CMS takes a posting back so.
    """
    groups: list[list[ArchivedZip]] = []
    for number, posting in enumerate(postings):
        group = next((g for g in reversed(groups) if _states_same(states, g[-1], posting)), None)
        if group is None or any(
            _order(group[-1])[:2] < _order(between)[:2] < _order(posting)[:2]
            for between in postings[:number]
            if between not in group
        ):
            groups.append([posting])
        else:
            group.append(posting)
    read = [(max(group, key=lambda z: (len(z.code_members), len(z.members), _order(z))), group) for group in groups]
    revisions = [
        Revision(n, posting, posting.code_members, tuple(z for z in group if z is not posting))
        for n, (posting, group) in enumerate(sorted(read, key=lambda item: _order(item[0])), 1)
    ]
    findings = [
        Finding.of(
            "revision_order_unknown",
            f"nothing in the members states which of {a.members[0].name} and {b.members[0].name} was posted first",
            b.members[0].name,
        )
        for a, b in pairwise(revisions)
        if _order(a.zip)[:3] == _order(b.zip)[:3]
    ]
    return revisions, findings


def _states_same(states: Mapping[str, Sequence[pl.DataFrame]], one: ArchivedZip, other: ArchivedZip) -> bool:
    """Whether each form of one of two postings has the records of a form of the other."""
    first, second = states.get(one.sha256, ()), states.get(other.sha256, ())
    few, many = sorted((first, second), key=len)
    return bool(few) and all(any(of_few.equals(of_many) for of_many in many) for of_few in few)


def _order(loaded: ArchivedZip) -> tuple[int, str, str, tuple[str, ...]]:
    members = loaded.code_members
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
