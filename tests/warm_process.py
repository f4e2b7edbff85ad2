"""Many command lines, each in a process of its own that is forked from one where Python has started already."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parent.parent

#: Forks a child for each line on its input: the child's files are its own, and it ends as the command does.
#: Nothing that keeps threads (polars, Dagster) is imported before the fork.
_SERVER = """
import json, os, sys
import pyarrow.compute, pyarrow.parquet
import hcpcs.cli.main, hcpcs.cli.query, hcpcs.lookup, hcpcs.version
answers = os.dup(1)
for line in sys.stdin:
    arguments, out, err = json.loads(line)
    child = os.fork()
    if child == 0:
        os.close(answers)
        for number, name, flags in ((0, os.devnull, os.O_RDONLY), (1, out, os.O_WRONLY), (2, err, os.O_WRONLY)):
            file = os.open(name, flags)
            os.dup2(file, number)
            os.close(file)
        sys.argv = ["hcpcs", *arguments]
        break
    _, status = os.waitpid(child, 0)
    os.write(answers, f"{os.waitstatus_to_exitcode(status)}\\n".encode())
else:
    sys.exit(0)
hcpcs.cli.main.main()
"""


@dataclass(frozen=True)
class Ended:
    """A command's exit status and what it wrote, as bytes."""

    returncode: int
    stdout: bytes
    stderr: bytes


class WarmProcess:
    """Runs ``hcpcs`` from the command line, as often as wanted."""

    def __init__(self, process: subprocess.Popen[bytes], scratch: Path) -> None:
        self._process = process
        self._files = scratch / "out", scratch / "err"

    def run(self, *arguments: object) -> Ended:
        """`hcpcs` with these arguments in a process of its own, in the repository's folder."""
        for file in self._files:
            file.write_bytes(b"")
        asked = [[os.fsdecode(a) if isinstance(a, bytes) else str(a) for a in arguments], *map(str, self._files)]
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(asked).encode() + b"\n")
        self._process.stdin.flush()
        status = int(self._process.stdout.readline())
        return Ended(status, *(file.read_bytes() for file in self._files))


@contextmanager
def warm_process() -> Iterator[WarmProcess]:
    """A process to fork commands from."""
    with tempfile.TemporaryDirectory() as scratch:
        command = [sys.executable, "-c", _SERVER]
        with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, cwd=REPOSITORY) as process:
            yield WarmProcess(process, Path(scratch))
            assert process.stdin is not None
            process.stdin.close()
