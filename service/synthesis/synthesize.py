"""Make scenes for `/synthesize`: given parameters are set, the others are drawn from the seed."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from models.pictures.letterbox import Box
from models.pictures.pixels import Grey
from scenes.draw import draw
from scenes.presets import PRESETS
from scenes.render import render
from scenes.truth import ink_boxes
from service.queries import MAX_SEED, SceneQuery, SourceName
from service.synthesis.handwriting import DigitSource

PRESET = PRESETS["article"]


class Scene(NamedTuple):
    """One scene: uint8 `[100, 100]`, its truth and its parameters as `schemas.SceneAnswer` shows them."""

    picture: Grey
    truth: dict[str, Any]
    parameters: dict[str, Any]


class Synthesizer:
    """Makes scenes with digits from the requested source."""

    def __init__(self, sources: Mapping[SourceName, DigitSource]) -> None:
        self._sources = sources

    def make(self, query: SceneQuery) -> Scene:
        """Draw and render the scene of a query; without a seed, take a random one.

        Raises:
            DigitsUnavailableError: the digits that were asked for are not at hand.
        """
        seed = secrets.randbelow(MAX_SEED + 1) if query.seed is None else query.seed
        draw_from = partial(
            draw,
            PRESET,
            np.array([seed], np.int64),
            digit=query.digit,
            x=query.x,
            y=query.y,
            size=query.size,
            clutter=query.clutter,
            noise=query.noise,
            digit_noise=query.digit_noise,
            paper=query.paper,
        )
        parameters, digits, style = self._sources[query.digits].write(draw_from, query.style)
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
            "paper": query.paper,
            "digits": query.digits,
            "style": style,
            "seed": seed,
        }
        return Scene(picture, truth, used)
