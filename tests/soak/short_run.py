"""`python -m tests.soak.short_run RUN STEPS`: one process of a short run that trains into a folder."""

from __future__ import annotations

import dataclasses
import sys
from pathlib import Path

from trainer.training.loop import train
from trainer.training.presets import TrainingPreset, find_training_preset

BATCH = 32


def short_recipe(steps: int) -> TrainingPreset:
    """The `smoke` preset, so long that its losses fall, and with all of them written down."""
    return dataclasses.replace(
        find_training_preset("smoke"),
        name="distributed",
        steps=steps,
        batch_size=BATCH,
        ramp=(steps // 3, steps * 2 // 3),
        log_every=1,
        checkpoint_every=max(1, steps // 3),
    )


if __name__ == "__main__":
    train(short_recipe(int(sys.argv[2])), Path(sys.argv[1]), device="cpu")
