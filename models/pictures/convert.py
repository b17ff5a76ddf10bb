"""From a decoded picture to an array of 8 bits, whatever its mode, depth, transparency or orientation."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.pictures.colours import coloured_on_ground, on_ground, to_grey
from models.pictures.pixels import Grey, Pixels

_TURNS: dict[int, Callable[[Pixels], Pixels]] = {
    2: np.fliplr,
    3: lambda pixels: np.rot90(pixels, 2),
    4: np.flipud,
    5: lambda pixels: pixels.swapaxes(0, 1),
    6: lambda pixels: np.rot90(pixels, -1),
    7: lambda pixels: np.rot90(pixels.swapaxes(0, 1), 2),
    8: np.rot90,
}
_WHITE_OF_16_BITS = 2**16 - 1
_BITS_PER_SAMPLE, _MAX_SAMPLE_VALUE, _S_MAX_SAMPLE_VALUE = 258, 281, 341


class ConversionError(ValueError):
    """A decoded picture has no usable intensities; the message says why."""


def turned(pixels: Pixels, orientation: int) -> Pixels:
    """A picture turned upright; `orientation` is as EXIF counts it, and of other numbers no turn is known."""
    turn = _TURNS.get(orientation)
    return pixels if turn is None else np.ascontiguousarray(turn(pixels))


def grey_of(image: Image.Image, significant_bits: int | None = None) -> Grey:
    """The intensities of a picture, not turned.

    Colours become grey, transparent parts get a background (`models.pictures.colours`). 16-bit grey is
    divided by 257, unless the file says that fewer bits are significant. Deeper grey has no fixed white: see
    `_scale_to_8_bits`.

    Args:
        image: a decoded picture.
        significant_bits: of a PNG's 16-bit grey, where the file says it.

    Raises:
        ConversionError: there are intensities that are no finite numbers.
    """
    if _is_deep(image):
        return _deep_grey(image, significant_bits)
    if image.has_transparency_data:
        return np.asarray(on_ground(image.convert("RGBA")))
    if image.mode in ("1", "L"):
        return np.asarray(image.convert("L"))
    return np.asarray(to_grey(image if image.mode == "RGB" else image.convert("RGB")))


def rgb_of(image: Image.Image) -> Pixels:
    """The colours of a picture, not turned, uint8 `[height, width, 3]`; grey and ground as `grey_of`."""
    if _is_deep(image):
        return np.repeat(_deep_grey(image, None)[..., None], 3, axis=2)
    if image.has_transparency_data:
        return np.asarray(coloured_on_ground(image.convert("RGBA")))
    return np.asarray(image.convert("RGB"))


def _is_deep(image: Image.Image) -> bool:
    """Whether it is grey of more than 8 bits; Pillow reads colours of 16 bits as those of 8."""
    return image.mode in ("I", "F") or image.mode.startswith("I;16")


def _deep_grey(image: Image.Image, significant_bits: int | None) -> Grey:
    values = np.asarray(image)
    return _scale_to_8_bits(values, _white(image, significant_bits, values))


def _white(image: Image.Image, significant_bits: int | None, values: npt.NDArray[np.generic]) -> int:
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
    if significant_bits and (values & (2 ** max(0, 16 - significant_bits) - 1)).any():
        bits = significant_bits
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
        raise ConversionError("expected finite intensities, got NaN or infinity")
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
