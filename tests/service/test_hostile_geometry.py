"""Whatever the picture's size, whatever the model says: boxes, Gaussians, maps stay true to the picture."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from service.inference.letterbox import Box, Gaussian, letterbox
from tests.service.test_letterbox import frame_box, place, shares

any_side = st.integers(1, 2000)
anywhere = st.floats(-500, 500)
extent = st.floats(0, 500)


@settings(max_examples=200, deadline=None)
@given(any_side, any_side, anywhere, anywhere, extent, extent)
def test_whatever_the_model_says_the_box_stays_in_the_picture(width, height, x, y, box_width, box_height):
    box = place(width, height).box_in_picture(Box(x, y, box_width, box_height))
    assert min(box) >= 0
    assert box.x + box.width <= width * (1 + 1e-12)
    assert box.y + box.height <= height * (1 + 1e-12)


@settings(max_examples=200, deadline=None)
@given(any_side, any_side, anywhere, anywhere, st.floats(1e-3, 500), st.floats(1e-3, 500))
def test_gaussians_go_there_and_back(width, height, x, y, sigma_x, sigma_y):
    placement = place(width, height)
    said = Gaussian(x, y, sigma_x, sigma_y)
    back = placement.gaussian_in_picture(said)
    assert back.sigma_x > 0
    assert back.sigma_y > 0
    corner = frame_box(placement, Box(back.x, back.y, back.sigma_x, back.sigma_y))
    np.testing.assert_allclose(corner, said, rtol=1e-9, atol=1e-9)


@settings(max_examples=100, deadline=None)
@given(any_side, any_side, anywhere, anywhere, anywhere, anywhere)
def test_points_keep_their_order_and_shares(width, height, x, y, other_x, other_y):
    """What lies in the middle of two points of the frame lies in the middle of them in the picture."""
    placement = place(width, height)
    one, other, middle = (
        placement.gaussian_in_picture(Gaussian(*point, 1, 1))
        for point in ((x, y), (other_x, other_y), ((x + other_x) / 2, (y + other_y) / 2))
    )
    assert middle.x == pytest.approx((one.x + other.x) / 2, rel=1e-9, abs=1e-6)
    assert middle.y == pytest.approx((one.y + other.y) / 2, rel=1e-9, abs=1e-6)
    assert (one.x - other.x) * (x - other_x) >= 0
    assert (one.y - other.y) * (y - other_y) >= 0


@settings(max_examples=100, deadline=None)
@given(any_side, any_side, shares, shares, st.floats(0.01, 2), st.floats(0.01, 2))
def test_the_cells_of_the_attention_map_cover_the_picture_without_a_rest(width, height, x, y, sx, sy):
    """The value of each cell is the Gaussian at its centre; cells are equal shares of the picture."""
    placement = place(width, height)
    gaussian = Gaussian(x * width, y * height, sx * width, sy * height)
    grid = placement.attention_map(gaussian)
    assert grid.max() == 1
    cell_rows, cell_columns = (np.arange(count) + 0.5 for count in grid.shape)
    rows = -0.5 * ((cell_rows * height / len(cell_rows) - gaussian.y) / gaussian.sigma_y) ** 2
    columns = -0.5 * ((cell_columns * width / len(cell_columns) - gaussian.x) / gaussian.sigma_x) ** 2
    expected = np.exp(rows - rows.max())[:, None] * np.exp(columns - columns.max())
    np.testing.assert_allclose(grid, expected, atol=1e-6)


@settings(max_examples=25, deadline=None)
@given(any_side, any_side, st.integers(0, 255))
def test_any_picture_is_placed_where_the_placement_says(width, height, grey):
    frame, placement = letterbox(np.full((height, width), grey, np.uint8))
    assert placement == replace(place(width, height), inverted=grey > 127)
    rows = slice(placement.offset_y_px, placement.offset_y_px + placement.fitted_height_px)
    columns = slice(placement.offset_x_px, placement.offset_x_px + placement.fitted_width_px)
    assert (frame[rows, columns] == (255 - grey if grey > 127 else grey)).all()
    around = frame.copy()  # it may be the picture itself
    around[rows, columns] = 0
    assert not around.any()
