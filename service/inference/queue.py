"""The queue before the workers: which requests it accepts, how long they may wait, which share a batch.

A free worker takes what waits, up to a batch; while all workers are busy, batches grow by themselves. So no
request waits for others unless `max_wait_s` says so. Exclusive requests have a line of their own and a batch
of their own each. In both lines single requests go before parts of requests with many (line.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections.abc import Iterator

from service.inference.errors import OverloadedError, StoppingError
from service.inference.events import Events
from service.inference.jobs import Job, PictureJob, Result, TensorJob
from service.inference.line import Line, ManyParts, PendingRequest
from service.inference.loop_clock import LoopClock
from service.inference.policy import Policy


class RequestQueue:
    """Requests that wait for a worker. Everything here happens in one event loop."""

    def __init__(self, policy: Policy, clock: LoopClock, events: Events) -> None:
        self._policy = policy
        self._clock = clock
        self._events = events
        part_turn_s = policy.deadline_s / 5
        self._shared = Line(clock, part_turn_s)
        self._exclusive = Line(clock, part_turn_s)
        self._idle: list[asyncio.Future[None]] = []
        self._deadlines: asyncio.Task[None] | None = None
        self.free_places = 0
        """How many more requests the workers' batches could hold; the supervisor keeps it up to date."""

    def __len__(self) -> int:
        return len(self._shared) + len(self._exclusive)

    # --- for requests ---

    def is_full(self, admitted: int = 0) -> bool:
        """Whether a shared request would be refused now, with `admitted` more on their way here."""
        return self._shared.singles + admitted >= self._policy.max_waiting + self.free_places

    def admit_many(self) -> ManyParts:
        """What the parts of one request share; OverloadedError where too much waits already."""
        self._refuse_if_full(exclusive=False)
        waiting = self._shared.parts + self._exclusive.parts
        if waiting >= self._policy.max_waiting_parts:
            raise self._refusal(f"{waiting} parts of requests wait")
        return ManyParts(self._clock.now())

    async def ask(self, job: Job, *, exclusive: bool = False, many: ManyParts | None = None) -> Result:
        """The result of one job.

        Args:
            job: what is to be done.
            exclusive: whether it may take long, and needs a batch of its own.
            many: the request that this job is a part of; its sender bounds how many parts are in flight.

        Raises:
            OverloadedError: the queue is full, or the job has waited for too long.
            PredictorError: workers died over it.
        """
        if many is None:
            self._refuse_if_full(exclusive=exclusive)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        request = PendingRequest(job, future, self._clock.now(), exclusive, many)
        self.put(request)
        try:
            result = await future
        except asyncio.CancelledError:
            self._line_of(request).remove(request)  # unless a worker has it already
            raise
        if many is not None:
            many.progressed_at = self._clock.now()
        return result

    # --- for the supervisor ---

    def start(self) -> None:
        """Begin to watch deadlines."""
        self._deadlines = asyncio.create_task(self._watch_deadlines())

    async def stop(self) -> None:
        """Answer every waiting request with StoppingError."""
        if self._deadlines is not None:
            self._deadlines.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._deadlines
        for request in self:
            request.settle(StoppingError())

    @property
    def shared_waiting(self) -> int:
        """How many requests wait that may share a batch."""
        return len(self._shared)

    def put(self, request: PendingRequest) -> None:
        """Let a request wait, again as well, and wake an idle worker."""
        self._line_of(request).append(request)
        while self._idle:
            idle = self._idle.pop()  # the one that became idle last: its caches are the warmest
            if not idle.done():
                idle.set_result(None)
                return

    def make_exclusive(self, request: PendingRequest) -> None:
        """Let a request wait again, for a batch of its own; settle it where too many such requests wait."""
        request.exclusive = True
        if request.result.done():
            return  # the caller has gone
        try:
            if request.many is None:
                self._refuse_if_full(exclusive=True)
            else:
                request.many.progressed_at = self._clock.now()
        except OverloadedError as error:
            request.settle(error)
        else:
            self.put(request)

    def take(self, *, exclusive: bool, parts: bool) -> list[PendingRequest]:
        """The next batch; empty where there is none yet.

        Args:
            exclusive: whether it may be an exclusive request.
            parts: whether that may be a part of a request with many.
        """
        if exclusive and (taken := self._exclusive.take(1, parts=parts)):
            return taken
        waiting = self._shared.first(self._policy.max_batch)
        if not waiting:
            return []
        if len(waiting) < self._policy.max_batch and self._waits_for_others_s(waiting[0]) > 0:
            return []
        return self._shared.take(_alike([request.job for request in waiting], self._policy))

    async def wait(self, most_s: float) -> None:
        """Wait until there is something for an idle worker, but at most `most_s`."""
        for request in self._shared.first(1):
            most_s = min(most_s, self._waits_for_others_s(request))
        loop = asyncio.get_running_loop()
        idle: asyncio.Future[None] = loop.create_future()
        self._idle.append(idle)
        timer = loop.call_later(most_s, _wake, idle)
        try:
            await idle
        finally:
            timer.cancel()
            if idle in self._idle:
                self._idle.remove(idle)

    def __iter__(self) -> Iterator[PendingRequest]:
        return itertools.chain(self._shared, self._exclusive)

    def _waits_for_others_s(self, request: PendingRequest) -> float:
        """How much longer a request waits for others to share its batch with."""
        return max(0.0, request.received_at + self._policy.max_wait_s - self._clock.now())

    def _line_of(self, request: PendingRequest) -> Line:
        return self._exclusive if request.isolated else self._shared

    def _refuse_if_full(self, *, exclusive: bool) -> None:
        if exclusive and self._exclusive.singles >= self._policy.max_waiting_exclusive:
            raise self._refusal(f"{self._exclusive.singles} large pictures wait")
        if not exclusive and self.is_full():
            raise self._refusal(f"{self._shared.singles} requests wait")

    def _refusal(self, why: str) -> OverloadedError:
        self._events.on_refused("queue_full")
        return OverloadedError(why)

    async def _watch_deadlines(self) -> None:
        """Give up requests that have waited for too long, whether workers take jobs or not."""
        deadline_s = self._policy.deadline_s
        while True:
            await asyncio.sleep(deadline_s / 20)
            before = self._clock.now() - deadline_s
            for request in (*self._shared.take_late(before), *self._exclusive.take_late(before)):
                if not request.result.done():
                    self._events.on_refused("deadline")
                    request.settle(OverloadedError(f"no worker was free for {deadline_s:g} s"))


def _alike(jobs: list[Job], policy: Policy) -> int:
    """How many of the first jobs make a batch: pictures alone, or tensors of `max_batch` scenes at most."""
    first, *others = jobs[: policy.bucket(len(jobs))]
    if isinstance(first, PictureJob):
        return 1 + sum(1 for _ in itertools.takewhile(lambda job: isinstance(job, PictureJob), others))
    scenes = itertools.accumulate(map(_scenes, others), initial=_scenes(first))
    return 1 + sum(1 for count in itertools.islice(scenes, 1, None) if count <= policy.max_batch)


def _scenes(job: Job) -> float:
    """How many scenes a tensor holds; a batch of tensors has no room for a picture."""
    return len(job.scenes) if isinstance(job, TensorJob) else math.inf


def _wake(idle: asyncio.Future[None]) -> None:
    if not idle.done():
        idle.set_result(None)
