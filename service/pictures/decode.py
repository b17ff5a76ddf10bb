"""Decode posted bytes to a grey picture, whatever their format, mode, depth, transparency or orientation."""

from __future__ import annotations

import io
from typing import NamedTuple

from PIL import Image, UnidentifiedImageError

from models.pictures import heif
from models.pictures.convert import ConversionError, grey_of, turned
from models.pictures.formats import formats
from models.pictures.orientation import SIDEWAYS, orientation_of
from models.pictures.pixels import Grey
from service.pictures.guards import MAX_SIDE_PX, GuardError, check_cost
from service.pictures.parts import parts_of

_AVIF_BRANDS = frozenset((b"avif", b"avis"))

_FINE_ENOUGH_PX = (1600, 400)
"""Of the longer and the shorter side. The search looks no closer than at 34 px, so it still finds digits of
2 % of the longer side, or of a tenth of a strip's height. More pixels cost time and show nothing more."""


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


def decode_picture(data: bytes, max_pixels: int, *, reduce: bool = True) -> Picture:
    """Decode a PNG, JPEG, WebP, BMP, HEIC, the first frame of a GIF or the first page of a TIFF.

    Colours and deep greys become 8 bits of grey, transparent parts get a background
    (`models.pictures.convert`), and the picture is turned upright as its EXIF orientation says.

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
            grey = turned(grey_of(image, parts.significant_bits), orientation)
    except ImageError:
        raise
    except (GuardError, ConversionError) as error:
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
    return Picture(grey, height, width) if orientation in SIDEWAYS else Picture(grey, width, height)


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
