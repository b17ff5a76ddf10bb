"""The digits of a run's scenes, and how the run's files name them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, NamedTuple

from scenes.digits import Digits, with_non_digits
from scenes.mnist import load_digits
from trainer.data.non_digits import non_digits

NON_DIGITS = 12_000
HELD_OUT_NON_DIGITS = 1_000


class TrainingDigits(NamedTuple):
    """Digits of `train` to learn from, and of `held_out` to watch a run and to calibrate.

    Both have non-digits behind their digits. `source` describes those of `train`, for the model's sidecar.
    """

    train: Digits
    held_out: Digits
    source: str


def mnist_digits() -> TrainingDigits:
    """MNIST's training digits, the last of them held out.

    Raises:
        scenes.mnist.DigitsUnavailableError: MNIST is not to be had.
    """
    train = load_digits("train")
    mnist = f"MNIST training digits 0 to {len(train.labels) - 1:,} (CC BY-SA 3.0)"
    return TrainingDigits(
        with_non_digits(train, non_digits(NON_DIGITS, seed=0)),
        with_non_digits(load_digits("validation"), non_digits(HELD_OUT_NON_DIGITS, seed=1)),
        f"{mnist}, drawn letters, doodles and shapes",
    )


def name_digits(digits: TrainingDigits) -> dict[str, str]:
    """What a run says of the digits that it learns from: their source, and a SHA-256 of images and labels."""
    content = hashlib.sha256(digits.train.images.tobytes())
    content.update(digits.train.labels.tobytes())
    return {"source": digits.source, "sha256": content.hexdigest()}


def source_of(about: Mapping[str, Any]) -> str:
    """What a run learnt from, in words; earlier runs do not name it."""
    source: str = about.get("digits", {}).get("source", "digits that the run does not name")
    return source
