from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
import uvloop

from service.inference.loop_clock import LoopClock

LOOPS = [asyncio.new_event_loop, uvloop.new_event_loop]


def run(test: Callable[[LoopClock], Coroutine[Any, Any, None]], loops: Callable[[], Any]) -> None:
    async def with_clock() -> None:
        clock = LoopClock()
        clock.start()
        async with asyncio.timeout(20):
            await test(clock)
        clock.stop()

    with asyncio.Runner(loop_factory=loops) as runner:
        runner.run(with_clock())


@pytest.mark.parametrize("loops", LOOPS)
def test_a_stall_hardly_counts(loops):
    async def test(clock: LoopClock) -> None:
        await asyncio.sleep(0.2)
        before = clock.now()
        assert 0.1 <= before <= 0.3
        time.sleep(1)
        await asyncio.sleep(0.06)
        assert clock.now() - before < 0.5

    run(test, loops)


@pytest.mark.parametrize("loops", LOOPS)
def test_a_timeout_is_raised_in_its_time_even_where_the_loop_is_always_late(loops):
    async def test(clock: LoopClock) -> None:
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

    run(test, loops)


@pytest.mark.parametrize("loops", LOOPS)
def test_what_came_during_a_stall_is_read_before_anybody_is_told_that_its_time_is_over(loops):
    async def test(clock: LoopClock) -> None:
        async def send(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"answer")
            await writer.drain()
            writer.close()

        server = await asyncio.start_server(send, "127.0.0.1", 0)
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        for patience_s in (0.0, 0.01, 0.05, 0.1):
            async with clock.timeout(patience_s):
                loop = asyncio.get_running_loop()
                loop.call_soon(time.sleep, 0.5)
                assert await reader.read(1)
        writer.close()
        server.close()

    run(test, loops)


def test_a_deadline_may_be_moved():
    async def test(clock: LoopClock) -> None:
        async with clock.timeout(0.1) as deadline:
            deadline.at_s = clock.now() + 60
            await asyncio.sleep(0.4)

    run(test, asyncio.new_event_loop)


def test_time_that_is_excused_does_not_count():
    async def test(clock: LoopClock) -> None:
        begin_s = clock.now()
        with pytest.raises(TimeoutError):
            async with clock.timeout(0.1, excused=lambda: min(0.5, clock.now() - begin_s)):
                await asyncio.Event().wait()
        assert clock.now() - begin_s >= 0.6

    run(test, asyncio.new_event_loop)
