"""HTTP as uvicorn speaks it, with the bounds that it lacks: on a request's head and on clients that stall."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from http import HTTPStatus
from typing import Any

import orjson
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.http.headers import RawHeaders, security_headers
from service.schemas import ErrorAnswer

MAX_HEAD_BYTES = 65_536
_LINGER_S = 2.0


class GuardedProtocol(HttpToolsProtocol):
    """One connection.

    uvicorn takes heads of any length, waits for ever for the rest of one, and keeps an answer for ever that
    nobody takes. This one looks at each connection every `patience_s`, so that a request costs nothing but
    the time at which it began. How long a body may take is bounded where it is read (uploads.py).
    """

    patience_s = 10.0
    shed: Callable[[bytes, bytes, RawHeaders], bytes | None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come; until the end of a head, it owes one."""
        super().connection_made(transport)
        self._in_head = self._in_message = True
        self._head_began = False
        self._head_bytes = 0
        self._since_s = self.loop.time()
        self._unsent_bytes = 0
        self._answering: asyncio.Task[object] | None = None
        self._refused = self._shedding = False
        self._refusal: tuple[HTTPStatus, str] | None = None
        self._watch = self.loop.call_later(self.patience_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._watch.cancel()
        super().connection_lost(exc)
        if self._answering is not None and self._is_answering():
            self._answering.cancel()  # nobody hears the answer

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        if self._refused:
            return
        self._chunk_bytes = len(data)
        super().data_received(data)
        if self._in_head and not self._refused:
            # What came before this head in the same piece counts as well: only pipelining clients see that.
            self._head_bytes += len(data)
            if self._head_bytes > 2 * MAX_HEAD_BYTES:
                self._refuse(*_HEAD_TOO_LARGE)

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        async def answer(scope: Any, receive: Any, send: Any) -> None:
            self._answering = asyncio.current_task()
            try:
                await app(scope, receive, send)
            except asyncio.CancelledError:
                if not cycle.disconnected:
                    raise

        super()._start_asgi_task(cycle, answer)

    def on_message_begin(self) -> None:
        """A request begins."""
        super().on_message_begin()
        self._shedding = False
        self._in_head = self._in_message = self._head_began = True
        self._head_bytes = 0
        self._since_s = self.loop.time()

    def on_headers_complete(self) -> None:
        """A head has come as a whole."""
        self._in_head = False
        if self._head_bytes + self._chunk_bytes > MAX_HEAD_BYTES:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > MAX_HEAD_BYTES:
                self._refusal = _HEAD_TOO_LARGE
                raise ValueError  # the parser stops, and uvicorn asks for a 400
        if self.shed is not None and not self._is_answering() and self.parser.should_keep_alive():
            answer = self.shed(self.parser.get_method(), self.url, self.headers)
            if answer is not None and not self.expect_100_continue:
                self._shedding = True
                self.transport.write(answer)
                self._unset_keepalive_if_required()
                self.timeout_keep_alive_task = self.loop.call_later(
                    self.timeout_keep_alive, self.timeout_keep_alive_handler
                )
                return
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """A part of a request's body has come."""
        if not self._shedding:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has come as a whole."""
        if not self._shedding:
            super().on_message_complete()
        self._in_message = False

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002
        """What came is no HTTP, or not such as is taken."""
        self._refuse(*(self._refusal or _NO_HTTP))

    def _look(self) -> None:
        """Let go of a client that has made no progress since the last time."""
        unsent_bytes = self.transport.get_write_buffer_size()
        overdue = self.loop.time() - self._since_s >= self.patience_s
        answered = not self._is_answering()
        if unsent_bytes and unsent_bytes == self._unsent_bytes:
            self.transport.abort()  # it takes nothing of its answer
        elif self._in_head and overdue and answered:
            if self._head_began:
                self._refuse(HTTPStatus.REQUEST_TIMEOUT, _late(self.patience_s))
            else:
                self.transport.close()
        elif answered and overdue and not unsent_bytes and self.timeout_keep_alive_task is None:
            self.transport.close()  # it sends on and on what has been answered, or nothing but blank lines
        self._unsent_bytes = unsent_bytes
        self._watch = self.loop.call_later(self.patience_s, self._look)

    def _is_answering(self) -> bool:
        """Whether an answer is not out yet; there is no cycle before the first request, nor an answer."""
        return not getattr(self.cycle, "response_complete", True)

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer and let go, but not at once: closing on bytes unread resets the connection, answer lost."""
        if self._refused or self.transport.is_closing():
            return
        self._refused = True
        if self._is_answering():
            if not self._in_message or self._in_head or self.pipeline or self.cycle.response_started:
                # The answer to an earlier request is not out: it is the last one.
                self.cycle.keep_alive = False
                return
            # The app waits for the rest of this request's body, and is told that none will come.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        body = orjson.dumps({"detail": detail})
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n{_STANDING}\r\n"
        )
        self.transport.write(head.encode("ascii") + body)
        if self.transport.can_write_eof():
            self.transport.write_eof()
        self.loop.call_later(_LINGER_S, self.transport.close)


def guarded_protocol(
    patience_s: float, shed: Callable[[bytes, bytes, RawHeaders], bytes | None] | None = None
) -> type[GuardedProtocol]:
    """The protocol with that patience, for uvicorn's `http=`.

    Args:
        patience_s: how long a client may make no progress.
        shed: from a request's method, address and headers to a whole answer that is given at once, if any.
    """

    class Protocol(GuardedProtocol):
        pass

    Protocol.patience_s = patience_s
    Protocol.shed = staticmethod(shed) if shed else None
    return Protocol


def document_refusals(document: dict[str, Any]) -> None:
    """Write into an OpenAPI document how a request is refused before it is known what it asks.

    Where a call has such a status of its own, the answer has either form.
    """
    schema = {"$ref": f"#/components/schemas/{ErrorAnswer.__name__}"}
    for call in (call for methods in document["paths"].values() for call in methods.values()):
        for status, (description, detail) in _REFUSALS.items():
            own = call["responses"].get(str(status))
            if own is None:
                content = {"schema": schema, "example": {"detail": detail}}
                call["responses"][str(status)] = {
                    "description": description,
                    "content": {"application/json": content},
                }
            elif (content := own["content"]["application/json"])["schema"] != schema:
                content["schema"] = {"anyOf": [content["schema"], schema]}
        call["responses"] = dict(sorted(call["responses"].items()))


def _late(patience_s: float) -> str:
    return f"request: expected its head within {patience_s:g} s"


# These answers are given before the app, which sends the same with its own, is asked.
_STANDING = "".join(
    f"{name.decode()}: {value.decode()}\r\n" for name, value in security_headers(shared=False)
)
_HEAD_TOO_LARGE = (
    HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE,
    f"request: expected an address and headers of at most {MAX_HEAD_BYTES} bytes together, got more",
)
_NO_HTTP = (HTTPStatus.BAD_REQUEST, "request: expected HTTP/1.1, got what cannot be read as such")
_REFUSALS = {
    400: ("What came cannot be read as HTTP; the connection is closed.", _NO_HTTP[1]),
    408: (
        "The request's head did not come in time; the connection is closed.",
        _late(GuardedProtocol.patience_s),
    ),
    431: ("The address and the headers are too long; the connection is closed.", _HEAD_TOO_LARGE[1]),
}
