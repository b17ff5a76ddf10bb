"""The route of `/predict`: documented by FastAPI, called without its detours.

For each request FastAPI finds the route among all, and builds what its endpoint takes, by a general machinery
that takes longer than all the rest of the service's own work. This route reads its one parameter itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import parse_qsl

from fastapi import Request
from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import ValidationError
from starlette.middleware.errors import ServerErrorMiddleware
from starlette.middleware.exceptions import ExceptionMiddleware
from starlette.types import ASGIApp, Receive, Scope, Send

from service.queries import PredictQuery, refuse_repeats


class DirectRoute(APIRoute):
    """A route of one method whose endpoint takes the request and its query, and returns a response."""

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request to this route's path."""
        if scope["method"] not in (self.methods or ()):
            await super().handle(scope, receive, send)  # says which are allowed
            return
        response = await self.endpoint(Request(scope, receive), read_query(scope["query_string"]))
        await response(scope, receive, send)


class Shortcut:
    """Around an app: brings requests for direct routes to them, past what the app does for all others.

    Errors are answered by the same handlers.
    """

    def __init__(
        self, app: ASGIApp, routes: Iterable[object], handlers: Mapping[Any, Any], *, debug: bool
    ) -> None:
        self._app = app
        self._routes = {
            (method, route.path): route
            for route in routes
            if isinstance(route, DirectRoute)
            for method in route.methods or ()
        }
        defects = (500, Exception)
        of_requests = {kind: handler for kind, handler in handlers.items() if kind not in defects}
        of_defects = next((handlers[kind] for kind in defects if kind in handlers), None)
        self._direct = ServerErrorMiddleware(
            ExceptionMiddleware(_handle, of_requests, debug), of_defects, debug
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on, by the shorter way where there is one."""
        route = self._routes.get((scope["method"], scope["path"])) if scope["type"] == "http" else None
        if route is None:
            await self._app(scope, receive, send)
        else:
            scope["route"] = route
            await self._direct(scope, receive, send)


async def _handle(scope: Scope, receive: Receive, send: Send) -> None:
    await scope["route"].handle(scope, receive, send)


@lru_cache(maxsize=64)
def read_query(query_string: bytes) -> PredictQuery:
    """The query parameters of `/predict`, checked; there are few that are right, so they are kept.

    Raises:
        QueryError: a parameter is given twice.
        RequestValidationError: a parameter is unknown or not as expected.
    """
    refuse_repeats(query_string)
    values = dict(parse_qsl(query_string.decode("latin-1"), keep_blank_values=True))
    try:
        return PredictQuery.model_validate(values)
    except ValidationError as error:
        raise RequestValidationError(error.errors()) from error
