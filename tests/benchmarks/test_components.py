"""Parts of masks and boxes of maps, against cases worked by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.compare.baselines.components import boxes_above, find_runs, largest_part_boxes

PICTURE = """
.##....
.#..###
....#.#
##..###
##.....
"""


def mask_of(picture: str) -> np.ndarray:
    return np.array([[pixel == "#" for pixel in line] for line in picture.strip().splitlines()])


def label_parts(masks: np.ndarray) -> np.ndarray:
    """A number for each pixel that its part has and no other; 0 outside."""
    labels = np.zeros(masks.shape, np.int64)
    for mask, row, begin, end, part in zip(*find_runs(masks), strict=True):
        labels[mask, row, begin:end] = part + 1
    assert np.array_equal(labels > 0, masks)
    return labels


def test_the_parts_of_a_picture_have_a_number_each() -> None:
    labels = label_parts(mask_of(PICTURE)[None])[0]
    assert len(np.unique(labels)) == 4  # three parts and what is outside
    assert len({labels[0, 1], labels[0, 2], labels[1, 1]}) == 1
    assert len(np.unique(labels[1:4, 4:7])) == 2  # a ring, and the hole in it
    assert (labels[2, 5], labels[0, 0]) == (0, 0)


def test_the_box_is_of_the_largest_part_and_told_as_x_y_width_height() -> None:
    masks = np.stack([mask_of(PICTURE), np.zeros((5, 7), bool), np.ones((5, 7), bool)])
    assert largest_part_boxes(masks).tolist() == [[4, 1, 3, 3], [0, 0, 0, 0], [0, 0, 7, 5]]


def test_pixels_that_touch_at_a_corner_are_not_connected() -> None:
    assert largest_part_boxes(mask_of("#..\n.##\n...")[None]).tolist() == [[1, 1, 2, 1]]


def test_a_winding_part_is_one() -> None:
    spiral = mask_of("#######\n......#\n#####.#\n#...#.#\n#.###.#\n#.....#\n#######")
    assert len(np.unique(label_parts(spiral[None]))) == 2


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0.2, 0.8))
def test_numbers_agree_exactly_where_a_walk_leads_from_one_pixel_to_the_other(
    seed: int, share: float
) -> None:
    masks = np.random.default_rng(seed).random((2, 6, 9)) < share
    labels = label_parts(masks)
    for mask, found in zip(masks, labels, strict=True):
        parts: list[set[tuple[int, int]]] = []
        left = {(int(y), int(x)) for y, x in zip(*np.nonzero(mask), strict=True)}
        while left:
            part, edge = set(), [left.pop()]
            while edge:
                y, x = edge.pop()
                part.add((y, x))
                near = {(y + 1, x), (y - 1, x), (y, x + 1), (y, x - 1)} & left
                left -= near
                edge += near
            parts.append(part)
        assert [len({found[place] for place in part}) for part in parts] == [1] * len(parts)
        assert len({found[next(iter(part))] for part in parts}) == len(parts)
        assert not found[~mask].any()


def test_a_map_is_cut_at_shares_of_its_own_range() -> None:
    # Two hills on a floor of 10: a wide one up to 20, a narrow one up to 30.
    scores = np.full((1, 6, 8), 10.0, np.float32)
    scores[0, 1:3, 0:4] = 20
    scores[0, 4, 5:7] = 30
    boxes = boxes_above(scores, (0.4, 0.5, 0.6))[0]
    assert boxes.tolist() == [[0, 1, 4, 2], [0, 1, 4, 2], [5, 4, 2, 1]]


def test_a_flat_map_is_boxed_whole() -> None:
    assert boxes_above(np.zeros((1, 3, 4), np.float32), (0.5,)).tolist() == [[[0, 0, 4, 3]]]


@pytest.mark.parametrize("threshold", [0.05, 0.95])
def test_no_threshold_leaves_a_map_without_a_box(threshold: float) -> None:
    scores = np.random.default_rng(0).normal(size=(20, 10, 10)).astype(np.float32)
    assert (boxes_above(scores, (threshold,))[:, 0, 2:] >= 1).all()
