"""The app inside its middleware: observation, CORS, API keys, the direct route, HEAD."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.direct import DirectRoute
from service.http.headers import security_headers
from service.http.keys import Key, RequireKey
from service.http.observe import Observe
from service.monitoring.metrics import Metrics
from service.settings import Settings

# What browsers may send and read; the last is of the Open Inference Protocol's binary form.
_INFERENCE_HEADER = "Inference-Header-Content-Length"
_REQUEST_HEADERS = ("Authorization", "Content-Type", "X-API-Key", "X-Request-ID", _INFERENCE_HEADER)
_RESPONSE_HEADERS = ("Retry-After", "WWW-Authenticate", "X-Request-ID", _INFERENCE_HEADER)


class WrappedApp(FastAPI):
    """FastAPI with middleware that sees every answer.

    Starlette answers a defect outside of the middleware that an app adds, so a 500 would lack headers,
    request id and count. This middleware stands outside of that. A part that is switched off is left out.
    """

    def __init__(
        self, settings: Settings, metrics: Metrics, keys: Sequence[Key], direct: DirectRoute, **about: Any
    ) -> None:
        """Take what is switched on, where to count, the API keys if any, and what FastAPI takes."""
        super().__init__(**about)
        self.state.metrics = metrics
        self._settings = settings
        self._metrics = metrics
        self._keys = keys
        self._direct = direct

    def build_middleware_stack(self) -> ASGIApp:
        """The middleware, the outermost made last."""
        app = self._direct.before(answer_head(super().build_middleware_stack()))
        settings = self._settings
        if self._keys:
            app = RequireKey(app, self._keys, self._metrics)
        if settings.cors_origins:
            # Outside of the keys: a browser sends its preflight request without one.
            app = CORSMiddleware(
                app,
                allow_origins=settings.cors_origins,
                allow_methods=("GET", "POST"),
                allow_headers=_REQUEST_HEADERS,
                expose_headers=_RESPONSE_HEADERS,
            )
        headers = security_headers(shared=bool(settings.cors_origins))
        return Observe(app, self._metrics, headers, access_log=settings.access_log)


def answer_head(app: ASGIApp) -> ASGIApp:
    """Answer HEAD wherever an app answers GET, without the body (RFC 9110, 9.3.2)."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http" or scope["method"] != "HEAD":
            await app(scope, receive, send)
            return

        async def send_head(message: Message) -> None:
            if message["type"] == "http.response.body":
                message = {**message, "body": b""}
            await send(message)

        as_get = {**scope, "method": "GET"}
        try:
            await app(as_get, receive, send_head)
        finally:
            # The middleware around this counts by route, and has the scope as it was.
            scope.update({name: as_get[name] for name in ("route", "endpoint") if name in as_get})

    return answer
