"""The body of every error: a problem (RFC 9457), except in the Open Inference Protocol, which has its own."""

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
        "The request is not valid HTTP, or the body does not match its `Content-Encoding`.",
        "body: expected gzip data, but: Error -3 while decompressing data: incorrect header check",
    ),
    401: (
        "The service needs an API key, and the request has none that is valid.",
        "key: expected one of the service's keys as the header X-API-Key or Authorization: Bearer, got none",
    ),
    408: (
        "The head or the body did not arrive in time. The connection is closed.",
        "body: expected all of it within 20 s, got 1024 bytes of 65536",
    ),
    409: (
        "The request asks for MNIST's digits, and the service does not have them.",
        "MNIST is not at hand: run `python -m scenes download` once, or set GLIMPSE_MNIST_DIR …",
    ),
    413: (
        "The body or the number of pixels is over the limit.",
        "body: expected at most 16777216 bytes, got more",
    ),
    415: (
        "The content type is not a supported image type.",
        "content type: expected multipart/form-data or one of image/png, image/jpeg, …, got 'text/plain'",
    ),
    422: (
        "The image cannot be decoded, or the form or a parameter is invalid.",
        "image: expected one of PNG, JPEG, WEBP, GIF, BMP, TIFF, got 14 bytes of no such format",
    ),
    429: (
        "This address has sent too many wrong keys. `Retry-After` says when the next key is checked.",
        "key: expected fewer wrong keys from this address, got too many; try again later",
    ),
    503: (
        "The service cannot answer now. `Retry-After` is set if it is only busy.",
        "the model did not run on CUDAExecutionProvider: …",
    ),
}


_BAD_PARAMETER = ("A parameter is invalid.", "size: expected a number from 20 to 64, got '70'")


def is_open_inference(path: str) -> bool:
    """Whether a path belongs to the Open Inference Protocol."""
    return path == "/v2" or path.startswith("/v2/")


def problem(status: int, detail: str) -> dict[str, Any]:
    """A problem; `detail` is the sentence for the client."""
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def error_content(path: str, status: int, detail: str) -> dict[str, Any]:
    """The content of an error's body, for a request to that path."""
    return {"error": detail} if is_open_inference(path) else problem(status, detail)


def error_body(path: str, status: int, detail: str) -> tuple[bytes, str]:
    """The body of an error and its media type, for a request to that path."""
    media_type = _JSON if is_open_inference(path) else PROBLEM
    return orjson.dumps(error_content(path, status, detail)), media_type


def documented(*statuses: int, body: bool = True) -> dict[int | str, dict[str, Any]]:
    """OpenAPI's descriptions of the errors of an operation.

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
