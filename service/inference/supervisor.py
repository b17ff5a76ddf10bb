"""Batching: which requests share a model call, how long one may wait, and how many may (policy.py).

Whenever a worker is free it takes what waits, up to a batch; while all are busy, batches grow by themselves.
So nobody waits for company unless `max_wait_s` says so. Large pictures have a queue of their own and are
answered alone, by all workers but one, so that small ones never wait behind them. In both queues single
requests go before parts of requests with many of them (queue.py). All deadlines are by the loop's clock
(loop_clock.py).
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Literal, Protocol

from service.inference.errors import OverloadedError, PredictorError, StoppingError, WorkerError
from service.inference.loop_clock import LoopClock
from service.inference.policy import Policy
from service.inference.queue import ManyParts, PendingRequest, Queue
from service.inference.work import Done, IsLarge, Job, PictureJob, Result, TensorJob

Refusal = Literal["queue_full", "deadline"]


class Worker(Protocol):
    """What answers one batch at a time."""

    async def run(self, jobs: Sequence[Job], patience_s: float) -> Done:
        """The results of a batch; an empty one asks for a sign of life.

        Raises:
            WorkerError: the worker died, or has not answered after `patience_s`.
            PredictorError: the batch was empty, and the model cannot answer.
        """

    async def restart(self) -> None:
        """A new start after a `WorkerError`; raises whatever keeps it from starting."""

    async def stop(self) -> None:
        """Let it go."""


@dataclass(eq=False)
class _Seat:
    """A worker's place: what it is doing, since when, and what is wrong with it."""

    worker: Worker
    batch: Sequence[PendingRequest] = ()
    busy_since_s: float | None = None
    last_exclusive: bool = False
    trouble: str = ""
    down: bool = False
    deaths: deque[float] = field(default_factory=deque)
    failed_starts: int = 0

    @property
    def exclusive(self) -> bool:
        """Whether it is busy with a request that has a batch of its own."""
        return any(request.exclusive for request in self.batch)

    @property
    def with_part(self) -> bool:
        """Whether it is busy with a part of a request with many."""
        return any(request.many for request in self.batch)


@dataclass(frozen=True)
class Batch:
    """What is told of each finished batch, for metrics."""

    size: int
    queue_s: float
    done: Done


@dataclass
class Watcher:
    """Who wants to know; nobody by default."""

    batch: Callable[[Batch], None] = lambda _batch: None
    refused: Callable[[Refusal], None] = lambda _reason: None
    troubled: Callable[[str], None] = lambda _why: None
    died: Callable[[str], None] = lambda _why: None
    gave_up: Callable[[str], None] = lambda _why: None


