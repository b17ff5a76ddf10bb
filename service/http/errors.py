"""Each error becomes one answer: a status and a problem with a sentence in `detail`; refusals are counted."""

from __future__ import annotations

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import Scope

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


EXPECTED_ERRORS = (
    *(RequestError, RequestValidationError, QueryError, ImageError, DigitsUnavailableError),
    *(PredictorError, HTTPException, ClientDisconnect),
)
"""The errors that a request can meet; any other is a defect of the service."""

_REJECTIONS: dict[int, Rejection] = {
    408: "body_time",
    413: "body_limit",
    415: "media_type",
    422: "request",
}


class ErrorAnswers:
    """Answers errors, and counts those that are refusals."""

    def __init__(self, metrics: Metrics) -> None:
        self._metrics = metrics

    def answer(self, scope: Scope, error: Exception) -> Response:
        """The answer to a request that has met an error."""
        path: str = scope["path"]
        match error:
            case RequestError():
                if error.status in _REJECTIONS:
                    self._metrics.rejected(_REJECTIONS[error.status])
                # No other request can begin behind a body that did not come in time.
                close = {"Connection": "close"} if error.status == 408 else {}
                return error_response(path, error.status, error.detail, error.headers | close)
            case RequestValidationError():
                self._metrics.rejected("request")
                # FastAPI's own handler echoes the input, and fails on bytes that are not UTF-8 and on NaN.
                messages = [str(each["msg"]).removeprefix("Value error, ") for each in error.errors()]
                return error_response(path, 422, "; ".join(messages))
            case QueryError():
                self._metrics.rejected("request")
                return error_response(path, 422, str(error))
            case TooManyPixelsError():
                self._metrics.rejected("pixel_limit")
                return error_response(path, 413, str(error))
            case ImageError():
                self._metrics.rejected("image")
                return error_response(path, 422, str(error))
            case DigitsUnavailableError():
                # Not 503: to ask again does not help, and a service that never had MNIST is well.
                return error_response(path, 409, str(error))
            case OverloadedError():
                return overload_response(path, error)
            case PredictorError():
                # Nothing is logged for each request: the engine has logged what is wrong.
                return error_response(path, 503, str(error))
            case HTTPException():
                return _answer_unknown_call(scope, error)
            case ClientDisconnect():
                # Nobody reads this; without it the log would show a failure of the service.
                return Response(status_code=400)
        return error_response(path, 500, "the service has failed; this is a defect of its own")


def add_error_handlers(app: FastAPI, errors: ErrorAnswers) -> None:
    """Let an app answer every error so; behind the answer to a defect it raises the defect again."""

    async def answer(request: Request, error: Exception) -> Response:
        return errors.answer(request.scope, error)

    for kind in (*EXPECTED_ERRORS, Exception):
        app.add_exception_handler(kind, answer)


def _answer_unknown_call(scope: Scope, error: HTTPException) -> Response:
    path, method = scope["path"], scope["method"]
    headers = dict(error.headers or {})
    detail = error.detail
    if error.status_code == 404:
        detail = f"path: expected one of those at /docs, got {shorten(path)}"
    elif error.status_code == 405:
        # Whatever is answered to GET is answered to HEAD (middleware.py).
        allowed = headers["Allow"] = headers.get("Allow", "").replace("GET", "GET, HEAD")
        detail = f"method: expected one of {allowed}, got {shorten(method)}"
    return error_response(path, error.status_code, detail, headers)


def overload_response(path: str, error: OverloadedError) -> Response:
    """The answer to overload; the load shedder sends it as well, before a request reaches the app."""
    return error_response(path, 503, str(error), {"Retry-After": str(error.retry_after_s)})


def error_response(path: str, status: int, detail: str, headers: dict[str, str] | None = None) -> Response:
    """The answer to a request that failed.

    Details write what clients sent as ascii() does, so that they always encode.
    """
    body, media_type = error_body(path, status, detail)
    return Response(body, status, headers, media_type)
