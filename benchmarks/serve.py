"""How many lookups a second `hcpcs serve` answers on loopback: every code once on a day of its own, then again.

    .venv/bin/python benchmarks/serve.py [FOLDER OF OUTPUTS]

The server is the installed command in a process of its own; the clients are 8 connections of this process, kept open.
"""

from __future__ import annotations

import asyncio
import os
import random
import re
import subprocess
import sys
import time
from pathlib import Path
from urllib.parse import urlsplit

import pyarrow.parquet

CONNECTIONS = 8
LOOKUPS = 9_000


async def connection(port: int, paths: list[str]) -> None:
    """Ask for the paths one after the other, and require an answer to each."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for path in paths:
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        head = await reader.readuntil(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 200"), (path, head)
        length = re.search(rb"content-length: (\d+)", head.lower())
        assert length is not None
        await reader.readexactly(int(length[1]))
    writer.close()


async def all_lookups(port: int, paths: list[str]) -> float:
    """Seconds for all paths over ``CONNECTIONS``."""
    started = time.perf_counter()
    await asyncio.gather(*(connection(port, paths[n::CONNECTIONS]) for n in range(CONNECTIONS)))
    return time.perf_counter() - started


def processor_seconds(status: Path) -> float:
    """Processor time of a process so far; on a machine that others use, this alone says what it needs."""
    fields = status.read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def main() -> None:
    """Start the server, ask, print."""
    outputs = Path(sys.argv[1] if len(sys.argv) > 1 else "outputs").resolve()
    table = pyarrow.parquet.read_table(outputs / "latest" / "open" / "hcpcs_codes.parquet", columns=["code"])
    chance = random.Random(20)
    codes = sorted(set(table["code"].to_pylist()))
    chance.shuffle(codes)
    codes = codes[:LOOKUPS]
    paths = [
        f"/codes/{c}?on={chance.randint(2012, 2025)}-{chance.randint(1, 12):02}-{chance.randint(1, 28):02}"
        for c in codes
    ]
    command = [Path(sys.executable).parent / "hcpcs", "serve", "--port", "0", "--outputs", outputs]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        port = next(urlsplit(f[1]).port for line in process.stderr if (f := re.search(r"on (http://\S+)", line)))
        assert port is not None
        status = Path(f"/proc/{process.pid}/stat")
        for name, some in (("first", paths), ("again", paths)):
            before = processor_seconds(status)
            seconds = asyncio.run(all_lookups(port, some))
            busy = processor_seconds(status) - before
            print(
                f"{name}: {len(some):,} lookups in {seconds:.2f} s, {len(some) / seconds:,.0f} a second;"
                f" {len(some) / busy:,.0f} for each second of the server's processor time"
            )
        process.terminate()


if __name__ == "__main__":
    main()
