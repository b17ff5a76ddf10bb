"""The numbers of the batching policy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from service.inference.queue import PendingRequest

BUCKETS = (1, 2, 4, 8, 16, 32, 64)
"""The sizes of batches; a worker warms them all before it is ready, as far as its largest batch."""


@dataclass(frozen=True)
class Policy:
    """The bounds of batching; times in seconds.

    `max_waiting` counts small pictures beyond those that full batches would hold, `max_waiting_large` large
    ones, `max_waiting_parts` parts of requests with many. The queues are short so that accepted requests stay
    fast under overload. A request that has waited for `deadline_s` is given up; one of many parts, when none
    of its parts was answered for so long.

    A worker that is busy with one small picture for `suspect_s` is taken to hang: the service is not ready
    from then on. After `hang_s` it is killed. Each further picture of its batch adds `more_per_picture` of
    these times; large pictures are given `large_s`. Every `heartbeat_s` an idle worker has to show that its
    model answers.

    A worker that has died is started again at once. With each further death of the same worker within
    `deaths_within_s`, and with each start that fails, the wait before the next start doubles, from
    `backoff_s` to `max_backoff_s`. Where no worker is there any more, and the last `start_attempts` starts of
    each have failed, the batcher gives up.
    """

    max_batch: int = 16
    max_wait_s: float = 0.0
    max_waiting: int = 40
    max_waiting_large: int = 16
    max_waiting_parts: int = 256
    deadline_s: float = 5.0
    suspect_s: float = 1.0
    hang_s: float = 3.0
    more_per_picture: float = 1 / 3
    large_s: float = 30.0
    heartbeat_s: float = 0.5
    backoff_s: float = 0.5
    max_backoff_s: float = 30.0
    deaths_within_s: float = 60.0
    start_attempts: int = 3

    def bucket(self, waiting: int) -> int:
        """How many of those that wait go into the next batch: the largest bucket that they fill."""
        return max(size for size in BUCKETS if size <= min(waiting, self.max_batch))

    def patience_s(self, batch: Sequence[PendingRequest]) -> float:
        """How long a worker may be busy with these before it is killed."""
        return self._for(batch, self.hang_s)

    def trust_s(self, batch: Sequence[PendingRequest]) -> float:
        """How long a worker may be busy with these before the service is not ready."""
        return self._for(batch, self.suspect_s)

    def backoff(self, failures: int) -> float:
        """How long to wait before a worker is started, after so many deaths or failed starts of late."""
        return min(self.max_backoff_s, self.backoff_s * 2.0 ** (failures - 2)) if failures > 1 else 0.0

    def _for(self, batch: Sequence[PendingRequest], one_s: float) -> float:
        if any(request.large for request in batch):
            return self.large_s
        return one_s * (1 + self.more_per_picture * max(0, len(batch) - 1))
