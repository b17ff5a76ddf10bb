"""Errors as clients see them: always JSON with a sentence in `detail`, every status documented once."""

from __future__ import annotations

from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.requests import ClientDisconnect

from scenes.mnist import DigitsUnavailableError
from service.images import ImageError, TooManyPixelsError
from service.predictor import PredictorError
from service.schemas import ErrorAnswer


class RequestError(Exception):
    """A request that cannot be answered: the HTTP status and a sentence for the client."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail


_EXAMPLES = {
    413: (
        "The body or the pixel count is over the limit.",
        "body: expected at most 16777216 bytes, got more",
    ),
    415: (
        "The content type is not an image type that is read.",
        "content type: expected multipart/form-data or one of image/png, image/jpeg, …, got 'text/plain'",
    ),
    422: (
        "The image cannot be decoded, or a parameter is not as expected.",
        "size: expected a number from 20 to 64, got '70'",
    ),
    503: ("The service cannot answer now.", "the model did not run on CUDAExecutionProvider: …"),
}


def documented(*statuses: int, unavailable: str = "") -> dict[int | str, dict[str, Any]]:
    """OpenAPI's descriptions of the errors 413, 415, 422 and 503; `unavailable` is an example of 503."""
    documents: dict[int | str, dict[str, Any]] = {}
    for status in statuses:
        description, example = _EXAMPLES[status]
        if status == 503 and unavailable:
            example = unavailable
        documents[status] = {
            "model": ErrorAnswer,
            "description": description,
            "content": {"application/json": {"example": {"detail": example}}},
        }
    return documents


def add_error_handlers(app: FastAPI) -> None:
    """Answer every error that a request can meet with its status and a sentence."""

    @app.exception_handler(RequestError)
    async def answer_request_error(_request: Request, error: RequestError) -> Response:
        return _error_response(error.status, error.detail)

    @app.exception_handler(RequestValidationError)
    async def answer_validation_error(_request: Request, error: RequestValidationError) -> Response:
        # FastAPI's own handler echoes the input, and fails on bytes that are not UTF-8 and on NaN.
        messages = [str(problem["msg"]).removeprefix("Value error, ") for problem in error.errors()]
        return _error_response(422, "; ".join(messages))

    @app.exception_handler(ImageError)
    async def answer_image_error(_request: Request, error: ImageError) -> Response:
        return _error_response(413 if isinstance(error, TooManyPixelsError) else 422, str(error))

    @app.exception_handler(PredictorError)
    @app.exception_handler(DigitsUnavailableError)
    async def answer_unavailable(_request: Request, error: Exception) -> Response:
        return _error_response(503, str(error))

    @app.exception_handler(Exception)
    async def answer_defect(_request: Request, _error: Exception) -> Response:
        # Starlette raises the error again behind this answer, so that the log shows it.
        return _error_response(500, "the service has failed; this is a defect of its own")

    @app.exception_handler(ClientDisconnect)
    async def answer_nobody(_request: Request, _error: ClientDisconnect) -> Response:
        # The client has gone; without this the log would show a failure of ours.
        return Response(status_code=400)


def _error_response(status: int, detail: str) -> Response:
    # What clients sent stands in details as ascii() writes it, so that it encodes whatever it is.
    return JSONResponse({"detail": detail}, status_code=status)
