"""The baseline for pictures of paper: Otsu's threshold, the largest connected part, a digit classifier.

After Otsu, *A Threshold Selection Method from Gray-Level Histograms*, IEEE Transactions on Systems, Man, and
Cybernetics 1979. Ink is the rarer side of the threshold.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.compare.baselines.components import largest_part_boxes
from benchmarks.model_card.classifier import DigitClassifier, cached_classifier, name_digits
from models.pictures.letterbox import Box
from models.pictures.pixels import Grey
from scenes.mnist import load_digits
from scenes.presets import CANVAS_SIDE

_WORKING_PX = 400
"""Pictures are shrunk to this side first: connected parts of millions of pixels tell nothing more."""
_INK_PX = 20
"""MNIST's digits are 20 px long in their canvas."""
CLASSIFIER_PATH = Path("runs") / "otsu-classifier.pt"


class OtsuBaseline:
    """Names and frames the digit of a picture."""

    def __init__(self, classifier: DigitClassifier) -> None:
        self._classifier = classifier

    @classmethod
    def trained(cls) -> OtsuBaseline:
        """With a classifier of MNIST's training digits, trained in minutes where there is none yet."""
        digits = load_digits("train")
        return cls(cached_classifier(digits.images, digits.labels, seed=0, path=CLASSIFIER_PATH))

    def answer(self, grey: Grey) -> tuple[int, Box]:
        """The label and the box of the largest connected ink, in px of the picture."""
        height, width = grey.shape
        shrink = min(1.0, _WORKING_PX / max(height, width))
        size = max(1, round(width * shrink)), max(1, round(height * shrink))
        small = np.asarray(Image.fromarray(grey).resize(size, Image.Resampling.BOX))
        dark = small <= otsu_threshold(small)
        ink = dark if dark.mean() < 0.5 else ~dark
        (found,) = largest_part_boxes(ink[None])
        left, top, wide, high = (round(float(value)) for value in found)
        if not wide:
            return 0, Box(0.0, 0.0, 0.0, 0.0)
        digit = _canvas(ink[top : top + high, left : left + wide])
        label = int(name_digits(self._classifier, digit[None])[0])
        across, down = width / size[0], height / size[1]
        return label, Box(left * across, top * down, wide * across, high * down)


def otsu_threshold(grey: Grey) -> int:
    """The value that splits intensities into two classes of the largest variance between them."""
    counts = np.bincount(grey.ravel(), minlength=256).astype(np.float64)
    below = np.cumsum(counts)
    mass = np.cumsum(counts * np.arange(256))
    above = below[-1] - below
    with np.errstate(invalid="ignore", divide="ignore"):
        between = (mass[-1] * below / below[-1] - mass) ** 2 / (below * above)
    return int(np.nan_to_num(between, nan=-1.0, posinf=-1.0).argmax())


def _canvas(ink: npt.NDArray[np.bool_]) -> npt.NDArray[np.uint8]:
    """Ink as MNIST has it: 20 px long, its centre of mass in the middle of the canvas, uint8 `[28, 28]`."""
    picture = Image.fromarray((ink * 255).astype(np.uint8))
    scale = _INK_PX / max(ink.shape)
    size = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    digit = np.asarray(picture.resize(size, Image.Resampling.BOX)).astype(np.float64)
    rows, columns = np.mgrid[: size[1], : size[0]] + 0.5
    top, left = (
        int(np.clip(round(CANVAS_SIDE / 2 - (at * digit).sum() / digit.sum()), 0, CANVAS_SIDE - extent))
        for at, extent in ((rows, size[1]), (columns, size[0]))
    )
    canvas = np.zeros((CANVAS_SIDE, CANVAS_SIDE), np.uint8)
    canvas[top : top + size[1], left : left + size[0]] = np.rint(digit)
    return canvas
