"""The variants of the recipe that `benchmarks ablations` trains, each with one thing changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from trainer.losses import VARIANCE_PER_INK, Losses, LossWeights, compute_losses
from trainer.model import HEADS, ForwardOutput, GlimpseModel
from trainer.training.method import OWN_METHOD, Method
from trainer.training.presets import TrainingPreset

OURS = "ours"
TERMS, VARIANCE, TRAINING = "loss terms", "variance penalty", "training"


@dataclass(frozen=True)
class Variant:
    """The recipe with one change.

    Args:
        name: what its run is called.
        group: what is varied; variants of one group make one table.
        title: the change in words.
        change: what is changed of the recipe.
        variance: weight of the variance penalty beside the weight 1 of the foreground retention.
        retention: weight of the foreground retention.
        muon: whether Muon trains all layers but the heads; otherwise AdamW trains all of them.
    """

    name: str
    group: str
    title: str
    change: Callable[[TrainingPreset], TrainingPreset] = lambda preset: preset
    variance: float = VARIANCE_PER_INK
    retention: float = 1.0
    muon: bool = True

    @property
    def method(self) -> Method[ForwardOutput]:
        """How it is trained; the name tells of all that differs, but for the recipe, which runs tell of."""
        weights = {
            "variance": (self.variance, VARIANCE_PER_INK),
            "retention": (self.retention, 1.0),
        }
        changed = [f"{key} {here:g}" for key, (here, own) in weights.items() if here != own]
        name = ", ".join([OWN_METHOD, *([] if self.name == OURS else [self.name]), *changed])
        return Method(name, GlimpseModel, self._losses, HEADS if self.muon else _every_layer())

    def _losses(
        self,
        output: ForwardOutput,
        scenes: Tensor,
        labels: Tensor,
        weights: LossWeights,
        ramp: float | Tensor,
        present: Tensor | None = None,
    ) -> Losses:
        """Our losses, their sum with this variant's weights of the two terms that pull at the box."""
        losses = compute_losses(output, scenes, labels, weights, ramp, present)
        if (self.variance, self.retention) == (VARIANCE_PER_INK, 1.0):
            return losses
        retained = (self.retention - 1) * losses.foreground_retention
        more = (self.variance - VARIANCE_PER_INK) * losses.variance + retained
        return losses._replace(total=losses.total + ramp * weights.tightness * more)


def _every_layer() -> tuple[str, ...]:
    """Every layer with a matrix or a kernel, as if each were a head."""
    return tuple(name for name, module in GlimpseModel().named_modules() if hasattr(module, "weight"))


def _weights(**changes: float) -> Callable[[TrainingPreset], TrainingPreset]:
    return lambda preset: dataclasses.replace(preset, weights=dataclasses.replace(preset.weights, **changes))


def _recipe(**changes: Any) -> Callable[[TrainingPreset], TrainingPreset]:
    return lambda preset: dataclasses.replace(preset, **changes)


VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(OURS, "", "ours"),
        Variant("no-refiner-label", TERMS, "without the label of the first glimpse",
                _weights(refiner_label=0.0)),
        Variant("no-pooled-label", TERMS, "without the label of the pooled features",
                _weights(pooled_label=0.0)),
        Variant("no-presence", TERMS, "without the presence of a digit", _weights(presence=0.0)),
        Variant("no-variance", TERMS, "without the variance penalty", variance=0.0),
        Variant("no-retention", TERMS, "without the foreground retention", retention=0.0),
        Variant("no-tightness", TERMS, "without both", _weights(tightness=0.0)),
        Variant("no-distillation", TERMS, "without distillation", _weights(distillation=0.0)),
        Variant("no-heat-spread", TERMS, "without the heat map's spread", _weights(heat_spread=0.0)),
        Variant("variance-1-4", VARIANCE, "¼", variance=0.25),
        Variant("variance-2-3", VARIANCE, "⅔", variance=2 / 3),
        Variant("variance-1", VARIANCE, "1", variance=1.0),
        Variant("no-copy-paste", TRAINING, "without copy-paste augmentation", _recipe(copy_paste=0.0)),
        Variant("no-elastic", TRAINING, "without elastic augmentation", _recipe(elastic=False)),
        Variant("adamw", TRAINING, "AdamW for all layers instead of Muon", muon=False),
    )
}  # fmt: skip
