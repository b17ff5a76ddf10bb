"""Requests by the letter of HTTP: what surrounds a body is bounded, an answer reaches who still sends."""

from __future__ import annotations

import http.client
import re
import socket
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator

import psutil
import pytest

from service.http.server.framing import MAX_FRAMING_BYTES, MAX_FRAMING_LINES
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

TIMEOUT_S = 0.8
LIMIT_BYTES = 1_000_000
CHUNKED = b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"


async def app(scope, receive, send):
    """Answers with what it was asked: method, address, names of headers, length of the body.

    At `/refusing` it answers 413 and reads nothing, at `/closing` as well, and closes.
    """
    length = 0
    early = scope["path"] in ("/refusing", "/closing")
    more = not early
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        length += len(message.get("body", b""))
        more = message.get("more_body", False)
    names = b",".join(name for name, _ in scope["headers"])
    body = b"%b %b %b %d" % (scope["method"].encode(), scope["raw_path"], names, length)
    headers = [(b"content-length", b"%d" % len(body))]
    if scope["path"] == "/closing":
        headers.append((b"connection", b"close"))
    await send({"type": "http.response.start", "status": 413 if early else 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadServer]:
    with listening(app, timeout_s=TIMEOUT_S, lifespan=False) as server:
        yield server


@pytest.fixture
def connect(server) -> Iterator[Callable[[bytes], socket.socket]]:
    opened = []

    def connect(sent: bytes = b"") -> socket.socket:
        client = socket.create_connection(server.address, timeout=WAIT_S)
        opened.append(client)
        client.sendall(sent)
        return client

    yield connect
    for client in opened:
        client.close()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(data), data)


@pytest.mark.parametrize(
    ("begin", "piece"),
    [
        (b"0\r\n", b"a: b\r\n" * 50_000),
        (b"0\r\nX: ", b"a" * 300_000),
        (b"0\r\n", b"a" * 300_000),
        (b"1;x=", b"a" * 300_000),
        (b"", b"1;" + b"a" * 200 + b"\r\nx\r\n"),
        (b"", b"1\r\nx\r\n" * 10_000),
        (b"1\r\nx\r\n0;x=", b"a" * 300_000),
    ],
    ids=["trailers", "trailer", "name", "extension", "extensions", "chunks", "last extension"],
)
def test_what_is_no_body_is_bounded_wherever_it_stands(connect, begin, piece):
    client = connect(CHUNKED + begin)
    rest = b"" if len(piece) > 1000 else piece * 2000
    for _ in range(10):
        client.sendall(rest or piece)
    assert_refused(to_the_end(client), 431, f"{MAX_FRAMING_BYTES} bytes", f"{MAX_FRAMING_LINES} lines")


def test_long_trailers_cost_neither_memory_nor_the_time_of_others(server, connect):
    host, port = server.address
    before = psutil.Process().memory_info().rss
    slowest, stop = [0.0], threading.Event()

    def ask_on():
        while not stop.is_set():
            start = time.monotonic()
            connection = http.client.HTTPConnection(host, port, timeout=WAIT_S)
            connection.request("GET", "/")
            connection.getresponse().read()
            connection.close()
            slowest[0] = max(slowest[0], time.monotonic() - start)

    asking = threading.Thread(target=ask_on)
    asking.start()
    try:
        for begin, piece in ((b"0\r\n", b"a: b\r\n" * 170_000), (b"0\r\nX: ", b"a" * 2**20)):
            client = connect(CHUNKED + begin)
            for _ in range(40):
                client.sendall(piece)
            assert_refused(to_the_end(client), 431)
    finally:
        stop.set()
        asking.join()
    assert psutil.Process().memory_info().rss - before < 20 * 2**20
    assert slowest[0] < 0.5


def test_trailers_are_for_nobody_and_chunks_may_be_small_in_a_long_body(connect):
    client = connect(CHUNKED + chunk(b"x" * 10) + b"0\r\nX-API-Key: secret\r\nX-Other: y\r\n\r\n" + CLOSE)
    first, second = re.findall(rb"\r\n\r\n([^\r]* \d+)", to_the_end(client).replace(b"HTTP", b"\r\n"))
    assert first == b"POST / host,transfer-encoding 10"
    assert second == b"GET / host,connection 0"
    client = connect(CHUNKED + chunk(b"x" * 100) * 20_000 + b"0\r\n\r\n")
    assert one_answer(client).endswith(b" 2000000")


def test_a_head_of_too_many_lines_is_431(connect):
    head = b"GET / HTTP/1.1\r\nHost: here\r\n" + b"X: y\r\n" * MAX_FRAMING_LINES + b"\r\n"
    assert_refused(to_the_end(connect(head)), 431)


OFFERS = {
    "h2c": b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAoAAA\r\n",
    "websocket": b"Connection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n",
    "unknown": b"Connection: upgrade\r\nUpgrade: TLS/1.0, x/9\r\n",
    "closing": b"Connection: close, Upgrade\r\nUpgrade: h2c\r\n",
}


