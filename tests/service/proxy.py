"""A reverse proxy as plain as can be: it asks who is ready, keeps connections, and never tries twice."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

_READY = b"GET /readyz HTTP/1.1\r\nhost: proxy\r\n\r\n"
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)
_CLOSES = re.compile(rb"\r\nconnection: *close\r\n", re.IGNORECASE)
_CHECK_S = 0.1

Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@dataclass
class Backend:
    """One service behind the proxy, and its idle connections."""

    port: int
    ready: bool = False
    idle: list[Stream] = field(default_factory=list)

    async def ask(self, message: bytes) -> bytes:
        """The answer to a whole request; OSError or EOFError where the connection fails."""
        if self.idle:
            reader, writer = self.idle.pop()
        else:
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        writer.write(message)
        answer = await read_message(reader)
        if _CLOSES.search(answer.partition(b"\r\n\r\n")[0] + b"\r\n"):
            writer.close()
        else:
            self.idle.append((reader, writer))
        return answer


async def read_message(reader: asyncio.StreamReader) -> bytes:
    """A whole HTTP message with a length; EOFError where it is cut off."""
    head = await reader.readuntil(b"\r\n\r\n")
    found = _LENGTH.search(head)
    return head + (await reader.readexactly(int(found[1])) if found else b"")


@dataclass
class Proxy:
    """Spreads requests over the backends that say they are ready."""

    backends: list[Backend] = field(default_factory=list)
    port: int = 0
    _turn: int = 0

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Listen, and keep asking who is ready."""
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        checks = asyncio.create_task(self._check())
        async with server:
            yield
            checks.cancel()

    async def _check(self) -> None:
        while True:
            for backend in self.backends:
                try:
                    backend.ready = (await backend.ask(_READY)).startswith(b"HTTP/1.1 200")
                except (OSError, EOFError):
                    backend.ready = False
            await asyncio.sleep(_CHECK_S)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                message = await read_message(reader)
                ready = [backend for backend in self.backends if backend.ready]
                self._turn += 1
                try:
                    answer = await ready[self._turn % len(ready)].ask(message)
                except (OSError, EOFError, ZeroDivisionError):
                    answer = b"HTTP/1.1 502 Bad Gateway\r\ncontent-length: 0\r\n\r\n"
                writer.write(answer)
        except (EOFError, ConnectionError):
            writer.close()
