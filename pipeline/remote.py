"""``hcpcs publish``: a version in object storage, or in a folder that others read; and the reading of one for `verify`.

Data first, then the manifest, then the pointer by a conditional write: whoever reads ``latest.json`` finds a whole
version, and of two publishers neither overwrites what the other did. Files lie under the hash of their bytes, so what
did not change is stored once, and a publishing that was killed goes on where it stopped.

    <target>/latest.json                     version, path, sha256 of the manifest, address of every table
    <target>/tier.json                       the one tier that this target takes
    <target>/versions/<version>/manifest.json
    <target>/objects/<sha256>/<file name>
"""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from filelock import FileLock

from pipeline.manifest import NAME, ManifestDamaged, file_entries, json_bytes, load_manifest, tables_of
from pipeline.publish_state import version_key
from sources.errors import SourceError
from sources.files import write_atomically

LATEST = "latest.json"
TIER = "tier.json"

Tell = Callable[[str], None]

#: So often is the pointer tried again when other publishers move it at the same time.
_POINTER_TRIES = 5
_VERSION_URL = re.compile(r"(.*?)/versions/(\d{4}\.\d{2}\.\d+)/?$")


class TargetRefused(SourceError):
    """A target cannot be written to or read: no rights, no space, no such bucket, or of another tier."""


class VersionExists(SourceError):
    """The target has other content under the same version, or a newer version."""


@dataclass(frozen=True, slots=True)
class PublishedRemotely:
    """What publishing did: the version, files sent and files that lay there, whether the pointer moved."""

    target: str
    version: str
    sent: int
    held: int
    is_new: bool


def publish_to(folder: Path, target: str, *, tell: Tell = lambda text: None) -> PublishedRemotely:
    """Publish the version in ``folder`` to ``target``: a URL (``s3://``, ``gs://``, ``az://``) or a folder's path.

    Nothing is sent unless the version verifies. Credentials and endpoints are found as the object store's own tools
    find them. Raises ``VersionExists``, ``TargetRefused``, or ``SourceError`` for a version that does not verify.
    """
    _refuse_damaged(folder)
    data = (folder / NAME).read_bytes()
    manifest = load_manifest(data, str(folder))
    version: str = manifest["build"]["version"]
    place = Place(target)
    _keep_tiers_apart(place, manifest["content"]["tier"])
    pointer, tag = place.read_tagged(LATEST)
    if pointer is not None and _is_newer(_parsed(place, LATEST, pointer), version):
        newer = _parsed(place, LATEST, pointer)["version"]
        raise VersionExists(f"{target} has {newer}, which is newer than {version}; nothing was sent")
    entries = file_entries(manifest)
    sent = 0
    for number, (name, entry) in enumerate(sorted(entries.items()), 1):
        tell(f"sending {name} ({number} of {len(entries)})")
        path = object_path(name, entry)
        if place.size(path) != entry["bytes"]:
            place.put(path, (folder / name).read_bytes())
            sent += 1
    tell("sending the manifest")
    path = f"versions/{version}/{NAME}"
    if not place.put_new(path, data):
        theirs = place.read(path)
        if theirs != data:
            if load_manifest(theirs or b"", f"{target}/{path}")["content"] != manifest["content"]:
                raise VersionExists(
                    f"{target} has another {version}; publish from the outputs that made that one, or elsewhere"
                )
            # The same content, built at another time or place: what lies there stands.
            data = theirs or data
            manifest = load_manifest(data, path)
    moved = _move_pointer(place, version, _pointer(version, data, manifest), pointer, tag)
    return PublishedRemotely(target, version, sent, len(entries) - sent, moved)


