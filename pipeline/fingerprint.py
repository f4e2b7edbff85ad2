"""Fingerprints: by what a run knows that nothing would come out differently. No clock, no path, no order of arrival."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib.metadata import version
from pathlib import Path

from sources.archive import ArchiveIndex, HeldZip

_ROOT = Path(__file__).resolve().parent.parent
_PACKAGES = ("pipeline", "schemas", "sources")
_LIBRARIES = ("fastexcel", "pandera", "polars", "pyarrow", "rapidfuzz")


@cache
def code_fingerprint(*packages: str) -> str:
    """SHA-256 of the source and curated files of ``packages`` and of the library versions that decide bytes."""
    digest = hashlib.sha256(json.dumps({name: version(name) for name in _LIBRARIES}).encode())
    for package in packages or _PACKAGES:
        for path in sorted((_ROOT / package).rglob("*")):
            if path.is_file() and path.suffix in (".py", ".csv", ".toml"):
                digest.update(path.relative_to(_ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def release_fingerprint(zips: Iterable[HeldZip]) -> str:
    """What one release's staged tables depend on: its members and the code that reads them."""
    members = sorted((m.name, m.sha256, m.date or "", m.role) for z in zips for m in z.members)
    return _hash([members, sorted(z.sha256 for z in zips), code_fingerprint("sources")])


def build_fingerprint(index: ArchiveIndex) -> str:
    """What a version's content depends on: every zip held, what was excluded or refused, and all code."""
    return _hash([sorted(index.zips), index.excluded, index.refused, code_fingerprint()])


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
