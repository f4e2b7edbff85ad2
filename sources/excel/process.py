"""The process that reads workbooks, started by ``sources.excel.reader``: their bytes come in, their sheets go out.

A damaged workbook can make its reader ask for all memory, end its process or never end. Here that harms no one. It
runs as a script with the most memory and the most cells as arguments; nothing imports it.
"""

from __future__ import annotations

import io
import json
import resource
import signal
import sys
from multiprocessing.connection import Connection
from typing import Any

# pyarrow does without numpy, whose import would take as long as reading a workbook.
sys.modules["numpy"] = None  # type: ignore[assignment]

import fastexcel  # noqa: E402
import pyarrow  # noqa: E402

#: A fifth of the bytes for 4 ms: they are kept for a while.
_COMPRESSED = pyarrow.ipc.IpcWriteOptions(compression="zstd")


def main() -> None:
    """Answer requests, which are the bytes of workbooks, until there are no more.

    An answer is JSON, ``{"error": …}`` or ``{"sheets": [names]}``, and then each sheet as an Arrow stream.
    """
    most_memory, most_cells = map(int, sys.argv[1:])
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    bound = most_memory if hard == resource.RLIM_INFINITY else min(hard, most_memory)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # whoever asks decides when to stop
    requests, answers = Connection(0, writable=False), Connection(1, readable=False)
    while True:
        try:
            requested = requests.recv_bytes()
        except EOFError:
            return
        names: list[str] = []
        frames: list[bytes] = []
        error = ""
        try:
            for name, frame in _sheets(requested, most_cells):
                names.append(name)
                frames.append(frame)
        except BaseException as caught:  # the reader's panics are no `Exception`
            error = (str(caught).splitlines() or [repr(caught)])[0]
        answers.send_bytes(json.dumps({"error": error} if error else {"sheets": names}).encode())
        for frame in () if error else frames:
            answers.send_bytes(frame)


def _sheets(data: bytes, most_cells: int) -> Any:
    """Every sheet's name and cells, all as text, no row taken as header; what is no sheet of cells is left out."""
    workbook = fastexcel.read_excel(data)
    for position, name in enumerate(workbook.sheet_names):
        try:
            batch = workbook.load_sheet_eager(position, header_row=None, skip_rows=0, dtypes="string")
        except BaseException:
            if position == 0:
                raise
            continue
        if (cells := batch.num_columns * batch.num_rows) > most_cells:
            raise ValueError(f"the sheet {name!r} has {cells:,} cells, past the bound of {most_cells:,}")
        stream = io.BytesIO()
        with pyarrow.ipc.new_stream(stream, batch.schema, options=_COMPRESSED) as writer:
            writer.write_batch(batch)
        yield name, stream.getvalue()


if __name__ == "__main__":
    main()
