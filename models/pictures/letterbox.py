"""The geometry between a picture and the model's square frame, there and back.

Both have their origin at the top-left corner, x to the right, y down; pixel (i, j) covers
[j, j+1) x [i, i+1).
The frame covers a rectangle of the picture, which may reach beyond it. A point at x in the frame lies at
rectangle.x + x * rectangle.width / side in the picture; likewise for y.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.pictures.pixels import Pixels

_REDUCING_GAP = 3.0
"""Pillow first averages whole blocks of pixels, down to three times the final size. That is far faster for
large pictures, and by Pillow's documentation nearly the same as the filter alone."""
_ROUNDING = 1e-6


class Box(NamedTuple):
    """A rectangle: its top-left corner and its extent, in px."""

    x: float
    y: float
    width: float
    height: float


class PixelGaussian(NamedTuple):
    """An axis-aligned Gaussian: its centre and its standard deviations, in px."""

    x: float
    y: float
    sigma_x: float
    sigma_y: float


@dataclass(frozen=True)
class Placement:
    """Where a frame of `side_px` lies in a picture of `width_px` x `height_px`.

    `frame` is what the frame covers, in the picture's px.
    """

    width_px: int
    height_px: int
    frame: Box
    side_px: int

    def box_in_picture(self, box: Box) -> Box:
        """A box of the frame in the picture's px, clipped to the picture."""
        left = _clip(self._x(box.x), 0.0, self.width_px)
        right = _clip(self._x(box.x + box.width), left, self.width_px)
        top = _clip(self._y(box.y), 0.0, self.height_px)
        bottom = _clip(self._y(box.y + box.height), top, self.height_px)
        return Box(left, top, right - left, bottom - top)

    def gaussian_in_picture(self, gaussian: PixelGaussian) -> PixelGaussian:
        """A Gaussian of the frame in the picture's px; its centre may lie outside the picture."""
        return PixelGaussian(
            self._x(gaussian.x),
            self._y(gaussian.y),
            gaussian.sigma_x * self.frame.width / self.side_px,
            gaussian.sigma_y * self.frame.height / self.side_px,
        )

    def at_size(self, width_px: int, height_px: int) -> Placement:
        """The same placement in the same picture at another size."""
        across, down = width_px / self.width_px, height_px / self.height_px
        x, y, width, height = self.frame
        frame = Box(x * across, y * down, width * across, height * down)
        return replace(self, width_px=width_px, height_px=height_px, frame=frame)

    def attention_map(self, gaussian: PixelGaussian) -> npt.NDArray[np.float32]:
        """A Gaussian, given in the picture's px, on a grid that spans the picture exactly.

        The grid has the size of the whole picture in the frame, whatever the frame covers, and its values
        are taken at the cells' centres. The outer product of two profiles with peak 1 has peak 1.

        Returns:
            Values in [0, 1], float32 `[rows, columns]`, at most `side_px` on the longer side.
        """
        columns, rows = _fitted(self.width_px, self.height_px, self.side_px)
        down = _profile(gaussian.y, gaussian.sigma_y, self.height_px, rows)
        across = _profile(gaussian.x, gaussian.sigma_x, self.width_px, columns)
        return np.outer(down, across).astype(np.float32)

    def _x(self, frame_x: float) -> float:
        return self.frame.x + frame_x * self.frame.width / self.side_px

    def _y(self, frame_y: float) -> float:
        return self.frame.y + frame_y * self.frame.height / self.side_px


