"""A target's files: object storage by its URL, or a folder. What lies there means nothing here."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from filelock import FileLock

from hcpcs.files import write_atomically
from hcpcs.remote import open_store
from sources.errors import SourceError


class TargetRefused(SourceError):
    """A target cannot be written to or read: no rights, no space, no such bucket, or of another tier."""


class ObjectStore:
    """A target: object storage by its URL, or a folder. All paths are relative to it, with slashes."""

    def __init__(self, target: str) -> None:
        try:
            import obstore
            from obstore.exceptions import BaseError
            from obstore.store import LocalStore
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
                self._store = open_store(target)
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
                for killed in self._folder.glob(f".{path}.*.part"):
                    killed.unlink()
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
