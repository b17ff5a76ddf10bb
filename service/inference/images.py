"""Decode posted bytes to a grey picture, whatever their format, mode, depth, transparency or orientation."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from PIL import ExifTags, Image, UnidentifiedImageError

from service.inference.image_guards import MAX_SIDE_PX, GuardError, check_scans, check_tiles, file_of

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

Grey = npt.NDArray[np.uint8]

_TURNS: dict[object, Callable[[Grey], Grey]] = {
    2: np.fliplr,
    3: lambda grey: np.rot90(grey, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda grey: np.rot90(grey, -1),
    7: lambda grey: np.rot90(grey.T, 2),
    8: np.rot90,
}
_FROM_16_BITS = ((np.arange(2**16) + 128) // 257).astype(np.uint8)


class ImageError(ValueError):
    """The bytes are no picture that can be read; the message says why."""


class TooManyPixelsError(ImageError):
    """The picture's header announces more pixels than are allowed."""


def decode_grey(data: bytes, max_pixels: int) -> Grey:
    """Decode a PNG, JPEG, WebP, BMP, the first frame of a GIF or the first page of a TIFF.

    Colours become luma (ITU-R 601), transparent parts white, and the picture is turned upright as its EXIF
    orientation says. 16-bit grey is divided by 257. Deeper grey has no fixed white: see `_scale_to_8_bits`.

    Args:
        data: the file's bytes.
        max_pixels: most pixels; checked from the header, before any pixel is decoded. No side may be longer
            than `MAX_SIDE_PX` either: rows of one pixel cost 24 bytes each.

    Returns:
        Intensities 0 to 255, uint8 `[height, width]`.

    Raises:
        TooManyPixelsError: width x height is over `max_pixels`, or a side over `MAX_SIDE_PX`.
        ImageError: the bytes are empty, of no known format, damaged or cut short, or made so that decoding
            them takes far longer than their size explains.
    """
    if not data:
        raise ImageError("image: expected the bytes of a picture, got none")
    try:
        with Image.open(file_of(data), formats=FORMATS) as image:
            _check_size(*image.size, max_pixels)
            check_scans(data)
            check_tiles(image, max_pixels)
            image.load()
            return _upright(_grey(image), image)
    except ImageError:
        raise
    except GuardError as error:
        raise ImageError(f"image: {error}") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"image: expected one of {', '.join(FORMATS)}, got {len(data)} bytes of no such format"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limit, which it checks first.
        raise TooManyPixelsError(f"image: expected at most {max_pixels} pixels, got far more") from error
    except Exception as error:
        # Damaged files make Pillow's readers raise nearly anything: OSError, SyntaxError, struct.error, …
        reason = str(error) or type(error).__name__
        if "MAX_TEXT" in reason:  # Pillow's own limits on what a PNG's text and colour profile unfold to
            raise ImageError("image: the texts or the colour profile in the PNG are too large") from error
        raise ImageError(f"image: the picture is damaged or cut short: {reason[:200]}") from error


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooManyPixelsError(
            f"image: expected at most {max_pixels} pixels, got {width} x {height} = {width * height}"
        )
    if max(width, height) > MAX_SIDE_PX:
        raise TooManyPixelsError(f"image: expected sides of at most {MAX_SIDE_PX} px, got {width} x {height}")


def _upright(grey: Grey, image: Image.Image) -> Grey:
    """The picture turned as its EXIF data says; what else they say, broken or not, concerns nobody here."""
    try:
        turn = _TURNS.get(image.getexif().get(ExifTags.Base.Orientation))
    except (ArithmeticError, LookupError, OSError, SyntaxError, TypeError, ValueError, struct.error):
        return grey  # the data about the picture are broken, the picture is not
    return grey if turn is None else np.ascontiguousarray(turn(grey))


def _grey(image: Image.Image) -> Grey:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        return _scale_to_8_bits(np.asarray(image))
    if image.has_transparency_data:
        colours = image.convert("RGBA")
        on_white = Image.new("L", image.size, 255)
        on_white.paste(colours.convert("L"), mask=colours.getchannel("A"))
        return np.asarray(on_white)
    if image.mode not in ("1", "L", "RGB"):
        image = image.convert("RGB")
    return np.asarray(image.convert("L"))


def _scale_to_8_bits(values: npt.NDArray[np.generic]) -> Grey:
    """Scale grey values of more than 8 bits to 0 to 255, uint8 of the same shape.

    16-bit grey has its white at 65,535. Pillow reads some of it as 32-bit whole numbers ("I"), so those are
    taken alike where they lie in that range. Floating-point grey has its white at 1, 255 or 65,535,
    whichever is the first that no value exceeds. Values outside all of that are stretched, darkest to 0 and
    brightest to 255.
    """
    if values.dtype.itemsize == 2:
        shallow: Grey = _FROM_16_BITS[values]
        return shallow
    if not np.isfinite(values).all():
        raise ImageError("image: expected finite intensities, got NaN or infinity")
    wide = values.astype(np.float64)
    darkest, brightest = float(wide.min()), float(wide.max())
    whites = (1.0, 255.0, 65535.0) if np.issubdtype(values.dtype, np.floating) else (65535.0,)
    white = next((white for white in whites if brightest <= white), None)
    if darkest < 0 or white is None:
        wide -= darkest
        white = (brightest - darkest) or 1.0
    wide *= 255.0
    wide /= white
    return np.rint(wide, out=wide).astype(np.uint8)
