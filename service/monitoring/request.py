"""The request that a task answers, so that each log line can name it."""

from __future__ import annotations

from contextvars import ContextVar
from typing import NamedTuple

from starlette.types import Scope


class RequestInfo(NamedTuple):
    """The fields of a log line that name its request."""

    request_id: str
    method: str
    path: str


_PATH_CHARACTERS = 200

_scope: ContextVar[Scope | None] = ContextVar("scope", default=None)


def current_request() -> RequestInfo | None:
    """The request that this task or worker thread answers, without its query; else None."""
    scope = _scope.get()
    if scope is None:
        return None
    path: str = scope["path"]
    if len(path) > _PATH_CHARACTERS:
        path = path[:_PATH_CHARACTERS] + "…"
    return RequestInfo(scope["state"]["request_id"], scope["method"], path)


def begin_request(scope: Scope) -> None:
    """Name the request that this task answers from now on; its state holds its id."""
    _scope.set(scope)
