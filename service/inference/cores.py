"""How many cores this process may use: fewer than the machine has, in a container or under taskset."""

from __future__ import annotations

import os
from pathlib import Path

_QUOTA = Path("/sys/fs/cgroup/cpu.max")


def usable_cores() -> int:
    """The number of usable cores, at least 1."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, min(cores, _cores_of_quota() or cores))


def _cores_of_quota() -> int | None:
    """The control group's CPU quota in cores, rounded up (cgroup v2); None if there is none."""
    try:
        quota, period = _QUOTA.read_text(encoding="ascii").split()
    except OSError:
        return None
    return None if quota == "max" else -(-int(quota) // int(period))
