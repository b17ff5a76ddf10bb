from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from service.inference.letterbox import Box, Gaussian, Placement, _median, letterbox

sizes = st.integers(1, 3000)
shares = st.floats(0, 1)


def place(width: int, height: int) -> Placement:
    return letterbox(np.zeros((height, width), np.uint8))[1]


def frame_box(placement: Placement, box: Box) -> Box:
    """The way there, written independently of the way back that is tested."""
    x_scale = placement.fitted_width_px / placement.width_px
    y_scale = placement.fitted_height_px / placement.height_px
    return Box(
        placement.offset_x_px + box.x * x_scale,
        placement.offset_y_px + box.y * y_scale,
        box.width * x_scale,
        box.height * y_scale,
    )


def test_a_picture_of_the_frames_size_passes_untouched():
    picture = np.random.default_rng(0).integers(0, 120, (100, 100), np.uint8)
    frame, placement = letterbox(picture)
    np.testing.assert_array_equal(frame, picture)
    assert placement == Placement(100, 100, 100, 100, 0, 0, inverted=False)


def test_a_small_picture_is_centred_at_its_size_on_black():
    picture = np.arange(30 * 50, dtype=np.uint8).reshape(30, 50) % 100 + 1
    frame, placement = letterbox(picture)
    np.testing.assert_array_equal(frame[35:65, 25:75], picture)
    assert np.count_nonzero(frame) == picture.size
    assert placement == Placement(50, 30, 50, 30, 25, 35, inverted=False)


def test_an_odd_rest_goes_to_the_right_and_below():
    frame, placement = letterbox(np.full((1, 99), 9, np.uint8))
    assert (placement.offset_x_px, placement.offset_y_px) == (0, 49)
    assert frame[49, 0] == 9
    assert frame[49, 99] == 0


def test_a_large_picture_is_shrunk_and_its_box_comes_back_by_hand():
    picture = np.zeros((200, 400), np.uint8)
    picture[40:120, 240:320] = 200  # rows 40..120, columns 240..320
    frame, placement = letterbox(picture)
    assert placement == Placement(400, 200, 100, 50, 0, 25, inverted=False)
    assert frame[25 + 20, 70] == 200  # row 80 and column 280 of the picture
    assert frame[:25].max() == 0
    assert frame[75:].max() == 0
    # A quarter of each length, and 25 rows lower: x 60..80, y 35..55.
    assert placement.box_in_picture(Box(60, 35, 20, 20)) == Box(240, 40, 80, 80)
    assert placement.gaussian_in_picture(Gaussian(70, 45, 5, 2.5)) == Gaussian(280, 80, 20, 10)


def test_shrinking_moves_nothing_by_a_part_of_a_pixel():
    """The centre of light of a blurred spot, shrunk by an odd factor, lies where the geometry says."""
    height, width = 331, 777
    y, x = np.mgrid[:height, :width] + 0.5
    spot = np.rint(250 * np.exp(-((x - 501.3) ** 2 + (y - 97.9) ** 2) / (2 * 40**2))).astype(np.uint8)
    frame, placement = letterbox(spot)
    rows, columns = np.mgrid[:100, :100] + 0.5
    light = frame.astype(float)
    centre = Gaussian((columns * light).sum() / light.sum(), (rows * light).sum() / light.sum(), 1, 1)
    back = placement.gaussian_in_picture(centre)
    true_x, true_y = (x * spot).sum() / spot.sum(), (y * spot).sum() / spot.sum()
    assert back.x == pytest.approx(true_x, abs=0.3)  # 0.04 px of the frame
    assert back.y == pytest.approx(true_y, abs=0.3)


def test_shrinking_is_antialiased():
    stripes = np.zeros((100, 1000), np.uint8)
    stripes[:, ::2] = 200
    frame, _ = letterbox(stripes)
    assert np.ptp(frame[50, 1:99].astype(int)) <= 2
    assert frame[50, 50] == pytest.approx(100, abs=2)


def test_a_box_is_clipped_to_the_picture():
    placement = place(50, 30)
    assert placement.box_in_picture(Box(0, 0, 100, 100)) == Box(0, 0, 50, 30)
    assert placement.box_in_picture(Box(70, 60, 20, 20)) == Box(45, 25, 5, 5)
    assert placement.box_in_picture(Box(90, 0, 5, 10)) == Box(50, 0, 0, 0)


@pytest.mark.parametrize(("paper", "inverted"), [(127, False), (128, True), (255, True), (0, False)])
def test_light_paper_is_turned_before_padding(paper, inverted):
    picture = np.full((40, 40), paper, np.uint8)
    picture[10:20, 10:20] = 60
    frame, placement = letterbox(picture)
    assert placement.inverted is inverted
    assert frame[45, 45] == (195 if inverted else 60)
    assert frame[32, 32] == (255 - paper if inverted else paper)
    assert frame[0, 0] == 0


@given(st.binary(min_size=1, max_size=60))
def test_the_median_is_numpys(data):
    values = np.frombuffer(data, np.uint8)[None]
    assert _median(Image.fromarray(values)) == np.median(values)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, shares, shares, shares, shares)
def test_boxes_go_there_and_back(width, height, left, right, top, bottom):
    placement = place(width, height)
    x, y = width * min(left, right), height * min(top, bottom)
    box = Box(x, y, width * max(left, right) - x, height * max(top, bottom) - y)
    framed = frame_box(placement, box)
    assert 0 <= framed.x <= framed.x + framed.width <= 100 + 1e-9
    assert 0 <= framed.y <= framed.y + framed.height <= 100 + 1e-9
    np.testing.assert_allclose(
        placement.box_in_picture(framed), box, rtol=1e-9, atol=1e-9 * max(width, height)
    )


@settings(max_examples=60, deadline=None)
@given(sizes, sizes)
def test_the_picture_keeps_its_shape_and_fills_the_frame_or_keeps_its_size(width, height):
    placement = place(width, height)
    fitted = placement.fitted_width_px, placement.fitted_height_px
    if max(width, height) <= 100:
        assert fitted == (width, height)
    else:
        assert max(fitted) == 100
        shrink = 100 / max(width, height)
        assert fitted[0] == pytest.approx(max(1, width * shrink), abs=0.5 + 1e-9)
        assert fitted[1] == pytest.approx(max(1, height * shrink), abs=0.5 + 1e-9)
    right_rest = 100 - placement.offset_x_px - fitted[0]
    lower_rest = 100 - placement.offset_y_px - fitted[1]
    assert right_rest - placement.offset_x_px in (0, 1)
    assert lower_rest - placement.offset_y_px in (0, 1)
    whole = Box(placement.offset_x_px, placement.offset_y_px, *fitted)
    np.testing.assert_allclose(placement.box_in_picture(whole), (0, 0, width, height), rtol=1e-12)


@settings(max_examples=60, deadline=None)
@given(sizes, sizes, st.floats(-1e4, 1e4), st.floats(-1e4, 1e4), st.floats(1e-3, 1e4), st.floats(1e-3, 1e4))
def test_the_attention_map_spans_the_picture_and_peaks_at_one(width, height, x, y, sigma_x, sigma_y):
    placement = place(width, height)
    grid = placement.attention_map(Gaussian(x, y, sigma_x, sigma_y))
    assert grid.shape == (placement.fitted_height_px, placement.fitted_width_px)
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
    grid = place(4, 2).attention_map(Gaussian(3.5, 0.5, 1.0, 2.0))
    across = np.exp([-4.5, -2.0, -0.5, 0.0])
    np.testing.assert_allclose(grid, [across, np.exp(-0.125) * across], rtol=1e-6)
