"""Decode posted bytes to a grey picture, whatever their format, mode, depth, transparency or orientation."""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from service.pictures import heif
from service.pictures.colours import on_ground, to_grey
from service.pictures.guards import MAX_SIDE_PX, GuardError, check_cost
from service.pictures.orientation import orientation_of
from service.pictures.parts import Parts, parts_of

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")

_AVIF_BRANDS = frozenset((b"avif", b"avis"))

Grey = npt.NDArray[np.uint8]

_TURNS: dict[int, Callable[[Grey], Grey]] = {
    2: np.fliplr,
    3: lambda grey: np.rot90(grey, 2),
    4: np.flipud,
    5: np.transpose,
    6: lambda grey: np.rot90(grey, -1),
    7: lambda grey: np.rot90(grey.T, 2),
    8: np.rot90,
}
_SIDEWAYS = frozenset((5, 6, 7, 8))
_WHITE_OF_16_BITS = 2**16 - 1
_FINE_ENOUGH_PX = (1600, 400)
"""Of the longer and the shorter side. The search looks no closer than at 34 px, so it still finds digits of
2 % of the longer side, or of a tenth of a strip's height. More pixels cost time and show nothing more."""
_BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE, _S_MAX_SAMPLE_VALUE = 258, 281, 341


class ImageError(ValueError):
    """The bytes are no readable picture; the message says why."""


class TooManyPixelsError(ImageError):
    """The picture's header announces more pixels than are allowed."""


class Picture(NamedTuple):
    """A decoded picture, upright: its intensities, and the size of what was posted.

    A large JPEG is decoded at a half, a quarter or an eighth of its size; lengths in `grey` are then as many
    times shorter than in the posted picture.
    """

    grey: Grey  # 0 to 255, uint8 [height, width]
    width_px: int
    height_px: int


def formats() -> tuple[str, ...]:
    """The formats that are read here, by Pillow's names."""
    if not heif.is_installed():
        return FORMATS
    heif.register()
    return (*FORMATS, heif.FORMAT)


