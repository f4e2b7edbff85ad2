"""An .xls as Excel 97 to 2003 wrote it: one sheet of text and numbers, in a compound file. Nothing here is read back.

CMS's releases were such workbooks until 2012. Layout: [MS-CFB] version 3, [MS-XLS] BIFF8, as small as readers take it.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence

_SECTOR = 512
_FREE, _END, _FAT = 0xFFFFFFFF, 0xFFFFFFFE, 0xFFFFFFFD
#: Shorter streams would stand in the file's mini stream.
_SHORTEST_STREAM = 4096
#: Strings that the workbook shares, as many as fit into one record; the others stand in their cells.
_MOST_SHARED_BYTES = 8000

Cell = str | float | None


def old_workbook(rows: Sequence[Sequence[Cell]], *, name: str = "Sample") -> bytes:
    """Write a workbook of one sheet with these cells."""
    return _compound_file(_workbook_stream(rows, name))


def _record(number: int, data: bytes = b"") -> bytes:
    return struct.pack("<HH", number, len(data)) + data


def _workbook_stream(rows: Sequence[Sequence[Cell]], name: str) -> bytes:
    shared: dict[str, int] = {}
    strings = b""
    for text in (cell for row in rows for cell in row if isinstance(cell, str)):
        compressed = struct.pack("<HB", len(text), 1) + text.encode("utf-16-le")
        if text not in shared and len(strings) + len(compressed) < _MOST_SHARED_BYTES:
            shared[text] = len(shared)
            strings += compressed
    cells = b""
    count = 0
    for r, row in enumerate(rows):
        for c, cell in enumerate(row):
            place = struct.pack("<HHH", r, c, 0)
            if isinstance(cell, float):
                cells += _record(0x0203, place + struct.pack("<d", cell))
            elif isinstance(cell, str) and cell in shared:
                cells += _record(0x00FD, place + struct.pack("<I", shared[cell]))
                count += 1
            elif isinstance(cell, str):
                cells += _record(0x0204, place + struct.pack("<HB", len(cell), 1) + cell.encode("utf-16-le"))
    size = struct.pack("<IIHHH", 0, len(rows), 0, max(map(len, rows), default=0), 0)
    sheet = _beginning(0x0010) + _record(0x0200, size) + cells + _record(0x000A)
    before = _beginning(0x0005) + _record(0x0042, struct.pack("<H", 1200))
    after = _record(0x00FC, struct.pack("<II", count, len(shared)) + strings) + _record(0x000A)
    title = struct.pack("<BB", len(name), 0) + name.encode("latin-1")
    start = len(before) + 4 + 6 + len(title) + len(after)
    return before + _record(0x0085, struct.pack("<IBB", start, 0, 0) + title) + after + sheet


def _beginning(kind: int) -> bytes:
    return _record(0x0809, struct.pack("<HHHHII", 0x0600, kind, 0x0DBB, 0x07CC, 0, 6))


def _compound_file(stream: bytes) -> bytes:
    stream = stream.ljust(max(_SHORTEST_STREAM, -(-len(stream) // _SECTOR) * _SECTOR), b"\0")
    length = len(stream) // _SECTOR
    fats = 1
    while fats * _SECTOR // 4 < fats + 1 + length:
        fats += 1
    chain = [_FAT] * fats + [_END] + [fats + 2 + n for n in range(length - 1)] + [_END]
    chain += [_FREE] * (fats * _SECTOR // 4 - len(chain))
    header = bytes.fromhex("d0cf11e0a1b11ae1") + bytes(16) + struct.pack("<HHHHH", 0x3E, 3, 0xFFFE, 9, 6) + bytes(6)
    header += struct.pack("<IIIIIIIII", 0, fats, fats, 0, _SHORTEST_STREAM, _END, 0, _END, 0)
    header += struct.pack("<109I", *range(fats), *[_FREE] * (109 - fats))
    entries = _entry("Root Entry", 5, child=1) + _entry("Workbook", 2, start=fats + 1, size=len(stream)) + _entry() * 2
    return header + struct.pack(f"<{len(chain)}I", *chain) + entries + stream


def _entry(name: str = "", kind: int = 0, *, child: int = _FREE, start: int = _END, size: int = 0) -> bytes:
    text = (name + "\0").encode("utf-16-le") if name else b""
    links = struct.pack("<HBBIII", len(text), kind, 1, _FREE, _FREE, child)
    return text.ljust(64, b"\0") + links + bytes(36) + struct.pack("<IQ", start if kind == 2 else _END, size)
