"""Requests as bytes, which every load generator sends alike; one at a time for everything else."""

from __future__ import annotations

import http.client
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

HOST = "127.0.0.1"


class Posted(NamedTuple):
    """A POST, whoever answers it."""

    path: str
    headers: Mapping[str, str]
    body: bytes

    def to_bytes(self, port: int) -> bytes:
        """The request as it goes over the wire, connection kept."""
        headers = {"Host": f"{HOST}:{port}", "Content-Length": str(len(self.body)), **self.headers}
        lines = [f"POST {self.path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items())]
        return "\r\n".join([*lines, "", ""]).encode("ascii") + self.body


class Reply(NamedTuple):
    """What came back."""

    status: int
    body: bytes


def ask(port: int, what: Posted | str, timeout_s: float) -> Reply:
    """Send one POST, or a GET to a path, on a connection of its own.

    Raises:
        OSError, http.client.HTTPException: nobody answers, or not in HTTP.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        if isinstance(what, str):
            connection.request("GET", what)
        else:
            connection.request("POST", what.path, what.body, dict(what.headers))
        answer = connection.getresponse()
        return Reply(answer.status, answer.read())
    finally:
        connection.close()


def write_requests(folder: Path, requests: Sequence[Posted], port: int) -> None:
    """Write each request into a file `NUMBER.http`, numbered from 1, as the generators read them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, request in enumerate(requests, start=1):
        (folder / f"{number}.http").write_bytes(request.to_bytes(port))


def whole_answer(received: bytearray) -> int | None:
    """The status of an answer that is there completely, with a length or in chunks; None before that.

    The bodies are JSON, in which no line ends in CR LF, so that the last chunk cannot be mistaken.

    Raises:
        ConnectionError: this is not an answer of HTTP/1.1, or nothing says where it ends.
    """
    end = received.find(b"\r\n\r\n")
    if end < 0:
        return None
    head = bytes(received[:end]).lower()
    if not head.startswith(b"http/1."):
        raise ConnectionError(f"expected HTTP/1.1, got {head[:20]!r}")
    status = int(head[9:12])
    _, has_length, rest = head.partition(b"\r\ncontent-length:")
    if has_length:
        return status if len(received) - end - 4 >= int(rest.split(b"\r\n", 1)[0]) else None
    if b"\r\ntransfer-encoding: chunked" in head:
        return status if received.endswith(b"0\r\n\r\n") else None
    raise ConnectionError("the answer has neither a length nor chunks")
