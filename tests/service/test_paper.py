"""Dark ink on light paper through the whole service: what a model has to be trained for.

These are the only tests of the service that need this skill of the committed model; all others hold with any.
"""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image

from models.contract import MODEL_PATH
from models.digits_contract import DIGITS_PATH
from service.inference.jobs import PictureJob
from service.inference.predictor import OnnxPredictor
from service.inference.work import Work
from service.synthesis.generator import OnnxGenerator
from tests.service.fakes import encode


@pytest.fixture(scope="module")
def work() -> Work:
    return Work(OnnxPredictor(MODEL_PATH, "cpu", threads=1))


@pytest.fixture(scope="module")
def digits() -> np.ndarray:
    """A digit of each class, ink from 0 to 255: uint8 `[10, 28, 28]`."""
    return OnnxGenerator(DIGITS_PATH).generate(np.arange(10), np.full(10, 7))


def on_paper(
    digit: np.ndarray, width: int, height: int, x: int, y: int, side: int, page: int, ink: int
) -> bytes:
    """A page with a digit's canvas of that side at (x, y)."""
    covered = np.asarray(Image.fromarray(digit).resize((side, side), Image.Resampling.BICUBIC)) / 255
    grey = np.full((height, width), float(page))
    grey[y : y + side, x : x + side] += (ink - page) * covered
    return encode(np.rint(grey).astype(np.uint8))


def answers(work: Work, pictures: list[bytes]) -> list[dict]:
    found = []
    for picture in pictures:
        (result,) = work([PictureJob(picture, "none", 24_000_000, exclusive=True)]).results
        assert isinstance(result, bytes)
        found.append(json.loads(result))
    return found


@pytest.mark.parametrize(
    ("width", "height", "side", "page", "ink"),
    [
        (100, 100, 50, 245, 20),  # one look
        (800, 600, 300, 200, 60),  # a photograph, its digit of a good size
        (1600, 1200, 150, 230, 30),  # ink of 6 to 7 % of the picture: searched
        (700, 700, 650, 240, 40),  # ink of 65 to 70 %: looked at from further away
        (3000, 150, 140, 235, 30),  # a strip
        (300, 300, 130, 60, 200),  # chalk on a board
    ],
)
def test_digits_on_paper_of_any_size_are_read_and_framed(work, digits, width, height, side, page, ink):
    x, y = (width - side) * 2 // 3, (height - side) // 3
    found = answers(work, [on_paper(digit, width, height, x, y, side, page, ink) for digit in digits])
    assert sum(answer["label"] == digit for digit, answer in enumerate(found)) >= 9
    assert sum(answer["inverted"] is (ink < page) for answer in found) >= 9
    assert sum(answer["digit_present"] >= 0.5 for answer in found) >= 9
    for answer in found:
        box = answer["bbox"]
        assert box["x"] + box["width"] / 2 == pytest.approx(x + side / 2, abs=side / 4)
        assert box["y"] + box["height"] / 2 == pytest.approx(y + side / 2, abs=side / 4)


@pytest.mark.parametrize("page", [255, 180, 90])
def test_blank_paper_shows_no_digit(work, page):
    grain = np.random.default_rng(page).normal(page, 3, (480, 640))
    (answer,) = answers(work, [encode(np.clip(np.rint(grain), 0, 255).astype(np.uint8))])
    assert answer["digit_present"] < 0.5
