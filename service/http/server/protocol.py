"""uvicorn's HTTP protocol with bounds that it lacks: on all but the body, and on stalled clients."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.http.headers import RawHeaders
from service.http.server.framing import MAX_FRAMING_BYTES, Framing
from service.http.server.refusals import NO_HTTP, TOO_LARGE, Refusal, late_head, refuse_head

ShedLoad = Callable[[bytes, bytes, RawHeaders], bytes | None]
"""From a request's method, address and headers to an immediate answer, or None."""


class State(Enum):
    """What the connection is reading, or why it has stopped reading."""

    FIRST_HEAD = auto()  # nothing has come yet, and a head is due
    HEAD = auto()
    BODY = auto()
    REFUSED_BODY = auto()  # the load shedder has answered the request; its body is thrown away
    BETWEEN = auto()  # a request is complete
    LAST_ANSWER = auto()  # nothing more is read; an answer is still on its way
    CLOSING = auto()  # the last answer is out; what still comes is thrown away until the client closes


_IN_BODY = frozenset((State.BODY, State.REFUSED_BODY))
_ENDED = frozenset((State.LAST_ANSWER, State.CLOSING))


class GuardedProtocol(HttpToolsProtocol):
    """One connection.

    uvicorn takes heads and trailers of any length, waits forever for the rest of a head, keeps an answer
    forever that the client does not take, loses the body behind an offer to upgrade, and closes with unread
    bytes, which resets the connection before the client has its answer. This class bounds everything in a
    request that is not its body (framing.py). It gives `timeout_s` to a head, to an answer of which the
    client takes nothing, and to the rest of a body that nobody reads. How long a body may take is bounded
    where it is read (uploads.py).
    """

    timeout_s = 10.0
    shed_load: ShedLoad | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has connected; its first head is due."""
        super().connection_made(transport)
        self._state = State.FIRST_HEAD
        self._framing = Framing()
        self._since_s = self._unsent_since_s = self.loop.time()
        self._unsent_bytes = 0
        self._answering: asyncio.Task[object] | None = None
        self._refusal: Refusal | None = None
        self._answer_transport = cast(
            asyncio.Transport, _AnswerTransport(transport, self._close_behind_answer)
        )
        self._timer = self.loop.call_later(self.timeout_s, self._check_progress)

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed."""
        self._timer.cancel()
        super().connection_lost(exc)
        if self._answering is not None and self._is_answering():
            self._answering.cancel()  # nobody would get the answer

    def data_received(self, data: bytes) -> None:
        """Bytes have arrived."""
        if self._state in _ENDED:
            return
        self._unset_keepalive_if_required()
        self._framing.begin_piece(len(data))
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal or NO_HTTP)
            return
        if self._state is not State.BETWEEN and not self._framing.end_piece():
            self._refuse(TOO_LARGE)

    def _parse(self, data: bytes) -> None:
        rest = memoryview(data)
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                # The service ignores an offer (RFC 9110, 7.8), but the parser takes what follows for another
                # protocol, even a body. So the parser reads the head again, without the offer.
                rest = rest[offer.args[0] :]
                head = self._head_without_offer()
                self.parser = httptools.HttpRequestParser(self)
                self.parser.feed_data(head)
            else:
                return

    def _head_without_offer(self) -> bytes:
        lines = [
            self.parser.get_method() + b" " + self.url + b" HTTP/" + self.parser.get_http_version().encode()
        ]
        lines += [name + b": " + value for name, value in self.headers if name != b"upgrade"]
        return b"\r\n".join([*lines, b"", b""])

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
        self._state = State.HEAD
        self._framing.begin_request()
        self._since_s = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header has arrived; or a trailer, which nobody reads."""
        self._count_line()
        if self._state is State.HEAD:
            super().on_header(name, value)

    def on_chunk_header(self) -> None:
        """The line before a chunk of the body has arrived."""
        self._count_line()

    def on_headers_complete(self) -> None:
        """The head is complete."""
        self._refusal = self._refuse_head()
        if self._refusal is not None:
            raise ValueError  # the parser stops
        if self.parser.should_upgrade():
            return
        if self.shed_load is not None and not self._is_answering() and self.parser.should_keep_alive():
            answer = self.shed_load(self.parser.get_method(), self.url, self.headers)
            if answer is not None and not self.expect_100_continue:
                self._state = State.REFUSED_BODY
                self.transport.write(answer)
                return
        super().on_headers_complete()
        self.cycle.transport = self._answer_transport
        self._state = State.BODY

    def on_body(self, body: bytes) -> None:
        """A piece of the body has arrived."""
        self._framing.add_body(len(body))
        if self._state is State.BODY:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """The request is complete."""
        if self.parser.should_upgrade():
            return
        was_refused = self._state is State.REFUSED_BODY
        if not was_refused:
            super().on_message_complete()
        self._state = State.BETWEEN
        self._framing.end_request()
        if was_refused or self.cycle.response_complete:
            # The answer was sent before the body was complete: from now on the connection is idle.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """An answer has been sent."""
        if self._state is not State.CLOSING:  # there no other request is answered
            super().on_response_complete()

    def shutdown(self) -> None:
        """The service stops."""
        if self._state is State.CLOSING:
            self.transport.close()
        else:
            super().shutdown()

    def _count_line(self) -> None:
        if not self._framing.add_line():
            self._refusal = TOO_LARGE
            raise ValueError  # the parser stops

    def _refuse_head(self) -> Refusal | None:
        if self._framing.head_may_be_too_long:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > MAX_FRAMING_BYTES:
                return TOO_LARGE
        return refuse_head(self.parser.get_method(), self.parser.get_http_version(), self.headers)

    def _check_progress(self) -> None:
        """Give up a client that makes no progress; then check again when the next thing is due."""
        now_s = self.loop.time()
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes != self._unsent_bytes:
            self._unsent_bytes, self._unsent_since_s = unsent_bytes, now_s
        answered = not self._is_answering()
        if unsent_bytes and now_s >= self._unsent_since_s + self.timeout_s:
            self.transport.abort()  # the client takes nothing of its answer
        elif now_s >= self._since_s + self.timeout_s:
            if self._state is State.CLOSING or (self._state is State.FIRST_HEAD and answered):
                self.transport.close()
            elif self._state is State.HEAD and answered:
                self._refuse(late_head(self.timeout_s))
            elif answered and not unsent_bytes and self.timeout_keep_alive_task is None:
                self._end()  # the client goes on sending what has been answered, or sends only blank lines
        due_s = [now_s + self.timeout_s, self._since_s + self.timeout_s]
        if unsent_bytes:
            due_s.append(self._unsent_since_s + self.timeout_s)
        self._timer = self.loop.call_at(min(at_s for at_s in due_s if at_s > now_s), self._check_progress)

    def _is_answering(self) -> bool:
        """Whether an answer is still being made or sent; before the first request there is no cycle."""
        return not getattr(self.cycle, "response_complete", True)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer and stop reading; each request has one answer, and earlier answers go first."""
        if self._state in _ENDED or self.transport.is_closing():
            return
        of_this_request = self._state in _IN_BODY
        self._state = State.LAST_ANSWER
        if self._is_answering():
            if not of_this_request or self.pipeline or self.cycle.response_started:
                # An earlier answer, or a part of this one, is still being sent: it is the last one.
                self.cycle.keep_alive = False
                return
            # The app waits for the rest of this request's body: tell it that none will come.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        elif of_this_request:
            self._end()
            return
        self.transport.write(refusal.answer())
        self._end()

    def _close_behind_answer(self) -> None:
        """Close after the last answer; at once if nothing that the client sent is unread."""
        if self._state is not State.BETWEEN or self.pipeline:
            self._end()
        else:
            self.transport.close()

    def _end(self) -> None:
        """Write no more, and throw away what still comes, until the client closes or its time is over.

        Closing with unread bytes resets the connection, and the client loses the answer it has not read yet.
        """
        if self._state is State.CLOSING or self.transport.is_closing():
            return
        self._state = State.CLOSING
        self._since_s = self.loop.time()
        self._unset_keepalive_if_required()
        self.pipeline.clear()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()


class _AnswerTransport:
    """What an answer is written to: a transport whose `close` waits for what the client still sends."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


def guarded_protocol(timeout_s: float, shed_load: ShedLoad | None = None) -> type[GuardedProtocol]:
    """The protocol with these settings, for uvicorn's `http=`.

    Args:
        timeout_s: how long a client may make no progress.
        shed_load: refuses requests before they reach the app.
    """

    class Protocol(GuardedProtocol):
        pass

    Protocol.timeout_s = timeout_s
    Protocol.shed_load = staticmethod(shed_load) if shed_load else None
    return Protocol
