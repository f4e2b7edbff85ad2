"""``hcpcs publish``: a version in object storage, or in a folder that others read; and the reading of one for `verify`.

The manifest is written first, by a conditional write: it claims the version, so that every publisher of that version
writes the same bytes and another one is refused. Then the files, then ``latest/``, then the pointer, again by a
conditional write: a version that ``latest.json`` names is whole, and of two publishers neither overwrites what the
other did. A publishing that was killed continues where it stopped, and an object that is damaged is sent anew.

    <target>/latest.json                     version, path, sha256 of the manifest, path of every table
    <target>/tier.json                       the one tier that this target takes
    <target>/versions/<version>/…            every file of the version, at the path that its manifest gives
    <target>/latest/…                        the newest version again: a link in a folder, a copy in object storage
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock

from hcpcs.files import write_atomically
from hcpcs.manifest import NAME, ManifestDamaged, file_entries, json_bytes, load_manifest, tables_of
from pipeline.versions.store import version_key
from sources.errors import SourceError

LATEST = "latest.json"
LATEST_FOLDER = "latest"
TIER = "tier.json"

Progress = Callable[[str], None]

_ELSEWHERE = "publish to a folder or prefix of its own"
#: So often is the pointer tried again when other publishers move it at the same time.
_POINTER_TRIES = 5
_VERSION_URL = re.compile(r"(.*?)/versions/(\d{4}\.\d{2}\.\d+)/?$")


class TargetRefused(SourceError):
    """A target cannot be written to or read: no rights, no space, no such bucket, or of another tier."""


class VersionExists(SourceError):
    """The target has other content under the same version, or a newer version."""


@dataclass(frozen=True, slots=True)
class UploadResult:
    """What publishing did: the version, files sent and files that lay there, whether the pointer moved."""

    target: str
    version: str
    sent: int
    held: int
    is_new: bool


def publish_to(folder: Path, target: str, *, tell: Progress = lambda text: None) -> UploadResult:
    """Publish the version in ``folder`` to ``target``: a URL (``s3://``, ``gs://``, ``az://``) or a folder's path.

    Nothing is sent unless the version verifies. Credentials and endpoints are found as the object store's own tools
    find them. Raises ``VersionExists``, ``TargetRefused``, or ``SourceError`` for a version that does not verify.
    """
    _refuse_damaged(folder)
    data = (folder / NAME).read_bytes()
    manifest = load_manifest(data, str(folder))
    version: str = manifest["build"]["version"]
    store = ObjectStore(target)
    _refuse_outputs(store)
    _keep_tiers_apart(store, manifest["content"]["tier"])
    pointer, tag = store.read_tagged(LATEST)
    before = _parsed(store, LATEST, pointer) if pointer is not None else None
    if before is not None and _is_newer(before, version):
        raise VersionExists(f"{target} has {before['version']}, which is newer than {version}; nothing was sent")
    base = f"versions/{version}"
    tell("sending the manifest")
    claimed = _claim(store, f"{base}/{NAME}", data, manifest)
    entries = file_entries(load_manifest(claimed, f"{target}/{base}"))
    mine, earlier = file_entries(manifest), _earlier_files(store, before)
    sent = 0
    for number, (name, entry) in enumerate(sorted(entries.items()), 1):
        tell(f"sending {name} ({number} of {len(entries)})")
        path = f"{base}/{name}"
        elsewhere = earlier.get(entry["sha256"])
        if _is_whole(store, path, entry):
            continue
        if elsewhere != path and store.copy(elsewhere, path) and _is_whole(store, path, entry):
            continue
        if mine.get(name, {}).get("sha256") != entry["sha256"]:
            raise VersionExists(
                f"{target} has an unfinished {version} of another build: {name} differs; publish that build again, or"
                f" remove {base} there"
            )
        store.put(path, (folder / name).read_bytes())
        sent += 1
    tell("moving latest")
    _put_latest(store, base, claimed)
    try:
        moved = _move_pointer(store, version, _pointer(version, claimed), pointer, tag)
    except VersionExists:
        newer = _parsed(store, LATEST, store.read(LATEST) or b"")["path"]
        _put_latest(store, newer, store.read(f"{newer}/{NAME}") or b"")
        raise
    return UploadResult(target, version, sent, len(entries) - sent, moved)


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
            stated = _parsed(store, LATEST, pointer)
            base = f"{stated['path']}/"
            held = store.read(base + NAME)
            if held is not None and hashlib.sha256(held).hexdigest() != stated.get("manifest_sha256"):
                problems.append((LATEST, "names another manifest than the one that lies there"))
    data = store.read(base + NAME)
    if data is None:
        raise SourceError(f"{url} is not a version: it holds no {NAME}")
    with tempfile.TemporaryDirectory(prefix="hcpcs-verify-") as scratch:
        folder = Path(scratch)
        (folder / NAME).write_bytes(data)
        try:
            entries = file_entries(load_manifest(data, url))
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


class ObjectStore:
    """A target: object storage by its URL, or a folder. All paths are relative to it, with slashes."""

    def __init__(self, target: str) -> None:
        try:
            import obstore
            from obstore.exceptions import BaseError
            from obstore.store import LocalStore, from_url
        except ImportError:
            raise SourceError("obstore is not installed; `pip install 'hcpcs[remote]'` brings it") from None
        self.target = target
        self._obstore = obstore
        self._errors = (BaseError, OSError)
        self._folder: Path | None = None
        self._is_web = False
        try:
            if "://" not in target or target.startswith("file://"):
                self._folder = Path(target.removeprefix("file://")).resolve()
                self._store: Any = LocalStore(self._folder, mkdir=True)
            else:
                self._is_web = target.startswith(("http://", "https://"))
                options: dict[str, Any] = {"retry_config": {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}}
                if self._is_web:
                    options["client_options"] = {"allow_http": True}
                self._store = from_url(target, **options)
        except (BaseError, OSError, ValueError) as error:
            raise self._refused("cannot be opened", error) from None

    def folders_around(self) -> Sequence[Path]:
        """The folders that the target lies in; none for object storage."""
        return self._folder.parents if self._folder is not None else ()

    def read(self, path: str) -> bytes | None:
        """The bytes at ``path``; None where there are none."""
        return self.read_tagged(path)[0]

    def read_tagged(self, path: str) -> tuple[bytes | None, dict[str, Any]]:
        """The bytes at ``path``, and what a conditional write must name to replace them and nothing later."""
        try:
            found = self._obstore.get(self._store, path)
            meta = found.meta
            return bytes(found.bytes()), {k: meta[k] for k in ("e_tag", "version") if meta.get(k) is not None}
        except FileNotFoundError:
            return None, {}
        except self._errors as error:
            raise self._refused(f"{path} cannot be read", error) from None

    def size(self, path: str) -> int | None:
        """The size of what lies at ``path``; None where there is nothing."""
        try:
            size: int = self._obstore.head(self._store, path)["size"]
            return size
        except FileNotFoundError:
            return None
        except self._errors as error:
            raise self._refused(f"{path} cannot be read", error) from None

    def list(self, prefix: str) -> list[str]:
        """Paths below ``prefix``; none where the place cannot list, as a plain web server, or may not."""
        if self._is_web:
            return []
        try:
            return [entry["path"] for batch in self._obstore.list(self._store, prefix) for entry in batch]
        except self._errors:
            return []

    def put(self, path: str, data: bytes) -> None:
        """Write ``data``, whole or not at all."""
        try:
            self._obstore.put(self._store, path, data)
        except self._errors as error:
            raise self._refused(f"{path} cannot be written", error) from None

    def copy(self, source: str | None, path: str) -> bool:
        """Copy what lies at ``source``, without sending it again; returns whether anything lay there."""
        if source is None:
            return False
        if self._folder is not None:  # obstore copies by hard links, which not every file system has
            data = self.read(source)
            if data is not None:
                self.put(path, data)
            return data is not None
        try:
            self._obstore.copy(self._store, source, path)
        except FileNotFoundError:
            return False
        except self._errors as error:
            raise self._refused(f"{path} cannot be written", error) from None
        return True

    def delete(self, paths: Sequence[str]) -> None:
        """Remove what lies at ``paths``."""
        for path in paths:
            try:
                self._obstore.delete(self._store, path)
            except FileNotFoundError:
                continue
            except self._errors as error:
                raise self._refused(f"{path} cannot be removed", error) from None

    def link(self, path: str, goal: str) -> bool:
        """Let ``path`` be a link to ``goal`` beside it, replaced at once; returns whether this place has links."""
        if self._folder is None:
            return False
        link, fresh = self._folder / path, self._folder / f".{path}.{os.getpid()}"
        if link.is_dir() and not link.is_symlink():
            return False
        try:
            fresh.unlink(missing_ok=True)
            fresh.symlink_to(goal)
            fresh.replace(link)
        except OSError:  # a file system without links
            return False
        return True

    def put_new(self, path: str, data: bytes) -> bool:
        """Write ``data`` where nothing lies; returns whether it did."""
        try:
            self._obstore.put(self._store, path, data, mode="create")
        except self._obstore.exceptions.AlreadyExistsError:
            return False
        except self._errors as error:
            raise self._refused(f"{path} cannot be written", error) from None
        return True

    def swap(self, path: str, before: bytes | None, tag: Any, data: bytes) -> bool:
        """Replace what was read, ``before`` with its ``tag``, and nothing written since; returns whether it did."""
        if before is None:
            return self.put_new(path, data)
        if self._folder is not None:  # file systems know no conditional write; a lock among publishers stands for it
            with FileLock(self._folder / ".publish.lock", timeout=60):
                if self.read(path) != before:
                    return False
                write_atomically(self._folder / path, data)
                return True
        try:
            self._obstore.put(self._store, path, data, mode=tag)
        except self._obstore.exceptions.PreconditionError:
            return False
        except self._errors as error:
            raise self._refused(f"{path} cannot be written", error) from None
        return True

    def _refused(self, what: str, error: Exception) -> TargetRefused:
        cause = str(error).strip().splitlines()
        return TargetRefused(f"{self.target}: {what}: {cause[0][:300] if cause else type(error).__name__}")


def _refuse_damaged(folder: Path) -> None:
    from pipeline.versions.verify import verify

    report = verify(folder)
    if not report.ok:
        first = report.problems[0]
        raise SourceError(f"{folder} is not as it was published: {first.file}: {first.what}; nothing was sent")


def _refuse_outputs(store: ObjectStore) -> None:
    """Refuse a folder of outputs or a version's own folder: the pointer there speaks of what lies there."""
    is_target = store.size(TIER) is not None
    if store.size(NAME) is not None or (store.size(LATEST) is not None and not is_target):
        raise TargetRefused(f"{store.target} holds versions that were not published there: {_ELSEWHERE}")
    for own in ("archive/index.json", "state.json"):
        if store.size(own) is not None:
            raise TargetRefused(f"{store.target} is a folder of outputs, it has {own}: {_ELSEWHERE}")
    for folder in store.folders_around():
        if (folder / "archive" / "index.json").exists():
            raise TargetRefused(f"{store.target} lies in {folder}, a folder of outputs: {_ELSEWHERE}")


def _claim(store: ObjectStore, path: str, data: bytes, manifest: dict[str, Any]) -> bytes:
    """Write the manifest where none lies; returns the one that stands there, which has the same content.

    Raises ``VersionExists`` where another version of that number lies.
    """
    if store.put_new(path, data):
        return data
    theirs, tag = store.read_tagged(path)
    if theirs == data:
        return data
    try:
        content = load_manifest(theirs or b"", f"{store.target}/{path}")["content"]
    except ManifestDamaged:  # it claims nothing; ours takes its place unless another publisher was faster
        if store.swap(path, theirs, tag, data):
            return data
        return _claim(store, path, data, manifest)
    if theirs is None or content != manifest["content"]:
        raise VersionExists(
            f"{store.target} has another {manifest['build']['version']}; publish from the outputs that made that one,"
            " or elsewhere"
        )
    return theirs


def _is_whole(store: ObjectStore, path: str, entry: dict[str, Any]) -> bool:
    """Whether what lies at ``path`` is the file that the manifest's ``entry`` describes, by its hash."""
    if store.size(path) != entry["bytes"]:
        return False
    return hashlib.sha256(store.read(path) or b"").hexdigest() == entry["sha256"]


def _earlier_files(store: ObjectStore, pointer: dict[str, Any] | None) -> dict[str, str]:
    """Where the files of the version that was the newest lie, by their sha256."""
    held = store.read(f"{pointer['path']}/{NAME}") if pointer is not None else None
    if pointer is None or held is None:
        return {}
    try:
        entries = file_entries(load_manifest(held, f"{store.target}/{pointer['path']}"))
    except SourceError:  # then everything is sent
        return {}
    return {entry["sha256"]: f"{pointer['path']}/{name}" for name, entry in entries.items()}


def _put_latest(store: ObjectStore, base: str, data: bytes) -> None:
    """Let ``latest/`` be the version at ``base``, whose manifest is ``data``: by a link, else file by file.

    Its manifest goes first and comes back last: where it lies, the files beside it are its own.
    """
    if store.link(LATEST_FOLDER, base):
        return
    names = file_entries(load_manifest(data, f"{store.target}/{base}"))
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
    store.put_new(TIER, json_bytes({"tier": tier}))
    held = _parsed(store, TIER, store.read(TIER) or b"").get("tier")
    if held != tier:
        raise TargetRefused(f"{store.target} is for the tier {held!r}; give the tier {tier!r} a target of its own")


def _move_pointer(store: ObjectStore, version: str, wanted: bytes, seen: bytes | None, tag: dict[str, Any]) -> bool:
    """Let ``latest.json`` name this version, unless it does or names a newer one; returns whether it was moved."""
    for _ in range(_POINTER_TRIES):
        if seen == wanted:
            return False
        if seen is not None and _is_newer(_parsed(store, LATEST, seen), version):
            raise VersionExists(f"{store.target} got a newer version meanwhile; {version} lies there beside it")
        if store.swap(LATEST, seen, tag, wanted):
            return True
        seen, tag = store.read_tagged(LATEST)
    raise TargetRefused(f"{store.target}: {LATEST} is moved by others all the time; publish again later")


def _pointer(version: str, data: bytes) -> bytes:
    base = f"versions/{version}"
    return json_bytes(
        {
            "version": version,
            "path": base,
            "manifest_sha256": hashlib.sha256(data).hexdigest(),
            "tables": {table: f"{base}/{name}" for table, name in tables_of(load_manifest(data, base)).items()},
        }
    )


def _parsed(store: ObjectStore, path: str, data: bytes) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = json.loads(data)
        if path == LATEST:
            version_key(parsed["version"])
            assert re.fullmatch(r"versions/\d{4}\.\d{2}\.\d+", parsed["path"])
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError):
        raise TargetRefused(f"{store.target}: {path} is not what hcpcs writes there") from None
    return parsed


def _is_newer(pointer: dict[str, Any], version: str) -> bool:
    return version_key(pointer["version"]) > version_key(version)
