"""The model's output for twelve fixed scenes at several steps of its training, to show how it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from scenes.digits import Digits
from trainer.attention import reported_boxes
from trainer.data.training_scenes import TrainingScenes
from trainer.model import GlimpseModel

FOLDER_NAME = "learning"
SNAPSHOTS = 48
_PRESETS = ("article", "cluttered-100", "paper")
_SCENES_EACH = 4
_SEED = 3


def snapshot_steps(steps: int) -> set[int]:
    """Steps from the first to the last, evenly spread on a logarithmic scale; equal ones count once."""
    return {round(step) for step in np.geomspace(1, steps, SNAPSHOTS)}


def snapshot_scenes(held_out: Digits, *, device: torch.device) -> Tensor:
    """The scenes, of held-out digits, always the same: `[12, 1, 100, 100]`."""
    streams = [
        TrainingScenes({name: 1.0}, held_out, batch_size=_SCENES_EACH, seed=_SEED, device=device)
        for name in _PRESETS
    ]
    return torch.cat([stream.batch(0).scenes for stream in streams])


@torch.inference_mode()
def save_snapshot(run: Path, step: int, model: GlimpseModel, scenes: Tensor) -> None:
    """Write `learning/STEP.npz`: boxes, Gaussians, heat maps, glimpses, probabilities.

    Arrays are float16 `[12, …]`, lengths in scene px; glimpses and scenes are uint8.
    """
    output = model(scenes)
    arrays = {
        "box": reported_boxes(output.gaussian, model.task.box_edge_per_side),
        "attention": torch.stack(list(output.gaussian), dim=1),
        "heat": output.heat,
        "probabilities": model.calibration.probabilities(output.logits),
    }
    pictures = {"glimpse": output.glimpse[:, 0], "scene": scenes[:, 0]}
    folder = run / FOLDER_NAME
    folder.mkdir(exist_ok=True)
    np.savez_compressed(
        folder / f"{step:06d}.npz",
        allow_pickle=False,
        **{name: values.cpu().numpy().astype(np.float16) for name, values in arrays.items()},
        **{
            name: (values.clamp(0, 1) * 255).round().to(torch.uint8).cpu().numpy()
            for name, values in pictures.items()
        },
    )
