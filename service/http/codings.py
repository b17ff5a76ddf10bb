"""Compressed bodies: how a client has compressed one and wants the answer, and both ways of doing it."""

from __future__ import annotations

import zlib

from starlette.datastructures import Headers

from service.http.errors import RequestError
from service.http.headers import RawHeaders
from service.queries import shorten

CODINGS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""The compressions that are spoken, with zlib's name for each format; HTTP's deflate has zlib's frame."""


_NONE = frozenset((b"", b"identity"))
_OTHER_NAMES = {b"x-gzip": b"gzip"}  # RFC 9110, 8.4.1.3


def content_coding(headers: RawHeaders) -> str:
    """How a body is compressed, one of `CODINGS`; empty if it is not.

    Raises:
        RequestError: 415 if it is compressed in another way, or more than once.
    """
    lines = [value for name, value in headers if name == b"content-encoding"]
    if not lines:
        return ""
    named = [coding.strip().lower() for coding in b",".join(lines).split(b",")]
    codings = [_OTHER_NAMES.get(name, name).decode("latin-1") for name in named if name not in _NONE]
    if not codings:
        return ""
    if len(codings) > 1 or codings[0] not in CODINGS:
        expected = f"{', '.join(CODINGS)} or identity"
        raise RequestError(
            415,
            f"content-encoding: expected {expected}, got {shorten(b', '.join(lines).decode('latin-1'))}",
            {"Accept-Encoding": ", ".join(CODINGS)},
        )
    return codings[0]


def accepted_coding(headers: Headers) -> str:
    """The compression that a client asks for; empty if it does not.

    Who names one alone asks for it, as Triton's clients do; who lists all that can be read, as most others do
    on every request, is better off without: it costs more time than the model.
    """
    given = headers.get("accept-encoding", "").lower().split(",")
    named = [coding.strip() for coding in given if coding.strip() != "identity"]
    return named[0] if len(named) == 1 and named[0] in CODINGS else ""


def inflate(body: bytes, coding: str, max_bytes: int) -> bytes:
    """Undo one of `CODINGS`.

    Raises:
        RequestError: 413 if it grows over `max_bytes`, 400 if it is not that format or not whole.
    """
    stream = zlib.decompressobj(CODINGS[coding])
    try:
        inflated = stream.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise RequestError(400, f"body: expected {coding} data, but: {error}") from error
    if len(inflated) > max_bytes:
        raise RequestError(413, f"body: expected at most {max_bytes} bytes once inflated, got more")
    if not stream.eof or stream.unused_data:
        came = "bytes behind its end" if stream.eof else "a part"
        raise RequestError(400, f"body: expected {coding} data to its end and no more, got {came}")
    return inflated


def deflate(body: bytes, coding: str) -> bytes:
    """Compress by one of `CODINGS`, at the lightest: floats hardly shrink more for twice the time."""
    stream = zlib.compressobj(1, wbits=CODINGS[coding])
    return stream.compress(body) + stream.flush()
