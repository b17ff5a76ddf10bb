"""Tiny sets of digits that tests know every pixel of."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from scenes.digits import CLASS_COUNT, Digits, make_digits
from scenes.draw import SceneParameters, draw
from scenes.presets import Preset

Canvas = npt.NDArray[np.uint8]


def dark() -> Canvas:
    return np.zeros((28, 28), np.uint8)


def block(top: int, bottom: int, left: int, right: int, value: int = 255) -> Canvas:
    """A canvas that is dark but for rows top to bottom − 1 and columns left to right − 1."""
    canvas = dark()
    canvas[top:bottom, left:right] = value
    return canvas


def bank(known: Mapping[int, Canvas]) -> Digits:
    """One digit of each class: the known canvases, the other classes dark."""
    images = np.stack([known.get(label, dark()) for label in range(CLASS_COUNT)])
    return make_digits(images, np.arange(CLASS_COUNT))


def speckled_bank(count: int = 60, seed: int = 7) -> Digits:
    """Digits of random grey inside MNIST's 20 px, each unlike the others, the classes of unequal counts."""
    random = np.random.default_rng(seed)
    images = np.zeros((count, 28, 28), np.uint8)
    images[:, 4:24, 4:24] = random.integers(0, 256, (count, 20, 20))
    labels = np.concatenate([np.arange(CLASS_COUNT), random.integers(0, CLASS_COUNT, count - CLASS_COUNT)])
    return make_digits(images, labels)


def each_array(parameters: SceneParameters, change: Callable[[np.ndarray], Any]) -> SceneParameters:
    """The parameters with every array of theirs changed, those of the paper among them."""

    def changed(fields: Any) -> Any:
        arrays = {name: value for name, value in fields._asdict().items() if isinstance(value, np.ndarray)}
        return fields._replace(**{name: change(value) for name, value in arrays.items()})

    drawn: SceneParameters = changed(parameters)
    return drawn if drawn.paper is None else drawn._replace(paper=changed(drawn.paper))


def all_fields(parameters: SceneParameters) -> dict[str, Any]:
    """Each field by its name, those of the paper among them; what is not there is left out."""
    found = {name: value for name, value in parameters._asdict().items() if value is not None}
    if (paper := found.pop("paper", None)) is not None:
        found |= {f"paper.{name}": value for name, value in paper._asdict().items()}
    return found


BARE = Preset("bare", "a target alone, for tests", size_px=(1.0, 100.0))


def place(digits: Digits, digit: int, *, size: float, x: float, y: float) -> SceneParameters:
    """One scene of a target alone, without noise."""
    return draw(BARE, np.array([0]), digits, digit=digit, size=size, x=x, y=y)
