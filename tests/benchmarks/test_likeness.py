"""Precision, recall and distances on points that can be checked by hand."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.model_card.likeness import distances_among, nearest_distances, precision_recall


def line(*places: float) -> np.ndarray:
    return np.array([[place, 0.0] for place in places], np.float32)


def test_precision_and_recall_by_hand() -> None:
    # The third nearest neighbours of 0, 1, 2, 3 and 4 are 3, 2, 2, 2 and 3 away: balls from −3 to 7.
    real = line(0, 1, 2, 3, 4)
    # Those of 6, 8, 10, 12 are 6, 4, 4 and 6 away: balls from 0 to 18.
    generated = line(6, 8, 10, 12)
    found = precision_recall(real, generated)
    assert found.precision == pytest.approx(1 / 4)
    assert found.recall == 1


def test_a_set_is_all_like_itself_and_nothing_like_one_far_away() -> None:
    rows = np.random.default_rng(0).normal(size=(60, 4)).astype(np.float32)
    assert precision_recall(rows, rows) == (1, 1)
    assert precision_recall(rows, rows + 1000) == (0, 0)


def test_distances_by_hand() -> None:
    known = np.zeros((3, 28, 28), np.uint8)
    known[1, 0, :4] = 255
    known[2, 0, :9] = 255
    np.testing.assert_allclose(distances_among(known), [2, 2, np.sqrt(5)], atol=1e-5)
    asked = np.zeros((2, 28, 28), np.uint8)
    asked[0, 0, :3] = 255
    asked[1, 1, 0] = 51
    np.testing.assert_allclose(nearest_distances(asked, known), [1, 0.2], atol=1e-5)
