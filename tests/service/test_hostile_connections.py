"""Connections that stall, flood or speak something else: real sockets, a small app behind them."""

from __future__ import annotations

import socket
import time
from collections.abc import Iterator

import pytest

from service.http.server.framing import MAX_FRAMING_BYTES as MAX_HEAD_BYTES
from tests.service.listening import (
    CLOSE,
    GET,
    WAIT_S,
    ThreadServer,
    assert_refused,
    drip,
    listening,
    one_answer,
    to_the_end,
)

TIMEOUT_S = 0.4
LARGE_BYTES = 40_000_000  # more than the buffers of both ends of a socket


async def app(scope, receive, send):
    """Says how long the body was; `/early` does not read it, `/large` answers at length."""
    length = 0
    more = scope["path"] != "/early"
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    body = b"x" * LARGE_BYTES if scope["path"] == "/large" else b"%d" % length
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadServer]:
    with listening(app, timeout_s=TIMEOUT_S, lifespan=False) as server:
        yield server


@pytest.fixture
def connect(server):
    opened = []

    def connect(sent: bytes = b"") -> socket.socket:
        client = socket.create_connection(server.address, timeout=WAIT_S)
        opened.append(client)
        client.sendall(sent)
        return client

    yield connect
    for client in opened:
        client.close()


def test_what_is_ordinary_is_answered(connect):
    assert to_the_end(connect(GET + GET + CLOSE)).count(b"HTTP/1.1 200 ") == 3
    post = b"POST / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n"
    body = b"y" * 3_000_000
    assert to_the_end(connect(post + b"Content-Length: 3000000\r\n\r\n" + body)).endswith(b"\r\n\r\n3000000")
    chunks = b"2dc6c0\r\n" + body + b"\r\n0\r\n\r\n"
    assert to_the_end(connect(post + b"Transfer-Encoding: chunked\r\n\r\n" + chunks)).endswith(b"3000000")


def test_many_requests_behind_each_other_are_no_long_head(connect):
    request = b"GET / HTTP/1.1\r\nHost: here\r\nX: " + b"x" * 1000 + b"\r\n\r\n"
    assert to_the_end(connect(request * 300 + CLOSE)).count(b"HTTP/1.1 200 ") == 301


@pytest.mark.parametrize(
    "sent", [b"G", b"GET / HTTP/1.1\r\n", b"GET / HTTP/1.1\r\nHost: here\r\nX: ", GET + b"GET"]
)
def test_a_head_that_does_not_come_in_time_is_408(connect, sent):
    client = connect(sent)
    answer = to_the_end(client)
    if sent.startswith(GET):
        assert answer.startswith(b"HTTP/1.1 200 ")
        answer = answer[answer.index(b"HTTP/1.1 4") :]
    assert_refused(answer, 408, "head", f"{TIMEOUT_S:g} s")


def test_a_head_that_drips_is_408(connect):
    client = connect(b"GET / HTTP/1.1\r\nX: ")
    client.settimeout(0.05)
    answer = b""
    end = time.monotonic() + WAIT_S
    while not answer and time.monotonic() < end:
        client.sendall(b"x")
        try:
            answer = client.recv(65_536)
        except TimeoutError:
            continue
    assert_refused(answer, 408, "head")


@pytest.mark.parametrize("sent", [b"", b"\r\n", GET + b"\r\n"])
def test_a_client_that_asks_nothing_is_let_go(connect, sent):
    answer = to_the_end(connect(sent))
    assert answer.count(b"HTTP/1.1") == (1 if GET in sent else 0)


def test_blank_lines_keep_no_connection_open(connect):
    client = connect(GET)
    with pytest.raises(ConnectionError):
        drip(client, b"\r\n")


def test_a_body_behind_its_answer_keeps_no_connection_open(connect):
    client = connect(b"POST /early HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000000\r\n\r\n")
    assert one_answer(client).startswith(b"HTTP/1.1 200 ")
    with pytest.raises(ConnectionError):
        drip(client, b"x")


def test_a_client_that_takes_nothing_of_its_answer_is_let_go(server, connect):
    client = connect(b"GET /large HTTP/1.1\r\nHost: here\r\n\r\n")
    end = time.monotonic() + WAIT_S
    while not server.server_state.connections and time.monotonic() < end:
        time.sleep(0.01)
    while server.server_state.connections and time.monotonic() < end:
        time.sleep(0.01)
    assert not server.server_state.connections
    assert len(to_the_end(client)) < LARGE_BYTES


def test_a_slow_reader_gets_all_of_its_answer(connect):
    client = connect(b"GET /large HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    came = 0
    while piece := client.recv(2**20):
        came += len(piece)
        time.sleep(0.02)
    assert came > LARGE_BYTES


@pytest.mark.parametrize(
    "head",
    [
        b"GET /" + b"x" * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /?" + b"x" * 10 * MAX_HEAD_BYTES + b" HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\nX: " + b"x" * MAX_HEAD_BYTES + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: here\r\n" + b"X: x\r\n" * MAX_HEAD_BYTES + b"\r\n",
        b"GET / HTTP/1.1\r\n" + b"x" * 50 * MAX_HEAD_BYTES,
        b"POST / HTTP/1.1\r\nX: "
        + b"x" * MAX_HEAD_BYTES
        + b"\r\nContent-Length: 9999999\r\n\r\n"
        + b"y" * 9_999_999,
    ],
    ids=["path", "query", "header", "headers", "endless", "body behind it"],
)
def test_a_head_over_the_limit_is_431(connect, head):
    assert_refused(to_the_end(connect(head)), 431, f"{MAX_HEAD_BYTES} bytes")


def test_a_head_under_the_limit_is_not(connect):
    head = (
        b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\nX: "
        + b"x" * (MAX_HEAD_BYTES - 100)
        + b"\r\n\r\n"
    )
    assert to_the_end(connect(head)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize(
    "sent",
    [
        b"hello\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(200),  # TLS
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"GET /\x00 HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET /\xff\xfe HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET http://[ HTTP/1.1\r\nHost: here\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost here\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n",
        b"POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx",
        b"POST / HTTP/1.1\r\nContent-Length: 99999999999999999999\r\n\r\nx",
        b"POST / HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        b"NONSENSE / HTTP/1.1\r\nHost: here\r\n\r\n",
        bytes(1_000_000),
    ],
)
def test_what_is_no_http_is_400(connect, sent):
    assert_refused(to_the_end(connect(sent)), 400, "HTTP/1.1")


def test_a_broken_chunk_ends_the_connection(connect):
    head = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
    assert_refused(to_the_end(connect(head + b"zz\r\nx\r\n")), 400, "HTTP/1.1")
    client = connect(head + b"1\r\nx\r\n")
    time.sleep(0.05)
    client.sendall(b"zz\r\n")
    assert_refused(to_the_end(client), 400, "HTTP/1.1")


def test_what_comes_before_nonsense_is_answered(connect):
    answer = to_the_end(connect(GET + b"hello\r\n\r\n"))
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert answer.count(b"HTTP/1.1") == 1


@pytest.mark.parametrize("upgrade", [b"websocket", b"h2c", b"nonsense"])
def test_an_upgrade_is_not_made_and_the_request_is_answered(connect, upgrade):
    head = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close, Upgrade\r\nUpgrade: " + upgrade + b"\r\n"
    key = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    assert to_the_end(connect(head + key)).startswith(b"HTTP/1.1 200 ")
