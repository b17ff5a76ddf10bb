"""From colours to grey, so that ink which can be seen stays visible: as luma, but where luma hides it."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from PIL import Image

_SAMPLED_PX = 200
"""The side of what is looked at to choose: a sample of pixels says enough, and takes no time."""
_TAIL = 0.005
"""The share of pixels left out at both ends of a range: a few may be noise, the thinnest stroke has more."""
_TIMES_LUMA = 2.0
_LEAST_RANGE = 64
"""Luma stays where no channel has over twice its range, or none has a range that is more than noise."""


def to_grey(colours: Image.Image) -> Image.Image:
    """The luma of an RGB or RGBA picture (ITU-R 601), or the channel that shows over twice as much.

    Yellow on white differs by an eighth in luma, and by nearly everything in blue; red and green of one luma
    differ in both of theirs.
    """
    luma = colours.convert("L")
    sample = _sample(colours).convert("RGB")
    counts = sample.histogram()
    ranges = [_range(counts[start : start + 256]) for start in (0, 256, 512)]
    widest = max(ranges)
    if widest < _LEAST_RANGE or widest <= _TIMES_LUMA * _range(sample.convert("L").histogram()):
        return luma
    return colours.getchannel(ranges.index(widest))


def on_ground(colours: Image.Image) -> Image.Image:
    """The grey of an RGBA picture: transparent parts are white, but behind bright ink without a ground black.

    Ink without a ground is a picture that is transparent for the most part; it is bright where white would be
    nearer to it than black.
    """
    alpha, grey = colours.getchannel("A"), to_grey(colours)
    coverage = np.asarray(_sample(alpha), np.float32)
    opaque = float(coverage.sum())
    is_ink = opaque < 255 * coverage.size / 2
    is_bright = float((coverage * np.asarray(_sample(grey))).sum()) > 127.5 * opaque
    ground = Image.new("L", colours.size, 0 if is_ink and is_bright else 255)
    ground.paste(grey, mask=alpha)
    return ground


def _sample(picture: Image.Image) -> Image.Image:
    """Some of the picture's pixels, evenly spread, unchanged."""
    width, height = (min(side, _SAMPLED_PX) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.NEAREST)


def _range(counts: list[int]) -> int:
    """How far the values of a histogram reach, but for their tails."""
    up_to = np.array(list(accumulate(counts)))
    left_out = _TAIL * up_to[-1]
    first, last = np.searchsorted(up_to, (left_out, up_to[-1] - left_out), side="right")
    return int(last - first)
