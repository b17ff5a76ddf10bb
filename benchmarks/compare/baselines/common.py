"""What the baselines share: what a pass and a loss tell, the localising network, the answer's boxes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from models.contract import CLASSES
from trainer.attention import Gaussian
from trainer.losses import LossWeights, label_loss, mean_where_present, presence_loss
from trainer.model import Calibration, ConvBlock, Residual
from trainer.training.method import Method

OUTPUTS = len(CLASSES) + 1
"""Logits of the ten classes, and of the presence of a digit."""
Pictures = npt.NDArray[np.uint8]


class Pass(NamedTuple):
    """What a baseline makes of its scenes."""

    logits: Tensor  # [batch, 10]
    presence_logit: Tensor  # [batch]
    features: Tensor | None = None  # [batch, channels, 25, 25], of which a map is made
    window: Gaussian | None = None  # where it looked


class LabelLosses(NamedTuple):
    """Losses of a method that has no more than labels to go by; each a scalar."""

    total: Tensor
    label: Tensor
    presence: Tensor


def label_losses(
    seen: Pass,
    scenes: Tensor,
    labels: Tensor,
    weights: LossWeights,
    ramp: float | Tensor,
    present: Tensor | None = None,
) -> LabelLosses:
    """The two terms of our own loss that any classifier can have: the label, and that there is a digit.

    Args:
        seen: the model's pass.
        scenes: not looked at.
        labels: classes, int64 `[batch]`; `NO_DIGIT` where there is none.
        weights: what the second term counts.
        ramp: not looked at: there is nothing to be switched on.
        present: where several processes train, as `compute_losses` has it.
    """
    del scenes, ramp
    label = mean_where_present(label_loss(seen.logits, labels), labels, present)
    presence = presence_loss(seen.presence_logit, labels)
    return LabelLosses(label + weights.presence * presence, label, presence)


class Localiser(nn.Module):
    """A convolutional network over the whole scene with a fully connected head of `outputs` numbers.

    The outputs start as `start` for every scene, so that the first windows are the same everywhere.
    """

    def __init__(self, start: tuple[float, ...]) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.PixelUnshuffle(4),
            ConvBlock(16, 48),  # [48, 25, 25]
            ConvBlock(48, 64, stride=2),
            Residual(64, 48),  # [64, 13, 13]
            ConvBlock(64, 96, stride=2),
            Residual(96, 64),  # [96, 7, 7]
            nn.Flatten(),
            nn.Linear(96 * 7 * 7, 128, bias=False),
            nn.BatchNorm1d(128),
            nn.ReLU(inplace=True),
        )
        self.head = nn.Linear(128, len(start))
        nn.init.zeros_(self.head.weight)
        with torch.no_grad():
            self.head.bias.copy_(torch.tensor(start))

    def forward(self, scenes: Tensor) -> Tensor:
        """Scenes `[batch, 1, 100, 100]` to `[batch, outputs]`."""
        with torch.autocast(scenes.device.type, enabled=False):  # as our own attention network
            outputs: Tensor = self.head(self.features(scenes))
        return outputs


class Candidates(NamedTuple):
    """What a method says of n scenes, with a box for each of its s settings; float32."""

    probabilities: npt.NDArray[np.float32]  # [n, 10]
    boxes: npt.NDArray[np.float32]  # [n, s, 4]: x, y, width, height in scene px


@dataclass(frozen=True)
class Baseline:
    """A method as the comparison sees it.

    Args:
        title: its name in the table.
        method: how it is trained; two baselines with one method share their runs.
        settings: what its boxes depend on beside the network; the best is chosen on scenes of held-out digits
            by their true boxes, which favours the baseline. One setting: nothing is chosen.
        setting: what a setting is.
        answer: from the trained model and uint8 scenes `[n, 1, 100, 100]` to `Candidates`.
    """

    title: str
    method: Method[Any]
    settings: tuple[float, ...]
    setting: str
    answer: Callable[[nn.Module, Pictures], Candidates]


def answer_with_window(factors: tuple[float, ...]) -> Callable[[nn.Module, Pictures], Candidates]:
    """The `answer` of a method whose box is its window, scaled by each factor."""

    def answer(model: nn.Module, pictures: Pictures) -> Candidates:
        calibration = model.get_submodule("calibration")
        assert isinstance(calibration, Calibration)
        with torch.inference_mode():
            seen = model(intensities(pictures))
            probabilities = calibration.probabilities(seen.logits)
            return Candidates(probabilities.numpy(), scaled_boxes(seen.window, factors))

    return answer


def scaled_boxes(window: Gaussian, factors: tuple[float, ...]) -> npt.NDArray[np.float32]:
    """The Gaussian's box, scaled around its middle by each factor: float32 `[n, factors, 4]`."""
    scale = torch.tensor(factors)
    width, height = window.width_px[:, None] * scale, window.height_px[:, None] * scale
    left, top = window.centre_x_px[:, None] - width / 2, window.centre_y_px[:, None] - height / 2
    boxes: npt.NDArray[np.float32] = torch.stack([left, top, width, height], dim=2).numpy()
    return boxes


def intensities(pictures: Pictures) -> Tensor:
    """The scenes as the networks want them: float32 in [0, 1]."""
    return torch.from_numpy(pictures).float() / 255
