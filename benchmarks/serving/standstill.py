"""Whether the machine itself stood still: a virtual machine that is paused spoils what is measured."""

from __future__ import annotations

import threading
import time
from types import TracebackType

TICK_S = 0.05
NOTED_S = 0.5
"""A gap that a busy machine does not make in a thread that does nothing."""


class StandstillWatch:
    """A thread that wakes up twenty times a second and notes when it could not."""

    def __init__(self) -> None:
        self.gaps_s: list[float] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)

    def __enter__(self) -> StandstillWatch:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _watch(self) -> None:
        last = time.monotonic()
        while not self._stop.wait(TICK_S):
            now = time.monotonic()
            if now - last > TICK_S + NOTED_S:
                self.gaps_s.append(round(now - last, 2))
            last = now
