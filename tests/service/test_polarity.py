from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from models.pictures.letterbox import Box
from service.pictures.polarity import is_ink_dark


def frame_with(ground: np.ndarray | int, ink: int, rows: slice, columns: slice) -> np.ndarray:
    frame = np.full((100, 100), 0, np.uint8)
    frame[:] = ground
    frame[rows, columns] = ink
    return frame


def test_a_thin_dark_line_on_a_grey_gradient():
    gradient = np.linspace(110, 170, 100).astype(np.uint8)[None, :]
    frame = frame_with(gradient, 60, slice(30, 70), slice(52, 54))
    assert is_ink_dark(frame, Box(52, 30, 2, 40))


def test_a_thin_bright_line_on_the_same_gradient():
    gradient = np.linspace(110, 170, 100).astype(np.uint8)[None, :]
    frame = frame_with(gradient, 220, slice(30, 70), slice(52, 54))
    assert not is_ink_dark(frame, Box(52, 30, 2, 40))


def test_bright_ink_on_a_dark_ground():
    assert not is_ink_dark(frame_with(0, 255, slice(20, 50), slice(10, 30)), Box(10, 20, 20, 30))


def test_dark_ink_on_a_board_that_is_darker_than_half():
    assert is_ink_dark(frame_with(90, 10, slice(20, 50), slice(14, 20)), Box(14, 20, 6, 30))


@pytest.mark.parametrize(("ground", "ink", "dark"), [(200, 40, True), (40, 200, False)])
def test_a_box_in_the_frames_corner(ground, ink, dark):
    frame = frame_with(ground, ink, slice(90, 100), slice(94, 97))
    frame[:, :80] = ink  # a sheet's edge, or whatever else: far from the box it has no say
    assert is_ink_dark(frame, Box(94, 90, 6, 10)) is dark


@pytest.mark.parametrize("box", [Box(140, -60, 10, 10), Box(-20, 50, 0, 0), Box(50, 50, 0, 0)])
def test_a_box_outside_the_frame_or_of_no_size_is_no_error(box):
    assert not is_ink_dark(np.full((100, 100), 80, np.uint8), box)


def test_both_tails_equally_long_are_not_dark():
    frame = frame_with(100, 60, slice(40, 60), slice(40, 45))
    frame[40:60, 55:60] = 140
    assert not is_ink_dark(frame, Box(40, 40, 20, 20))


def test_a_few_pixels_of_noise_do_not_decide():
    frame = frame_with(200, 120, slice(30, 60), slice(45, 50))
    frame[35, 40] = frame[50, 56] = 255
    frame[58, 41] = 0
    assert is_ink_dark(frame, Box(40, 30, 20, 30))


@given(arrays(np.uint8, (20, 30)))
def test_the_negative_says_the_opposite_or_neither_is_dark(frame):
    box = Box(8, 5, 10, 12)
    assert not (is_ink_dark(frame, box) and is_ink_dark(255 - frame, box))


@given(st.integers(0, 255))
def test_a_plain_frame_has_no_dark_ink(grey):
    assert not is_ink_dark(np.full((100, 100), grey, np.uint8), Box(30, 30, 20, 20))
