"""Errors as clients see them: a problem with a sentence in `detail`, every status documented once."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from scenes.mnist import DigitsUnavailableError
from service.http.metrics import Metrics, Rejection
from service.http.problems import PROBLEM, error_body, problem
from service.inference.batching import OverloadedError
from service.inference.images import ImageError, TooManyPixelsError
from service.inference.predictor import PredictorError
from service.queries import QueryError, shorten
from service.schemas import Problem


class RequestError(Exception):
    """A request that cannot be answered: the HTTP status, a sentence for the client, and headers."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


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


PROBLEM_SCHEMA = {"$ref": f"#/components/schemas/{Problem.__name__}"}
_BAD_PARAMETER = ("A parameter is not as expected.", "size: expected a number from 20 to 64, got '70'")


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


_REJECTIONS: dict[int, Rejection] = {
    408: "body_time",
    413: "body_limit",
    415: "media_type",
    422: "request",
}


def add_error_handlers(app: FastAPI, metrics: Metrics) -> None:
    """Answer every error that a request can meet with its status and a sentence, and count it."""

    @app.exception_handler(RequestError)
    async def answer_request_error(request: Request, error: RequestError) -> Response:
        if error.status in _REJECTIONS:
            metrics.rejected(_REJECTIONS[error.status])
        # Behind a body that did not come in time, no other request can begin.
        headers = error.headers | ({"Connection": "close"} if error.status == 408 else {})
        return error_response(request.scope["path"], error.status, error.detail, headers)

    @app.exception_handler(RequestValidationError)
    async def answer_validation_error(request: Request, error: RequestValidationError) -> Response:
        metrics.rejected("request")
        # FastAPI's own handler echoes the input, and fails on bytes that are not UTF-8 and on NaN.
        messages = [str(problem["msg"]).removeprefix("Value error, ") for problem in error.errors()]
        return error_response(request.scope["path"], 422, "; ".join(messages))

    @app.exception_handler(QueryError)
    async def answer_query_error(request: Request, error: QueryError) -> Response:
        metrics.rejected("request")
        return error_response(request.scope["path"], 422, str(error))

    @app.exception_handler(ImageError)
    async def answer_image_error(request: Request, error: ImageError) -> Response:
        too_large = isinstance(error, TooManyPixelsError)
        metrics.rejected("pixel_limit" if too_large else "image")
        return error_response(request.scope["path"], 413 if too_large else 422, str(error))

    @app.exception_handler(DigitsUnavailableError)
    async def answer_no_digits(request: Request, error: DigitsUnavailableError) -> Response:
        # No 503: to ask again does not help, and a service that never had MNIST is well.
        return error_response(request.scope["path"], 409, str(error))

    @app.exception_handler(PredictorError)
    async def answer_unavailable(request: Request, error: PredictorError) -> Response:
        # Not a line for each: the engine has logged what is wrong, and a full queue is no wrong at all.
        headers = {"Retry-After": str(error.retry_after_s)} if isinstance(error, OverloadedError) else {}
        return error_response(request.scope["path"], 503, str(error), headers)

    @app.exception_handler(HTTPException)
    async def answer_unknown_call(request: Request, error: HTTPException) -> Response:
        path, method = request.scope["path"], request.scope["method"]
        headers = dict(error.headers or {})
        detail = error.detail
        if error.status_code == 404:
            detail = f"path: expected one of those at /docs, got {shorten(path)}"
        elif error.status_code == 405:
            # Whatever is answered to GET is answered to HEAD (head.py).
            allowed = headers["Allow"] = headers.get("Allow", "").replace("GET", "GET, HEAD")
            detail = f"method: expected one of {allowed}, got {shorten(method)}"
        return error_response(path, error.status_code, detail, headers)

    @app.exception_handler(Exception)
    async def answer_defect(request: Request, _error: Exception) -> Response:
        # Starlette raises the error again behind this answer, so that the log shows it.
        return error_response(
            request.scope["path"], 500, "the service has failed; this is a defect of its own"
        )

    @app.exception_handler(ClientDisconnect)
    async def answer_nobody(_request: Request, _error: ClientDisconnect) -> Response:
        # The client has gone; without this the log would show a failure of ours.
        return Response(status_code=400)


def error_response(path: str, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """The answer to a request that failed.

    What clients sent stands in details as ascii() writes it, so that it encodes whatever it is.
    """
    body, media_type = error_body(path, status, detail)
    return Response(body, status, headers, media_type)
