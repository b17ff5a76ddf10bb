"""Requests that wait for a worker, and who of them is next."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import chain, islice
from time import perf_counter

from service.inference.loop_clock import LoopClock
from service.inference.work import Job, Result


@dataclass(eq=False)
class ManyParts:
    """A request of many parts: when, by the loop's clock, a part was last answered or taken by a worker."""

    progressed_at_s: float


@dataclass(eq=False)
class PendingRequest:
    """A job that waits for its result.

    `received_s` is by `perf_counter`, for the metrics; `queued_at_s` by the loop's clock, for the deadline. A
    `large` job may take long. An `exclusive` one is answered in a batch of its own: it is large, or a batch
    with it has ended badly. `deaths` counts the workers that died over it, in whatever company.
    """

    job: Job
    result: asyncio.Future[Result]
    queued_at_s: float
    large: bool = False
    exclusive: bool = False
    many: ManyParts | None = None
    deaths: int = 0
    received_s: float = field(default_factory=perf_counter)

    @property
    def waits_since_s(self) -> float:
        """When its deadline began to run: for a request of many parts, with its last progress."""
        return max(self.queued_at_s, self.many.progressed_at_s) if self.many else self.queued_at_s


class Queue:
    """Single requests go first, in their order; parts of requests with many of them fill the gaps.

    So a request with hundreds of parts delays a single one by no more than what a worker is at. That the
    parts get on under a steady load of single requests, one of them goes first where none was taken for
    `part_turn_s`, but never two of them before a single request that waits. Requests of many parts take
    turns, so that each gets on.
    """

    def __init__(self, clock: LoopClock, part_turn_s: float) -> None:
        self._clock = clock
        self._part_turn_s = part_turn_s
        self._singles: deque[PendingRequest] = deque()
        self._parts: dict[ManyParts, deque[PendingRequest]] = {}  # in the order of their turns
        self._part_taken_at_s = 0.0
        self._single_taken = False  # since then

    def __len__(self) -> int:
        return len(self._singles) + self.parts

    @property
    def singles(self) -> int:
        """How many single requests wait."""
        return len(self._singles)

    @property
    def parts(self) -> int:
        """How many parts of requests with many of them wait."""
        return sum(map(len, self._parts.values()))

    def append(self, request: PendingRequest) -> None:
        """Let a request wait behind all others of its kind."""
        if request.many is None:
            self._singles.append(request)
        else:
            if not self._parts:
                self._part_taken_at_s, self._single_taken = self._clock.now(), False
            self._parts.setdefault(request.many, deque()).append(request)

    def remove(self, request: PendingRequest) -> None:
        """Let it wait no more; nothing happens where it does not wait here."""
        parts = self._parts.get(request.many) if request.many else self._singles
        if parts is not None and request in parts:
            parts.remove(request)
            self._forget(request.many)

    def first(self, most: int, *, parts: bool = True) -> list[PendingRequest]:
        """The next requests in their order, at most so many, with or without parts; they go on waiting."""
        self._drop_gone()
        in_turns = self._in_turns() if parts else iter(())
        overdue = self._single_taken and self._clock.now() - self._part_taken_at_s >= self._part_turn_s
        before = islice(in_turns, 1 if overdue else 0)
        return list(islice(chain(before, self._singles, in_turns), most))

    def take(self, most: int, *, parts: bool = True) -> list[PendingRequest]:
        """As `first`, but they wait no more."""
        taken = self.first(most, parts=parts)
        for request in taken:
            if request.many is None:
                self._singles.popleft()
                self._single_taken = True
            else:
                self._part_taken_at_s, self._single_taken = self._clock.now(), False
                request.many.progressed_at_s = self._clock.now()
                rest = self._parts.pop(request.many)
                rest.popleft()
                if rest:
                    self._parts[request.many] = rest  # behind the others
        return taken

    def give_up(self, before_s: float) -> list[PendingRequest]:
        """Those that wait since before that time of the loop's clock; they wait no more."""
        late = [request for request in self if request.waits_since_s < before_s]
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
        """Drop those at the head whose senders have gone."""
        for requests in (self._singles, *self._parts.values()):
            while requests and requests[0].result.done():
                requests.popleft()
        self._parts = {many: parts for many, parts in self._parts.items() if parts}

    def _forget(self, many: ManyParts | None) -> None:
        if many is not None and not self._parts[many]:
            del self._parts[many]
