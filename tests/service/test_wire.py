"""What goes between the service and its workers is data, whatever a worker sends."""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest

from models.contract import ContractError
from service.inference.errors import PredictorError, WorkerError
from service.inference.jobs import (
    BatchResult,
    Job,
    NeedsExclusive,
    PictureJob,
    TensorJob,
    WorkerConfig,
    WorkerInfo,
)
from service.inference.loop_clock import LoopClock
from service.inference.process import WorkerProcess
from service.inference.wire import (
    WireError,
    WorkerDefectError,
    pack,
    receive,
    receive_blocking,
)
from service.inference.work import Work
from service.pictures.decode import ImageError, TooManyPixelsError
from tests.service.fakes import BlobPredictor, encode

PICTURE = PictureJob(b"\x00\xff", "none", 100, waited_s=1.5)
SCENES = TensorJob(np.arange(20_000, dtype=np.uint8).reshape(2, 1, 100, 100), ("box", "glimpse"))
ORDERS = WorkerConfig(Path("a/model.onnx"), "cpu", 1, 16)


async def sent(data: bytes) -> Any:
    """What the service makes of bytes that a worker sends before it ends."""

    stream = asyncio.StreamReader()
    stream.feed_data(data)
    stream.feed_eof()
    return await receive(stream, lambda: None)


def message(tree: object, behind: bytes = b"") -> bytes:
    text = orjson.dumps(tree)
    return struct.pack("<QQ", len(text), len(behind)) + text + behind


@pytest.mark.parametrize(
    "told",
    [
        ORDERS,
        WorkerInfo("ü", "1", "CPU", ""),
        [PICTURE, PICTURE._replace(exclusive=True, data=b"")],
        BatchResult([b"{}", NeedsExclusive(), b""], 0.5, 0.0, 1e-9),
        [],
    ],
)
async def test_what_is_told_arrives_as_it_was(told):
    assert await sent(pack(told)) == told
    assert type(await sent(pack(told))) is type(told)
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.sendall(pack(told))
        assert receive_blocking(theirs) == told


async def test_arrays_arrive_as_they_were():
    (job,) = await sent(pack([SCENES]))
    assert job.names == SCENES.names
    np.testing.assert_array_equal(job.scenes, SCENES.scenes)
    box = np.array([[1.5, -2], [np.inf, 0]], np.float32)[:, ::-1]
    done = await sent(pack(BatchResult([{"box": box}])))
    np.testing.assert_array_equal(done.results[0]["box"], box)
    assert done.results[0]["box"].dtype == np.float32


@pytest.mark.parametrize("kind", [ImageError, TooManyPixelsError, PredictorError, ContractError])
async def test_errors_arrive_as_what_they_are(kind):
    error = await sent(pack(kind("a reason")))
    assert type(error) is kind
    assert str(error) == "a reason"


async def test_a_defect_arrives_as_its_traceback():
    error = await sent(pack(ZeroDivisionError("made by a test")))
    assert type(error) is WorkerDefectError
    assert "ZeroDivisionError: made by a test" in str(error)


class Hostile:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("/nonexistent/it-has-run"),)


PICKLED = pickle.dumps(Hostile())
DEEP = b'["list",' * 900 + b"0" + b"]" * 900


@pytest.mark.parametrize(
    "data",
    [
        struct.pack("<QQ", len(PICKLED), 0) + PICKLED,
        struct.pack("<Q", len(PICKLED)) + PICKLED + bytes(100),
        struct.pack("<QQ", 2**62, 2**62),
        message(["os.system", "true"]),
        message(["BatchResult"]),
        message(["BatchResult", *["list"] * 9]),
        message([]),
        message([["list"]]),
        message(["bytes", 5], b"1234"),
        message(["bytes", -1], b"1234"),
        message(["array", "O", [1], 8], bytes(8)),
        message(["array", "<f4", [3], 8], bytes(8)),
        message(["array", "no such type", [3], 8], bytes(8)),
        message(["dict", ["a", "b"], 1]),
        message(["dict", [[]], 1]),
        struct.pack("<QQ", len(DEEP), 0) + DEEP,
    ],
)
async def test_what_is_no_message_is_refused_and_never_run(data):
    with pytest.raises(WireError):
        await sent(data)


@pytest.mark.parametrize(
    ("jobs", "answer"),
    [
        ([PICTURE], ["a list"]),
        ([PICTURE], WorkerInfo("a", "b", "c", "d")),
        ([PICTURE], BatchResult([])),
        ([PICTURE], BatchResult([b"", b""])),
        ([PICTURE], BatchResult([{}])),
        ([PICTURE], BatchResult(["text"])),  # type: ignore[list-item]
        ([PICTURE], BatchResult("text")),  # type: ignore[arg-type]
        ([PICTURE], BatchResult([b""], "slow")),  # type: ignore[arg-type]
        ([PICTURE], BatchResult([b""], looks=-1)),
        ([PICTURE], BatchResult([b""], looks=0.5)),  # type: ignore[arg-type]
        ([PICTURE._replace(exclusive=True)], BatchResult([NeedsExclusive()])),
        ([SCENES], BatchResult([b""])),
        ([SCENES], BatchResult([{"box": np.zeros((2, 4), np.float32)}])),
        ([SCENES], BatchResult([{name: np.zeros((3, 4), np.float32) for name in SCENES.names}])),
        ([SCENES], BatchResult([{name: np.zeros((2, 4), np.float64) for name in SCENES.names}])),
    ],
)
async def test_an_answer_to_something_else_costs_the_worker(jobs, answer):
    """A worker whose decoder was taken over may say what it likes; the service goes on with another one."""
    with pytest.raises(WorkerError, match="does not fit its batch"):
        await ask_a_liar(jobs, pack(answer))


async def test_what_is_no_message_costs_the_worker():
    with pytest.raises(WorkerError, match="invalid message"):
        await ask_a_liar([PICTURE], message(["os.system", "true"]))


async def test_the_answers_of_the_workers_own_code_are_taken():
    """Whatever a worker comes to say: what it really sends has to be what the service lets pass."""
    work = Work(BlobPredictor())
    picture = PICTURE._replace(data=encode(np.zeros((100, 100), np.uint8)), max_pixels=10**6)
    large = picture._replace(data=encode(np.zeros((1000, 1000), np.uint8)))
    pictures: list[Job] = [picture, PICTURE, large]
    batches: tuple[list[Job], ...] = (pictures, [large._replace(exclusive=True)], [SCENES], [])
    for jobs in batches:
        done = await ask_a_liar(jobs, pack(work(jobs)))
        assert len(done.results) == len(jobs)


async def test_the_answer_of_an_honest_worker_is_taken():
    outputs = {name: np.zeros((2, 4), np.float32) for name in SCENES.names}
    for jobs, answer in (
        ([PICTURE], BatchResult([NeedsExclusive()])),
        ([SCENES], BatchResult([outputs])),
        ([], BatchResult([])),
    ):
        found = await ask_a_liar(jobs, pack(answer))
        assert len(found.results) == len(answer.results)


async def ask_a_liar(jobs: Sequence[Job], answer: bytes) -> BatchResult:
    """Ask a worker process that gives this answer, whatever it is asked."""
    ours, theirs = socket.socketpair()
    clock = LoopClock()
    clock.start()
    worker = WorkerProcess(ORDERS, clock)
    worker._process = await asyncio.create_subprocess_exec("sleep", "60")
    worker._reader, worker._writer = await asyncio.open_connection(sock=ours)
    theirs.sendall(answer)
    try:
        return await worker.run(jobs, 20)
    finally:
        theirs.close()
        await worker._kill()
        clock.stop()
