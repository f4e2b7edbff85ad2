"""Workbooks as sheets of text cells, read in a process of its own, which is bounded in memory and time.

What the cells mean is not decided here.
"""

from __future__ import annotations

import atexit
import hashlib
import json
import os
import subprocess
import sys
from contextlib import suppress
from multiprocessing.connection import Connection
from pathlib import Path

import polars as pl

from hcpcs.errors import in_one_line, present
from sources.errors import MemberError

#: Bounds against damaged and crafted workbooks. CMS's largest has 450,000 cells and takes 0.2 s and 160 MB.
MOST_CELLS = 5_000_000
MOST_MEMORY = 2 * 1024**3  # of address space; libraries reserve 1.4 GB of them at once
MOST_SECONDS = 60

#: Bytes of answers, compressed, that are kept for who asks again; a hundred releases have 110 million.
MOST_KEPT = 256 * 1024**2


def read_sheets(member: str, data: bytes) -> list[tuple[str, pl.DataFrame]]:
    """The sheets of a workbook, old or new, in order: name and cells, all as text, no row taken as header.

    Raises ``MemberError`` where it cannot be read, or not within the bounds.
    """
    sha256 = hashlib.sha256(data).digest()
    answer = _kept.get(sha256)
    if answer is None:
        try:
            answer = _ask(data)
        except _ReaderGone as gone:
            raise MemberError(f"{member} cannot be read as a workbook: {gone}") from None
        if sum(len(part) for kept in [*_kept.values(), answer] for part in kept) <= MOST_KEPT:
            _kept[sha256] = answer
    stated = json.loads(answer[0])
    if "error" in stated:
        raise MemberError(f"{member} cannot be read as a workbook: {in_one_line(ValueError(stated['error']))}")
    return [(name, pl.read_ipc_stream(frame)) for name, frame in zip(stated["sheets"], answer[1:], strict=True)]


#: Answers by the workbook's hash. It is looked into when it is offered and read when its release is, minutes later.
_kept: dict[bytes, list[bytes]] = {}


def forget_sheets() -> None:
    """Keep no answers any more: all that were looked into are read."""
    _kept.clear()


class _ReaderGone(Exception):
    """The process ended, or was ended, before it answered; says why."""


class _Reader:
    """A process that reads one workbook after the other."""

    def __init__(self) -> None:
        script = Path(__file__).with_name("process.py")
        # -P: the modules beside the script have names that others have too.
        command = [sys.executable, "-P", str(script), str(MOST_MEMORY), str(MOST_CELLS)]
        # What the reader of workbooks says when it panics is in its answer too.
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        )
        stdin, stdout = present(self._process.stdin), present(self._process.stdout)
        self._requests = Connection(os.dup(stdin.fileno()), readable=False)
        self._answers = Connection(os.dup(stdout.fileno()), writable=False)
        stdin.close()
        stdout.close()
        self.pid_of_owner = os.getpid()

    def ask(self, request: bytes) -> list[bytes]:
        """The parts of the answer; raises ``_ReaderGone``, after which nothing more can be asked."""
        try:
            self._requests.send_bytes(request)
            answer = [self._next()]
            while len(answer) <= len(json.loads(answer[0]).get("sheets", ())):
                answer.append(self._next())
            return answer
        except TimeoutError:
            self.end()
            raise _ReaderGone(f"its reader had not ended after {MOST_SECONDS} s") from None
        except (EOFError, OSError):
            status = self.end()
            raise _ReaderGone(f"its reader ended with {_worded(status)}, having {MOST_MEMORY // 1024**2} MB") from None

    def _next(self) -> bytes:
        if not self._answers.poll(MOST_SECONDS):
            raise TimeoutError
        return self._answers.recv_bytes()

    def end(self) -> int:
        """End the process, if it has not ended by itself; returns its status."""
        self._requests.close()
        self._answers.close()
        try:
            return self._process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()


def _worded(status: int) -> str:
    return f"signal {-status}" if status < 0 else f"status {status}"


#: Readers that wait for work; as many as were ever busy at the same time.
_idle: list[_Reader] = []


def _ask(request: bytes) -> list[bytes]:
    reader = None
    while reader is None and _idle:
        with suppress(IndexError):  # another thread took it
            reader = _idle.pop()
        if reader is not None and reader.pid_of_owner != os.getpid():
            reader = None  # of the process that this one was forked from
    reader = reader or _Reader()
    answer = reader.ask(request)
    _idle.append(reader)
    return answer


@atexit.register
def _end_readers() -> None:
    while _idle:
        reader = _idle.pop()
        if reader.pid_of_owner == os.getpid():
            reader.end()
