"""Every term that training minimises. Each needs the scene and its label, and nothing else.

Two terms with opposite gradients make the box tight. The variance penalty (Kosiorek 2017) shrinks the
attention. Alone it would do so until the classifier makes errors, which is far too late or never. Foreground
retention works against it: it keeps ink inside the box. With ½ of the first and 1 of the second, a box of
width w gains by growing while the ink profile at its edge is higher than half of the mean profile inside. So
the box ends about at half maximum, the usual edge of a peak (FWHM). The ratio follows from that; no box was
looked at to set it.

Two priors enter here: ink is brighter than its surroundings, and a digit's strokes touch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from trainer.attention import Gaussian, read_glimpse
from trainer.model import NO_DIGIT, ForwardOutput

VARIANCE_PER_INK = 0.5
"""The ½ above: it puts the edge of the box about at half maximum."""
_INK_SIDE = 64
"""A box of a third of the frame has one sample per pixel. Coarser ones blur thin strokes, and boxes grow."""
_ACROSS_SAMPLES = 3
"""A profile looks at the mean of so many samples across its axis: two canvas px of a digit that the box fits.
So a stray pixel of noise, one canvas px, counts less than a stroke. A mean of more would blur the strokes of
thin pens: a rectangle of strokes of 1.2 canvas px gets a box 3 % too wide with 3 samples, 6 % with 5."""
_INK_WINDOW = 2.0
_NARROWEST_INK_WINDOW_PX = 16.0
"""A quarter of a pixel for each sample. Finer samples would show nothing more."""
_FAINTEST_INK = 0.1
_FEWEST_SAMPLES = 0.1
"""Added to a count of samples, whose mean stays finite where there are none."""
_LEAST_SHARE = 0.05
"""Bounds the gradient of a box with almost no ink; for other boxes it changes almost nothing."""


@dataclass(frozen=True)
class LossWeights:
    """Weights of the terms; the cross entropy of the second glimpse has the weight 1."""

    refiner_label: float = 0.3
    pooled_label: float = 0.3
    presence: float = 0.3
    tightness: float = 0.5
    distillation: float = 0.5
    heat_spread: float = 0.03


class Losses(NamedTuple):
    """The terms, unweighted, and their weighted sum; each a scalar."""

    total: Tensor
    label: Tensor
    refiner_label: Tensor
    pooled_label: Tensor
    presence: Tensor
    variance: Tensor
    foreground_retention: Tensor
    distillation: Tensor
    heat_spread: Tensor


def compute_losses(
    output: ForwardOutput,
    scenes: Tensor,
    labels: Tensor,
    weights: LossWeights,
    ramp: float | Tensor,
    present: Tensor | None = None,
) -> Losses:
    """All terms for one batch. For a scene without a digit only the presence term counts.

    Args:
        output: the model's output.
        scenes: intensities in [0, 1], `[batch, 1, 100, 100]`, whose ink the boxes are fitted to: the plain
            scenes in training.
        labels: classes, int64 `[batch]`; `NO_DIGIT` where there is none.
        weights: of the terms.
        ramp: 0 to 1, how far the terms that shape the attention are switched on. Before the attention has
            found a digit there is no ink to fit a box to: on noise alone the box would grow without end.
        present: the mean number of scenes with a digit in a process's share (see `mean_where_present`); None
            for one process.
    """
    variance, foreground_retention = tightness_losses(output.gaussian, scenes)
    label, refiner_label, pooled_label, variance, foreground_retention, distillation, heat_spread = (
        mean_where_present(term, labels, present)
        for term in (
            label_loss(output.logits, labels),
            label_loss(output.refiner_logits, labels),
            label_loss(output.pooled_logits, labels),
            variance,
            foreground_retention,
            distillation_loss(output.coarse, output.gaussian),
            heat_spread_penalty(output.heat),
        )
    )
    presence = presence_loss(output.presence_logit, labels)
    total = (
        label
        + weights.refiner_label * refiner_label
        + weights.pooled_label * pooled_label
        + weights.presence * presence
        + ramp
        * (
            weights.tightness * (VARIANCE_PER_INK * variance + foreground_retention)
            + weights.distillation * distillation
            + weights.heat_spread * heat_spread
        )
    )
    return Losses(
        total,
        label,
        refiner_label,
        pooled_label,
        presence,
        variance,
        foreground_retention,
        distillation,
        heat_spread,
    )


def label_loss(logits: Tensor, labels: Tensor) -> Tensor:
    """Cross entropy, `[batch]`; 0 for a scene without a digit."""
    return functional.cross_entropy(logits, labels, ignore_index=NO_DIGIT, reduction="none")


def presence_loss(logit: Tensor, labels: Tensor) -> Tensor:
    """Binary cross entropy of there being a digit, a scalar."""
    return functional.binary_cross_entropy_with_logits(logit, (labels != NO_DIGIT).to(logit.dtype))


def mean_where_present(term: Tensor, labels: Tensor, present: Tensor | None = None) -> Tensor:
    """The mean of a term, `[batch]`, over the scenes with a digit; 0 where there are none.

    Processes that share a batch have different numbers of scenes with a digit, so the mean of their means is
    not the mean over the batch. So all divide by the same `present`, the mean number in a process's share.
    """
    here = (labels != NO_DIGIT).to(term.dtype)
    return (term * here).sum() / (here.sum().clamp(min=1.0) if present is None else present)


class InkProfile(NamedTuple):
    """The ink around boxes along one axis: its profile, and the share of each sample inside the box."""

    profile: Tensor
    inside: Tensor


def tightness_losses(gaussian: Gaussian, scenes: Tensor) -> tuple[Tensor, Tensor]:
    """The variance penalty and the foreground retention, each `[batch]`.

    The penalty is log σ_x + log σ_y (Kosiorek 2017 penalises the variance; with the logarithm small and large
    digits have the same relative gradient). Foreground retention is −log of the share of the surrounding ink
    that is inside the box, along x plus along y. Both are 0 where there is no ink; otherwise the penalty
    would shrink such boxes to nothing.
    """
    along_x, along_y = surrounding_ink(gaussian, scenes)
    kept = _minus_log_share(along_x) + _minus_log_share(along_y)
    spread = torch.log(gaussian.sigma_x_px) + torch.log(gaussian.sigma_y_px)
    found = (along_x.profile.amax(1) > _FAINTEST_INK) & (along_y.profile.amax(1) > _FAINTEST_INK)
    return spread * found, kept * found


def surrounding_ink(gaussian: Gaussian, scenes: Tensor) -> tuple[InkProfile, InkProfile]:
    """The ink along x and along y, in a window of twice the box's width and height.

    Ink is the brightness above the scene's mean. The window is in proportion to the box along each axis, so
    that a narrow 1 is measured as finely as a wide 0. The profile along x is the maximum over the box's own
    rows: a sum would measure a stroke's length instead of its place, and all rows would include clutter above
    and below. Likewise along y. The maximum is of means of three samples across the axis, so that single
    bright pixels of noise count less than strokes. Only the part of a profile that is connected with the
    box's middle counts.

    Args:
        gaussian: the boxes; gradients flow into them through `inside` alone.
        scenes: intensities in [0, 1], `[batch, 1, height, width]`.
    """
    x, y = gaussian.centre_x_px, gaussian.centre_y_px
    with torch.no_grad():
        width = (_INK_WINDOW * gaussian.width_px).clamp(min=_NARROWEST_INK_WINDOW_PX)
        height = (_INK_WINDOW * gaussian.height_px).clamp(min=_NARROWEST_INK_WINDOW_PX)
        picture = read_glimpse(scenes[:, 0], x, y, width, height, _INK_SIDE)
        ink = functional.relu(picture - scenes.mean(dim=(1, 2, 3))[:, None, None])  # [batch, 64, 64]
        sample = (torch.arange(_INK_SIDE, device=scenes.device) + 0.5) / _INK_SIDE - 0.5
        places_x = x[:, None] + sample * width[:, None]  # [batch, 64]
        places_y = y[:, None] + sample * height[:, None]
    columns_inside = _soft_inside(places_x, x, gaussian.width_px, width)
    rows_inside = _soft_inside(places_y, y, gaussian.height_px, height)
    with torch.no_grad():
        across_x, across_y = _mean_across(ink, (_ACROSS_SAMPLES, 1)), _mean_across(ink, (1, _ACROSS_SAMPLES))
        profile_x = _connected((across_x * rows_inside[:, :, None]).amax(1), columns_inside)
        profile_y = _connected((across_y * columns_inside[:, None, :]).amax(2), rows_inside)
    return InkProfile(profile_x, columns_inside), InkProfile(profile_y, rows_inside)


def _mean_across(ink: Tensor, samples: tuple[int, int]) -> Tensor:
    """The mean of so many rows and columns around each sample, `[batch, 64, 64]`; beyond them is no ink."""
    padding = (samples[0] // 2, samples[1] // 2)
    return functional.avg_pool2d(ink[:, None], samples, stride=1, padding=padding)[:, 0]


def _soft_inside(places: Tensor, centre: Tensor, extent: Tensor, window: Tensor) -> Tensor:
    """1 inside of the box and 0 outside along one axis, `[batch, 64]`; its edges are half a sample soft."""
    softness = (0.5 * window / _INK_SIDE)[:, None]
    left, right = (centre - extent / 2)[:, None], (centre + extent / 2)[:, None]
    return torch.sigmoid((places - left) / softness) * torch.sigmoid((right - places) / softness)


def _connected(profile: Tensor, inside: Tensor) -> Tensor:
    """The profile, faded beyond every gap as seen from its middle: `[batch, 64]`.

    A digit's strokes touch, so its profile has no gaps, and ink beyond a gap is a neighbour's. A gap is where
    the profile is lower than half of its mean inside the box. The lower it is, the less counts beyond it.
    """
    mean_inside = (profile * inside).sum(1, keepdim=True) / (inside.sum(1, keepdim=True) + _FEWEST_SAMPLES)
    bridge = (profile / (0.5 * mean_inside + 1e-4)).clamp(max=1.0)
    left, right = bridge[:, : _INK_SIDE // 2], bridge[:, _INK_SIDE // 2 :]
    reached = torch.cat([left.flip(1).cummin(1).values.flip(1), right.cummin(1).values], dim=1)
    return profile * reached


def _minus_log_share(ink: InkProfile) -> Tensor:
    """−log of the share of the profile inside the box, `[batch]`; bounded where that is almost nothing."""
    everything = ink.profile.sum(1)
    kept = (ink.profile * ink.inside).sum(1)
    least = _LEAST_SHARE * everything + 1e-4
    return torch.log(everything + least) - torch.log(kept + least)


def distillation_loss(coarse: Gaussian, refined: Gaussian) -> Tensor:
    """How far the coarse Gaussian is from the refined one, `[batch]`, in the refined box's lengths.

    The refiner sees more detail. From it the attention network learns to find the right place at once.
    """
    target = refined.detach()
    differences = torch.stack(
        [
            (coarse.centre_x_px - target.centre_x_px) / target.longer_px,
            (coarse.centre_y_px - target.centre_y_px) / target.longer_px,
            torch.log(coarse.sigma_x_px / target.sigma_x_px),
            torch.log(coarse.sigma_y_px / target.sigma_y_px),
        ]
    )
    nothing = torch.zeros_like(differences)
    return functional.smooth_l1_loss(differences, nothing, beta=0.1, reduction="none").sum(0)


def heat_spread_penalty(heat: Tensor) -> Tensor:
    """log(1 + variance of the heat map in cells²), `[batch]`: favours one place over the middle of two."""
    side = round(heat.shape[1] ** 0.5)
    cells = torch.arange(side, device=heat.device, dtype=heat.dtype)
    place = heat.view(-1, side, side)
    variance = heat.new_zeros(heat.shape[0])
    for along in (place.sum(1), place.sum(2)):
        mean = along @ cells
        variance = variance + (along * (cells - mean[:, None]) ** 2).sum(1)
    return torch.log1p(variance)