@contextmanager
def fetched_version(url: str) -> Iterator[tuple[Path, list[tuple[str, str]]]]:
    """A copy of the version at ``url`` in a temporary folder, and what lies there that does not belong to it.

    ``url`` is a target of ``publish_to``, one of its versions, or a version's folder as such. A missing file is
    missing in the copy too. Raises ``SourceError`` where there is no version.
    """
    found = _VERSION_URL.match(url)
    place = Place(found[1] if found else url)
    problems: list[tuple[str, str]] = []
    base = f"versions/{found[2]}/" if found else ""
    if not found:
        pointer = place.read(LATEST)
        if pointer is not None:
            stated = _parsed(place, LATEST, pointer)
            base = f"{stated['path']}/"
            held = place.read(base + NAME)
            if held is not None and hashlib.sha256(held).hexdigest() != stated.get("manifest_sha256"):
                problems.append((LATEST, "names another manifest than the one that lies there"))
    data = place.read(base + NAME)
    if data is None:
        raise SourceError(f"{url} is not a version: it holds no {NAME}")
    with tempfile.TemporaryDirectory(prefix="hcpcs-verify-") as scratch:
        folder = Path(scratch)
        (folder / NAME).write_bytes(data)
        try:
            entries = file_entries(load_manifest(data, url))
        except ManifestDamaged:
            entries = {}  # for whoever reads the copy to report
        for name, entry in entries.items():
            content = place.read(object_path(name, entry))
            if content is None:
                content = place.read(base + name)
            if content is not None:
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
        if base and entries:
            extra = [p.removeprefix(base) for p in place.list(base)]
            what = "is not of this version: the manifest does not name it"
            problems += [(name, what) for name in extra if name not in {NAME, *entries}]
        yield folder, problems


def object_path(name: str, entry: dict[str, Any]) -> str:
    """Where a target keeps a file: under the hash of its bytes, with its name so that readers know what it is."""
    return f"objects/{entry['sha256']}/{name.rsplit('/', 1)[-1]}"


class Place:
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
        try:
            if "://" not in target or target.startswith("file://"):
                self._folder = Path(target.removeprefix("file://")).resolve()
                self._store: Any = LocalStore(self._folder, mkdir=True)
            else:
                retries = {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}
                self._store = from_url(target, retry_config=retries)  # type: ignore[call-overload]
        except (BaseError, OSError, ValueError) as error:
            raise self._refused("cannot be opened", error) from None

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
        """Paths below ``prefix``; none where the place cannot list, as a plain web server."""
        try:
            return [entry["path"] for batch in self._obstore.list(self._store, prefix) for entry in batch]
        except (*self._errors, NotImplementedError):
            return []

    def put(self, path: str, data: bytes) -> None:
        """Write ``data``, whole or not at all."""
        try:
            self._obstore.put(self._store, path, data)
        except self._errors as error:
            raise self._refused(f"{path} cannot be written", error) from None

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
    from pipeline.verify import verify

    report = verify(folder)
    if not report.ok:
        first = report.problems[0]
        raise SourceError(f"{folder} is not as it was published: {first.file}: {first.what}; nothing was sent")


def _keep_tiers_apart(place: Place, tier: str) -> None:
    place.put_new(TIER, json_bytes({"tier": tier}))
    held = _parsed(place, TIER, place.read(TIER) or b"").get("tier")
    if held != tier:
        raise TargetRefused(f"{place.target} is for the tier {held!r}; give the tier {tier!r} a target of its own")


def _move_pointer(place: Place, version: str, wanted: bytes, seen: bytes | None, tag: dict[str, Any]) -> bool:
    """Let ``latest.json`` name this version, unless it does or names a newer one; returns whether it was moved."""
    for _ in range(_POINTER_TRIES):
        if seen == wanted:
            return False
        if seen is not None and _is_newer(_parsed(place, LATEST, seen), version):
            raise VersionExists(f"{place.target} got a newer version meanwhile; {version} lies there beside it")
        if place.swap(LATEST, seen, tag, wanted):
            return True
        seen, tag = place.read_tagged(LATEST)
    raise TargetRefused(f"{place.target}: {LATEST} is moved by others all the time; publish again later")


def _pointer(version: str, data: bytes, manifest: dict[str, Any]) -> bytes:
    entries = file_entries(manifest)
    return json_bytes(
        {
            "version": version,
            "path": f"versions/{version}",
            "manifest_sha256": hashlib.sha256(data).hexdigest(),
            "tables": {table: object_path(name, entries[name]) for table, name in tables_of(manifest).items()},
        }
    )


def _parsed(place: Place, path: str, data: bytes) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = json.loads(data)
        if path == LATEST:
            version_key(parsed["version"])
            assert re.fullmatch(r"versions/\d{4}\.\d{2}\.\d+", parsed["path"])
    except (ValueError, KeyError, TypeError, AttributeError, AssertionError):
        raise TargetRefused(f"{place.target}: {path} is not what hcpcs writes there") from None
    return parsed


def _is_newer(pointer: dict[str, Any], version: str) -> bool:
    return version_key(pointer["version"]) > version_key(version)
