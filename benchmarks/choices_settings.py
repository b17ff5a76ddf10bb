"""What `benchmarks.choices` chooses among: the recipe as it was, and one other answer to each question."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from trainer.data import LabelledBatch, TrainingScenes
from trainer.losses import compute_losses
from trainer.method import OWN_METHOD, Method
from trainer.model import HEADS, GlimpseModel
from trainer.presets import TrainingPreset
from trainer.warp import Interpolation

OURS = "ours"
SHARES = {"article": 0.28, "wide": 0.12, "cluttered-100": 0.47, "cluttered-60": 0.08, "clean": 0.05}
FORMER_SHARES = {"article": 0.34, "wide": 0.13, "cluttered-100": 0.38, "cluttered-60": 0.10, "clean": 0.05}


class InHalf(nn.Module):
    """A part of the attention network that follows the recipe's bfloat16 in training."""

    def __init__(self, part: nn.Module) -> None:
        super().__init__()
        self.part = part

    def forward(self, x: Tensor) -> Tensor:
        """As the part itself, to float32."""
        with torch.autocast(x.device.type, dtype=torch.bfloat16, enabled=self.training):
            y: Tensor = self.part(x)
        return y.float()


class CubicallySampled(TrainingScenes):
    """Training scenes whose varied handwriting is sampled cubically, which keeps strokes sharp."""

    interpolation: ClassVar[Interpolation] = "bicubic"


class AsWrittenAmongDigits(CubicallySampled):
    """The same that keep the handwriting as it is where clutter is whole digits."""

    def _render_part(self, part: Any, seeds: Tensor, absent: Tensor) -> LabelledBatch:
        varied = self._digits
        self._digits = self._as_written if part.preset.clutter[1] else varied
        try:
            return super()._render_part(part, seeds, absent)
        finally:
            self._digits = varied


class LinearlySampled(AsWrittenAmongDigits):
    """Those with varied handwriting sampled linearly, which softens strokes."""

    interpolation: ClassVar[Interpolation] = "bilinear"


@dataclass(frozen=True)
class Setting:
    """An answer to one of the four questions, or the recipe as it is."""

    name: str
    question: str
    title: str
    method: Method
    change: Callable[[TrainingPreset], TrainingPreset] = lambda preset: preset


def _half_precision_attention() -> GlimpseModel:
    """Ours, with the attention network's convolutions in bfloat16; heat map, places and heads are not."""
    model = GlimpseModel()
    network = model.attention_network
    for name in ("fine", "coarse", "lateral", "upward"):
        setattr(network, name, InHalf(getattr(network, name)))
    return model


def _shares(mixture: dict[str, float]) -> Callable[[TrainingPreset], TrainingPreset]:
    return lambda preset: dataclasses.replace(preset, mixture=mixture)


def _method(
    name: str = OWN_METHOD,
    build: Callable[[], GlimpseModel] = GlimpseModel,
    scenes: type[TrainingScenes] = AsWrittenAmongDigits,
) -> Method:
    return Method(name, build, compute_losses, HEADS, scenes)


# Shares, handwriting and sampling stand here as they were when the rule was written; the rest is today's.
SETTINGS = {
    setting.name: setting
    for setting in (
        Setting(OURS, "", "the recipe as it was", _method(), _shares(SHARES)),
        Setting(
            "attention-in-bfloat16",
            "the attention network's convolutions",
            "bfloat16 instead of float32",
            _method(f"{OWN_METHOD}, attention in bfloat16", build=_half_precision_attention),
            _shares(SHARES),
        ),
        Setting(
            "varied-everywhere",
            "handwriting where clutter is whole digits",
            "varied instead of as it is",
            _method(f"{OWN_METHOD}, varied everywhere", scenes=CubicallySampled),
            _shares(SHARES),
        ),
        Setting(
            "former-shares",
            "shares of the scenes",
            "`cluttered-100` 38 %, `article` 34 % instead of 47 % and 28 %",
            _method(),
            _shares(FORMER_SHARES),
        ),
        Setting(
            "linear-interpolation",
            "sampling of varied handwriting",
            "linear instead of cubic",
            _method(f"{OWN_METHOD}, sampled linearly", scenes=LinearlySampled),
            _shares(SHARES),
        ),
    )
}
