"""Why the model gives no answer."""

from __future__ import annotations


class PredictorError(RuntimeError):
    """The model cannot answer; the message says why."""


class StoppingError(PredictorError):
    """The service has been told to stop and asks the model no more: no failure."""

    def __init__(self) -> None:
        super().__init__("the service is stopping")


class OverloadedError(PredictorError):
    """The queue is full or the answer would come too late: try again after `retry_after_s`.

    `service.http.errors.overload_response` makes the HTTP answer of it.
    """

    retry_after_s = 1

    def __init__(self, why: str = "too many requests wait") -> None:
        super().__init__(f"the service is busy: {why}; try again soon")


class WorkerError(Exception):
    """A worker died or hangs: what it was working on is lost."""
