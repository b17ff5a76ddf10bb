"""From a file to an upright array of pixels, and to the model's frame, as the service makes it."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import numpy as np
from PIL import Image, UnidentifiedImageError

from models.pictures.convert import ConversionError, grey_of, rgb_of, turned
from models.pictures.formats import formats
from models.pictures.letterbox import cut_frame, place_whole
from models.pictures.orientation import SIDEWAYS, orientation_of
from models.pictures.pixels import Pixels

MAX_PIXELS = 80_000_000
"""Most pixels that are decoded of one picture, 0.3 GB as RGBA: a small file can hold far more."""
_ENOUGH_SIDES = 3
"""A JPEG is decoded at so many sides of the frame or more. Shrinking a larger one begins with averages of
blocks down to that size too."""


class UnreadableError(ValueError):
    """A file is no picture that can be read; the message says why."""


class UprightPicture(NamedTuple):
    """An upright picture, and its size before any reduction."""

    pixels: Pixels
    width_px: int
    height_px: int


@contextmanager
def huge_pictures_allowed() -> Iterator[None]:
    """Silence Pillow's warning about huge pictures; `read_picture` has a bound of its own.

    Filters of warnings belong to the whole process: enter this before threads begin to read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def read_picture(stream: BinaryIO, channels: int, enough_px: int) -> UprightPicture:
    """Decode a picture and turn it upright; colours, depth and transparency as `models.pictures.convert`.

    Args:
        stream: the file.
        channels: 1 for grey, 3 for RGB.
        enough_px: a larger JPEG is decoded at a half, a quarter or an eighth of its size, as long as its
            longer side keeps so many px.

    Raises:
        UnreadableError: the file is damaged, of no known format, or has more than `MAX_PIXELS`.
    """
    try:
        with Image.open(stream, formats=formats()) as image:
            size = image.size
            image.draft(None, _draft_size(size, enough_px))
            if image.width * image.height > MAX_PIXELS:
                got = f"{size[0]} x {size[1]} = {size[0] * size[1]:,}"
                raise UnreadableError(f"expected at most {MAX_PIXELS:,} pixels, got {got}")
            image.load()
            orientation = orientation_of(image.info.get("exif") or b"", image.info.get("xmp") or b"")
            pixels = turned(grey_of(image) if channels == 1 else rgb_of(image), orientation)
    except (UnreadableError, ConversionError) as error:
        raise UnreadableError(str(error)) from error
    except UnidentifiedImageError as error:
        known = ", ".join(formats())
        raise UnreadableError(f"expected one of {known}, got a file of no such format") from error
    except Image.DecompressionBombError as error:
        # Pillow's own limit, which it checks first.
        raise UnreadableError(f"expected at most {MAX_PIXELS:,} pixels, got far more") from error
    except Exception as error:
        # Damaged files make Pillow's readers raise nearly anything: OSError, SyntaxError, struct.error, …
        reason = str(error) or type(error).__name__
        raise UnreadableError(f"the picture is damaged or cut short: {reason[:200]}") from error
    return UprightPicture(pixels, *(size[::-1] if orientation in SIDEWAYS else size))


def read_frame(stream: BinaryIO, size_px: tuple[int, int], side_px: int, channels: int) -> Pixels:
    """A picture in the middle of the model's frame.

    Args:
        stream: the file.
        size_px: width and height of the upright picture.
        side_px: the frame's side.
        channels: 1 for grey, 3 for RGB.

    Returns:
        uint8 `[channels, side, side]`.

    Raises:
        UnreadableError: as `read_picture`, or the picture has another size.
    """
    picture = read_picture(stream, channels, enough_px=_ENOUGH_SIDES * side_px)
    if (picture.width_px, picture.height_px) != size_px:
        raise UnreadableError(f"expected {size_px} px, got {picture.width_px} x {picture.height_px}")
    height_px, width_px = picture.pixels.shape[:2]
    # A reduced JPEG lies where the whole one would: its rounded size gives no other place.
    placement = place_whole(*size_px, side_px).at_size(width_px, height_px)
    return np.atleast_3d(cut_frame(picture.pixels, placement)).transpose(2, 0, 1)


def _draft_size(size: tuple[int, int], enough_px: int) -> tuple[int, int]:
    times = max(1, max(size) // enough_px)
    return max(1, size[0] // times), max(1, size[1] // times)
