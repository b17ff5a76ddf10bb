"""The load shedder: it refuses requests before they reach the app while their queue is full.

Under overload the service refuses most requests. Here a refusal costs a tenth of what it costs in the app;
otherwise refusals would starve accepted requests.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from service.http.errors import overload_response
from service.http.headers import RawHeaders, completed, security_headers
from service.http.observe import HEADER, request_id_of
from service.inference.errors import OverloadedError
from service.monitoring.metrics import Metrics

IsFull = Callable[[int], bool]
"""Whether a queue has no room for one more request, given how many are on their way to it."""
Gates = Mapping[tuple[str, str], IsFull]
"""For each method and path whose requests wait in a queue, whether that is full."""


@dataclass
class _Gate:
    """A queue, its refusal, and how many requests were admitted since the event loop's last round."""

    method: str
    path: str
    is_full: IsFull
    refusal: tuple[bytes, bytes]
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
            (method.encode(), path.encode()): _Gate(method, path, is_full, _refusal(path, shared=shared))
            for (method, path), is_full in gates.items()
        }
        self._metrics = metrics
        self._shared = shared

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
        head, body = gate.refusal
        return b"%b%b: %b\r\n\r\n%b" % (head, HEADER, request_id_of(headers), body)


def _refusal(path: str, *, shared: bool) -> tuple[bytes, bytes]:
    """The app's answer to overload: the head, which lacks the request's id and its end, and the body."""
    response = overload_response(path, OverloadedError())
    headers = completed(response.raw_headers, security_headers(shared=shared))
    lines = b"".join(b"%b: %b\r\n" % header for header in headers)
    return b"HTTP/1.1 503 Service Unavailable\r\n" + lines, bytes(response.body)
