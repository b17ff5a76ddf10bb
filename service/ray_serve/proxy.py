"""Middleware for Ray Serve's proxies: no request is lost when the replica that has it dies.

If a replica dies before it takes a request, Ray Serve asks another one. If it dies with a request, the client
gets a 500. This service may answer any request twice, so this middleware asks again. Ray calls the function
`middleware` in each proxy if RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH names it when Ray starts on a node.

It is for proxies whose only application is this service, at `/`.
"""

from __future__ import annotations

import logging

from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.http.headers import completed, security_headers
from service.http.observe import HEADER, request_id_of
from service.http.problems import error_body
from service.inference.errors import OverloadedError

MIDDLEWARE_VARIABLE = "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH"
MIDDLEWARE = "service.ray_serve.proxy:middleware"

_TRIES = 4
_TIMEOUT = b"x-request-timeout-seconds"  # Ray Serve's
_READY_S = b"1"
"""How long a replica may take to say that it is ready, before another one is asked."""
_READY_TRIES = 3
_KEPT_BYTES = 16 * 2**20
"""A body of more bytes is not kept to be asked again; the service takes no larger one by default."""
_RETRY_AFTER = (b"retry-after", b"%d" % OverloadedError.retry_after_s)
_HEALTHZ = "/-/healthz"

_log = logging.getLogger(__name__)


def middleware() -> list[Middleware]:
    """The middleware of Ray Serve's proxies."""
    return [Middleware(AskAgain)]


class AskAgain:
    """Middleware that holds back each answer until it is complete, and asks again if none comes."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request; requests that may not be repeated pass through."""
        if scope["type"] != "http" or not _may_be_asked_again(scope["method"], scope["path"]):
            await self._app(scope, receive, send)
            return
        # One id for the request, whichever replica answers, also if none does.
        name = request_id_of(scope["headers"])
        scope = {**scope, "headers": [pair for pair in scope["headers"] if pair[0] != HEADER]}
        scope["headers"].append((HEADER, name))
        if scope["path"] == _HEALTHZ:
            answer = await self._health(scope, receive)
        elif scope["path"] == "/readyz":
            answer = await self._ready(scope, receive)
        else:
            answer = await self._answer(scope, receive)
        for message in answer:
            if message["type"] == "http.response.start":
                # Ray Serve adds a second id, after the app.
                message["headers"] = completed(list(dict.fromkeys(message["headers"])), [(HEADER, name)])
            await send(message)

    async def _health(self, scope: Scope, receive: Receive) -> list[Message]:
        """Ray Serve's health and the replicas': the head's proxy calls itself healthy without any replica."""
        said = await self._answer(scope, receive)
        if _status(said) != 200:
            return said
        ready = await self._ready({**scope, "path": "/readyz", "raw_path": b"/readyz"}, receive)
        return said if _status(ready) == 200 else ready

    async def _ready(self, scope: Scope, receive: Receive) -> list[Message]:
        """A replica's readiness; 503 if the replicas that are asked are not ready or answer too late."""
        scope = {**scope, "headers": [*scope["headers"], (_TIMEOUT, _READY_S)]}
        answer: list[Message] = []
        for _ in range(_READY_TRIES):
            answer = await self._answer(scope, receive)
            if _status(answer) != 503:
                break
        return answer

    async def _answer(self, scope: Scope, receive: Receive) -> list[Message]:
        """The complete answer of the first replica that gives one; empty if the client has disconnected."""
        tape = _Tape(receive)
        for number in range(1, _TRIES + 1):
            answer = await _ask(self._app, {**scope, "headers": list(scope["headers"])}, tape.play())
            if _is_whole(answer):
                return _in_our_words(scope["path"], answer)
            if tape.client_has_gone:
                return []
            if tape.is_torn:
                break
            _log.warning("a replica died with a request to %s, for the %d. time", scope["path"], number)
        return _refusal("the replicas that were asked have died; try again soon", scope["path"])


class _Tape:
    """A request's body, recorded as it is read, so that it can be replayed."""

    def __init__(self, receive: Receive) -> None:
        self._receive = receive
        self._kept: list[Message] = []
        self._bytes = 0
        self.client_has_gone = False
        self.is_torn = False

    def play(self) -> Receive:
        """An ASGI `receive` that begins at the start."""
        place = 0

        async def receive() -> Message:
            nonlocal place
            if place < len(self._kept):
                place += 1
                return self._kept[place - 1]
            # Nothing is awaited between receiving and recording, so a cancelled reader loses nothing.
            message = await self._receive()
            self._keep(message)
            place += 1
            return message

        return receive

    def _keep(self, message: Message) -> None:
        if message["type"] == "http.disconnect":
            self.client_has_gone = True
        self._bytes += len(message.get("body", b""))
        self.is_torn = self._bytes > _KEPT_BYTES
        self._kept = [] if self.is_torn else [*self._kept, message]


async def _ask(app: ASGIApp, scope: Scope, receive: Receive) -> list[Message]:
    """The messages that the proxy sends; incomplete if the replica died or the client disconnected."""
    messages: list[Message] = []

    async def keep(message: Message) -> None:
        messages.append(message)

    await app(scope, receive, keep)
    return messages


def _may_be_asked_again(method: str, path: str) -> bool:
    predicts = path in {"/predict", "/predict/batch"} or path.startswith("/v2/")
    return method in {"GET", "HEAD"} or (method == "POST" and predicts)


def _is_whole(answer: list[Message]) -> bool:
    return bool(answer) and answer[-1]["type"] == "http.response.body" and not answer[-1].get("more_body")


def _status(answer: list[Message]) -> int:
    return int(answer[0]["status"]) if answer else 0


def _in_our_words(path: str, answer: list[Message]) -> list[Message]:
    """The app's answer unchanged; the proxy's own errors in the service's form."""
    start, *rest = answer
    start["headers"] = [(bytes(name).lower(), bytes(value)) for name, value in start["headers"]]
    kind = dict(start["headers"]).get(b"content-type", b"")
    if start["status"] < 400 or not kind.startswith(b"text/plain"):
        return answer
    words = b"".join(message.get("body", b"") for message in rest).decode(errors="replace")
    if start["status"] == 408:  # none of the client's
        return _refusal("no replica has answered in time; try again soon", path)
    return _refusal(words, path, start["status"])


def _refusal(words: str, path: str = "", status: int = 503) -> list[Message]:
    """An error as the service itself writes it."""
    body, media_type = error_body(path, status, words)
    headers = [(b"content-type", media_type.encode()), (b"content-length", b"%d" % len(body))]
    headers += [*([_RETRY_AFTER] if status == 503 else []), *security_headers(shared=False)]
    return [
        {"type": "http.response.start", "status": status, "headers": headers},
        {"type": "http.response.body", "body": body},
    ]
