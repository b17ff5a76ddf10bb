"""The geometry between a posted picture and the model's square frame, and the way back.

Both have their origin at the top-left corner, x to the right, y down; pixel (i, j) covers
[j, j+1) x [i, i+1).
A point at x in the picture lies at offset_x + x * fitted_width / width in the frame; likewise for y.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from models.contract import SCENE_SIDE_PX
from scenes.frame import frame_offset_px
from service.inference.images import Grey


class Box(NamedTuple):
    """A rectangle: its top-left corner and its extent, in px."""

    x: float
    y: float
    width: float
    height: float


class Gaussian(NamedTuple):
    """An axis-aligned Gaussian: its centre and its standard deviations, in px."""

    x: float
    y: float
    sigma_x: float
    sigma_y: float


@dataclass(frozen=True)
class Placement:
    """Where a picture of `width_px` x `height_px` lies in the frame.

    It covers `fitted_width_px` x `fitted_height_px` of the frame from (`offset_x_px`, `offset_y_px`) on, all
    of them whole frame px. `inverted` says whether dark ink on light paper was turned.
    """

    width_px: int
    height_px: int
    fitted_width_px: int
    fitted_height_px: int
    offset_x_px: int
    offset_y_px: int
    inverted: bool

    def box_in_picture(self, box: Box) -> Box:
        """A box of the frame in the picture's px, clipped to the picture."""
        left = _clip(self._x(box.x), 0.0, self.width_px)
        right = _clip(self._x(box.x + box.width), left, self.width_px)
        top = _clip(self._y(box.y), 0.0, self.height_px)
        bottom = _clip(self._y(box.y + box.height), top, self.height_px)
        return Box(left, top, right - left, bottom - top)

    def gaussian_in_picture(self, gaussian: Gaussian) -> Gaussian:
        """A Gaussian of the frame in the picture's px; its centre may lie outside the picture."""
        return Gaussian(
            self._x(gaussian.x),
            self._y(gaussian.y),
            gaussian.sigma_x * self.width_px / self.fitted_width_px,
            gaussian.sigma_y * self.height_px / self.fitted_height_px,
        )

    def in_posted(self, width_px: int, height_px: int) -> Placement:
        """The same place where the picture was posted with another size than it was decoded with."""
        return replace(self, width_px=width_px, height_px=height_px)

    def attention_map(self, gaussian: Gaussian) -> npt.NDArray[np.float32]:
        """A Gaussian, given in the picture's px, on a grid that spans the picture exactly.

        The grid has one cell for each frame px that the picture covers, and its values are taken at the
        cells' centres. The outer product of two profiles with peak 1 has peak 1.

        Returns:
            Values in [0, 1], float32 `[fitted_height_px, fitted_width_px]`.
        """
        rows = _profile(gaussian.y, gaussian.sigma_y, self.height_px, self.fitted_height_px)
        columns = _profile(gaussian.x, gaussian.sigma_x, self.width_px, self.fitted_width_px)
        return np.outer(rows, columns).astype(np.float32)

    def _x(self, frame_x: float) -> float:
        return (frame_x - self.offset_x_px) * self.width_px / self.fitted_width_px

    def _y(self, frame_y: float) -> float:
        return (frame_y - self.offset_y_px) * self.height_px / self.fitted_height_px


def letterbox(grey: Grey) -> tuple[Grey, Placement]:
    """Place a picture into the frame.

    A picture that is longer than the frame's side is shrunk, antialiased, until its longer side fits; a
    smaller one keeps its size. It is centred on black. Where its median intensity is above 127, it shows
    dark ink on light paper and is inverted first.

    Args:
        grey: uint8 `[height, width]`, at least 1 x 1.

    Returns:
        The frame, uint8 `[100, 100]`, which may be `grey` itself, and the placement that leads back.
    """
    height, width = grey.shape
    inverted = _is_light(grey)
    placement = _place(width, height, inverted)
    fitted = placement.fitted_width_px, placement.fitted_height_px
    if fitted != (width, height):
        # The triangle filter widens with the shrinking factor: no aliasing, and no ringing as of Lanczos.
        grey = np.asarray(Image.fromarray(grey).resize(fitted, Image.Resampling.BILINEAR))
    bright = 255 - grey if inverted else grey
    if fitted == (SCENE_SIDE_PX, SCENE_SIDE_PX):
        return bright, placement
    frame = np.zeros((SCENE_SIDE_PX, SCENE_SIDE_PX), np.uint8)
    rows = slice(placement.offset_y_px, placement.offset_y_px + fitted[1])
    columns = slice(placement.offset_x_px, placement.offset_x_px + fitted[0])
    frame[rows, columns] = bright
    return frame, placement


@lru_cache  # most pictures of a batch are of one size
def _place(width: int, height: int, inverted: bool) -> Placement:
    shrink = min(1.0, SCENE_SIDE_PX / max(width, height))
    fitted = (max(1, round(width * shrink)), max(1, round(height * shrink)))
    return Placement(
        width_px=width,
        height_px=height,
        fitted_width_px=fitted[0],
        fitted_height_px=fitted[1],
        offset_x_px=frame_offset_px(fitted[0], SCENE_SIDE_PX),
        offset_y_px=frame_offset_px(fitted[1], SCENE_SIDE_PX),
        inverted=inverted,
    )


def _is_light(grey: Grey) -> bool:
    """Whether the median intensity is above 127; counting tells, but where the two halves are equal."""
    above = 2 * int(np.count_nonzero(grey > 127))
    return above > grey.size or (above == grey.size and _median(Image.fromarray(grey)) > 127)


def _median(picture: Image.Image) -> float:
    """The median of a grey picture, from its histogram: far faster than sorting millions of pixels."""
    up_to = np.cumsum(picture.histogram())
    count = int(up_to[-1])
    lower, upper = np.searchsorted(up_to, [(count - 1) // 2 + 1, count // 2 + 1])
    return float(lower + upper) / 2


def _clip(value: float, least: float, most: float) -> float:
    """A number into bounds; NumPy takes ten times as long for a single one."""
    return float(min(max(value, least), most))


def _profile(centre: float, sigma: float, extent: int, cells: int) -> npt.NDArray[np.float64]:
    """exp(-(u - centre)^2 / 2 sigma^2) at the centres u of equal cells over [0, extent], with peak 1."""
    u = (np.arange(cells) + 0.5) * (extent / cells)
    exponent = -0.5 * ((u - centre) / sigma) ** 2
    # Taking the peak away in the exponent stays exact where all of the profile would underflow.
    return np.asarray(np.exp(exponent - exponent.max()))
