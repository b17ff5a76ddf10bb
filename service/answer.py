"""From posted bytes to the JSON answer: decode, place, predict, lead back to the picture, encode."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
from PIL import Image

from service.images import Grey, ImageError, decode_grey
from service.letterbox import Box, Gaussian, Placement, letterbox
from service.predictor import Prediction, Predictor
from service.queries import Maps

Answer = dict[str, Any]
"""An answer of the form of `schemas.PredictionAnswer`, to be encoded by `to_json`."""


class _Picture(NamedTuple):
    frame: Grey  # [100, 100]
    placement: Placement
    decode_ms: float


class Answerer:
    """Answers posted pictures; all of it is blocking work for a worker thread."""

    def __init__(self, predictor: Predictor, max_pixels: int) -> None:
        """Take a ready predictor and the most pixels that a picture may have."""
        self._predictor = predictor
        self._max_pixels = max_pixels
        self.model = {
            "name": predictor.name,
            "version": predictor.version,
            "provider": predictor.provider,
        }

    def answer(self, data: bytes, maps: Maps) -> Answer:
        """The answer to one picture.

        Raises:
            ImageError: the picture cannot be read.
            PredictorError: the model cannot answer.
        """
        return self._predict([self._read(data)], maps)[0]

    def answer_batch(self, files: Sequence[bytes], maps: Maps) -> list[Answer]:
        """The answers to pictures in their order; one that cannot be read is answered by its `detail`.

        Raises:
            PredictorError: the model cannot answer.
        """
        read: list[_Picture | ImageError] = []
        for data in files:
            try:
                read.append(self._read(data))
            except ImageError as error:
                read.append(error)
        good = [picture for picture in read if isinstance(picture, _Picture)]
        answers = iter(self._predict(good, maps) if good else ())
        return [
            next(answers) if isinstance(picture, _Picture) else {"detail": str(picture)} for picture in read
        ]

    def _read(self, data: bytes) -> _Picture:
        start = perf_counter()
        frame, placement = letterbox(decode_grey(data, self._max_pixels))
        return _Picture(frame, placement, _ms_since(start))

    def _predict(self, pictures: Sequence[_Picture], maps: Maps) -> list[Answer]:
        start = perf_counter()
        prediction = self._predictor.predict(np.stack([picture.frame for picture in pictures])[:, None])
        inference_ms = _ms_since(start)
        rows = zip(*prediction, strict=True)
        return [
            self._compose(picture, Prediction(*row), maps, inference_ms)
            for picture, row in zip(pictures, rows, strict=True)
        ]

    def _compose(self, picture: _Picture, prediction: Prediction, maps: Maps, inference_ms: float) -> Answer:
        """The answer to one picture; the arrays of `prediction` lack the batch axis here."""
        start = perf_counter()
        placement = picture.placement
        attention = placement.gaussian_in_picture(Gaussian(*prediction.attention.tolist()))
        # Rounding in float32 may carry a probability a hair over 1.
        probabilities = np.clip(prediction.probabilities, 0, 1)
        label = int(probabilities.argmax())
        answer: Answer = {
            "label": label,
            "confidence": probabilities[label],
            "probabilities": probabilities,
            "digit_present": np.clip(prediction.digit_present, 0, 1),
            "bbox": _short_box(placement.box_in_picture(Box(*prediction.box.tolist()))),
            "attention": {name: np.float32(value) for name, value in attention._asdict().items()},
            "inverted": placement.inverted,
            "model": self.model,
        }
        if maps != "none":
            encode = _rows_json if maps == "array" else png_uri
            answer["attention_map"] = encode(placement.attention_map(attention))
            answer["glimpse"] = encode(np.clip(prediction.glimpse, 0, 1))
        answer["timing_ms"] = {
            "decode": picture.decode_ms,
            "inference": inference_ms,
            "encode": _ms_since(start),
        }
        return answer


def _short_box(box: Box) -> dict[str, float]:
    """A box to 1/10,000 px; its edges are rounded, so that it does not leave the picture."""
    x, y = round(box.x, 4), round(box.y, 4)
    right, bottom = round(box.x + box.width, 4), round(box.y + box.height, 4)
    return {"x": x, "y": y, "width": round(right - x, 4), "height": round(bottom - y, 4)}


def to_json(content: Any) -> bytes:
    """Encode answers, NumPy arrays and numbers included."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def png(picture: Grey) -> bytes:
    """Grey uint8 `[height, width]` as the bytes of a PNG."""
    stream = io.BytesIO()
    # The lightest compression: a tenth of the time for a few hundred bytes more.
    Image.fromarray(picture).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def png_uri(values: npt.NDArray[np.float32]) -> str:
    """Values in [0, 1], `[height, width]`, as a data URI of a grey PNG."""
    return data_uri(png(np.rint(values * 255).astype(np.uint8)))


def data_uri(png_bytes: bytes) -> str:
    """The bytes of a PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png_bytes).decode("ascii")


def _rows_json(values: npt.NDArray[np.float32]) -> orjson.Fragment:
    """Rows of numbers, encoded at once so that the answer can say how long it took; 4 digits are enough."""
    return orjson.Fragment(to_json(np.ascontiguousarray(np.round(values, 4))))


def _ms_since(start: float) -> float:
    return round((perf_counter() - start) * 1000, 3)
