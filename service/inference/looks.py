"""Which parts of a picture the model sees: coarse to fine, in the picture's own pixels.

The model sees a frame of 100 px, and reads digits best that fill about a third of it. A picture may have any
size, and its digit 6 to 95 % of it. So a picture gets up to three rounds of looks:

1. The whole picture, and the same from twice as far: a digit that fills the picture is then half as large,
   and read better. A whole strip would be only a few px high, so windows along it are shown instead.
2. If no digit was found and the picture has finer pixels: windows of half the side.
3. Around the box that was found: a window in which it has the size that the model reads best.

Windows overlap by half, so anything up to half as large as a window is whole in one of them. Pictures of at
most 100 px a side lose nothing in the frame, and get one look.
"""

from __future__ import annotations

import math
from collections.abc import Generator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from models.contract import SCENE_SIDE_PX
from models.pictures.letterbox import Box, Placement, place_whole
from models.pictures.pixels import Grey
from service.inference.predictor import Prediction

MOST_LOOKS = 19
"""Most looks at one picture: a strip of 8 : 1 without a digit gets 6 windows, 12 finer ones, one more."""

_FURTHER = 2.0
"""How much further away the second look at the whole picture is. Digits of 40 to 88 % of the picture then
have a size that the model reads well."""

PRESENT = 0.5
"""From this probability on a digit counts as found; it is calibrated for half of all pictures showing one."""

_STRIP = 4.0
"""A picture is a strip over this ratio of its sides: the whole of it would be under 25 px high in a frame."""
_STRIP_WINDOW = 2.5
"""A window of a strip, in the strip's shorter sides: a digit as high as the strip is then 40 px high."""
_MOST_STRIP_WINDOWS = 17
"""Of a strip over 22.5 : 1 the windows are larger; of 17 that overlap by half, each covers a ninth of it."""

_FINER_PX = 150
"""Windows over this have finer pixels to show: halves of smaller ones would mostly be enlarged."""
_MOST_FINER_WINDOWS = 12
"""A square picture needs 9. A strip that needs more gets none: its first windows were close enough."""

_READ_BEST_PX = 34.0
"""The longer side in a closer look, px: a third of the frame, as in most training scenes."""
_LEAST_WINDOW_PX = 34.0
"""The smallest window: one of fewer pixels would be enlarged more than three times and show no more."""

_ROUNDING = 1e-9


class Look(NamedTuple):
    """One frame of a picture, and the model's outputs for it."""

    placement: Placement
    frame: Grey  # [100, 100]
    prediction: Prediction  # its arrays lack the batch axis

    @property
    def digit_present(self) -> float:
        """The probability that this frame shows a digit."""
        return float(self.prediction.digit_present)

    @property
    def certainty(self) -> float:
        """The probability that this frame shows a digit, and that the most probable class is right."""
        return self.digit_present * float(self.prediction.probabilities.max())

    def without_faint_edge(self, edge_per_side: float) -> Look:
        """The look without the box's faint edge, if the frame shows its picture shrunk.

        MNIST's digits are interpolated from 28 px, so that ink, as evaluation defines it, fades beyond the
        Gaussian's box; the model adds that edge. Strokes of a picture that has finer pixels than the frame
        are sharp there: they end where the Gaussian's box does. No box of a picture was fitted to this.

        Args:
            edge_per_side: the edge that was added at each end, in longer sides of the Gaussian's box.
        """
        if self.placement.frame.width <= SCENE_SIDE_PX:
            return self
        box = self.prediction.box
        edge = edge_per_side * box[2:].max() / (1 + 2 * edge_per_side)
        ends = np.array([edge, edge, -2 * edge, -2 * edge], box.dtype)
        return self._replace(prediction=self.prediction._replace(box=box + ends))


Search = Generator[list[Placement], list[Look], Look]
"""Yields rounds of placements, receives the looks at them, returns the look that answers."""


def search(width_px: int, height_px: int) -> Search:
    """Search a picture of that size; see the module for the rules."""
    best = _most_certain((yield _first_round(width_px, height_px)))
    if max(width_px, height_px) <= SCENE_SIDE_PX:
        return best
    if best.digit_present < PRESENT:
        # The first look stays unless a window is more certain of a digit.
        finer = _second_round(best.placement)
        best = _most_certain([best, *(yield finer)]) if finer else best
    closer = _closer(best)
    if closer is not None:
        (look,) = yield [closer]
        if look.digit_present >= min(PRESENT, best.digit_present):
            best = look
    return best


def _most_certain(looks: Sequence[Look]) -> Look:
    """The look with the most certain digit; of equal ones the first."""
    return max(looks, key=lambda look: look.certainty)


def _first_round(width_px: int, height_px: int) -> list[Placement]:
    longer, shorter = max(width_px, height_px), min(width_px, height_px)
    whole = place_whole(width_px, height_px, SCENE_SIDE_PX)
    if longer <= SCENE_SIDE_PX:
        return [whole]
    if longer <= _STRIP * shorter:
        return [whole, _around(whole, _FURTHER * longer)]
    widest = 2 * longer / (_MOST_STRIP_WINDOWS + 1)
    return _tiles(width_px, height_px, max(_STRIP_WINDOW * shorter, widest, _LEAST_WINDOW_PX))


def _second_round(first: Placement) -> list[Placement]:
    # A look from further away shows nothing finer, so the windows are halves of the nearer look.
    side = min(_side_px(first), max(first.width_px, first.height_px))
    tiles = _tiles(first.width_px, first.height_px, side / 2) if side > _FINER_PX else []
    return tiles if len(tiles) <= _MOST_FINER_WINDOWS else []


def _closer(look: Look) -> Placement | None:
    """The window around a box that was found in a shrunk picture."""
    placement = look.placement
    shrunk_by = _side_px(placement) / SCENE_SIDE_PX
    box = placement.box_in_picture(Box(*look.prediction.box.tolist()))
    longer = max(box.width, box.height)
    if shrunk_by <= 1:
        return None
    side = max(longer * SCENE_SIDE_PX / _READ_BEST_PX, _LEAST_WINDOW_PX)
    x, y = box.x + (box.width - side) / 2, box.y + (box.height - side) / 2
    return replace(placement, frame=Box(x, y, side, side))


def _around(whole: Placement, side: float) -> Placement:
    """A square window around the middle of a picture."""
    x, y = (whole.width_px - side) / 2, (whole.height_px - side) / 2
    return replace(whole, frame=Box(x, y, side, side))


def _side_px(placement: Placement) -> float:
    """The longer side of what the frame covers; rounding makes those of a whole picture differ a little."""
    return max(placement.frame.width, placement.frame.height)


def _tiles(width_px: int, height_px: int, side: float) -> list[Placement]:
    """Square windows that overlap by half or more and together cover a picture, row by row."""
    return [
        Placement(width_px, height_px, Box(x, y, side, side), SCENE_SIDE_PX)
        for y in _starts(height_px, side)
        for x in _starts(width_px, side)
    ]


def _starts(extent: int, side: float) -> list[float]:
    """Where windows start along one axis: evenly from edge to edge; a single one is centred."""
    rest = extent - side
    if rest <= 0:
        return [rest / 2]
    steps = math.ceil(rest / (side / 2) - _ROUNDING)
    return [rest * step / steps for step in range(steps + 1)]
