"""What the code itself is, as a hash: what it derived before is made again when the code has changed."""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
_LIBRARIES = ("fastexcel", "pandera", "polars", "pyarrow", "rapidfuzz")


@cache
def libraries() -> bytes:
    """The versions of the libraries that decide bytes."""
    return json.dumps({name: version(name) for name in _LIBRARIES}).encode()


@cache
def code_fingerprint(*packages: str) -> str:
    """SHA-256 of the code and tables of ``packages`` and of the library versions that decide bytes."""
    digest = hashlib.sha256(libraries())
    for package in packages:
        for path in sorted((ROOT / package).rglob("*")):
            if path.is_file() and path.suffix in (".py", ".csv", ".json", ".toml"):
                digest.update(path.relative_to(ROOT).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()
