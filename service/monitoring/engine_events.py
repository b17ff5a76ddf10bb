"""The engine's events as metrics and lines of the log."""

from __future__ import annotations

import logging

from service.inference.events import Events, FinishedBatch, RefusalReason
from service.monitoring.metrics import Metrics

_log = logging.getLogger(__name__)


class EngineEvents(Events):
    """Counts what an engine does, and logs what is wrong with it."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def on_batch(self, batch: FinishedBatch) -> None:
        """Count the batch and time its stages."""
        self._metrics.batch(batch.size, batch.result.looks)
        self._metrics.stage("queue", batch.queue_s)
        self._metrics.stage("decode", batch.result.decode_s)
        self._metrics.stage("inference", batch.result.inference_s)
        self._metrics.stage("encode", batch.result.encode_s)

    def on_refused(self, reason: RefusalReason) -> None:
        """Count the refusal."""
        self._metrics.rejected(reason)

    def on_unhealthy(self, why: str) -> None:
        """Log it."""
        _log.error("the model does not answer: %s", why)

    def on_worker_death(self, why: str) -> None:
        """Count it and log it."""
        self._metrics.worker_died()
        _log.error("a worker is replaced: %s", why)
