"""Under overload most requests are refused: here that costs a tenth of what it costs in the app.

Else the refusals would take the cores from those that are to be answered.
"""

from __future__ import annotations

import asyncio

import orjson

from service.http.headers import RawHeaders, security_headers
from service.http.metrics import Metrics
from service.http.observe import HEADER, request_id_of
from service.http.problems import PROBLEM, problem
from service.inference.batching import OverloadedError
from service.inference.engine import Engine

_PATH = b"/predict"
_BODY = orjson.dumps(problem(503, "the service is busy: too many requests wait; try again soon"))


class Shed:
    """Refuses posts to `/predict` while the queue is full, before their body is there."""

    def __init__(self, engine: Engine, metrics: Metrics, *, shared: bool) -> None:
        """Take what says whether there is room, where to count, and whether other origins' pages may ask."""
        self._engine = engine
        self._metrics = metrics
        self._shared = shared
        self._let_in = 0
        standing = b"".join(b"%b: %b\r\n" % header for header in security_headers(shared=shared))
        self._answer = (
            b"HTTP/1.1 503 Service Unavailable\r\ncontent-type: %b\r\n"
            b"content-length: %d\r\nretry-after: %d\r\n%b"
            % (PROBLEM.encode(), len(_BODY), OverloadedError.retry_after_s, standing)
        )

    def __call__(self, method: bytes, url: bytes, headers: RawHeaders) -> bytes | None:
        """The whole answer to a request that finds no room; None where the app shall answer."""
        if method != b"POST" or url.partition(b"?")[0] != _PATH:
            return None
        if not self._engine.is_full(self._let_in):
            if not self._let_in:
                asyncio.get_running_loop().call_soon(self._forget)
            self._let_in += 1
            return None
        if self._shared and any(name == b"origin" for name, _ in headers):
            return None  # the page could not read this answer: the app's refusal has the headers of CORS
        self._metrics.rejected("queue_full")
        self._metrics.request_begins()
        self._metrics.request_ends(_PATH.decode(), "POST", 503, 0.0)
        return b"%b%b: %b\r\n\r\n%b" % (self._answer, HEADER, request_id_of(headers), _BODY)

    def _forget(self) -> None:
        """Those that were let in since the event loop's last round come into the queue in this one."""
        self._let_in = 0
