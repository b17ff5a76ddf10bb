"""Error handlers: each error becomes a status and a problem with a sentence in `detail`, and is counted."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect

from scenes.mnist import DigitsUnavailableError
from service.http.problems import error_body
from service.inference.errors import OverloadedError, PredictorError
from service.monitoring.metrics import Metrics, Rejection
from service.pictures.decode import ImageError, TooManyPixelsError
from service.queries import QueryError, shorten


class RequestError(Exception):
    """A request that cannot be answered: the HTTP status, a sentence for the client, and headers."""

    def __init__(self, status: int, detail: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}


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
