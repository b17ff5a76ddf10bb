"""The body of every error: a problem of RFC 9457, but for the Open Inference Protocol, which has its own."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson

PROBLEM = "application/problem+json"
_JSON = "application/json"


def is_open_inference(path: str) -> bool:
    """Whether a path is of the Open Inference Protocol."""
    return path == "/v2" or path.startswith("/v2/")


def problem(status: int, detail: str) -> dict[str, Any]:
    """A problem whose type says no more than its status; `detail` is the sentence for the client."""
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def error_content(path: str, status: int, detail: str) -> dict[str, Any]:
    """What stands in the body of an error at a path."""
    return {"error": detail} if is_open_inference(path) else problem(status, detail)


def error_body(path: str, status: int, detail: str) -> tuple[bytes, str]:
    """The body of an error at a path, and its media type."""
    media_type = _JSON if is_open_inference(path) else PROBLEM
    return orjson.dumps(error_content(path, status, detail)), media_type
