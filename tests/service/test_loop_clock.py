from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from service.inference.loop_clock import LoopClock

LOOPS = [("asyncio", {"use_uvloop": False}), ("asyncio", {"use_uvloop": True})]


@pytest.fixture
async def clock() -> AsyncIterator[LoopClock]:
    clock = LoopClock()
    clock.start()
    yield clock
    clock.stop()


@pytest.mark.parametrize("anyio_backend", LOOPS, ids=["asyncio", "uvloop"])
async def test_a_stall_hardly_counts(clock: LoopClock):
    await asyncio.sleep(0.2)
    before = clock.now()
    assert 0.1 <= before <= 0.3
    time.sleep(1)
    await asyncio.sleep(0.06)
    assert clock.now() - before < 0.5


@pytest.mark.parametrize("anyio_backend", LOOPS, ids=["asyncio", "uvloop"])
async def test_a_timeout_is_raised_in_its_time_even_where_the_loop_is_always_late(clock: LoopClock):
    with pytest.raises(TimeoutError):
        async with clock.timeout(0.2):
            await asyncio.Event().wait()

    async def be_busy() -> None:
        while True:
            time.sleep(0.15)
            await asyncio.sleep(0)

    busy = asyncio.create_task(be_busy())
    with pytest.raises(TimeoutError):
        async with clock.timeout(0.2):
            await asyncio.Event().wait()
    busy.cancel()


@pytest.mark.parametrize("anyio_backend", LOOPS, ids=["asyncio", "uvloop"])
async def test_what_came_during_a_stall_is_read_before_anybody_is_told_that_its_time_is_over(
    clock: LoopClock,
):
    async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"answer")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(send, "127.0.0.1", 0)
    reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
    for timeout_s in (0.0, 0.01, 0.05, 0.1):
        async with clock.timeout(timeout_s):
            loop = asyncio.get_running_loop()
            loop.call_soon(time.sleep, 0.5)
            assert await reader.read(1)
    writer.close()
    server.close()


async def test_a_deadline_may_be_moved(clock: LoopClock):
    async with clock.timeout(0.1) as deadline:
        deadline.at_s = clock.now() + 60
        await asyncio.sleep(0.4)


async def test_time_that_is_excused_does_not_count(clock: LoopClock):
    begin_s = clock.now()
    with pytest.raises(TimeoutError):
        async with clock.timeout(0.1, excused=lambda: min(0.5, clock.now() - begin_s)):
            await asyncio.Event().wait()
    assert clock.now() - begin_s >= 0.6
