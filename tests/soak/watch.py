"""What a long test keeps an eye on: answers that were not due, memory, open files, workers."""

from __future__ import annotations

import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from statistics import median
from typing import Any

import psutil

from benchmarks.serving.accounting import memory_bytes
from benchmarks.serving.running import Running

SEED = int(os.environ.get("GLIMPSE_SOAK_SEED", "0"))
MOST_GROWTH = 1.25
"""How much more memory the last third may take than the second third."""
SPARE_MB = 30.0


def seconds(default: float) -> float:
    """How long a test lasts: GLIMPSE_SOAK_SECONDS, else its own default."""
    return float(os.environ.get("GLIMPSE_SOAK_SECONDS", default))


@dataclass
class Tally:
    """What has come back so far; guarded by its lock."""

    answers: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    slowest_healthz_s: float = 0.0
    lock: threading.Lock = field(default_factory=threading.Lock)

    def note(self, name: str, status: str, wrong: str = "") -> None:
        """Count an answer, and keep what is wrong with it."""
        with self.lock:
            self.answers[f"{name}: {status}"] += 1
            if wrong:
                self.wrong.append(f"{name}: {status}: {wrong}")


@contextmanager
def asking(*asks: Callable[[threading.Event], None]) -> Iterator[None]:
    """Threads that ask until they are told to stop."""
    stop = threading.Event()
    threads = [threading.Thread(target=ask, args=(stop,)) for ask in asks]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stop.set()
        for thread in threads:
            thread.join()


def workers_of(server: Running) -> list[psutil.Process]:
    """The service's worker processes."""
    found = []
    for process in server.processes():
        with suppress(psutil.Error):  # it has ended meanwhile
            if "service.inference.worker" in process.cmdline():
                found.append(process)
    return found


def watch(
    server: Running, lasts_s: float, each_second: Callable[[float], None] = lambda _: None
) -> dict[str, list[Any]]:
    """Memory and open files each second, and the sets of workers that were seen one after the other.

    `each_second` is told how many seconds are left.
    """
    seen: dict[str, list[Any]] = {"memory_mb": [], "open_files": [], "workers": []}
    end = time.monotonic() + lasts_s
    while True:
        processes = server.processes()
        seen["memory_mb"].append(round(memory_bytes(processes) / 2**20, 1))
        files = 0
        for process in processes:
            with suppress(psutil.Error):
                files += process.num_fds()
        seen["open_files"].append(files)
        workers = sorted(process.pid for process in workers_of(server))
        if not seen["workers"] or seen["workers"][-1] != workers:
            seen["workers"].append(workers)
        left = end - time.monotonic()
        if left <= 0:
            return seen
        each_second(left)
        time.sleep(min(1.0, left))


def growth(memory_mb: list[float]) -> str:
    """A sentence where memory grew beyond `MOST_GROWTH`, else nothing."""
    third = len(memory_mb) // 3
    early, late = (median(memory_mb[third * part :][: third or None]) for part in (1, 2))
    return f"memory grew from {early} to {late} MB" if late > early * MOST_GROWTH + SPARE_MB else ""
