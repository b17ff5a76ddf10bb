"""Guards against small files that take long, or much memory, to decode, which Pillow does not refuse."""

from __future__ import annotations

import re
from collections.abc import Mapping
from math import ceil

from PIL import Image

MAX_SIDE_PX = 100_000
MAX_RUN_LENGTH_PIXELS = 640 * 480
"""Pillow decodes run lengths in Python, 70 ns a pixel; other formats take a tenth of that."""

_WIDTH, _LENGTH, _PLANES, _SAMPLES = 256, 257, 284, 277
_STRIPS, _ROWS_PER_STRIP = 273, 278
_TILES, _TILE_WIDTH, _TILE_LENGTH = 324, 322, 323
_RUN_LENGTHS = (1, 2)

_SCAN = b"\xff\xda"
# In a scan's data, 0xFF is followed by 0x00 or by a restart marker; anything else ends the scan.
_MARKER = re.compile(rb"\xff([\x01-\xcf\xd8-\xfe])")
_MAX_SCANS = 100
_USUAL_SCANS = 16
_MAX_PAINTED_PIXELS = 100_000_000


class GuardError(ValueError):
    """The file would take too long or too much memory; the message says why."""


class PartsCounter:
    """Counts the parts of a file; writers make parts of a few kilobytes."""

    def __init__(self, data: bytes) -> None:
        """Begin to count the parts of these bytes."""
        self._left = 1000 + len(data) // 1024

    def count(self, parts: int = 1) -> None:
        """Raise GuardError once there are more parts than a file of that size needs."""
        self._left -= parts
        if self._left < 0:
            raise GuardError("the file consists of too many small pieces")


def check_cost(image: Image.Image, data: bytes, max_pixels: int) -> None:
    """Raise GuardError for an opened picture that would paint its pixels far more than once.

    Args:
        image: what Pillow has read of the header.
        data: the file's bytes.
        max_pixels: most pixels that may be painted.
    """
    if image.format == "JPEG":
        _check_scans(data, image.width * image.height)
    elif image.format == "TIFF":
        _check_strips_and_tiles(image, max_pixels)
    elif image.format == "BMP" and image.info.get("compression") in _RUN_LENGTHS:
        _check_runs(image)


def _check_scans(data: bytes, pixels: int) -> None:
    """A scan of a few bytes costs a pass over all pixels; progressive files have about 10."""
    most = min(_MAX_SCANS, max(_USUAL_SCANS, _MAX_PAINTED_PIXELS // pixels))
    # Counting is fast and finds too many rather than too few, since thumbnails have scans too.
    if data.count(_SCAN) > most and _has_more_scans(data, most):
        raise GuardError(f"expected at most {most} scans in a JPEG of this size, got more")


def _has_more_scans(data: bytes, most: int) -> bool:
    """Whether there are more scans before the picture's end, not counting those inside other segments."""
    parts = PartsCounter(data)
    at, scans = 2, 0
    while scans <= most and (found := _MARKER.search(data, at)):
        parts.count()
        at = found.end()
        marker = found[1][0]
        if marker == 0xD9:  # the end of the picture
            break
        scans += marker == 0xDA
        if marker not in (0x01, 0xD8):  # all others are followed by their length
            at += int.from_bytes(data[at : at + 2], "big")
    return scans > most


def _check_strips_and_tiles(image: Image.Image, max_pixels: int) -> None:
    """Tiles are decoded as a whole; surplus strips paint the picture again."""
    tags = getattr(image, "tag_v2", {})
    width, length, samples = (_number(tags, tag, 1) for tag in (_WIDTH, _LENGTH, _SAMPLES))
    size = width, length
    planes = samples if tags.get(_PLANES) == 2 else 1
    strip = width, min(_number(tags, _ROWS_PER_STRIP, length), length)
    tile = _number(tags, _TILE_WIDTH, width), _number(tags, _TILE_LENGTH, length)
    if min(*strip, *tile) < 1:
        raise GuardError(f"expected strips and tiles of at least 1 pixel in a TIFF, got {strip} and {tile}")
    painted = _count(size, tile) * tile[0] * tile[1]
    # A picture without tiles is one tile, whose size has been checked.
    if painted > max(max_pixels, width * length):
        raise GuardError(
            f"expected tiles of at most {max_pixels} pixels in a TIFF, got {tile[0]} x {tile[1]} each "
            f"and {painted} together"
        )
    if image.info.get("compression") == "raw":  # of others, libtiff reads as many as there should be
        for places, piece in ((_STRIPS, strip), (_TILES, tile)):
            given, most = len(tags.get(places, ())), _count(size, piece) * planes
            if given > most:
                raise GuardError(f"expected at most {most} strips or tiles in this TIFF, got {given}")


def _count(whole: tuple[int, int], piece: tuple[int, int]) -> int:
    """How many pieces cover the whole, each of them width and height."""
    return ceil(whole[0] / piece[0]) * ceil(whole[1] / piece[1])


def _check_runs(image: Image.Image) -> None:
    if image.width * image.height > MAX_RUN_LENGTH_PIXELS:
        raise GuardError(
            f"expected at most {MAX_RUN_LENGTH_PIXELS} pixels in a run-length encoded BMP, "
            f"got {image.width} x {image.height}"
        )


def _number(tags: Mapping[int, object], tag: int, default: int) -> int:
    value = tags.get(tag, default)
    if not isinstance(value, int):
        raise GuardError(f"expected a whole number as tag {tag} of a TIFF")
    return value
