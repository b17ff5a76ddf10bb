"""Connected parts of score maps and their boxes: the step from a heat map to a box that CAM needs."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

Mask = npt.NDArray[np.bool_]
Indices = npt.NDArray[np.int64]


def boxes_above(maps: npt.NDArray[np.float32], thresholds: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """The box of the largest connected part above each threshold (Choe et al. 2020, section 4).

    Args:
        maps: scores `[n, height, width]`; each map is brought to [0, 1] by its own minimum and maximum first.
        thresholds: between 0 and 1.

    Returns:
        x, y, width, height in the map's pixels: float32 `[n, thresholds, 4]`.
    """
    lowest = maps.min(axis=(1, 2), keepdims=True)
    extent = maps.max(axis=(1, 2), keepdims=True) - lowest
    return np.stack([largest_part_boxes(maps - lowest >= t * extent) for t in thresholds], axis=1)


class Runs(NamedTuple):
    """The runs of masks: pixels of one row without a gap between them. All fields int64 `[runs]`."""

    mask: Indices  # which of the masks
    row: Indices
    begin: Indices  # first column
    end: Indices  # one past the last column
    part: Indices  # the first run of the connected part that it belongs to


def largest_part_boxes(masks: Mask) -> npt.NDArray[np.float32]:
    """The box around the connected part with the most pixels: float32 `[n, 4]`; zeros where there is none.

    Pixels that share an edge are connected. Of parts of one size the first wins.

    Args:
        masks: `[n, height, width]`.
    """
    count, height, width = masks.shape
    runs = find_runs(masks)
    sizes = np.bincount(runs.part, weights=runs.end - runs.begin, minlength=len(runs.part))
    # By mask, then by size, the largest first; a stable sort keeps the first of equals first.
    order = np.lexsort((-sizes[runs.part], runs.mask))
    seen, first = np.unique(runs.mask[order], return_index=True)
    largest = np.full(count, -1)
    largest[seen] = runs.part[order[first]]
    chosen = Runs(*(field[runs.part == largest[runs.mask]] for field in runs))
    low = np.tile([width, height], (count, 1))
    high = np.zeros((count, 2), np.int64)
    for axis, (begin, end) in enumerate(((chosen.begin, chosen.end), (chosen.row, chosen.row + 1))):
        np.minimum.at(low[:, axis], chosen.mask, begin)
        np.maximum.at(high[:, axis], chosen.mask, end)
    boxes = np.concatenate([low, high - low], axis=1)
    boxes[largest < 0] = 0
    return boxes.astype(np.float32)


def find_runs(masks: Mask) -> Runs:
    """The runs of masks `[n, height, width]`, in reading order, with the part that each belongs to.

    Runs of neighbouring rows that share a column belong together. Each run points at an earlier one, or at
    itself; where two that belong together point at different ones, the later of these is made to point at the
    earlier, and then all follow their pointers to the end, until nothing is left to do.
    """
    begins, ends = masks.copy(), masks.copy()
    begins[:, :, 1:] &= ~masks[:, :, :-1]
    ends[:, :, :-1] &= ~masks[:, :, 1:]
    mask, row, begin = np.nonzero(begins)
    end = np.nonzero(ends)[2] + 1
    # Of each pixel inside: which run it is in.
    number = np.cumsum(begins.ravel(), dtype=np.int64).reshape(masks.shape) - 1
    touch = masks[:, :-1] & masks[:, 1:]
    touch[:, :, 1:] &= ~(touch[:, :, :-1] & ~begins[:, :-1, 1:] & ~begins[:, 1:, 1:])  # once for each pair
    above, below = number[:, :-1][touch], number[:, 1:][touch]
    part = np.arange(len(mask))
    while True:
        one, other = part[above], part[below]
        apart = one != other
        if not apart.any():
            return Runs(mask, row, begin, end, part)
        np.minimum.at(part, np.maximum(one, other)[apart], np.minimum(one, other)[apart])
        while not np.array_equal(part, further := part[part]):
            part = further
