"""The batching policy: which requests share a model call, how long one may wait, and how many may.

There is one queue. Whenever a worker is free it takes what waits, up to a batch; while all are busy, batches
grow by themselves. So nobody waits for company unless `max_wait_s` says so. Large pictures have a queue of
their own and are answered alone, by all workers but one, so that small ones never wait behind them.
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

from service.inference.predictor import PredictorError, StoppingError
from service.inference.work import Done, IsLarge, Job, PictureJob, Result, TensorJob

Refusal = Literal["queue_full", "deadline"]
BUCKETS = (1, 2, 4, 8, 16, 32, 64)
"""The sizes of batches; a worker warms them all before it is ready, as far as its largest batch."""


class OverloadedError(PredictorError):
    """The queue is full or the answer would come too late: try again after `retry_after_s`."""

    retry_after_s = 1


class WorkerError(Exception):
    """A worker died or hangs: what it was working on is lost."""


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


@dataclass(frozen=True)
class Policy:
    """The bounds of batching; times in seconds.

    `max_waiting` counts small pictures beyond those that full batches would hold, `max_waiting_large` large
    ones. They are few: what is taken shall be answered soon, though more comes than can be done. A request
    that has waited for `deadline_s` is given up. A worker that is busy with small pictures for `suspect_s` is
    taken to hang: the service is not ready from then on. After `hang_s` it is killed; large ones are given
    `large_s`. Every `heartbeat_s` an idle worker has to show that its model answers.
    """

    max_batch: int = 16
    max_wait_s: float = 0.0
    max_waiting: int = 40
    max_waiting_large: int = 16
    deadline_s: float = 5.0
    suspect_s: float = 1.0
    hang_s: float = 3.0
    large_s: float = 30.0
    heartbeat_s: float = 0.5
    deaths: int = 5
    deaths_within_s: float = 60.0

    def bucket(self, waiting: int) -> int:
        """How many of those that wait go into the next batch: the largest bucket that they fill."""
        return max(size for size in BUCKETS if size <= min(waiting, self.max_batch))


@dataclass(eq=False)
class _Ticket:
    """A job that waits for its result."""

    job: Job
    result: asyncio.Future[Result]
    came_s: float
    large: bool = False
    deaths: int = 0


@dataclass(eq=False)
class _Seat:
    """A worker's place: what it is doing, since when, and what is wrong with it."""

    worker: Worker
    busy_since_s: float | None = None
    jobs: int = 0
    with_large: bool = False
    trouble: str = ""


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

    def __post_init__(self) -> None:
        self._small: deque[_Ticket] = deque()
        self._large: deque[_Ticket] = deque()
        self._seats = [_Seat(worker) for worker in self.workers]
        self._sleepers: list[asyncio.Future[None]] = []
        self._drivers: list[asyncio.Task[None]] = []
        self._deaths: deque[float] = deque()

    # --- what requests see ---

    @property
    def waiting(self) -> int:
        """How many jobs wait for a worker."""
        return len(self._small) + len(self._large)

    async def ask(self, job: Job, *, large: bool = False, patient: bool = False) -> Result:
        """The result of one job.

        Args:
            job: what is to be done.
            large: whether it may take long, and so has to be done apart from others.
            patient: whether it may wait although the queue is full; its sender has a bound of its own.

        Raises:
            OverloadedError: the queue is full, or the job has waited for too long.
            PredictorError: workers died over it.
        """
        if not patient:
            self.refuse_if_full(large=large)
        ticket = _Ticket(job, asyncio.get_running_loop().create_future(), perf_counter(), large)
        self._put(ticket)
        try:
            result = await ticket.result
        except asyncio.CancelledError:
            with contextlib.suppress(ValueError):  # with a worker already
                (self._large if ticket.large else self._small).remove(ticket)
            raise
        if isinstance(result, IsLarge):
            return await self.ask(job, large=True, patient=patient)
        return result

    def refuse_if_full(self, *, large: bool = False) -> None:
        """Raise OverloadedError where a job of that kind would find no room."""
        if large and len(self._large) >= self.policy.max_waiting_large:
            self.watcher.refused("queue_full")
            raise OverloadedError(
                f"the service is busy with {len(self._large)} large pictures; try again soon"
            )
        if not large and self.is_full():
            self.watcher.refused("queue_full")
            raise OverloadedError(f"the service is busy: {len(self._small)} requests wait; try again soon")

    def is_full(self, coming: int = 0) -> bool:
        """Whether a small picture would be refused now, `coming` more being on their way to the queue."""
        room_with_workers = sum(max(0, self.policy.max_batch - seat.jobs) for seat in self._seats)
        return len(self._small) + coming >= self.policy.max_waiting + room_with_workers

    def check(self) -> None:
        """Raise PredictorError unless every worker is alive and its model has answered of late."""
        for seat in self._seats:
            trouble = seat.trouble or self._suspicion(seat)
            if trouble:
                raise PredictorError(trouble)

    # --- the workers' side ---

    def start(self) -> None:
        """Let the workers, which have been started, take jobs."""
        self._drivers = [asyncio.create_task(self._drive(seat)) for seat in self._seats]
        self._drivers.append(asyncio.create_task(self._watch()))

    async def stop(self) -> None:
        """Stop the workers; who still waits is told so."""
        for driver in self._drivers:
            driver.cancel()
        await asyncio.gather(*self._drivers, return_exceptions=True)
        await asyncio.gather(*(seat.worker.stop() for seat in self._seats), return_exceptions=True)
        for ticket in (*self._small, *self._large):
            _settle(ticket, StoppingError())

    async def _drive(self, seat: _Seat) -> None:
        """One worker's life: take, run, hand out, again."""
        while True:
            batch = await self._next(seat)
            seat.busy_since_s, seat.jobs = perf_counter(), len(batch)
            seat.with_large = any(ticket.large for ticket in batch)
            try:
                await self._run(seat, batch)
            except WorkerError as error:
                seat.trouble = str(error)
                self._after_death(batch, seat.trouble)
                if not await self._restart(seat):
                    return
            finally:
                seat.busy_since_s, seat.jobs = None, 0

    async def _run(self, seat: _Seat, batch: list[_Ticket]) -> None:
        policy = self.policy
        start = perf_counter()
        try:
            patience = policy.large_s if seat.with_large else policy.hang_s
            done = await seat.worker.run([_alone(ticket) for ticket in batch], patience)
        except WorkerError:
            raise
        except Exception as error:  # noqa: BLE001
            # A defect of the worker's own code, or a model that gives no sign of life.
            self._note(seat, str(error) if isinstance(error, PredictorError) else "")
            for ticket in batch:
                _settle(ticket, error)
            return
        failed = next((str(result) for result in done.results if isinstance(result, PredictorError)), "")
        self._note(seat, failed)
        for ticket, result in zip(batch, done.results, strict=True):
            _settle(ticket, result)
        if batch:
            self.watcher.batch(Batch(len(batch), start - batch[0].came_s, done))

    async def _next(self, seat: _Seat) -> list[_Ticket]:
        """What the worker does next; nothing where it has been idle for a heartbeat."""
        until = perf_counter() + self.policy.heartbeat_s
        while True:
            batch = self._take(seat)
            left = until - perf_counter()
            if batch or left <= 0:
                return batch
            if self._small:  # they wait for company
                left = min(left, max(0.0, self._small[0].came_s + self.policy.max_wait_s - perf_counter()))
            await self._sleep(left)

    def _take(self, seat: _Seat) -> list[_Ticket]:
        for queue in (self._small, self._large):
            while queue and queue[0].result.done():  # its sender has gone
                queue.popleft()
        if self._large and self._may_take_large(seat):
            return [self._large.popleft()]
        if not self._small:
            return []
        company = len(self._small) >= self.policy.max_batch
        if not company and perf_counter() - self._small[0].came_s < self.policy.max_wait_s:
            return []
        first, *others = (self._small[i].job for i in range(self.policy.bucket(len(self._small))))
        if isinstance(first, PictureJob):
            alike = sum(1 for _ in itertools.takewhile(lambda job: isinstance(job, PictureJob), others))
        else:  # tensors hold several scenes
            scenes = itertools.accumulate((_scenes(job) for job in others), initial=_scenes(first))
            alike = sum(1 for count in itertools.islice(scenes, 1, None) if count <= self.policy.max_batch)
        return [self._small.popleft() for _ in range(1 + alike)]

    def _may_take_large(self, seat: _Seat) -> bool:
        """One worker is always kept for small pictures; where there is only one, it takes turns."""
        if len(self._seats) == 1:
            return not self._small or not seat.with_large
        busy = sum(other.with_large for other in self._seats if other.busy_since_s is not None)
        return busy < len(self._seats) - 1

    def _put(self, ticket: _Ticket) -> None:
        (self._large if ticket.large else self._small).append(ticket)
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

    def _after_death(self, batch: list[_Ticket], why: str) -> None:
        """Who was being answered goes back to the queue, alone: one of them may be what kills workers."""
        self.watcher.died(why)
        for ticket in batch:
            ticket.deaths += 1
            ticket.large = True
            ticket.came_s = perf_counter()  # its time in the queue begins anew
            if ticket.deaths > 1:
                _settle(ticket, PredictorError(f"{why}, as the one before it did over the same request"))
            else:
                self._put(ticket)

    async def _restart(self, seat: _Seat) -> bool:
        """Start the worker again; whether that is worth going on with."""
        now = perf_counter()
        self._deaths.append(now)
        while now - self._deaths[0] > self.policy.deaths_within_s:
            self._deaths.popleft()
        if len(self._deaths) >= self.policy.deaths:
            self.watcher.gave_up(f"{len(self._deaths)} workers died within {self.policy.deaths_within_s:g} s")
            return False
        try:
            await seat.worker.restart()
        except Exception as error:  # noqa: BLE001 - whatever it is, there is no worker any more
            self.watcher.gave_up(f"a worker did not start again: {error}")
            return False
        seat.trouble = ""
        return True

    async def _watch(self) -> None:
        """Give up what has waited for too long, whether workers take jobs or not."""
        while True:
            await asyncio.sleep(self.policy.deadline_s / 20)
            late = perf_counter() - self.policy.deadline_s
            for queue in (self._small, self._large):
                while queue and queue[0].came_s < late:
                    ticket = queue.popleft()
                    if not ticket.result.done():
                        self.watcher.refused("deadline")
                        waited = f"the service is busy: no worker was free for {self.policy.deadline_s:g} s"
                        _settle(ticket, OverloadedError(waited))

    def _note(self, seat: _Seat, trouble: str) -> None:
        """Keep what is wrong with a model that answers with errors; tell it once."""
        if trouble and not seat.trouble:
            self.watcher.troubled(trouble)
        seat.trouble = trouble

    def _suspicion(self, seat: _Seat) -> str:
        if seat.busy_since_s is None:
            return ""
        busy_s = perf_counter() - seat.busy_since_s
        most_s = self.policy.large_s if seat.with_large else self.policy.suspect_s
        return f"a worker has not answered for {busy_s:.1f} s" if busy_s > most_s else ""


def _scenes(job: Job) -> float:
    """How many scenes are in a tensor; no number of pictures fits into a batch of tensors."""
    return len(job.scenes) if isinstance(job, TensorJob) else math.inf


def _alone(ticket: _Ticket) -> Job:
    return (
        ticket.job._replace(alone=True) if ticket.large and isinstance(ticket.job, PictureJob) else ticket.job
    )


def _settle(ticket: _Ticket, result: Result | Exception) -> None:
    """Hand out a result; errors that are results are raised where the job was asked for."""
    with contextlib.suppress(asyncio.InvalidStateError):  # its sender has gone
        if isinstance(result, Exception):
            ticket.result.set_exception(result)
        else:
            ticket.result.set_result(result)


def _rouse(sleeper: asyncio.Future[None]) -> None:
    if not sleeper.done():
        sleeper.set_result(None)
