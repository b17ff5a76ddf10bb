"""The workers' lives: each takes batches from the queue, is watched, and is replaced when it dies or hangs.

One worker is always kept for shared requests, so that small pictures never wait behind large ones. All times
are by the loop's clock (loop_clock.py).
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from service.inference.errors import PredictorError, WorkerError
from service.inference.events import Events, FinishedBatch
from service.inference.jobs import BatchResult, Job, NeedsExclusive, PictureJob
from service.inference.line import PendingRequest
from service.inference.loop_clock import LoopClock
from service.inference.policy import Policy
from service.inference.queue import RequestQueue


class Worker(Protocol):
    """What answers one batch at a time."""

    async def run(self, jobs: Sequence[Job], timeout_s: float) -> BatchResult:
        """The results of a batch; an empty one asks whether the model answers.

        Raises:
            WorkerError: the worker died, or has not answered after `timeout_s`.
            PredictorError: the batch was empty, and the model cannot answer.
        """

    async def restart(self) -> None:
        """Start again after a `WorkerError`; raises whatever keeps it from starting."""

    async def stop(self) -> None:
        """End it."""


@dataclass(eq=False)
class WorkerSlot:
    """The place of one worker: what it is doing, since when, and what is wrong with it."""

    worker: Worker
    batch: Sequence[PendingRequest] = ()
    busy_since: float | None = None
    last_isolated: bool = False
    trouble: str = ""
    down: bool = False
    deaths: deque[float] = field(default_factory=deque)
    failed_starts: int = 0

    @property
    def isolated(self) -> bool:
        """Whether it is busy with a request that has a batch of its own."""
        return any(request.isolated for request in self.batch)

    @property
    def with_part(self) -> bool:
        """Whether it is busy with a part of a request with many."""
        return any(request.many for request in self.batch)


class Supervisor:
    """Brings jobs to workers and results back. Everything here happens in one event loop."""

    def __init__(
        self,
        workers: Sequence[Worker],
        queue: RequestQueue,
        policy: Policy,
        clock: LoopClock,
        events: Events,
    ) -> None:
        self._slots = [WorkerSlot(worker) for worker in workers]
        self._queue = queue
        self._policy = policy
        self._clock = clock
        self._events = events
        self._drivers: list[asyncio.Task[None]] = []
        self.failure = ""
        """Why the supervisor has given up: no worker is left, and none can be started; else empty."""

    def start(self) -> None:
        """Let the workers, which have been started, take jobs."""
        self._tell_free_places()
        self._drivers = [asyncio.create_task(self._drive(slot)) for slot in self._slots]

    async def stop(self) -> None:
        """Stop the workers."""
        for driver in self._drivers:
            driver.cancel()
        await asyncio.gather(*self._drivers, return_exceptions=True)
        await asyncio.gather(*(slot.worker.stop() for slot in self._slots), return_exceptions=True)

    def check(self) -> None:
        """Raise PredictorError unless every worker is alive and its model has answered recently."""
        for slot in self._slots:
            trouble = slot.trouble or self._overdue(slot)
            if trouble:
                raise PredictorError(trouble)

    async def _drive(self, slot: WorkerSlot) -> None:
        """Take a batch, run it, give out the results, again."""
        while True:
            batch = await self._next(slot)
            slot.busy_since, slot.batch, slot.last_isolated = self._clock.now(), batch, False
            slot.last_isolated = slot.isolated
            self._tell_free_places()
            try:
                await self._run(slot, batch)
            except WorkerError as error:
                slot.trouble, slot.down = str(error), True
                self._free(slot)
                self._after_death(batch, slot.trouble)
                if not await self._restart(slot):
                    return
            finally:
                self._free(slot)

    async def _next(self, slot: WorkerSlot) -> list[PendingRequest]:
        """What the worker does next; nothing where it has been idle for a heartbeat."""
        until = self._clock.now() + self._policy.heartbeat_s
        while True:
            batch = self._queue.take(exclusive=self._may_take_exclusive(slot), parts=self._may_take_part())
            left_s = until - self._clock.now()
            if batch or left_s <= 0:
                return batch
            await self._queue.wait(left_s)

    async def _run(self, slot: WorkerSlot, batch: list[PendingRequest]) -> None:
        start = self._clock.now()
        exclusive = any(request.exclusive for request in batch)
        try:
            done = await slot.worker.run(
                [_for_worker(request, start) for request in batch],
                self._policy.kill_after_s(len(batch), exclusive=exclusive),
            )
        except WorkerError:
            raise
        except Exception as error:  # noqa: BLE001
            # A defect of the worker's own code, or a model that does not answer.
            self._note(slot, str(error) if isinstance(error, PredictorError) else "")
            for request in batch:
                request.settle(error)
            return
        failed = next((str(result) for result in done.results if isinstance(result, PredictorError)), "")
        self._note(slot, failed)
        for request, result in zip(batch, done.results, strict=True):
            if isinstance(result, NeedsExclusive):
                self._queue.make_exclusive(request)
            else:
                request.settle(result)
        if batch:
            self._events.on_batch(FinishedBatch(len(batch), start - batch[0].received_at, done))

    def _may_take_exclusive(self, slot: WorkerSlot) -> bool:
        """One worker is always kept for shared requests; where there is only one, it takes turns."""
        alive = sum(not other.down for other in self._slots)
        if alive == 1:
            return not self._queue.shared_waiting or not slot.last_isolated
        return sum(other.isolated for other in self._slots) < alive - 1

    def _may_take_part(self) -> bool:
        """Where there are three workers, another is kept for exclusive requests that are no parts."""
        alive = sum(not other.down for other in self._slots)
        busy = sum(other.isolated and other.with_part for other in self._slots)
        return busy < max(1, alive - 2)

    def _free(self, slot: WorkerSlot) -> None:
        slot.busy_since, slot.batch = None, ()
        self._tell_free_places()

    def _tell_free_places(self) -> None:
        most = self._policy.max_batch
        self._queue.free_places = sum(max(0, most - len(slot.batch)) for slot in self._slots)

    def _after_death(self, batch: list[PendingRequest], why: str) -> None:
        """Ask the batch's requests again, each alone: one of them may be what kills workers.

        A request is given up only if it was alone with the worker and another one has died over it before.
        """
        self._events.on_worker_death(why)
        for request in batch:
            request.deaths += 1
            if len(batch) == 1 and request.deaths > 1:
                request.settle(PredictorError(f"{why}, as the one before it did over the same request"))
            else:
                self._queue.put(request)

    async def _restart(self, slot: WorkerSlot) -> bool:
        """Start the worker again, as often as it takes; false where no worker can be started at all."""
        now = self._clock.now()
        slot.deaths.append(now)
        while now - slot.deaths[0] > self._policy.deaths_within_s:
            slot.deaths.popleft()
        while True:
            await asyncio.sleep(self._policy.restart_after_s(len(slot.deaths) + slot.failed_starts))
            try:
                await slot.worker.restart()
            except Exception as error:  # noqa: BLE001 - whatever it is, there is no worker yet
                slot.failed_starts += 1
                failure = f"a worker did not start again: {error}"
                if failure != slot.trouble:
                    self._events.on_unhealthy(failure)
                    slot.trouble = failure
                if all(other.failed_starts >= self._policy.start_attempts for other in self._slots):
                    self.failure = failure
                    return False
            else:
                slot.trouble, slot.down, slot.failed_starts = "", False, 0
                return True

    def _note(self, slot: WorkerSlot, trouble: str) -> None:
        """Keep what is wrong with a model that answers with errors; report it once."""
        if trouble and not slot.trouble:
            self._events.on_unhealthy(trouble)
        slot.trouble = trouble

    def _overdue(self, slot: WorkerSlot) -> str:
        """That a worker has been busy for too long, in words; else nothing."""
        if slot.busy_since is None:
            return ""
        busy_s = self._clock.now() - slot.busy_since
        exclusive = any(request.exclusive for request in slot.batch)
        if busy_s <= self._policy.suspect_after_s(len(slot.batch), exclusive=exclusive):
            return ""
        return f"a worker has not answered for {busy_s:.1f} s"


def _for_worker(request: PendingRequest, now: float) -> Job:
    """A request's job as the worker gets it."""
    job = request.job
    if not isinstance(job, PictureJob):
        return job
    return job._replace(exclusive=request.isolated, waited_s=now - request.received_at)
