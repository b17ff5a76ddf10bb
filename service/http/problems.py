"""The body of every error: a problem of RFC 9457, but for the Open Inference Protocol, which has its own."""

from __future__ import annotations

from http import HTTPStatus
from typing import Any

import orjson

from service.schemas import Problem

PROBLEM = "application/problem+json"
PROBLEM_SCHEMA = {"$ref": f"#/components/schemas/{Problem.__name__}"}
_JSON = "application/json"

_EXAMPLES = {
    400: (
        "What came cannot be read as HTTP, or the body is not compressed as `Content-Encoding` says.",
        "body: expected gzip data, but: Error -3 while decompressing data: incorrect header check",
    ),
    401: (
        "The service asks for a key, and none of its own came.",
        "key: expected one of the service's keys as the header X-API-Key or Authorization: Bearer, got none",
    ),
    408: (
        "The head or the body did not come in time; the connection is closed.",
        "body: expected all of it within 20 s, got 1024 bytes of 65536",
    ),
    409: (
        "MNIST's digits were asked for, and the service has none.",
        "MNIST is not at hand: run `python -m scenes download` once, or set GLIMPSE_MNIST_DIR …",
    ),
    413: (
        "The body or the pixel count is over the limit.",
        "body: expected at most 16777216 bytes, got more",
    ),
    415: (
        "The content type is not an image type that is read.",
        "content type: expected multipart/form-data or one of image/png, image/jpeg, …, got 'text/plain'",
    ),
    422: (
        "The image cannot be decoded, or the form or a parameter is not as expected.",
        "image: expected one of PNG, JPEG, WEBP, GIF, BMP, TIFF, got 14 bytes of no such format",
    ),
    429: (
        "This address has sent too many wrong keys; `Retry-After` says when the next is looked at.",
        "key: expected fewer wrong keys from this address, got too many; try again later",
    ),
    503: (
        "The service cannot answer now; with `Retry-After` where it is only busy.",
        "the model did not run on CUDAExecutionProvider: …",
    ),
}


_BAD_PARAMETER = ("A parameter is not as expected.", "size: expected a number from 20 to 64, got '70'")


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


def documented(*statuses: int, body: bool = True) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's descriptions of the errors that a call can answer with.

    Args:
        statuses: which of 400, 401, 408, 409, 413, 415, 422, 429 and 503.
        body: whether the call takes a body, which may be what is wrong.
    """
    documents: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        description, example = _EXAMPLES[status] if body or status != 422 else _BAD_PARAMETER
        documents[status] = {
            "description": description,
            "content": {PROBLEM: {"schema": PROBLEM_SCHEMA, "example": problem(status, example)}},
        }
    return documents
