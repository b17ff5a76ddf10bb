"""The app with what stands around all of its answers: observation, CORS, keys; OpenAPI says what is asked."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from service.http.direct import Shortcut
from service.http.head import AnswerHead
from service.http.headers import security_headers
from service.http.keys import Key, RequireKey
from service.http.observe import Observe
from service.monitoring.metrics import Metrics
from service.settings import Settings

# What browsers may send and read; the last is of the Open Inference Protocol's binary form.
_INFERENCE_HEADER = "Inference-Header-Content-Length"
_ASKED_HEADERS = ("Authorization", "Content-Type", "X-API-Key", "X-Request-ID", _INFERENCE_HEADER)
_TOLD_HEADERS = ("Retry-After", "WWW-Authenticate", "X-Request-ID", _INFERENCE_HEADER)


class LayeredApp(FastAPI):
    """FastAPI in layers that see every answer.

    Starlette answers a defect outside of the middleware that an app adds, so that a 500 would lack headers,
    request id and count; these layers stand outside of that. What is switched off is not in the way at all.
    """

    def __init__(self, settings: Settings, metrics: Metrics, keys: Sequence[Key], **about: Any) -> None:
        """Take what is switched on, where to count, the API keys if any, and what FastAPI takes."""
        super().__init__(**about)
        self.state.metrics = metrics
        self._settings = settings
        self._metrics = metrics
        self._keys = keys

    def build_middleware_stack(self) -> ASGIApp:
        """The layers, the outermost made last."""
        app: ASGIApp = AnswerHead(
            Shortcut(super().build_middleware_stack(), self.routes, self.exception_handlers, debug=self.debug)
        )
        settings = self._settings
        if self._keys:
            app = RequireKey(app, self._keys, self._metrics)
        if settings.cors_origins:
            # Outside of the keys: a browser asks for leave without one.
            app = CORSMiddleware(
                app,
                allow_origins=settings.cors_origins,
                allow_methods=("GET", "POST"),
                allow_headers=_ASKED_HEADERS,
                expose_headers=_TOLD_HEADERS,
            )
        headers = security_headers(shared=bool(settings.cors_origins))
        return Observe(app, self._metrics, headers, access_log=settings.access_log)
