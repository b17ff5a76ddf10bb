"""What a worker does with a batch: decode, run the model, encode the answers. All of it blocks."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import islice
from time import perf_counter
from typing import NamedTuple

import numpy as np

from models.pictures.letterbox import Placement, cut_frame
from models.pictures.pixels import Grey
from service.inference.answer import Reading, compose, model_of, to_json
from service.inference.errors import PredictorError
from service.inference.jobs import BatchResult, Job, NeedsExclusive, PictureJob, Result, TensorJob
from service.inference.looks import Look, search
from service.inference.policy import EXCLUSIVE_PIXELS
from service.inference.predictor import Prediction, Predictor
from service.pictures.decode import ImageError, Picture, TooManyPixelsError, decode_picture

_FRAMES_PER_CALL = 16
"""Most frames in one model call if there are fewer pictures: searching one picture then takes no more memory
than a usual batch."""


_SHARED_LOOKS = 2
"""Most looks per round and picture in a shared batch: the whole picture from near and far."""


class Work:
    """Answers batches with one predictor."""

    def __init__(self, predictor: Predictor) -> None:
        self._predictor = predictor
        self._model = model_of(predictor)

    def __call__(self, jobs: Sequence[Job]) -> BatchResult:
        """The results of some jobs, an error being one too; an empty batch asks whether the model answers.

        Raises:
            PredictorError: there were no jobs, and the model cannot answer.
        """
        if not jobs:
            self._predictor.check()
            return BatchResult([])
        if isinstance(jobs[0], TensorJob):
            return self._tensors([job for job in jobs if isinstance(job, TensorJob)])
        return self._pictures([job for job in jobs if isinstance(job, PictureJob)])

    def _tensors(self, jobs: Sequence[TensorJob]) -> BatchResult:
        start = perf_counter()
        names = tuple(dict.fromkeys(name for job in jobs for name in job.names))
        try:
            outputs = self._predictor.run(np.concatenate([job.scenes for job in jobs]), names)
        except PredictorError as error:
            return BatchResult([error for _ in jobs])
        results: list[Result] = []
        first = 0
        for job in jobs:
            last = first + len(job.scenes)
            results.append({name: outputs[name][first:last] for name in job.names})
            first = last
        return BatchResult(results, inference_s=perf_counter() - start, looks=first)

    def _pictures(self, jobs: Sequence[PictureJob]) -> BatchResult:
        start = perf_counter()
        read = [_read(job) for job in jobs]
        pictures = [reading.picture for reading in read if isinstance(reading, Reading)]
        decoded = perf_counter()
        try:
            looked = look_at(self._predictor, pictures, exclusive=all(job.exclusive for job in jobs))
        except PredictorError as error:
            return BatchResult([error if isinstance(reading, Reading) else reading for reading in read])
        predicted = perf_counter()
        inference_ms = (predicted - decoded) * 1000
        looks = iter(looked.best)
        results: list[Result] = []
        for job, reading in zip(jobs, read, strict=True):
            if not isinstance(reading, Reading):
                results.append(reading)
            elif (look := next(looks)) is None:
                results.append(NeedsExclusive())
            else:
                results.append(to_json(compose(reading, look, job.maps, self._model, inference_ms)))
        encode_s = perf_counter() - predicted
        return BatchResult(results, decoded - start, predicted - decoded, encode_s, looked.frames)


class Looked(NamedTuple):
    """The results of looking at some pictures."""

    best: list[Look | None]  # the look that answers each picture; None where it needs to be exclusive
    frames: int  # how many the model saw


def look_at(predictor: Predictor, pictures: Sequence[Picture], *, exclusive: bool) -> Looked:
    """Look at pictures in rounds, each round of all pictures together.

    Args:
        predictor: the model.
        pictures: decoded; the looks are in px of the posted pictures.
        exclusive: whether pictures may be searched in many looks, since no other request waits for them.

    Raises:
        PredictorError: as `predict`.
    """
    best: list[Look | None] = [None] * len(pictures)
    searches = [search(*picture.grey.shape[::-1]) for picture in pictures]
    rounds = {number: next(one) for number, one in enumerate(searches)}
    frames = 0
    while rounds:
        if not exclusive:
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
                in_posted = look.placement.at_size(picture.width_px, picture.height_px)
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
        # Rounding in float32 may give a probability slightly over 1.
        of_all = prediction._replace(
            probabilities=np.clip(prediction.probabilities, 0, 1),
            digit_present=np.clip(prediction.digit_present, 0, 1),
        )
        for (_, placement), frame, row in zip(part, frames, zip(*of_all, strict=True), strict=True):
            looks.append(Look(placement, frame, Prediction(*row)))
    return looks


def _read(job: PictureJob) -> Reading | NeedsExclusive | ImageError:
    start = perf_counter()
    most = job.max_pixels if job.exclusive else min(job.max_pixels, EXCLUSIVE_PIXELS)
    try:
        # In a shared batch a JPEG is not reduced to fit: exclusive, it may show all of its pixels.
        picture = decode_picture(job.data, most, reduce=job.exclusive)
    except TooManyPixelsError as error:
        return NeedsExclusive() if most < job.max_pixels else error
    except ImageError as error:
        return error
    return Reading(picture, queue_ms=job.waited_s * 1000, decode_ms=(perf_counter() - start) * 1000)
