"""The manifest of a version: its parts, its seal, and what makes one unreadable. Versions are read here, not judged.

``content`` alone decides whether a version is new; ``build`` tells how it came about; ``sha256`` seals both, so that
an edit of the manifest itself is found like any other.
"""

from __future__ import annotations

import hashlib
import json
import re
from pathlib import Path
from typing import Any

from hcpcs.errors import HcpcsError

NAME = "manifest.json"
#: Of all published tables together; docs/versioning.md says what raises it.
SCHEMA_VERSION = "2.0"


class ManifestDamaged(HcpcsError):
    """A manifest is missing, is not what was written, or names files outside its version."""


class ManifestTooNew(HcpcsError):
    """A manifest was written with a newer schema than this program knows."""


def json_bytes(value: Any) -> bytes:
    """JSON as every file of ours has it."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    return text.encode("utf-8", "backslashreplace")  # a file name that is no UTF-8 becomes a JSON escape


def sealed(content: dict[str, Any], build: dict[str, Any]) -> dict[str, Any]:
    """The manifest with its seal: the SHA-256 of both parts."""
    return {"content": content, "build": build, "sha256": _seal(content, build)}


def file_entries(manifest: dict[str, Any]) -> dict[str, dict[str, Any]]:
    """Every file of the version but the manifest itself, of both parts, with its sha256 and bytes."""
    entries: dict[str, dict[str, Any]] = manifest["content"]["files"] | manifest["build"].get("files", {})
    return entries


def tables_of(manifest: dict[str, Any]) -> dict[str, str]:
    """The tables of the version, each with its file's name in it."""
    return {Path(name).stem: name for name in manifest["content"]["files"] if name.endswith(".parquet")}


def load_manifest(data: bytes, where: str) -> dict[str, Any]:
    """The manifest that ``data`` holds, if it is as it was written.

    Raises ``ManifestTooNew``, or ``ManifestDamaged`` with what is wrong; ``where`` names the version in messages.
    """
    try:
        manifest = json.loads(data)
    except ValueError as error:
        raise ManifestDamaged(f"{where}: {NAME} is not JSON: {error}") from None
    try:
        version = str(manifest["content"]["schema_version"])
        content, build, seal = manifest["content"], manifest["build"], manifest.get("sha256")
    except (KeyError, TypeError):
        raise ManifestDamaged(f"{where}: {NAME} lacks `content`, `build` or the schema version") from None
    if re.fullmatch(r"\d+\.\d+", version) is None:
        raise ManifestDamaged(f"{where}: {NAME} names the schema version {version!r}, which is not of the form 1.0")
    if schema_key(version) > schema_key(SCHEMA_VERSION):
        raise ManifestTooNew(
            f"{where}: made with schema {version}, newer than {SCHEMA_VERSION}, which this hcpcs knows;"
            " install the newer hcpcs that made it"
        )
    if seal != _seal(content, build) or data != json_bytes(manifest):
        raise ManifestDamaged(f"{where}: {NAME} was edited: it does not match its checksum")
    for name in file_entries(manifest):
        if not _stays_inside(name):
            raise ManifestDamaged(f"{where}: {NAME} names the file {name!r}, which is outside the version")
    loaded: dict[str, Any] = manifest
    return loaded


def schema_key(version: str) -> tuple[int, ...]:
    """A schema version as numbers, to be compared."""
    return tuple(int(part) for part in version.split("."))


def _stays_inside(name: str) -> bool:
    parts = name.split("/")
    return bool(name) and "\\" not in name and "\0" not in name and not any(p in ("", ".", "..") for p in parts)


def _seal(content: Any, build: Any) -> str:
    canonical = json.dumps([content, build], sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(canonical.encode("utf-8", "surrogatepass")).hexdigest()
