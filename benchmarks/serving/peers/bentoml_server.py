"""BentoML, as https://docs.bentoml.com advises.

Chosen after its guides "Adaptive batching", "Concurrency" and "Workers": a batchable API with
`max_batch_size` and `max_latency_ms`, one worker process for each core, `traffic.concurrency` of the batch's
size. A batchable API takes and gives lists, which BentoML joins and splits again, so a request is a list of
one picture. In its favour: the picture comes as base64 in JSON, which costs it less than its multipart
parser, and the answer is a pydantic model, which is encoded without Python. The access log is off.
"""

from __future__ import annotations

import base64
import os
import sys

import bentoml
from pydantic import BaseModel

from benchmarks.serving.peers.onnx_model import OnnxModel, read_settings, to_plain

SETTINGS = read_settings()
BATCHING = {"batchable": True, "max_batch_size": SETTINGS.batch, "max_latency_ms": round(SETTINGS.wait_ms)}


class Answer(BaseModel):
    """An answer without maps."""

    label: int
    confidence: float
    probabilities: list[float]
    digit_present: float
    bbox: dict[str, float]
    attention: dict[str, float]


class AnswerWithMaps(Answer):
    """An answer with maps."""

    attention_map: list[list[float]]
    glimpse: list[list[float]]


@bentoml.service(
    workers=SETTINGS.workers,
    traffic={"timeout": 30, "concurrency": SETTINGS.batch},
    logging={"access": {"enabled": False}},
    http={"host": "127.0.0.1", "port": SETTINGS.port},
)
class Glimpse:
    """One worker."""

    def __init__(self) -> None:
        self._model = OnnxModel(SETTINGS.threads)

    @bentoml.api(**BATCHING)
    def predict(self, images: list[str]) -> list[Answer]:
        """Answer pictures, base64 of PNGs."""
        return [Answer.model_construct(**answer) for answer in self._plain(images, maps=False)]

    @bentoml.api(**BATCHING)
    def predict_with_maps(self, images: list[str]) -> list[AnswerWithMaps]:
        """Answer pictures, base64 of PNGs, with maps."""
        return [AnswerWithMaps.model_construct(**answer) for answer in self._plain(images, maps=True)]

    def _plain(self, images: list[str], *, maps: bool):  # type: ignore[no-untyped-def]
        pngs = [base64.b64decode(image) for image in images]
        return [to_plain(answer) for answer in self._model.answers(pngs, maps=maps)]


if __name__ == "__main__":
    # In the place of this process, so that signals reach BentoML's own arbiter.
    os.execv(sys.executable, [sys.executable, "-m", "bentoml", "serve", f"{__spec__.name}:Glimpse"])
