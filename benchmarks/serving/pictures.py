"""What is posted: a few scenes of the `article` distribution as PNGs, the same in every run."""

from __future__ import annotations

import io
from collections.abc import Sequence
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image

from benchmarks.serving.wire import Posted
from models.digits_contract import DIGITS_PATH
from service.queries import SynthesizeQuery
from service.synthesis.generator import OnnxGenerator
from service.synthesis.handwriting import GeneratedDigits
from service.synthesis.synthesize import Synthesizer

PICTURES = 16
"""So many that no server gains by remembering an answer."""


@cache
def make_pictures(count: int = PICTURES) -> list[bytes]:
    """PNGs of 100×100 px, of digits that the committed generator writes."""
    synthesizer = Synthesizer({"generated": GeneratedDigits(OnnxGenerator(DIGITS_PATH))})
    return [_png(synthesizer.make(SynthesizeQuery(seed=seed)).picture) for seed in range(count)]


def make_requests(pngs: Sequence[bytes], maps: str = "none") -> list[Posted]:
    """Posts of pictures to this service."""
    return [Posted(f"/predict?maps={maps}", {"Content-Type": "image/png"}, png) for png in pngs]


def _png(picture: npt.NDArray[np.uint8]) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(picture).save(stream, "PNG")
    return stream.getvalue()
