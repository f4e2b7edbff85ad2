"""One writer at a time below a folder of outputs, whoever starts it: a command, or a run of Dagster."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from filelock import FileLock, Timeout

from hcpcs.errors import HcpcsError
from hcpcs.paths import TARGET_TIER, Outputs

#: How long a writer waits for another one to end, in seconds.
WAIT = 600.0


class BeingWritten(HcpcsError):
    """Another process writes to the folder of outputs, and did not end in time."""


@contextmanager
def only_writer(
    outputs: Outputs,
    *,
    wait: float = WAIT,
    progress: Callable[[str], None] = lambda text: None,
    lock: Path | None = None,
) -> Iterator[None]:
    """Be the one process that writes to ``outputs``; first wait, at most ``wait`` seconds, for another one to end.

    The system frees the lock of a process that dies. ``lock`` is another lock's file, for what is written apart from
    versions. Raises ``BeingWritten``, ``HcpcsError`` for a published target.
    """
    if lock is None and (outputs.folder / TARGET_TIER).exists():
        raise HcpcsError(
            f"{outputs.folder} is a published target: only `hcpcs publish` writes there; name a folder of outputs"
        )
    outputs.folder.mkdir(parents=True, exist_ok=True)
    loaded = FileLock(lock or outputs.lock)
    try:
        try:
            loaded.acquire(timeout=0)
        except Timeout:
            progress(f"waiting for another process that writes to {outputs.folder}, for at most {wait:g} seconds")
            loaded.acquire(timeout=wait)
    except Timeout:
        raise BeingWritten(
            f"{outputs.folder} is being written to by another process, which did not end within {wait:g} seconds;"
            " try again when it has ended, or wait longer with --wait SECONDS"
        ) from None
    try:
        yield
    finally:
        loaded.release()
