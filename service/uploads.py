"""Read what a client posts: raw picture bytes or multipart files, never more than the limit."""

from __future__ import annotations

from fastapi import Request
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.types import Message

from service.errors import RequestError
from service.queries import shorten

IMAGE_TYPES = ("image/png", "image/jpeg", "image/webp", "image/gif", "image/bmp", "image/tiff")
_OTHER_NAMES = ("image/jpg", "image/pjpeg", "image/x-png", "image/x-ms-bmp", "image/x-bmp", "image/x-tiff")
_UNKNOWN_TYPES = ("", "application/octet-stream")
MULTIPART = "multipart/form-data"
MAX_FILES = 256


async def read_image(request: Request, max_body_bytes: int) -> bytes:
    """The one picture of a request: its raw body, or its multipart field `image`.

    Raises:
        RequestError: 413 if the body is over the limit, 415 if its content type is not one of
            `IMAGE_TYPES` or multipart, 422 if it is not one file in that field.
    """
    limited = _Limited(request, max_body_bytes)
    if _media_type(request.headers.get("content-type", "")) == MULTIPART:
        files = await _read_files(limited, "image")
        if len(files) != 1:
            raise RequestError(422, f"image: expected one file, got {len(files)}; /predict/batch takes many")
        return files[0]
    _check_type(request.headers.get("content-type", ""), f"{MULTIPART} or one of ", ())
    return await limited.body()


async def read_images(request: Request, max_body_bytes: int) -> list[bytes]:
    """The pictures of a request in their order: its multipart field `images`, 1 to `MAX_FILES` files.

    Raises:
        RequestError: as `read_image`; the limit is on all files together.
    """
    content_type = request.headers.get("content-type", "")
    if _media_type(content_type) != MULTIPART:
        raise RequestError(415, f"content type: expected {MULTIPART}, got {shorten(content_type)}")
    return await _read_files(_Limited(request, max_body_bytes), "images")


class _Limited(Request):
    """A request whose body ends in a 413 where it grows over the limit, whatever its headers say."""

    def __init__(self, request: Request, max_body_bytes: int) -> None:
        super().__init__(request.scope, request.receive)
        self._from_client = request.receive
        self._max_body_bytes = max_body_bytes
        self._came_bytes = 0
        self._receive = self._receive_limited

    async def _receive_limited(self) -> Message:
        announced = self.headers.get("content-length", "")
        if announced.isdecimal() and int(announced) > self._max_body_bytes:
            self._refuse(announced)
        message = await self._from_client()
        self._came_bytes += len(message.get("body", b""))
        if self._came_bytes > self._max_body_bytes:
            self._refuse("more")
        return message

    def _refuse(self, came: str) -> None:
        raise RequestError(413, f"body: expected at most {self._max_body_bytes} bytes, got {came}")


async def _read_files(request: Request, field: str) -> list[bytes]:
    try:
        form = await request.form(max_files=MAX_FILES, max_fields=MAX_FILES)
    except (HTTPException, UnicodeError) as error:  # UnicodeError: of the charset that the header names
        reason = error.detail if isinstance(error, HTTPException) else error
        raise RequestError(422, f"body: expected {MULTIPART}, but: {reason}") from error
    try:
        return [await file.read() for file in _files(form, field)]
    finally:
        await form.close()


def _files(form: FormData, field: str) -> list[UploadFile]:
    names = [name for name, _ in form.multi_items()]
    if not names or set(names) != {field}:
        got = ", ".join(shorten(name) for name in dict.fromkeys(names)) or "no field"
        raise RequestError(422, f"body: expected the multipart field {field} and no other, got {got}")
    files = []
    for file in form.getlist(field):
        if not isinstance(file, UploadFile):
            raise RequestError(422, f"{field}: expected a file, which has a file name, got a text field")
        _check_type(file.content_type or "", f"{field}: one of ", _UNKNOWN_TYPES)
        files.append(file)
    return files


def _check_type(content_type: str, prefix: str, also: tuple[str, ...]) -> None:
    """Refuse types that are not pictures; which format it is, the bytes themselves say."""
    if _media_type(content_type) not in (*IMAGE_TYPES, *_OTHER_NAMES, *also):
        raise RequestError(
            415, f"content type: expected {prefix}{', '.join(IMAGE_TYPES)}, got {shorten(content_type)}"
        )


def _media_type(content_type: str) -> str:
    return content_type.partition(";")[0].strip().lower()
