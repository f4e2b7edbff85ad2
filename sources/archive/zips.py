"""Opening a zip that is from outside: its members' bytes, or a clear refusal. Nothing is written to disk here."""

from __future__ import annotations

import hashlib
import io
import lzma
import re
import struct
import zipfile
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from hcpcs.errors import in_one_line
from sources.errors import ZipRefused

#: Bounds against bombs. CMS's largest member is 5 MB, its best compressed text 30 to 1.
MOST_MEMBERS = 200
MOST_MEMBER_BYTES = 200 * 1024**2
MOST_TOTAL_BYTES = 500 * 1024**2
MOST_RATIO = 200
#: Below this size no ratio matters.
_SMALL = 1024**2

_ENCRYPTED = 0x1
#: Names are longer in no file system.
_LONGEST_NAME = 255
#: What Python raises for bytes that are no zip, or one with numbers in its headers that cannot be.
_NOT_READABLE = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error, EOFError),
    *(ArithmeticError, LookupError, RuntimeError, ValueError, OSError),
)


@dataclass(frozen=True, slots=True)
class ZipMember:
    """A file in a zip; ``date`` is the entry's YYYY-MM-DD, or None where the packer left 1980."""

    name: str
    data: bytes
    sha256: str
    date: str | None


def read_zip(path: Path, *, only: str | None = None) -> list[ZipMember]:
    """Read every file of the zip at ``path``, sorted by name; or ``only`` the one of that name.

    Raises ``ZipRefused``, naming the file and its first bytes or the member, for what is not a whole, plain,
    bounded zip.
    """
    with path.open("rb") as file:
        try:
            archive = zipfile.ZipFile(file)
        except _NOT_READABLE as error:
            raise ZipRefused(_not_a_zip(path, error)) from None
        entries = _files(archive)
        _check_bounds(path.name, entries)
        members = [_read_member(path, archive, entry) for entry in entries if only in (None, entry.filename)]
    for member in members:
        _check_inner_zip(f"{path.name}: {member.name}", member.data)
    return sorted(members, key=lambda m: m.name)


def _check_inner_zip(name: str, data: bytes) -> None:
    """Hold a workbook, which is a zip itself, to the same bounds before anyone unpacks it."""
    if not data.startswith(b"PK"):
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = _files(archive)
    except _NOT_READABLE:
        return  # whoever reads the member says what is wrong with it
    if entries:
        _check_bounds(name, entries)


def zip_of_files(files: Mapping[str, bytes]) -> bytes:
    """A zip of these files whose bytes follow from names and contents alone: sorted, stored, dated 1980."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name)
            entry.create_system = 0  # else it states which system compressed it
            archive.writestr(entry, files[name])
    return buffer.getvalue()


def is_junk(name: str) -> bool:
    """Whether a path is what a Mac or Windows adds to a folder or zip for itself."""
    parts = PurePosixPath(name.replace("\\", "/")).parts
    last = parts[-1] if parts else ""
    return "__MACOSX" in parts or last.startswith("._") or last in (".DS_Store", "Icon\r", "Thumbs.db", "desktop.ini")


def is_safe_name(name: str) -> bool:
    """Whether a member's path is plain text that stays inside the folder it would be unpacked to."""
    path = PurePosixPath(name.replace("\\", "/"))
    climbs = path.is_absolute() or ".." in path.parts or re.match(r"^[A-Za-z]:", name) is not None
    return not climbs and name.isprintable() and 0 < len(name) <= _LONGEST_NAME


def _check_bounds(name: str, entries: list[zipfile.ZipInfo]) -> None:
    if not entries:
        raise ZipRefused(f"{name}: the zip is empty")
    if len(entries) > MOST_MEMBERS:
        raise ZipRefused(f"{name}: {len(entries)} members, more than {MOST_MEMBERS}")
    total = 0
    seen: set[str] = set()
    for entry in entries:
        if not is_safe_name(entry.filename):
            raise ZipRefused(
                f"{name}: the member path {_quoted(entry.filename)} climbs out of the zip or is no plain name"
            )
        if entry.flag_bits & _ENCRYPTED:
            raise ZipRefused(f"{name}: the member {entry.filename} is encrypted")
        if entry.filename in seen:
            raise ZipRefused(f"{name}: two members are named {entry.filename}")
        seen.add(entry.filename)
        total += entry.file_size
        if entry.file_size > MOST_MEMBER_BYTES or total > MOST_TOTAL_BYTES:
            raise ZipRefused(
                f"{name}: the member {entry.filename} would unpack to {entry.file_size:,} bytes, past the bound of"
                f" {MOST_MEMBER_BYTES:,} a member and {MOST_TOTAL_BYTES:,} in all"
            )
        ratio = entry.file_size / max(1, entry.compress_size)
        if entry.file_size > _SMALL and ratio > MOST_RATIO:
            raise ZipRefused(
                f"{name}: the member {entry.filename} would unpack to {ratio:,.0f} times its size, past the bound"
                f" of {MOST_RATIO}"
            )


def _read_member(path: Path, archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> ZipMember:
    try:
        with archive.open(entry) as stream:
            # One byte more than declared: a header that lies about the size is found before memory is full.
            data = stream.read(entry.file_size + 1)
    except _NOT_READABLE as error:
        raise ZipRefused(f"{path.name}: the member {entry.filename} is damaged: {in_one_line(error)}") from None
    if len(data) != entry.file_size:
        raise ZipRefused(
            f"{path.name}: the member {entry.filename} holds {len(data):,} bytes, its header says {entry.file_size:,}"
        )
    year, month, day = entry.date_time[:3]
    stamp = f"{year:04d}-{month:02d}-{day:02d}" if year > 1980 else None
    return ZipMember(entry.filename, data, hashlib.sha256(data).hexdigest(), stamp)


def _files(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The entries that are files of the packer's; Python's own test for folders fails on a name that is empty."""
    return [e for e in archive.infolist() if not e.filename.endswith("/") and not is_junk(e.filename)]


def _quoted(name: str) -> str:
    """A name that may be anything, as one line that can be printed."""
    return ascii(name if len(name) <= 80 else name[:79] + "…")


def _not_a_zip(path: Path, error: Exception) -> str:
    with path.open("rb") as file:
        head = file.read(2048)
    if not head:
        return f"{path.name}: the file is empty"
    text = head.decode("latin-1")
    if re.search(r"<(!doctype html|html|head|title)", text, re.IGNORECASE):
        title = re.search(r"<title[^>]*>\s*(.*?)\s*</title>", text, re.IGNORECASE | re.DOTALL)
        return f"{path.name}: an HTML page, not a zip" + (f", titled {title[1][:80]!r}" if title else "")
    if head.startswith(b"PK"):
        return f"{path.name}: the zip is cut or damaged: {in_one_line(error)}"
    return f"{path.name}: not a zip; it begins with {head[:16]!r}"
