"""Fetching a published version from a URL: object storage, or a plain web server. Nothing here writes there."""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

from hcpcs.errors import HcpcsError, in_one_line
from hcpcs.manifest import NAME, Manifest, VersionFile
from hcpcs.version_files import LatestPointer, NothingPublished

_LATEST = "latest.json"
_AT_ONCE = 8


def open_store(url: str) -> Any:
    """The object store, or web server, at a URL; raises what obstore raises, ``ImportError`` without it."""
    from obstore.store import from_url

    options: dict[str, Any] = {"retry_config": {"max_retries": 3, "retry_timeout": timedelta(seconds=60)}}
    if url.startswith(("http://", "https://")):
        options["client_options"] = {"allow_http": True}
    return from_url(url, **options)


def fetch_version(url: str, folder: Path) -> Path:
    """Fetch the version at ``url`` (a version, or a target of `hcpcs publish`, whose newest it is) into ``folder``.

    Credentials and endpoints are found as the object store's own tools find them. Raises ``NothingPublished`` where
    there is no version, ``HcpcsError`` where it cannot be read or a file is not what the manifest states.
    """
    try:
        import obstore
        from obstore.exceptions import BaseError
    except ImportError:
        raise HcpcsError("obstore is not installed; `pip install 'hcpcs[remote]'` brings it") from None

    def read(path: str) -> bytes | None:
        try:
            return bytes(obstore.get(store, path).bytes())
        except FileNotFoundError:
            return None
        except (BaseError, OSError) as error:
            raise HcpcsError(f"{url}: {path} cannot be read: {in_one_line(error)}") from None

    try:
        store = open_store(url)
    except (BaseError, OSError, ValueError) as error:
        raise HcpcsError(f"{url} cannot be opened: {in_one_line(error)}") from None
    base = ""
    data = read(NAME)
    if data is None and (pointer := read(_LATEST)) is not None:
        base = LatestPointer.from_json(pointer, f"{url}/{_LATEST}").path + "/"
        data = read(base + NAME)
    if data is None:
        raise NothingPublished(f"{url} has no version: neither {NAME} nor a {_LATEST} that names one")

    def fetch(item: tuple[str, VersionFile]) -> None:
        name, entry = item
        content = read(base + name)
        if content is None or hashlib.sha256(content).hexdigest() != entry.sha256:
            what = "is missing" if content is None else "is not what the manifest states"
            raise HcpcsError(f"{url}: {base}{name} {what}; `hcpcs verify {url}` lists all damage")
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)

    manifest = Manifest.from_json(data, url)
    (folder / NAME).write_bytes(data)
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        list(pool.map(fetch, manifest.files.items()))
    return folder
