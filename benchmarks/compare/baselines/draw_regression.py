"""DRAW-style regression: a fully connected head gives the Gaussian, one glimpse gives the class.

This is the article's own design (Kosiorek 2017, with the filters of Gregor et al. 2015): cross entropy and a
penalty on the variance, and nothing of what we added: no heat map, no refiner, no terms of ink, the full
gradient of the glimpse into place and size.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from benchmarks.compare.baselines.common import (
    OUTPUTS,
    Baseline,
    Localiser,
    Pass,
    answer_with_window,
    label_losses,
)
from models.contract import GLIMPSE_SIDE_PX, SCENE_SIDE_PX
from trainer.attention import gaussian_of_box, read_glimpse
from trainer.losses import LossWeights, mean_where_present
from trainer.model import SECOND_WINDOW, Calibration, GlimpseNetwork, Windows
from trainer.training.method import Method

FACTORS = tuple(round(0.2 + 0.05 * step, 2) for step in range(37))
"""By which the Gaussian's box is scaled, 0.2 to 2, of which the best is chosen."""
VARIANCE_WEIGHT = 0.1
"""Of log σ_x + log σ_y. Nothing but the classifier's complaint stands against it: it must be small."""
_FIRST_SIDE_PX = 56.0
"""Where the box starts, so that its window holds most of the scene."""


class VarianceLosses(NamedTuple):
    """The terms, unweighted, and their weighted sum; each a scalar."""

    total: Tensor
    label: Tensor
    presence: Tensor
    variance: Tensor


class DrawRegression(nn.Module):
    """Centre and log σ from the scene, a Gaussian glimpse, a class from it."""

    def __init__(self) -> None:
        super().__init__()
        self.localiser = Localiser((0.0, 0.0, 0.0, 0.0, 0.0))
        self.classifier = GlimpseNetwork(48, 96, 48, GLIMPSE_SIDE_PX, OUTPUTS)
        self.calibration = Calibration()

    def forward(self, scenes: Tensor, first: Windows | None = None, second: Windows | None = None) -> Pass:
        """Scenes `[batch, 1, 100, 100]` to logits and the Gaussian."""
        del first, second
        x, y, log_width, log_height, presence = self.localiser(scenes).unbind(1)
        half = SCENE_SIDE_PX / 2
        gaussian = gaussian_of_box(
            half * (1 + torch.tanh(x)),
            half * (1 + torch.tanh(y)),
            _FIRST_SIDE_PX * torch.exp(3 * torch.tanh(log_width / 3)),
            _FIRST_SIDE_PX * torch.exp(3 * torch.tanh(log_height / 3)),
        )
        glimpse = read_glimpse(
            scenes[:, 0],
            gaussian.centre_x_px,
            gaussian.centre_y_px,
            SECOND_WINDOW * gaussian.width_px,
            SECOND_WINDOW * gaussian.height_px,
            GLIMPSE_SIDE_PX,
        )
        outputs = self.classifier(glimpse[:, None])
        return Pass(outputs[:, :-1], outputs[:, -1] + presence, window=gaussian)


def losses(
    seen: Pass,
    scenes: Tensor,
    labels: Tensor,
    weights: LossWeights,
    ramp: float | Tensor,
    present: Tensor | None = None,
) -> VarianceLosses:
    """Cross entropy, the presence, and the penalty on the variance where there is a digit."""
    total, label, presence = label_losses(seen, scenes, labels, weights, ramp, present)
    assert seen.window is not None
    spread = torch.log(seen.window.sigma_x_px) + torch.log(seen.window.sigma_y_px)
    variance = mean_where_present(spread, labels, present)
    return VarianceLosses(total + ramp * VARIANCE_WEIGHT * variance, label, presence, variance)


METHOD = Method("draw-regression", DrawRegression, losses, heads=("localiser.head", "classifier.head"))
DRAW_REGRESSION = Baseline(
    "DRAW-style regression", METHOD, FACTORS, "box per √12 σ", answer_with_window(FACTORS)
)
