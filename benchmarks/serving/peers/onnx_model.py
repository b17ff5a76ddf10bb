"""What every peer does with pictures: decode with Pillow, one call of onnxruntime, an answer for each.

The peers differ in how a picture gets here and how the answer gets out, and in nothing else.
"""

from __future__ import annotations

import io
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime as ort
import orjson
from PIL import Image

MODEL_PATH = Path(__file__).resolve().parents[3] / "models" / "glimpse.onnx"
NUMBERS = ("probabilities", "box", "attention", "digit_present")
MAPS = ("attention_map", "glimpse")
MAP_DIGITS = 4
"""As many as this service writes, so that all answers are of one length."""


class Settings(NamedTuple):
    """How a peer is to run; `wait_ms` is the longest that a picture waits for others to share its batch."""

    port: int
    workers: int = 1
    threads: int = 1
    batch: int = 32
    wait_ms: float = 2.0


def read_settings(environment: Mapping[str, str] = os.environ) -> Settings:
    """The settings from PEER_PORT, PEER_WORKERS and so on: worker processes find them there as well."""
    given = {name: environment.get(f"PEER_{name.upper()}") for name in Settings._fields}
    return Settings(
        **{
            name: float(value) if name == "wait_ms" else int(value)  # type: ignore[arg-type]
            for name, value in given.items()
            if value is not None
        }
    )


class OnnxModel:
    """The model on the CPU provider. `answers` may be called from several threads at once."""

    def __init__(self, threads: int) -> None:
        """Load it; `threads` are those of one call, 0 leaves them to onnxruntime."""
        options = ort.SessionOptions()
        options.intra_op_num_threads = threads
        if threads:
            options.inter_op_num_threads = 1
            # Spinning threads would take the cores away from everything else that a server does.
            options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = ort.InferenceSession(MODEL_PATH, options, providers=["CPUExecutionProvider"])
        self.arrays([_dark_png()], maps=True)

    def arrays(self, pngs: Sequence[bytes], *, maps: bool) -> dict[str, npt.NDArray[np.float32]]:
        """The model's outputs on PNGs of 100×100 px, each with the batch as its first axis."""
        names = NUMBERS + MAPS if maps else NUMBERS
        scenes = np.stack([decode(png) for png in pngs])[:, None]
        return dict(zip(names, self._session.run(list(names), {"scene": scenes}), strict=True))

    def answers(self, pngs: Sequence[bytes], *, maps: bool) -> list[dict[str, Any]]:
        """What is answered of each picture; arrays stay NumPy's."""
        return [
            compose(**{name: values[i] for name, values in outputs.items()})
            for outputs in [self.arrays(pngs, maps=maps)]
            for i in range(len(pngs))
        ]


def decode(png: bytes) -> npt.NDArray[np.uint8]:
    """Grey uint8 `[height, width]`."""
    with Image.open(io.BytesIO(png), formats=("PNG",)) as image:
        return np.asarray(image.convert("L"))


def compose(
    probabilities: npt.NDArray[np.float32],
    box: npt.NDArray[np.float32],
    attention: npt.NDArray[np.float32],
    digit_present: np.float32,
    attention_map: npt.NDArray[np.float32] | None = None,
    glimpse: npt.NDArray[np.float32] | None = None,
) -> dict[str, Any]:
    """One answer, with the keys of this service's."""
    label = int(probabilities.argmax())
    answer = {
        "label": label,
        "confidence": probabilities[label],
        "probabilities": probabilities,
        "digit_present": digit_present,
        "bbox": dict(zip(("x", "y", "width", "height"), box.tolist(), strict=True)),
        "attention": dict(zip(("x", "y", "sigma_x", "sigma_y"), attention.tolist(), strict=True)),
    }
    if attention_map is not None and glimpse is not None:
        answer["attention_map"] = np.round(attention_map, MAP_DIGITS)
        answer["glimpse"] = np.round(glimpse, MAP_DIGITS)
    return answer


def to_json(answer: Mapping[str, Any]) -> bytes:
    """An answer as JSON, by the fastest encoder there is."""
    return orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)


def to_plain(answer: Mapping[str, Any]) -> dict[str, Any]:
    """An answer of Python's own numbers and lists, for frameworks that encode it themselves."""
    return {
        name: value.tolist() if isinstance(value, np.ndarray | np.generic) else value
        for name, value in answer.items()
    }


def _dark_png() -> bytes:
    stream = io.BytesIO()
    Image.new("L", (100, 100)).save(stream, "PNG")
    return stream.getvalue()
