"""How a command's process ends: by Ctrl-C, by the system's word, or with nobody left to read what it prints."""

from __future__ import annotations

import atexit
import contextlib
import io
import logging
import os
import select
import signal
import sys
import threading
from collections.abc import Iterator
from typing import IO, Any

from hcpcs.errors import printable

#: How progress replaces itself on the terminal's line: the one control sequence that is printed.
CLEAR_LINE = "\r\x1b[K"
#: Seconds that an interrupted command has to clean up by itself.
_GRACE = 1.0
_SIGNALS = {s.value: s for s in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}


class Interrupted(BaseException):
    """A signal asks this process to end. No ``KeyboardInterrupt``, for which click prints an empty line."""


class Interrupts:
    """The signals that ask a command to end, of which the first one counts."""

    def __init__(self) -> None:
        self.first: signal.Signals | None = None
        self._ending = threading.Lock()

    @property
    def status(self) -> int:
        """The exit status of an interrupted command, as shells count it: 130 after Ctrl-C."""
        return 128 + (self.first or signal.SIGINT)

    def end(self) -> None:
        """End the process now, whatever its threads do, and leave no temporary folder."""
        if not self._ending.acquire(blocking=False):
            threading.Event().wait()  # another thread ends the process at this moment
        name = "interrupted" if self.first in (None, signal.SIGINT) else f"ended by {self.first.name}"
        with contextlib.suppress(OSError):
            os.write(2, f"hcpcs: {name}\n".encode())
        threading.Timer(_GRACE / 2, os._exit, [self.status]).start()
        with contextlib.suppress(BaseException):
            atexit._run_exitfuncs()  # removes what `tempfile` made; joins no thread, as an ordinary exit would
        os._exit(self.status)


@contextlib.contextmanager
def interrupts_end_the_process() -> Iterator[Interrupts]:
    """Let a first signal raise ``Interrupted``, and end the process if that, or a second one, is not heeded.

    A thread watches the signals themselves: Python's own handlers wait while native code runs, and Dagster replaces
    them while its runs go on.
    """
    interrupts = Interrupts()
    if threading.current_thread() is not threading.main_thread():
        yield interrupts
        return

    def raise_interrupt(number: int, frame: Any) -> None:
        interrupts.first = interrupts.first or signal.Signals(number)
        # A library that catches the interrupt, as SQLAlchemy does while it closes a connection, logs a traceback.
        logging.disable()
        sys.unraisablehook = lambda _: None
        raise Interrupted

    def report_of_thread(failure: threading.ExceptHookArgs) -> None:
        # polars raises an interrupt of its own in whichever thread it computes for.
        if not issubclass(failure.exc_type, KeyboardInterrupt):
            report_before(failure)

    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    report_before, threading.excepthook = threading.excepthook, report_of_thread
    wakeup_before = signal.set_wakeup_fd(writing, warn_on_full_buffer=False)
    # A signal that whoever started the process has it ignore (`nohup`, `&` in a script) stays ignored.
    heeded = [s for s in _SIGNALS.values() if signal.getsignal(s) is not signal.SIG_IGN]
    before = {s: signal.signal(s, raise_interrupt) for s in heeded}
    threading.Thread(target=_watch, args=(reading, interrupts), daemon=True).start()
    try:
        yield interrupts
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(wakeup_before)
        threading.excepthook = report_before
        os.close(writing)


def _watch(reading: int, interrupts: Interrupts) -> None:
    while numbers := os.read(reading, 16):  # nothing once the other end is closed
        requested = [_SIGNALS[n] for n in numbers if n in _SIGNALS]
        if requested:
            interrupts.first = interrupts.first or requested[0]
            select.select([reading], [], [], _GRACE)
            more = os.read(reading, 16) if select.select([reading], [], [], 0)[0] else b"\0"
            if more:
                interrupts.end()
    os.close(reading)


class _LeavableStream(io.FileIO):
    """A standard stream whose reader may leave: what nobody reads is dropped, and the command goes on.

    Another failure, as of a full disk, is raised once: the interpreter flushes again at its end.
    """

    _is_closed_beyond = False

    def write(self, data: Any) -> int:
        if not self._is_closed_beyond:
            try:
                return super().write(data)
            except BrokenPipeError:
                self._is_closed_beyond = True
            except OSError:
                self._is_closed_beyond = True
                raise
        return memoryview(data).nbytes


class _PrintableText(io.TextIOWrapper):
    """A standard stream that no text steers: control characters from CMS's bytes or file names come out escaped."""

    def write(self, text: str) -> int:
        clear = CLEAR_LINE if text.startswith(CLEAR_LINE) else ""
        return super().write(clear + printable(text[len(clear) :]))


def survive_closed_pipes() -> None:
    """Make standard output and error streams whose readers may leave (`hcpcs refresh | head -1`), and that escape.

    A stream that was closed beforehand (`hcpcs refresh >&-`) drops what is written: else a file opened later gets its
    number, and what libraries print goes into it.
    """
    for number in range(3):
        try:
            os.fstat(number)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # takes the lowest number that is free
    for name, number in (("stdout", 1), ("stderr", 2)):
        stream: IO[str] | None = getattr(sys, name)
        is_own = stream is getattr(sys, f"__{name}__")
        if is_own and (stream is None or isinstance(stream, io.TextIOWrapper)):
            if stream is not None:
                stream.flush()
            raw = _LeavableStream(number, "w", closefd=False)
            is_terminal = raw.isatty()
            fresh = _PrintableText(
                io.BufferedWriter(raw),
                stream.encoding if stream is not None else "utf-8",
                "backslashreplace",
                line_buffering=is_terminal or number == 2,
            )
            setattr(sys, name, fresh)
