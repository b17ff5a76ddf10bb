"""The app with what stands around all of its answers: observation, CORS, keys; OpenAPI says what is asked."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp

from service.http.direct import Shortcut
from service.http.head import AnswerHead
from service.http.headers import security_headers
from service.http.keys import RequireKey, document_keys, read_keys
from service.http.metrics import Metrics
from service.http.observe import Observe
from service.http.refusals import document_refusals
from service.queries import UNDOCUMENTED
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

    def __init__(self, settings: Settings, metrics: Metrics, **about: Any) -> None:
        """Take what is switched on, where to count, and what FastAPI takes.

        Raises:
            SettingsError: the keys cannot be read.
        """
        super().__init__(**about)
        self.state.metrics = metrics
        self._settings = settings
        self._metrics = metrics
        self._keys = read_keys(settings)

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

    def openapi(self) -> dict[str, Any]:
        """The OpenAPI document, with refusals before the app and the keys where they are asked for."""
        if self.openapi_schema is None:
            document = super().openapi()
            _leave_out_undocumented(document)
            document_refusals(document, self._settings.head_timeout_s)
            if self._keys:
                document_keys(document)
        return super().openapi()


def _leave_out_undocumented(document: dict[str, Any]) -> None:
    """Take parameters out of an OpenAPI document that are read and marked as undocumented (queries.py)."""
    for call in (call for methods in document["paths"].values() for call in methods.values()):
        if "parameters" in call:
            call["parameters"] = [
                parameter
                for parameter in call["parameters"]
                if not UNDOCUMENTED.items() <= parameter["schema"].items()
            ]
