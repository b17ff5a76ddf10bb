"""A set of digits is checked, ordered by class and softened."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from scenes.digits import make_digits, soften
from tests.scenes.banks import bank, dark, speckled_bank

IMAGES = np.zeros((10, 28, 28), np.uint8)
LABELS = np.arange(10)


def test_digits_of_a_class_are_found_by_its_start_and_count() -> None:
    digits = speckled_bank()
    assert int(digits.class_count.sum()) == 60
    for label in range(10):
        start, count = digits.class_start[label], digits.class_count[label]
        assert (
            digits.by_class[start : start + count].tolist() == np.flatnonzero(digits.labels == label).tolist()
        )


def test_a_bright_pixel_is_softened_by_a_triangle() -> None:
    canvas = dark()
    canvas[3, 9] = 160
    canvas[0, 27] = 160  # in a corner, a part of it falls off the canvas
    softened = bank({4: canvas}).softened[4]
    # (1, 2, 1) / 4 along both axes: sixteenths of 160.
    assert softened[2:5, 8:11].tolist() == [[10, 20, 10], [20, 40, 20], [10, 20, 10]]
    assert softened[0:2, 26:28].tolist() == [[20, 40], [10, 20]]
    assert int(softened.sum()) == 160 + 90


def test_torch_softens_as_numpy_does() -> None:
    images = speckled_bank().images
    assert np.array_equal(soften(torch.from_numpy(images)).numpy(), soften(images))


def test_softening_a_white_canvas_does_not_overflow() -> None:
    assert bank({4: np.full((28, 28), 255, np.uint8)}).softened[4, 1:-1, 1:-1].min() == 255


@pytest.mark.parametrize(
    ("images", "labels", "said"),
    [
        (IMAGES.astype(np.float32), LABELS, r"images: expected uint8 \[m, 28, 28\], got float32"),
        (IMAGES[:, :27], LABELS, r"images: expected uint8 \[m, 28, 28\], got uint8 \(10, 27, 28\)"),
        (IMAGES, LABELS[:9], r"labels: expected shape \(10,\), got \(9,\)"),
        (IMAGES, LABELS % 9, r"labels: expected every class of 0 to 9 .* counts \[2, 1, .*, 0\]"),
        (IMAGES, LABELS + 1, "labels: expected every class of 0 to 9 and no other"),
    ],
)
def test_what_are_no_digits_is_refused(images: np.ndarray, labels: np.ndarray, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        make_digits(images, labels)


def test_digits_are_a_copy_of_what_they_were_made_from() -> None:
    images = IMAGES.copy()
    digits = make_digits(images, LABELS)
    images[:] = 9
    assert not digits.images.any()
