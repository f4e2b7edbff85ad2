"""Fingerprints of bytes and code: equal ones give equal results. No clock, path or order of arrival is in them."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

from hcpcs.files import file_sha256
from sources.archive.archive import ArchivedZip, ArchiveIndex
from sources.code_fingerprint import ROOT, code_fingerprint, libraries

_PACKAGES = ("hcpcs", "pipeline", "schemas", "sources")

#: Modules that describe tables and make none of their content.
_DESCRIBES = frozenset({"pipeline.orchestration.asset_metadata"})
_IMPORTS = re.compile(rf"^\s*from\s+((?:{'|'.join(_PACKAGES)})[\w.]*)\s+import\s+(\([^)]*\)|[^\n]*)", re.MULTILINE)
_NAMES = re.compile(r"\w+")


@cache
def module_fingerprint(*modules: str) -> str:
    """SHA-256 of ``modules``, what they import of ours, the tables in ``sources`` if that is among it, and libraries.

    For telling whether what a module makes may have changed. Imports are found in the text, since reading it all as
    syntax would cost every start a quarter of a second.
    """
    digest = hashlib.sha256(libraries())
    found: set[Path] = set()
    requested = [path for module in modules for path in _files_of(module)]
    if unknown := [module for module in modules if not _files_of(module)]:
        raise ModuleNotFoundError(f"no module of this project: {', '.join(unknown)}")
    while requested:
        path = requested.pop()
        if path in found:
            continue
        found.add(path)
        requested += _imported(path)
    if any(path.relative_to(ROOT).parts[0] == "sources" for path in found):
        found.update((ROOT / "sources").rglob("*.csv"))
    for path in sorted(found):
        digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


@cache
def _imported(path: Path) -> list[Path]:
    files = []
    for module, names in _IMPORTS.findall(path.read_text("utf-8")):
        files += _files_of(module)
        for name in _NAMES.findall(names):
            files += _files_of(f"{module}.{name}")
    return files


def _files_of(module: str) -> list[Path]:
    if module in _DESCRIBES:
        return []
    base = ROOT.joinpath(*module.split("."))
    return [path for path in (base.with_suffix(".py"), base / "__init__.py") if path.is_file()]


def release_fingerprint(zips: Iterable[ArchivedZip]) -> str:
    """What one release's staged tables depend on: its members, and the code that reads them and lays them out."""
    members = sorted((m.name, m.sha256, m.date or "", m.role) for z in zips for m in z.members)
    made_by = [code_fingerprint("sources", "schemas"), module_fingerprint("pipeline.orchestration.release_tables")]
    return _hash([members, sorted(z.sha256 for z in zips), made_by])


def staged_fingerprint(zips: Iterable[ArchivedZip], file: Path) -> str | None:
    """What a staged table of one release was made from, and its bytes; None where ``file`` is missing.

    Differs for a table that was cut, changed, or replaced by one of an earlier or a refused run.
    """
    try:
        return _hash([release_fingerprint(zips), file_sha256(file)])
    except FileNotFoundError:
        return None


def reference_fingerprint(file: Path) -> str | None:
    """What a table that no release is in was made from, the code, and its bytes; None where ``file`` is missing."""
    try:
        return _hash([code_fingerprint(*_PACKAGES), file_sha256(file)])
    except FileNotFoundError:
        return None


def build_fingerprint(index: ArchiveIndex) -> str:
    """What a version's content depends on: every loaded zip with its release, exclusions, refusals, and code."""
    zips = sorted((z.sha256, z.release_id) for z in index.zips.values())
    return _hash([zips, index.excluded, index.refused, index.accepted, code_fingerprint(*_PACKAGES)])


def _hash(value: object) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()
