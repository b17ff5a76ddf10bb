"""Canvases that show no digit: letters, signs and doodles, so that more than blank paper has none.

Letters and signs are drawn in the fonts that matplotlib brings along; those that a hand writes like a digit
are left out. Doodles are smooth random strokes. Both are made from a seed, and later varied like handwriting.
"""

from __future__ import annotations

from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

from scenes.presets import CANVAS_SIDE

_SIGNS = "ACEFHKMNPRTUVWXacdefhkmnptuvwx#%&*+=@~^ΔΛΞΠΣΦΨΩηκλμπφχψωЖЙЛФЦШЮ"
"""Without those that a hand writes like 0 (O, Q, D, Θ), 1 (I, l, J, !), 2 (Z, ?), 3 (Э, ξ, }), 4 (Y), 5 (S),
6 (G, b), 7 (Γ, >), 8 (B, β) and 9 (g, q)."""
_FONTS = (
    "DejaVuSans",
    "DejaVuSans-Bold",
    "DejaVuSans-Oblique",
    "DejaVuSansMono",
    "DejaVuSerif",
    "DejaVuSerif-Italic",
)
_INK_PX = 20
"""MNIST's digits are 20 px long in their canvas."""


def non_digits(count: int, *, seed: int) -> npt.NDArray[np.uint8]:
    """Bright ink on dark canvases, half of them letters and signs, half doodles: uint8 `[count, 28, 28]`."""
    random = np.random.default_rng(seed)
    fonts = [_font(name) for name in _FONTS]
    return np.stack([_sign(random, fonts) if i % 2 else _doodle(random) for i in range(count)])


def _font(name: str) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", 160)


def _sign(random: np.random.Generator, fonts: list[ImageFont.FreeTypeFont]) -> npt.NDArray[np.uint8]:
    font, sign = fonts[random.integers(len(fonts))], _SIGNS[random.integers(len(_SIGNS))]
    picture = Image.new("L", (320, 320))
    ImageDraw.Draw(picture).text((160, 160), sign, fill=255, font=font, anchor="mm")
    return _in_canvas(picture)


def _doodle(random: np.random.Generator) -> npt.NDArray[np.uint8]:
    """One to five strokes, each a curve through random points, of one width; a single one has many turns."""
    picture = Image.new("L", (320, 320))
    pen = ImageDraw.Draw(picture)
    width = int(random.integers(10, 36))
    strokes = random.integers(1, 6)
    for _ in range(strokes):
        points = random.uniform(40, 280, (random.integers(2, 7) if strokes > 1 else 6, 2))
        at = np.linspace(0, len(points) - 1, 40)
        curve = np.stack([np.interp(at, range(len(points)), points[:, axis]) for axis in (0, 1)], axis=1)
        for _ in range(random.integers(0, 12)):  # rounds the corners
            curve[1:-1] = (curve[:-2] + curve[1:-1] + curve[2:]) / 3
        for x, y in curve:
            pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
        pen.line([(float(x), float(y)) for x, y in curve], fill=255, width=width)
    return _in_canvas(picture)


def _in_canvas(picture: Image.Image) -> npt.NDArray[np.uint8]:
    """The ink as MNIST has it: 20 px long, in the middle of a canvas."""
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
