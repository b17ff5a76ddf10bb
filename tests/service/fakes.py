"""Stand-ins: a predictor without weights, a valid model file without training, digits without MNIST."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper
from PIL import Image

from models import contract as contracts
from scenes.digits import Digits, make_digits
from service.inference.errors import PredictorError
from service.inference.predictor import Floats, Prediction


class BlobPredictor:
    """Boxes what is brighter than half the maximum; the label grows with the maximum, 0 to 9."""

    name = "blob"
    version = "0.0.1"
    provider = "FakeExecutionProvider"
    box_edge_per_side = 0.0

    def __init__(self) -> None:
        self.failure = ""
        self.batches: list[int] = []

    def predict(self, scenes: npt.NDArray[np.uint8]) -> Prediction:
        self.check()
        assert scenes.dtype == np.uint8
        assert scenes.shape[1:] == (1, 100, 100)
        self.batches.append(len(scenes))
        return Prediction(
            *(np.stack(rows) for rows in zip(*(self._one(scene[0]) for scene in scenes), strict=True))
        )

    def run(self, scenes: npt.NDArray[np.uint8], names: Sequence[str]) -> dict[str, Floats]:
        light = {"attention_map": (scenes[:, 0] / 255).astype(np.float32)}
        outputs = self.predict(scenes)._asdict() | light
        return {name: outputs[name] for name in names}

    def check(self) -> None:
        if self.failure:
            raise PredictorError(self.failure)

    def _one(self, scene: npt.NDArray[np.uint8]) -> Prediction:
        brightest = int(scene.max())
        rows, columns = np.nonzero(2 * scene.astype(int) > brightest)
        if not len(rows):
            rows, columns = np.array([0, 99]), np.array([0, 99])
        left, top = columns.min(), rows.min()
        width, height = columns.max() + 1 - left, rows.max() + 1 - top
        probabilities = np.full(10, 0.01)
        probabilities[round(brightest / 255 * 9)] = 0.91
        return Prediction(
            probabilities.astype(np.float32),
            np.array([left, top, width, height], np.float32),
            np.array([left + width / 2, top + height / 2, width / 4, height / 4], np.float32),
            (scene[:28, :28] / 255).astype(np.float32),
            np.asarray(brightest / 255, np.float32),
        )


class BarGenerator:
    """A bar for each digit: its length says the class, its left edge and its brightness the style."""

    def __init__(self) -> None:
        self.asked: list[tuple[list[int], list[int]]] = []

    def generate(
        self, classes: npt.NDArray[np.int64], styles: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        self.asked.append((classes.tolist(), styles.tolist()))
        images = np.zeros((len(classes), 28, 28), np.uint8)
        for image, label, style in zip(images, classes, styles, strict=True):
            image[4 : 14 + label, 6 + style % 7 : 16] = 255 - style % 101
        return images


def fake_digits() -> Digits:
    """Two bars of each class, each class with a length of its own."""
    images = np.zeros((20, 28, 28), np.uint8)
    for index in range(20):
        images[index, 4 : 14 + index % 10, 10 + index // 10 : 16] = 255
    return make_digits(images, np.arange(20) % 10)


def centroid_graph(
    *, glimpse_side: int = contracts.GLIMPSE_SIDE_PX, probability: float = 1.0
) -> onnx.ModelProto:
    """A model with the contract's tensors: a 20 px box and a 5 px sigma around the mean place of all light.

    It always says 3. Another `glimpse_side` breaks the contract; `probability` is what it gives 3.
    """
    side = contracts.SCENE_SIDE_PX
    places = np.arange(side, dtype=np.float32) + 0.5
    says_three = np.zeros((1, 10), np.float32)
    says_three[0, 3] = probability

    def node(kind: str, inputs: str, output: str, **attributes: Any) -> onnx.NodeProto:
        return helper.make_node(kind, inputs.split(), [output], **attributes)

    nodes = [
        node("Cast", "scene", "light", to=TensorProto.FLOAT),
        node("ReduceSum", "light planes", "all_light", keepdims=0),
        node("Add", "all_light tiny", "mass"),
        node("Mul", "light columns", "light_x"),
        node("ReduceSum", "light_x planes", "moment_x", keepdims=0),
        node("Div", "moment_x mass", "x"),
        node("Mul", "light rows", "light_y"),
        node("ReduceSum", "light_y planes", "moment_y", keepdims=0),
        node("Div", "moment_y mass", "y"),
        node("Concat", "x y", "centre", axis=1),
        node("Sub", "centre ten", "corner"),
        node("Mul", "centre zero", "nothing"),
        node("Add", "nothing twenty", "extent"),
        node("Concat", "corner extent", "box", axis=1),
        node("Add", "nothing five", "sigma"),
        node("Concat", "centre sigma", "attention", axis=1),
        node("Mul", "mass zero", "nil"),
        node("Add", "nil says_three", "probabilities"),
        node("Div", "light white", "intensity"),
        node("Squeeze", "intensity channel", "attention_map"),
        node("Slice", "attention_map starts ends picture_axes", "glimpse"),
        node("Squeeze", "nil last", "nought"),
        node("Add", "nought half", "digit_present"),
    ]
    constants: dict[str, npt.NDArray[np.generic]] = {
        "planes": np.array([2, 3]),
        "channel": np.array([1]),
        "picture_axes": np.array([1, 2]),
        "last": np.array([1]),
        "starts": np.array([0, 0]),
        "ends": np.array([glimpse_side, glimpse_side]),
        "columns": places.reshape(1, 1, 1, side),
        "rows": places.reshape(1, 1, side, 1),
        "tiny": np.float32(1e-6).reshape(1),
        "zero": np.float32(0).reshape(1),
        "half": np.float32(0.5).reshape(1),
        "five": np.float32(5).reshape(1),
        "ten": np.float32(10).reshape(1),
        "twenty": np.float32(20).reshape(1),
        "white": np.float32(255).reshape(1),
        "says_three": says_three,
    }

    def tensor(promise: contracts.TensorContract) -> onnx.ValueInfoProto:
        element = TensorProto.UINT8 if promise.dtype == "uint8" else TensorProto.FLOAT
        shape = list(promise.shape)
        if promise.name == "glimpse":
            shape[1:] = [glimpse_side, glimpse_side]
        return helper.make_tensor_value_info(promise.name, element, shape)

    graph = helper.make_graph(
        nodes,
        "centroid",
        [tensor(promise) for promise in contracts.INPUTS],
        [tensor(promise) for promise in contracts.OUTPUTS],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def write_model(model_path: Path, graph: onnx.ModelProto) -> Path:
    """Write a model file and a sidecar that promises the contract's tensors."""
    onnx.checker.check_model(graph, full_check=True)
    onnx.save(graph, model_path)
    provenance = contracts.Provenance(
        commit="0" * 40,
        command="tests/service/fakes.py",
        preset="none",
        seed=0,
        data="none",
        scenes_seen=0,
        seconds=0.0,
        hardware="none",
        versions={},
        finished="2026-11-22T00:00:00Z",
    )
    contracts.write_contract(
        contracts.Contract(
            name="centroid",
            version="0.0.1",
            file=model_path.name,
            sha256=contracts.file_sha256(model_path),
            classes=contracts.CLASSES,
            inputs=contracts.INPUTS,
            outputs=contracts.OUTPUTS,
            box_width_per_sigma=4.0,
            parameters=10,
            mflops_per_scene=0.1,
            metrics={},
            provenance=provenance,
        ),
        model_path,
    )
    return model_path


def encode(picture: Image.Image | npt.NDArray[np.generic], kind: str = "PNG", **options: object) -> bytes:
    """A picture as the bytes of a file."""
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    return stream.getvalue()


PICTURE = encode(np.full((100, 100), 9, np.uint8))
KIND = {"content-type": "image/png"}
