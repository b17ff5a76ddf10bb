"""Read posted bodies, raw pictures or multipart files, within the bounds of size and time."""

from __future__ import annotations

import asyncio
from functools import lru_cache
from typing import NamedTuple

from fastapi import Request
from starlette.requests import ClientDisconnect

from models.pictures import heif
from service.http.codings import content_coding, inflate
from service.http.errors import RequestError
from service.http.multipart import FormError, FormPart, parse_form
from service.queries import shorten
from service.settings import Settings

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/tiff")
_OTHER_NAMES = ("image/jpg", "image/pjpeg", "image/x-png", "image/x-ms-bmp", "image/x-bmp", "image/x-tiff")
_PICTURES = frozenset((*IMAGE_TYPES, *_OTHER_NAMES))
OCTETS = "application/octet-stream"
_UNKNOWN_TYPES = frozenset(("", OCTETS))
MULTIPART = "multipart/form-data"
ONE_NAME, MANY_NAME = "image", "images"
_ANY_NAME = "file"  # the default of many clients
_MAX_TEXT_FIELDS = 64  # beside the files
# Longer forms are parsed in a thread, so that copying them does not block the event loop.
_LONG_FORM_BYTES = 2**20


class BodyLimits(NamedTuple):
    """How much a client may send, and how long it may take."""

    body_bytes: int
    files: int
    body_timeout_s: float

    @classmethod
    def of(cls, settings: Settings) -> BodyLimits:
        """The limits from the settings."""
        return cls(settings.max_body_bytes, settings.max_files, settings.body_timeout_s)


async def read_image(request: Request, limits: BodyLimits) -> bytes:
    """The one picture of a request: its raw body, or its multipart field `image` or `file`.

    Raises:
        RequestError: as `read_body`; 415 if its content type is not one of `IMAGE_TYPES` or multipart, 422 if
            it is not one file in that field.
    """
    content_type, announced = _headers(request)
    kind = _media_type(content_type)
    if _may_be_picture(kind):
        return await _read_body(request, limits, announced)
    if kind != MULTIPART:
        raise _unsupported(f"{MULTIPART} or one of ", content_type)
    files = await _read_files(request, limits, content_type, announced, ONE_NAME)
    if len(files) != 1:
        raise RequestError(422, f"image: expected one file, got {len(files)}; /predict/batch takes many")
    return files[0]


async def read_images(request: Request, limits: BodyLimits) -> list[bytes]:
    """The pictures of a request in their order: its multipart field `images` or `file`, one file or more.

    Raises:
        RequestError: as `read_image`; the limit of bytes and of time is on all files together.
    """
    content_type, announced = _headers(request)
    if _media_type(content_type) != MULTIPART:
        raise RequestError(415, f"content type: expected {MULTIPART}, got {shorten(content_type)}")
    return await _read_files(request, limits, content_type, announced, MANY_NAME)


async def read_body(request: Request, limits: BodyLimits) -> bytes:
    """The whole body, of any type, inflated if the client has compressed it.

    Raises:
        RequestError: 400 if it does not match its `Content-Encoding`, 408 if it does not arrive in time,
            413 if it is over the limit before or after inflating, 415 if its compression is not supported.
    """
    _, announced = _headers(request)
    return await _read_body(request, limits, announced)


def _headers(request: Request) -> tuple[str, str]:
    """Content type and announced length, found in one pass since every request needs them."""
    content_type = length = b""
    for name, value in request.scope["headers"]:
        if name == b"content-type":
            content_type = value
        elif name == b"content-length":
            length = value
    return content_type.decode("latin-1"), length.decode("latin-1")


async def _read_body(request: Request, limits: BodyLimits, announced: str) -> bytes:
    """The whole body, refused as soon as it is too large, whatever its headers say."""
    most = limits.body_bytes
    coding = content_coding(request.scope["headers"])
    # The length of the number first: Python refuses to parse very long ones.
    if announced.isdecimal() and (len(announced) > 18 or int(announced) > most):
        raise _too_large(most, announced)
    receive = request.receive
    pieces: list[bytes] = []
    came = 0
    try:
        async with asyncio.timeout(limits.body_timeout_s):
            more = True
            while more:
                message = await receive()
                if message["type"] == "http.disconnect":
                    raise ClientDisconnect
                piece = message.get("body", b"")
                more = message.get("more_body", False)
                came += len(piece)
                if came > most:
                    raise _too_large(most, "more")
                pieces.append(piece)
    except TimeoutError:
        raise RequestError(
            408,
            f"body: expected all of it within {limits.body_timeout_s:g} s, got {came} bytes"
            + (f" of {announced}" if announced else ""),
        ) from None
    body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
    return await asyncio.to_thread(inflate, body, coding, most) if coding else body


async def _read_files(
    request: Request, limits: BodyLimits, content_type: str, announced: str, field: str
) -> list[bytes]:
    """The files of a form in the fields `field` or `file`; other text fields are ignored."""
    body = await _read_body(request, limits, announced)
    most = limits.files + _MAX_TEXT_FIELDS
    try:
        if len(body) > _LONG_FORM_BYTES:
            parts = await asyncio.to_thread(parse_form, body, content_type, most)
        else:
            parts = parse_form(body, content_type, most)
    except FormError as error:
        raise RequestError(422, str(error)) from error
    names = (field, _ANY_NAME)
    files = [part for part in parts if part.is_file or part.name in names]
    others = dict.fromkeys(part.name for part in files if part.name not in names)
    if others or not files:
        # Without any file, name the text fields: one of them may have been meant as the file.
        found = others or dict.fromkeys(part.name for part in parts)
        got = ", ".join(shorten(name) for name in list(found)[:3]) or "no field"
        raise RequestError(
            422, f"body: expected files in the multipart field {' or '.join(names)}, got {got}"
        )
    if len(files) > limits.files:
        raise RequestError(422, f"body: expected at most {limits.files} files, got {len(files)}")
    return [_file(part) for part in files]


def _file(part: FormPart) -> bytes:
    if not part.is_file:
        raise RequestError(422, f"{part.name}: expected a file, which has a file name, got a text field")
    # The bytes themselves say which format it is.
    kind = _media_type(part.content_type)
    if not _may_be_picture(kind):
        raise _unsupported(f"{part.name}: one of ", part.content_type)
    return part.content


def _may_be_picture(kind: str) -> bool:
    return kind in _PICTURES or kind in _UNKNOWN_TYPES or (kind in heif.MEDIA_TYPES and heif.is_installed())


def _unsupported(prefix: str, content_type: str) -> RequestError:
    why = f"; {heif.NOT_INSTALLED}" if _media_type(content_type) in heif.MEDIA_TYPES else ""
    return RequestError(
        415, f"content type: expected {prefix}{', '.join(IMAGE_TYPES)}, got {shorten(content_type)}{why}"
    )


def _too_large(most: int, came: str) -> RequestError:
    return RequestError(413, f"body: expected at most {most} bytes, got {came[:20]}")


@lru_cache(maxsize=64)
def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
