"""True boxes and frames, exact to the pixel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenes.digits import Digits, digits_like
from scenes.draw import draw
from scenes.frame import centre_in_frame, frame_offset_px
from scenes.presets import PRESETS
from scenes.render import render_ink
from scenes.truth import INK_THRESHOLD, canvas_boxes, ink_boxes
from tests.scenes.banks import bank, block, place, speckled_bank

# Ink on rows 5 to 22 and columns 9 to 15 of the canvas: 7 wide, 18 high.
INK = bank({6: block(5, 23, 9, 16)})


def ink_box(digits: Digits, *, size: float, x: float, y: float) -> list[float]:
    found = ink_boxes(place(digits, 6, size=size, x=x, y=y), digits)
    assert found.shape == (1, 4)
    assert found.dtype == np.float32
    box: list[float] = found[0].tolist()
    return box


def test_the_box_of_an_unscaled_canvas_is_that_of_its_ink() -> None:
    # The canvas's corner is (40 − 14, 70 − 14).
    assert ink_box(INK, size=28, x=40, y=70) == [26 + 9, 56 + 5, 7, 18]


def test_twice_the_size_is_twice_the_box() -> None:
    # The corner is (50 − 28, 40 − 28). Beyond the ink's edge the nearest scene pixel is ¼ exactly, which is
    # not above the threshold; the next one outwards is dark.
    assert INK_THRESHOLD == 0.25
    scene = render_ink(place(INK, 6, size=56, x=50, y=40), INK)[0]
    assert scene[12 + 2 * 10, 22 + 2 * 9 - 1] == 0.25
    assert scene[12 + 2 * 10, 22 + 2 * 9] == 0.75
    assert ink_box(INK, size=56, x=50, y=40) == [22 + 2 * 9, 12 + 2 * 5, 14, 36]


def test_half_the_size_takes_in_half_pixels() -> None:
    # Columns 9 to 15 are scene columns 4½ to 8, rows 5 to 22 are rows 2½ to 11½; halves are above ¼.
    assert ink_box(INK, size=14, x=30, y=61) == [23 + 4, 54 + 2, 4, 10]


def test_a_part_of_a_pixel_to_the_right() -> None:
    # 0.2 px: the left edge keeps 0.8, the pixel beyond the right edge gets 0.2. 0.3 px: that one has 0.3.
    assert ink_box(INK, size=28, x=40.2, y=70) == [35, 61, 7, 18]
    assert ink_box(INK, size=28, x=40.3, y=70) == [35, 61, 8, 18]
    assert ink_box(INK, size=28, x=40, y=70.8) == [35, 61 + 1, 7, 18]


@pytest.mark.parametrize(("value", "counts"), [(63, False), (64, True)])
def test_ink_below_a_quarter_is_none(value: int, counts: bool) -> None:
    # 63 / 255 = 0.247, 64 / 255 = 0.251.
    canvas = block(5, 23, 9, 16)
    canvas[2, 3] = value
    box = ink_box(bank({6: canvas}), size=28, x=40, y=70)
    assert box == ([29, 58, 13, 21] if counts else [35, 61, 7, 18])


def test_noise_and_clutter_do_not_move_the_box() -> None:
    digits = speckled_bank()
    drawn = draw(PRESETS["article"], np.arange(50), digits)
    quiet = drawn._replace(noise_sigma=0 * drawn.noise_sigma, digit_noise_share=0 * drawn.digit_noise_share)
    assert np.array_equal(ink_boxes(drawn, digits), ink_boxes(quiet, digits))


def test_the_box_is_the_smallest_that_holds_the_ink() -> None:
    digits = speckled_bank()
    drawn = draw(PRESETS["article"], np.arange(50), digits)
    for scene, box in zip(render_ink(drawn, digits), ink_boxes(drawn, digits), strict=True):
        rows, columns = np.nonzero(scene > 0.25)
        left, top = columns.min(), rows.min()
        assert box.tolist() == [left, top, columns.max() + 1 - left, rows.max() + 1 - top]


def test_torch_finds_the_same_boxes() -> None:
    digits = speckled_bank()
    on_torch = digits_like(torch.zeros(0), digits)
    preset = PRESETS["cluttered-60"]  # on whole pixels, where no rounding can cross the threshold
    ours = ink_boxes(draw(preset, np.arange(50), digits), digits)
    theirs = ink_boxes(draw(preset, torch.arange(50), on_torch), on_torch)
    assert np.array_equal(ours, theirs.numpy())


def test_the_canvas_box_is_the_whole_pasted_canvas() -> None:
    found = canvas_boxes(place(INK, 6, size=36.5, x=41, y=70.25))
    assert found.tolist() == [[41 - 18.25, 70.25 - 18.25, 36.5, 36.5]]


@pytest.mark.parametrize(("side", "offset"), [(60, 20), (100, 0), (99, 0), (97, 1), (28, 36)])
def test_a_smaller_scene_lies_in_the_middle_of_the_frame(side: int, offset: int) -> None:
    assert frame_offset_px(side, 100) == offset
    pictures = np.random.default_rng(0).random((3, side, side), np.float32)
    expected = np.zeros((3, 100, 100), np.float32)
    expected[:, offset : offset + side, offset : offset + side] = pictures
    for framed in (
        centre_in_frame(pictures, 100),
        centre_in_frame(torch.from_numpy(pictures), 100).numpy(),
        (centre_in_frame((pictures * 255).astype(np.uint8), 100) / 255).astype(np.float32),
    ):
        assert framed.shape == (3, 100, 100)
        np.testing.assert_allclose(framed, expected, atol=1 / 255)


def test_a_larger_scene_is_refused() -> None:
    with pytest.raises(ValueError, match="side_px: expected at most the frame's 100, got 101"):
        centre_in_frame(np.zeros((1, 101, 101), np.float32), 100)
