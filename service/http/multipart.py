"""Take a `multipart/form-data` body apart (RFC 7578), all of it in memory, in time linear in its length."""

from __future__ import annotations

import re
from typing import NamedTuple

from service.queries import shorten

MAX_HEAD_BYTES = 8192  # of one part; clients write two lines
_MAX_BOUNDARY_LENGTH = 70  # RFC 2046, 5.1.1
_MAX_PADDING = 80  # blanks that a transport has put behind a boundary

_PARAMETER = re.compile(r';[ \t]*([\w*-]+)[ \t]*=[ \t]*(?:"((?:[^"\\]|\\.)*)"|([^;" \t]*))', re.ASCII)
_ESCAPED = re.compile(r"\\(.)")


class FormError(ValueError):
    """The body is not the form that its content type says; the message says why."""


class Part(NamedTuple):
    """One field of a form."""

    name: str
    is_file: bool  # it has a file name
    content_type: str  # "" where none is given
    content: bytes


def parse_form(body: bytes, content_type: str, max_parts: int) -> list[Part]:
    """The parts of a form in their order.

    Args:
        body: the whole body.
        content_type: the request's content type, which holds the boundary.
        max_parts: how many there may be; the rest is not looked at.

    Raises:
        FormError: there is no boundary, a part has no name or no end, the body ends before the closing
            boundary, or there are more parts.
    """
    boundary = _parameters(content_type).get("boundary", "")
    if not 1 <= len(boundary) <= _MAX_BOUNDARY_LENGTH:
        raise FormError(
            f"content type: expected a boundary of 1 to {_MAX_BOUNDARY_LENGTH} characters, "
            f"got {shorten(boundary)}"
        )
    delimiter = b"\r\n--" + boundary.encode("latin-1")
    # What stands before the first boundary and behind the last is for nobody.
    at = len(delimiter) - 2 if body.startswith(delimiter[2:]) else _behind(body, delimiter, 0)
    if at < 0:
        raise FormError(f"body: expected a multipart form, got {len(body)} bytes without its boundary")
    parts: list[Part] = []
    while not body.startswith(b"--", at):
        if len(parts) == max_parts:
            raise FormError(f"body: expected at most {max_parts} parts, got more")
        line_end = body.find(b"\r\n", at, at + _MAX_PADDING)
        end = _behind(body, delimiter, at)
        if end < 0 or line_end < 0:
            raise FormError(
                "body: expected the form's closing boundary, but the body is cut off or damaged behind "
                f"its part {len(parts)}"
            )
        if body[at:line_end].strip(b" \t"):
            raise FormError(f"body: expected a new line behind a boundary, got {shorten(body[at:line_end])}")
        # The line's end is also the first of the two that end an empty head.
        parts.append(_part(body[line_end : end - len(delimiter)]))
        at = end
    return parts


def _part(text: bytes) -> Part:
    """A part of its head and its content; `text` begins with the end of the line before."""
    head_end = text.find(b"\r\n\r\n", 0, MAX_HEAD_BYTES)
    if head_end < 0:
        raise FormError(f"body: expected the head of a part to end within {MAX_HEAD_BYTES} bytes")
    headers: dict[str, str] = {}
    for line in text[2:head_end].decode("utf-8", "replace").split("\r\n"):
        name, _, value = line.partition(":")
        headers[name.strip().lower()] = value.strip()
    disposition = _parameters(headers.get("content-disposition", ""))
    if "name" not in disposition:
        raise FormError("body: expected a Content-Disposition with a name in each part, got none")
    return Part(
        name=disposition["name"],
        is_file="filename" in disposition or "filename*" in disposition,
        content_type=headers.get("content-type", ""),
        content=text[head_end + 4 :],
    )


def _behind(body: bytes, delimiter: bytes, start: int) -> int:
    found = body.find(delimiter, start)
    return found if found < 0 else found + len(delimiter)


def _parameters(header: str) -> dict[str, str]:
    """The parameters behind a header's value; of one that is given twice, the first."""
    found: dict[str, str] = {}
    for name, quoted, plain in _PARAMETER.findall(header):
        found.setdefault(name.lower(), _ESCAPED.sub(r"\1", quoted) or plain)
    return found
