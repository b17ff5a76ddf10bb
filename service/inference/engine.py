"""The engine: the model behind a queue, from pictures to JSON answers."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from typing import NamedTuple, TypeVar

import anyio
import numpy as np
import numpy.typing as npt
from anyio import to_thread

from service.inference.cores import usable_cores
from service.inference.errors import OverloadedError, PredictorError, StoppingError
from service.inference.events import Events
from service.inference.jobs import BatchResult, Job, Outputs, PictureJob, TensorJob, WorkerConfig, WorkerInfo
from service.inference.line import ManyParts
from service.inference.loop_clock import LoopClock
from service.inference.policy import EXCLUSIVE_BYTES, Policy
from service.inference.predictor import Predictor
from service.inference.process import WorkerProcess
from service.inference.queue import RequestQueue
from service.inference.supervisor import Supervisor, Worker
from service.inference.work import Work
from service.pictures.decode import ImageError
from service.queries import Maps
from service.settings import Settings

_WAITING_PER_WORKER = 20
_SCENES_PER_PART = 8
_BATCH_REQUESTS = 8
"""How many batch requests may wait, each with all the pictures that it has in flight."""

_Part = TypeVar("_Part")
_Given = TypeVar("_Given")


class Engine:
    """A model behind a queue. Made by `start_engine`, or from a predictor by `engine_in_process`."""

    def __init__(
        self, info: WorkerInfo, workers: Sequence[Worker], policy: Policy, max_pixels: int, clock: LoopClock
    ) -> None:
        self.name, self.version, self.provider, self.provider_note = info
        self.max_pixels = max_pixels
        self._workers = workers
        self._policy = policy
        self._clock = clock
        self._running: _Running | None = None
        self._pictures_in_flight = policy.max_batch * len(workers)
        self._stopping = False

    @asynccontextmanager
    async def running(self, events: Events | None = None) -> AsyncIterator[None]:
        """Take jobs; in the end stop the workers.

        Args:
            events: receives the engine's events.
        """
        events = events or Events()
        queue = RequestQueue(self._policy, self._clock, events)
        supervisor = Supervisor(self._workers, queue, self._policy, self._clock, events)
        self._clock.start()
        queue.start()
        supervisor.start()
        self._running = _Running(queue, supervisor)
        try:
            yield
        finally:
            self._stopping = True
            await supervisor.stop()
            await queue.stop()
            self._clock.stop()

    @property
    def waiting(self) -> int:
        """How many pictures wait for a worker."""
        return len(self._running.queue) if self._running else 0

    @property
    def worker_pids(self) -> list[int | None]:
        """The ids of the worker processes, None for one that is down; empty if workers are threads."""
        return [worker.pid for worker in self._workers if isinstance(worker, WorkerProcess)]

    @property
    def failure(self) -> str:
        """Why the engine has given up: no worker is left, and none can be started; else empty."""
        return self._running.supervisor.failure if self._running else ""

    def is_full(self, admitted: int = 0) -> bool:
        """Whether a small picture would be refused now, with `admitted` more on their way to the queue."""
        return self._running is not None and self._running.queue.is_full(admitted)

    def check(self) -> None:
        """Raise PredictorError unless the model can answer now and the service is not stopping."""
        if self._stopping:
            raise StoppingError
        self._parts_of_running().supervisor.check()

    def prepare_to_stop(self) -> None:
        """Stop being ready, but answer what comes."""
        self._stopping = True

    async def answer(self, data: bytes, maps: Maps) -> bytes:
        """The JSON answer to one picture.

        Raises:
            ImageError: the picture cannot be read.
            OverloadedError: the queue is full, or the answer would come too late.
            PredictorError: the model cannot answer.
        """
        return await self._answer(data, maps)

    async def answer_many(
        self, files: Sequence[bytes], maps: Maps
    ) -> list[bytes | ImageError | PredictorError]:
        """The JSON answers to pictures in their order, or the error that `answer` would raise.

        A few pictures are in flight at a time, as many as the workers' batches hold.

        Raises:
            OverloadedError: too many pictures of batch requests wait already.
            PredictorError: no picture has an answer, and the pictures are not the reason.
        """
        overload: OverloadedError | None = None

        async def one(data: bytes, many: ManyParts) -> bytes | ImageError | PredictorError:
            nonlocal overload
            if overload is not None:
                return overload  # the request has made no progress within its deadline
            try:
                return await self._answer(data, maps, many)
            except (ImageError, PredictorError) as error:
                if isinstance(error, OverloadedError):
                    overload = error
                return error

        answers = await self._share(one, files, self._pictures_in_flight)
        if all(isinstance(answer, PredictorError) for answer in answers):
            raise next(answer for answer in answers if isinstance(answer, PredictorError))
        return answers

    async def infer(self, scenes: npt.NDArray[np.uint8], names: tuple[str, ...]) -> Outputs:
        """The model's outputs of these names for scenes, uint8 `[n, 1, 100, 100]`; errors as `answer`.

        Many scenes are sent in parts, so that other requests can run in between.
        """
        if len(scenes) <= _SCENES_PER_PART:
            return await self._infer(scenes, names)

        async def one(part: npt.NDArray[np.uint8], many: ManyParts) -> Outputs:
            return await self._infer(part, names, many)

        parts = [scenes[i : i + _SCENES_PER_PART] for i in range(0, len(scenes), _SCENES_PER_PART)]
        found = await self._share(one, parts, self._pictures_in_flight // _SCENES_PER_PART)
        return {name: np.concatenate([outputs[name] for outputs in found]) for name in names}

    async def _share(
        self, ask: Callable[[_Part, ManyParts], Awaitable[_Given]], parts: Sequence[_Part], in_flight: int
    ) -> list[_Given]:
        """The results of `ask` for the parts of a request, with so many in flight at a time."""
        many = self._queue().admit_many()
        left = iter(enumerate(parts))
        given: dict[int, _Given] = {}

        async def ask_on() -> None:
            for index, part in left:
                given[index] = await ask(part, many)

        tasks = [asyncio.create_task(ask_on()) for _ in range(min(max(1, in_flight), len(parts)))]
        try:
            await asyncio.gather(*tasks)
        finally:
            for task in tasks:  # if one has failed, the others are not needed
                task.cancel()
        return [given[index] for index in range(len(parts))]

    async def _infer(
        self, scenes: npt.NDArray[np.uint8], names: tuple[str, ...], many: ManyParts | None = None
    ) -> Outputs:
        outputs = await self._queue().ask(TensorJob(scenes, names), many=many)
        assert isinstance(outputs, dict)
        return outputs

    async def _answer(self, data: bytes, maps: Maps, many: ManyParts | None = None) -> bytes:
        job = PictureJob(data, maps, self.max_pixels)
        answer = await self._queue().ask(job, exclusive=len(data) > EXCLUSIVE_BYTES, many=many)
        assert isinstance(answer, bytes)
        return answer

    def _queue(self) -> RequestQueue:
        return self._parts_of_running().queue

    def _parts_of_running(self) -> _Running:
        if self._running is None:
            raise PredictorError("the service has not started yet")
        return self._running


class _Running(NamedTuple):
    """The parts of a running engine."""

    queue: RequestQueue
    supervisor: Supervisor


async def start_engine(settings: Settings) -> Engine:
    """Start the worker processes of the settings, and wait until all of them are ready.

    Raises:
        ContractError, ProviderError, PredictorError: the model cannot be used.
        WorkerError: a worker ended without a message.
    """
    cores = usable_cores()
    count = settings.workers or cores
    config = WorkerConfig(
        settings.model_path, settings.provider, settings.threads or max(1, cores // count), settings.max_batch
    )
    clock = LoopClock()
    workers = [WorkerProcess(config, clock) for _ in range(count)]
    clock.start()
    try:
        started = await asyncio.gather(*(worker.start() for worker in workers))
    except BaseException:
        await asyncio.gather(*(worker.stop() for worker in workers))
        clock.stop()
        raise
    policy = Policy(
        max_batch=settings.max_batch,
        max_wait_s=settings.max_wait_ms / 1000,
        max_waiting=settings.max_queue or _WAITING_PER_WORKER * count,
        max_waiting_parts=_BATCH_REQUESTS * settings.max_batch * count,
        deadline_s=settings.deadline_s,
    )
    return Engine(started[0], workers, policy, settings.max_pixels, clock)


class _ThreadWorker:
    """A worker that is a thread of this process: it cannot be killed, but needs no start."""

    def __init__(self, predictor: Predictor) -> None:
        self._work = Work(predictor)
        self._limiter = anyio.CapacityLimiter(1)

    async def run(self, jobs: Sequence[Job], timeout_s: float) -> BatchResult:
        """See `service.inference.supervisor.Worker`; a thread cannot be given up."""
        del timeout_s
        return await to_thread.run_sync(self._work, jobs, limiter=self._limiter)

    async def restart(self) -> None:
        """See `service.inference.supervisor.Worker`."""

    async def stop(self) -> None:
        """See `service.inference.supervisor.Worker`."""


def engine_in_process(
    predictor: Predictor, *, max_pixels: int = 25_000_000, workers: int = 2, policy: Policy | None = None
) -> Engine:
    """An engine around a predictor in this process: for tests, and to embed the app elsewhere."""
    info = WorkerInfo(predictor.name, predictor.version, predictor.provider, "")
    threads = [_ThreadWorker(predictor) for _ in range(workers)]
    return Engine(info, threads, policy or Policy(), max_pixels, LoopClock())
