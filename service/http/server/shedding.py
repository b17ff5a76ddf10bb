"""The load shedder: it refuses requests before they reach the app while their queue is full.

Under overload the service refuses most requests. Here a refusal costs a tenth of what it costs in the app;
otherwise refusals would starve accepted requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import orjson

from service.http.headers import RawHeaders, security_headers
from service.http.observe import HEADER, request_id_of
from service.http.problems import PROBLEM, problem
from service.inference.errors import OverloadedError
from service.monitoring.metrics import Metrics

IsFull = Callable[[int], bool]
"""Whether a queue has no room for one more request, given how many are on their way to it."""
Gates = Mapping[tuple[str, str], IsFull]
"""For each method and path whose requests wait in a queue, whether that is full."""

_BODY = orjson.dumps(problem(503, "the service is busy: too many requests wait; try again soon"))


@dataclass
class _Gate:
    """A queue, and how many requests were admitted since the event loop's last round."""

    method: str
    path: str
    is_full: IsFull
    admitted: int = 0

    def admit(self) -> bool:
        """Admit a request if there is room."""
        if self.is_full(self.admitted):
            return False
        if not self.admitted:
            asyncio.get_running_loop().call_soon(self._forget)
        self.admitted += 1
        return True

    def _forget(self) -> None:
        """Requests that were admitted in one round of the event loop reach the queue in the next."""
        self.admitted = 0


class LoadShedder:
    """Refuses requests while their queue is full, before their body has arrived."""

    def __init__(self, gates: Gates, metrics: Metrics, *, shared: bool) -> None:
        """Take the queues' gates, the metrics, and whether other origins may read answers (CORS)."""
        self._gates = {
            (method.encode(), path.encode()): _Gate(method, path, is_full)
            for (method, path), is_full in gates.items()
        }
        self._metrics = metrics
        self._shared = shared
        default_headers = b"".join(b"%b: %b\r\n" % header for header in security_headers(shared=shared))
        self._answer = (
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: %b\r\n"
            b"content-length: %d\r\nretry-after: %d\r\n%b"
            % (PROBLEM.encode(), len(_BODY), OverloadedError.retry_after_s, default_headers)
        )

    def __call__(self, method: bytes, url: bytes, headers: RawHeaders) -> bytes | None:
        """The whole answer to a request that is refused; None if the app answers it."""
        gate = self._gates.get((method, url.partition(b"?")[0]))
        if gate is None or gate.admit():
            return None
        if self._shared and any(name == b"origin" for name, _ in headers):
            return None  # the page could not read this answer; the app's refusal has CORS headers
        self._metrics.rejected("queue_full")
        self._metrics.request_begins()
        self._metrics.request_ends(gate.path, gate.method, 503, 0.0)
        return b"%b%b: %b\r\n\r\n%b" % (self._answer, HEADER, request_id_of(headers), _BODY)
