from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from PIL import Image

from models.pictures.letterbox import Box, PixelGaussian, Placement, cut_frame, place_whole
from tests.support.geometry import frame_box, shares

sizes = st.integers(1, 3000)


def whole(picture: np.ndarray) -> tuple[np.ndarray, Placement]:
    placement = place_whole(*picture.shape[::-1], 100)
    return cut_frame(picture, placement), placement


def test_a_picture_of_the_frames_size_passes_untouched():
    picture = np.random.default_rng(0).integers(0, 256, (100, 100), np.uint8)
    frame, placement = whole(picture)
    np.testing.assert_array_equal(frame, picture)
    assert placement == Placement(100, 100, Box(0, 0, 100, 100), 100)


def test_a_small_picture_is_centred_at_its_size_and_goes_on_with_its_borders_median():
    picture = np.random.default_rng(0).integers(0, 256, (30, 50), np.uint8)
    picture[0], picture[-1], picture[:, 0], picture[:12, -1] = 200, 200, 200, 31
    frame, placement = whole(picture)
    expected = np.pad(picture, ((35, 35), (25, 25)), constant_values=200)
    np.testing.assert_array_equal(frame, expected)
    assert placement == Placement(50, 30, Box(-25, -35, 100, 100), 100)


def test_an_odd_rest_goes_to_the_right_and_below():
    picture = np.full((2, 99), 9, np.uint8)
    picture[1] = 7
    frame, placement = whole(picture)
    assert (placement.frame.x, placement.frame.y) == (0, -49)
    assert (frame[49, :99] == 9).all()
    assert (np.delete(frame, 49, axis=0) == 7).all()
    assert (frame[:, 99] == 7).all()


@pytest.mark.parametrize("paper", [0, 127, 128, 255])
def test_the_picture_is_shown_as_it_was_posted(paper):
    picture = np.full((40, 40), paper, np.uint8)
    picture[10:20, 10:20] = 60
    frame, _ = whole(picture)
    assert frame[45, 45] == 60
    assert frame[32, 32] == frame[0, 0] == paper


def test_a_large_picture_is_shrunk_and_its_box_comes_back_by_hand():
    picture = np.zeros((200, 400), np.uint8)
    picture[40:120, 240:320] = 200  # rows 40..120, columns 240..320
    frame, placement = whole(picture)
    assert placement == Placement(400, 200, Box(0, -100, 400, 400), 100)
    assert frame[25 + 20, 70] == 200  # row 80 and column 280 of the picture
    assert frame[:25].max() == 0
    assert frame[75:].max() == 0
    # A quarter of each length, and 25 rows lower: x 60..80, y 35..55.
    assert placement.box_in_picture(Box(60, 35, 20, 20)) == Box(240, 40, 80, 80)
    assert placement.gaussian_in_picture(PixelGaussian(70, 45, 5, 2.5)) == PixelGaussian(280, 80, 20, 10)


def test_a_window_by_hand():
    """A window of 200 px at (300, -50): half the size in the frame, 25 rows of it above the picture."""
    picture = np.zeros((200, 400), np.uint8)
    picture[:4] = 90  # the topmost 2 px of it in the frame
    picture[:, 0] = 90
    picture[:, -1] = 90
    picture[40:120, 340:360] = 200
    placement = Placement(400, 200, Box(300, -50, 200, 200), 100)
    frame = cut_frame(picture, placement)
    assert (frame[:25] == 90).all()  # the median of the border goes on
    assert frame[25 + 40, 25] == 200  # row 80 and column 350 of the picture
    assert (frame[:, 50:] == 90).all()  # right of the picture's edge
    assert placement.box_in_picture(Box(20, 45, 10, 40)) == Box(340, 40, 20, 80)
    assert placement.box_in_picture(Box(20, 0, 60, 30)) == Box(340, 0, 60, 10)  # clipped to the picture
    assert placement.gaussian_in_picture(PixelGaussian(25, 65, 2.5, 10)) == PixelGaussian(350, 80, 5, 20)


def test_a_window_may_enlarge():
    picture = np.zeros((150, 150), np.uint8)
    picture[50:60, 100:110] = 255
    frame = cut_frame(picture, Placement(150, 150, Box(80, 30, 50, 50), 100))
    rows, columns = np.nonzero(frame > 127)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (40, 60, 40, 60)


@pytest.mark.parametrize("side", [40.0, 160.0, 331.0, 555.5])
def test_scaling_moves_nothing_by_a_part_of_a_pixel(side):
    """The centre of light of a blurred spot, in windows of odd scales, lies where the geometry says."""
    height, width = 331, 777
    sigma = side / 20
    y, x = np.mgrid[:height, :width] + 0.5
    spot = 250 * np.exp(-((x - 501.3) ** 2 + (y - 97.9) ** 2) / (2 * sigma**2))
    picture = np.rint(spot).astype(np.uint8)
    placement = Placement(width, height, Box(501.3 - 0.41 * side, 97.9 - 0.52 * side, side, side), 100)
    light = cut_frame(picture, placement).astype(float)
    light[light < 3] = 0  # what goes on beyond the picture
    rows, columns = np.mgrid[:100, :100] + 0.5
    centre = PixelGaussian((columns * light).sum() / light.sum(), (rows * light).sum() / light.sum(), 1, 1)
    assert (centre.x, centre.y) == pytest.approx((41, 52), abs=0.1)
    back = placement.gaussian_in_picture(centre)
    assert (back.x, back.y) == pytest.approx((501.3, 97.9), abs=0.1 * side / 100)


