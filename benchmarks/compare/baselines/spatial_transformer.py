"""A spatial transformer (Jaderberg et al. 2015): a localising network, a sampled window, our classifier.

The transform is the article's equation 3, the one for attention: translation and one scale. Its window is all
that it tells of a place; nothing makes it tight.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

from benchmarks.compare.baselines.common import (
    OUTPUTS,
    Baseline,
    Localiser,
    Pass,
    answer_with_window,
    label_losses,
)
from models.contract import GLIMPSE_SIDE_PX, SCENE_SIDE_PX
from trainer.attention import gaussian_of_box
from trainer.model import Calibration, GlimpseNetwork, Windows
from trainer.training.method import Method

FACTORS = tuple(round(0.2 + 0.05 * step, 2) for step in range(27))
"""By which the window is scaled to be a box, 0.2 to 1.5, of which the best is chosen."""
_FIRST_SCALE = 0.8
"""Where the window starts: most of the scene, since what lies outside gives no gradient."""


class SpatialTransformer(nn.Module):
    """Translation and scale from the scene, bilinear samples of it, a class from these."""

    def __init__(self) -> None:
        super().__init__()
        self.localiser = Localiser((_FIRST_SCALE, 0.0, 0.0, 0.0))
        self.classifier = GlimpseNetwork(48, 96, 48, GLIMPSE_SIDE_PX, OUTPUTS)
        self.calibration = Calibration()

    def forward(self, scenes: Tensor, first: Windows | None = None, second: Windows | None = None) -> Pass:
        """Scenes `[batch, 1, 100, 100]` to logits and the window, in scene px."""
        del first, second
        scale, x, y, presence = self.localiser(scenes).unbind(1)
        zero = torch.zeros_like(x)
        theta = torch.stack([torch.stack([scale, zero, x], 1), torch.stack([zero, scale, y], 1)], dim=1)
        size = [len(scenes), 1, GLIMPSE_SIDE_PX, GLIMPSE_SIDE_PX]
        grid = functional.affine_grid(theta, size, align_corners=False)
        glimpse = functional.grid_sample(scenes, grid, mode="bilinear", align_corners=False)
        outputs = self.classifier(glimpse)
        half = SCENE_SIDE_PX / 2
        side = scale.abs() * SCENE_SIDE_PX  # a negative scale mirrors the window
        window = gaussian_of_box(half * (1 + x), half * (1 + y), side, side)
        return Pass(outputs[:, :-1], outputs[:, -1] + presence, window=window)


METHOD = Method(
    "spatial-transformer", SpatialTransformer, label_losses, heads=("localiser.head", "classifier.head")
)
SPATIAL_TRANSFORMER = Baseline(
    "spatial transformer", METHOD, FACTORS, "box per window", answer_with_window(FACTORS)
)
