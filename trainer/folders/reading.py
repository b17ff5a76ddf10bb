"""From a file to an upright array of pixels, grey or RGB."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageOps, UnidentifiedImageError

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")
HEIC_SUFFIXES = frozenset((".heic", ".heif"))
_ENOUGH_SIDES = 3
"""A JPEG is decoded at this many times the side of the frame, or more: the frame then looks the same."""
MAX_PIXELS = 80_000_000
"""Most pixels that are decoded of one picture, 0.3 GB as RGBA: a small file can hold far more."""


class UnreadableError(ValueError):
    """A file is no picture that can be read; the message says why."""


class Read(NamedTuple):
    """An upright picture, and its size before any reduction."""

    pixels: npt.NDArray[np.uint8]  # [height, width] or [height, width, 3]
    width_px: int
    height_px: int


def picture_suffixes() -> frozenset[str]:
    """How the names of pictures end, in lower case."""
    Image.init()
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in FORMATS)


@contextmanager
def huge_pictures_allowed() -> Iterator[None]:
    """Silence Pillow's warning about huge pictures; `read_picture` has a bound of its own.

    Filters of warnings belong to the whole process: enter this before threads begin to read.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)
        yield


def read_picture(stream: BinaryIO, channels: int, enough_px: int) -> Read:
    """Decode a picture, upright, on white where it is transparent.

    Args:
        stream: the file.
        channels: 1 for grey, 3 for RGB.
        enough_px: a larger JPEG is decoded at a half, a quarter or an eighth of its size, as long as its
            longer side keeps so many px.

    Raises:
        UnreadableError: the file is damaged, of no known format, or has more than `MAX_PIXELS`.
    """
    try:
        with Image.open(stream, formats=FORMATS) as image:
            size = image.size
            image.draft(None, _draft_size(size, enough_px))
            if image.width * image.height > MAX_PIXELS:
                pixels = f"{size[0]} x {size[1]} = {size[0] * size[1]:,}"
                raise UnreadableError(f"expected at most {MAX_PIXELS:,} pixels, got {pixels}")
            image.load()
            turned = image.getexif().get(0x0112) in (5, 6, 7, 8)
            upright = _pixels(ImageOps.exif_transpose(image), channels)
    except UnreadableError:
        raise
    except UnidentifiedImageError as error:
        raise UnreadableError(
            f"expected one of {', '.join(FORMATS)}, got a file of no such format"
        ) from error
    except Exception as error:
        # Damaged files make Pillow's readers raise nearly anything: OSError, SyntaxError, struct.error, …
        raise UnreadableError(f"{str(error) or type(error).__name__}"[:200]) from error
    return Read(upright, *(size[::-1] if turned else size))


def _draft_size(size: tuple[int, int], enough_px: int) -> tuple[int, int]:
    times = max(1, max(size) // enough_px)
    return max(1, size[0] // times), max(1, size[1] // times)


def _pixels(image: Image.Image, channels: int) -> npt.NDArray[np.uint8]:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image).astype(np.float64)
        white = 65535.0 if values.max() > 255 else 255.0
        image = Image.fromarray(np.clip(values * 255 / white, 0, 255).round().astype(np.uint8))
    elif image.has_transparency_data:
        rgba = image.convert("RGBA")
        image = Image.new("RGB", image.size, "white")
        image.paste(rgba, mask=rgba.getchannel("A"))
    return np.asarray(image.convert("L" if channels == 1 else "RGB"))


def read_frame(
    stream: BinaryIO, size_px: tuple[int, int], side_px: int, channels: int
) -> npt.NDArray[np.uint8]:
    """A picture in the middle of the model's frame, as it is cut for the service.

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
    shrink = min(1.0, side_px / max(size_px))
    width, height = (max(1, round(extent * shrink)) for extent in size_px)
    shown = Image.fromarray(picture.pixels).resize((width, height), Image.Resampling.BILINEAR)
    pixels = np.asarray(shown).reshape(height, width, channels)
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    frame = np.broadcast_to(np.median(border, axis=0).astype(np.uint8), (side_px, side_px, channels)).copy()
    top, left = (side_px - height) // 2, (side_px - width) // 2
    frame[top : top + height, left : left + width] = pixels
    return frame.transpose(2, 0, 1)
