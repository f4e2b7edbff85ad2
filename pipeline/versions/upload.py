"""``hcpcs publish``: a version in object storage, or in a folder that others read.

The manifest is written first, by a conditional write: it claims the version, so that every publisher of that version
writes the same bytes and another one is refused. Then the files, then ``latest/``, then the pointer, again by a
conditional write: a version that ``latest.json`` names is whole, and of two publishers neither overwrites what the
other did. A publishing that was killed continues where it stopped, and an object that is damaged is sent anew.

    <target>/latest.json                     version, path, sha256 of the manifest, path of every table
    <target>/tier.json                       the one tier that this target takes
    <target>/versions/<version>/…            every file of the version, at the path that its manifest gives
    <target>/latest/…                        the newest version again: a link in a folder, a copy in object storage
    <target>/watched/<list>/…                feeds of watched lists
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

from hcpcs.manifest import NAME, Manifest, ManifestDamaged, VersionFile, json_bytes
from hcpcs.paths import TARGET_TIER
from pipeline.versions.object_store import ObjectStore, TargetRefused
from pipeline.versions.published_target import LATEST, parsed_json
from pipeline.versions.store import FEEDS, version_key
from pipeline.versions.verify_content import verify_deeply
from sources.errors import SourceError

LATEST_FOLDER = "latest"

Progress = Callable[[str], None]

_ELSEWHERE = "publish to a folder or prefix of its own"
#: So often is the pointer tried again when other publishers move it at the same time.
_POINTER_TRIES = 5


class VersionExists(SourceError):
    """The target has other content under the same version, or a newer version."""


@dataclass(frozen=True, slots=True)
class UploadResult:
    """What publishing did: the version, files sent and files that lay there, whether the pointer moved."""

    target: str
    version: str
    sent: int
    already_there: int
    is_new: bool


def publish_to(
    folder: Path,
    target: str,
    *,
    beside: Mapping[str, bytes] = MappingProxyType({}),
    progress: Progress = lambda text: None,
) -> UploadResult:
    """Publish the version in ``folder`` to ``target``: a URL (``s3://``, ``gs://``, ``az://``) or a folder's path.

    ``beside`` are files of the newest version that belong to no version, by path: the feeds of watched lists.
    Nothing is sent unless the version verifies. Credentials and endpoints are found as the object store's own tools
    find them. Raises ``VersionExists``, ``TargetRefused``, or ``SourceError`` for a version that does not verify.
    """
    _refuse_damaged(folder)
    data = (folder / NAME).read_bytes()
    manifest = Manifest.from_json(data, str(folder))
    version = manifest.build.version
    store = ObjectStore(target)
    _refuse_outputs(store)
    _keep_tiers_apart(store, manifest.content.tier)
    pointer, tag = store.read_tagged(LATEST)
    before = parsed_json(store, LATEST, pointer) if pointer is not None else None
    if before is not None and _is_newer(before, version):
        raise VersionExists(f"{target} has {before['version']}, which is newer than {version}; nothing was sent")
    base = f"versions/{version}"
    progress("sending the manifest")
    claimed = _claim(store, f"{base}/{NAME}", data, manifest)
    entries = Manifest.from_json(claimed, f"{target}/{base}").files
    mine, earlier = manifest.files, _earlier_files(store, before)
    sent = 0
    for number, (name, entry) in enumerate(sorted(entries.items()), 1):
        progress(f"sending {name} ({number} of {len(entries)})")
        path = f"{base}/{name}"
        elsewhere = earlier.get(entry.sha256)
        if _is_whole(store, path, entry):
            continue
        if elsewhere != path and store.copy(elsewhere, path) and _is_whole(store, path, entry):
            continue
        if name not in mine or mine[name].sha256 != entry.sha256:
            raise VersionExists(
                f"{target} has an unfinished {version} of another build: {name} differs; publish that build again, or"
                f" remove {base} there"
            )
        store.put(path, (folder / name).read_bytes())
        sent += 1
    progress("moving latest")
    _put_latest(store, base, claimed)
    try:
        moved = _move_pointer(store, version, _pointer(version, claimed), pointer, tag)
    except VersionExists:
        newer = parsed_json(store, LATEST, store.read(LATEST) or b"")["path"]
        _put_latest(store, newer, store.read(f"{newer}/{NAME}") or b"")
        raise
    for path, content in beside.items():
        if store.read(path) != content:
            store.put(path, content)
    return UploadResult(target, version, sent, len(entries) - sent, moved)


def _refuse_damaged(folder: Path) -> None:
    report = verify_deeply(folder)
    if not report.ok:
        first = report.problems[0]
        raise SourceError(
            f"{folder} is not identical to what was published: {first.file}: {first.what}; nothing was sent"
        )


def _refuse_outputs(store: ObjectStore) -> None:
    """Refuse a folder of outputs or a version's own folder: the pointer there speaks of what lies there."""
    is_target = store.size(TARGET_TIER) is not None
    if store.size(NAME) is not None or (store.size(LATEST) is not None and not is_target):
        raise TargetRefused(f"{store.target} has versions that were not published there: {_ELSEWHERE}")
    for own in ("archive/index.json", "state.json"):
        if store.size(own) is not None:
            raise TargetRefused(f"{store.target} is a folder of outputs, it has {own}: {_ELSEWHERE}")
    for folder in store.folders_around():
        if (folder / "archive" / "index.json").exists():
            raise TargetRefused(f"{store.target} lies in {folder}, a folder of outputs: {_ELSEWHERE}")


def _claim(store: ObjectStore, path: str, data: bytes, manifest: Manifest) -> bytes:
    """Write the manifest where none lies; returns the one that stands there, which has the same content.

    Raises ``VersionExists`` where another version of that number lies.
    """
    if store.put_new(path, data):
        return data
    theirs, tag = store.read_tagged(path)
    if theirs == data:
        return data
    try:
        content = Manifest.from_json(theirs or b"", f"{store.target}/{path}").content
    except ManifestDamaged:  # it claims nothing; ours takes its place unless another publisher was faster
        if store.swap(path, theirs, tag, data):
            return data
        return _claim(store, path, data, manifest)
    if theirs is None or content != manifest.content:
        raise VersionExists(
            f"{store.target} has another {manifest.build.version}; publish from the outputs that made that one,"
            " or elsewhere"
        )
    return theirs


def _is_whole(store: ObjectStore, path: str, entry: VersionFile) -> bool:
    """Whether what lies at ``path`` is the file that the manifest's ``entry`` describes, by its hash."""
    if store.size(path) != entry.bytes:
        return False
    return hashlib.sha256(store.read(path) or b"").hexdigest() == entry.sha256


def _earlier_files(store: ObjectStore, pointer: dict[str, Any] | None) -> dict[str, str]:
    """Where the files of the version that was the newest lie, by their sha256."""
    manifest = store.read(f"{pointer['path']}/{NAME}") if pointer is not None else None
    if pointer is None or manifest is None:
        return {}
    try:
        entries = Manifest.from_json(manifest, f"{store.target}/{pointer['path']}").files
    except SourceError:  # then everything is sent
        return {}
    return {entry.sha256: f"{pointer['path']}/{name}" for name, entry in entries.items()}


def _put_latest(store: ObjectStore, base: str, data: bytes) -> None:
    """Let ``latest/`` be the version at ``base``, whose manifest is ``data``: by a link, else file by file.

    Its manifest goes first and comes back last: where it lies, the files beside it are its own. The version's feeds
    lie beside ``latest/`` too.
    """
    names = Manifest.from_json(data, f"{store.target}/{base}").files
    for feed in (name for name in FEEDS if name in names and not _is_whole(store, name, names[name])):
        store.copy(f"{base}/{feed}", feed)
    if store.link(LATEST_FOLDER, base):
        return
    if store.read(f"{LATEST_FOLDER}/{NAME}") == data and all(
        _is_whole(store, f"{LATEST_FOLDER}/{name}", entry) for name, entry in names.items()
    ):
        return
    store.delete([f"{LATEST_FOLDER}/{NAME}"])
    for name in sorted(names):
        store.copy(f"{base}/{name}", f"{LATEST_FOLDER}/{name}")
    stale = set(store.list(f"{LATEST_FOLDER}/")) - {f"{LATEST_FOLDER}/{name}" for name in names}
    store.delete(sorted(stale))
    store.put(f"{LATEST_FOLDER}/{NAME}", data)


def _keep_tiers_apart(store: ObjectStore, tier: str) -> None:
    store.put_new(TARGET_TIER, json_bytes({"tier": tier}))
    target_tier = parsed_json(store, TARGET_TIER, store.read(TARGET_TIER) or b"").get("tier")
    if target_tier != tier:
        raise TargetRefused(
            f"{store.target} is for the tier {target_tier!r}; give the tier {tier!r} a target of its own"
        )


def _move_pointer(store: ObjectStore, version: str, wanted: bytes, seen: bytes | None, tag: dict[str, Any]) -> bool:
    """Let ``latest.json`` name this version, unless it does or names a newer one; returns whether it was moved."""
    for _ in range(_POINTER_TRIES):
        if seen == wanted:
            return False
        if seen is not None and _is_newer(parsed_json(store, LATEST, seen), version):
            raise VersionExists(
                f"{store.target} received a newer version in the meantime; {version} is there beside it"
            )
        if store.swap(LATEST, seen, tag, wanted):
            return True
        seen, tag = store.read_tagged(LATEST)
    raise TargetRefused(f"{store.target}: {LATEST} is moved by others all the time; publish again later")


def _pointer(version: str, data: bytes) -> bytes:
    base = f"versions/{version}"
    tables = Manifest.from_json(data, base).content.tables
    return json_bytes(
        {
            "version": version,
            "path": base,
            "manifest_sha256": hashlib.sha256(data).hexdigest(),
            "tables": {table: f"{base}/{name}" for table, name in tables.items()},
        }
    )


def _is_newer(pointer: dict[str, Any], version: str) -> bool:
    return version_key(pointer["version"]) > version_key(version)
