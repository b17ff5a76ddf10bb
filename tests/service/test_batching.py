"""The batching policy with workers that do what the test says, and real waiting."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest

from service.inference.errors import OverloadedError, PredictorError, WorkerError
from service.inference.events import Events, FinishedBatch, RefusalReason
from service.inference.jobs import BatchResult, Job, NeedsExclusive, PictureJob, Result, TensorJob
from service.inference.line import Line, ManyParts, PendingRequest
from service.inference.loop_clock import LoopClock
from service.inference.policy import BUCKETS, Policy
from service.inference.queue import RequestQueue
from service.inference.supervisor import Supervisor, Worker
from service.pictures.decode import ImageError

TIMEOUT_S = 10


@dataclass
class ScriptedWorker:
    """Notes its batches; answers when `gate` is open, by `answer` for each job."""

    answer: Callable[[PictureJob], Any] = lambda job: job.data
    gate: asyncio.Event = field(default_factory=asyncio.Event)
    batches: list[list[bytes]] = field(default_factory=list)
    heartbeats: int = 0
    restarts: int = 0
    stopped: bool = False
    trouble: Exception | None = None

    async def run(self, jobs: Sequence[Job], timeout_s: float) -> BatchResult:
        if not jobs:
            self.heartbeats += 1
            if self.trouble:
                raise self.trouble
            return BatchResult([])
        self.batches.append([job.data if isinstance(job, PictureJob) else b"tensor" for job in jobs])
        try:
            async with asyncio.timeout(timeout_s):
                await self.gate.wait()
        except TimeoutError:
            raise WorkerError("it hangs") from None
        if self.trouble:
            raise self.trouble
        return BatchResult([self.answer(job) if isinstance(job, PictureJob) else {} for job in jobs])

    async def restart(self) -> None:
        self.restarts += 1
        self.trouble = None

    async def stop(self) -> None:
        self.stopped = True


@dataclass
class NotedEvents(Events):
    """Keeps what it is told."""

    sizes: list[int] = field(default_factory=list)
    refused: list[RefusalReason] = field(default_factory=list)
    deaths: list[str] = field(default_factory=list)

    def on_batch(self, batch: FinishedBatch) -> None:
        self.sizes.append(batch.size)

    def on_refused(self, reason: RefusalReason) -> None:
        self.refused.append(reason)

    def on_worker_death(self, why: str) -> None:
        self.deaths.append(why)


class Batcher:
    """A queue and the supervisor of its workers, as the engine has them."""

    def __init__(self, workers: Sequence[Worker], policy: Policy) -> None:
        self.events = NotedEvents()
        self.clock = LoopClock()
        self.queue = RequestQueue(policy, self.clock, self.events)
        self.supervisor = Supervisor(workers, self.queue, policy, self.clock, self.events)
        self.clock.start()
        self.queue.start()
        self.supervisor.start()

    @property
    def waiting(self) -> int:
        return len(self.queue)

    async def ask(self, job: Job, **how: Any) -> Result:
        return await self.queue.ask(job, **how)

    def many_parts(self) -> ManyParts:
        return self.queue.admit_many()

    def check(self) -> None:
        self.supervisor.check()

    async def stop(self) -> None:
        await self.supervisor.stop()
        await self.queue.stop()
        self.clock.stop()


def picture(name: int | bytes) -> PictureJob:
    return PictureJob(name if isinstance(name, bytes) else b"%d" % name, "none", 100)


def asked(batcher: Batcher, *names: int | bytes, **how: Any) -> list[asyncio.Task[Any]]:
    return [asyncio.create_task(batcher.ask(picture(name), **how)) for name in names]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(TIMEOUT_S):
        while not condition():
            await asyncio.sleep(0.001)


async def started(*workers: ScriptedWorker, **policy: Any) -> Batcher:
    batcher = Batcher(workers, Policy(**{"heartbeat_s": 60, **policy}))
    await asyncio.sleep(0)  # the drivers go to sleep
    return batcher


@pytest.mark.parametrize(
    ("waiting", "most", "size"),
    [(1, 16, 1), (3, 16, 2), (13, 16, 8), (16, 16, 16), (99, 16, 16), (99, 12, 8)],
)
def test_a_batch_is_the_largest_bucket_that_is_filled(waiting, most, size):
    assert Policy(max_batch=most).bucket(waiting) == size
    assert size in BUCKETS


async def test_requests_share_batches_while_the_worker_is_busy_and_each_gets_its_own_answer():
    worker = ScriptedWorker()
    batcher = await started(worker, max_batch=8)
    first = asked(batcher, 0)
    await until(lambda: len(worker.batches) == 1)
    rest = asked(batcher, *range(1, 14))
    await until(lambda: batcher.waiting == 13)
    worker.gate.set()
    assert await asyncio.gather(*first, *rest) == [b"%d" % i for i in range(14)]
    assert [len(batch) for batch in worker.batches] == [1, 8, 4, 1]
    assert [data for batch in worker.batches for data in batch] == [b"%d" % i for i in range(14)]
    await batcher.stop()
    assert worker.stopped


async def test_two_workers_work_at_the_same_time():
    workers = ScriptedWorker(), ScriptedWorker()
    batcher = await started(*workers)
    tasks = asked(batcher, 0)
    await until(lambda: sum(len(worker.batches) for worker in workers) == 1)
    tasks += asked(batcher, 1)
    await until(lambda: all(len(worker.batches) == 1 for worker in workers))
    for worker in workers:
        worker.gate.set()
    assert await asyncio.gather(*tasks) == [b"0", b"1"]
    await batcher.stop()


async def test_a_worker_waits_for_company_only_as_long_as_the_policy_says():
    worker = ScriptedWorker()
    worker.gate.set()
    batcher = await started(worker, max_wait_s=0.05, max_batch=4)
    tasks = asked(batcher, 0)
    await asyncio.sleep(0.01)
    assert worker.batches == []
    tasks += asked(batcher, 1)
    await asyncio.gather(*tasks)
    assert worker.batches == [[b"0", b"1"]]
    await asyncio.gather(*asked(batcher, 2, 3, 4, 5))  # a full batch waits for nobody
    assert worker.batches[1] == [b"2", b"3", b"4", b"5"]
    await batcher.stop()


async def test_a_full_queue_refuses_at_once_and_takes_again_when_there_is_room():
    worker = ScriptedWorker()
    batcher = await started(worker, max_waiting=3, max_batch=1)
    many = batcher.many_parts()
    tasks = asked(batcher, 0)
    await until(lambda: len(worker.batches) == 1)
    tasks += asked(batcher, 1, 2, 3)
    await until(lambda: batcher.waiting == 3)
    with pytest.raises(OverloadedError, match="3 requests wait") as caught:
        await batcher.ask(picture(4))
    assert caught.value.retry_after_s == 1
    assert batcher.events.refused == ["queue_full"]
    tasks += asked(batcher, 5, many=many)  # of a request that was let in before
    worker.gate.set()
    assert await asyncio.gather(*tasks) == [b"0", b"1", b"2", b"3", b"5"]
    assert await batcher.ask(picture(6)) == b"6"
    await batcher.stop()


async def test_who_waits_for_too_long_is_told_though_the_worker_hangs():
    worker = ScriptedWorker()
    batcher = await started(worker, deadline_s=0.1, hang_s=60)
    running = asked(batcher, 0)
    await until(lambda: len(worker.batches) == 1)
    with pytest.raises(OverloadedError, match=r"no worker was free for 0\.1 s"):
        await batcher.ask(picture(1))
    worker.gate.set()
    assert await asyncio.gather(*running) == [b"0"]
    assert worker.batches == [[b"0"]]
    await batcher.stop()


async def test_who_has_gone_is_not_worked_for():
    worker = ScriptedWorker()
    batcher = await started(worker)
    running = asked(batcher, 0)
    await until(lambda: len(worker.batches) == 1)
    (gone,) = asked(batcher, 1)
    await until(lambda: batcher.waiting == 1)
    gone.cancel()
    await asyncio.gather(gone, return_exceptions=True)
    running += asked(batcher, 2)
    worker.gate.set()
    assert await asyncio.gather(*running) == [b"0", b"2"]
    assert worker.batches == [[b"0"], [b"2"]]
    await batcher.stop()


async def test_errors_of_single_pictures_reach_only_those():
    worker = ScriptedWorker(lambda job: ImageError("broken") if job.data == b"1" else job.data)
    worker.gate.set()
    batcher = await started(worker)
    answers = await asyncio.gather(*asked(batcher, 0, 1, 2), return_exceptions=True)
    assert answers[0::2] == [b"0", b"2"]
    assert isinstance(answers[1], ImageError)
    batcher.check()
    await batcher.stop()


async def test_a_large_picture_is_asked_again_alone_and_small_ones_keep_a_worker():
    large = {b"L1", b"L2"}
    workers = ScriptedWorker(), ScriptedWorker()
    for worker in workers:
        worker.answer = lambda job: NeedsExclusive() if job.data in large and not job.exclusive else job.data
    batcher = await started(*workers)
    tasks = asked(batcher, b"L1", b"L2", exclusive=True)
    await until(lambda: sum(len(worker.batches) for worker in workers) == 1)
    tasks += asked(batcher, 1)
    await until(lambda: all(len(worker.batches) == 1 for worker in workers))
    assert sorted(worker.batches[0][0] for worker in workers) == [b"1", b"L1"]  # L2 waits
    for worker in workers:
        worker.gate.set()
    assert await asyncio.gather(*tasks) == [b"L1", b"L2", b"1"]
    assert await asyncio.gather(*asked(batcher, 2, b"L1", 3)) == [b"2", b"L1", b"3"]
    every = [batch for worker in workers for batch in worker.batches]
    assert [b"L1"] in every[1:]
    await batcher.stop()


async def test_a_picture_that_turns_out_to_be_large_is_refused_where_too_many_large_ones_wait():
    def answer(job: PictureJob) -> Any:
        return job.data if job.exclusive else NeedsExclusive()

    workers = ScriptedWorker(answer), ScriptedWorker(answer)
    batcher = await started(*workers, max_waiting_exclusive=1)
    tasks = asked(batcher, b"L0", exclusive=True)
    await until(lambda: any(worker.batches for worker in workers))
    tasks += asked(batcher, b"L1", exclusive=True)
    await until(lambda: batcher.waiting == 1)
    for worker in workers:
        if not worker.batches:
            worker.gate.set()  # it is kept for small pictures
    with pytest.raises(OverloadedError, match="1 large pictures wait"):
        await batcher.ask(picture(b"L2"))
    assert batcher.events.refused == ["queue_full"]
    for worker in workers:
        worker.gate.set()
    assert await asyncio.gather(*tasks) == [b"L0", b"L1"]
    assert await batcher.ask(picture(b"L2")) == b"L2"
    await batcher.stop()


async def test_a_worker_is_told_how_long_a_picture_has_waited():
    worker = ScriptedWorker(lambda job: job.waited_s)
    batcher = await started(worker)
    tasks = asked(batcher, 0)
    await until(lambda: len(worker.batches) == 1)
    tasks += asked(batcher, 1)
    await asyncio.sleep(0.1)
    worker.gate.set()
    first_s, second_s = await asyncio.gather(*tasks)
    assert 0 <= first_s < 0.1 <= second_s + 0.001 < 1
    await batcher.stop()


async def test_tensors_share_batches_with_each_other_but_not_with_pictures():
    worker = ScriptedWorker()
    batcher = await started(worker)
    tasks = asked(batcher, 0)
    await until(lambda: len(worker.batches) == 1)
    tasks += asked(batcher, 1)
    scenes = np.zeros((6, 1, 100, 100), np.uint8)  # two of them are fewer than 16, three are more
    tasks += [asyncio.create_task(batcher.ask(TensorJob(scenes, ("box",)))) for _ in range(3)]
    tasks += asked(batcher, 2)
    await until(lambda: batcher.waiting == 5)
    worker.gate.set()
    assert await asyncio.gather(*tasks) == [b"0", b"1", {}, {}, {}, b"2"]
    assert worker.batches == [[b"0"], [b"1"], [b"tensor", b"tensor"], [b"tensor"], [b"2"]]
    await batcher.stop()


async def test_a_death_loses_no_request_and_the_worker_is_started_again():
    worker = ScriptedWorker(trouble=WorkerError("a worker ended by signal 9"))
    batcher = await started(worker)
    worker.gate.set()
    assert await asyncio.gather(*asked(batcher, 0, 1)) == [b"0", b"1"]
    assert worker.batches == [[b"0", b"1"], [b"0"], [b"1"]]  # alone: one of them may be the reason
    assert worker.restarts == 1
    assert batcher.events.deaths == ["a worker ended by signal 9"]
    batcher.check()
    await batcher.stop()


async def test_a_request_that_kills_workers_is_given_up_and_the_others_are_answered():
    worker = ScriptedWorker()

    def answer(job: PictureJob) -> bytes:
        if job.data == b"poison":
            raise WorkerError("a worker ended by signal 11")
        return job.data

    worker.answer = answer
    worker.gate.set()
    batcher = await started(worker)
    answers = await asyncio.gather(*asked(batcher, 0, b"poison", 1), return_exceptions=True)
    assert [answers[0], answers[2]] == [b"0", b"1"]
    assert isinstance(answers[1], PredictorError)
    assert "as the one before it did over the same request" in str(answers[1])
    await until(lambda: worker.restarts == 2)
    await batcher.stop()


async def test_the_more_pictures_are_in_a_batch_the_longer_a_worker_may_take_and_one_alone_gets_no_more():
    worker = ScriptedWorker()
    waits: list[tuple[int, float]] = []
    answer_batch = worker.run

    async def note(jobs: Sequence[Job], timeout_s: float) -> BatchResult:
        waits.append((len(jobs), timeout_s))
        return await answer_batch(jobs, timeout_s)

    worker.run = note  # type: ignore[method-assign]
    batcher = await started(worker, hang_s=3.0, suspect_s=0.1, exclusive_s=30.0)
    tasks = asked(batcher, 0)
    await until(lambda: len(worker.batches) == 1)
    tasks += asked(batcher, *range(1, 17))
    await until(lambda: batcher.waiting == 16)
    worker.gate.set()
    await asyncio.gather(*tasks)
    assert waits == [(1, 3.0), (16, pytest.approx(18.0))]
    worker.gate.clear()
    tasks = asked(batcher, *range(16))
    await until(lambda: len(worker.batches) == 3)
    await asyncio.sleep(0.3)
    batcher.check()  # one picture alone would be suspected by now
    worker.trouble = WorkerError("it died")
    worker.gate.set()
    await asyncio.gather(*tasks)
    assert waits[3:] == [(1, 3.0)] * 16  # one by one, and none of them is large
    await batcher.stop()


async def test_a_picture_is_blamed_only_where_it_was_alone():
    worker = ScriptedWorker()
    deaths = iter([1, 1, 0])  # with all, then with the first alone, then never again

    def answer(job: PictureJob) -> bytes:
        if job.data == b"1" and next(deaths, 0):
            raise WorkerError("it died")
        return job.data

    worker.answer = answer
    worker.gate.set()
    batcher = await started(worker, backoff_s=0.01)
    answers = await asyncio.gather(*asked(batcher, 0, 1, 2), return_exceptions=True)
    assert worker.batches[0] == [b"0", b"1"]
    assert answers[0::2] == [b"0", b"2"]
    assert isinstance(answers[1], PredictorError)
    worker.answer = lambda job: job.data
    worker.trouble = WorkerError("it died once, by chance")
    (answer_to_one,) = await asyncio.gather(*asked(batcher, 3))
    assert answer_to_one == b"3"
    await batcher.stop()


async def test_a_hanging_worker_is_not_ready_soon_and_is_replaced_later():
    worker = ScriptedWorker()
    batcher = await started(worker, suspect_s=0.05, hang_s=0.3)
    tasks = asked(batcher, 0)
    await until(lambda: len(worker.batches) == 1)
    batcher.check()
    await asyncio.sleep(0.1)
    with pytest.raises(PredictorError, match=r"a worker has not answered for 0\.\d s"):
        batcher.check()
    await until(lambda: worker.restarts == 1)
    worker.gate.set()
    assert await asyncio.gather(*tasks) == [b"0"]
    batcher.check()
    await batcher.stop()


async def test_idle_workers_have_to_show_that_the_model_answers():
    worker = ScriptedWorker()
    batcher = await started(worker, heartbeat_s=0.01)
    await until(lambda: worker.heartbeats > 1)
    batcher.check()
    worker.trouble = PredictorError("the device is lost")
    await until(lambda: _trouble(batcher) == "the device is lost")
    worker.trouble = None
    await until(lambda: _trouble(batcher) == "")
    assert worker.restarts == 0
    await batcher.stop()


async def test_deaths_without_end_make_it_not_ready_and_restarts_back_off():
    worker = ScriptedWorker()
    restarts_s: list[float] = []
    trouble = WorkerError("it died")

    async def restart_in_vain() -> None:
        restarts_s.append(asyncio.get_running_loop().time())

    worker.restart = restart_in_vain  # type: ignore[method-assign]
    worker.gate.set()
    worker.trouble = trouble
    batcher = await started(worker, heartbeat_s=0.001, backoff_s=0.02, max_backoff_s=0.1)
    await until(lambda: len(restarts_s) == 8)
    waits_s = [later - sooner for sooner, later in itertools.pairwise(restarts_s)]
    assert all(wait_s >= 0.02 * 2**i - 0.005 for i, wait_s in enumerate(waits_s[:3]))
    assert all(wait_s >= 0.095 for wait_s in waits_s[3:])
    await until(lambda: _trouble(batcher) == "it died")
    worker.trouble = None
    assert await batcher.ask(picture(0)) == b"0"
    await until(lambda: _trouble(batcher) == "")
    assert batcher.supervisor.failure == ""
    await batcher.stop()


async def test_it_ends_only_where_no_worker_can_be_started_at_all():
    workers = ScriptedWorker(), ScriptedWorker()
    starts: Counter[int] = Counter()

    def failing(number: int) -> Callable[[], Coroutine[Any, Any, None]]:
        async def fail() -> None:
            starts[number] += 1
            raise PredictorError("the file has gone")

        return fail

    for number, worker in enumerate(workers):
        worker.restart = failing(number)  # type: ignore[method-assign]
        worker.gate.set()
    batcher = await started(*workers, heartbeat_s=0.001, backoff_s=0.001, max_backoff_s=0.001)
    workers[0].trouble = WorkerError("it died")
    await until(lambda: starts[0] > 10)
    assert batcher.supervisor.failure == ""  # the other one is there
    assert await asyncio.gather(*asked(batcher, 0, 1, b"L", exclusive=True)) == [b"0", b"1", b"L"]
    with pytest.raises(PredictorError, match="a worker did not start again: the file has gone"):
        batcher.check()
    workers[1].trouble = WorkerError("it died")
    await until(lambda: bool(batcher.supervisor.failure))
    assert starts[1] == 3
    assert batcher.supervisor.failure == "a worker did not start again: the file has gone"
    await batcher.stop()


async def test_who_waits_while_no_worker_is_there_is_told_so_after_the_deadline():
    worker = ScriptedWorker(trouble=WorkerError("it died"))
    worker.gate.set()

    async def hang() -> None:
        await asyncio.Event().wait()

    worker.restart = hang  # type: ignore[method-assign]
    batcher = await started(worker, deadline_s=0.1)
    with pytest.raises(OverloadedError, match="no worker was free"):
        await batcher.ask(picture(0))
    await batcher.stop()


@pytest.mark.parametrize("exclusive", [False, True])
async def test_a_stall_of_the_loop_costs_no_request_its_deadline(exclusive):
    worker = ScriptedWorker()
    batcher = await started(worker, deadline_s=0.3, suspect_s=0.3, max_batch=1)
    tasks = asked(batcher, 0, 1, exclusive=exclusive)
    await until(lambda: len(worker.batches) == 1)
    time.sleep(0.6)
    for _ in range(5):
        await asyncio.sleep(0.01)
        batcher.check()
    worker.gate.set()
    assert await asyncio.gather(*tasks) == [b"0", b"1"]
    await batcher.stop()


async def test_single_requests_go_before_the_parts_of_one_with_many_which_get_on_nevertheless():
    worker = ScriptedWorker()
    batcher = await started(worker, max_batch=1, deadline_s=60)
    many, other = batcher.many_parts(), batcher.many_parts()
    tasks = asked(batcher, b"a0", exclusive=True, many=many)
    await until(lambda: len(worker.batches) == 1)
    tasks += asked(batcher, b"a1", b"a2", b"a3", exclusive=True, many=many)
    tasks += asked(batcher, b"b0", b"b1", exclusive=True, many=other)
    tasks += asked(batcher, b"L0", b"L1", exclusive=True)
    await until(lambda: batcher.waiting == 7)
    worker.gate.set()
    await asyncio.gather(*tasks)
    asked_for = [data for (data,) in worker.batches]
    assert asked_for == [b"a0", b"L0", b"L1", b"a1", b"b0", b"a2", b"b1", b"a3"]
    worker.gate.clear()
    batcher = await started(worker, max_batch=1, deadline_s=0.5, hang_s=60)  # a part's turn is 0.1 s
    del worker.batches[:]
    tasks = asked(batcher, b"L0", exclusive=True)
    await until(lambda: len(worker.batches) == 1)
    tasks += asked(batcher, b"a0", b"a1", exclusive=True, many=batcher.many_parts())
    tasks += asked(batcher, b"L1", b"L2", exclusive=True)
    await asyncio.sleep(0.25)
    worker.gate.set()
    await asyncio.gather(*tasks)
    assert [data for (data,) in worker.batches] == [b"L0", b"L1", b"a0", b"L2", b"a1"]
    await batcher.stop()


async def test_no_two_parts_go_before_a_single_request_however_long_each_takes():
    line = Line(LoopClock(), part_turn_s=0.0)
    many = ManyParts(0.0)
    for name, parts in ((b"S", None), (b"p", many)):
        for _ in range(4):
            result: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
            line.append(PendingRequest(picture(name), result, 0.0, many=parts))
    taken = [request for _ in range(8) for request in line.take(1)]
    assert b"".join(request.job.data for request in taken if isinstance(request.job, PictureJob)) == (
        b"SpSpSpSp"
    )
    assert len(line) == 0


async def test_with_three_workers_one_is_kept_for_single_large_pictures_and_one_for_small_ones():
    workers = ScriptedWorker(), ScriptedWorker(), ScriptedWorker()
    batcher = await started(*workers)
    tasks = asked(batcher, b"a0", b"a1", exclusive=True, many=batcher.many_parts())

    def at_work() -> list[bytes]:
        return sorted(worker.batches[-1][0] for worker in workers if worker.batches)

    await until(lambda: at_work() == [b"a0"])
    tasks += asked(batcher, b"L0", b"L1", exclusive=True)
    await until(lambda: at_work() == [b"L0", b"a0"])
    tasks += asked(batcher, b"s")
    await until(lambda: at_work() == [b"L0", b"a0", b"s"])
    for worker in workers:
        worker.gate.set()
    await asyncio.gather(*tasks)
    await batcher.stop()


async def test_the_deadline_of_a_request_with_many_parts_counts_from_its_last_progress():
    worker = ScriptedWorker()
    answer_batch = worker.run

    async def take_long(jobs: Sequence[Job], timeout_s: float) -> BatchResult:
        await asyncio.sleep(0.25)  # four of them take far longer than the deadline
        return await answer_batch(jobs, timeout_s)

    worker.run = take_long  # type: ignore[method-assign]
    worker.gate.set()
    batcher = await started(worker, max_batch=1, deadline_s=0.5)
    assert await asyncio.gather(*asked(batcher, *range(4), many=batcher.many_parts())) == [
        b"%d" % number for number in range(4)
    ]
    worker.gate.clear()
    answers = asyncio.gather(*asked(batcher, 0, 1, many=batcher.many_parts()), return_exceptions=True)
    await until(lambda: len(worker.batches) == 5)
    await until(lambda: batcher.waiting == 0)
    worker.gate.set()
    first, second = await answers
    assert first == b"0"
    assert isinstance(second, OverloadedError)  # there was no progress
    await batcher.stop()


async def test_a_defect_of_a_worker_reaches_who_asked_and_nobody_hangs():
    worker = ScriptedWorker(trouble=ZeroDivisionError("a defect"))
    worker.gate.set()
    batcher = await started(worker)
    answers = await asyncio.gather(*asked(batcher, 0, 1), return_exceptions=True)
    assert [type(answer) for answer in answers] == [ZeroDivisionError, ZeroDivisionError]
    worker.trouble = None
    assert await batcher.ask(picture(2)) == b"2"
    await batcher.stop()


async def test_a_batch_is_told_of_for_metrics():
    worker = ScriptedWorker()
    batcher = await started(worker)
    worker.gate.set()
    await asyncio.gather(*asked(batcher, 0, 1, 2))
    assert sum(batcher.events.sizes) == 3
    await batcher.stop()


def _trouble(batcher: Batcher) -> str:
    try:
        batcher.check()
    except PredictorError as error:
        return str(error)
    return ""
