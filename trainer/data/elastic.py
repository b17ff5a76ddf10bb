"""Elastic augmentation: digits are turned, stretched, slanted and bent a little, so that none is memorised.

After Simard, Steinkraus and Platt, *Best Practices for Convolutional Neural Networks Applied to Visual
Document Analysis*, ICDAR 2003: affine and elastic changes that keep the class.

Digits are augmented before a scene is made, so that targets and clutter are made of the same digits.
Otherwise the network could tell them apart by their augmentation. Bicubic sampling keeps strokes sharp; with
it, label errors of whole runs are lower than with linear sampling (`docs/decisions/recipe-choices.md`).

Digits are stretched along x only. Most are taller than wide, so they stay about as large as before.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from scenes.digits import Digits, soften
from scenes.random import uniform

INTERPOLATION = "bicubic"
"""How the canvases are sampled between their pixels (`docs/decisions/recipe-choices.md`)."""

MOST_TURN_RAD = 0.3
MOST_LOG_WIDENING = 0.15
MOST_SLANT = 0.25
MOST_BEND_PX = 1.8
_BEND_POINTS = 4
"""Bends are drawn at 4×4 points of the canvas and are smooth between them."""
_STREAM = 104
_AT_ONCE = 5_000
"""Digits augmented together: bounds the memory to 60 MB for any number of digits."""


def augment_digits(digits: Digits, seeds: Tensor) -> Digits:
    """Augmented digits, for targets, crops and whole clutter digits alike.

    Args:
        digits: on torch.
        seeds: one for each digit, int64 `[m]`, on the digits' device.
    """
    images = torch.cat(
        [
            torch.round(255 * deform(some.float() / 255, of_some)).to(torch.uint8)
            for some, of_some in zip(
                torch.split(digits.images, _AT_ONCE), torch.split(seeds, _AT_ONCE), strict=True
            )
        ]
    )
    softened = torch.cat([soften(some) for some in torch.split(images, _AT_ONCE)])
    return digits._replace(images=images, softened=softened)


def deform(canvases: Tensor, seeds: Tensor) -> Tensor:
    """Deform canvases as another handwriting would.

    Each is changed by a share, from 0 to 1, of a turn by up to 0.3 rad, a widening by up to 16 % or
    a narrowing by up to 14 %, a slant by up to 0.25, and bends, cubic between points that move by up to 1.8
    canvas px: a function of the seed.

    Args:
        canvases: intensities in [0, 1], `[n, side, side]`.
        seeds: one for each, int64 `[n]`.

    Returns:
        The same shape and range; beyond the canvas it is dark.
    """
    n, side = canvases.shape[:2]
    u = (2 * uniform(seeds, _STREAM, 4 + 2 * _BEND_POINTS**2) - 1).to(canvases.dtype)
    share = u[:, 0].abs()
    turn = share * MOST_TURN_RAD * u[:, 1]
    across = torch.exp(share * MOST_LOG_WIDENING * u[:, 2])
    slant = share * MOST_SLANT * u[:, 3]
    # Where a pixel's ink is taken from: the slant first, then the widening, then the turn.
    cosine, sine = torch.cos(turn), torch.sin(turn)
    along_x = torch.stack([cosine * across, cosine * across * slant - sine], 1)
    along_y = torch.stack([sine * across, sine * across * slant + cosine], 1)
    rows = torch.stack([along_x, along_y], 1)  # [n, 2, 2]
    affine = torch.cat([rows, torch.zeros_like(rows[:, :, :1])], 2)
    grid = functional.affine_grid(affine, [n, 1, side, side], align_corners=False)
    # The grid's unit is half a canvas.
    bends = (share * MOST_BEND_PX * 2 / side)[:, None] * u[:, 4:]
    smooth = _smooth(side, u)
    bends = smooth @ bends.view(n, 2, _BEND_POINTS, _BEND_POINTS) @ smooth.T
    moved = grid + bends.permute(0, 2, 3, 1)
    sampled = functional.grid_sample(canvases[:, None], moved, mode=INTERPOLATION, align_corners=False)[:, 0]
    return sampled.clamp(0.0, 1.0)  # weights of cubic sampling overshoot beside an edge


def _smooth(side: int, like: Tensor) -> Tensor:
    """Each pixel's cubic weights of the points along one axis: `[side, points]`.

    As a matrix, since a GPU interpolates pictures of so few points slowly.
    """
    points = torch.eye(_BEND_POINTS, dtype=like.dtype, device=like.device)[None, None]
    size = (side, _BEND_POINTS)
    return functional.interpolate(points, size=size, mode="bicubic", align_corners=True)[0, 0]
