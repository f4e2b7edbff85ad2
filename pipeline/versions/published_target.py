"""Reading a target of ``hcpcs publish``: its pointer, and a copy of a version for ``hcpcs verify``."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from hcpcs.manifest import NAME, Manifest, ManifestDamaged
from hcpcs.version_files import VERSION_ID
from pipeline.versions.object_store import ObjectStore, TargetRefused
from pipeline.versions.store import version_key
from sources.errors import SourceError

LATEST = "latest.json"

_VERSION_URL = re.compile(rf"(.*?)/versions/({VERSION_ID.pattern})/?$")


@contextmanager
def fetched_version(url: str) -> Iterator[tuple[Path, list[tuple[str, str]]]]:
    """A copy of the version at ``url`` in a temporary folder, and what lies there that does not belong to it.

    ``url`` is a target of ``publish_to``, one of its versions, or a version's folder as such. A missing file is
    missing in the copy too. Raises ``SourceError`` where there is no version.
    """
    found = _VERSION_URL.match(url)
    store = ObjectStore(found[1] if found else url)
    problems: list[tuple[str, str]] = []
    base = f"versions/{found[2]}/" if found else ""
    if not found:
        pointer = store.read(LATEST)
        if pointer is not None:
            stated = parsed_json(store, LATEST, pointer)
            base = f"{stated['path']}/"
            manifest = store.read(base + NAME)
            if manifest is not None and hashlib.sha256(manifest).hexdigest() != stated.get("manifest_sha256"):
                problems.append((LATEST, "names a manifest other than the one found there"))
    data = store.read(base + NAME)
    if data is None:
        raise SourceError(f"{url} is not a version: it has no {NAME}")
    with tempfile.TemporaryDirectory(prefix="hcpcs-verify-") as scratch:
        folder = Path(scratch)
        (folder / NAME).write_bytes(data)
        try:
            entries = Manifest.from_json(data, url).files
        except ManifestDamaged:
            entries = {}  # for whoever reads the copy to report
        for name in entries:
            content = store.read(base + name)
            if content is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        if base and entries:
            extra = [p.removeprefix(base) for p in store.list(base)]
            what = "is not of this version: the manifest does not name it"
            problems += [(name, what) for name in extra if name not in {NAME, *entries}]
        yield folder, problems


def parsed_json(store: ObjectStore, path: str, data: bytes) -> dict[str, Any]:
    """The JSON at ``path`` of a target; raises ``TargetRefused`` for what ``publish`` did not write."""
    try:
        parsed: dict[str, Any] = json.loads(data)
        if path == LATEST:
            version_key(parsed["version"])
            if re.fullmatch(f"versions/{VERSION_ID.pattern}", parsed["path"]) is None:
                raise ValueError(parsed["path"])
    except (ValueError, KeyError, TypeError, AttributeError):
        raise TargetRefused(f"{store.target}: {path} is not what hcpcs writes there") from None
    return parsed