def test_shrinking_is_antialiased():
    stripes = np.zeros((300, 1000), np.uint8)
    stripes[:, ::2] = 200
    for frame in (whole(stripes)[0], cut_frame(stripes, Placement(1000, 300, Box(123, 10, 420, 420), 100))):
        assert np.ptp(frame[50, 1:99].astype(int)) <= 8
        assert frame[50].mean() == pytest.approx(100, abs=2)


def test_a_part_of_a_large_picture_is_cut_without_a_copy_of_the_whole(monkeypatch):
    shared = []
    fromarray = Image.fromarray

    def note(array):
        image = fromarray(array)
        array[0, 0] = 99
        shared.append(image.getpixel((0, 0)) == 99)
        return image

    monkeypatch.setattr(Image, "fromarray", note)
    cut_frame(np.zeros((900, 1200), np.uint8), Placement(1200, 900, Box(100, 100, 300, 300), 100))
    assert shared == [True]


def test_a_box_is_clipped_to_the_picture():
    placement = place_whole(50, 30, 100)
    assert placement.box_in_picture(Box(0, 0, 100, 100)) == Box(0, 0, 50, 30)
    assert placement.box_in_picture(Box(70, 60, 20, 20)) == Box(45, 25, 5, 5)
    assert placement.box_in_picture(Box(90, 0, 5, 10)) == Box(50, 0, 0, 0)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, shares, shares, shares, shares)
def test_boxes_go_there_and_back(width, height, left, right, top, bottom):
    placement = place_whole(width, height, 100)
    x, y = width * min(left, right), height * min(top, bottom)
    box = Box(x, y, width * max(left, right) - x, height * max(top, bottom) - y)
    framed = frame_box(placement, box)
    assert -1e-9 <= framed.x <= framed.x + framed.width <= 100 + 1e-9
    assert -1e-9 <= framed.y <= framed.y + framed.height <= 100 + 1e-9
    np.testing.assert_allclose(
        placement.box_in_picture(framed), box, rtol=1e-9, atol=1e-9 * max(width, height)
    )


@settings(max_examples=60, deadline=None)
@given(sizes, sizes)
def test_the_picture_keeps_its_shape_and_fills_the_frame_or_keeps_its_size(width, height):
    placement = place_whole(width, height, 100)
    fitted = frame_box(placement, Box(0, 0, width, height))
    np.testing.assert_allclose(fitted, np.rint(fitted), atol=1e-9)  # whole px of the frame
    if max(width, height) <= 100:
        assert fitted[2:] == pytest.approx((width, height))
    else:
        assert max(fitted.width, fitted.height) == pytest.approx(100)
        shrink = 100 / max(width, height)
        assert fitted.width == pytest.approx(max(1, width * shrink), abs=0.5 + 1e-9)
        assert fitted.height == pytest.approx(max(1, height * shrink), abs=0.5 + 1e-9)
    for before, extent in ((fitted.x, fitted.width), (fitted.y, fitted.height)):
        assert round(100 - before - extent) - round(before) in (0, 1)
    np.testing.assert_allclose(placement.box_in_picture(fitted), (0, 0, width, height), atol=1e-9 * width)


windows = st.floats(34, 4000)


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 400), st.integers(1, 400), shares, shares, windows)
@example(300, 1, 0.5, 0.5, 700.0)
@example(1, 300, 0.5, 0.5, 34.0)
def test_any_window_of_a_grey_picture_is_that_grey_all_over(width, height, x, y, side):
    """Whatever lies beyond the picture, and however thin it is, no other grey gets into the frame."""
    placement = Placement(width, height, Box(width * x - side / 2, height * y - side / 2, side, side), 100)
    frame = cut_frame(np.full((height, width), 77, np.uint8), placement)
    assert frame.shape == (100, 100)
    assert frame.dtype == np.uint8
    assert (frame == 77).all()


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(1e-3, 1e4), st.floats(1e-3, 1e4))
def test_the_attention_map_spans_the_picture_and_peaks_at_one(width, height, x, y, sigma_x, sigma_y):
    grid = place_whole(width, height, 100).attention_map(PixelGaussian(x, y, sigma_x, sigma_y))
    shrink = min(1, 100 / max(width, height))
    assert grid.shape == (max(1, round(height * shrink)), max(1, round(width * shrink)))
    assert grid.dtype == np.float32
    assert grid.max() == 1
    assert grid.min() >= 0
    row, column = np.unravel_index(grid.argmax(), grid.shape)
    # Beside a maximal cell there may be an equal one: the peak is within a cell of the clipped centre.
    cell_width, cell_height = width / grid.shape[1], height / grid.shape[0]
    if sigma_x < width:
        assert abs((column + 0.5) * cell_width - np.clip(x, 0, width)) <= cell_width * 1.001
    if sigma_y < height:
        assert abs((row + 0.5) * cell_height - np.clip(y, 0, height)) <= cell_height * 1.001


def test_the_attention_map_by_hand():
    """4 x 2 px; centre in the middle of column 3 and row 0, sigma 1 px along x and 2 px along y."""
    grid = place_whole(4, 2, 100).attention_map(PixelGaussian(3.5, 0.5, 1.0, 2.0))
    across = np.exp([-4.5, -2.0, -0.5, 0.0])
    np.testing.assert_allclose(grid, [across, np.exp(-0.125) * across], rtol=1e-6)


def test_the_attention_map_spans_the_picture_whatever_the_frame_covers():
    said = PixelGaussian(6100, 900, 30, 40)  # far less than the cells of 80 px, so that one cell is all of it
    window = Placement(8000, 4000, Box(6000, 800, 200, 200), 100)
    grid = window.attention_map(said)
    np.testing.assert_array_equal(grid, place_whole(8000, 4000, 100).attention_map(said))
    assert grid.shape == (50, 100)
    assert grid[11, 76] == grid.max() == 1
