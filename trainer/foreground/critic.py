"""The critic: a plain network that names what a picture shows, also where parts of it are hidden.

Later it judges the foreground: what the map keeps should be enough for it, what the map leaves out should
not. So it has to know pictures with holes, and cut-outs. In half of each batch a random soft rectangle is
hidden, or all but it.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from models.task import HEAT_STRIDE_PX, Task
from trainer.model import ConvBlock, Residual

HEADS = ("classes",)
_SHORTEST_HALF, _LONGEST_HALF = 0.1, 0.45
"""Half sides of the hidden rectangle, in sides of the frame."""
_SOFTNESS = 0.02
_BLOCK_PX = 8
_BLOCK_NOISE = 0.1


class Critic(nn.Module):
    """Names the class of a picture, from features that are averaged over all of it."""

    def __init__(self, task: Task) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.PixelUnshuffle(HEAT_STRIDE_PX),
            ConvBlock(HEAT_STRIDE_PX**2 * task.channels, 48),
            ConvBlock(48, 64, stride=2),
            Residual(64, 48),
            ConvBlock(64, 96, stride=2),
        )
        self.classes = nn.Linear(96, len(task.classes))

    def forward(self, scenes: Tensor) -> Tensor:
        """Pictures `[batch, channels, side, side]`, intensities in [0, 1], to logits `[batch, classes]`."""
        logits: Tensor = self.classes(self.features(scenes).mean(dim=(2, 3)))
        return logits


def random_masks(count: int, side: int, random: torch.Generator) -> Tensor:
    """What is kept of each picture, `[count, 1, side, side]` in [0, 1]: all but a soft rectangle, or it."""
    u = torch.rand(count, 5, generator=random)
    halves = torch.exp(math.log(_SHORTEST_HALF) + u[:, :2] * math.log(_LONGEST_HALF / _SHORTEST_HALF))
    place = (torch.arange(side) + 0.5) / side

    def along(centre: Tensor, half: Tensor) -> Tensor:
        return torch.sigmoid((half[:, None] - (place - centre[:, None]).abs()) / _SOFTNESS)

    inside = along(u[:, 3], halves[:, 1])[:, :, None] * along(u[:, 2], halves[:, 0])[:, None, :]
    return torch.where(u[:, 4, None, None] < 0.5, inside, 1 - inside)[:, None]


def filling(scenes: Tensor, random: torch.Generator) -> Tensor:
    """What hidden parts show: smooth colours of the picture or of another one, with blocky noise.

    Any one colour would itself tell the critic that something is hidden there.
    """
    colours = functional.adaptive_avg_pool2d(scenes, 3)
    own = torch.rand(len(scenes), 1, 1, 1, generator=random) < 0.5
    colours = torch.where(own.to(scenes.device), colours, colours.roll(1, 0))
    smooth = functional.interpolate(colours, size=scenes.shape[-2:], mode="bilinear", align_corners=False)
    blocks = torch.randn(
        len(scenes), scenes.shape[1], *(max(1, n // _BLOCK_PX) for n in scenes.shape[-2:]), generator=random
    )
    noise = functional.interpolate(blocks.to(scenes.device), size=scenes.shape[-2:], mode="nearest")
    return (smooth + _BLOCK_NOISE * noise).clamp(0.0, 1.0)


def mixed(scenes: Tensor, kept: Tensor, fill: Tensor) -> Tensor:
    """The scene where `kept` is 1, the filling where it is 0."""
    return kept * scenes + (1 - kept) * fill
