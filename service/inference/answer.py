"""From the model's outputs to the JSON answer: in the picture's px, clipped, rounded, encoded."""

from __future__ import annotations

import base64
import io
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson
from PIL import Image

from models.pictures.letterbox import Box, PixelGaussian
from models.pictures.pixels import Grey
from service.inference.looks import Look
from service.inference.predictor import Floats, Named
from service.pictures.decode import Picture
from service.pictures.polarity import is_ink_dark
from service.queries import Maps


class Detection(NamedTuple):
    """What was found in one picture; lengths are in the picture's px."""

    label: int
    confidence: np.float32
    probabilities: Floats  # [10]
    digit_present: np.float32
    box: Box  # clipped to the picture, to 1/10,000 px
    attention: PixelGaussian
    inverted: bool  # whether the digit is darker than its background


_WRITTEN = np.array([f"{level / 255:.3f}," for level in range(256)], "S6")
"""Each of the 256 intensities as JSON, as a share of 255 and with a comma; three digits tell all apart."""

Answer = dict[str, Any]
"""The fields of `schemas.PredictionAnswer`, to be encoded by `to_json`."""


class Reading(NamedTuple):
    """A decoded picture, and how long it waited and took to decode."""

    picture: Picture
    queue_ms: float
    decode_ms: float


def model_of(model: Named) -> dict[str, str]:
    """The model's fields in an answer, as in `schemas.ModelAnswer`."""
    return {"name": model.name, "version": model.version, "provider": model.provider}


def compose(reading: Reading, look: Look, maps: Maps, model: dict[str, str], inference_ms: float) -> Answer:
    """The answer to one picture, from the last look at it."""
    start = perf_counter()
    found = detect(look)
    answer: Answer = {
        "label": found.label,
        "confidence": found.confidence,
        "probabilities": found.probabilities,
        "digit_present": found.digit_present,
        "bbox": found.box._asdict(),
        "attention": {name: np.float32(value) for name, value in found.attention._asdict().items()},
        "inverted": found.inverted,
        "model": model,
    }
    if maps != "none":
        encode = _rows_json if maps == "array" else png_uri
        answer["attention_map"] = encode(look.placement.attention_map(found.attention))
        answer["glimpse"] = encode(np.clip(look.prediction.glimpse, 0, 1))
        answer["frame"] = _grey_rows_json(look.frame) if maps == "array" else data_uri(png(look.frame))
        answer["frame_box"] = _rounded(look.placement.frame)._asdict()
    answer["timing_ms"] = {
        "queue": _rounded_ms(reading.queue_ms),
        "decode": _rounded_ms(reading.decode_ms),
        "inference": _rounded_ms(inference_ms),
        "encode": _rounded_ms((perf_counter() - start) * 1000),
    }
    return answer


def detect(look: Look) -> Detection:
    """What a look found in its picture."""
    prediction, placement = look.prediction, look.placement
    label = int(prediction.probabilities.argmax())
    box = Box(*prediction.box.tolist())
    return Detection(
        label,
        confidence=prediction.probabilities[label],
        probabilities=prediction.probabilities,
        digit_present=np.float32(prediction.digit_present),
        box=_rounded(placement.box_in_picture(box)),
        attention=placement.gaussian_in_picture(PixelGaussian(*prediction.attention.tolist())),
        inverted=is_ink_dark(look.frame, box),
    )


def _rounded(box: Box) -> Box:
    """A box rounded to 1/10,000 px by its edges, so that it does not leave the picture."""
    x, y = round(box.x, 4), round(box.y, 4)
    right, bottom = round(box.x + box.width, 4), round(box.y + box.height, 4)
    return Box(x, y, round(right - x, 4), round(bottom - y, 4))


def to_json(content: Any) -> bytes:
    """Encode answers, NumPy arrays and numbers included."""
    return orjson.dumps(content, option=orjson.OPT_SERIALIZE_NUMPY)


def png(picture: Grey) -> bytes:
    """Grey uint8 `[height, width]` as the bytes of a PNG."""
    stream = io.BytesIO()
    # The fastest compression takes a tenth of the time for a few hundred bytes more.
    Image.fromarray(picture).save(stream, "PNG", compress_level=1)
    return stream.getvalue()


def png_uri(values: npt.NDArray[np.float32]) -> str:
    """Values in [0, 1], `[height, width]`, as a data URI of a grey PNG."""
    return data_uri(png(np.rint(values * 255).astype(np.uint8)))


def data_uri(png_bytes: bytes) -> str:
    """The bytes of a PNG as a data URI."""
    return "data:image/png;base64," + base64.b64encode(png_bytes).decode("ascii")


def _rows_json(values: npt.NDArray[np.float32]) -> orjson.Fragment:
    """Rows of numbers with 4 digits, encoded now so that the answer can contain the time it took."""
    return orjson.Fragment(to_json(np.ascontiguousarray(np.round(values, 4))))


def _grey_rows_json(grey: Grey) -> orjson.Fragment:
    """Rows of intensities from 0 to 1, by a lookup table: half the time of formatting 10,000 numbers."""
    rows = [b"[" + row.tobytes()[:-1] + b"]" for row in _WRITTEN[grey]]
    return orjson.Fragment(b"[" + b",".join(rows) + b"]")


def _rounded_ms(duration_ms: float) -> float:
    return round(max(0.0, duration_ms), 3)
