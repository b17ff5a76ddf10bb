"""How often the label is wrong on held-out training digits: the only figure that may guide a choice."""

from __future__ import annotations

import torch

from scenes.digits import Digits
from trainer.data import TrainingScenes
from trainer.model import GlimpseModel

_PRESETS = ("article", "cluttered-100")
_SCENES = 1000
_BATCH = 125  # so that the scenes are whole blocks of `TrainingScenes`


@torch.inference_mode()
def label_errors(model: GlimpseModel, held_out: Digits, *, device: torch.device) -> dict[str, float]:
    """Share of wrong labels for each of two scene presets, on digits that training never sees."""
    errors = {}
    for name in _PRESETS:
        stream = TrainingScenes({name: 1.0}, held_out, batch_size=_BATCH, seed=0, device=device)
        wrong = 0
        for step in range(_SCENES // _BATCH):
            batch = stream.batch(step)
            wrong += int((model.look(batch.scenes).logits.argmax(1) != batch.labels).sum())
        errors[name] = wrong / _SCENES
    return errors
