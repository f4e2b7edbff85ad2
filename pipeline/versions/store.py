"""What is published and what runs must remember: versions, ``latest``, the state."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from hcpcs.files import write_atomically
from hcpcs.manifest import json_bytes
from hcpcs.paths import Outputs
from hcpcs.version import VERSION_ID, LatestPointer, latest_version


def all_versions(outputs: Outputs) -> list[str]:
    """Ids of the versions kept, oldest first, compared as numbers."""
    if not outputs.versions.is_dir():
        return []
    return sorted((p.name for p in outputs.versions.iterdir() if VERSION_ID.fullmatch(p.name)), key=version_key)


def version_key(version: str) -> tuple[int, ...]:
    """A version id as numbers: 2025.10.2 comes before 2025.10.10."""
    return tuple(int(part) for part in version.split("."))


def read_manifest(folder: Path) -> dict[str, Any]:
    """The manifest of the version in ``folder``."""
    manifest: dict[str, Any] = json.loads((folder / "manifest.json").read_text("utf-8"))
    return manifest


def is_intact(folder: Path) -> bool:
    """Whether the version in ``folder`` has all its files, in their sizes."""
    if not (folder / "manifest.json").exists():
        return False
    files: dict[str, Any] = read_manifest(folder)["content"]["files"]
    return all((folder / n).is_file() and (folder / n).stat().st_size == f["bytes"] for n, f in files.items())


def point_latest_at(outputs: Outputs, version: str) -> None:
    """Make ``version`` the newest: first the file, which is the truth, then the symlink."""
    write_atomically(outputs.latest, LatestPointer(version).to_json())
    mend_latest_link(outputs)


def mend_latest_link(outputs: Outputs) -> None:
    """Let the symlink ``latest`` follow ``latest.json``."""
    version = latest_version(outputs)
    if version is None:
        return
    target = Path("versions") / version
    if outputs.latest_link.is_symlink() and outputs.latest_link.readlink() == target:
        return
    fresh = outputs.folder / f".latest.{os.getpid()}"
    fresh.unlink(missing_ok=True)
    fresh.symlink_to(target)
    fresh.replace(outputs.latest_link)


def read_state(outputs: Outputs) -> dict[str, Any]:
    """What earlier runs left for later ones; empty at first."""
    state: dict[str, Any] = json.loads(outputs.state.read_text("utf-8")) if outputs.state.exists() else {}
    return state


def write_state(outputs: Outputs, **changes: Any) -> None:
    """Change parts of the state, all at once."""
    write_json(outputs.state, read_state(outputs) | changes)


def write_json(path: Path, content: Any) -> None:
    """Write JSON whole or not at all."""
    write_atomically(path, json_bytes(content))
