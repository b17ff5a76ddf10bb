"""What Pillow does not refuse by itself: small files that take long, or much memory, to decode."""

from __future__ import annotations

import io
import re

from PIL import Image

MAX_SIDE_PX = 100_000
MAX_SCANS = 100
_LONG_FILE_BYTES = 2**16
_TILE_WIDTH, _TILE_LENGTH = 322, 323

_SCAN = b"\xff\xda"
# In a scan's data, 0xFF is followed by 0x00 or by a restart marker; anything else ends the scan.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")


class GuardError(ValueError):
    """The file would take too long or too much memory; the message says why."""


class _Metered(io.BytesIO):
    """A file that is read in so many pieces at most: a million empty chunks take seconds otherwise."""

    def __init__(self, data: bytes) -> None:
        super().__init__(data)
        # Writers make pieces of a few kilobytes, and Pillow reads each by a few calls.
        self._left = 10_000 + len(data) // 256

    def read(self, size: int | None = -1, /) -> bytes:
        """Bytes as asked for; raises GuardError once it has been asked too often."""
        self._left -= 1
        if self._left < 0:
            raise GuardError("the file consists of too many small pieces")
        return super().read(size)


def file_of(data: bytes) -> io.BytesIO:
    """The bytes as a file for Pillow; a short one holds too few pieces to count them."""
    return _Metered(data) if len(data) > _LONG_FILE_BYTES else io.BytesIO(data)


def check_scans(data: bytes) -> None:
    """Raise GuardError for a JPEG that paints all of its picture over and over.

    A scan of a few bytes costs a pass over every pixel; 30 kB of them, over 4 megapixels, take 3 s.
    Progressive files have about 10.
    """
    if data.startswith(b"\xff\xd8") and data.count(_SCAN) > MAX_SCANS and _scans(data) > MAX_SCANS:
        raise GuardError(f"expected at most {MAX_SCANS} scans in a JPEG, got more")


def check_tiles(image: Image.Image, max_pixels: int) -> None:
    """Raise GuardError for a TIFF whose tiles, which are decoded as a whole, are over the limit of pixels."""
    tags = getattr(image, "tag_v2", {})
    sides = tags.get(_TILE_WIDTH, 1), tags.get(_TILE_LENGTH, 1)
    if not all(isinstance(side, int) for side in sides) or sides[0] * sides[1] > max_pixels:
        raise GuardError(
            f"expected tiles of at most {max_pixels} pixels in a TIFF, got {sides[0]} x {sides[1]}"
        )


def _scans(data: bytes) -> int:
    """How many scans there are before the picture's end, not counting thumbnails inside other segments."""
    at, scans = 2, 0
    while scans <= MAX_SCANS and (found := _MARKER.search(data, at)):
        at = found.end()
        marker = found[1][0]
        if marker == 0xD9:  # the end of the picture
            break
        scans += marker == 0xDA
        if marker not in (0x01, 0xD8):  # all others are followed by their length
            at += int.from_bytes(data[at : at + 2], "big")
    return scans
