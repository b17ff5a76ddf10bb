"""A clock that does not count stalls of the event loop or stops of the whole process.

While the event loop is stalled, the service cannot read answers that have arrived. While all processes are
stopped (SIGSTOP, `docker pause`, a suspended machine), no worker can answer. In both cases a wall clock would
blame workers and requests for the service's own silence.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from time import monotonic

_TICK_S = 0.05
_LATE_S = 2 * _TICK_S
"""A longer time between two ticks means that the loop was stalled."""


@dataclass(eq=False)
class Deadline:
    """The end of a timeout; it may be moved while the timeout runs."""

    at_s: float
    _excused: Callable[[], float]
    _scope: asyncio.Timeout
    _excused_s: float = 0.0

    def expire(self) -> bool:
        """Let the timeout raise TimeoutError; or move it by newly excused time, and return false."""
        more_s = self._excused() - self._excused_s
        if more_s > 0:
            self._excused_s += more_s
            self.at_s += more_s
            return False
        self._scope.reschedule(asyncio.get_running_loop().time())
        return True


def _nothing() -> float:
    return 0.0


class LoopClock:
    """A clock that counts only while the event loop runs; between `start` and `stop`."""

    def __init__(self) -> None:
        self._now_s = 0.0
        self._ticked_at_s = 0.0
        self._was_late = False
        self._timer: asyncio.TimerHandle | None = None
        self._deadlines: set[Deadline] = set()

    def now(self) -> float:
        """Seconds that the event loop has run since the first start."""
        if self._timer is None:
            return self._now_s
        return self._now_s + min(monotonic() - self._ticked_at_s, _LATE_S)

    def start(self) -> None:
        """Start in the current event loop; a running clock is left alone."""
        if self._timer is None:
            loop = asyncio.get_running_loop()
            self._ticked_at_s = monotonic()
            self._timer = loop.call_later(_TICK_S, self._tick, loop)

    def stop(self) -> None:
        """Stop; `now` keeps its value."""
        if self._timer is not None:
            self._now_s = self.now()
            self._timer.cancel()
            self._timer = None

    @asynccontextmanager
    async def timeout(
        self, seconds: float, excused: Callable[[], float] = _nothing
    ) -> AsyncIterator[Deadline]:
        """Raise TimeoutError in the body of the `async with` once it has taken `seconds` of this clock.

        Args:
            seconds: how long the body may take.
            excused: how many seconds since the beginning do not count; called when the time is over.
        """
        async with asyncio.timeout(None) as scope:
            deadline = Deadline(self.now() + seconds, excused, scope)
            self._deadlines.add(deadline)
            try:
                yield deadline
            finally:
                self._deadlines.discard(deadline)

    def _tick(self, loop: asyncio.AbstractEventLoop) -> None:
        passed_s = monotonic() - self._ticked_at_s
        self._ticked_at_s += passed_s
        self._now_s += min(passed_s, _LATE_S)
        late = passed_s > _LATE_S
        # After a stall, timers may run before the loop has read what arrived meanwhile. So no deadline ends
        # at a single late tick. A loop that is always late has read everything between two ticks.
        if not late or self._was_late:
            for deadline in [deadline for deadline in self._deadlines if deadline.at_s <= self._now_s]:
                if deadline.expire():
                    self._deadlines.discard(deadline)
        self._was_late = late
        self._timer = loop.call_later(_TICK_S, self._tick, loop)
