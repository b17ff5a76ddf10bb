"""What a model makes of a dozen fixed scenes at moments of its training, to show how it learns."""

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
MOMENTS = 48
_PRESETS = ("article", "cluttered-100", "paper")
_SCENES_EACH = 4
_SEED = 3


def moments(steps: int) -> set[int]:
    """Steps, spread by their logarithm from the first to the last; early ones that coincide count once."""
    return {round(step) for step in np.geomspace(1, steps, MOMENTS)}


def learning_scenes(held_out: Digits, *, device: torch.device) -> Tensor:
    """The scenes, of held-out digits, always the same: `[12, 1, 100, 100]`."""
    streams = [
        TrainingScenes({name: 1.0}, held_out, batch_size=_SCENES_EACH, seed=_SEED, device=device)
        for name in _PRESETS
    ]
    return torch.cat([stream.batch(0).scenes for stream in streams])


@torch.inference_mode()
def keep_moment(run: Path, step: int, model: GlimpseModel, scenes: Tensor) -> None:
    """Write one moment, `learning/STEP.npz`: boxes, Gaussians, heat maps, glimpses, probabilities.

    Arrays are float16 `[12, …]`, lengths in scene px; glimpses and scenes are uint8.
    """
    looks = model.look(scenes)
    arrays = {
        "box": reported_boxes(looks.gaussian),
        "attention": torch.stack(list(looks.gaussian), dim=1),
        "heat": looks.heat,
        "probabilities": model.calibration.probabilities(looks.logits),
    }
    pictures = {"glimpse": looks.glimpse, "scene": scenes[:, 0]}
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
