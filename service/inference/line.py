"""The order of waiting requests: single requests first, parts of requests with many in turns."""

from __future__ import annotations

import asyncio
import contextlib
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain, islice

from service.inference.jobs import Job, Result
from service.inference.loop_clock import LoopClock


@dataclass(eq=False)
class ManyParts:
    """A request with many parts, and when one of them was last taken by a worker or answered."""

    progressed_at: float


@dataclass(eq=False)
class PendingRequest:
    """A job that waits for its result. All times are by the loop's clock.

    `exclusive` says that the job takes long, so it gets a batch of its own and a longer timeout. A request
    whose batch a worker died over gets a batch of its own as well, but no longer timeout. `deaths` counts
    those workers.
    """

    job: Job
    result: asyncio.Future[Result]
    received_at: float
    exclusive: bool = False
    many: ManyParts | None = None
    deaths: int = 0
    queued_at: float = 0.0

    @property
    def isolated(self) -> bool:
        """Whether it gets a batch of its own."""
        return self.exclusive or self.deaths > 0

    @property
    def deadline_from(self) -> float:
        """When its deadline began to run: for a request with many parts, at its last progress."""
        return max(self.queued_at, self.many.progressed_at) if self.many else self.queued_at

    def settle(self, result: Result | Exception) -> None:
        """Give the result to the waiting caller; errors are raised there."""
        with contextlib.suppress(asyncio.InvalidStateError):  # the caller has gone
            if isinstance(result, Exception):
                self.result.set_exception(result)
            else:
                self.result.set_result(result)


class Line:
    """Single requests go first, in their order; parts of requests with many fill the gaps.

    So a request with hundreds of parts delays a single one by no more than the batches that run. Parts make
    progress under a steady load of single requests too: one part goes first when none was taken for
    `part_turn_s`, but never two parts before a waiting single request. Requests with many parts take turns.
    """

    def __init__(self, clock: LoopClock, part_turn_s: float) -> None:
        self._clock = clock
        self._part_turn_s = part_turn_s
        self._singles: deque[PendingRequest] = deque()
        self._parts: dict[ManyParts, deque[PendingRequest]] = {}  # in the order of their turns
        self._part_taken_at = 0.0
        self._single_taken = False  # since then

    def __len__(self) -> int:
        return len(self._singles) + self.parts

    @property
    def singles(self) -> int:
        """How many single requests wait."""
        return len(self._singles)

    @property
    def parts(self) -> int:
        """How many parts of requests with many wait."""
        return sum(map(len, self._parts.values()))

    def append(self, request: PendingRequest) -> None:
        """Add a request after all others of its kind."""
        request.queued_at = self._clock.now()
        if request.many is None:
            self._singles.append(request)
        else:
            if not self._parts:
                self._part_taken_at, self._single_taken = self._clock.now(), False
            self._parts.setdefault(request.many, deque()).append(request)

    def remove(self, request: PendingRequest) -> None:
        """Remove a request; nothing happens if it does not wait here."""
        parts = self._parts.get(request.many) if request.many else self._singles
        if parts is not None and request in parts:
            parts.remove(request)
            if request.many is not None and not parts:
                del self._parts[request.many]

    def first(self, most: int, *, parts: bool = True) -> list[PendingRequest]:
        """The next requests in their order, at most so many, with or without parts; they go on waiting."""
        self._drop_gone()
        in_turns = self._in_turns() if parts else iter(())
        overdue = self._single_taken and self._clock.now() - self._part_taken_at >= self._part_turn_s
        before = islice(in_turns, 1 if overdue else 0)
        return list(islice(chain(before, self._singles, in_turns), most))

    def take(self, most: int, *, parts: bool = True) -> list[PendingRequest]:
        """As `first`, but the requests leave the line."""
        taken = self.first(most, parts=parts)
        for request in taken:
            if request.many is None:
                self._singles.popleft()
                self._single_taken = True
            else:
                self._part_taken_at, self._single_taken = self._clock.now(), False
                request.many.progressed_at = self._clock.now()
                rest = self._parts.pop(request.many)
                rest.popleft()
                if rest:
                    self._parts[request.many] = rest  # behind the others
        return taken

    def take_late(self, before: float) -> list[PendingRequest]:
        """Remove and return the requests whose deadline began to run before that time."""
        late = [request for request in self if request.deadline_from < before]
        for request in late:
            self.remove(request)
        return late

    def __iter__(self) -> Iterator[PendingRequest]:
        return chain(self._singles, *self._parts.values())

    def _in_turns(self) -> Iterator[PendingRequest]:
        """The parts, one of each request, then the next of each."""
        left = [iter(parts) for parts in self._parts.values()]
        while left:
            still = []
            for parts in left:
                request = next(parts, None)
                if request is not None:
                    still.append(parts)
                    yield request
            left = still

    def _drop_gone(self) -> None:
        """Drop requests at the head whose callers have gone."""
        for requests in (self._singles, *self._parts.values()):
            while requests and requests[0].result.done():
                requests.popleft()
        self._parts = {many: parts for many, parts in self._parts.items() if parts}
