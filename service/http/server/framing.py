"""What a request may hold besides its body: head, sizes and extensions of chunks, trailers."""

from __future__ import annotations

MAX_FRAMING_BYTES = 65_536
"""Most bytes of a request that are not its body."""
MAX_FRAMING_LINES = 1_000
"""Most lines of those: headers, chunks, trailers."""
BODY_BYTES_PER_FRAMING_BYTE = 8
BODY_BYTES_PER_LINE = 64
"""A long body in chunks may have more: a byte for each 8 of the body, a line for each 64."""


class Framing:
    """Counts one connection's framing, request by request.

    The socket gives pieces that may hold the end of one request and the beginning of the next. Of such a
    piece nobody knows which bytes belong to which, so its bytes do not count; its lines do.
    """

    def __init__(self) -> None:
        self._bytes = self._lines = self._body_bytes = 0
        self._piece_bytes = self._piece_body_bytes = 0
        self._piece_is_shared = False

    def begin_request(self) -> None:
        """A request begins."""
        self._bytes = self._lines = self._body_bytes = 0

    def end_request(self) -> None:
        """A request has come as a whole; the rest of the piece belongs to others."""
        self._piece_is_shared = True

    def begin_piece(self, size: int) -> None:
        """So many bytes have come."""
        self._piece_bytes, self._piece_body_bytes = size, 0
        self._piece_is_shared = False

    def add_body(self, size: int) -> None:
        """So many bytes of the piece are body."""
        self._body_bytes += size
        self._piece_body_bytes += size

    def add_line(self) -> bool:
        """A header, a chunk's size or a trailer has come; whether the request may have as many lines."""
        self._lines += 1
        return self._lines <= MAX_FRAMING_LINES + self._body_bytes // BODY_BYTES_PER_LINE

    def end_piece(self) -> bool:
        """The piece has been parsed, within a request; whether the request may have as many bytes."""
        if not self._piece_is_shared:
            self._bytes += self._piece_bytes - self._piece_body_bytes
        return self._bytes <= MAX_FRAMING_BYTES + self._body_bytes // BODY_BYTES_PER_FRAMING_BYTE

    @property
    def head_may_be_too_long(self) -> bool:
        """Whether the head, which has come as a whole, has to be measured."""
        return self._bytes + self._piece_bytes > MAX_FRAMING_BYTES
