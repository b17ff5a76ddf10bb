"""What a server costs: processor time and memory of all its processes, however they were started.

A process belongs to a server if it carries the server's mark in its environment, which children inherit even
where they leave the process group or lose their parent (as Ray's daemons and worker pools do), or descends
from one that does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

import psutil

MARK = "BENCHMARKED_SERVER"


def marked_processes(mark: str) -> list[psutil.Process]:
    """All living processes with that mark, and their descendants."""
    found: dict[int, psutil.Process] = {}
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):  # gone meanwhile, or somebody else's
            if process.environ().get(MARK) == mark:
                found[process.pid] = process
                found.update((child.pid, child) for child in process.children(recursive=True))
    return [process for process in found.values() if _alive(process)]


def cpu_seconds(processes: Iterable[psutil.Process]) -> dict[int, float]:
    """User and system time of each living process so far, by its id."""
    times = {}
    for process in processes:
        with contextlib.suppress(psutil.Error):
            used = process.cpu_times()
            times[process.pid] = used.user + used.system
    return times


def cpu_spent(before: dict[int, float], after: dict[int, float]) -> float:
    """Seconds spent between two readings.

    A process that was born in between counts from its birth. What one that ended in between had spent since
    the first reading is lost: a server under steady load does not end its processes.
    """
    return sum(seconds - before.get(pid, 0.0) for pid, seconds in after.items())


def memory_bytes(processes: Iterable[psutil.Process]) -> int:
    """Proportional set size of all together: a page that n processes share counts 1/n for each of them."""
    total = 0
    for process in processes:
        with contextlib.suppress(psutil.Error):
            total += process.memory_full_info().pss
    return total


def _alive(process: psutil.Process) -> bool:
    try:
        return process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return False
