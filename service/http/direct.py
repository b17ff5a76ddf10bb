"""A route in front of the app, for `POST /predict`: FastAPI documents the call, this route answers it.

For each request FastAPI searches all routes and builds the endpoint's arguments by general machinery, which
takes longer than the rest of the service's own work. This route reads its one parameter itself.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import lru_cache
from urllib.parse import parse_qsl

from fastapi import Request, Response
from fastapi.exceptions import RequestValidationError
from pydantic import ValidationError
from starlette.types import ASGIApp, Receive, Scope, Send

from service.http.errors import EXPECTED_ERRORS, ErrorAnswers
from service.queries import PredictQuery

Endpoint = Callable[[Request, PredictQuery], Awaitable[Response]]


class DirectRoute:
    """Answers POST at one path, and passes every other request on."""

    def __init__(self, path: str, endpoint: Endpoint, errors: ErrorAnswers) -> None:
        self.path = path  # by which metrics name a request's route
        self._endpoint = endpoint
        self._errors = errors

    def before(self, app: ASGIApp) -> ASGIApp:
        """This route, with an app behind it for all other requests."""

        async def route(scope: Scope, receive: Receive, send: Send) -> None:
            if scope["type"] == "http" and scope["path"] == self.path and scope["method"] == "POST":
                scope["route"] = self
                await self._answer(scope, receive, send)
            else:
                await app(scope, receive, send)

        return route

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            response = await self._endpoint(Request(scope, receive), read_query(scope["query_string"]))
        except EXPECTED_ERRORS as error:
            response = self._errors.answer(scope, error)
        except Exception as error:
            await self._errors.answer(scope, error)(scope, receive, send)
            raise  # the server logs the defect
        await response(scope, receive, send)


@lru_cache(maxsize=64)
def read_query(query_string: bytes) -> PredictQuery:
    """The query parameters of `/predict`, checked; few different ones are valid, so they are cached.

    Raises:
        RequestValidationError: a parameter is unknown or not as expected.
    """
    values = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    try:
        return PredictQuery.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
