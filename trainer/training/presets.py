"""Training presets: each recipe with its cost and the figures it reaches."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from scenes.presets import find_by_name
from trainer.losses import LossWeights

Precision = Literal["float32", "bfloat16"]

EVERYTHING = {
    "article": 0.22,
    "wide": 0.10,
    "cluttered-100": 0.20,
    "cluttered-60": 0.05,
    "clean": 0.03,
    "paper": 0.4,
}
"""One mixture of all scene presets, for a model that serves each of them. Pictures of paper vary most, so
they are the largest part. The shares of the others were chosen without paper
(`docs/decisions/recipe-choices.md`); noisy scenes have up to 5 % more since, `cluttered-100` less."""


@dataclass(frozen=True)
class TrainingPreset:
    """One recipe.

    `batch_size` counts scenes over all processes. The terms that shape the attention are switched on over the
    steps of `ramp`; before, the labels alone teach the network where to look. `copy_paste` is the share of
    scenes with pasted clutter, `without_digit` the share of scenes without a digit. Of pictures of paper the
    latter is `paper_without_digit`, since people photograph many other things. `elastic` augments all digits.
    `compiled` steps start after a minute and are 7 to 14 % faster on a processor.
    """

    name: str
    cost: str
    reach: str
    steps: int
    batch_size: int
    learning_rate: float
    muon_learning_rate: float = 0.02
    precision: Precision = "float32"
    mixture: Mapping[str, float] = field(default_factory=EVERYTHING.copy)
    weights: LossWeights = field(default_factory=LossWeights)
    warm_up: int = 100
    ramp: tuple[int, int] = (150, 500)
    weight_decay: float = 0.01
    gradient_clip: float = 2.0
    ema_decay: float = 0.998
    copy_paste: float = 0.5
    without_digit: float = 1 / 16
    paper_without_digit: float = 1 / 3
    elastic: bool = True
    compiled: bool = False
    log_every: int = 50
    checkpoint_every: int = 500


_CPU = TrainingPreset(
    name="cpu",
    cost="53 minutes on two cores of an Intel Xeon with AMX in bfloat16",
    reach="one seed, before paper was in it, on test digits: 1.51 % error on article, "
    "0.83 % on cluttered-100",
    steps=20_000,
    batch_size=64,
    learning_rate=2e-3,
    compiled=True,
)

PRESETS = {
    preset.name: preset
    for preset in (
        TrainingPreset(
            name="smoke",
            cost="25 seconds on 2 cores of an Intel Xeon with AVX-512",
            reach="nothing: it shows that the whole pipeline works, from digits to a served model",
            steps=60,
            batch_size=32,
            elastic=False,
            learning_rate=2e-3,
            ramp=(10, 40),
            log_every=10,
            checkpoint_every=30,
        ),
        _CPU,
        dataclasses.replace(
            _CPU,
            name="long",
            cost="137 to 172 minutes on one core of an Intel Xeon in bfloat16, beside another such run",
            reach="three seeds, before paper was in it, on test digits: 1.37 to 1.43 % error on article, "
            "0.74 to 0.77 % on cluttered-100",
            steps=36_000,
        ),
        dataclasses.replace(
            _CPU,
            name="tune",
            cost="91 minutes on two cores of an Intel Xeon in bfloat16, beside other work",
            reach="one seed from model 0.8.0 on test digits: 1.53 % error on article, "
            "0.81 % on cluttered-100, 3.8 % on paper",
            steps=24_000,
            learning_rate=1e-3,
            muon_learning_rate=0.01,
            ramp=(0, 200),
            checkpoint_every=1_000,
        ),
        TrainingPreset(
            name="cuda",
            cost="56.5 seconds from nothing on an NVIDIA H200",
            reach="one seed, before paper was in it, 5,000 test scenes each: 1.48 % error on article, "
            "0.82 % on cluttered-100",
            steps=5_000,
            batch_size=512,
            learning_rate=2e-3,
            muon_learning_rate=0.04,
            precision="bfloat16",
            log_every=100,
            checkpoint_every=1_000,
        ),
    )
}


def find_training_preset(name: str) -> TrainingPreset:
    """The training preset of that name.

    Raises:
        ValueError: there is none; the message names those that there are.
    """
    return find_by_name("training preset", PRESETS, name)
