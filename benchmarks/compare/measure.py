"""Figures of a method whose boxes depend on a setting: the best setting, and what it reaches."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from torch import nn

from benchmarks.compare.baselines.common import Baseline, Candidates, Pictures
from scenes.digits import Digits
from scenes.draw import draw
from scenes.presets import Preset
from trainer.evaluation.evaluate import BATCH, DRAW_SEEDS, ink_boxes_in_frame, make_pictures
from trainer.evaluation.metrics import (
    MAX_BOX_ACC_V2_THRESHOLDS,
    Figures,
    intersection_over_union,
    localisation_figures,
)

_CHOICE_SEED = 2**50  # scenes that no draw has


class KnownScenes(NamedTuple):
    """Scenes in the model's frame with all that is true of them."""

    pictures: Pictures  # [n, 1, 100, 100]
    labels: npt.NDArray[np.int64]  # [n]
    boxes: npt.NDArray[np.float32]  # [n, 4], of the ink


def draw_scenes(preset: Preset, digits: Digits, *, seed: int, scenes: int) -> Iterator[KnownScenes]:
    """Scenes of a preset in batches, the same as `trainer.evaluation.evaluate` draws for that seed."""
    for start in range(0, scenes, BATCH):
        parameters = draw(preset, seed + np.arange(start, min(start + BATCH, scenes)), digits)
        yield KnownScenes(
            make_pictures(parameters, digits),
            parameters.label,
            ink_boxes_in_frame(parameters, digits, preset),
        )


def best_setting(
    baseline: Baseline, model: nn.Module, preset: Preset, held_out: Digits, *, scenes: int
) -> int:
    """Which setting gives the highest mean IoU on scenes of held-out digits: its index.

    This looks at true boxes. Our own method has one setting and gains nothing by it.
    """
    if len(baseline.settings) == 1:
        return 0
    found = [
        every_iou(baseline.answer(model, batch.pictures), batch)
        for batch in draw_scenes(preset, held_out, seed=_CHOICE_SEED, scenes=scenes)
    ]
    return int(np.concatenate(found).mean(axis=0).argmax())


def every_iou(said: Candidates, truth: KnownScenes) -> npt.NDArray[np.float32]:
    """IoU of each scene's box at each setting: `[n, s]`."""
    settings = said.boxes.shape[1]
    return np.stack([intersection_over_union(said.boxes[:, s], truth.boxes) for s in range(settings)], axis=1)


def measure_draw(
    baseline: Baseline,
    model: nn.Module,
    preset: Preset,
    digits: Digits,
    *,
    draw_number: int,
    scenes: int,
    setting: int,
    progress: Callable[[int], object] | None = None,
) -> Figures:
    """Figures of one draw with the boxes of the chosen setting.

    MaxBoxAccV2 takes its own best setting for each IoU threshold, on these very scenes, as Choe et al. 2020
    define it.
    """
    predicted, labels, boxes, truth, ious = [], [], [], [], []
    for batch in draw_scenes(preset, digits, seed=draw_number * DRAW_SEEDS, scenes=scenes):
        said = baseline.answer(model, batch.pictures)
        predicted.append(said.probabilities.argmax(axis=1))
        labels.append(batch.labels)
        boxes.append(said.boxes[:, setting])
        truth.append(batch.boxes)
        ious.append(every_iou(said, batch))
        if progress is not None:
            progress(len(batch.labels))
    figures = localisation_figures(*map(np.concatenate, (predicted, labels, boxes, truth)))
    iou = np.concatenate(ious)
    best = [(iou >= threshold).mean(axis=0).max() for threshold in MAX_BOX_ACC_V2_THRESHOLDS]
    return figures._replace(max_box_acc_v2=float(np.mean(best)))
