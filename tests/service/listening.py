"""An app behind a real socket, served by a thread, with the protocol that the service has."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import uvicorn
from fastapi.testclient import TestClient
from starlette.types import ASGIApp

from service.app import create_app
from service.http.server.protocol import guarded_protocol
from service.http.server.shedding import LoadShedder
from service.inference.engine import engine_in_process
from service.settings import Settings
from tests.service.fakes import BarGenerator, BlobPredictor, fake_digits

WAIT_S = 20
GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
CLOSE = b"GET / HTTP/1.1\r\nHost: here\r\nConnection: close\r\n\r\n"


class ThreadServer(uvicorn.Server):
    """A server in a thread, which cannot take signals."""

    address: tuple[str, int]

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        yield


@contextmanager
def listening(
    app: ASGIApp, *, timeout_s: float, lifespan: bool = True, shed: LoadShedder | None = None
) -> Iterator[ThreadServer]:
    """A server that listens at its `address`."""
    config = uvicorn.Config(
        app,
        http=guarded_protocol(timeout_s, shed),
        ws="none",
        lifespan="on" if lifespan else "off",
        log_config=None,
        timeout_keep_alive=1,
    )
    server = ThreadServer(config)
    listener = socket.create_server(("127.0.0.1", 0))
    server.address = listener.getsockname()
    thread = threading.Thread(target=lambda: asyncio.run(server.serve([listener])))
    thread.start()
    try:
        yield server
    finally:
        server.should_exit = True
        thread.join(WAIT_S)
        assert not thread.is_alive()


@contextmanager
def asking() -> Iterator[TestClient]:
    """A client of the whole app, in process, with low limits; for modules that ask it often."""
    own = Settings(max_body_bytes=200_000, max_pixels=1_000_000)
    engine = engine_in_process(BlobPredictor(), max_pixels=own.max_pixels)
    with TestClient(create_app(engine, own, BarGenerator(), fake_digits())) as client:
        yield client


def to_the_end(client: socket.socket) -> bytes:
    """All that comes until the server closes; a reset would raise."""
    came = b""
    while piece := client.recv(65_536):
        came += piece
    return came


def one_answer(client: socket.socket) -> bytes:
    """One answer, head and body; the connection may stay open, and the parts may come apart."""
    came = b""
    while b"\r\n\r\n" not in came:
        came += _some(client)
    head, body = came.split(b"\r\n\r\n", 1)
    length = re.search(rb"\ncontent-length: *(\d+)", head.lower())
    while length and len(body) < int(length[1]):
        body += _some(client)
    return head + b"\r\n\r\n" + body


def _some(client: socket.socket) -> bytes:
    piece = client.recv(65_536)
    assert piece, "the server closed before its answer was whole"
    return piece


def drip(client: socket.socket, piece: bytes) -> None:
    """Send a piece now and then, until that raises."""
    end = time.monotonic() + WAIT_S
    while time.monotonic() < end:
        client.sendall(piece)
        time.sleep(0.02)


def assert_refused(answer: bytes, status: int, *words: str) -> None:
    head, _, body = answer.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 %d " % status), answer[:200]
    assert b"content-type: application/problem+json" in head
    assert b"connection: close" in head
    problem = json.loads(body)
    assert problem["status"] == status
    detail = problem["detail"]
    for word in words:
        assert word in detail
