"""How often the label is wrong on held-out training digits: the only figure that a run itself looks at."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from scenes.digits import Digits
from trainer.data import TrainingScenes

_PRESETS = ("article", "cluttered-100")
_SCENES = 1000
_BATCH = 125  # so that the scenes are whole blocks of `TrainingScenes`
WATCHED_PRESET = "article"
WATCHED_SCENES = 6
WATCHED_SEED = 2
"""The scenes that a run looks at again and again; `trainer.report` finds them again by these."""


@torch.inference_mode()
def label_errors(
    model: nn.Module, held_out: Digits, *, device: torch.device, scenes: int | None = None
) -> dict[str, float]:
    """Share of wrong labels for each of two scene presets, on digits that training never sees.

    Args:
        model: what a run trains.
        held_out: the digits.
        device: where the model is.
        scenes: how many of each preset, a multiple of 125; without it as many as a run looks at now and then.

    Raises:
        ValueError: `scenes` is no multiple of 125.
    """
    scenes = scenes or _SCENES
    if scenes % _BATCH:
        raise ValueError(f"scenes: expected a multiple of {_BATCH}, got {scenes}")
    errors = {}
    for name in _PRESETS:
        stream = TrainingScenes({name: 1.0}, held_out, batch_size=_BATCH, seed=0, device=device)
        wrong = 0
        for step in range(scenes // _BATCH):
            batch = stream.batch(step)
            wrong += int((model(batch.scenes).logits.argmax(1) != batch.labels).sum())
        errors[name] = wrong / scenes
    return errors


def watched_scenes(held_out: Digits, *, device: torch.device) -> Tensor:
    """A few scenes of held-out digits, always the same, to watch the attention on: `[6, 1, 100, 100]`."""
    stream = TrainingScenes(
        {WATCHED_PRESET: 1.0}, held_out, batch_size=WATCHED_SCENES, seed=WATCHED_SEED, device=device
    )
    return stream.batch(0).scenes
