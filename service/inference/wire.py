"""How the service and its worker processes talk: pickled messages with their length before them.

Both ends are this program under one user; nothing that a client sends is ever unpickled.
"""

from __future__ import annotations

import asyncio
import pickle
import socket
import struct
from pathlib import Path
from typing import Any, NamedTuple

from service.settings import ProviderChoice

_LENGTH = struct.Struct("<Q")


class Orders(NamedTuple):
    """What a worker is to load."""

    model_path: Path
    provider: ProviderChoice
    threads: int
    max_batch: int


class Started(NamedTuple):
    """What a worker has loaded."""

    name: str
    version: str
    provider: str
    provider_note: str


def pack(message: object) -> bytes:
    """A message as it goes over the wire."""
    body = pickle.dumps(message, protocol=5)
    return _LENGTH.pack(len(body)) + body


async def receive(stream: asyncio.StreamReader) -> Any:
    """The next message; asyncio.IncompleteReadError where the other end has gone."""
    (length,) = _LENGTH.unpack(await stream.readexactly(_LENGTH.size))
    return pickle.loads(await stream.readexactly(length))


def receive_blocking(connection: socket.socket) -> Any:
    """The next message; EOFError where the other end has gone."""
    (length,) = _LENGTH.unpack(_read(connection, _LENGTH.size))
    return pickle.loads(_read(connection, length))


def _read(connection: socket.socket, count: int) -> bytearray:
    came = bytearray(count)
    view = memoryview(came)
    while view:
        read = connection.recv_into(view)
        if not read:
            raise EOFError("the other end has gone")
        view = view[read:]
    return came
