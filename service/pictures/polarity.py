"""Whether ink is darker than its background; reported, but never used to read the picture."""

from __future__ import annotations

import math

import numpy as np

from models.pictures.letterbox import Box
from models.pictures.pixels import Grey

_MARGIN = 0.2
"""How far around the box the ground is looked at, in shares of the box's longer side: a narrow 1 nearly fills
its box, and would be taken for the ground of a box that only grew in its own proportions."""
_TAIL = 0.005
"""The share of pixels left out at both ends: a few may be noise, the thinnest stroke has more."""


def is_ink_dark(frame: Grey, box: Box) -> bool:
    """Whether the intensities around a box reach further from their median to the dark than to the bright.

    There is less ink than background, so the median is the background's, and the ink is the longer tail.

    Args:
        frame: intensities 0 to 255, uint8 `[height, width]`.
        box: where the ink is, in px of the frame; what lies outside it is not looked at.

    Returns:
        False also if both tails are equally long.
    """
    height, width = frame.shape
    margin = _MARGIN * max(box.width, box.height)
    columns = _within(box.x - margin, box.x + box.width + margin, width)
    rows = _within(box.y - margin, box.y + box.height + margin, height)
    up_to = np.cumsum(np.bincount(frame[rows, columns].ravel(), minlength=256))  # far faster than sorting
    count = int(up_to[-1])
    left_out = int(_TAIL * count)
    # Pixels by their rank; the median of an even number of pixels is the mean of the middle two.
    ranks = (left_out, (count - 1) // 2, count // 2, count - 1 - left_out)
    darkest, *middle, brightest = np.searchsorted(up_to, ranks, side="right").tolist()
    return bool(sum(middle) - 2 * darkest > 2 * brightest - sum(middle))


def _within(start: float, stop: float, size: int) -> slice:
    """The pixels that an interval touches, at least one."""
    first = min(max(math.floor(start), 0), size - 1)
    return slice(first, min(max(math.ceil(stop), first + 1), size))
