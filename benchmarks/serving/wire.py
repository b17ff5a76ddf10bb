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


def post(port: int, posted: Posted, timeout_s: float) -> Reply:
    """Send one request on a connection of its own.

    Raises:
        OSError, http.client.HTTPException: nobody answers, or not in HTTP.
    """
    connection = http.client.HTTPConnection(HOST, port, timeout=timeout_s)
    try:
        connection.request("POST", posted.path, posted.body, dict(posted.headers))
        answer = connection.getresponse()
        return Reply(answer.status, answer.read())
    finally:
        connection.close()


def write_requests(folder: Path, requests: Sequence[Posted], port: int) -> None:
    """Write each request into a file `NUMBER.http`, numbered from 1, as the generators read them."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, request in enumerate(requests, start=1):
        (folder / f"{number}.http").write_bytes(request.to_bytes(port))
