"""Ink that can be seen stays visible in grey, whatever its colour and whatever lies behind it."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from models.pictures.colours import on_ground, to_grey


def page(ground: tuple[int, ...], ink: tuple[int, ...]) -> Image.Image:
    picture = np.empty((100, 100, len(ground)), np.uint8)
    picture[:] = ground
    picture[30:70, 45:55] = ink
    return Image.fromarray(picture)


def contrast(grey: Image.Image) -> int:
    values = np.asarray(grey).astype(int)
    return int(values[50, 50] - values[5, 5])


@pytest.mark.parametrize(
    ("ground", "ink"),
    [((255, 255, 255), (30, 30, 120)), ((200, 190, 180), (90, 80, 70)), ((20, 60, 30), (230, 230, 220))],
)
def test_luma_stays_where_it_shows_the_ink(ground: tuple[int, ...], ink: tuple[int, ...]) -> None:
    picture = page(ground, ink)
    assert np.array_equal(np.asarray(to_grey(picture)), np.asarray(picture.convert("L")))


@pytest.mark.parametrize(
    ("ground", "ink", "channel"),
    [
        ((250, 250, 250), (250, 225, 40), 2),  # a yellow marker on paper
        ((225, 35, 40), (0, 124, 60), 0),  # green on red of the same luma
        ((40, 90, 200), (190, 30, 160), 0),
    ],
)
def test_the_channel_that_shows_the_ink_is_taken_where_luma_hides_it(
    ground: tuple[int, ...], ink: tuple[int, ...], channel: int
) -> None:
    picture = page(ground, ink)
    assert abs(contrast(picture.convert("L"))) < 45
    assert np.array_equal(np.asarray(to_grey(picture)), np.asarray(picture.getchannel(channel)))
    assert abs(contrast(to_grey(picture))) >= 130


def test_noise_in_one_channel_is_no_ink() -> None:
    random = np.random.default_rng(3)
    noisy = np.full((300, 300, 3), 120, np.uint8)
    noisy[..., 2] = np.clip(random.normal(120, 8, (300, 300)), 0, 255)
    picture = Image.fromarray(noisy)
    assert np.array_equal(np.asarray(to_grey(picture)), np.asarray(picture.convert("L")))


@pytest.mark.parametrize(("ink", "ground"), [(0, 255), (255, 0)])
def test_ink_without_a_ground_gets_one_that_it_can_be_seen_on(ink: int, ground: int) -> None:
    grey = np.asarray(on_ground(page((ink, ink, ink, 0), (ink, ink, ink, 255))))
    assert grey[50, 50] == ink
    assert grey[5, 5] == ground


def test_a_bright_picture_with_transparent_corners_lies_on_white() -> None:
    picture = page((240, 240, 240, 255), (20, 20, 20, 255))
    picture.paste((0, 0, 0, 0), (0, 0, 20, 20))
    grey = np.asarray(on_ground(picture))
    assert grey[5, 5] == 255
    assert grey[50, 50] == 20
