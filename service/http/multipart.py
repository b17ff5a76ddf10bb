"""Split a `multipart/form-data` body into its parts (RFC 7578), all of it in memory.

The library `multipart` parses. This file sets the bounds and turns errors into sentences for clients
(docs/decisions/multipart.md).
"""

from __future__ import annotations

import re
from typing import NamedTuple

from multipart import (
    MultipartError,
    MultipartSegment,
    ParserLimitReached,
    PushMultipartParser,
    parse_options_header,
)

from service.queries import shorten

MAX_HEAD_BYTES = 8192
"""Most bytes of the headers of one part; clients write two lines."""
_MAX_HEAD_LINES = 64
_MAX_BOUNDARY_LENGTH = 70  # RFC 2046, 5.1.1
_EXTENDED_FILE_NAME = re.compile(r";[ \t]*filename\*[ \t]*=", re.IGNORECASE)  # RFC 8187


class FormError(ValueError):
    """The body is not the form that its content type announces; the message says why."""


class FormPart(NamedTuple):
    """One field of a form."""

    name: str
    is_file: bool  # it has a file name
    content_type: str  # "" where none is given
    content: bytes


def parse_form(body: bytes, content_type: str, max_parts: int) -> list[FormPart]:
    """The parts of a form in their order.

    Args:
        body: the whole body.
        content_type: the request's content type, which holds the boundary.
        max_parts: most parts; parsing stops at the next one.

    Raises:
        FormError: there is no boundary, a part has no name or no end, the body ends before the closing
            boundary, or there are more parts.
    """
    boundary = parse_options_header(content_type)[1].get("boundary", "")
    if not 1 <= len(boundary) <= _MAX_BOUNDARY_LENGTH:
        raise FormError(
            f"content type: expected a boundary of 1 to {_MAX_BOUNDARY_LENGTH} characters, "
            f"got {shorten(boundary)}"
        )
    parser = PushMultipartParser(
        boundary.encode("latin-1"),
        max_header_size=MAX_HEAD_BYTES,
        max_header_count=_MAX_HEAD_LINES,
        strict=True,
    )
    parts: list[FormPart] = []
    try:
        _parse(parser, body, max_parts, parts)
    except ParserLimitReached:
        raise _head_too_long() from None
    except MultipartError as error:
        if b"--" + parser.boundary not in body:
            why = f"body: expected a multipart form, got {len(body)} bytes without its boundary"
        else:  # the first argument alone is a fixed text; others may repeat the client's bytes
            why = f"body: expected a multipart form, but after part {len(parts)}: {error.args[0]}"
        raise FormError(why) from error
    try:
        parser.close()
    except MultipartError as error:
        raise FormError(
            f"body: expected the form's closing boundary, but the body is cut off after part {len(parts)}"
        ) from error
    return parts


def _parse(parser: PushMultipartParser, body: bytes, max_parts: int, parts: list[FormPart]) -> None:
    """Append the complete parts of a body to `parts`."""
    content = b""
    segment: MultipartSegment | None = None
    for event in parser.parse(body):
        if isinstance(event, MultipartSegment):
            if len(parts) == max_parts:
                raise FormError(f"body: expected at most {max_parts} parts, got more")
            segment, content = event, b""
        elif event is not None:
            content += event  # one piece, since the parser was given the whole body: nothing is copied
        elif segment is not None:  # its end
            parts.append(_part(segment, content))


def _part(segment: MultipartSegment, content: bytes) -> FormPart:
    head_bytes = sum(len(f"{name}: {value}\r\n".encode()) for name, value in segment.headerlist)
    if head_bytes > MAX_HEAD_BYTES:
        raise _head_too_long()
    # The library reads `filename` alone.
    is_file = segment.filename is not None or bool(_EXTENDED_FILE_NAME.search(segment["Content-Disposition"]))
    return FormPart(segment.name, is_file, segment.content_type or "", content)


def _head_too_long() -> FormError:
    return FormError(f"body: expected the head of a part to end within {MAX_HEAD_BYTES} bytes")
