"""From colours to grey, so that visible ink stays visible: by luma, except where luma hides it."""

from __future__ import annotations

from itertools import accumulate

import numpy as np
from PIL import Image

_SAMPLED_PX = 200
"""Side of the sample of pixels that decides: a sample is enough, and fast."""
_TAIL = 0.005
"""Share of pixels ignored at both ends of a range: a few may be noise; the thinnest stroke has more."""
_TIMES_LUMA = 2.0
_LEAST_RANGE = 64
"""Luma is used unless a channel has over twice its range, and a range that is more than noise."""


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
    """The grey of an RGBA picture on white, or on black for bright ink without a background.

    Ink without a background is a picture that is mostly transparent. It is bright if it is nearer to white
    than to black.
    """
    alpha, grey = colours.getchannel("A"), to_grey(colours)
    ground = Image.new("L", colours.size, _ground(alpha, grey))
    ground.paste(grey, mask=alpha)
    return ground


def coloured_on_ground(colours: Image.Image) -> Image.Image:
    """The RGB of an RGBA picture, on the same ground as `on_ground` gives it."""
    alpha = colours.getchannel("A")
    ground = Image.new("RGB", colours.size, (_ground(alpha, to_grey(colours)),) * 3)
    ground.paste(colours.convert("RGB"), mask=alpha)
    return ground


def _ground(alpha: Image.Image, grey: Image.Image) -> int:
    coverage = np.asarray(_sample(alpha), np.float32)
    opaque = float(coverage.sum())
    is_ink = opaque < 255 * coverage.size / 2
    is_bright = float((coverage * np.asarray(_sample(grey))).sum()) > 127.5 * opaque
    return 0 if is_ink and is_bright else 255


def _sample(picture: Image.Image) -> Image.Image:
    """Some of the picture's pixels, evenly spread, unchanged."""
    width, height = (min(side, _SAMPLED_PX) for side in picture.size)
    return picture.resize((width, height), Image.Resampling.NEAREST)


def _range(counts: list[int]) -> int:
    """The range of a histogram's values, without its tails."""
    up_to = np.array(list(accumulate(counts)))
    left_out = _TAIL * up_to[-1]
    first, last = np.searchsorted(up_to, (left_out, up_to[-1] - left_out), side="right")
    return int(last - first)
