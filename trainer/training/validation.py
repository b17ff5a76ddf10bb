"""The label's error on held-out training digits: the only figure that a run measures of itself."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from scenes.digits import Digits
from trainer.data.batches import LabelledBatch
from trainer.data.training_scenes import TrainingScenes

_PRESETS = ("article", "cluttered-100", "paper")
_SCENES = 1000
_BATCH = 125
WATCHED_PRESET = "article"
WATCHED_SCENES = 6
WATCHED_SEED = 2
"""These name the scenes that a run watches; `trainer.evaluation.report` draws them again."""


@torch.inference_mode()
def label_errors(
    model: nn.Module, held_out: Digits, *, device: torch.device, scenes: int | None = None
) -> dict[str, float]:
    """Share of wrong labels for each of three scene presets, on digits that training never sees.

    Args:
        model: what a run trains.
        held_out: the digits.
        device: where the model is.
        scenes: how many of each preset, a multiple of 125; None is the number that a run measures.

    Raises:
        ValueError: `scenes` is no positive multiple of 125.
    """
    scenes = _SCENES if scenes is None else scenes
    errors = {}
    for name in _PRESETS:
        wrong = 0
        for batch in held_out_batches(name, held_out, seed=0, scenes=scenes, device=device):
            wrong += int((model(batch.scenes).logits.argmax(1) != batch.labels).sum())
        errors[name] = wrong / scenes
    return errors


def held_out_batches(
    preset: str,
    held_out: Digits,
    *,
    seed: int,
    scenes: int,
    device: torch.device,
    without_digit: float = 0.0,
) -> Iterator[LabelledBatch]:
    """Scenes of one preset, of digits that training never sees, 125 at once: always the same for a seed.

    Args:
        preset: the scene preset's name.
        held_out: the digits.
        seed: each measurement that decides something has its own, and so its own scenes.
        scenes: how many, a multiple of 125.
        device: where they are made.
        without_digit: share of the scenes that have no digit.

    Raises:
        ValueError: `scenes` is no positive multiple of 125.
    """
    if scenes < 1 or scenes % _BATCH:
        raise ValueError(f"scenes: expected a positive multiple of {_BATCH}, got {scenes}")
    stream = TrainingScenes(
        {preset: 1.0}, held_out, batch_size=_BATCH, seed=seed, device=device, without_digit=without_digit
    )
    return (stream.batch(step) for step in range(scenes // _BATCH))


def watched_scenes(held_out: Digits, *, device: torch.device) -> Tensor:
    """A few scenes of held-out digits, always the same, to watch the attention on: `[6, 1, 100, 100]`."""
    stream = TrainingScenes(
        {WATCHED_PRESET: 1.0}, held_out, batch_size=WATCHED_SCENES, seed=WATCHED_SEED, device=device
    )
    return stream.batch(0).scenes
