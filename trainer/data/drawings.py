"""Draw things that are no digits: signs, words, doodles, line figures, outlines, filled shapes.

Each function draws one thing, bright on dark, into a picture of 320×320 px, from a random generator alone.
Things that could be a written digit are left out: a plain circle is a 0, a straight line a 1, an angle a 7.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import TypeVar

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

SIDE = 320
SIGNS = "ACEFHKMNPRTUVWXacdefhkmnptuvwx#%&*+=@~^ΔΛΞΠΣΦΨΩηκλμπφχψωЖЙЛФЦШЮ"
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

Random = np.random.Generator
T = TypeVar("T")
Points = npt.NDArray[np.float64]  # [n, 2], x and y in px


def sign(random: Random) -> Image.Image:
    """One letter or sign."""
    picture, pen = _empty()
    pen.text(
        (SIDE / 2, SIDE / 2),
        _some(random, SIGNS),
        fill=255,
        font=_font(_some(random, _FONTS), 160),
        anchor="mm",
    )
    return picture


def word(random: Random) -> Image.Image:
    """One to four lines of two to seven letters."""
    picture, pen = _empty()
    letters, lines = int(random.integers(2, 8)), int(random.integers(1, 5))
    text = "\n".join("".join(_some(random, SIGNS) for _ in range(letters)) for _ in range(lines))
    size = 400 // max(letters, 2 * lines)
    pen.multiline_text(
        (SIDE / 2, SIDE / 2), text, fill=255, font=_font(_some(random, _FONTS), size), anchor="mm"
    )
    return picture


def scrawl(random: Random) -> Image.Image:
    """Two to five curves, or a single one with many turns."""
    picture, pen = _empty()
    width = int(random.integers(8, 36))
    strokes = random.integers(1, 6)
    for _ in range(strokes):
        points = random.uniform(40, 280, (random.integers(2, 7) if strokes > 1 else 6, 2))
        _stroke(pen, _rounded(points, int(random.integers(0, 12))), width)
    return picture


def figure(random: Random) -> Image.Image:
    """A star, a zigzag, a spiral, a house, an arrow, a grid, a polygon with its diagonals, a face."""
    picture, pen = _empty()
    width = int(random.integers(6, 26))
    draw = _some(random, (_star, _zigzag, _spiral, _house, _arrow, _grid, _web, _face))
    for points in _turned(draw(random), random):
        _stroke(pen, points, width)
    return picture


def shape(random: Random) -> Image.Image:
    """A filled shape, or several of different brightness: an ellipse, a polygon, a blob, a hand."""
    picture, pen = _empty()
    for i in range(int(random.integers(1, 4)) if random.random() < 0.5 else 1):
        outline = _some(random, (_ellipse, _rectangle, _polygon, _blob, _hand))(random)
        (points,) = _turned([outline], random)
        if i:
            points = points * random.uniform(0.3, 0.8) + random.uniform(-40, 180, 2)
        pen.polygon(
            [(float(x), float(y)) for x, y in points], fill=255 if not i else int(random.integers(60, 256))
        )
    return picture


def compound(random: Random) -> Image.Image:
    """Three to six outlines and lines that touch or cross: one large outline, the others along it."""
    picture, pen = _empty()
    width = int(random.integers(12, 28))
    outline = _some(random, (_ellipse, _rectangle, _polygon, _blob))(random)
    (points,) = _turned([np.concatenate([outline, outline[:1]])], random)
    _stroke(pen, points, width)
    for _ in range(int(random.integers(2, 6))):
        part = _some(random, (_ring, _bow, _line))(random) * random.uniform(30, 110)
        _stroke(pen, part + points[int(random.integers(len(points)))], width)
    return picture


def rings(random: Random) -> Image.Image:
    """Three to seven rings side by side or around a middle, and up to two lines."""
    picture, pen = _empty()
    width, count = int(random.integers(12, 26)), int(random.integers(3, 8))
    around, radius = random.random() < 0.5, random.uniform(0.2, 0.6)
    places = 0.6 * _circle(count) if around else np.stack([np.linspace(-1, 1, count)] * 2, axis=1) * [1, 0]
    parts = [radius * _ring(random) + place for place in places]
    lines = [_line(random) for _ in range(int(random.integers(0, 3)))]
    for points in _turned([*parts, *lines], random):
        _stroke(pen, points, width)
    return picture


def stripes(random: Random) -> Image.Image:
    """Wavy lines side by side, as of wood, cloth or hair."""
    picture, pen = _empty()
    count, along = int(random.integers(4, 13)), np.linspace(-1.3, 1.3, 40)
    wave = random.uniform(0, 0.2) * np.sin(along * random.uniform(1, 6) + random.uniform(0, 7))
    lines = [np.stack([along, at + wave], axis=1) for at in np.linspace(-1.2, 1.2, count)]
    for points in _turned(lines, random):
        _stroke(pen, points, int(random.integers(8, 15)))
    return picture


DRAWINGS: tuple[Callable[[Random], Image.Image], ...] = (
    sign,
    scrawl,
    shape,
    figure,
    sign,
    scrawl,
    shape,
    word,
    compound,
    rings,
    compound,
    stripes,
)
"""Drawn in equal numbers; signs, doodles, shapes and compounds are in the list twice."""


def _empty() -> tuple[Image.Image, ImageDraw.ImageDraw]:
    picture = Image.new("L", (SIDE, SIDE))
    return picture, ImageDraw.Draw(picture)


def _some(random: Random, choices: Sequence[T]) -> T:
    return choices[int(random.integers(len(choices)))]


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", size)


def _stroke(pen: ImageDraw.ImageDraw, points: Points, width: int) -> None:
    for x, y in points:
        pen.ellipse((x - width / 2, y - width / 2, x + width / 2, y + width / 2), fill=255)
    pen.line([(float(x), float(y)) for x, y in points], fill=255, width=width)


def _rounded(points: Points, rounds: int) -> Points:
    """A curve of 40 points along these; the more rounds, the rounder its corners."""
    at = np.linspace(0, len(points) - 1, 40)
    curve = np.stack([np.interp(at, range(len(points)), points[:, axis]) for axis in (0, 1)], axis=1)
    for _ in range(rounds):
        curve[1:-1] = (curve[:-2] + curve[1:-1] + curve[2:]) / 3
    return curve


def _turned(strokes: list[Points], random: Random) -> list[Points]:
    """Points in [−1, 1] turned, made narrower, shaken a little, in px."""
    angle, narrow = random.uniform(0, 2 * math.pi), random.uniform(0.6, 1.0)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    scale = np.array([narrow, 1.0]) * 120
    return [(each * scale + random.normal(0, 3, each.shape)) @ turn.T + SIDE / 2 for each in strokes]


def _circle(points: int, radius: float | npt.NDArray[np.float64] = 1.0) -> Points:
    angles = np.linspace(0, 2 * math.pi, points, endpoint=False)
    return np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)


def _star(random: Random) -> list[Points]:
    rays = int(random.integers(4, 9))
    radius = np.where(np.arange(2 * rays) % 2, random.uniform(0.3, 0.6), 1.0)
    outline = _circle(2 * rays, radius)
    return [np.concatenate([outline, outline[:1]])]


def _zigzag(random: Random) -> list[Points]:
    turns = int(random.integers(5, 12))
    return [np.stack([np.linspace(-1, 1, turns), 0.5 * (-1.0) ** np.arange(turns)], axis=1)]


def _spiral(random: Random) -> list[Points]:
    along = np.linspace(0, 1, 120)
    angle = along * 2 * math.pi * random.uniform(2.5, 5)
    return [np.stack([along * np.cos(angle), along * np.sin(angle)], axis=1)]


def _house(random: Random) -> list[Points]:
    roof = random.uniform(-1, -0.5)
    walls = np.array([[-0.7, 1], [-0.7, -0.2], [0, roof], [0.7, -0.2], [0.7, 1], [-0.7, 1]])
    across = np.array([[-0.7, -0.2], [0.7, -0.2]])
    return [walls, across, np.array([[-0.7, 1], [0.7, -0.2]])][: int(random.integers(2, 4))]


def _arrow(random: Random) -> list[Points]:
    head = random.uniform(0.4, 0.7)
    return [np.array([[0, 1.0], [0, -1.0]]), np.array([[-head, -1 + head], [0, -1.0], [head, -1 + head]])]


def _grid(random: Random) -> list[Points]:
    rows, columns = int(random.integers(2, 6)), int(random.integers(0, 5))
    across = [np.array([[-1, at], [1, at]]) for at in np.linspace(-1, 1, rows)]
    return across + [np.array([[at, -1], [at, 1]]) for at in np.linspace(-1, 1, columns)]


def _web(random: Random) -> list[Points]:
    corners = _circle(int(random.integers(4, 7)))
    diagonals = [np.stack([corners[0], corner]) for corner in corners[2:-1]]
    return [np.concatenate([corners, corners[:1]]), *diagonals]


def _face(random: Random) -> list[Points]:
    eye, left, right = 0.08 * _circle(8), np.array([-0.35, -0.3]), np.array([0.35, -0.3])
    smile = np.stack(
        [np.linspace(-0.5, 0.5, 12), 0.4 + random.uniform(-0.3, 0.3) * np.linspace(-1, 1, 12) ** 2], axis=1
    )
    rim = _circle(40)
    return [np.concatenate([rim, rim[:1]]), eye + left, eye + right, smile]


def _ellipse(_: Random) -> Points:
    return _circle(60)


def _rectangle(_: Random) -> Points:
    return np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]], dtype=np.float64)


def _polygon(random: Random) -> Points:
    corners = int(random.integers(3, 8))
    return _circle(corners, random.uniform(0.5, 1.0, corners))


def _ring(random: Random) -> Points:
    """A closed oval around 0."""
    return np.concatenate([(circle := _circle(24) * [1.0, random.uniform(0.5, 1)]), circle[:1]])


def _bow(random: Random) -> Points:
    """A third to two thirds of a circle, through 0."""
    angles = np.linspace(0, random.uniform(2, 4), 24) + random.uniform(0, 2 * math.pi)
    arc = np.stack([np.cos(angles), np.sin(angles)], axis=1)
    return np.asarray(arc - arc[0])


def _line(random: Random) -> Points:
    """A straight line from 0."""
    angle = random.uniform(0, 2 * math.pi)
    return np.array([[0.0, 0.0], [1.5 * math.cos(angle), 1.5 * math.sin(angle)]])


def _blob(random: Random) -> Points:
    angles = np.linspace(0, 2 * math.pi, 80, endpoint=False)
    waves = sum(random.normal(0, 0.3 / k) * np.cos(k * angles + random.uniform(0, 7)) for k in range(2, 7))
    return _circle(80, np.clip(0.8 + waves, 0.2, 1.3))


def _hand(random: Random) -> Points:
    """A palm and two to five fingers, as the outline of their reach in each direction."""
    angles = np.linspace(0, 2 * math.pi, 160, endpoint=False)
    reach = np.full(160, 0.5)
    fingers = int(random.integers(2, 6))
    for k in range(fingers):
        finger = -math.pi / 2 + 0.38 * (k - (fingers - 1) / 2) + random.normal(0, 0.03)
        off = np.abs((angles - finger + math.pi) % (2 * math.pi) - math.pi)
        reach = np.maximum(reach, np.where(off < 0.12, random.uniform(0.9, 1.3), 0.5))
    wrist = np.abs((angles - math.pi / 2 + math.pi) % (2 * math.pi) - math.pi)
    return _circle(160, np.where(wrist < 0.35, 1.4, reach))
