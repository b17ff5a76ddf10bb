"""What a worker does with a batch: decode, look, lead back to the pictures, encode. All of it blocks."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from time import perf_counter
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from service.inference.answer import Reading, compose, model_of, to_json
from service.inference.errors import PredictorError
from service.inference.looks import Look, search
from service.inference.predictor import Floats, Prediction, Predictor
from service.pictures.decode import Grey, ImageError, Picture, TooManyPixelsError, decode_picture
from service.pictures.letterbox import Placement, cut_frame
from service.queries import Maps

LARGE_PIXELS = 512 * 512
"""A picture of more pixels is answered apart from others: decoding it would keep them waiting."""

_FRAMES_PER_CALL = 16
"""Most frames of one model call where there are fewer pictures: searching one picture takes no more memory
than a usual batch."""


_SHARED_LOOKS = 2
"""Most looks of a round in which others wait for the same batch: the whole picture from near and far."""


class PictureJob(NamedTuple):
    """A picture to be answered with the JSON of `/predict`.

    `arrived_s` is when, by `perf_counter`, which is one clock for all processes of a machine. `alone` says
    that nobody waits in the same batch, so that the picture may be large, and searched in many looks.
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
    """The results of a batch in its order, what its stages took, in seconds, and the frames of its looks."""

    results: list[Result]
    decode_s: float = 0.0
    inference_s: float = 0.0
    encode_s: float = 0.0
    looks: int = 0


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
        return Done(results, inference_s=perf_counter() - start, looks=first)

    def _pictures(self, jobs: Sequence[PictureJob]) -> Done:
        start = perf_counter()
        read = [_read(job, start) for job in jobs]
        pictures = [reading.picture for reading in read if isinstance(reading, Reading)]
        decoded = perf_counter()
        try:
            looked = look_at(self._predictor, pictures, alone=all(job.alone for job in jobs))
        except PredictorError as error:
            return Done([error if isinstance(reading, Reading) else reading for reading in read])
        predicted = perf_counter()
        inference_ms = (predicted - decoded) * 1000
        looks = iter(looked.best)
        results: list[Result] = []
        for job, reading in zip(jobs, read, strict=True):
            if not isinstance(reading, Reading):
                results.append(reading)
            elif (look := next(looks)) is None:
                results.append(IsLarge())
            else:
                results.append(to_json(compose(reading, look, job.maps, self._model, inference_ms)))
        encode_s = perf_counter() - predicted
        return Done(results, decoded - start, predicted - decoded, encode_s, looked.frames)


class Looked(NamedTuple):
    """What came of looking at some pictures."""

    best: list[Look | None]  # the look that answers each picture; None where it has to be asked alone
    frames: int  # how many the model was shown


def look_at(predictor: Predictor, pictures: Sequence[Picture], *, alone: bool) -> Looked:
    """Look at pictures in rounds, each round of all pictures together.

    Args:
        predictor: the model.
        pictures: decoded; the looks at them are in px of what was posted.
        alone: whether pictures may be searched in many looks, since nobody else waits for their batch.

    Raises:
        PredictorError: as `predict`.
    """
    best: list[Look | None] = [None] * len(pictures)
    searches = [search(*picture.grey.shape[::-1]) for picture in pictures]
    rounds = {number: next(one) for number, one in enumerate(searches)}
    frames = 0
    while rounds:
        if not alone:
            rounds = {number: asked for number, asked in rounds.items() if len(asked) <= _SHARED_LOOKS}
        windows = [(pictures[number].grey, window) for number, round_ in rounds.items() for window in round_]
        looks = iter(_look_at_windows(predictor, windows, max(len(pictures), _FRAMES_PER_CALL)))
        frames += len(windows)
        rounds_to_come = {}
        for number, round_ in rounds.items():
            try:
                rounds_to_come[number] = searches[number].send(list(islice(looks, len(round_))))
            except StopIteration as end:
                look, picture = end.value.without_faint_edge(predictor.box_edge_per_side), pictures[number]
                in_posted = look.placement.in_posted(picture.width_px, picture.height_px)
                best[number] = look._replace(placement=in_posted)
        rounds = rounds_to_come
    return Looked(best, frames)


def _look_at_windows(
    predictor: Predictor, windows: Sequence[tuple[Grey, Placement]], per_call: int
) -> list[Look]:
    looks: list[Look] = []
    for start in range(0, len(windows), per_call):
        part = windows[start : start + per_call]
        frames = [cut_frame(picture, placement) for picture, placement in part]
        prediction = predictor.predict(np.stack(frames)[:, None])
        # Rounding in float32 may carry a probability a hair over 1.
        of_all = prediction._replace(
            probabilities=np.clip(prediction.probabilities, 0, 1),
            digit_present=np.clip(prediction.digit_present, 0, 1),
        )
        for (_, placement), frame, row in zip(part, frames, zip(*of_all, strict=True), strict=True):
            looks.append(Look(placement, frame, Prediction(*row)))
    return looks


def _read(job: PictureJob, taken_s: float) -> Reading | IsLarge | ImageError:
    start = perf_counter()
    most = job.max_pixels if job.alone else min(job.max_pixels, LARGE_PIXELS)
    try:
        # Where others wait, a JPEG is not reduced to fit: it is asked alone, for all that it shows.
        picture = decode_picture(job.data, most, reduce=job.alone)
    except TooManyPixelsError as error:
        return IsLarge() if most < job.max_pixels else error
    except ImageError as error:
        return error
    return Reading(
        picture, queue_ms=(taken_s - job.arrived_s) * 1000, decode_ms=(perf_counter() - start) * 1000
    )
