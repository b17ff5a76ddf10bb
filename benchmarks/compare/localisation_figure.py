"""The same twelve scenes with every method's box: a row for each method, a column for each scene."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image, ImageDraw, ImageFont
from torch import nn

from benchmarks.compare.baselines.common import Baseline
from benchmarks.compare.measure import draw_scenes
from models.contract import SCENE_SIDE_PX
from scenes.digits import Digits
from scenes.presets import find_preset

SHOWN = (("article", 8), ("cluttered-100", 4))
"""How many scenes of which preset; they are the first of a seed that nobody chose."""
_SEED = 2**49
_GAP, _TEXT_HEIGHT = 4, 16
_GREYS = 16
"""So few that a picture of noise stays small."""
BOX_COLOUR, TRUTH_COLOUR, WRONG_COLOUR = (255, 150, 40), (70, 210, 110), (240, 70, 90)

Row = tuple[str, Baseline, nn.Module, dict[str, dict[str, Any]]]


def draw_figure(rows: Sequence[Row], digits: Digits) -> Image.Image:
    """The picture: the true box in green, the found one in orange, or in red where the label is wrong.

    Args:
        rows: title, method, trained model, and the figures that hold the settings chosen for each preset.
        digits: whose scenes are shown.
    """
    cell = SCENE_SIDE_PX + _GAP
    columns = sum(count for _, count in SHOWN)
    canvas = Image.new("RGB", (columns * cell + _GAP, len(rows) * (cell + _TEXT_HEIGHT) + _GAP), "white")
    pen, font = ImageDraw.Draw(canvas), ImageFont.load_default(size=12)
    for line, (title, baseline, model, figures) in enumerate(rows):
        top = line * (cell + _TEXT_HEIGHT) + _TEXT_HEIGHT
        pen.text((_GAP, top - _TEXT_HEIGHT), title, fill="black", font=font)
        left = _GAP
        for preset, count in SHOWN:
            setting = baseline.settings.index(figures[preset][title]["settings"][0])
            (batch,) = draw_scenes(find_preset(preset), digits, seed=_SEED, scenes=count)
            said = baseline.answer(model, batch.pictures)
            right = said.probabilities.argmax(axis=1) == batch.labels
            for i in range(count):
                grey = np.rint(batch.pictures[i, 0] * ((_GREYS - 1) / 255)) * (255 // (_GREYS - 1))
                canvas.paste(Image.fromarray(grey.astype(np.uint8)), (left, top))
                _outline(pen, batch.boxes[i], left, top, TRUTH_COLOUR)
                _outline(pen, said.boxes[i, setting], left, top, BOX_COLOUR if right[i] else WRONG_COLOUR)
                left += cell
    return canvas.quantize(64, dither=Image.Dither.NONE)


def _outline(
    pen: ImageDraw.ImageDraw, box: np.ndarray, left: int, top: int, colour: tuple[int, int, int]
) -> None:
    """A box in a scene's own px, cut off at the scene's edge."""
    x, y, width, height = (float(value) for value in box)
    last = SCENE_SIDE_PX - 1
    corners = [min(max(value, 0.0), last) for value in (x, y, x + width - 1, y + height - 1)]
    low_x, low_y = corners[0], corners[1]
    high_x, high_y = max(corners[2], low_x), max(corners[3], low_y)
    pen.rectangle((left + low_x, top + low_y, left + high_x, top + high_y), outline=colour)
