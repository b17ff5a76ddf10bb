"""The outermost middleware: request id, timing, counting, access log, default headers."""

from __future__ import annotations

import logging
import os
import re
from time import perf_counter

from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.headers import RawHeaders, completed
from service.monitoring.logs import ACCESS
from service.monitoring.metrics import NO_ROUTE, Metrics
from service.monitoring.request import begin_request

HEADER = b"x-request-id"
KEY_NAME = "key_name"
"""The entry of a request's state with the name of its key (keys.py)."""

_SANE_ID = re.compile(rb"[!-~]{1,64}")

_log = logging.getLogger(ACCESS)


class Observe:
    """Middleware around the app. A defect passes through, and the server logs it with the request's id."""

    def __init__(self, app: ASGIApp, metrics: Metrics, headers: RawHeaders, *, access_log: bool) -> None:
        """Take the app, the metrics, the default headers, and whether to log every request."""
        self._app = app
        self._metrics = metrics
        self._headers = headers
        self._access_log = access_log

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, and observe its answer."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        start = perf_counter()
        request_id = request_id_of(scope["headers"])
        scope.setdefault("state", {})["request_id"] = request_id.decode("ascii")
        # Each request has its own task, so nothing resets this. The server logs a defect after this call
        # has ended.
        begin_request(scope)
        defaults = [*self._headers, (HEADER, request_id)]
        status = 0

        async def watched_send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                message["headers"] = completed(message.get("headers", []), defaults)
            await send(message)

        self._metrics.request_begins()
        try:
            await self._app(scope, receive, watched_send)
        finally:
            seconds = perf_counter() - start
            route = getattr(scope.get("route"), "path", NO_ROUTE)
            self._metrics.request_ends(route, scope["method"], status, seconds)
            if self._access_log:
                fields = {"status": status, "ms": round(seconds * 1000, 3), "client": client_address(scope)}
                if key_name := scope["state"].get(KEY_NAME):
                    fields["key"] = key_name
                _log.info("request", extra={"fields": fields})


def client_address(scope: Scope) -> str:
    """The address that a request comes from, without its port; empty if the server knows none."""
    client = scope.get("client")
    return str(client[0]) if client else ""


def request_id_of(headers: RawHeaders) -> bytes:
    """The client's own request id if a log can hold it; else a new one."""
    for name, value in headers:
        if name == HEADER and _SANE_ID.fullmatch(value):
            return value
    return os.urandom(8).hex().encode("ascii")
