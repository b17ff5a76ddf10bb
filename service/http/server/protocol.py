"""HTTP as uvicorn speaks it, with the bounds that it lacks: on what is no body, and on clients that stall."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import httptools
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from service.http.headers import RawHeaders
from service.http.server.refusals import (
    BODY_BYTES_PER_FRAMING_BYTE,
    BODY_BYTES_PER_LINE,
    MAX_FRAMING_BYTES,
    MAX_FRAMING_LINES,
    NO_HTTP,
    TOO_LARGE,
    Refusal,
    late,
    refuse_head,
)


class GuardedProtocol(HttpToolsProtocol):
    """One connection.

    uvicorn takes heads and trailers of any length, waits for ever for the rest of a head, keeps an answer
    for ever that nobody takes, loses the body behind an offer to upgrade, and closes on bytes that it has not
    read, which resets the connection before the client has its answer. This one bounds all of a request that
    is no body (refusals.py), and gives `patience_s` to a head, to an answer of which nothing is taken, and to
    the rest of a body that is for nobody. How long a body may take is bounded where it is read (uploads.py).
    """

    patience_s = 10.0
    shed: Callable[[bytes, bytes, RawHeaders], bytes | None] | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """A client has come; until the end of a head, it owes one."""
        super().connection_made(transport)
        self._in_head = self._in_message = True
        self._head_began = False
        self._begin_framing()
        self._piece_bytes = self._piece_body_bytes = 0
        self._piece_is_shared = False
        self._since_s = self._unsent_since_s = self.loop.time()
        self._unsent_bytes = 0
        self._answering: asyncio.Task[object] | None = None
        self._shedding = False
        self._deaf = self._ended = False
        self._refusal: Refusal | None = None
        self._way_out = cast(asyncio.Transport, _WayOut(transport, self._close_behind_answer))
        self._watch = self.loop.call_later(self.patience_s, self._look)

    def connection_lost(self, exc: Exception | None) -> None:
        """The client has gone."""
        self._watch.cancel()
        super().connection_lost(exc)
        if self._answering is not None and self._is_answering():
            self._answering.cancel()  # nobody hears the answer

    def data_received(self, data: bytes) -> None:
        """Some bytes have come."""
        if self._deaf:
            return
        self._unset_keepalive_if_required()
        self._piece_bytes, self._piece_body_bytes = len(data), 0
        self._piece_is_shared = False
        try:
            self._parse(data)
        except httptools.HttpParserError:
            self._refuse(self._refusal or NO_HTTP)
            return
        # Of a piece that holds the end of another request, nobody knows how much is whose.
        if self._in_message and not self._piece_is_shared:
            self._framing_bytes += self._piece_bytes - self._piece_body_bytes
            if self._framing_bytes > MAX_FRAMING_BYTES + self._body_bytes // BODY_BYTES_PER_FRAMING_BYTE:
                self._refuse(TOO_LARGE)

    def _parse(self, data: bytes) -> None:
        rest = memoryview(data)
        while True:
            try:
                self.parser.feed_data(rest)
            except httptools.HttpParserUpgrade as offer:
                # An offer is ignored (RFC 9110, 7.8), but the parser takes what follows for another protocol,
                # a body as well. So it reads the head again, without the offer.
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
        self._shedding = False
        self._in_head = self._in_message = self._head_began = True
        self._begin_framing()
        self._since_s = self.loop.time()

    def on_header(self, name: bytes, value: bytes) -> None:
        """A line of the head has come; or one of the trailers, which are for nobody."""
        self._count_line()
        if self._in_head:
            super().on_header(name, value)

    def on_chunk_header(self) -> None:
        """The line before a chunk of the body has come."""
        self._count_line()

    def on_headers_complete(self) -> None:
        """A head has come as a whole."""
        self._refusal = self._refuse_head()
        if self._refusal is not None:
            raise ValueError  # the parser stops
        if self.parser.should_upgrade():
            return
        if self.shed is not None and not self._is_answering() and self.parser.should_keep_alive():
            answer = self.shed(self.parser.get_method(), self.url, self.headers)
            if answer is not None and not self.expect_100_continue:
                self._in_head = False
                self._shedding = True
                self.transport.write(answer)
                return
        super().on_headers_complete()
        self.cycle.transport = self._way_out
        self._in_head = False

    def on_body(self, body: bytes) -> None:
        """A part of a request's body has come."""
        self._body_bytes += len(body)
        self._piece_body_bytes += len(body)
        if not self._shedding:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """A request has come as a whole."""
        if self.parser.should_upgrade():
            return
        if not self._shedding:
            super().on_message_complete()
        self._in_message = False
        self._piece_is_shared = True
        if self._shedding or self.cycle.response_complete:
            # The answer was out before the body was: from now on the connection is idle.
            self._unset_keepalive_if_required()
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )

    def on_response_complete(self) -> None:
        """An answer is out."""
        if not self._ended:  # else no other request is answered
            super().on_response_complete()

    def shutdown(self) -> None:
        """The service stops."""
        if self._ended:
            self.transport.close()
        else:
            super().shutdown()

    def _begin_framing(self) -> None:
        self._framing_bytes = self._framing_lines = self._body_bytes = 0

    def _count_line(self) -> None:
        self._framing_lines += 1
        if self._framing_lines > MAX_FRAMING_LINES + self._body_bytes // BODY_BYTES_PER_LINE:
            self._refusal = TOO_LARGE
            raise ValueError  # the parser stops

    def _refuse_head(self) -> Refusal | None:
        if self._framing_bytes + self._piece_bytes > MAX_FRAMING_BYTES:
            size = len(self.url) + sum(len(name) + len(value) + 4 for name, value in self.headers)
            if size > MAX_FRAMING_BYTES:
                return TOO_LARGE
        return refuse_head(self.parser.get_method(), self.parser.get_http_version(), self.headers)

    def _look(self) -> None:
        """Let go of a client that owes something; then look again when the next thing is due."""
        now_s = self.loop.time()
        unsent_bytes = self.transport.get_write_buffer_size()
        if unsent_bytes != self._unsent_bytes:
            self._unsent_bytes, self._unsent_since_s = unsent_bytes, now_s
        answered = not self._is_answering()
        if unsent_bytes and now_s >= self._unsent_since_s + self.patience_s:
            self.transport.abort()  # it takes nothing of its answer
        elif now_s >= self._since_s + self.patience_s:
            if self._ended:
                self.transport.close()
            elif self._in_head and answered:
                if self._head_began:
                    self._refuse(late(self.patience_s))
                else:
                    self.transport.close()
            elif answered and not unsent_bytes and self.timeout_keep_alive_task is None:
                self._end()  # it sends on and on what has been answered, or nothing but blank lines
        due_s = [now_s + self.patience_s, self._since_s + self.patience_s]
        if unsent_bytes:
            due_s.append(self._unsent_since_s + self.patience_s)
        self._watch = self.loop.call_at(min(at_s for at_s in due_s if at_s > now_s), self._look)

    def _is_answering(self) -> bool:
        """Whether an answer is not out yet; there is no cycle before the first request, nor an answer."""
        return not getattr(self.cycle, "response_complete", True)

    def _refuse(self, refusal: Refusal) -> None:
        """Answer and read no more; but each request has one answer, and those before it come first."""
        if self._deaf or self.transport.is_closing():
            return
        self._deaf = True
        of_this_request = self._in_message and not self._in_head
        if self._is_answering():
            if not of_this_request or self.pipeline or self.cycle.response_started:
                # The answer to an earlier request, or a part of this one's, is not out: it is the last one.
                self.cycle.keep_alive = False
                return
            # The app waits for the rest of this request's body, and is told that none will come.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        elif of_this_request:
            self._end()
            return
        self.transport.write(refusal.answer())
        self._end()

    def _close_behind_answer(self) -> None:
        """Close after the last answer; at once, if all has been read that the client has sent."""
        if self._in_message or self._deaf or self.pipeline:
            self._end()
        else:
            self.transport.close()

    def _end(self) -> None:
        """Say no more, and throw away what still comes, until the client closes or its time is over.

        To close with bytes unread resets the connection, and with it the answer that the client has not read.
        """
        if self._ended or self.transport.is_closing():
            return
        self._deaf = self._ended = True
        self._since_s = self.loop.time()
        self._unset_keepalive_if_required()
        self.pipeline.clear()
        self.flow.resume_reading()
        if self.transport.can_write_eof():
            self.transport.write_eof()


class _WayOut:
    """What an answer is written to: a transport whose `close` waits for what the client still sends."""

    def __init__(self, transport: asyncio.Transport, close: Callable[[], None]) -> None:
        self.write = transport.write
        self.is_closing = transport.is_closing
        self.close = close


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
