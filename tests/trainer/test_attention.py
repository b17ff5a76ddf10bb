"""The Gaussian attention against cases worked out by hand, off the centre of canvases that are not square."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from models.task import FAINT_EDGE_PER_SIDE, INK_FROM
from scenes.truth import INK_THRESHOLD
from trainer.attention import (
    BOX_WIDTH_PER_SIGMA,
    Gaussian,
    attention_maps,
    boxes,
    gaussian_of_box,
    read_glimpse,
    reported_boxes,
)


def numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float32)


def glimpse_by_hand(
    scene: list[list[float]], x: float, y: float, width: float, height: float, side: int, blur: float
) -> list[list[float]]:
    """DRAW, section 3.2, pixel by pixel: every sample sums the scene under a Gaussian density."""

    def density(pixel: int, sample: int, centre: float, extent: float) -> float:
        stride = extent / side
        mean = centre + (sample + 0.5 - side / 2) * stride
        sigma = max(blur * stride, 0.5)
        return math.exp(-(((pixel + 0.5 - mean) / sigma) ** 2) / 2) / (sigma * math.sqrt(2 * math.pi))

    return [
        [
            sum(
                density(row, i, y, height) * density(column, j, x, width) * value
                for row, line in enumerate(scene)
                for column, value in enumerate(line)
            )
            for j in range(side)
        ]
        for i in range(side)
    ]


@pytest.mark.parametrize("blur", [0.5, 1.0])
def test_a_glimpse_of_a_scene_of_5_by_9(blur: float) -> None:
    # Columns fall off to the right, rows to the bottom, neither alike: any exchange of axes shows.
    scene = [
        [(9 - column) * 0.1 + (0.3 if row == 1 else 0.05 * row) for column in range(9)] for row in range(5)
    ]
    where = {"x": 6.2, "y": 1.7, "width": 4.0, "height": 3.0}
    read = read_glimpse(
        torch.tensor([scene]),
        numbers(where["x"]),
        numbers(where["y"]),
        numbers(where["width"]),
        numbers(where["height"]),
        2,
        blur,
    )
    assert read.shape == (1, 2, 2)
    expected = torch.tensor([glimpse_by_hand(scene, **where, side=2, blur=blur)])
    torch.testing.assert_close(read, expected, rtol=1e-5, atol=1e-6)
    swapped = torch.tensor([glimpse_by_hand(scene, 1.7, 6.2, 3.0, 4.0, side=2, blur=blur)])
    assert (read - swapped).abs().max() > 0.05


def test_a_glimpse_of_one_bright_pixel_shows_it_where_it_is() -> None:
    scene = torch.zeros(1, 40, 90)
    scene[0, 10, 60] = 1.0
    # A window of 16 × 8 px whose corner is (56, 4): the pixel's centre (60.5, 10.5) lies in column 4, row 6.
    glimpse = read_glimpse(scene, numbers(64), numbers(8), numbers(16), numbers(8), 8)
    row, column = divmod(int(glimpse.argmax()), 8)
    assert (row, column) == (6, 2)


def test_an_even_scene_reads_as_it_is_inside_and_as_dark_outside() -> None:
    # Strides of 2 px and filters of σ 1 px: the density's samples sum to 1 (within 2 exp(−2π²)).
    scene = torch.full((1, 60, 60), 0.8)
    inside = read_glimpse(scene, numbers(30), numbers(30), numbers(20), numbers(20), 10)
    torch.testing.assert_close(inside, torch.full((1, 10, 10), 0.8), rtol=1e-4, atol=0)
    # Centred on the left edge, half of the window lies outside: columns 0 to 3 are 3 px = 3 σ and more away.
    across = read_glimpse(scene, numbers(0), numbers(30), numbers(20), numbers(20), 10)
    assert across[:, :, :4].max() < 0.8 * 0.0015
    torch.testing.assert_close(across[:, :, 6:], torch.full((1, 10, 4), 0.8), rtol=2e-3, atol=0)
    beyond = read_glimpse(scene, numbers(-40), numbers(130), numbers(20), numbers(20), 10)
    assert beyond.max() < 1e-6


def test_the_narrowest_filter_still_sums_to_one_within_2_percent() -> None:
    scene = torch.ones(1, 60, 60)
    for x in np.linspace(29.5, 30.5, 11):
        glimpse = read_glimpse(scene, numbers(x), numbers(30.2), numbers(3), numbers(3), 10)
        assert (glimpse - 1).abs().max() < 0.04  # 2 % along each axis


def test_the_map_peaks_at_the_gaussians_place_and_falls_off_with_its_sigmas() -> None:
    gaussian = Gaussian(numbers(60.5, 30), numbers(20.5, 71), numbers(4, 12), numbers(10, 3))
    maps = attention_maps(gaussian, 100)
    assert maps.shape == (2, 100, 100)
    assert maps.amax(dim=(1, 2)).tolist() == [1.0, 1.0]
    assert divmod(int(maps[0].argmax()), 100) == (20, 60)
    # One σ to the right of the first centre, one σ below it: exp(−½) each.
    assert maps[0, 20, 64].item() == pytest.approx(math.exp(-0.5), rel=1e-5)
    assert maps[0, 30, 60].item() == pytest.approx(math.exp(-0.5), rel=1e-5)
    # The second centre lies between four pixels, half a pixel from each, all of which are the peak.
    assert maps[1, 70:72, 29:31].flatten().tolist() == pytest.approx([1.0] * 4)
    assert maps[1, 70, 41].item() == pytest.approx(math.exp((0.5**2 - 11.5**2) / (2 * 12**2)), rel=1e-5)


def test_boxes_and_gaussians_are_two_ways_to_say_the_same() -> None:
    gaussian = gaussian_of_box(numbers(30, 61), numbers(40, 22), numbers(10, 7), numbers(24, 6))
    assert boxes(gaussian).tolist() == [
        pytest.approx([25, 28, 10, 24], abs=1e-4),
        pytest.approx([57.5, 19, 7, 6], abs=1e-4),
    ]
    assert gaussian.longer_px.tolist() == pytest.approx([24, 7])
    assert gaussian.sigma_x_px.tolist() == pytest.approx([10 / 3.4641016, 7 / 3.4641016])


def test_the_boxs_width_is_that_of_an_evenly_filled_box_of_the_same_variance() -> None:
    sigma = 5.0
    width = sigma * BOX_WIDTH_PER_SIGMA
    places = (np.arange(1_000_000) + 0.5) / 1_000_000 * width - width / 2  # an even filling
    assert float(np.sqrt(np.mean(places**2))) == pytest.approx(sigma, rel=1e-9)


def test_the_box_of_ink_reaches_on_to_where_a_quarter_is_left() -> None:
    """As MNIST draws a digit: edges fall evenly along one canvas px; 20 canvas px high, 8 wide."""
    scale = 1.7  # scene px for each canvas px
    half = torch.tensor([8.0, 20.0]) * scale  # between the two places where half is left
    gaussian = gaussian_of_box(numbers(50), numbers(40), half[None, 0], half[None, 1])
    found = reported_boxes(gaussian, FAINT_EDGE_PER_SIDE)[0]
    place = torch.linspace(-1, 1, 20_001)  # canvas px outwards from there
    quarter = place[(0.5 - place).clamp(0, 1) > 0.25].max().item() * scale
    across, down = 8 * scale + 2 * quarter, 20 * scale + 2 * quarter
    expected = [50 - across / 2, 40 - down / 2, across, down]
    assert found.tolist() == pytest.approx(expected, abs=1e-3)


def test_what_counts_as_ink_is_what_the_truth_counts() -> None:
    """Training must not import the truth, so the number is written twice."""
    assert INK_FROM == INK_THRESHOLD


def test_no_gradient_passes_a_detached_gaussian() -> None:
    place = torch.ones(2, requires_grad=True)
    gaussian = Gaussian(place, 2 * place, 3 * place, 4 * place)
    assert boxes(gaussian).requires_grad
    assert not boxes(gaussian.detach()).requires_grad
