"""The events that the engine reports while it runs, to be counted and logged."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from service.inference.jobs import BatchResult

RefusalReason = Literal["queue_full", "deadline"]


@dataclass(frozen=True)
class FinishedBatch:
    """A batch whose results are there."""

    size: int
    queue_s: float
    result: BatchResult


class Events:
    """The events of one engine; this class ignores them. Methods are called from the event loop."""

    def on_batch(self, batch: FinishedBatch) -> None:
        """A worker has answered a batch."""

    def on_refused(self, reason: RefusalReason) -> None:
        """A request was refused, or waited for too long."""

    def on_unhealthy(self, why: str) -> None:
        """A model does not answer, or a worker does not start; reported once for each reason."""

    def on_worker_death(self, why: str) -> None:
        """A worker died or hung, and is to be replaced."""
