"""How many scenes may be made at a time, and how many requests may wait for that."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import to_thread

from service.inference.batching import OverloadedError

Made = TypeVar("Made")


class SynthesisLimiter:
    """Threads that make scenes: one at a time, for they share Python with the event loop.

    More threads would make no more scenes; each would only keep all other requests waiting for longer.
    """

    def __init__(self, max_waiting: int = 16) -> None:
        """Take how many requests may wait while a scene is made."""
        self._max_waiting = max_waiting
        self._taken = 0
        self._threads = anyio.CapacityLimiter(1)

    def is_full(self, admitted: int = 0) -> bool:
        """Whether a request would be refused now, `admitted` more being on their way here."""
        return self._taken + admitted > self._max_waiting

    async def run(self, make: Callable[[], Made]) -> Made:
        """What `make` gives, called in a thread; OverloadedError where too many requests wait."""
        if self.is_full():
            raise OverloadedError(f"/synthesize is busy: {self._taken - 1} requests wait; try again soon")
        self._taken += 1
        try:
            return await to_thread.run_sync(make, limiter=self._threads)
        finally:
            self._taken -= 1
