"""A worker process as the service sees it: start, ask, notice its death, start again."""

from __future__ import annotations

import asyncio
import socket
import sys
from collections.abc import Sequence

from service.inference.batching import WorkerError
from service.inference.wire import Orders, Started, pack, receive
from service.inference.work import Done, Job

_START_S = 120.0
_STOP_S = 5.0
_BUFFER_BYTES = 4 * 2**20


class WorkerProcess:
    """One child process that answers one batch at a time."""

    def __init__(self, orders: Orders) -> None:
        self._orders = orders
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def pid(self) -> int | None:
        """The process's id; None where there is none."""
        return self._process.pid if self._process else None

    async def start(self) -> Started:
        """Start the process and wait until its model is loaded and warm.

        Raises:
            ContractError, ProviderError, PredictorError: the model cannot be used, as the worker found.
            WorkerError: the process ended or did not answer.
        """
        ours, theirs = socket.socketpair()
        with theirs:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-m", "service.inference.worker", str(theirs.fileno())),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                # Whatever a library prints belongs to the log; stdout is for the address alone.
                stdout=sys.stderr.fileno(),
            )
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=_BUFFER_BYTES)
        started = await self._ask(self._orders, _START_S)
        if isinstance(started, Exception):
            await self.stop()
            raise started
        assert isinstance(started, Started)
        return started

    async def run(self, jobs: Sequence[Job], patience_s: float) -> Done:
        """See `service.inference.batching.Worker`."""
        answer = await self._ask(jobs, patience_s)
        if isinstance(answer, Exception):
            raise answer
        assert isinstance(answer, Done)
        return answer

    async def restart(self) -> None:
        """See `service.inference.batching.Worker`."""
        await self._end()
        await self.start()

    async def stop(self) -> None:
        """Close the connection, upon which the process ends; kill it where it does not."""
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            try:
                async with asyncio.timeout(_STOP_S):
                    await self._process.wait()
            except TimeoutError:
                await self._end()
        self._process = self._reader = self._writer = None

    async def _ask(self, message: object, patience_s: float) -> object:
        if self._reader is None or self._writer is None or self._process is None:
            raise WorkerError("a worker has not been started")
        try:
            async with asyncio.timeout(patience_s):
                self._writer.write(pack(message))
                await self._writer.drain()
                return await receive(self._reader)
        except TimeoutError:
            raise WorkerError(f"a worker has not answered for {patience_s:g} s") from None
        except (EOFError, OSError):  # EOFError: asyncio.IncompleteReadError is one
            raise WorkerError(await self._obituary()) from None

    async def _obituary(self) -> str:
        assert self._process is not None
        await self._end()
        status = self._process.returncode or 0
        how = f"by signal {-status}" if status < 0 else f"with exit status {status}"
        return f"a worker ended {how}"

    async def _end(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._process is not None and self._process.returncode is None:
            try:
                async with asyncio.timeout(0.1):  # it may be ending by itself: its own status says more
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()
