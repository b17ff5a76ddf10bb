"""The Gaussian attention: its parameters, its box, its map, and its glimpse.

One frame for everything: scene px, x to the right, y down, pixel (i, j) covering [j, j + 1) × [i, i + 1).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

BOX_WIDTH_PER_SIGMA = math.sqrt(12.0)
"""A box of width w, filled evenly, has the standard deviation w / √12: the box of a Gaussian is the evenly
filled box with the same variance. No box was looked at to find this."""

_NARROWEST_FILTER_PX = 0.5
"""A Gaussian filter narrower than half a pixel falls between pixels; this keeps its sum within 2 % of 1."""

_LOWEST_EXPONENT = -30.0
"""exp(−30) is negligible beside 1, but no denormal number, with which processors are many times slower."""


class Gaussian(NamedTuple):
    """An axis-aligned Gaussian for each scene of a batch; all fields float32 `[batch]`, in scene px."""

    centre_x_px: Tensor
    centre_y_px: Tensor
    sigma_x_px: Tensor
    sigma_y_px: Tensor

    @property
    def width_px(self) -> Tensor:
        """Width of the box, `[batch]`."""
        return self.sigma_x_px * BOX_WIDTH_PER_SIGMA

    @property
    def height_px(self) -> Tensor:
        """Height of the box, `[batch]`."""
        return self.sigma_y_px * BOX_WIDTH_PER_SIGMA

    @property
    def longer_px(self) -> Tensor:
        """The longer side of the box, `[batch]`."""
        return torch.maximum(self.width_px, self.height_px)

    def detach(self) -> Gaussian:
        """The same numbers without a gradient."""
        return Gaussian(*(field.detach() for field in self))


def gaussian_of_box(centre_x: Tensor, centre_y: Tensor, width: Tensor, height: Tensor) -> Gaussian:
    """The Gaussian whose box has this centre, width and height, all `[batch]` in scene px."""
    return Gaussian(centre_x, centre_y, width / BOX_WIDTH_PER_SIGMA, height / BOX_WIDTH_PER_SIGMA)


def boxes(gaussian: Gaussian) -> Tensor:
    """x, y of the top-left corner, width, height: `[batch, 4]` in scene px."""
    width, height = gaussian.width_px, gaussian.height_px
    left = gaussian.centre_x_px - width / 2
    top = gaussian.centre_y_px - height / 2
    return torch.stack([left, top, width, height], dim=1)


def reported_boxes(gaussian: Gaussian, edge_per_side: float) -> Tensor:
    """As `boxes`, but with an edge: what a prediction reports, `[batch, 4]`.

    Args:
        gaussian: of each scene.
        edge_per_side: how far the object reaches beyond the box at each end, in its longer sides.
    """
    left, top, width, height = boxes(gaussian).unbind(1)
    edge = edge_per_side * gaussian.longer_px
    return torch.stack([left - edge, top - edge, width + 2 * edge, height + 2 * edge], dim=1)


def read_glimpse(
    scenes: Tensor,
    centre_x_px: Tensor,
    centre_y_px: Tensor,
    width_px: Tensor,
    height_px: Tensor,
    side: int,
    filter_per_stride: float = 0.5,
) -> Tensor:
    """Read a window of each scene through a grid of Gaussian filters (Gregor et al. 2015, DRAW, section 3.2).

    glimpse = F_y · scene · F_xᵀ. Filter i along x is a Gaussian at
    μ_i = centre + (i + ½ − side / 2) · stride, stride = width / side, whose standard deviation is
    `filter_per_stride` strides, sampled at the pixels' centres. It is scaled by its density, not by its
    sum over the pixels, so that pixels outside of the scene are dark. Under autocast, too, the products keep
    the precision of the scenes.

    Args:
        scenes: `[batch, height, width]`, or `[batch, channels, height, width]`.
        centre_x_px: the window's centre, `[batch]`; likewise `centre_y_px`.
        centre_y_px: see there.
        width_px: the window's width, `[batch]`; likewise `height_px`.
        height_px: see there.
        side: rows and columns of the glimpse.
        filter_per_stride: standard deviation of a filter in strides; more is blurrier.

    Returns:
        Glimpses `[batch, side, side]`, or `[batch, channels, side, side]`, of the scenes' unit.
    """
    columns = gaussian_filters(centre_x_px, width_px, scenes.shape[-1], side, filter_per_stride)
    rows = gaussian_filters(centre_y_px, height_px, scenes.shape[-2], side, filter_per_stride)
    if scenes.ndim == 4:
        columns, rows = columns[:, None], rows[:, None]
    with torch.autocast(scenes.device.type, enabled=False):
        return rows @ scenes @ columns.transpose(-2, -1)


def gaussian_filters(
    centre: Tensor, extent: Tensor, pixels: int, side: int, filter_per_stride: float
) -> Tensor:
    """A row of Gaussian weights over the pixels for each sample of the glimpse: `[batch, side, pixels]`."""
    stride = extent / side
    sample = torch.arange(side, device=centre.device, dtype=centre.dtype) + 0.5 - side / 2
    pixel = torch.arange(pixels, device=centre.device, dtype=centre.dtype) + 0.5
    mean = centre[:, None] + sample[None, :] * stride[:, None]
    sigma = torch.clamp(filter_per_stride * stride, min=_NARROWEST_FILTER_PX)[:, None, None]
    z = (pixel[None, None, :] - mean[:, :, None]) / sigma
    exponent = torch.clamp(-0.5 * z * z, min=_LOWEST_EXPONENT)
    return torch.exp(exponent) / (sigma * math.sqrt(2 * math.pi))


def attention_maps(gaussian: Gaussian, side_px: int) -> Tensor:
    """The Gaussian at every pixel's centre, scaled to a peak of 1: `[batch, side_px, side_px]`."""
    pixel = torch.arange(side_px, device=gaussian.centre_x_px.device, dtype=torch.float32) + 0.5

    def along(centre: Tensor, sigma: Tensor) -> Tensor:
        z = (pixel[None, :] - centre[:, None]) / sigma[:, None]
        exponent = -0.5 * z * z
        return torch.exp(exponent - exponent.amax(dim=1, keepdim=True))

    rows = along(gaussian.centre_y_px, gaussian.sigma_y_px)
    columns = along(gaussian.centre_x_px, gaussian.sigma_x_px)
    return rows[:, :, None] * columns[:, None, :]
