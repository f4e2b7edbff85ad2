"""Known older releases: where CMS had them by a named source, and what their members should be. Reads one file."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from schemas.columns import RELEASE_ID
from sources.archive.zips import ZipMember
from sources.errors import CuratedFileError, SourceError

_FILE = Path(__file__).with_name("known_releases.toml")
_KEYS = {"release", "url", "source", "checked"}


class ChecksumMismatch(SourceError):
    """A member's bytes are not those that are known; the message has both hashes."""


@dataclass(frozen=True, slots=True)
class KnownRelease:
    """A release, its URL by ``source``, whether a fetch confirmed it, and SHA-256 by member where known."""

    release_id: str
    url: str
    source: str
    checked: bool
    members: Mapping[str, str] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """The zip's file name."""
        return urlsplit(self.url).path.rsplit("/", 1)[-1]


def load_known_releases(path: Path = _FILE) -> tuple[KnownRelease, ...]:
    """The known releases, oldest first; raises ``CuratedFileError`` for an entry that breaks a rule."""
    return _load(path)


@cache
def _load(path: Path) -> tuple[KnownRelease, ...]:
    try:
        entries = tomllib.loads(path.read_text("utf-8")).get("release", [])
    except tomllib.TOMLDecodeError as error:
        raise CuratedFileError(f"{path.name}: {error}") from None
    known = [_entry(path.name, number, raw) for number, raw in enumerate(entries, 1)]
    if len({k.url for k in known}) < len(known):
        raise CuratedFileError(f"{path.name}: a URL appears twice")
    return tuple(sorted(known, key=lambda k: (k.release_id, k.url)))


def _entry(file: str, number: int, raw: Mapping[str, Any]) -> KnownRelease:
    where = f"{file}: entry {number}"
    if missing := _KEYS - raw.keys():
        raise CuratedFileError(f"{where}: {', '.join(sorted(missing))} missing")
    if unknown := raw.keys() - _KEYS - {"members"}:
        raise CuratedFileError(f"{where}: unknown {', '.join(sorted(unknown))}")
    if not re.fullmatch(RELEASE_ID, str(raw["release"])):
        raise CuratedFileError(f"{where}: release {raw['release']!r} is not of the form YYYY-MM")
    if not re.fullmatch(r"https://[^/]+/.*\.zip", str(raw["url"]), re.IGNORECASE):
        raise CuratedFileError(f"{where}: {raw['url']!r} is not the https URL of a zip")
    if not str(raw["source"]).strip() or not isinstance(raw["checked"], bool):
        raise CuratedFileError(f"{where}: a source in words and checked = true or false are needed")
    members = {str(k): str(v).lower() for k, v in raw.get("members", {}).items()}
    if bad := [k for k, v in members.items() if not re.fullmatch(r"[0-9a-f]{64}", v)]:
        raise CuratedFileError(f"{where}: the hash of {bad[0]} is no SHA-256")
    return KnownRelease(raw["release"], raw["url"], raw["source"], raw["checked"], members)


def check_members(name: str, known: KnownRelease, members: list[ZipMember]) -> None:
    """Hold what came to what is known; raises ``ChecksumMismatch`` with the expected hash and the one that came."""
    arrived = {m.name: m.sha256 for m in members}
    for member, expected in known.members.items():
        if member not in arrived:
            raise ChecksumMismatch(f"{name}: no member {member}, whose SHA-256 would be {expected}")
        if arrived[member] != expected:
            raise ChecksumMismatch(f"{name}: {member} has SHA-256 {arrived[member]}, and {expected} is known")
