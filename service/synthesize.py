"""Make scenes for `/synthesize`, from the digits of MNIST's test split."""

from __future__ import annotations

import secrets
from threading import Lock
from typing import Any, NamedTuple

import numpy as np

from scenes.digits import Digits
from scenes.draw import draw
from scenes.mnist import load_digits
from scenes.presets import PRESETS
from scenes.render import render
from scenes.truth import ink_boxes
from service.images import Grey
from service.letterbox import Box
from service.queries import MAX_SEED, SynthesizeQuery

PRESET = PRESETS["article"]


class Scene(NamedTuple):
    """One scene: uint8 `[100, 100]`, its truth and its parameters as `schemas.SceneAnswer` shows them."""

    picture: Grey
    truth: dict[str, Any]
    parameters: dict[str, Any]


class Synthesizer:
    """Makes scenes; finds the digits on first use, since a service without them still predicts."""

    def __init__(self, digits: Digits | None = None) -> None:
        """Take the digits to draw from; without them, MNIST's test split is looked for when needed."""
        self._digits = digits
        self._lock = Lock()

    def make(self, query: SynthesizeQuery) -> Scene:
        """Draw and render the scene that a query asks for; without a seed, a random one is taken.

        Raises:
            DigitsUnavailableError: MNIST is not at hand; nothing is downloaded here.
        """
        digits = self._find_digits()
        seed = secrets.randbelow(MAX_SEED + 1) if query.seed is None else query.seed
        parameters = draw(
            PRESET,
            np.array([seed], np.int64),
            digits,
            digit=query.digit,
            x=query.x,
            y=query.y,
            size=query.size,
            clutter=query.clutter,
            noise=query.noise,
            digit_noise=query.digit_noise,
        )
        picture = np.rint(render(parameters, digits)[0] * 255).astype(np.uint8)
        truth = {
            "label": parameters.label[0],
            "bbox": Box(*ink_boxes(parameters, digits)[0].tolist())._asdict(),
        }
        used = {
            "digit": parameters.label[0],
            "x": parameters.centre_x_px[0],
            "y": parameters.centre_y_px[0],
            "size": parameters.size_px[0],
            "clutter": parameters.clutter_count[0],
            "noise": parameters.noise_sigma[0],
            "digit_noise": parameters.digit_noise_share[0],
            "seed": seed,
        }
        return Scene(picture, truth, used)

    def _find_digits(self) -> Digits:
        with self._lock:
            if self._digits is None:
                # A failure is not remembered: the files may be put in place while the service runs.
                self._digits = load_digits("test", download=False)
            return self._digits
