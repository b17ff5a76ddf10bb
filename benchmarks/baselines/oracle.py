"""The oracle: our classifier, reading at the true box. Reference only: it is the one here that uses boxes.

It says how well a digit can be named by this classifier when somebody points at it. `trainer.train` cannot
train it, since nothing there may know a box; it has a loop of its own around the same `Trainer`.
"""

from __future__ import annotations

import dataclasses
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from tqdm import tqdm

from benchmarks.baselines.common import OUTPUTS, LabelLosses, Pass, Pictures, intensities
from models.contract import GLIMPSE_SIDE_PX, SCENE_SIDE_PX
from scenes.draw import draw
from scenes.frame import frame_offset_px
from scenes.truth import ink_boxes
from trainer.attention import gaussian_of_box
from trainer.checkpoint import save_checkpoint
from trainer.data import LabelledBatch, TrainingScenes
from trainer.digits import TrainingDigits, name_digits
from trainer.distributed import Processes
from trainer.losses import LossWeights, label_loss, mean_where_present
from trainer.memory import keep_freed_memory
from trainer.method import Method
from trainer.model import SECOND_WINDOW, GlimpseNetwork, Windows, border_mean, read_square, square_window
from trainer.presets import TrainingPreset
from trainer.steps import Trainer
from trainer.train import Origin, describe, resume

NAME = "oracle"


class Oracle(nn.Module):
    """A classifier of a window around the true box, which comes with the scene as a mask."""

    def __init__(self) -> None:
        super().__init__()
        self.classifier = GlimpseNetwork(48, 96, 48, GLIMPSE_SIDE_PX, OUTPUTS)

    def forward(self, scenes: Tensor, first: Windows | None = None, second: Windows | None = None) -> Pass:
        """Scenes with the true box's mask `[batch, 2, 100, 100]` to logits.

        The window is as wide in boxes as our second glimpse's, and moved alike in training.
        """
        del first
        x, width = _middle_and_extent(scenes[:, 1].amax(dim=1))
        y, height = _middle_and_extent(scenes[:, 1].amax(dim=2))
        window = square_window(gaussian_of_box(x, y, width, height), SECOND_WINDOW, change=second)
        outputs = self.classifier(read_square(scenes, window, GLIMPSE_SIDE_PX, border_mean(scenes)))
        return Pass(outputs[:, :-1], outputs[:, -1])


def losses(
    seen: Pass, scenes: Tensor, labels: Tensor, weights: LossWeights, ramp: float | Tensor
) -> LabelLosses:
    """Cross entropy alone: that there is a digit is known to whom its box is given."""
    del scenes, weights, ramp
    label = mean_where_present(label_loss(seen.logits, labels), labels)
    return LabelLosses(label, label, torch.zeros_like(label))


METHOD = Method(NAME, Oracle, losses, heads=("classifier.head",))


class ScenesWithBoxes(TrainingScenes):
    """Training scenes with the mask of the true box as a second channel."""

    def _render_part(self, part: Any, seeds: Tensor, absent: Tensor) -> LabelledBatch:
        made = super()._render_part(part, seeds, absent)
        preset, digits = part.preset, self._digits
        boxes = ink_boxes(draw(preset, seeds, digits), digits)
        masks = box_masks(boxes, frame_offset_px(preset.side_px, SCENE_SIDE_PX))
        return made._replace(scenes=torch.cat([made.scenes, masks], dim=1))


def train_oracle(preset: TrainingPreset, run: Path, digits: TrainingDigits, *, seed: int) -> None:
    """Train into the folder `run`, going on from its checkpoint where there is one.

    Raises:
        ValueError: the folder holds a run of another seed or recipe, or on other digits.
    """
    torch.set_flush_denormal(True)
    keep_freed_memory()
    processes = Processes(0, 1, torch.device("cpu"))
    # Not in `METHOD` itself, which others may train: none but this loop gets boxes.
    method = dataclasses.replace(METHOD, scenes=ScenesWithBoxes)
    trainer = Trainer(preset, digits.train, seed=seed, processes=processes, method=method)
    origin = Origin(name_digits(digits))
    earlier = resume(trainer, run, seed, origin)
    about, began = describe(trainer, seed, earlier, origin), time.perf_counter() - earlier.seconds
    run.mkdir(parents=True, exist_ok=True)
    with tqdm(total=preset.steps, initial=trainer.step, unit="step", desc="train oracle") as bar:
        while trainer.step < preset.steps:
            trainer.advance()
            bar.update()
            if trainer.step % preset.checkpoint_every == 0 or trainer.step == preset.steps:
                state = {"about": about, "seconds": time.perf_counter() - began, **trainer.state()}
                save_checkpoint(state, run)


def box_masks(boxes: Tensor, offset_px: int) -> Tensor:
    """1 inside of each box, whose edges are whole pixels, moved into the frame: `[n, 1, 100, 100]`."""
    pixel = torch.arange(SCENE_SIDE_PX, device=boxes.device) + 0.5 - offset_px
    left, top, width, height = (boxes[:, i, None] for i in range(4))
    columns = (pixel > left) & (pixel < left + width)
    rows = (pixel > top) & (pixel < top + height)
    return (rows[:, :, None] & columns[:, None, :]).float()[:, None]


def name_with_box(model: nn.Module, pictures: Pictures, boxes: np.ndarray) -> np.ndarray:
    """Classes `[n]` of uint8 scenes `[n, 1, 100, 100]` whose true boxes are given, `[n, 4]` in the frame."""
    masks = box_masks(torch.from_numpy(boxes), 0)
    with torch.inference_mode():
        seen = model(torch.cat([intensities(pictures), masks], dim=1))
    classes: np.ndarray = seen.logits.argmax(1).numpy()
    return classes


def _middle_and_extent(occupied: Tensor) -> tuple[Tensor, Tensor]:
    """Of the run of ones in each row of `[n, 100]`: its middle and its length, in px, `[n]` each."""
    extent = occupied.sum(dim=1)
    return occupied.argmax(dim=1) + extent / 2, extent
