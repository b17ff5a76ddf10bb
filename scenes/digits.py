"""A set of digits, prepared so that scenes can be drawn by class without a loop."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from scenes.backend import Array, like, namespace
from scenes.presets import CANVAS_SIDE

CLASS_COUNT = 10


class Digits(NamedTuple):
    """Digits of one split, on one library and device.

    `images` uint8 `[m, 28, 28]`, which non-digits may follow that `draw` never draws
    (`with_non_digits`); `labels` int64 `[m]`; `softened` are the images after a 3×3 triangle
    filter, which the small clutter digits are sampled from, uint8 `[m, 28, 28]`; `by_class` int64 `[m]`
    are the indices in the order of their classes, of which class c begins at `class_start[c]` and has
    `class_count[c]`.
    """

    images: Array
    labels: Array
    softened: Array
    by_class: Array
    class_start: Array
    class_count: Array


def make_digits(
    images: npt.NDArray[np.uint8], labels: npt.NDArray[np.integer], *, every_class: bool = True
) -> Digits:
    """Prepare digits for `draw` and `render`.

    Args:
        images: uint8 `[m, 28, 28]`, bright ink on a dark ground.
        labels: whole numbers 0 to 9 `[m]`; every class must occur.
        every_class: False if nothing is drawn by class, so that classes may be missing.

    Raises:
        ValueError: a shape, type or class is not as above.
    """
    if images.dtype != np.uint8 or images.shape[1:] != (CANVAS_SIDE, CANVAS_SIDE):
        raise ValueError(
            f"images: expected uint8 [m, {CANVAS_SIDE}, {CANVAS_SIDE}], got {images.dtype} {images.shape}"
        )
    if labels.shape != images.shape[:1]:
        raise ValueError(f"labels: expected shape {images.shape[:1]}, got {labels.shape}")
    counts = np.bincount(labels, minlength=CLASS_COUNT)
    if len(counts) != CLASS_COUNT or (every_class and counts.min() == 0):
        raise ValueError(f"labels: expected every class of 0 to 9 and no other, got counts {counts.tolist()}")
    return Digits(
        images=np.array(images),  # a copy: what comes from a file may be read-only
        labels=labels.astype(np.int64),
        softened=soften(images),
        by_class=np.argsort(labels, kind="stable"),
        class_start=np.concatenate([[0], np.cumsum(counts)[:-1]]).astype(np.int64),
        class_count=counts.astype(np.int64),
    )


def digits_like(reference: Array, digits: Digits) -> Digits:
    """NumPy `digits` as arrays of the library and on the device of `reference`."""
    return Digits(*(like(reference, field) for field in digits))


def soften(images: Array) -> Array:
    """Triangle filter (1, 2, 1) / 4 along both axes: what a scene pixel of a half-size canvas covers.

    Args:
        images: uint8 `[m, 28, 28]`, on any library.

    Returns:
        The same shape and type, rounded to whole numbers.
    """
    xp = namespace(images)
    values = xp.astype(images, xp.int16)
    for _ in range(2):  # along the columns, then, turned, along the rows
        dark = xp.zeros_like(values[:, :1])
        above = xp.concat([dark, values[:, :-1]], axis=1)
        below = xp.concat([values[:, 1:], dark], axis=1)
        values = xp.matrix_transpose(above + 2 * values + below)
    return xp.astype((values + 8) // 16, xp.uint8)


def with_non_digits(digits: Digits, others: npt.NDArray[np.uint8]) -> Digits:
    """The same digits, on NumPy, followed by canvases that show no digit: uint8 `[k, 28, 28]`.

    Non-digit k has the index m + k. `draw` never draws it; `scenes.edit.replace_by_non_digits` puts it into
    scenes.
    """
    return digits._replace(
        images=np.concatenate([digits.images, others]),
        softened=np.concatenate([digits.softened, soften(others)]),
    )
