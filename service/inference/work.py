"""What a worker does with a batch: decode, predict, lead back to the pictures, encode. All of it blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from time import perf_counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.inference.answer import Reading, compose, model_of, to_json
from service.inference.images import Grey, ImageError, TooManyPixelsError, decode_picture
from service.inference.letterbox import letterbox
from service.inference.predictor import Floats, Prediction, Predictor, PredictorError
from service.queries import Maps

LARGE_PIXELS = 512 * 512
"""A picture of more pixels is answered apart from others: decoding it would keep them waiting."""


class PictureJob(NamedTuple):
    """A picture to be answered with the JSON of `/predict`.

    `arrived_s` is when, by `perf_counter`, which is one clock for all processes of a machine. `alone` says
    that nobody waits in the same batch, so that the picture may be large.
    """

    data: bytes
    maps: Maps
    max_pixels: int
    arrived_s: float
    alone: bool = False


class TensorJob(NamedTuple):
    """Scenes as the model takes them, uint8 `[n, 1, 100, 100]`, for the outputs of these names."""

    scenes: npt.NDArray[np.uint8]
    names: tuple[str, ...]


class IsLarge(NamedTuple):
    """The picture was not answered: it has to be asked alone."""


Job = PictureJob | TensorJob
Outputs = Mapping[str, Floats]
Result = bytes | Outputs | IsLarge | ImageError | PredictorError


class Done(NamedTuple):
    """The results of a batch in its order, and what its stages took, in seconds."""

    results: list[Result]
    decode_s: float = 0.0
    inference_s: float = 0.0
    encode_s: float = 0.0


class Work:
    """Answers batches with one predictor."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._model = model_of(predictor)

    def __call__(self, jobs: Sequence[Job]) -> Done:
        """The results of some jobs; each has its own, be it an error. An empty batch asks for a sign of life.

        Raises:
            PredictorError: there were no jobs, and the model cannot answer.
        """
        if not jobs:
            self._predictor.check()
            return Done([])
        if isinstance(jobs[0], TensorJob):
            return self._tensors([job for job in jobs if isinstance(job, TensorJob)])
        return self._pictures([job for job in jobs if isinstance(job, PictureJob)])

    def _tensors(self, jobs: Sequence[TensorJob]) -> Done:
        start = perf_counter()
        names = tuple(dict.fromkeys(name for job in jobs for name in job.names))
        try:
            outputs = self._predictor.run(np.concatenate([job.scenes for job in jobs]), names)
        except PredictorError as error:
            return Done([error for _ in jobs])
        results: list[Result] = []
        first = 0
        for job in jobs:
            last = first + len(job.scenes)
            results.append({name: outputs[name][first:last] for name in job.names})
            first = last
        return Done(results, inference_s=perf_counter() - start)

    def _pictures(self, jobs: Sequence[PictureJob]) -> Done:
        start = perf_counter()
        read = [_read(job, start) for job in jobs]
        good = [reading for reading in read if isinstance(reading, Reading)]
        decoded = perf_counter()
        try:
            rows = iter(predict_each(self._predictor, [reading.frame for reading in good]))
        except PredictorError as error:
            return Done([error if isinstance(reading, Reading) else reading for reading in read])
        predicted = perf_counter()
        results: list[Result] = []
        for job, reading in zip(jobs, read, strict=True):
            if isinstance(reading, Reading):
                inference_ms = (predicted - decoded) * 1000
                results.append(to_json(compose(reading, next(rows), job.maps, self._model, inference_ms)))
            else:
                results.append(reading)
        return Done(results, decoded - start, predicted - decoded, perf_counter() - predicted)


def predict_each(predictor: Predictor, frames: Sequence[Grey]) -> list[Prediction]:
    """One prediction for each frame, whose arrays lack the batch axis; PredictorError as `predict`."""
    if not frames:
        return []
    prediction = predictor.predict(np.stack(frames)[:, None])
    # Rounding in float32 may carry a probability a hair over 1.
    of_all = prediction._replace(
        probabilities=np.clip(prediction.probabilities, 0, 1),
        digit_present=np.clip(prediction.digit_present, 0, 1),
    )
    return [Prediction(*row) for row in zip(*of_all, strict=True)]


def _read(job: PictureJob, taken_s: float) -> Reading | IsLarge | ImageError:
    start = perf_counter()
    most = job.max_pixels if job.alone else min(job.max_pixels, LARGE_PIXELS)
    try:
        # Where others wait, a JPEG is not reduced to fit: it is asked alone, for all that it shows.
        picture = decode_picture(job.data, most, reduce=job.alone)
        frame, placement = letterbox(picture.grey)
    except TooManyPixelsError as error:
        return IsLarge() if most < job.max_pixels else error
    except ImageError as error:
        return error
    return Reading(
        frame,
        placement.in_posted(picture.width_px, picture.height_px),
        queue_ms=(taken_s - job.arrived_s) * 1000,
        decode_ms=(perf_counter() - start) * 1000,
    )
