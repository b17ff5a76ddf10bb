"""A worker process from the service's side: start it, send batches, notice its death, restart it."""

from __future__ import annotations

import asyncio
import os
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from service.inference.errors import PredictorError, WorkerError
from service.inference.jobs import BatchResult, Job, NeedsExclusive, PictureJob, WorkerConfig, WorkerInfo
from service.inference.loop_clock import LoopClock
from service.inference.wire import WireError, pack, receive
from service.inference.worker_output import hand_over, open_output
from service.pictures.decode import ImageError

_START_S = 120.0
_STOP_S = 5.0
_BUFFER_BYTES = 4 * 2**20
_SECRETS = "GLIMPSE_API_KEYS"


class WorkerProcess:
    """One child process that answers one batch at a time; its timeouts are by the loop's clock."""

    def __init__(self, config: WorkerConfig, clock: LoopClock) -> None:
        self._config = config
        self._clock = clock
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    @property
    def pid(self) -> int | None:
        """The process's id; None where there is none."""
        return self._process.pid if self._process else None

    async def start(self) -> WorkerInfo:
        """Start the process and wait until its model is loaded and warm.

        Raises:
            ContractError, ProviderError, PredictorError: the model cannot be used, as the worker found.
            WorkerError: the process ended or did not answer.
        """
        ours, theirs = socket.socketpair()
        output = await open_output()
        try:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", "service.inference.worker", str(theirs.fileno())),
                pass_fds=(theirs.fileno(),),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                env=_environment(),
            )
        finally:
            hand_over(output)
            theirs.close()
        self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=_BUFFER_BYTES)
        started = await self._ask(self._config, _START_S)
        if isinstance(started, Exception):
            await self.stop()
            raise started
        if not isinstance(started, WorkerInfo) or not all(isinstance(field, str) for field in started):
            raise await self._give_up("a worker did not report which model it loaded")
        return started

    async def run(self, jobs: Sequence[Job], timeout_s: float) -> BatchResult:
        """See `service.inference.supervisor.Worker`."""
        answer = await self._ask(jobs, timeout_s)
        if isinstance(answer, Exception):
            raise answer
        if not isinstance(answer, BatchResult) or not _fits(answer, jobs):
            raise await self._give_up("a worker's answer does not fit its batch")
        return answer

    async def restart(self) -> None:
        """See `service.inference.supervisor.Worker`."""
        await self._kill()
        await self.start()

    async def stop(self) -> None:
        """Close the connection, which ends the process; kill it if it does not end."""
        if self._writer is not None:
            self._writer.close()
        if self._process is not None:
            try:
                async with asyncio.timeout(_STOP_S):
                    await self._process.wait()
            except TimeoutError:
                await self._kill()
        self._process = self._reader = self._writer = None

    async def _ask(self, message: object, timeout_s: float) -> object:
        if self._reader is None or self._writer is None or self._process is None:
            raise WorkerError("a worker has not been started")
        pid = self._process.pid
        ready_s = _waited_for_a_core_s(pid)

        def starved_s() -> float:
            return _waited_for_a_core_s(pid) - ready_s

        try:
            # Time in which the worker waited for a core does not count.
            async with self._clock.timeout(timeout_s, excused=starved_s) as deadline:

                def begun() -> None:
                    deadline.at_s = self._clock.now() + timeout_s

                self._writer.write(pack(message))
                await self._writer.drain()
                return await receive(self._reader, begun)
        except TimeoutError:
            raise WorkerError(f"a worker has not answered for {timeout_s:g} s") from None
        except (EOFError, OSError):  # EOFError: asyncio.IncompleteReadError is one
            raise WorkerError(await self._describe_exit()) from None
        except WireError as error:
            raise await self._give_up(f"a worker sent an invalid message: {error}") from None

    async def _give_up(self, why: str) -> WorkerError:
        await self._kill()
        return WorkerError(why)

    async def _describe_exit(self) -> str:
        assert self._process is not None
        await self._kill()
        status = self._process.returncode or 0
        how = f"by signal {-status}" if status < 0 else f"with exit status {status}"
        return f"a worker ended {how}"

    async def _kill(self) -> None:
        if self._writer is not None:
            self._writer.close()
        if self._process is not None and self._process.returncode is None:
            try:
                async with asyncio.timeout(0.1):  # it may be ending by itself, with a more telling status
                    await self._process.wait()
            except TimeoutError:
                self._process.kill()
                await self._process.wait()


def _environment() -> dict[str, str]:
    """What a worker gets: this process's variables without the keys, and its import path.

    A worker decodes hostile bytes and needs no key. Python would let it import from the working directory
    first, where a user's own `models.py` may lie.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith(_SECRETS)}
    return {**kept, "PYTHONPATH": os.pathsep.join(path or str(Path.cwd()) for path in sys.path)}


def _waited_for_a_core_s(pid: int) -> float:
    """How long a process has waited for a core; 0 if the system does not say."""
    try:
        _, waited_ns, _ = Path(f"/proc/{pid}/schedstat").read_text(encoding="ascii").split()
    except (OSError, ValueError):
        return 0.0
    return int(waited_ns) / 1e9


def _fits(done: BatchResult, jobs: Sequence[Job]) -> bool:
    """Whether an answer matches its jobs: workers decode hostile bytes, so they are not trusted."""
    results: object = done.results
    looks: object = done.looks
    return (
        isinstance(results, list)
        and len(results) == len(jobs)
        and all(isinstance(seconds, float) for seconds in (done.decode_s, done.inference_s, done.encode_s))
        and isinstance(looks, int)
        and looks >= 0
        and all(_fits_one(result, job) for result, job in zip(results, jobs, strict=True))
    )


def _fits_one(result: object, job: Job) -> bool:
    if isinstance(result, PredictorError):
        return True
    if isinstance(job, PictureJob):
        return isinstance(result, bytes | ImageError) or (
            isinstance(result, NeedsExclusive) and not job.exclusive
        )
    return (
        isinstance(result, Mapping)
        and set(result) == set(job.names)
        and all(
            isinstance(values, np.ndarray)
            and values.dtype == np.float32
            and values.shape[:1] == (len(job.scenes),)
            for values in result.values()
        )
    )