@pytest.mark.parametrize("pieces", ["whole", "head first", "bytes"])
@pytest.mark.parametrize("framing", ["length", "chunks"])
@pytest.mark.parametrize("offer", OFFERS)
def test_an_offer_to_upgrade_is_ignored_and_its_body_is_read(connect, offer, framing, pieces):
    body = b"GET /smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    length = b"Content-Length: %d\r\n" % len(body)
    head = b"POST /a?b HTTP/1.1\r\nHost: here\r\n" + OFFERS[offer]
    head += (length if framing == "length" else b"Transfer-Encoding: chunked\r\n") + b"\r\n"
    sent = body if framing == "length" else chunk(body[:9]) + chunk(body[9:]) + b"0\r\nX: y\r\n\r\n"
    client = connect()
    client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    split = {"whole": [head + sent], "head first": [head, sent], "bytes": [bytes([b]) for b in head + sent]}
    for piece in split[pieces]:
        client.sendall(piece)
        time.sleep(0.02 if pieces == "head first" else 0)
    answer = one_answer(client)
    assert answer.startswith(b"HTTP/1.1 200 ")
    assert re.search(rb"POST /a [a-z0-9,-]+ %d$" % len(body), answer), answer
    if offer == "closing":
        assert to_the_end(client) == b""
    else:  # what follows is the next request
        client.sendall(CLOSE)
        answer = to_the_end(client)
        assert answer.count(b"HTTP/1.1 ") == 1
        assert answer.endswith(b"GET / host,connection 0")


def test_many_offers_behind_each_other_are_answered_each(connect):
    offer = b"GET /b HTTP/1.1\r\nHost: here\r\n" + OFFERS["h2c"] + b"\r\n"
    answer = to_the_end(connect(offer * 100 + CLOSE))
    assert answer.count(b"GET /b ") == 100
    assert answer.endswith(b"GET / host,connection 0")


@pytest.mark.parametrize(
    ("sent", "status", "word"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", 400, "host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nhost: a\r\n\r\n", 400, "host"),
        (b"GET / HTTP/1.0\r\nHost: a\r\nHost: a\r\n\r\n", 400, "host"),
        (b"GET / HTTP/1.1\r\nHost: a/b\r\n\r\n", 400, "host"),
        (b"GET / HTTP/1.1\r\nHost: a, b\r\n\r\n", 400, "host"),
        (b"GET / HTTP/1.1\r\nHost: a@b\r\n\r\n", 400, "host"),
        (b"GET / HTTP/1.1\r\nHost: a:b\r\n\r\n", 400, "host"),
        (b"GET / HTTP/2.0\r\nHost: here\r\n\r\n", 505, "version"),
        (b"GET / HTTP/0.9\r\nHost: here\r\n\r\n", 505, "version"),
        (b"GET /\r\n\r\n", 505, "version"),
        (b"CONNECT here:443 HTTP/1.1\r\nHost: here:443\r\n\r\n", 501, "CONNECT"),
        (
            b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
            501,
            "coding",
        ),
        (b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "coding"),
        (b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: identity\r\n\r\n", 501, "coding"),
        (
            b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: x\r\nTransfer-Encoding: chunked\r\n\r\n",
            501,
            "coding",
        ),
        (b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "HTTP/1.0"),
    ],
)
def test_what_the_standard_forbids_is_refused_and_asked_of_nobody(connect, sent, status, word):
    answer = to_the_end(connect(sent + GET))
    assert_refused(answer, status, word)
    assert answer.count(b"content-length: ") == 1


@pytest.mark.parametrize(
    "sent",
    [
        b"GET / HTTP/1.0\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\nHost:\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\nHost: [::1]:8000\r\n\r\n",
        b"GET / HTTP/1.1\r\nConnection: close\r\nHost: a_b.example:\r\n\r\n",
        b"GET http://here/ HTTP/1.1\r\nConnection: close\r\nHost: here\r\n\r\n",
        b"POST / HTTP/1.1\r\nConnection: close\r\nHost: a\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n",
    ],
)
def test_what_it_allows_is_answered(connect, sent):
    assert to_the_end(connect(sent)).startswith(b"HTTP/1.1 200 ")


@pytest.mark.parametrize("path", ["/closing", "/refusing"])
def test_an_early_refusal_reaches_who_sends_all_before_it_reads(server, path):
    host, port = server.address
    for _ in range(5):
        request = urllib.request.Request(f"http://{host}:{port}{path}", bytes(8_000_000))
        with pytest.raises(urllib.error.HTTPError) as refused:
            urllib.request.urlopen(request, timeout=WAIT_S)  # it asks to close
        assert refused.value.code == 413
        refused.value.close()


def test_who_goes_on_sending_is_read_no_longer_than_the_timeout(connect):
    client = connect(b"POST /closing HTTP/1.1\r\nHost: here\r\nContent-Length: 100000000\r\n\r\n")
    assert one_answer(client).startswith(b"HTTP/1.1 413 ")
    start = time.monotonic()
    with pytest.raises(ConnectionError):
        drip(client, b"x")
    assert TIMEOUT_S / 2 < time.monotonic() - start < 4 * TIMEOUT_S


def test_a_body_that_goes_wrong_behind_its_answer_is_not_answered_again(connect):
    head = b"POST /refusing HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n"
    for rest in (b"zz\r\n", b"0\r\n" + b"a: b\r\n" * 50_000):
        client = connect(head)
        assert one_answer(client).startswith(b"HTTP/1.1 413 ")
        client.sendall(rest)
        assert to_the_end(client) == b""


@pytest.mark.parametrize("before", [b"", GET])
def test_a_late_head_is_refused_at_the_time_that_is_set(connect, before):
    client = connect(before)
    if before:
        one_answer(client)
    time.sleep(TIMEOUT_S / 4)  # so that it begins between two of the server's looks
    start = time.monotonic()
    client.sendall(b"GET / HT")
    assert_refused(to_the_end(client), 408)
    assert time.monotonic() - start < 1.5 * TIMEOUT_S
