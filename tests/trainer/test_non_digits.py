"""What is no digit looks like ink in MNIST's canvas, and is always the same."""

from __future__ import annotations

import numpy as np

from trainer.data.drawings import SIGNS
from trainer.data.non_digits import non_digits


def test_canvases_have_ink_of_mnists_length_in_their_middle() -> None:
    canvases = non_digits(60, seed=3)
    assert canvases.dtype == np.uint8
    assert canvases.shape == (60, 28, 28)
    for canvas in canvases:
        rows, columns = np.flatnonzero(canvas.any(axis=1)), np.flatnonzero(canvas.any(axis=0))
        assert 18 <= max(np.ptp(rows), np.ptp(columns)) + 1 <= 20
        assert abs(rows.mean() - 13.5) < 2
        assert canvas.max() > 150


def test_one_seed_makes_one_set_and_another_seed_another() -> None:
    assert np.array_equal(non_digits(6, seed=0), non_digits(6, seed=0))
    assert not np.array_equal(non_digits(6, seed=0), non_digits(6, seed=1))
    assert len({canvas.tobytes() for canvas in non_digits(40, seed=0)}) > 35


def test_no_sign_is_written_like_a_digit() -> None:
    assert not set(SIGNS) & set("0123456789OoQDIlJj|!/ZzSsBbGgqLYy")
