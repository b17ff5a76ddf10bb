"""Bounds how many requests for scenes run and wait, and refuses the others."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TypeVar

import anyio
from anyio import to_thread

from service.inference.errors import OverloadedError

Made = TypeVar("Made")


class SynthesisLimiter:
    """One thread that makes scenes, one at a time, since it shares Python with the event loop.

    More threads would make no more scenes, and delay all other requests. A request that finds no room is
    refused after a delay: otherwise clients that ask again without a pause would use up the processor.
    """

    def __init__(self, max_waiting: int = 16, refuse_after_s: float = 1.0, max_held: int = 500) -> None:
        """Take the bounds.

        Args:
            max_waiting: how many requests may wait while a scene is made.
            refuse_after_s: how long a refusal is delayed.
            max_held: how many refusals are delayed at a time; further requests are refused at once.
        """
        self._max_waiting = max_waiting
        self._refuse_after_s = refuse_after_s
        self._max_held = max_held
        self._taken = 0
        self._held = 0
        self._thread = anyio.CapacityLimiter(1)

    def is_flooded(self, admitted: int = 0) -> bool:
        """Whether a request would be refused at once, with `admitted` more on their way here."""
        return self._held + admitted >= self._max_held

    async def run(self, make: Callable[[], Made]) -> Made:
        """What `make` gives, called in the thread; OverloadedError where too many requests wait."""
        if self._taken > self._max_waiting:
            await self._hold()
            raise OverloadedError(f"{self._max_waiting} requests for scenes wait already")
        self._taken += 1
        try:
            return await to_thread.run_sync(make, limiter=self._thread)
        finally:
            self._taken -= 1

    async def _hold(self) -> None:
        if not self.is_flooded():
            self._held += 1
            try:
                await asyncio.sleep(self._refuse_after_s)
            finally:
                self._held -= 1
