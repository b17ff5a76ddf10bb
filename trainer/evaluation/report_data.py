"""The data of a report: a run's metrics, its attention over time, and its answers on unseen scenes.

It uses true boxes, as `trainer.evaluation.evaluate` does; no training imports it.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch

from models.contract import GLIMPSE_SIDE_PX
from models.task import DIGITS
from scenes.digits import Digits
from scenes.draw import SceneParameters, draw
from scenes.presets import Preset, find_preset
from trainer.attention import Gaussian, attention_maps, reported_boxes
from trainer.data.training_scenes import SEEDS_PER_RUN
from trainer.evaluation.evaluate import BATCH, ink_boxes_in_frame, make_pictures
from trainer.evaluation.metrics import intersection_over_union
from trainer.model import SECOND_WINDOW, GlimpseModel, border_mean, read_square, square_window
from trainer.training.monitor import ATTENTION_NAME, METRICS_NAME
from trainer.training.old_names import with_current_names
from trainer.training.validation import WATCHED_PRESET, WATCHED_SCENES, WATCHED_SEED

Floats = npt.NDArray[np.float32]
_LOOKED_ELSEWHERE, _BADLY_FRAMED = 0.1, 0.5


class Answers(NamedTuple):
    """A model's answers for n scenes, and the truth."""

    parameters: SceneParameters
    pictures: npt.NDArray[np.uint8]  # [n, 100, 100]
    true_boxes: Floats  # [n, 4]
    boxes: Floats  # [n, 4]
    iou: Floats  # [n]
    probabilities: Floats  # [n, 10]
    glimpses: Floats  # [n, 28, 28]

    @property
    def predicted(self) -> npt.NDArray[np.int64]:
        """The named classes, `[n]`."""
        predicted: npt.NDArray[np.int64] = self.probabilities.argmax(axis=1)
        return predicted

    @property
    def right(self) -> npt.NDArray[np.bool_]:
        """Whether the label is right, `[n]`."""
        right: npt.NDArray[np.bool_] = self.predicted == self.parameters.label
        return right


class WatchedScene(NamedTuple):
    """The attention in one scene at one step of the training."""

    step: int
    picture: npt.NDArray[np.uint8]  # [100, 100]
    true_box: Floats  # [4]
    box: Floats  # [4]
    attention_map: Floats  # [100, 100]
    glimpse: Floats  # [28, 28]


def read_metrics(run: Path) -> dict[str, tuple[list[int], list[float]]]:
    """For each metric of a run its steps and values.

    Raises:
        FileNotFoundError: the folder holds no metrics.
    """
    path = run / METRICS_NAME
    if not path.is_file():
        raise FileNotFoundError(f"expected a run's {METRICS_NAME} in {run}, but there is none")
    curves: dict[str, tuple[list[int], list[float]]] = {}
    for line in map(with_current_names, _complete_lines(path)):
        for name, value in line.items():
            if name != "step":
                steps, values = curves.setdefault(name, ([], []))
                steps.append(line["step"])
                values.append(value)
    return curves


def ask(model: GlimpseModel, preset: Preset, digits: Digits, scenes: int) -> Answers:
    """The model's answers on scenes 0 to `scenes` of a preset."""
    parameters = draw(preset, np.arange(scenes), digits)
    pictures = make_pictures(parameters, digits)
    said = []
    with torch.inference_mode():
        for start in range(0, scenes, BATCH):
            prediction = model.predict(torch.from_numpy(pictures[start : start + BATCH]))
            said.append((prediction.box, prediction.probabilities, prediction.glimpse))
    found, probabilities, glimpses = (torch.cat(parts).numpy() for parts in zip(*said, strict=True))
    truth = ink_boxes_in_frame(parameters, digits, preset)
    iou = intersection_over_union(found, truth).astype(np.float32)
    return Answers(parameters, pictures[:, 0], truth, found, iou, probabilities, glimpses)


