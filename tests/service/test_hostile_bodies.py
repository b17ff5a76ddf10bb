"""Bodies that come slowly, without their length, with a wrong one, or not at all."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable, Iterator

import pytest
from fastapi import Request
from starlette.requests import ClientDisconnect

from service.app import create_app
from service.http.errors import RequestError
from service.http.uploads import BodyLimits, read_image
from service.inference.engine import engine_in_process
from service.settings import Settings
from tests.service.fakes import BarGenerator, BlobPredictor, fake_digits
from tests.service.hostile import noise
from tests.service.listening import WAIT_S, listening, one_answer, to_the_end

LIMIT_BYTES = 100_000
BODY_TIMEOUT_S = 0.6
PNG = noise("PNG")


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    settings = Settings(max_body_bytes=LIMIT_BYTES, body_timeout_s=BODY_TIMEOUT_S)
    engine = engine_in_process(BlobPredictor(), max_pixels=settings.max_pixels)
    with listening(create_app(engine, settings, BarGenerator(), fake_digits()), timeout_s=10) as server:
        yield server.address


@pytest.fixture
def connect(address) -> Iterator[Callable[[bytes], socket.socket]]:
    opened = []

    def connect(sent: bytes) -> socket.socket:
        client = socket.create_connection(address, timeout=WAIT_S)
        opened.append(client)
        client.sendall(sent)
        return client

    yield connect
    for client in opened:
        client.close()


def head(path: str = "/predict?maps=none", **headers: str) -> bytes:
    lines = {"Host": "here", "Content-Type": "image/png", **headers}
    fields = "".join(f"{name.replace('_', '-')}: {value}\r\n" for name, value in lines.items())
    return f"POST {path} HTTP/1.1\r\n{fields}\r\n".encode()


def chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)


@pytest.mark.parametrize("sent", [b"", PNG[:100]])
@pytest.mark.parametrize("path", ["/predict", "/predict/batch"])
def test_a_body_that_stops_coming_is_408_and_the_connection_is_closed(connect, sent, path):
    kind = "image/png" if path == "/predict" else "multipart/form-data; boundary=b"
    start = time.monotonic()
    answer = to_the_end(connect(head(path, Content_Type=kind, Content_Length="5000") + sent))
    assert BODY_TIMEOUT_S <= time.monotonic() - start < 10
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in answer.lower()
    assert b"within %g s, got %d bytes of 5000" % (BODY_TIMEOUT_S, len(sent)) in answer


def test_a_body_that_drips_is_408(connect):
    client = connect(head(Transfer_Encoding="chunked"))
    client.settimeout(0.05)
    answer, end = b"", time.monotonic() + WAIT_S
    while not answer and time.monotonic() < end:
        client.sendall(chunk(b"x"))
        try:
            answer = client.recv(65_536)
        except TimeoutError:
            continue
    assert answer.startswith(b"HTTP/1.1 408 ")


def test_a_body_that_comes_in_pieces_but_in_time_is_answered(connect):
    client = connect(head(Content_Length=str(len(PNG)), Connection="close"))
    for at in range(0, len(PNG), 100):
        client.sendall(PNG[at : at + 100])
        time.sleep(0.005)
    assert to_the_end(client).startswith(b"HTTP/1.1 200 ")


def test_chunks_over_the_limit_are_413_while_they_come(connect):
    client = connect(head(Transfer_Encoding="chunked"))
    piece = chunk(bytes(10_000))
    for _ in range(LIMIT_BYTES // 10_000 + 1):
        client.sendall(piece)
    answer = one_answer(client)
    assert answer.startswith(b"HTTP/1.1 413 ")
    assert b"%d bytes, got more" % LIMIT_BYTES in answer


def test_a_client_that_sends_all_before_it_reads_finds_its_413(connect):
    client = connect(head(Transfer_Encoding="chunked") + chunk(bytes(1_000_000)) * 20 + chunk(b""))
    assert one_answer(client).startswith(b"HTTP/1.1 413 ")
    client = connect(head(Content_Length="20000000") + bytes(20_000_000))
    assert one_answer(client).startswith(b"HTTP/1.1 413 ")
    client.sendall(b"GET /healthz HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n")
    assert to_the_end(client).endswith(b'{"status":"alive"}')


def test_who_asks_before_sending_is_told_at_once(connect):
    client = connect(head(Content_Length="20000000", Expect="100-continue"))
    assert one_answer(client).startswith(b"HTTP/1.1 413 ")
    client = connect(head(Content_Length="10", Content_Type="text/plain", Expect="100-continue"))
    assert one_answer(client).startswith(b"HTTP/1.1 415 ")
    client = connect(head(Content_Length=str(len(PNG)), Expect="100-continue", Connection="close"))
    assert one_answer(client).startswith(b"HTTP/1.1 100 ")
    client.sendall(PNG)
    assert to_the_end(client).startswith(b"HTTP/1.1 200 ")


def test_a_body_that_is_longer_than_announced_is_no_part_of_the_picture(connect):
    # What comes behind it is no HTTP, and ends the connection.
    answer = to_the_end(connect(head(Content_Length=str(len(PNG))) + PNG + b"\0" * 100))
    assert answer.startswith(b"HTTP/1.1 200 ")


def test_a_client_that_leaves_harms_nobody(connect):
    for sent in (head(Content_Length="5000"), head(Content_Length="5000") + PNG[:9], head()[:40]):
        connect(sent).close()
    assert to_the_end(connect(head(Content_Length=str(len(PNG)), Connection="close") + PNG)).startswith(
        b"HTTP/1.1 200 "
    )


async def read(messages, **headers: str):
    """What `read_image` makes of a request's messages; after the last, nothing comes."""
    left = list(messages)

    async def receive():
        if not left:
            await asyncio.sleep(WAIT_S)
        return left.pop(0)

    raw = [(name.replace("_", "-").encode(), value.encode("latin-1")) for name, value in headers.items()]
    scope = {"type": "http", "headers": [(b"content-type", b"image/png"), *raw]}
    return await read_image(Request(scope, receive), BodyLimits(10, 1, 0.05))


def piece(body: bytes = b"", *, more: bool = False) -> dict[str, object]:
    return {"type": "http.request", "body": body, "more_body": more}


async def test_what_is_read_is_what_came():
    assert await read([piece(b"0123456789")]) == b"0123456789"
    assert await read([piece(b"01", more=True), piece(more=True), piece(b"23")]) == b"0123"
    assert await read([{"type": "http.request"}]) == b""


@pytest.mark.parametrize("length", ["11", "9" * 5000])
async def test_an_announced_length_over_the_limit_is_413_before_anything_is_read(length):
    with pytest.raises(RequestError, match=r"at most 10 bytes, got (11|9+)$") as caught:
        await read([], content_length=length)
    assert caught.value.status == 413


@pytest.mark.parametrize("length", ["", "-1", "1e9", "x", "\xb2", "0x10"])
async def test_an_announced_length_that_is_none_is_not_believed(length):
    assert await read([piece(b"0123")], content_length=length) == b"0123"
    with pytest.raises(RequestError, match="got more"):
        await read([piece(b"01234567890")], content_length=length)


async def test_a_client_that_has_gone_is_not_answered():
    with pytest.raises(ClientDisconnect):
        await read([piece(b"0", more=True), {"type": "http.disconnect"}])
