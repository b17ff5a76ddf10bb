"""API keys: who has none is answered 401, but for the probes, the metrics and the page's own files."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Any

from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.errors import documented, error_content, is_open_inference
from service.http.headers import RawHeaders
from service.http.metrics import Metrics
from service.schemas import ErrorAnswer
from service.settings import Settings, SettingsError, check_keys, split_words
from service.v2.schema import InferenceError

# Open: what a probe or a scraper asks, and what says nothing that the source code does not say.
OPEN_PATHS = frozenset({"/", "/docs", "/openapi.json", "/healthz", "/readyz", "/metrics"})
OPEN_FOLDERS = ("/page/", "/v2/health/")

_HOW = "expected one of the service's keys as the header X-API-Key or Authorization: Bearer"
_SCHEMES = {
    "ApiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    "Bearer": {"type": "http", "scheme": "bearer"},
}


class RequireKey:
    """Wraps an app: passes on what is open or carries a key."""

    def __init__(self, app: ASGIApp, keys: Iterable[str], metrics: Metrics) -> None:
        """Take the app, the keys that are let in, and where to count the others."""
        self._app = app
        self._digests = [_digest(key.encode("ascii")) for key in keys]
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, or refuse it before any of its body is read."""
        if scope["type"] != "http" or is_open(scope["path"]):
            await self._app(scope, receive, send)
            return
        given = _given(scope["headers"])
        if any(self._knows(key) for key in given):
            await self._app(scope, receive, send)
            return
        self._metrics.rejected("key")
        # What was sent is not repeated: it may be a mistyped key.
        detail = f"key: {_HOW}, got {'another one' if given else 'none'}"
        content = error_content(scope["path"], detail)
        refusal = JSONResponse(content, 401, {"WWW-Authenticate": 'Bearer realm="glimpse"'})
        await refusal(scope, receive, send)

    def _knows(self, key: bytes) -> bool:
        # Digests are of one length, and all are compared: the time tells nothing about any key.
        digest = _digest(key)
        return sum(hmac.compare_digest(digest, known) for known in self._digests) > 0


def read_keys(settings: Settings) -> tuple[str, ...]:
    """The keys of the settings and of the file that they name; none where neither is set.

    Raises:
        SettingsError: the file cannot be read, or holds no key or a bad one.
    """
    keys = [key.get_secret_value() for key in settings.api_keys]
    path = settings.api_keys_file
    if path is not None:
        try:
            found = split_words(path.read_text(encoding="utf-8"))
            check_keys(found)
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else error
            raise SettingsError(f"setting GLIMPSE_API_KEYS_FILE: {path}: {reason}") from error
        keys += found
    return tuple(keys)


def is_open(path: str) -> bool:
    """Whether a path is answered without a key."""
    return path in OPEN_PATHS or path.startswith(OPEN_FOLDERS)


def document_keys(document: dict[str, Any]) -> None:
    """Write into an OpenAPI document which calls need a key, and how they are refused without one."""
    document.setdefault("components", {})["securitySchemes"] = _SCHEMES
    (refusal,) = documented(401).values()
    sentence = refusal["content"]["application/json"]["example"]["detail"]
    for path, methods in document["paths"].items():
        if is_open(path):
            continue
        answer = InferenceError if is_open_inference(path) else ErrorAnswer
        for call in methods.values():
            call["security"] = [{name: []} for name in _SCHEMES]
            call["responses"]["401"] = {
                "description": refusal["description"],
                "content": {
                    "application/json": {
                        "schema": {"$ref": f"#/components/schemas/{answer.__name__}"},
                        "example": error_content(path, sentence),
                    }
                },
            }


def _given(headers: RawHeaders) -> list[bytes]:
    found = []
    for name, value in headers:
        if name == b"x-api-key":
            found.append(value.strip())
        elif name == b"authorization" and value[:7].lower() == b"bearer ":
            found.append(value[7:].strip())
    return found


def _digest(key: bytes) -> bytes:
    return hashlib.sha256(key).digest()
