"""Which release a posting is: found from the names of folder, zip and members, or said by the caller.

CMS never states it inside the code file, so every name is a witness, and witnesses that contradict are an error.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

from sources.errors import ReleaseUnclear

_MONTHS = (
    "january", "february", "march", "april", "may", "june",
    "july", "august", "september", "october", "november", "december",
)  # fmt: skip
_MONTH_NUMBERS = {name: n for n, name in enumerate(_MONTHS, 1)} | {name[:3]: n for n, name in enumerate(_MONTHS, 1)}

#: Through 2020 one posting opened each year, and its names give the year alone; later ones come each quarter.
_LAST_YEARLY = 2020

#: A date CMS put into a name (12172024, 20241217): it says when the file was made, not which release it is.
_MADE_ON = re.compile(r"(?<!\d)(?:(?:0[1-9]|1[0-2])(?:0[1-9]|[12]\d|3[01])20\d\d|20\d\d(?:0[1-9]|1[0-2])\d\d)(?!\d)")
_ISO = re.compile(r"(?<!\d)((?:19|20)\d\d)-(0[1-9]|1[0-2])(?!\d)")
_YEAR = re.compile(r"(?<!\d)((?:19|20)\d\d)(?!\d)")
#: A year of two digits stands where the old names have it: `11anweb`, `HCPC17_CONTR`.
_SHORT_YEAR = re.compile(r"^(?:hcpcs?)?(\d\d)(?=anweb|_)|(?<=[^a-z])hcpcs?(\d\d)(?!\d)|(?<=[^0-9a-z])(\d\d)anweb")
_WORD = re.compile(r"[a-z]+")


@dataclass(frozen=True, slots=True)
class NamedRelease:
    """What one name says: a year, and a month where it has one."""

    name: str
    year: int
    month: int | None


def release_in_name(name: str) -> NamedRelease | None:
    """What a folder's, zip's or member's name says of its release; None where it names no year."""
    text = name.lower().rsplit("/", 1)[-1]
    if iso := _ISO.search(text):
        return NamedRelease(name, int(iso[1]), int(iso[2]))
    text = _MADE_ON.sub(" ", text)
    months = {_MONTH_NUMBERS[w] for w in _WORD.findall(text) if w in _MONTH_NUMBERS}
    # NOC codes_JAN2025: month and year run together.
    months |= {_MONTH_NUMBERS[m] for m in re.findall(r"(?<![a-z])([a-z]{3,9})(?=20\d\d)", text) if m in _MONTH_NUMBERS}
    years = {int(y) for y in _YEAR.findall(text)}
    if not years:
        years = {2000 + int(next(filter(None, groups))) for groups in _SHORT_YEAR.findall(text)}
    if len(years) != 1 or len(months) > 1:
        return None
    return NamedRelease(name, years.pop(), months.pop() if months else None)


def resolve_release(names: Iterable[str], stated: str | None = None) -> str:
    """The release id that all names agree on.

    ``stated`` is the caller's word, as YYYY-MM. A name that gives a year alone agrees with any month of that year;
    where no name gives a month, the year's first posting is meant if that was the custom then (through 2020).
    Raises ``ReleaseUnclear`` where nothing says it, or two names contradict.
    """
    names = list(names)
    said = [r for r in map(release_in_name, names) if r is not None]
    if stated is not None:
        said.insert(0, NamedRelease(f"--release {stated}", int(stated[:4]), int(stated[5:7])))
    if not said:
        raise ReleaseUnclear(
            f"no name says which release this is ({', '.join(names)}): put it into a folder named YYYY-MM,"
            " or say it with --release YYYY-MM"
        )
    first = next((r for r in said if r.month is not None), said[0])
    for other in said:
        if other.year != first.year or (other.month is not None and other.month != first.month):
            raise ReleaseUnclear(
                f"names contradict each other: {first.name} says {_worded(first)}, {other.name} says {_worded(other)};"
                " put the zip into the folder of its release, or rename it"
            )
    if first.month is None and first.year > _LAST_YEARLY:
        raise ReleaseUnclear(
            f"{first.name} says {first.year} but no month, and releases are quarterly since 2020: put it into a folder"
            " named YYYY-MM, or say it with --release YYYY-MM"
        )
    return f"{first.year:04d}-{first.month or 1:02d}"


def effective_day(release_id: str) -> date:
    """The first day on which a release holds."""
    return date(int(release_id[:4]), int(release_id[5:7]), 1)


def _worded(r: NamedRelease) -> str:
    return f"{r.year:04d}-{r.month:02d}" if r.month is not None else str(r.year)
