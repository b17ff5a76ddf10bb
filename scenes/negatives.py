"""Makes pictures that show no digit, to measure who calls them one.

Ten kinds: blank and ruled pages, cards on a desk, desks, things on them, textures, letters, lines of text,
doodles, hands. They are drawn from a seed, not photographed, by other code and in other fonts than what
training shows. With their `labels.csv` the folder is one for `python -m benchmarks photos`.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path

import matplotlib
import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFilter, ImageFont

LABELS_NAME = "labels.csv"
"""The name that `python -m benchmarks photos` looks for."""
WIDTH, HEIGHT = 480, 640
_FONTS = ("STIXGeneral", "STIXGeneralBol", "STIXGeneralItalic", "cmss10", "cmtt10")
_LETTERS = "AEFHKMNPRTWXadefhkmrtwx&#%"
_WORDS = ("the", "quick", "fox", "jumps", "over", "lazy", "dogs", "and", "runs", "away", "from", "nobody")

Random = np.random.Generator
Field = npt.NDArray[np.float64]  # [height, width]


def blank(random: Random) -> Image.Image:
    """A blank page, lit unevenly."""
    return _tinted(_page(random), random)


def ruled(random: Random) -> Image.Image:
    """A page with lines or squares."""
    page, pitch = _page(random), int(random.integers(14, 40))
    page[::pitch] *= 0.8
    page[1::pitch] *= 0.8
    if random.random() < 0.5:
        page[:, ::pitch] *= 0.8
    return _tinted(page, random)


def card(random: Random) -> Image.Image:
    """A blank card, turned a little, on a desk."""
    desk_, (width, height) = desk(random), (int(random.uniform(200, 320)), int(random.uniform(260, 420)))
    sheet = _tinted(_page(random, width, height), random).convert("RGBA")
    sheet = sheet.rotate(random.uniform(-15, 15), expand=True, resample=Image.Resampling.BICUBIC)
    desk_.paste(sheet, (int(random.uniform(20, 120)), int(random.uniform(20, 120))), sheet)
    return desk_.filter(ImageFilter.GaussianBlur(0.8))


def desk(random: Random) -> Image.Image:
    """Grained wood."""
    y, x = np.mgrid[:HEIGHT, :WIDTH]
    pitch, bend = random.uniform(0.06, 0.24), random.uniform(0, 2 * math.pi)
    grain = 0.15 * np.sin(x * pitch + 4 * np.sin(y * pitch / 15 + bend))
    grain += 0.08 * _smooth(random, WIDTH, HEIGHT, -1, 1, int(random.integers(6, 60)))
    level = random.uniform(60, 160) * (1 + grain) + random.normal(0, 4, (HEIGHT, WIDTH))
    return _picture(level[..., None] * np.array([1.15, 0.9, 0.65]))


def things(random: Random) -> Image.Image:
    """One to four things of one colour each on a desk."""
    picture = desk(random)
    pen = ImageDraw.Draw(picture)
    for _ in range(int(random.integers(1, 5))):
        x, y, (width, height) = random.uniform(0, 400), random.uniform(0, 560), random.uniform(60, 220, 2)
        draw = pen.ellipse if random.random() < 0.4 else pen.rectangle
        draw((x, y, x + width, y + height), fill=_colour(random, 255))
    return picture.filter(ImageFilter.GaussianBlur(1))


def texture(random: Random) -> Image.Image:
    """Stone, cloth, a wall: changes of several sizes."""
    field = np.full((HEIGHT, WIDTH), random.uniform(60, 190))
    for cells in (4, 12, 40, 120):
        field += random.uniform(5, 40) * _smooth(random, WIDTH, HEIGHT, -1, 1, cells)
    return _tinted(field, random, 0.2)


def letter(random: Random) -> Image.Image:
    """A letter that no hand writes like a digit."""
    picture = blank(random)
    font = _font(str(random.choice(_FONTS)), int(random.integers(120, 420)))
    sign = str(random.choice(list(_LETTERS)))
    centre, colour = (WIDTH / 2, HEIGHT / 2), _colour(random, 90)
    ImageDraw.Draw(picture).text(centre, sign, fill=colour, font=font, anchor="mm")
    return picture


def printed(random: Random) -> Image.Image:
    """A printed page."""
    picture = blank(random)
    font, pen = _font(str(random.choice(_FONTS)), int(random.integers(18, 36))), ImageDraw.Draw(picture)
    for y in range(60, 580, 48):
        pen.text((30, y), " ".join(random.choice(_WORDS, 6)), fill=(30, 30, 30), font=font)
    return picture


def doodle(random: Random) -> Image.Image:
    """A flower, a tree, a fish, a cup, a heart or a scribble, by a pen."""
    picture = blank(random)
    pen, colour, width = ImageDraw.Draw(picture), _colour(random, 120), int(random.integers(4, 14))
    strokes = _DOODLES[int(random.integers(len(_DOODLES)))](random)
    scale, angle = random.uniform(60, 200), random.uniform(-0.3, 0.3)
    turn = np.array([[math.cos(angle), -math.sin(angle)], [math.sin(angle), math.cos(angle)]])
    for stroke in strokes:
        points = (scale * stroke) @ turn.T + [WIDTH / 2, HEIGHT / 2] + random.normal(0, 1, stroke.shape)
        pen.line([(float(x), float(y)) for x, y in points], fill=colour, width=width, joint="curve")
    return picture.filter(ImageFilter.GaussianBlur(0.8))


def hand(random: Random) -> Image.Image:
    """A hand from above, on a desk or a page."""
    ground = (desk if random.random() < 0.5 else blank)(random)
    mask = Image.new("L", ground.size)
    pen, (x, y) = ImageDraw.Draw(mask), (random.uniform(160, 320), random.uniform(350, 480))
    pen.ellipse((x - 90, y - 100, x + 90, y + 110), fill=255)
    pen.rectangle((x - 60, y + 60, x + 60, HEIGHT), fill=255)
    for finger in range(5):
        angle = -math.pi / 2 + (finger - 2) * 0.33 + random.normal(0, 0.05)
        reach = 80 + random.uniform(130, 190) * (0.75 if finger in {0, 4} else 1)
        tip = (x + reach * math.cos(angle), y + reach * math.sin(angle))
        pen.line([(x + 60 * math.cos(angle), y + 60 * math.sin(angle)), tip], fill=255, width=38)
        pen.ellipse((tip[0] - 19, tip[1] - 19, tip[0] + 19, tip[1] + 19), fill=255)
    skin = random.uniform(0.35, 1) * np.array([235, 190, 160])
    skin = skin * _smooth(random, WIDTH, HEIGHT, 0.8, 1.1, 4)[..., None]
    ground.paste(_picture(skin), (0, 0), mask.filter(ImageFilter.GaussianBlur(2)))
    return ground


KINDS: tuple[Callable[[Random], Image.Image], ...] = (
    *(blank, ruled, card, desk, things),
    *(texture, letter, printed, doodle, hand),
)


def make(folder: Path, count: int, seed: int) -> int:
    """Draw `count` pictures of each kind and their `labels.csv` into a new folder: how many.

    Raises:
        OSError: the folder is there already, or cannot be made.
    """
    folder.mkdir(parents=True)
    with (folder / LABELS_NAME).open("w", newline="", encoding="utf-8") as lines:
        rows = csv.writer(lines)
        rows.writerow(("file", "kind", "label"))
        for number, kind in enumerate(KINDS):
            for i in range(count):
                name = f"{kind.__name__}-{i}.png"
                kind(np.random.default_rng([seed, number, i])).save(folder / name)
                rows.writerow((name, kind.__name__, ""))
    return count * len(KINDS)


def _page(random: Random, width: int = WIDTH, height: int = HEIGHT) -> Field:
    light = _smooth(random, width, height, 0.8, 1.05, 3)
    return random.uniform(120, 250) * light + random.normal(0, random.uniform(0, 5), (height, width))


def _smooth(random: Random, width: int, height: int, low: float, high: float, cells: int) -> Field:
    grid = Image.fromarray(random.uniform(low, high, (cells, cells)).astype(np.float32))
    return np.asarray(grid.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float64)


def _picture(levels: npt.NDArray[np.float64]) -> Image.Image:
    return Image.fromarray(levels.clip(0, 255).astype(np.uint8))


def _tinted(field: Field, random: Random, tint: float = 0.06) -> Image.Image:
    return _picture(field[..., None] * (1 + random.uniform(-tint, tint, 3)))


def _colour(random: Random, brightest: int) -> tuple[int, ...]:
    return tuple(int(each) for each in random.integers(0, brightest, 3))


@cache
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(Path(matplotlib.get_data_path()) / "fonts" / "ttf" / f"{name}.ttf", size)


def _arc(start: float, stop: float, x: float = 0.0, y: float = 0.0, radius: float = 1.0) -> Field:
    angles = np.linspace(start, stop, 30)
    return np.stack([x + radius * np.cos(angles), y + radius * np.sin(angles)], axis=1)


def _flower(random: Random) -> list[Field]:
    petals = int(random.integers(4, 8))
    ring = [
        _arc(0, 2 * math.pi, 0.5 * math.cos(a), 0.5 * math.sin(a) - 0.4, 0.28)
        for a in np.linspace(0, 2 * math.pi, petals, endpoint=False)
    ]
    return [*ring, _arc(0, 2 * math.pi, 0, -0.4, 0.2), np.array([[0, 0.3], [0.1, 1.4]])]


def _tree(random: Random) -> list[Field]:
    twigs = [
        np.array([[0, y], [side * random.uniform(0.3, 0.8), y - random.uniform(0.3, 0.6)]])
        for y in np.linspace(-0.6, 0.6, 4)
        for side in (-1, 1)
    ]
    return [np.array([[0, 1.2], [0, -1.2]]), *twigs]


def _fish(_: Random) -> list[Field]:
    body = np.array(
        [[-1, 0], [-0.4, -0.5], [0.4, -0.35], [0.8, 0], [1.3, -0.4], [1.3, 0.4], [0.8, 0], [0.4, 0.35]]
    )
    return [np.concatenate([body, [[-0.4, 0.5], [-1, 0]]]), _arc(0, 2 * math.pi, -0.5, -0.1, 0.08)]


def _cup(_: Random) -> list[Field]:
    sides = np.array([[-0.7, -0.8], [-0.55, 0.9], [0.55, 0.9], [0.7, -0.8], [-0.7, -0.8]])
    steam = [_arc(-2, -0.3, -0.2, -1.1, 0.3), _arc(1, 2.7, 0.2, -1.5, 0.3)]
    return [sides, _arc(-1.4, 1.4, 0.65, 0, 0.4), *steam]


def _heart(_: Random) -> list[Field]:
    t = np.linspace(0, 2 * math.pi, 60)
    y = 13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)
    arrow = [np.array([[-1.3, 0.6], [1.3, -0.6]]), np.array([[1.0, -0.7], [1.3, -0.6], [1.2, -0.3]])]
    return [np.stack([np.sin(t) ** 3, -y / 16], axis=1), *arrow]


def _scribble(random: Random) -> list[Field]:
    t = np.linspace(0, 1, 200)
    loops = random.uniform(4, 9) * 2 * math.pi * t
    return [np.stack([2 * t - 1 + 0.35 * np.cos(loops), 0.6 * np.sin(loops)], axis=1)]


_DOODLES = (_flower, _tree, _fish, _cup, _heart, _scribble)
