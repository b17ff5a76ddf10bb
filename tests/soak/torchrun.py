"""Nodes of torchrun on this machine: an agent with one worker each, as on machines of their own.

They can be killed, in part or whole.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from benchmarks.serving.accounting import MARK, marked_processes

NODES = 2
_RESTARTS = 3
# Without the second, torch 2.13 does not tell a node that comes later where the others meet.
_ENVIRONMENT = {"OMP_NUM_THREADS": "1", "TORCH_DISABLE_SHARE_RDZV_TCP_STORE": "1"}


class Node:
    """One agent, which starts its worker, notices its end, and starts it anew together with the other node's.

    Args:
        arguments: what each worker runs, after `python -m`.
        port: of the rendezvous, which the first node started keeps.
        log: where agent and worker write.
        mark: of all processes of one run, to find them by.
    """

    def __init__(self, arguments: list[str], *, port: int, log: Path, mark: str) -> None:
        self._log = log
        command = [
            *(sys.executable, "-m", "torch.distributed.run"),
            *("--nnodes", str(NODES), "--nproc-per-node", "1", "--max-restarts", str(_RESTARTS)),
            *("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "glimpse"),
            *("-m", *arguments),
        ]
        with log.open("ab") as stream:
            self._agent = psutil.Popen(
                command,
                env={**os.environ, **_ENVIRONMENT, MARK: mark},
                stdout=stream,
                stderr=subprocess.STDOUT,
            )

    def running(self) -> bool:
        """Whether the agent still runs; if it ended badly, RuntimeError with what it wrote last."""
        status = self._agent.poll()
        if status:
            said = self._log.read_text(encoding="utf-8", errors="replace")[-3000:]
            raise RuntimeError(f"a node ended with status {status}:\n{said}")
        return status is None

    def worker(self) -> psutil.Process:
        """The worker that trains now."""
        (worker,) = (child for child in self._agent.children() if "RANK" in child.environ())
        return worker

    def kill_worker(self) -> None:
        """What the kernel does when memory runs out."""
        self.worker().kill()

    def kill(self) -> None:
        """What a power cut does: worker and agent end at once, and tell nobody."""
        worker = self.worker()
        self._agent.suspend()  # or it would see its worker die, and say so
        worker.kill()
        self._agent.kill()
        self._agent.wait()


@contextlib.contextmanager
def nothing_left_behind(mark: str) -> Iterator[None]:
    """Kill every process with the mark that is still there in the end, whatever has happened."""
    try:
        yield
    finally:
        for process in marked_processes(mark):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
