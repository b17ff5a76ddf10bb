"""Colours, frames of any side, and the ground of transparent pictures."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from models.pictures.convert import grey_of, rgb_of, turned
from models.pictures.letterbox import Box, Placement, cut_frame, place_whole
from scenes.frame import frame_offset_px


@pytest.mark.parametrize("side", [28, 57, 99, 100])
def test_small_pictures_lie_where_scenes_do(side: int) -> None:
    frame = place_whole(side, side, 100).frame
    assert (-frame.x, -frame.y) == (frame_offset_px(side, 100),) * 2


def test_a_frame_of_colours_by_hand() -> None:
    """A picture of 40 x 20 px in a frame of 32 px: 32 x 16, 8 rows of ground above and below."""
    picture = np.zeros((20, 40, 3), np.uint8)
    picture[:] = 200, 100, 50
    picture[0, :15] = 9, 9, 9  # few of the border
    picture[5:15, 20:30] = 10, 20, 30
    placement = place_whole(40, 20, 32)
    assert placement == Placement(40, 20, Box(0, -10, 40, 40), 32)
    frame = cut_frame(picture, placement)
    assert frame.shape == (32, 32, 3)
    assert frame[0, 0].tolist() == frame[31, 31].tolist() == [200, 100, 50]
    assert frame[8 + 8, 20].tolist() == [10, 20, 30]  # row 10 and column 25 of the picture
    assert placement.box_in_picture(Box(16, 12, 8, 8)) == Box(20, 5, 10, 10)


@pytest.mark.parametrize(("width", "height"), [(300, 200), (17, 90), (96, 96), (1, 500), (31, 8)])
@pytest.mark.parametrize("side", [32, 96, 128])
def test_channels_are_cut_as_grey_is(width: int, height: int, side: int) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (height, width), np.uint8)
    placement = place_whole(width, height, side)
    colours = np.stack([grey, 255 - grey, grey], axis=2)
    frame = cut_frame(colours, placement)
    assert frame.shape == (side, side, 3)
    np.testing.assert_array_equal(frame[..., 0], cut_frame(grey, placement))
    np.testing.assert_array_equal(frame[..., 2], frame[..., 0])


def test_the_same_picture_at_half_its_size_is_shown_at_the_same_place() -> None:
    small = np.random.default_rng(1).integers(0, 256, (300, 401), np.uint8)
    large = small.repeat(2, axis=0).repeat(2, axis=1)
    placement = place_whole(802, 600, 96)
    half = placement.at_size(401, 300)
    assert half.frame == Box(*(extent / 2 for extent in placement.frame))
    difference = cut_frame(large, placement).astype(int) - cut_frame(small, half)
    assert np.abs(difference).max() <= 2


@pytest.mark.parametrize("orientation", range(1, 9))
def test_colours_turn_as_grey_does(orientation: int) -> None:
    colours = np.random.default_rng(2).integers(0, 256, (5, 7, 3), np.uint8)
    upright = turned(colours, orientation)
    for channel in range(3):
        np.testing.assert_array_equal(upright[..., channel], turned(colours[..., channel], orientation))


def test_colours_are_kept_whatever_the_mode() -> None:
    red = Image.new("RGB", (4, 3), (255, 0, 0))
    for mode in ("RGB", "P", "CMYK", "YCbCr", "HSV"):
        pixels = rgb_of(red.convert(mode))
        assert pixels.shape == (3, 4, 3)
        assert np.abs(pixels.astype(int) - (255, 0, 0)).max() <= 1, mode
    assert rgb_of(Image.new("L", (4, 3), 7)).tolist() == [[[7, 7, 7]] * 4] * 3
    assert rgb_of(Image.new("1", (1, 1), 1)).tolist() == [[[255, 255, 255]]]


def test_deep_grey_becomes_three_equal_channels() -> None:
    deep = np.array([[0, 257 * 100, 65535]], np.uint16)
    assert rgb_of(Image.fromarray(deep)).tolist() == [[[0] * 3, [100] * 3, [255] * 3]]
    assert grey_of(Image.fromarray(deep)).tolist() == [[0, 100, 255]]


@pytest.mark.parametrize(("ink", "ground"), [((250, 250, 200), 0), ((20, 0, 0), 255)])
def test_transparent_colours_lie_on_the_ground_that_grey_ones_lie_on(
    ink: tuple[int, int, int], ground: int
) -> None:
    picture = Image.new("RGBA", (20, 20), (*ink, 0))
    picture.paste((*ink, 255), (5, 5, 9, 9))
    colours = rgb_of(picture)
    assert colours[0, 0].tolist() == [ground] * 3
    assert colours[6, 6].tolist() == [*ink]
    assert grey_of(picture)[0, 0] == ground
