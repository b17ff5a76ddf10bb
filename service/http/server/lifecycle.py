"""The HTTP server's life: it prints where it listens, and stops without losing a request."""

from __future__ import annotations

import signal
import socket
from collections.abc import Callable
from time import monotonic
from types import FrameType

import uvicorn

from service.inference.engine import Engine


class Server(uvicorn.Server):
    """uvicorn's server with a greeting, a stop in two steps, and an end when no worker can be started.

    On SIGTERM the service stops being ready, but goes on answering for `drain_s`, so that load balancers
    notice and send no more requests. Then it accepts no new connections, answers the running and waiting
    requests, and ends. SIGINT or a second SIGTERM skips the first step.
    """

    def __init__(
        self, config: uvicorn.Config, engine: Engine, greet: Callable[[], None], drain_s: float
    ) -> None:
        super().__init__(config)
        self._engine = engine
        self._greet = greet
        self._drain_s = drain_s
        self._stop_at_s: float | None = None

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start as uvicorn does; then print the greeting."""
        await super().startup(sockets)
        if self.started:
            self._greet()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """On a signal, stop being ready, and stop the server after the drain or at once."""
        self._engine.prepare_to_stop()
        if sig == signal.SIGTERM and self._stop_at_s is None:
            self._stop_at_s = monotonic() + self._drain_s
        else:
            super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Called ten times a second; true when it is time to stop."""
        stop = await super().on_tick(counter)
        drained = self._stop_at_s is not None and monotonic() >= self._stop_at_s
        return stop or drained or bool(self._engine.failure)
