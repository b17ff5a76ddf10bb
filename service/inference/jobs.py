"""What the service asks of a worker, and what a worker answers."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.inference.errors import PredictorError
from service.inference.predictor import Floats
from service.pictures.decode import ImageError
from service.queries import Maps
from service.settings import ProviderChoice


class PictureJob(NamedTuple):
    """A picture to be answered with the JSON of `/predict`.

    An `exclusive` picture has a batch of its own, so it may be large and be searched in many looks.
    `waited_s` is how long it waited for a worker.
    """

    data: bytes
    maps: Maps
    max_pixels: int
    exclusive: bool = False
    waited_s: float = 0.0


class TensorJob(NamedTuple):
    """Scenes as the model takes them, uint8 `[n, 1, 100, 100]`, for the outputs of these names."""

    scenes: npt.NDArray[np.uint8]
    names: tuple[str, ...]


class NeedsExclusive(NamedTuple):
    """The worker did not answer the picture: it takes too long for a batch that others share."""


Job = PictureJob | TensorJob
Outputs = Mapping[str, Floats]
Result = bytes | Outputs | NeedsExclusive | ImageError | PredictorError


class BatchResult(NamedTuple):
    """The results of a batch in its order, the seconds of its stages, and how many frames the model saw."""

    results: list[Result]
    decode_s: float = 0.0
    inference_s: float = 0.0
    encode_s: float = 0.0
    looks: int = 0


class WorkerConfig(NamedTuple):
    """What a worker is to load."""

    model_path: Path
    provider: ProviderChoice
    threads: int
    max_batch: int


class WorkerInfo(NamedTuple):
    """What a worker has loaded."""

    name: str
    version: str
    provider: str
    provider_note: str