def watched_over_time(run: Path, held_out: Digits, most: int = 8) -> list[list[WatchedScene]]:
    """The watched scenes at up to `most` steps, evenly spread on a logarithmic scale: a list for each step.

    Empty if the run wrote none, as before version 0.2.
    """
    path = run / ATTENTION_NAME
    lines = _complete_lines(path) if path.is_file() else []
    if not lines:
        return []
    wanted = np.geomspace(lines[0]["step"], lines[-1]["step"], most)
    steps = np.array([line["step"] for line in lines])
    chosen = sorted({int(np.abs(np.log(steps / step)).argmin()) for step in wanted})
    seeds = WATCHED_SEED * SEEDS_PER_RUN + np.arange(WATCHED_SCENES)
    preset = find_preset(WATCHED_PRESET)
    parameters = draw(preset, seeds, held_out)
    pictures = make_pictures(parameters, held_out)
    truth = ink_boxes_in_frame(parameters, held_out, preset)
    return [_watched_at(lines[i], pictures, truth) for i in chosen]


def _watched_at(line: dict[str, Any], pictures: npt.NDArray[np.uint8], truth: Floats) -> list[WatchedScene]:
    """Box, map and glimpse, which all follow from the Gaussian."""
    gaussian = Gaussian(*torch.tensor(line["attention"]).unbind(1))
    scenes, window = torch.from_numpy(pictures).float() / 255, square_window(gaussian, SECOND_WINDOW)
    glimpses = read_square(scenes, window, GLIMPSE_SIDE_PX, border_mean(scenes))[:, 0].clamp(0, 1).numpy()
    maps = attention_maps(gaussian, pictures.shape[-1]).numpy()
    found = reported_boxes(gaussian, DIGITS.box_edge_per_side).numpy()
    return [
        WatchedScene(line["step"], pictures[i, 0], truth[i], found[i], maps[i], glimpses[i])
        for i in range(len(pictures))
    ]


def worst(answers: Answers, count: int) -> list[int]:
    """Half are the wrong labels of highest confidence, half the lowest IoU among the other scenes."""
    confidence = answers.probabilities.max(axis=1)
    wrong = [int(i) for i in np.argsort(-confidence) if not answers.right[i]][: count // 2]
    by_iou = (int(i) for i in np.argsort(answers.iou) if int(i) not in set(wrong))
    return wrong + [i for i, _ in zip(by_iou, range(count - len(wrong)), strict=False)]


def what_went_wrong(answers: Answers, i: int) -> str:
    """A few words: the label, and how the box differs from the true one."""
    x, y, width, height = (float(v) for v in answers.boxes[i])
    true_x, true_y, true_width, true_height = (float(v) for v in answers.true_boxes[i])
    label, predicted = int(answers.parameters.label[i]), int(answers.predicted[i])
    words = [f"{label} named {predicted}" if label != predicted else f"{label}"]
    iou = float(answers.iou[i])
    if iou < _LOOKED_ELSEWHERE:
        words.append("looked elsewhere")
    elif iou < _BADLY_FRAMED:
        ratio = width * height / max(true_width * true_height, 1.0)
        aside = max(
            abs(x + width / 2 - true_x - true_width / 2) / max(true_width, 1.0),
            abs(y + height / 2 - true_y - true_height / 2) / max(true_height, 1.0),
        )
        faults = (
            ["too large"] * (ratio > 1.5) + ["too small"] * (ratio < 1 / 1.5) + ["aside"] * (aside > 0.25)
        )
        if faults:
            words.append(f"box {' and '.join(faults)}")
    return ", ".join(words)


def figures_by(values: Floats, answers: Answers, bins: int = 8) -> list[tuple[float, float, float, int]]:
    """Error and mean IoU in bins of `values`, `[n]`: middle, error, mean IoU and scenes of each bin.

    If there are few distinct values, each has its own bin.
    """
    kinds = np.unique(values)
    if len(kinds) <= 2 * bins:
        groups = [(float(kind), values == kind) for kind in kinds]
    else:
        edges = np.linspace(kinds[0], kinds[-1], bins + 1)
        number = np.clip(np.searchsorted(edges, values, side="right") - 1, 0, bins - 1)
        groups = [(float(edges[i] + edges[i + 1]) / 2, number == i) for i in range(bins)]
    return [
        (
            middle,
            float(1 - answers.right[inside].mean()),
            float(answers.iou[inside].mean()),
            int(inside.sum()),
        )
        for middle, inside in groups
        if inside.any()
    ]


def _complete_lines(path: Path) -> list[dict[str, Any]]:
    """The lines of a file of JSON; the last one may be half written by a run that still goes on."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1]
    return [json.loads(line) for line in lines]
