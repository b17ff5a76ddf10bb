"""Draw the parameters of scenes as pictures of paper, boards, screens and sheets on desks.

People photograph dark or bright ink on a ground of any level, lit unevenly, ruled or squared, in front of a
desk, blurred and compressed. Each of these is drawn here; `scenes.paper_render` renders it.
"""

from __future__ import annotations

import math
from typing import NamedTuple

from scenes.backend import Array, namespace
from scenes.random import Stream, uniform

FAINTEST_CONTRAST = 0.1
_FAINTEST_CONTRAST_OF_SMALL = 0.35
_SMALL_PX = 18.0
"""A smaller canvas has few pixels of ink, so faint ink would vanish in the grain."""
_DARK_INK = 0.7
"""Share of the scenes with dark ink on a brighter ground; the others have bright ink on a darker one."""
INK_PER_CANVAS = 11.5 / 28
"""Where ink ends, from the centre: MNIST's digits are 20 canvas px long and centred by their mass."""
_SHEET_TURN_RAD = 0.3
_SHEET_PER_INK = math.cos(_SHEET_TURN_RAD) + math.sin(_SHEET_TURN_RAD)
"""How far a turned square reaches along the axes, in halves of its side: its corners stay on the sheet."""


class PaperParameters(NamedTuple):
    """How each of n scenes looks as a picture; float32 `[n]` where nothing else is said.

    Lengths are in scene px, intensities in [0, 1], angles in radians, clockwise as seen. Absent effects have
    a share, depth or strength of 0.
    """

    contrast: Array
    """Of dark ink in shares of the ground's level, of bright ink of what the ground lacks to white."""
    bright_ink: Array  # bool
    ground: Array
    """The ground's level in the middle of the picture."""
    gradient: Array
    gradient_angle_rad: Array
    shadow_depth: Array
    shadow_angle_rad: Array
    shadow_offset_px: Array
    shadow_softness_px: Array
    vignette: Array
    texture: Array
    """Amplitude of the ground's slow changes, in shares of its level."""
    grain_sigma: Array
    line_depth: Array
    line_pitch_px: Array
    line_offset_px: Array
    line_width_px: Array
    line_angle_rad: Array
    squared: Array  # bool: lines along both axes
    sheet: Array  # bool: the page is a sheet on a desk
    sheet_x_px: Array
    sheet_y_px: Array
    sheet_half_width_px: Array
    sheet_half_height_px: Array
    sheet_angle_rad: Array
    desk: Array
    edge: Array  # bool: something with a straight edge lies over the picture, at a distance from (x, y)
    edge_x_px: Array
    edge_y_px: Array
    edge_distance_px: Array
    edge_angle_rad: Array
    edge_level: Array
    blur_sigma_px: Array
    jpeg_step: Array
    """The coarsest quantisation of a JPEG in shares of the standard's table; 0 where there is none."""


def draw_paper(
    seeds: Array, size_px: Array, centre_x_px: Array, centre_y_px: Array, side_px: int
) -> PaperParameters:
    """Draw how scenes look as pictures; the digit's own ink is never covered.

    Args:
        seeds: int64 `[n]`.
        size_px: side of the target's canvas, float32 `[n]`; likewise its centre.
        centre_x_px: see there.
        centre_y_px: see there.
        side_px: the scenes' side.
    """
    xp = namespace(seeds)
    numbers = iter(xp.unstack(uniform(seeds, Stream.PAPER, 48), axis=1))

    def u(low: float | Array = 0.0, high: float | Array = 1.0) -> Array:
        return low + (high - low) * next(numbers)

    def happens(share: float) -> Array:
        return next(numbers) < share

    def sometimes(share: float, value: Array) -> Array:
        return xp.where(happens(share), value, xp.zeros_like(value))

    nothing = xp.zeros_like(size_px)
    faintest = xp.where(
        size_px < _SMALL_PX, nothing + _FAINTEST_CONTRAST_OF_SMALL, nothing + FAINTEST_CONTRAST
    )
    contrast = xp.exp(u(xp.log(faintest), 0.0))
    bright_ink = happens(1 - _DARK_INK)
    ground = xp.where(bright_ink, u(0.0, 0.6), u(0.3, 1.0))
    # Other marks stay fainter than the ink: the truth of a picture is what can be seen.
    visible = contrast * xp.where(bright_ink, 1 - ground, ground)
    ink_half = xp.minimum(INK_PER_CANVAS * size_px, nothing + side_px / 2)
    least_half = _SHEET_PER_INK * ink_half + 3.0
    slack_x, slack_y = u(0.0, 80.0), u(0.0, 80.0)
    slack = xp.minimum(slack_x, slack_y)  # how far a sheet may lie off the ink's middle, at any angle
    return PaperParameters(
        contrast=contrast,
        bright_ink=bright_ink,
        ground=ground,
        gradient=sometimes(0.7, u(0.0, 0.35)),
        gradient_angle_rad=u(0.0, 2 * math.pi),
        shadow_depth=sometimes(0.3, u(0.1, 0.5)),
        shadow_angle_rad=u(0.0, 2 * math.pi),
        shadow_offset_px=u(-0.35, 0.35) * side_px,
        shadow_softness_px=xp.exp(u(0.0, math.log(15.0))),
        vignette=sometimes(0.3, u(0.1, 0.5)),
        texture=sometimes(0.6, u(0.0, 0.12)),
        grain_sigma=u(0.0, 0.25) * xp.minimum(visible, nothing + 0.2),
        line_depth=sometimes(0.28, u(0.1, 0.6)) * xp.minimum(contrast, nothing + 0.5),
        line_pitch_px=u(5.0, 20.0),
        line_offset_px=u(0.0, 20.0),
        line_width_px=u(0.4, 1.4),
        line_angle_rad=u(-0.15, 0.15),
        squared=happens(0.5),
        sheet=happens(0.22),
        sheet_x_px=centre_x_px + u(-0.75, 0.75) * slack,
        sheet_y_px=centre_y_px + u(-0.75, 0.75) * slack,
        sheet_half_width_px=least_half + slack_x,
        sheet_half_height_px=least_half + slack_y,
        sheet_angle_rad=sometimes(0.6, u(-_SHEET_TURN_RAD, _SHEET_TURN_RAD)),
        desk=u(0.0, 0.9) * u(),
        edge=happens(0.12),
        edge_x_px=centre_x_px,
        edge_y_px=centre_y_px,
        edge_distance_px=ink_half * math.sqrt(2) + 3.0 + u(0.0, 40.0),
        edge_angle_rad=u(0.0, 2 * math.pi),
        edge_level=u(),
        blur_sigma_px=sometimes(0.4, u(0.3, 1.0)) * xp.clip(0.05 * size_px, 0.0, 2.0),
        jpeg_step=sometimes(0.4, xp.exp(u(math.log(0.15), math.log(2.5)))) * xp.clip(4 * visible, 0.0, 1.0),
    )
