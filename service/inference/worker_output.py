"""Logs what native code in a worker prints, so that no decoder writes into the log itself.

A worker's stdout and stderr are one pipe. The worker never waits for it: what does not fit into the pipe is
lost. The service reads the pipe at a bounded rate, so that a flood fills neither its time nor its log.
"""

from __future__ import annotations

import asyncio
import fcntl
import logging
import os
from typing import cast

_PIPE_BYTES = 16_384
_PAUSE_S = 0.25
_LINE_BYTES = 1_000
"""Longer lines are cut."""

_log = logging.getLogger("service.worker")


class OutputLog(asyncio.Protocol):
    """Reads one worker's output into the log."""

    def __init__(self) -> None:
        self._rest = b""
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The pipe is open."""
        self._transport = cast(
            "asyncio.ReadTransport", transport
        )  # uvloop's class is not a subclass of asyncio's

    def data_received(self, data: bytes) -> None:
        """Log the lines that have arrived, then pause reading for a while."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        self._rest = self._rest[:_LINE_BYTES]
        for line in lines:
            _write(line)
        self._transport.pause_reading()
        self._timer = asyncio.get_running_loop().call_later(_PAUSE_S, self._transport.resume_reading)

    def connection_lost(self, exc: Exception | None) -> None:  # noqa: ARG002
        """The worker has ended."""
        if self._timer is not None:
            self._timer.cancel()
        _write(self._rest)


async def open_output() -> int:
    """A file descriptor for a worker's output; pass it to `hand_over` once the worker has started."""
    readable, writable = os.pipe()
    if hasattr(fcntl, "F_SETPIPE_SZ"):
        fcntl.fcntl(writable, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)
    await asyncio.get_running_loop().connect_read_pipe(OutputLog, os.fdopen(readable, "rb"))
    return writable


def hand_over(writable: int) -> None:
    """Close our end of a worker's output, and make it non-blocking for the worker."""
    os.set_blocking(writable, False)  # only now: libuv makes a child's output blocking as it starts it
    os.close(writable)


def _write(line: bytes) -> None:
    if text := line[:_LINE_BYTES].decode("utf-8", "backslashreplace").strip():
        _log.warning("%s", text)
