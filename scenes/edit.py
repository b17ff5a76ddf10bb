"""Edit drawn scenes before they are rendered: remove or replace parts of them."""

from __future__ import annotations

import math

from scenes.backend import Array, clip, namespace
from scenes.digits import Digits
from scenes.draw import SceneParameters
from scenes.random import Stream, uniform

_LARGEST_OTHER = 4.0
"""Two in three non-digits are larger than a digit, by up to this factor: often only a part is seen."""


def remove_clutter(parameters: SceneParameters, pieces: int) -> SceneParameters:
    """The same scenes without their last pieces of clutter: `pieces` digits and `pieces` crops fewer."""
    xp = namespace(parameters.seed)
    count = parameters.clutter_count - pieces
    crops = max(parameters.crop_index.shape[1] - pieces, 0)
    return parameters._replace(
        clutter_count=xp.maximum(count, xp.zeros_like(count)),
        crop_index=parameters.crop_index[:, :crops],
        crop_source_x=parameters.crop_source_x[:, :crops],
        crop_source_y=parameters.crop_source_y[:, :crops],
        crop_x_px=parameters.crop_x_px[:, :crops],
        crop_y_px=parameters.crop_y_px[:, :crops],
    )


def remove_target(parameters: SceneParameters, chosen: Array) -> SceneParameters:
    """The same scenes; those `chosen`, bool `[n]`, without their target digit.

    The target is moved out of the picture. Clutter and noise stay.
    """
    xp = namespace(parameters.seed)
    outside = xp.zeros_like(parameters.centre_x_px) - 2.0 * parameters.side_px
    return parameters._replace(centre_x_px=xp.where(chosen, outside, parameters.centre_x_px))


def remove_paper(parameters: SceneParameters) -> SceneParameters:
    """The same scenes not as pictures of paper: bright ink on a dark ground."""
    return parameters._replace(paper=None)


def replace_by_non_digits(parameters: SceneParameters, chosen: Array, digits: Digits) -> SceneParameters:
    """The same scenes; those `chosen`, bool `[n]`, with non-digits instead of digits.

    Non-digits (`scenes.digits.with_non_digits`) replace the target and the clutter digits. Two in three of
    those in the target's place are up to four times as large and reach beyond the picture, as something large
    does when a part of it is looked at.
    """
    xp = namespace(parameters.seed)
    count, others = digits.labels.shape[0], digits.images.shape[0] - digits.labels.shape[0]
    pieces = parameters.clutter_index.shape[1]
    u = uniform(parameters.seed, Stream.NON_DIGIT, 2 + pieces)
    index = count + xp.astype(u[:, 1:] * others, xp.int64)
    larger = xp.exp(math.log(_LARGEST_OTHER) * clip(1.5 * u[:, 0] - 0.5, 0.0, 1.0))
    return parameters._replace(
        size_px=xp.where(chosen, larger * parameters.size_px, parameters.size_px),
        digit_index=xp.where(chosen, index[:, 0], parameters.digit_index),
        clutter_index=xp.where(chosen[:, None], index[:, 1:], parameters.clutter_index),
    )
