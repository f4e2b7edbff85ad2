"""A gzip file inflated by ISA-L, the extra ``gzip``: half of the work that Arrow's own zlib makes of it."""

from __future__ import annotations

import pyarrow as pa
import pyarrow.fs
from isal import isal_zlib

#: A stream with the header of gzip, as zlib counts them.
_GZIP = 31
_READ = 128 << 10


class GzipText:
    """The bytes of a gzip file, read forward.

    What ISA-L does not inflate is left to Arrow, so that each file is read, or refused, as without the extra.
    """

    def __init__(self, filesystem: pyarrow.fs.FileSystem, path: str) -> None:
        self._filesystem, self._path = filesystem, path
        self._packed = filesystem.open_input_stream(path, compression=None)
        self._member = isal_zlib.decompressobj(_GZIP)
        self._by_arrow: pa.NativeFile | None = None
        self._given = 0

    def __enter__(self) -> GzipText:
        return self

    def __exit__(self, *_: object) -> None:
        self._packed.close()
        if self._by_arrow is not None:
            self._by_arrow.close()

    def read(self, count: int) -> bytes:
        """The next ``count`` bytes, fewer only at the end; raises what Arrow raises for a damaged file."""
        data: bytes
        try:
            data = self._inflated(count) if self._by_arrow is None else self._by_arrow.read(count)
        except (isal_zlib.error, EOFError):  # type: ignore[misc]  # isal's stub has an instance for the class
            self._by_arrow = self._filesystem.open_input_stream(self._path, compression="gzip")
            left = self._given
            while left and (again := self._by_arrow.read(min(left, _READ))):
                left -= len(again)
            data = self._by_arrow.read(count)
        self._given += len(data)
        return data

    def _inflated(self, count: int) -> bytes:
        pieces = []
        while count and (piece := self._piece(count)):
            pieces.append(piece)
            count -= len(piece)
        return b"".join(pieces)

    def _piece(self, most: int) -> bytes:
        """Some bytes, at most so many; none where the file ends with a member."""
        while True:
            ends = self._member.eof
            packed = (self._member.unused_data if ends else self._member.unconsumed_tail) or self._packed.read(_READ)
            if not packed and ends:
                return b""
            if not packed:
                raise EOFError
            if ends:
                self._member = isal_zlib.decompressobj(_GZIP)
            if piece := self._member.decompress(packed, most):
                return piece
