"""The sources of digits for scenes: a generator, or MNIST's test split."""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from scenes.digits import CLASS_COUNT, Digits, make_digits
from scenes.draw import SceneParameters
from scenes.mnist import load_digits
from scenes.presets import CANVAS_SIDE
from scenes.random import Stream
from scenes.styles import draw_styles

DrawFrom = Callable[[Digits], SceneParameters]
"""Draws one scene from a set of digits."""


class Written(NamedTuple):
    """A drawn scene, the digits that its indices refer to, and the style of its target."""

    parameters: SceneParameters
    digits: Digits
    style: int


class DigitSource(Protocol):
    """A source of digits. Its method may be called from several threads at once."""

    def write(self, draw_from: DrawFrom, style: int | None) -> Written:
        """Draw a scene and find its digits; without a style, the target's comes from the scene's seed."""


class Generator(Protocol):
    """Writes digits: a style of a class always gives the same picture, on every machine and in any batch."""

    def generate(
        self, classes: npt.NDArray[np.int64], styles: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Digits of classes `[n]` in styles `[n]`, bright on dark: uint8 `[n, 28, 28]`."""


class GeneratedDigits:
    """New digits for every scene."""

    # In a set of one digit per class, an index is a class: the draw gives classes.
    _CLASSES = make_digits(
        np.zeros((CLASS_COUNT, CANVAS_SIDE, CANVAS_SIDE), np.uint8), np.arange(CLASS_COUNT)
    )

    def __init__(self, generator: Generator) -> None:
        self._generator = generator

    def write(self, draw_from: DrawFrom, style: int | None) -> Written:
        """Draw the classes, then write the target and all of its clutter at once."""
        parameters = draw_from(self._CLASSES)
        clutter = int(parameters.clutter_count[0])
        if style is None:
            style = int(draw_styles(parameters.seed, Stream.STYLE, 1)[0, 0])
        clutter_styles = draw_styles(parameters.seed, Stream.CLUTTER_STYLE, clutter)[0]
        classes = np.concatenate([parameters.label, parameters.clutter_index[0, :clutter]])
        images = self._generator.generate(classes, np.concatenate([[style], clutter_styles]))
        slots = parameters.clutter_index.shape[1]
        in_use = np.minimum(1 + np.arange(slots), clutter)  # slots beyond the count are not rendered
        return Written(
            parameters._replace(digit_index=np.zeros(1, np.int64), clutter_index=in_use[None]),
            make_digits(images, classes, every_class=False),
            style,
        )


class MnistDigits:
    """MNIST's test digits, loaded on first use, since a service without them can do everything else."""

    def __init__(self, digits: Digits | None = None) -> None:
        """Take the digits; without them, load the test split when needed."""
        self._digits = digits
        self._lock = Lock()

    def write(self, draw_from: DrawFrom, style: int | None) -> Written:
        """Draw from the test digits; a style is the target's index in its class, and wraps around.

        Raises:
            DigitsUnavailableError: MNIST is not at hand; nothing is downloaded here.
        """
        digits = self._find_digits()
        parameters = draw_from(digits)
        label = parameters.label[0]
        of_class = digits.by_class[digits.class_start[label] :][: digits.class_count[label]]
        if style is None:
            style = int(np.flatnonzero(of_class == parameters.digit_index[0])[0])
        chosen = of_class[style % len(of_class)]
        return Written(parameters._replace(digit_index=np.array([chosen])), digits, style)

    def _find_digits(self) -> Digits:
        with self._lock:
            if self._digits is None:
                # A failure is not cached: the files may be put in place while the service runs.
                self._digits = load_digits("test", download=False)
            return self._digits
