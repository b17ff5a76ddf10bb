"""Canvases that show no digit: letters, words, doodles, shapes. Pictures without a digit are not all blank.

`trainer.data.drawings` draws them from a seed. Later they are augmented like digits.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from PIL import Image

from scenes.presets import CANVAS_SIDE
from trainer.data.drawings import DRAWINGS

_INK_PX = 20
"""MNIST's digits are 20 px long in their canvas."""


def non_digits(count: int, *, seed: int) -> npt.NDArray[np.uint8]:
    """Bright ink on dark canvases, of each kind of drawing as many: uint8 `[count, 28, 28]`."""
    random = np.random.default_rng(seed)
    return np.stack([_in_canvas(DRAWINGS[i % len(DRAWINGS)](random)) for i in range(count)])


def _in_canvas(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """The ink as in MNIST: 20 px long, in the middle of a canvas."""
    box = picture.getbbox()
    if box is None:
        raise ValueError("picture: expected ink, got none")
    ink = picture.crop(box)
    scale = _INK_PX / max(ink.size)
    ink = ink.resize(
        (max(1, round(ink.width * scale)), max(1, round(ink.height * scale))), Image.Resampling.BOX
    )
    canvas = Image.new("L", (CANVAS_SIDE, CANVAS_SIDE))
    canvas.paste(ink, ((CANVAS_SIDE - ink.width) // 2, (CANVAS_SIDE - ink.height) // 2))
    return np.asarray(canvas)
