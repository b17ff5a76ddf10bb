"""Whatever the picture's size, whatever the model says: boxes, Gaussians, maps stay true to the picture."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.pictures.letterbox import Box, PixelGaussian, Placement, cut_frame, place_whole
from tests.support.geometry import frame_box, shares

any_side = st.integers(1, 2000)
anywhere = st.floats(-500, 500)
extent = st.floats(0, 500)


@st.composite
def placements(draw: st.DrawFn) -> Placement:
    """The whole of a picture, or any window of it."""
    width, height = draw(any_side), draw(any_side)
    if draw(st.booleans()):
        return place_whole(width, height, 100)
    side = draw(st.floats(34, 6000))
    x, y = draw(shares) * width - side / 2, draw(shares) * height - side / 2
    return Placement(width, height, Box(x, y, side, side), 100)


@settings(max_examples=200, deadline=None)
@given(placements(), anywhere, anywhere, extent, extent)
def test_whatever_the_model_says_the_box_stays_in_the_picture(placement, x, y, box_width, box_height):
    box = placement.box_in_picture(Box(x, y, box_width, box_height))
    assert min(box) >= 0
    assert box.x + box.width <= placement.width_px * (1 + 1e-12)
    assert box.y + box.height <= placement.height_px * (1 + 1e-12)


@settings(max_examples=200, deadline=None)
@given(placements(), anywhere, anywhere, st.floats(1e-3, 500), st.floats(1e-3, 500))
def test_gaussians_go_there_and_back(placement, x, y, sigma_x, sigma_y):
    said = PixelGaussian(x, y, sigma_x, sigma_y)
    back = placement.gaussian_in_picture(said)
    assert back.sigma_x > 0
    assert back.sigma_y > 0
    there = frame_box(placement, Box(*back))
    np.testing.assert_allclose(there, said, rtol=1e-9, atol=1e-6)


@settings(max_examples=100, deadline=None)
@given(placements(), anywhere, anywhere, anywhere, anywhere)
def test_points_keep_their_order_and_shares(placement, x, y, other_x, other_y):
    """What lies in the middle of two points of the frame lies in the middle of them in the picture."""
    one, other, middle = (
        placement.gaussian_in_picture(PixelGaussian(*point, 1, 1))
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
    gaussian = PixelGaussian(x * width, y * height, sx * width, sy * height)
    grid = place_whole(width, height, 100).attention_map(gaussian)
    assert grid.max() == 1
    cell_rows, cell_columns = (np.arange(count) + 0.5 for count in grid.shape)
    rows = -0.5 * ((cell_rows * height / len(cell_rows) - gaussian.y) / gaussian.sigma_y) ** 2
    columns = -0.5 * ((cell_columns * width / len(cell_columns) - gaussian.x) / gaussian.sigma_x) ** 2
    expected = np.exp(rows - rows.max())[:, None] * np.exp(columns - columns.max())
    np.testing.assert_allclose(grid, expected, atol=1e-6)


@settings(max_examples=40, deadline=None)
@given(placements(), st.integers(0, 255), st.integers(0, 255))
def test_any_picture_lies_where_the_placement_says(placement, upper, lower):
    """The edge between two halves lies where the placement says; beyond the picture is one of its levels."""
    picture = np.full((placement.height_px, placement.width_px), upper, np.uint8)
    half = (placement.height_px + 1) // 2
    picture[half:] = lower
    frame = cut_frame(picture, placement)
    middles = np.arange(100) + 0.5
    in_picture = placement.frame.y + middles * placement.frame.height / 100
    across = placement.frame.x + middles * placement.frame.width / 100
    # Two px of the frame, or of the picture where those are larger, may hold some of both halves.
    unclear = 2 * max(1.0, placement.frame.height / 100)
    margin_x = max(1.0, placement.frame.width / 100)
    shown = frame[:, (across > margin_x) & (across < placement.width_px - margin_x)]
    if placement.height_px - half > unclear:
        inside = placement.height_px - unclear
        assert (shown[(in_picture > half + unclear) & (in_picture < inside)] == lower).all()
        assert (shown[(in_picture < half - unclear) & (in_picture > unclear)] == upper).all()
    beyond = frame[:, (across < -margin_x) | (across > placement.width_px + margin_x)]
    assert (beyond == (upper if beyond.size and beyond[0, 0] == upper else lower)).all()
    assert ((frame >= min(upper, lower)) & (frame <= max(upper, lower))).all()