@lru_cache  # most pictures of a batch are of one size
def place_whole(width_px: int, height_px: int, side_px: int) -> Placement:
    """The frame that shows the whole picture, centred.

    The longer side of a larger picture becomes the frame's, a smaller picture keeps its size. Both sides are
    whole px of the frame, so that the picture's edges are sharp there.
    """
    columns, rows = _fitted(width_px, height_px, side_px)
    x_scale, y_scale = width_px / columns, height_px / rows
    # As `scenes.frame.frame_offset_px` places scenes.
    left = -((side_px - columns) // 2) * x_scale
    top = -((side_px - rows) // 2) * y_scale
    return Placement(width_px, height_px, Box(left, top, side_px * x_scale, side_px * y_scale), side_px)


def cut_frame(pixels: Pixels, placement: Placement) -> Pixels:
    """The frame that the model sees of a picture.

    The part that the frame covers is scaled, antialiased where that shrinks it, without a copy of the whole
    picture. Beyond the picture the frame has the median of the picture's outermost pixels, which
    continues a page as a page. Repeated edges would prolong a stroke that touches one.

    Args:
        pixels: uint8 `[height, width]` or `[height, width, 3]`, at least 1 x 1.
        placement: where the frame lies in it; some of it lies inside the picture.

    Returns:
        The frame, uint8 `[side, side]` or `[side, side, 3]`, which may be `pixels` itself.
    """
    height, width = pixels.shape[:2]
    side = placement.side_px
    if (height, width) == (side, side) and placement == place_whole(width, height, side):
        return pixels
    frame = placement.frame
    columns = _visible(frame.x, frame.width, placement.width_px, side)
    rows = _visible(frame.y, frame.height, placement.height_px, side)
    # The triangle filter widens with the shrinking factor: no aliasing, and no ringing as of Lanczos.
    part = Image.fromarray(pixels).resize(
        (columns.last - columns.first, rows.last - rows.first),
        Image.Resampling.BILINEAR,
        box=(columns.start, rows.start, columns.stop, rows.stop),
        reducing_gap=_REDUCING_GAP,
    )
    shown = np.asarray(part)
    if shown.shape[:2] == (side, side):
        return shown
    surrounded = np.empty((side, side, *pixels.shape[2:]), np.uint8)
    surrounded[:] = _border_median(pixels)
    surrounded[rows.first : rows.last, columns.first : columns.last] = shown
    return surrounded


def _border_median(pixels: Pixels) -> int | list[int]:
    """The median of a picture's outermost pixels, of each channel the lower one of two."""
    border = np.concatenate([pixels[0], pixels[-1], pixels[:, 0], pixels[:, -1]])
    return _median(border) if border.ndim == 1 else [_median(channel) for channel in border.T]


def _median(values: npt.NDArray[np.uint8]) -> int:
    """The lower one of two; counting is faster than sorting."""
    up_to = np.cumsum(np.bincount(values, minlength=256))
    return int(np.searchsorted(up_to, (len(values) + 1) // 2))


class _Visible(NamedTuple):
    """Along one axis, the px of the frame that show the picture, and what they show in the picture's px."""

    first: int
    last: int  # exclusive
    start: float
    stop: float


def _visible(start: float, extent: float, size: int, side_px: int) -> _Visible:
    scale = extent / side_px
    low, high = -start / scale, (size - start) / scale  # the picture's edges in the frame
    first = max(0, math.ceil(low - _ROUNDING))
    last = min(side_px, math.floor(high + _ROUNDING))
    if last <= first:  # of so flat a picture no px of the frame is full
        first = min(max(0, math.floor((low + high) / 2)), side_px - 1)
        last = first + 1
    return _Visible(
        first, last, start=max(0.0, start + first * scale), stop=min(float(size), start + last * scale)
    )


def _fitted(width_px: int, height_px: int, side_px: int) -> tuple[int, int]:
    """The width and the height of the whole picture in the frame, px of the frame."""
    shrink = min(1.0, side_px / max(width_px, height_px))
    return max(1, round(width_px * shrink)), max(1, round(height_px * shrink))


def _clip(value: float, least: float, most: float) -> float:
    """A number into bounds; NumPy takes ten times as long for a single one."""
    return float(min(max(value, least), most))


def _profile(centre: float, sigma: float, extent: int, cells: int) -> npt.NDArray[np.float64]:
    """exp(-(u - centre)^2 / 2 sigma^2) at the centres u of equal cells over [0, extent], with peak 1."""
    u = (np.arange(cells) + 0.5) * (extent / cells)
    exponent = -0.5 * ((u - centre) / sigma) ** 2
    # Subtracting the peak in the exponent stays exact where the whole profile would underflow.
    return np.asarray(np.exp(exponent - exponent.max()))
