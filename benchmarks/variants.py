"""The variants of our recipe that `benchmarks.ablations` trains, each with one thing changed."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from torch import Tensor

from models.contract import GLIMPSE_SIDE_PX
from trainer.losses import VARIANCE_PER_INK, Losses, LossWeights, compute_losses
from trainer.method import OWN_METHOD, Method
from trainer.model import DESIGN, HEADS, SECOND_WINDOW, Design, GlimpseModel, Looks
from trainer.presets import TrainingPreset


@dataclass(frozen=True)
class Variant:
    """Our recipe with one change.

    Args:
        name: what its run is called.
        group: what is varied; variants of one group make one table.
        title: the change in words.
        design: what is changed of the model.
        change: what is changed of the recipe.
        variance: weight of the variance penalty beside the weight 1 of the kept ink.
        kept_ink: weight of the kept ink.
        heads: layers that AdamW trains; ours has but the heads there.
    """

    name: str
    group: str
    title: str
    design: Design = DESIGN
    change: Callable[[TrainingPreset], TrainingPreset] = lambda preset: preset
    variance: float = VARIANCE_PER_INK
    kept_ink: float = 1.0
    heads: tuple[str, ...] = HEADS

    @property
    def method(self) -> Method:
        """How it is trained; the name tells of all that differs, but for the recipe, which runs tell of."""
        own = {**DESIGN._asdict(), "variance": VARIANCE_PER_INK, "kept ink": 1.0}
        here = {**self.design._asdict(), "variance": self.variance, "kept ink": self.kept_ink}
        changed = [f"{key} {here[key]:g}" for key, value in own.items() if here[key] != value]
        name = ", ".join([OWN_METHOD, *([] if self.name == OURS else [self.name]), *changed])
        return Method(name, partial(GlimpseModel, self.design), self._losses, self.heads)

    def _losses(
        self,
        looks: Looks,
        scenes: Tensor,
        labels: Tensor,
        weights: LossWeights,
        ramp: float | Tensor,
        present: Tensor | None = None,
    ) -> Losses:
        """Our losses, their sum with this variant's weights of the two terms that pull at the box."""
        losses = compute_losses(looks, scenes, labels, weights, ramp, present)
        if (self.variance, self.kept_ink) == (VARIANCE_PER_INK, 1.0):
            return losses
        more = (self.variance - VARIANCE_PER_INK) * losses.variance + (self.kept_ink - 1) * losses.kept_ink
        return losses._replace(total=losses.total + ramp * weights.tightness * more)


def _weights(**changes: float) -> Callable[[TrainingPreset], TrainingPreset]:
    return lambda preset: dataclasses.replace(preset, weights=dataclasses.replace(preset.weights, **changes))


def _recipe(**changes: Any) -> Callable[[TrainingPreset], TrainingPreset]:
    return lambda preset: dataclasses.replace(preset, **changes)


OURS = "ours"
TERMS, VARIANCE, SIZE, TRAINING = "loss terms", "variance penalty", "size", "training"
SAMPLES, WINDOW = "samples of the second glimpse", "window of the second glimpse"
# AdamW for everything: every layer with a matrix or a kernel counts as a head.
_EVERY_LAYER = tuple(name for name, module in GlimpseModel().named_modules() if hasattr(module, "weight"))

VARIANTS = {
    variant.name: variant
    for variant in (
        Variant(OURS, "", "ours"),
        Variant("no-refiner-label", TERMS, "without the label of the first glimpse",
                change=_weights(refiner_label=0.0)),
        Variant("no-gathered-label", TERMS, "without the label of the gathered features",
                change=_weights(gathered_label=0.0)),
        Variant("no-presence", TERMS, "without the presence of a digit", change=_weights(presence=0.0)),
        Variant("no-variance", TERMS, "without the variance penalty", variance=0.0),
        Variant("no-kept-ink", TERMS, "without the kept ink", kept_ink=0.0),
        Variant("no-tightness", TERMS, "without both", change=_weights(tightness=0.0)),
        Variant("no-distillation", TERMS, "without distillation", change=_weights(distillation=0.0)),
        Variant("no-heat-spread", TERMS, "without the heat map's spread", change=_weights(heat_spread=0.0)),
        Variant("variance-1-4", VARIANCE, "¼", variance=0.25),
        Variant("variance-2-3", VARIANCE, "⅔", variance=2 / 3),
        Variant("variance-1", VARIANCE, "1", variance=1.0),
        Variant("side-20", SAMPLES, "20×20", design=Design(glimpse_side=20)),
        Variant("side-36", SAMPLES, "36×36", design=Design(glimpse_side=36)),
        Variant("window-1.15", WINDOW, "1.15 boxes", design=Design(second_window=1.15)),
        Variant("window-1.8", WINDOW, "1.8 boxes", design=Design(second_window=1.8)),
        Variant("width-0.5", SIZE, "half of the channels", design=Design(width=0.5)),
        Variant("width-1.5", SIZE, "1.5 times the channels", design=Design(width=1.5)),
        Variant("gradient-0", TRAINING, "none of the glimpse's gradient into its place",
                design=Design(glimpse_gradient=0.0)),
        Variant("gradient-1", TRAINING, "all of the glimpse's gradient into its place",
                design=Design(glimpse_gradient=1.0)),
        Variant("not-pasted", TRAINING, "no clutter pasted in", change=_recipe(pasted=0.0)),
        Variant("not-warped", TRAINING, "handwriting as it is", change=_recipe(warped=False)),
        Variant("adamw", TRAINING, "AdamW for all layers instead of Muon", heads=_EVERY_LAYER),
    )
}  # fmt: skip


def our_settings(group: str) -> str:
    """What ours has where a group's variants have something else."""
    return {
        VARIANCE: "½ (ours)",
        SIZE: "ours",
        SAMPLES: f"{GLIMPSE_SIDE_PX}×{GLIMPSE_SIDE_PX} (ours)",
        WINDOW: f"{SECOND_WINDOW:g} boxes (ours)",
    }.get(group, "ours")
