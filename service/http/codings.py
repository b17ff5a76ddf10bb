"""Compressed bodies: which compression a client uses and accepts, inflating and deflating."""

from __future__ import annotations

import zlib

from starlette.datastructures import Headers

from service.http.errors import RequestError
from service.http.headers import RawHeaders
from service.queries import shorten

CODINGS = {"gzip": zlib.MAX_WBITS | 16, "deflate": zlib.MAX_WBITS}
"""The supported compressions, with zlib's number for each format; HTTP's deflate has zlib's frame."""


_NONE = frozenset((b"", b"identity"))
_OTHER_NAMES = {b"x-gzip": b"gzip"}  # RFC 9110, 8.4.1.3


def content_coding(headers: RawHeaders) -> str:
    """The compression of a body, one of `CODINGS`; empty if it is not compressed.

    Raises:
        RequestError: 415 if the compression is not supported, or there is more than one.
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
    """The compression that a client asks for; empty if it asks for none.

    A client that names exactly one asks for it, as Triton's clients do. Most other clients list all that they
    can read on every request. They get no compression, since it would take more time than the model.
    """
    given = headers.get("accept-encoding", "").lower().split(",")
    named = [coding.strip() for coding in given if coding.strip() != "identity"]
    return named[0] if len(named) == 1 and named[0] in CODINGS else ""


def inflate(body: bytes, coding: str, max_bytes: int) -> bytes:
    """Undo one of `CODINGS`.

    Raises:
        RequestError: 413 if it inflates to more than `max_bytes`, 400 if it is another format or incomplete.
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
    """Compress with one of `CODINGS`, at the fastest level: slower ones shrink floats hardly more."""
    stream = zlib.compressobj(1, wbits=CODINGS[coding])
    return stream.compress(body) + stream.flush()
