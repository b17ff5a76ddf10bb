"""Distributions of scenes by name. A range is (lowest, highest), both included; all draws are uniform."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeVar

T = TypeVar("T")

CANVAS_SIDE = 28
"""MNIST's canvas: the side, in its own pixels, that `size` scales."""


@dataclass(frozen=True)
class Preset:
    """One distribution of scenes.

    Lengths are in scene px, intensities and the noise's sigma in [0, 1], `digit_noise` is the share of the
    target's canvas pixels that is replaced. Clutter is either whole, smaller, rotated digits of other
    classes or raw `crop_side_px` crops of any digits. `whole_px` places the canvas on whole pixels.

    With `log_size` sizes are uniform by their logarithm. Where `ink_fits`, a canvas may reach beyond the
    scene as long as its ink does not. `clutter_per_size` bounds the clutter's canvases in sizes of the
    target's. `stroke` is the share of targets whose strokes are redrawn, thinner or thicker, and sharp
    (`scenes.render`); `on_paper` shows scenes as pictures of paper (`scenes.paper`).
    """

    name: str
    source: str
    side_px: int = 100
    size_px: tuple[float, float] = (28.0, 28.0)
    clutter: tuple[int, int] = (0, 0)
    clutter_size_px: tuple[float, float] = (10.0, 16.0)
    crops: int = 0
    crop_side_px: int = 8
    noise_sigma: tuple[float, float] = (0.0, 0.0)
    digit_noise: tuple[float, float] = (0.0, 0.0)
    whole_px: bool = False
    log_size: bool = False
    ink_fits: bool = False
    clutter_per_size: float = 1.0
    stroke: float = 0.0
    on_paper: bool = False


PRESETS = {
    preset.name: preset
    for preset in (
        Preset(
            name="article",
            source="the set of Adam Kosiorek's article: clutter digits, background and digit noise",
            size_px=(20.0, 48.0),
            clutter=(0, 8),
            noise_sigma=(0.0, 0.3),
            digit_noise=(0.0, 0.2),
        ),
        Preset(
            name="cluttered-100",
            source="DeepMind's cluttered MNIST: 28 px digit, 8 distractors of 8×8 px",
            crops=8,
            whole_px=True,
        ),
        Preset(
            name="cluttered-60",
            source="the 60×60 set of Mnih et al. 2014 (RAM): 28 px digit, 4 distractors of 8×8 px",
            side_px=60,
            crops=4,
            whole_px=True,
        ),
        Preset(name="clean", source="a 28 px digit alone on 100×100", whole_px=True),
        Preset(
            name="wide",
            source="all that /synthesize allows: larger digits, more clutter, more noise",
            size_px=(20.0, 64.0),
            clutter=(0, 16),
            noise_sigma=(0.0, 0.4),
            digit_noise=(0.0, 0.3),
        ),
        Preset(
            name="paper",
            source="pictures of paper, boards, screens, sheets on desks; a digit of 7 to 95 % of the side",
            size_px=(10.0, 130.0),
            clutter=(0, 4),
            log_size=True,
            ink_fits=True,
            clutter_per_size=0.5,
            stroke=0.7,
            on_paper=True,
        ),
    )
}


def find_preset(name: str) -> Preset:
    """The preset of that name.

    Raises:
        ValueError: there is none; the message names those that there are.
    """
    return find_by_name("scene preset", PRESETS, name)


def find_by_name(kind: str, presets: Mapping[str, T], name: str) -> T:
    """The preset of a name, of scenes or of training.

    Raises:
        ValueError: there is none. The message names the `kind` and the presets that there are.
    """
    try:
        return presets[name]
    except KeyError:
        raise ValueError(f"{kind}: expected one of {', '.join(presets)}, got {name!r}") from None
