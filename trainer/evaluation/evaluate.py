"""Metrics of a model on scenes of unseen digits, from true labels and boxes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import onnxruntime
import torch

from models.contract import SCENE_SIDE_PX
from scenes.digits import Digits
from scenes.draw import SceneParameters, draw
from scenes.edit import remove_target
from scenes.frame import centre_in_frame, frame_offset_px
from scenes.presets import Preset
from scenes.render import render
from scenes.truth import canvas_boxes, ink_boxes
from trainer.evaluation.metrics import (
    Figures,
    area_under_roc,
    expected_calibration_error,
    intersection_over_union,
    localisation_figures,
)
from trainer.model import GlimpseModel
from trainer.training.checkpoint import load_trained_model

BATCH = 250
DRAW_SEEDS = 2**32
"""The seeds of draw d start at d · 2³²."""
_SCENES_WITHOUT_DIGIT = 2000


class Column(NamedTuple):
    """How a metric of `summarise` is shown."""

    title: str
    name: str
    percent: bool

    def show(self, summary: dict[str, float]) -> str:
        """Mean ± standard deviation over draws; the mean alone for a single draw."""
        values = [summary[name] for name in (self.name, f"{self.name}_sd") if name in summary]
        return " ± ".join(
            f"{value:.2%}".replace("%", " %") if self.percent else f"{value:.3f}" for value in values
        )


COLUMNS = (
    Column("error", "error", True),
    Column("mean IoU", "mean_iou", False),
    Column("CorLoc@0.5", "corloc", True),
    Column("Top-1 Loc", "top1_loc", True),
    Column("MaxBoxAccV2", "max_box_acc_v2", True),
    Column("mean IoU with the canvas", "canvas_mean_iou", False),
    Column("calibration error", "calibration_error", True),
    Column("AUROC of a digit's presence", "presence_auroc", False),
)


class Answer(NamedTuple):
    """A model's answers for n scenes, float32.

    Probabilities `[n, 10]`, boxes `[n, 4]` in scene px, and the probability that there is a digit, `[n]`.
    """

    probabilities: npt.NDArray[np.float32]
    boxes: npt.NDArray[np.float32]
    digit_present: npt.NDArray[np.float32]


Predict = Callable[[npt.NDArray[np.uint8]], Answer]
"""From uint8 scenes `[n, 1, 100, 100]` to an `Answer`."""


class DrawFigures(NamedTuple):
    """Metrics of one draw: localisation by the ink's box, and others on the same scenes.

    `presence_auroc` compares them with as many scenes without their digit, at most 2,000.
    """

    ink: Figures
    canvas_mean_iou: float
    calibration_error: float
    presence_auroc: float


def evaluate(
    predict: Predict,
    preset: Preset,
    digits: Digits,
    *,
    draws: int,
    scenes: int,
    progress: Callable[[int], object] | None = None,
) -> list[DrawFigures]:
    """Figures of each of `draws` independent sets of `scenes` scenes; `progress` is told of scenes done.

    Raises:
        ValueError: there are no draws or no scenes to measure.
    """
    if draws < 1 or scenes < 1:
        raise ValueError(f"draws, scenes: expected at least one of each, got {draws} and {scenes}")
    return [
        _evaluate_draw(predict, preset, digits, seed=d * DRAW_SEEDS, scenes=scenes, progress=progress)
        for d in range(draws)
    ]


def summarise(draws: list[DrawFigures]) -> dict[str, float]:
    """Mean over draws of every figure and, of several, standard deviation: `error`, `error_sd` and so on."""
    summary = {}
    columns = {name: [getattr(draw.ink, name) for draw in draws] for name in Figures._fields}
    for name in ("canvas_mean_iou", "calibration_error", "presence_auroc"):
        columns[name] = [getattr(draw, name) for draw in draws]
    for name, values in columns.items():
        summary[name] = round(float(np.mean(values)), 5)
        if len(values) > 1:
            summary[f"{name}_sd"] = round(float(np.std(values, ddof=1)), 5)
    return summary


def make_pictures(parameters: SceneParameters, digits: Digits) -> npt.NDArray[np.uint8]:
    """Scenes as the model's input: uint8 `[n, 1, 100, 100]`; smaller ones are centred on a dark ground."""
    pictures = np.rint(render(parameters, digits) * 255).astype(np.uint8)
    framed: npt.NDArray[np.uint8] = centre_in_frame(pictures, SCENE_SIDE_PX)[:, None]
    return framed


