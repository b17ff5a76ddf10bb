"""The numbers of the batching policy: which requests share a batch, how long they may wait, how many may."""

from __future__ import annotations

from dataclasses import dataclass

BUCKETS = (1, 2, 4, 8, 16, 32, 64)
"""The sizes of batches; a worker warms all of them up to its largest batch before it is ready."""

# A picture over either bound is exclusive: decoding it in a shared batch would keep the others waiting.
EXCLUSIVE_BYTES = 256 * 1024
"""The service sees the bytes, and makes a longer picture exclusive when it arrives."""
EXCLUSIVE_PIXELS = 512 * 512
"""A worker reads the pixel count from the picture's header, and answers `NeedsExclusive`."""


@dataclass(frozen=True)
class Policy:
    """The bounds of batching; times in seconds.

    `max_waiting` bounds the shared requests that wait beyond what full batches hold,
    `max_waiting_exclusive` the exclusive ones, `max_waiting_parts` the parts of requests with many. The
    queues are short so that accepted requests stay fast under overload. A request that has waited for
    `deadline_s` gets an error; a request with many parts, when none of its parts was answered for so long.

    A worker that is busy with one shared request for `suspect_s` counts as hanging, and the service is not
    ready. After `hang_s` the worker is killed. Each further request of its batch adds `more_per_request` of
    these times; an exclusive request has `exclusive_s`. An idle worker must show every `heartbeat_s` that its
    model answers.

    A worker that has died is started again at once. With each further death of the same worker within
    `deaths_within_s`, and with each start that fails, the wait before the next start doubles, from
    `backoff_s` to `max_backoff_s`. The supervisor gives up when no worker is left and the last
    `start_attempts` starts of each have failed.
    """

    max_batch: int = 16
    max_wait_s: float = 0.0
    max_waiting: int = 40
    max_waiting_exclusive: int = 16
    max_waiting_parts: int = 256
    deadline_s: float = 5.0
    suspect_s: float = 1.0
    hang_s: float = 3.0
    more_per_request: float = 1 / 3
    exclusive_s: float = 30.0
    heartbeat_s: float = 0.5
    backoff_s: float = 0.5
    max_backoff_s: float = 30.0
    deaths_within_s: float = 60.0
    start_attempts: int = 3

    def bucket(self, waiting: int) -> int:
        """How many of the waiting requests go into the next batch: the largest bucket that they fill."""
        return max(size for size in BUCKETS if size <= min(waiting, self.max_batch))

    def kill_after_s(self, size: int, *, exclusive: bool) -> float:
        """How long a worker may be busy with a batch of that size before it is killed."""
        return self._time_s(self.hang_s, size, exclusive=exclusive)

    def suspect_after_s(self, size: int, *, exclusive: bool) -> float:
        """How long a worker may be busy with a batch of that size before the service is not ready."""
        return self._time_s(self.suspect_s, size, exclusive=exclusive)

    def restart_after_s(self, failures: int) -> float:
        """How long to wait before a worker is started, after so many recent deaths and failed starts."""
        return min(self.max_backoff_s, self.backoff_s * 2.0 ** (failures - 2)) if failures > 1 else 0.0

    def _time_s(self, one_s: float, size: int, *, exclusive: bool) -> float:
        return self.exclusive_s if exclusive else one_s * (1 + self.more_per_request * max(0, size - 1))