@dataclass
class Batcher:
    """Brings jobs to workers and results back. Everything here happens in one event loop."""

    workers: Sequence[Worker]
    policy: Policy = field(default_factory=Policy)
    watcher: Watcher = field(default_factory=Watcher)
    clock: LoopClock = field(default_factory=LoopClock)

    def __post_init__(self) -> None:
        part_turn_s = self.policy.deadline_s / 5
        self._small = Queue(self.clock, part_turn_s)
        self._large = Queue(self.clock, part_turn_s)
        self._seats = [_Seat(worker) for worker in self.workers]
        self._sleepers: list[asyncio.Future[None]] = []
        self._drivers: list[asyncio.Task[None]] = []

    # --- what requests see ---

    @property
    def waiting(self) -> int:
        """How many jobs wait for a worker."""
        return len(self._small) + len(self._large)

    def many_parts(self) -> ManyParts:
        """What the parts of one request share; OverloadedError where too much waits already."""
        self._refuse_if_full(large=False)
        waiting = self._small.parts + self._large.parts
        if waiting >= self.policy.max_waiting_parts:
            self.watcher.refused("queue_full")
            raise OverloadedError(f"the service is busy: {waiting} parts of requests wait; try again soon")
        return ManyParts(self.clock.now())

    async def ask(self, job: Job, *, large: bool = False, many: ManyParts | None = None) -> Result:
        """The result of one job.

        Args:
            job: what is to be done.
            large: whether it may take long, and so has to be done apart from others.
            many: where it is a part of a request with many; whoever sends them bounds how many are in flight.

        Raises:
            OverloadedError: the queue is full, or the job has waited for too long.
            PredictorError: workers died over it.
        """
        if many is None:
            self._refuse_if_full(large=large)
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        request = PendingRequest(job, future, self.clock.now(), large, exclusive=large, many=many)
        self._put(request)
        try:
            result = await request.result
        except asyncio.CancelledError:
            self._queue_of(request).remove(request)  # unless it is with a worker already
            raise
        if many is not None:
            many.progressed_at_s = self.clock.now()
        if isinstance(result, IsLarge):
            return await self.ask(job, large=True, many=many)
        return result

    def is_full(self, admitted: int = 0) -> bool:
        """Whether a small picture would be refused now, `admitted` more being on their way to the queue."""
        room_with_workers = sum(max(0, self.policy.max_batch - len(seat.batch)) for seat in self._seats)
        return self._small.singles + admitted >= self.policy.max_waiting + room_with_workers

    def check(self) -> None:
        """Raise PredictorError unless every worker is alive and its model has answered of late."""
        for seat in self._seats:
            trouble = seat.trouble or self._suspicion(seat)
            if trouble:
                raise PredictorError(trouble)

    def _refuse_if_full(self, *, large: bool) -> None:
        if large and self._large.singles >= self.policy.max_waiting_large:
            self.watcher.refused("queue_full")
            raise OverloadedError(
                f"the service is busy with {self._large.singles} large pictures; try again soon"
            )
        if not large and self.is_full():
            self.watcher.refused("queue_full")
            raise OverloadedError(f"the service is busy: {self._small.singles} requests wait; try again soon")

    # --- the workers' side ---

    def start(self) -> None:
        """Let the workers, which have been started, take jobs."""
        self.clock.start()
        self._drivers = [asyncio.create_task(self._drive(seat)) for seat in self._seats]
        self._drivers.append(asyncio.create_task(self._watch()))

    async def stop(self) -> None:
        """Stop the workers; who still waits is told so."""
        for driver in self._drivers:
            driver.cancel()
        await asyncio.gather(*self._drivers, return_exceptions=True)
        await asyncio.gather(*(seat.worker.stop() for seat in self._seats), return_exceptions=True)
        self.clock.stop()
        for request in (*self._small, *self._large):
            _settle(request, StoppingError())

    async def _drive(self, seat: _Seat) -> None:
        """One worker's life: take, run, hand out, again."""
        while True:
            batch = await self._next(seat)
            seat.busy_since_s, seat.batch = self.clock.now(), batch
            seat.last_exclusive = seat.exclusive
            try:
                await self._run(seat, batch)
            except WorkerError as error:
                seat.trouble, seat.down = str(error), True
                seat.busy_since_s, seat.batch = None, ()
                self._after_death(batch, seat.trouble)
                if not await self._restart(seat):
                    return
            finally:
                seat.busy_since_s, seat.batch = None, ()

    async def _run(self, seat: _Seat, batch: list[PendingRequest]) -> None:
        start = perf_counter()
        try:
            done = await seat.worker.run(
                [_alone(request) for request in batch], self.policy.patience_s(batch)
            )
        except WorkerError:
            raise
        except Exception as error:  # noqa: BLE001
            # A defect of the worker's own code, or a model that gives no sign of life.
            self._note(seat, str(error) if isinstance(error, PredictorError) else "")
            for request in batch:
                _settle(request, error)
            return
        failed = next((str(result) for result in done.results if isinstance(result, PredictorError)), "")
        self._note(seat, failed)
        for request, result in zip(batch, done.results, strict=True):
            _settle(request, result)
        if batch:
            self.watcher.batch(Batch(len(batch), start - batch[0].received_s, done))

    async def _next(self, seat: _Seat) -> list[PendingRequest]:
        """What the worker does next; nothing where it has been idle for a heartbeat."""
        until = perf_counter() + self.policy.heartbeat_s
        while True:
            batch = self._take(seat)
            left = until - perf_counter()
            if batch or left <= 0:
                return batch
            for request in self._small.first(1):  # it waits for company
                left = min(left, max(0.0, request.received_s + self.policy.max_wait_s - perf_counter()))
            await self._sleep(left)

    def _take(self, seat: _Seat) -> list[PendingRequest]:
        if self._may_take_exclusive(seat) and (taken := self._large.take(1, parts=self._may_take_part())):
            return taken
        waiting = self._small.first(self.policy.max_batch)
        if not waiting:
            return []
        company = len(waiting) >= self.policy.max_batch
        if not company and perf_counter() - waiting[0].received_s < self.policy.max_wait_s:
            return []
        first, *others = (request.job for request in waiting[: self.policy.bucket(len(waiting))])
        if isinstance(first, PictureJob):
            alike = sum(1 for _ in itertools.takewhile(lambda job: isinstance(job, PictureJob), others))
        else:  # tensors hold several scenes
            scenes = itertools.accumulate((_scenes(job) for job in others), initial=_scenes(first))
            alike = sum(1 for count in itertools.islice(scenes, 1, None) if count <= self.policy.max_batch)
        return self._small.take(1 + alike)

    def _may_take_exclusive(self, seat: _Seat) -> bool:
        """One worker is always kept for small pictures; where there is only one, it takes turns."""
        alive = sum(not other.down for other in self._seats)
        if alive == 1:
            return not len(self._small) or not seat.last_exclusive
        return sum(other.exclusive for other in self._seats) < alive - 1

    def _may_take_part(self) -> bool:
        """Where there are three workers, another is kept for single large pictures."""
        alive = sum(not other.down for other in self._seats)
        busy = sum(other.exclusive and other.with_part for other in self._seats)
        return busy < max(1, alive - 2)

    def _queue_of(self, request: PendingRequest) -> Queue:
        return self._large if request.exclusive else self._small

    def _put(self, request: PendingRequest) -> None:
        self._queue_of(request).append(request)
        self._wake()

    def _wake(self) -> None:
        while self._sleepers:
            sleeper = self._sleepers.pop()  # the one that went to sleep last: its caches are the warmest
            if not sleeper.done():
                sleeper.set_result(None)
                return

    async def _sleep(self, most_s: float) -> None:
        """Until something comes that this worker could take, or for `most_s`."""
        loop = asyncio.get_running_loop()
        sleeper: asyncio.Future[None] = loop.create_future()
        self._sleepers.append(sleeper)
        timer = loop.call_later(most_s, _rouse, sleeper)
        try:
            await sleeper
        finally:
            timer.cancel()
            if sleeper in self._sleepers:
                self._sleepers.remove(sleeper)

    # --- when things go wrong ---

    def _after_death(self, batch: list[PendingRequest], why: str) -> None:
        """Ask the batch's requests again one by one: one of them may be what kills workers.

        Only a request that was alone with the worker is given up, and only where another has died over it
        before.
        """
        self.watcher.died(why)
        for request in batch:
            request.deaths += 1
            if len(batch) == 1 and request.deaths > 1:
                _settle(request, PredictorError(f"{why}, as the one before it did over the same request"))
            else:
                request.exclusive = True
                request.queued_at_s = self.clock.now()
                self._put(request)

    async def _restart(self, seat: _Seat) -> bool:
        """Start the worker again, as often as it takes; false where no worker can be started at all."""
        now = self.clock.now()
        seat.deaths.append(now)
        while now - seat.deaths[0] > self.policy.deaths_within_s:
            seat.deaths.popleft()
        while True:
            await asyncio.sleep(self.policy.backoff(len(seat.deaths) + seat.failed_starts))
            try:
                await seat.worker.restart()
            except Exception as error:  # noqa: BLE001 - whatever it is, there is no worker yet
                seat.failed_starts += 1
                failure = f"a worker did not start again: {error}"
                if failure != seat.trouble:
                    self.watcher.troubled(failure)
                    seat.trouble = failure
                if all(other.failed_starts >= self.policy.start_attempts for other in self._seats):
                    self.watcher.gave_up(failure)
                    return False
            else:
                seat.trouble, seat.down, seat.failed_starts = "", False, 0
                return True

    async def _watch(self) -> None:
        """Give up what has waited for too long, whether workers take jobs or not."""
        while True:
            await asyncio.sleep(self.policy.deadline_s / 20)
            before_s = self.clock.now() - self.policy.deadline_s
            for request in (*self._small.give_up(before_s), *self._large.give_up(before_s)):
                if not request.result.done():
                    self.watcher.refused("deadline")
                    waited = f"the service is busy: no worker was free for {self.policy.deadline_s:g} s"
                    _settle(request, OverloadedError(waited))

    def _note(self, seat: _Seat, trouble: str) -> None:
        """Keep what is wrong with a model that answers with errors; tell it once."""
        if trouble and not seat.trouble:
            self.watcher.troubled(trouble)
        seat.trouble = trouble

    def _suspicion(self, seat: _Seat) -> str:
        if seat.busy_since_s is None:
            return ""
        busy_s = self.clock.now() - seat.busy_since_s
        trusted = busy_s <= self.policy.trust_s(seat.batch)
        return "" if trusted else f"a worker has not answered for {busy_s:.1f} s"


def _scenes(job: Job) -> float:
    """How many scenes are in a tensor; no number of pictures fits into a batch of tensors."""
    return len(job.scenes) if isinstance(job, TensorJob) else math.inf


def _alone(request: PendingRequest) -> Job:
    job = request.job
    return job._replace(alone=True) if request.exclusive and isinstance(job, PictureJob) else job


def _settle(request: PendingRequest, result: Result | Exception) -> None:
    """Hand out a result; errors that are results are raised where the job was asked for."""
    with contextlib.suppress(asyncio.InvalidStateError):  # its sender has gone
        if isinstance(result, Exception):
            request.result.set_exception(result)
        else:
            request.result.set_result(result)


def _rouse(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