def ink_boxes_in_frame(
    parameters: SceneParameters, digits: Digits, preset: Preset
) -> npt.NDArray[np.float32]:
    """The true boxes of the ink, in px of the model's frame: `[n, 4]`."""
    boxes: npt.NDArray[np.float32] = ink_boxes(parameters, digits) + _frame_shift(preset)
    return boxes


def canvas_boxes_in_frame(parameters: SceneParameters, preset: Preset) -> npt.NDArray[np.float32]:
    """The boxes of the 28×28 canvases, in px of the model's frame: `[n, 4]`."""
    boxes: npt.NDArray[np.float32] = canvas_boxes(parameters) + _frame_shift(preset)
    return boxes


def _frame_shift(preset: Preset) -> npt.NDArray[np.float32]:
    offset = frame_offset_px(preset.side_px, SCENE_SIDE_PX)
    return np.array([offset, offset, 0, 0], dtype=np.float32)


def load_predict(path: Path, *, threads: int = 1) -> Predict:
    """The `Predict` of an ONNX file, through onnxruntime on the CPU, or of a run's folder or checkpoint.

    Raises:
        FileNotFoundError: there is nothing at the path.
        ValueError: the path is neither.
    """
    if not path.exists():
        raise FileNotFoundError(
            f"model: expected an .onnx file, a run's folder or a checkpoint, but {path} is not there"
        )
    if path.suffix == ".onnx":
        return onnx_predict(open_session(path, threads))
    if path.is_dir() or path.suffix == ".pt":
        return torch_predict(load_trained_model(path))
    raise ValueError(f"model: expected an .onnx file, a run's folder or its checkpoint (.pt), got {path}")


def torch_predict(model: GlimpseModel) -> Predict:
    """The `Predict` of a model that is ready to predict, on the device where it is."""
    device = model.calibration.label_temperature.device

    def predict(pictures: npt.NDArray[np.uint8]) -> Answer:
        with torch.inference_mode():
            prediction = model.predict(torch.from_numpy(pictures).to(device))
            return Answer(
                prediction.probabilities.cpu().numpy(),
                prediction.box.cpu().numpy(),
                prediction.digit_present.cpu().numpy(),
            )

    return predict


def open_session(path: Path, threads: int) -> onnxruntime.InferenceSession:
    """An ONNX file on onnxruntime's CPU provider."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def onnx_predict(session: onnxruntime.InferenceSession) -> Predict:
    """The `Predict` of a session."""

    def predict(pictures: npt.NDArray[np.uint8]) -> Answer:
        return Answer(*session.run(["probabilities", "box", "digit_present"], {"scene": pictures}))

    return predict


def _evaluate_draw(
    predict: Predict,
    preset: Preset,
    digits: Digits,
    *,
    seed: int,
    scenes: int,
    progress: Callable[[int], object] | None,
) -> DrawFigures:
    answers, labels, ink, canvas, without_digit = [], [], [], [], []
    for start in range(0, scenes, BATCH):
        parameters = draw(preset, seed + np.arange(start, min(start + BATCH, scenes)), digits)
        answers.append(predict(make_pictures(parameters, digits)))
        labels.append(parameters.label)
        ink.append(ink_boxes_in_frame(parameters, digits, preset))
        canvas.append(canvas_boxes_in_frame(parameters, preset))
        if progress is not None:
            progress(len(parameters.label))
        if start < _SCENES_WITHOUT_DIGIT:
            empty = remove_target(parameters, np.ones(len(parameters.label), np.bool_))
            without_digit.append(predict(make_pictures(empty, digits)).digit_present)
    answer = Answer(*map(np.concatenate, zip(*answers, strict=True)))
    label = np.concatenate(labels)
    predicted = answer.probabilities.argmax(axis=1)
    return DrawFigures(
        ink=localisation_figures(predicted, label, answer.boxes, np.concatenate(ink)),
        canvas_mean_iou=float(np.mean(intersection_over_union(answer.boxes, np.concatenate(canvas)))),
        calibration_error=expected_calibration_error(answer.probabilities.max(axis=1), predicted == label),
        presence_auroc=area_under_roc(answer.digit_present, np.concatenate(without_digit)),
    )
