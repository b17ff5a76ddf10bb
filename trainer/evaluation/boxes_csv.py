"""True boxes that a person drew on pictures of a folder: to measure with, never to train with."""

from __future__ import annotations

import csv
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from trainer.evaluation.metrics import intersection_over_union

COLUMNS_OF_BOXES = ("file", "x", "y", "width", "height")
_BEYOND_PX = 1.0
"""Some tools count pixels from 1, or round outwards: so far a box may reach beyond its picture."""

TrueBoxes = npt.NDArray[np.float64]
"""x and y of the top-left corner, width, height, in px of the upright picture, `[n, 4]`."""


class BoxesError(ValueError):
    """A file of boxes cannot be used; the message names line and column, what was expected and what came."""


class _Row(NamedTuple):
    """A line of the file: how errors name it, and its values by column."""

    where: str
    values: Mapping[str, str]


def read_boxes(path: Path, sizes_px: Mapping[str, tuple[int, int]]) -> dict[str, TrueBoxes]:
    """Read `file,x,y,width,height`, one box in each line.

    A picture with several objects has several lines. Pictures without a line are not measured.

    Args:
        path: a CSV file in UTF-8 with these names in its first line, in any order.
        sizes_px: width and height of each upright picture that may be named, by its name in the folder.

    Returns:
        The boxes of each picture that is named, at least one.

    Raises:
        BoxesError: the file cannot be read, or a value is not what it should be.
    """
    boxes: dict[str, list[tuple[float, ...]]] = {}
    for row in _rows(path):
        file = row.values["file"]
        if file not in sizes_px:
            raise BoxesError(
                f"{row.where}, column file: expected a readable picture's name below the folder, "
                f"as {next(iter(sizes_px), 'cat/1.jpg')!r}, got {file!r}"
            )
        boxes.setdefault(file, []).append(_box(row, *sizes_px[file]))
    if not boxes:
        raise BoxesError(f"{path}: expected at least one box, got none")
    return {file: np.array(found) for file, found in boxes.items()}


def best_true_boxes(found: TrueBoxes, true_boxes: Sequence[TrueBoxes]) -> TrueBoxes:
    """For each found box `[n, 4]` the true box of its picture that it overlaps most, `[n, 4]`.

    The model frames one object. Where a picture has several, any of them counts as the right one.
    """
    best = []
    for box, several in zip(found, true_boxes, strict=True):
        overlaps = intersection_over_union(np.broadcast_to(box, several.shape), several)
        best.append(several[overlaps.argmax()])
    return np.array(best).reshape(-1, 4)


def _rows(path: Path) -> Iterator[_Row]:
    try:
        # A spreadsheet's byte order mark is passed over; names of files need not be UTF-8.
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as stream:
            reader = csv.reader(stream, strict=True)
            names = [name.strip() for name in next(reader, [])]
            if sorted(names) != sorted(COLUMNS_OF_BOXES):
                wanted, got = ",".join(COLUMNS_OF_BOXES), ",".join(names)
                raise BoxesError(f"{path}, line 1: expected the columns {wanted}, got {got!r}")
            for values in reader:
                where = f"{path}, line {reader.line_num}"
                if not values:
                    continue
                if len(values) != len(names):
                    raise BoxesError(f"{where}: expected {len(names)} values, got {len(values)}")
                yield _Row(where, dict(zip(names, values, strict=True)))
    except OSError as error:
        raise BoxesError(f"{path} cannot be read: {error.strerror or error}") from error
    except csv.Error as error:
        raise BoxesError(f"{path} is no CSV file: {error}") from error


def _box(row: _Row, width_px: int, height_px: int) -> tuple[float, float, float, float]:
    x, y, width, height = (_number(row, column) for column in COLUMNS_OF_BOXES[1:])
    for column, extent in (("width", width), ("height", height)):
        if extent <= 0:
            raise BoxesError(f"{row.where}, column {column}: expected more than 0 px, got {extent:g}")
    for column, start, extent, size in (("x", x, width, width_px), ("y", y, height, height_px)):
        if start < -_BEYOND_PX or start + extent > size + _BEYOND_PX:
            raise BoxesError(
                f"{row.where}, column {column}: expected a box inside of the upright picture of {width_px} x "
                f"{height_px} px, got one from {start:g} to {start + extent:g}"
            )
    return x, y, width, height


def _number(row: _Row, column: str) -> float:
    text = row.values[column]
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise BoxesError(f"{row.where}, column {column}: expected a number of px, got {text!r}")
    return number