def decode_picture(data: bytes, max_pixels: int, *, reduce: bool = True) -> Picture:
    """Decode a PNG, JPEG, WebP, BMP, HEIC, the first frame of a GIF or the first page of a TIFF.

    Colours become grey, transparent parts get a background (`service.pictures.colours`), and the picture
    is turned upright as its EXIF orientation says. 16-bit grey is divided by 257, unless the file says that
    fewer bits are significant. Deeper grey has no fixed white: see `_scale_to_8_bits`.

    Args:
        data: the file's bytes.
        max_pixels: most pixels; checked from the header, before any pixel is decoded. No side may be longer
            than `MAX_SIDE_PX` either: rows of one pixel cost 24 bytes each.
        reduce: whether a JPEG is decoded at a half, a quarter or an eighth of its size where that leaves
            1,600 × 400 px; it may then have twice as many pixels.

    Raises:
        TooManyPixelsError: width x height is over `max_pixels`, or a side over `MAX_SIDE_PX`.
        ImageError: the bytes are empty, of no known format, damaged or cut short, or made so that decoding
            them takes far longer than their size explains.
    """
    if not data:
        raise ImageError("image: expected the bytes of a picture, got none")
    try:
        _refuse_by_brand(data)
        parts = parts_of(data)
        with Image.open(io.BytesIO(parts.data), formats=formats()) as image:
            width, height = image.size
            may_be_reduced = reduce and image.format == "JPEG"
            _check_size(width, height, max_pixels * 2 if may_be_reduced else max_pixels)
            check_cost(image, parts.data, max_pixels)
            if may_be_reduced:
                times = max(_reduction(width, height), 2 if width * height > max_pixels else 1)
                image.draft(None, (width // times, height // times))
                _check_size(*image.size, max_pixels)
            image.load()
            orientation = orientation_of(
                parts.exif or image.info.get("exif") or b"", parts.xmp or image.info.get("xmp") or b""
            )
            grey = _turned(_grey(image, parts), orientation)
    except ImageError:
        raise
    except GuardError as error:
        raise ImageError(f"image: {error}") from error
    except UnidentifiedImageError as error:
        raise ImageError(
            f"image: expected one of {', '.join(formats())}, got {len(data)} bytes of no such format"
        ) from error
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        # Pillow's own limit, which it checks first.
        raise TooManyPixelsError(f"image: expected at most {max_pixels} pixels, got far more") from error
    except Exception as error:
        # Damaged files make Pillow's readers raise nearly anything: OSError, SyntaxError, struct.error, …
        reason = str(error) or type(error).__name__
        raise ImageError(f"image: the picture is damaged or cut short: {reason[:200]}") from error
    return Picture(grey, height, width) if orientation in _SIDEWAYS else Picture(grey, width, height)


def decode_grey(data: bytes, max_pixels: int) -> Grey:
    """Only the intensities, uint8 `[height, width]`, at full size; errors as `decode_picture`."""
    return decode_picture(data, max_pixels, reduce=False).grey


def _refuse_by_brand(data: bytes) -> None:
    """Explain why formats that phones and browsers write are not read."""
    if data[4:8] == b"ftyp" and data[8:12] in _AVIF_BRANDS:
        # Pillow's reader decodes the coded picture, even 16,384 x 16,384, although the header that it shows
        # says 10 x 10.
        raise ImageError(
            f"image: AVIF is not read, as its size cannot be checked before it is decoded: expected one of "
            f"{', '.join(formats())}"
        )
    if heif.is_heif(data) and not heif.is_installed():
        raise ImageError(f"image: {heif.NOT_INSTALLED}; else expected one of {', '.join(formats())}")


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooManyPixelsError(
            f"image: expected at most {max_pixels} pixels, got {width} x {height} = {width * height}"
        )
    if max(width, height) > MAX_SIDE_PX:
        raise TooManyPixelsError(f"image: expected sides of at most {MAX_SIDE_PX} px, got {width} x {height}")


def _reduction(width: int, height: int) -> int:
    """How many times smaller a JPEG is decoded, 1, 2, 4 or 8, so that `_FINE_ENOUGH_PX` are left."""
    longer, shorter = _FINE_ENOUGH_PX
    to_spare = min(max(width, height) / longer, min(width, height) / shorter)
    return max(times for times in (1, 2, 4, 8) if times <= max(1.0, to_spare))


def _turned(grey: Grey, orientation: int) -> Grey:
    turn = _TURNS.get(orientation)
    return grey if turn is None else np.ascontiguousarray(turn(grey))


def _grey(image: Image.Image, parts: Parts) -> Grey:
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        values = np.asarray(image)
        return _scale_to_8_bits(values, _white(image, parts, values))
    if image.has_transparency_data:
        return np.asarray(on_ground(image.convert("RGBA")))
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    return np.asarray(to_grey(image if image.mode == "RGB" else image.convert("RGB")))


def _white(image: Image.Image, parts: Parts, values: npt.NDArray[np.generic]) -> int:
    """The white of 16-bit grey from its significant bits, if the file has them; else 65,535.

    A PNG has its significant bits at the top of 16 by its specification (11.3.2.4, sBIT), yet some writers
    leave them at the bottom; then the bits that should be free are not. A TIFF has them at the bottom.
    """
    tags = getattr(image, "tag_v2", {})
    bits = max(tags.get(_BITS_PER_SAMPLE, (16,)))
    for tag in (_S_MAX_SAMPLE_VALUE, _MAX_SAMPLE_VALUE):
        if tag in tags:
            value = tags[tag]
            largest = max(value) if isinstance(value, tuple) else value
            bits = min(bits, int(largest).bit_length())
    if parts.significant_bits and (values & (2 ** max(0, 16 - parts.significant_bits) - 1)).any():
        bits = parts.significant_bits
    # Whatever the file says, no value is brighter than white.
    return 2**bits - 1 if 0 < bits < 16 and int(values.max()) < 2**bits else _WHITE_OF_16_BITS


@lru_cache(maxsize=15)
def _from_16_bits(white: int) -> Grey:
    """For each value of 16 bits its 8 bits, rounded; uint8 `[65536]`."""
    return np.minimum((np.arange(2**16) * 255 + white // 2) // white, 255).astype(np.uint8)


def _scale_to_8_bits(values: npt.NDArray[np.generic], white_of_16: int) -> Grey:
    """Scale grey values of more than 8 bits to 0 to 255, uint8 of the same shape.

    16-bit grey has its white where `white_of_16` says. Pillow reads some of it as 32-bit whole numbers ("I"),
    so those are taken alike, with their white at 65,535, where they lie in that range. Floating-point grey
    has its white at 1, 255 or 65,535, whichever is the first that no value exceeds. Values outside all of
    that are stretched, darkest to 0 and brightest to 255.
    """
    if values.dtype.itemsize == 2:
        shallow: Grey = _from_16_bits(white_of_16)[values]
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
